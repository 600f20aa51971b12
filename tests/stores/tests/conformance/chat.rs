//! The chat context.

use std::collections::HashSet;

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Message, Page, Person, Room, unique};
use serde_json::json;

use crate::{at_once, count};

async fn group_of(world: &World, others: usize) -> (Vec<Person>, Room) {
    let people = join_all((0..=others).map(|_| world.person("member"))).await;
    let rest: Vec<&Person> = people[1..].iter().collect();
    let room = people[0].group("a group", &rest).await;
    (people, room)
}

fn has_no_gap(messages: &[Message], last: usize) {
    let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=last as u64).collect::<Vec<_>>());
    let ids: HashSet<_> = messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), last);
}

pub(crate) async fn a_direct_room_wanted_at_once_is_one_room(world: &World) {
    for _ in 0..5 {
        let (anna, ben) = world.two().await;
        let body = |other: &Person| json!({ "room_type": "direct", "participant_ids": [other.id()] });
        let wanting = |person: &Person, other| person.client.post("/api/chat-rooms").json(&body(other));
        let answers =
            at_once([wanting(&anna, &ben), wanting(&ben, &anna), wanting(&anna, &ben), wanting(&ben, &anna)]).await;
        assert_eq!(count(&answers, [201, 200]), [1, 3]);
        let rooms: HashSet<String> = answers.iter().map(|answer| answer.read::<Room>().id).collect();
        assert_eq!(rooms.len(), 1);
        let of_ben: Page<Room> = ben.get("/api/chat-rooms").await;
        assert_eq!(of_ben.items.len(), 1);
        assert_eq!(of_ben.items[0].participants.len(), 2);
    }
}

pub(crate) async fn messages_of_every_script_come_back_as_they_were_sent(world: &World) {
    let (anna, ben) = world.two().await;
    let name = "🏡".repeat(100);
    let room = anna.group(&name, &[&ben]).await;
    assert_eq!(room.name.as_ref(), Some(&name));
    let contents = [
        "🌱".repeat(4_000),
        "가".repeat(4_000),
        " with spaces at both ends  ".to_owned(),
        "한 and \u{1112}\u{1161}\u{11ab} are not the same".to_owned(),
        "👨‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇰🇷".to_owned(),
        "\\ ' \" ` ? % _ ; -- /* */ # $1 :x {} \\0 \\n".to_owned(),
        "첫 줄\n둘째 줄\r\n\t끝".to_owned(),
        "\u{ffff}\u{10ffff}\u{feff}".to_owned(),
    ];
    for content in &contents {
        assert_eq!(anna.say(&room, content).await.content.as_ref(), Some(content));
    }
    let stored = ben.all_messages(&room.id).await;
    assert_eq!(stored.iter().filter_map(|message| message.content.clone()).collect::<Vec<_>>(), contents);
    let listed: Page<Room> = ben.get("/api/chat-rooms").await;
    assert_eq!(listed.items[0].name.as_ref(), Some(&name));
    assert_eq!(listed.items[0].last_message.as_ref(), stored.last());
    assert_eq!((listed.items[0].unread_count, contents.len()), (8, 8));
}

pub(crate) async fn those_who_write_at_once_get_places_without_a_gap(world: &World) {
    const SENDERS: usize = 16;
    const EACH: usize = 6;
    let (people, room) = group_of(world, SENDERS - 1).await;
    let write = async |person: &Person| {
        for _ in 0..EACH {
            person.say(&room, "at once").await;
        }
    };
    join_all(people.iter().map(write)).await;
    has_no_gap(&people[0].all_messages(&room.id).await, SENDERS * EACH);
    for person in &people {
        let seen: Room = person.get(format!("/api/chat-rooms/{}", room.id)).await;
        assert!(seen.unread_count < (SENDERS * EACH) as u64, "whoever writes has read what came before");
    }
    if let Some(mariadb) = world.mariadb() {
        // Nobody publishes here: the outbox still has every event, and in the order of their places.
        let sql = "SELECT JSON_VALUE(data, '$.seq') FROM outbox WHERE topic = 'message.events'";
        let told = mariadb.sql("chat", &format!("{sql} AND `key` = '{}' ORDER BY id", room.id));
        let told: Vec<usize> = told.iter().map(|row| row[0].parse().expect("a seq")).collect();
        assert_eq!(told, (1..=SENDERS * EACH).collect::<Vec<_>>());
    }
}

pub(crate) async fn a_name_for_a_message_counts_once_at_once(world: &World) {
    let (people, room) = group_of(world, 1).await;
    for round in 1..=6 {
        let name = unique("client");
        let answers = at_once((0..6).map(|_| people[0].sending(&room.id, "once", Some(&name)))).await;
        assert_eq!(count(&answers, [201, 200]), [1, 5]);
        for answer in answers {
            assert_eq!(answer.read::<Message>().seq, round);
        }
    }
    has_no_gap(&people[0].all_messages(&room.id).await, 6);
}

pub(crate) async fn a_name_for_a_message_counts_once_across_rooms(world: &World) {
    let anna = world.person("anna").await;
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(anna.direct_room(&world.person("ben").await).await);
    }
    for _ in 0..5 {
        let name = unique("client");
        let answers = at_once(rooms.iter().map(|room| anna.sending(&room.id, "where?", Some(&name)))).await;
        assert_eq!(count(&answers, [201, 409]), [1, 3]);
        let lost = answers.iter().filter(|answer| answer.status == 409);
        lost.for_each(|answer| drop(answer.problem(409, "client_message_id_used")));
    }
    let mut stored = 0;
    for room in &rooms {
        let messages = anna.all_messages(&room.id).await;
        has_no_gap(&messages, messages.len());
        stored += messages.len();
    }
    assert_eq!(stored, 5);
}

pub(crate) async fn names_for_messages_differ_by_case_and_may_be_long_or_missing(world: &World) {
    let (people, room) = group_of(world, 1).await;
    let anna = &people[0];
    let name = unique("Name");
    for name in [name.clone(), name.to_lowercase(), name.to_uppercase(), format!("{name}."), format!("{name:.<64}")] {
        let sent: Message = anna.sending(&room.id, "x", Some(&name)).answer().await.ok(201);
        assert_eq!(sent.client_message_id.as_ref(), Some(&name));
        let again: Message = anna.sending(&room.id, "y", Some(&name)).answer().await.ok(200);
        assert_eq!(again, sent);
    }
    for _ in 0..3 {
        let sent: Message = anna.sending(&room.id, "without a name", None).answer().await.ok(201);
        assert_eq!(sent.client_message_id, None);
    }
    let _ = people[1].sending(&room.id, "mine", Some(&name)).answer().await.is(201);
}

pub(crate) async fn rooms_come_in_pages_by_their_last_activity(world: &World) {
    const ROOMS: usize = 9;
    let anna = world.person("anna").await;
    let others = join_all((0..ROOMS).map(|_| world.person("other"))).await;
    // At once, so that some are of the same millisecond.
    join_all(others.iter().map(|other| anna.direct_room(other))).await;
    let pages = async |limit: usize| {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<Room> = anna.get(format!("/api/chat-rooms?limit={limit}{cursor}")).await;
            found.extend(page.items.into_iter().map(|room| room.id));
            let Some(next) = page.next_cursor else { return found };
            cursor = format!("&cursor={next}");
        }
    };
    let all = pages(100).await;
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), ROOMS);
    for limit in [1, 2, 4] {
        assert_eq!(pages(limit).await, all);
    }
    let oldest = all.last().expect("there are some").clone();
    let _ = anna.sending(&oldest, "now the newest", None).answer().await.is(201);
    assert_eq!(pages(3).await[0], oldest);
    for cursor in ["eA", "MTp4", "LTE6", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"] {
        let answer = anna.client.get(format!("/api/chat-rooms?cursor={cursor}")).answer().await;
        answer.problem(400, "invalid_cursor");
    }
}

pub(crate) async fn pages_have_no_bounds_that_numbers_break(world: &World) {
    let (people, room) = group_of(world, 1).await;
    for n in 1..=5 {
        people[0].say(&room, &format!("{n}")).await;
    }
    let seqs = async |query: &str| {
        let page: Page<Message> = people[1].messages(&room.id, query).await;
        page.items.into_iter().map(|message| message.seq).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("?limit=2", &[4, 5][..]),
        ("?after=0&limit=2", &[1, 2]),
        ("?before=1", &[]),
        ("?before=0", &[]),
        ("?after=5", &[]),
        ("?after=9223372036854775807", &[]),
        ("?after=18446744073709551615", &[]),
        ("?before=9223372036854775808&limit=1", &[5]),
        ("?before=18446744073709551615&limit=1", &[5]),
        ("?around=9223372036854775807&limit=2", &[4, 5]),
        ("?around=3&limit=3", &[2, 3, 4]),
    ] {
        assert_eq!(seqs(query).await, expected, "{query}");
    }
}

pub(crate) async fn a_room_has_all_of_its_participants(world: &World) {
    // Not a power of two: rows are inserted in such portions.
    let (people, room) = group_of(world, 10).await;
    let seen: Room = people[5].get(format!("/api/chat-rooms/{}", room.id)).await;
    let mut expected: Vec<&str> = people.iter().map(Person::id).collect();
    expected.sort_unstable();
    let found: Vec<&str> = seen.participants.iter().map(|participant| participant.user_id.as_str()).collect();
    assert_eq!(found, expected, "of the same moment, by their ids");
    let stranger = world.person("stranger").await;
    stranger.client.get(format!("/api/chat-rooms/{}", room.id)).answer().await.problem(404, "not_found");
    stranger.sending(&room.id, "let me in", None).answer().await.problem(404, "not_found");
}

pub(crate) async fn what_is_no_message_of_the_room_is_not_answered(world: &World) {
    let (anna, ben) = world.two().await;
    let (here, there) = (anna.direct_room(&ben).await, anna.group("there", &[&ben]).await);
    let (first, elsewhere) = (anna.say(&here, "here").await, anna.say(&there, "there").await);
    let reply = |to: &str| {
        ben.client.post(format!("/api/messages/{}", here.id)).json(&json!({ "content": "x", "reply_to": to }))
    };
    let replied: Message = reply(&first.id).answer().await.ok(201);
    assert_eq!(replied.reply_to, Some(first.id));
    reply(&elsewhere.id).answer().await.problem(422, "validation_failed").field("reply_to");
    // A change that was refused has used up no place.
    assert_eq!(ben.say(&here, "next").await.seq, 3);
}
