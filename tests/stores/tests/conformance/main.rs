//! Every store operation on every database: the same calls, the same answers.

mod analytics;
mod chat;
mod friends;
mod groups;
mod idempotency;
mod message_changes;
mod notifications;
mod presence;
mod replica;
mod search;
mod sessions;
mod tickets;
mod users;

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Answer, Call};

/// Makes each case a test on each database.
macro_rules! cases {
    ($($context:ident: $($case:ident)*;)*) => {
        mod sqlite {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(world) = super::World::on_sqlite() {
                    super::$context::$case(&world).await;
                }
            })*)*
        }

        mod mariadb {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(world) = super::World::on_mariadb() {
                    super::$context::$case(&world).await;
                }
            })*)*
        }
    };
}

cases! {
    users:
        names_and_addresses_are_taken_whatever_their_case
        of_those_who_want_a_name_at_once_one_gets_it
        of_those_who_want_an_address_at_once_one_gets_it
        a_login_takes_a_name_to_the_letter
        names_of_every_script_come_back_as_they_were_given
        the_longest_values_have_room
        signs_that_mean_something_to_sql_mean_themselves_in_a_search
        composed_and_decomposed_names_are_different_names
        a_search_pages_through_equal_names
        changes_of_a_profile_at_once_are_all_made
        an_account_is_deleted_once_and_its_name_is_free
        an_account_is_deleted_while_it_is_used
        pictures_survive_byte_for_byte;
    sessions:
        a_refresh_token_used_at_once_is_good_at_most_once
        a_session_ends_once_however_often_it_is_told_to
        all_sessions_end_while_others_begin
        of_passwords_changed_at_once_one_stays
        no_session_of_the_old_password_outlives_it
        a_login_too_many_ends_the_session_that_was_not_used_for_longest;
    friends:
        of_requests_at_once_one_is_made
        requests_that_cross_make_one_friendship
        of_answers_at_once_one_counts
        an_answer_and_a_crossing_request_make_one_friendship
        after_a_no_one_may_ask_again
        a_request_is_taken_back_or_answered
        of_two_who_end_a_friendship_one_does
        blocks_at_once_are_one
        a_block_and_a_yes_leave_no_friendship
        a_block_and_a_request_leave_nothing_to_see
        blocks_from_both_sides_at_once_both_stay
        what_two_do_at_once_leaves_no_contradiction
        blocks_come_in_pages
        of_an_account_that_is_gone_nothing_is_left
        friends_and_requests_come_in_pages;
    chat:
        a_direct_room_wanted_at_once_is_one_room
        messages_of_every_script_come_back_as_they_were_sent
        those_who_write_at_once_get_places_without_a_gap
        a_name_for_a_message_counts_once_at_once
        a_name_for_a_message_counts_once_across_rooms
        names_for_messages_differ_by_case_and_may_be_long_or_missing
        rooms_come_in_pages_by_their_last_activity
        pages_have_no_bounds_that_numbers_break
        a_room_has_all_of_its_participants
        what_is_no_message_of_the_room_is_not_answered;
    groups:
        people_added_at_once_are_there_once
        a_group_that_all_leave_at_once_is_gone
        whoever_leaves_and_is_removed_at_once_leaves_once
        a_group_that_is_deleted_while_people_write_and_come_is_gone
        participants_come_in_pages
        what_is_asked_for_twice_under_one_key_is_done_once;
    message_changes:
        edits_at_once_are_all_kept
        a_message_is_edited_so_often_and_no_more
        an_edit_and_a_deletion_at_once_leave_a_deleted_message
        reactions_at_once_are_all_there_once
        read_positions_at_once_never_go_back;
    replica:
        a_block_stops_direct_messages_and_is_not_told
        blocks_that_come_twice_count_once_in_any_order
        whoever_is_gone_leaves_every_room_and_their_words_stay
        what_is_no_block_is_ignored_or_refused;
    search:
        words_of_every_script_are_found
        only_what_is_said_now_is_found
        a_search_pages_through_own_rooms_and_no_others
        a_deleted_group_is_emptied;
    notifications:
        an_event_that_comes_at_once_counts_once
        events_are_told_apart_to_the_byte
        notifications_come_in_pages
        readings_at_once_are_counted_once
        reading_a_room_reads_what_was_told_of_it
        what_a_message_no_longer_says_is_not_told
        a_request_that_is_taken_back_is_no_news
        of_preferences_at_once_one_counts_whole
        nothing_is_left_of_a_deleted_account
        without_the_key_no_event_is_taken;
    idempotency:
        a_repeat_gets_the_first_answer_and_changes_nothing
        a_registration_may_be_repeated
        a_refresh_whose_answer_was_lost_may_be_repeated
        a_login_may_be_repeated_and_its_answer_is_nowhere_to_be_read
        a_key_stands_for_one_request
        a_key_has_a_form
        of_repeats_at_once_one_is_made
        a_refusal_may_be_tried_again_with_its_key
        a_key_is_kept_for_a_day;
    analytics:
        an_event_that_comes_at_once_counts_once_in_the_statistics
        events_that_come_at_once_are_all_in_the_statistics
        hours_and_days_begin_in_utc
        statistics_are_for_operators;
    presence:
        a_report_counts_once
        who_is_at_several_relays_comes_and_goes_once
        a_relay_that_reports_no_more_holds_nobody
        heartbeats_at_once_are_one_coming
        without_the_key_nobody_reports;
    tickets:
        every_store_is_named;
}

/// Makes all calls at the same time.
async fn at_once(calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    join_all(calls.into_iter().map(Call::answer)).await
}

/// How many answers have each of these statuses; there must be no others.
fn count<const N: usize>(answers: &[Answer], statuses: [u16; N]) -> [usize; N] {
    for answer in answers {
        assert!(statuses.contains(&answer.status.as_u16()), "{answer}");
    }
    statuses.map(|status| answers.iter().filter(|answer| answer.status.as_u16() == status).count())
}

/// Tickets are in key-value, which has nothing to do with where databases are; redeeming one takes a relay, which the functions on
/// MariaDB do without here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_used_at_once_is_good_once() {
    if let Some(world) = World::on_sqlite() {
        tickets::a_ticket_used_at_once_is_good_once(&world).await;
    }
}
