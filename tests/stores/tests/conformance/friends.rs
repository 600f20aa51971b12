//! The friend context.

use plaza_test_stores::World;
use plaza_test_support::{FriendRequest, Page, Person, User, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

const ROUNDS: usize = 6;

fn asking(person: &Person, other: &Person) -> plaza_test_support::Call {
    person.client.post("/api/friends/request").json(&json!({ "target_user_id": other.id() }))
}

fn answering(person: &Person, request: &FriendRequest, answer: &str) -> plaza_test_support::Call {
    person.client.post(format!("/api/friends/requests/{}/{answer}", request.id))
}

async fn friends(person: &Person) -> Vec<String> {
    let friends: Vec<User> = person.all("/api/friends?x=").await;
    friends.into_iter().map(|friend| friend.id).collect()
}

async fn waiting(person: &Person) -> usize {
    let incoming: Vec<Value> = person.all("/api/friends/requests?direction=incoming").await;
    let outgoing: Vec<Value> = person.all("/api/friends/requests?direction=outgoing").await;
    incoming.len() + outgoing.len()
}

/// The two are friends, once, and nothing waits between them.
async fn are_friends(anna: &Person, ben: &Person) {
    assert_eq!(friends(anna).await, [ben.id()]);
    assert_eq!(friends(ben).await, [anna.id()]);
    assert_eq!((waiting(anna).await, waiting(ben).await), (0, 0));
    asking(anna, ben).answer().await.problem(409, "already_friends");
    asking(ben, anna).answer().await.problem(409, "already_friends");
}

pub(crate) async fn of_requests_at_once_one_is_made(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let answers = at_once((0..6).map(|_| asking(&anna, &ben))).await;
        assert_eq!(count(&answers, [201, 409]), [1, 5]);
        let lost = answers.iter().filter(|answer| answer.status == 409);
        lost.for_each(|answer| drop(answer.problem(409, "request_exists")));
        assert_eq!((waiting(&anna).await, waiting(&ben).await), (1, 1));
    }
}

pub(crate) async fn requests_that_cross_make_one_friendship(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let answers = at_once([asking(&anna, &ben), asking(&ben, &anna)]).await;
        assert_eq!(count(&answers, [201, 200]), [1, 1]);
        are_friends(&anna, &ben).await;
    }
}

pub(crate) async fn of_answers_at_once_one_counts(world: &World) {
    for round in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let request: FriendRequest = anna.request(&ben).await.ok(201);
        let words = if round % 2 == 0 { ["accept", "reject"] } else { ["accept", "accept"] };
        let answers = at_once(words.map(|word| answering(&ben, &request, word))).await;
        assert_eq!(count(&answers, [200, 409]), [1, 1]);
        let counted: FriendRequest = answers.iter().find(|answer| answer.status == 200).expect("one").read();
        if counted.status == "accepted" {
            are_friends(&anna, &ben).await;
        } else {
            assert_eq!((friends(&anna).await.len(), friends(&ben).await.len()), (0, 0));
        }
    }
}

pub(crate) async fn an_answer_and_a_crossing_request_make_one_friendship(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let request: FriendRequest = anna.request(&ben).await.ok(201);
        let answers = at_once([answering(&ben, &request, "accept"), asking(&ben, &anna), asking(&anna, &ben)]).await;
        let [accepted, _] = count(&answers, [200, 409]);
        assert_eq!(accepted, 1);
        are_friends(&anna, &ben).await;
    }
}

pub(crate) async fn after_a_no_one_may_ask_again(world: &World) {
    let (anna, ben) = world.two().await;
    for _ in 0..2 {
        let request: FriendRequest = anna.request(&ben).await.ok(201);
        let _ = answering(&ben, &request, "reject").answer().await.is(200);
        answering(&ben, &request, "accept").answer().await.problem(409, "request_not_pending");
    }
    let request: FriendRequest = ben.request(&anna).await.ok(201);
    let _ = answering(&anna, &request, "accept").answer().await.is(200);
    are_friends(&anna, &ben).await;
}

fn taking_back(person: &Person, request: &FriendRequest) -> plaza_test_support::Call {
    person.client.delete(format!("/api/friends/requests/{}", request.id))
}

fn unfriending(person: &Person, other: &Person) -> plaza_test_support::Call {
    person.client.delete(format!("/api/friends/{}", other.id()))
}

fn blocking(person: &Person, other: &Person) -> plaza_test_support::Call {
    person.client.post("/api/friends/blocks").json(&json!({ "user_id": other.id() }))
}

fn unblocking(person: &Person, other: &Person) -> plaza_test_support::Call {
    person.client.delete(format!("/api/friends/blocks/{}", other.id()))
}

async fn blocked(person: &Person) -> Vec<String> {
    let blocked: Vec<Value> = person.all("/api/friends/blocks?x=").await;
    blocked.iter().map(|item| item["user"]["id"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn incoming(person: &Person) -> usize {
    let incoming: Vec<Value> = person.all("/api/friends/requests?direction=incoming").await;
    incoming.len()
}

pub(crate) async fn a_request_is_taken_back_or_answered(world: &World) {
    for round in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let request: FriendRequest = anna.request(&ben).await.ok(201);
        let answer = if round % 2 == 0 { "accept" } else { "reject" };
        let answers = at_once([taking_back(&anna, &request), answering(&ben, &request, answer)]).await;
        if answers[0].status == 204 {
            answers[1].problem(409, "request_not_pending");
            assert!(friends(&anna).await.is_empty());
        } else {
            answers[0].problem(409, "request_not_pending");
            assert_eq!(answers[1].status, 200);
            assert_eq!(friends(&anna).await.len(), usize::from(answer == "accept"));
        }
        assert_eq!((waiting(&anna).await, waiting(&ben).await), (0, 0));
        // Whatever came of it, there is room for another.
        if friends(&anna).await.is_empty() {
            let _: FriendRequest = ben.request(&anna).await.ok(201);
        }
    }
}

pub(crate) async fn of_two_who_end_a_friendship_one_does(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        anna.befriend(&ben).await;
        let answers = at_once([unfriending(&anna, &ben), unfriending(&ben, &anna), unfriending(&anna, &ben)]).await;
        assert_eq!(count(&answers, [204, 404]), [1, 2]);
        assert_eq!((friends(&anna).await.len(), friends(&ben).await.len()), (0, 0));
        ben.befriend(&anna).await;
        are_friends(&anna, &ben).await;
    }
}

pub(crate) async fn blocks_at_once_are_one(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let answers = at_once((0..4).map(|_| blocking(&anna, &ben))).await;
        assert_eq!(count(&answers, [201, 200]), [1, 3]);
        let of = |answer: &plaza_test_support::Answer| answer.read::<Value>();
        assert!(answers.iter().all(|answer| of(answer) == of(&answers[0])), "one block, one time: {answers:?}");
        assert_eq!(blocked(&anna).await, [ben.id()]);
        assert!(blocked(&ben).await.is_empty());
        let answers = at_once((0..4).map(|_| unblocking(&anna, &ben))).await;
        assert_eq!(count(&answers, [204, 404]), [1, 3]);
        assert!(blocked(&anna).await.is_empty());
    }
}

pub(crate) async fn a_block_and_a_yes_leave_no_friendship(world: &World) {
    for round in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let request: FriendRequest = anna.request(&ben).await.ok(201);
        // The one who asked blocks, or the one who was asked.
        let (blocker, other) = if round % 2 == 0 { (&anna, &ben) } else { (&ben, &anna) };
        let answers = at_once([answering(&ben, &request, "accept"), blocking(blocker, other)]).await;
        assert_eq!(answers[1].status, 201);
        match answers[0].status.as_u16() {
            200 => {}
            409 => drop(answers[0].problem(409, "request_not_pending")),
            _ => drop(answers[0].problem(404, "not_found")),
        }
        assert_eq!((friends(&anna).await.len(), friends(&ben).await.len()), (0, 0));
        assert_eq!((incoming(&anna).await, incoming(&ben).await), (0, 0));
        assert_eq!(blocked(blocker).await, [other.id()]);
    }
}

pub(crate) async fn a_block_and_a_request_leave_nothing_to_see(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        let answers = at_once([blocking(&anna, &ben), asking(&ben, &anna)]).await;
        assert_eq!(count(&answers, [201]), [2]);
        assert_eq!((waiting(&anna).await, waiting(&ben).await), (0, 1));
        // It is as if it waited, to the one who asked.
        asking(&ben, &anna).answer().await.problem(409, "request_exists");
        asking(&anna, &ben).answer().await.problem(409, "blocked");
        let _ = unblocking(&anna, &ben).answer().await.is(204);
        assert_eq!((waiting(&anna).await, waiting(&ben).await), (0, 1), "what was asked meanwhile stays hidden");
        let accepted: FriendRequest = asking(&anna, &ben).answer().await.ok(200);
        assert_eq!(accepted.status, "accepted");
        are_friends(&anna, &ben).await;
    }
}

pub(crate) async fn blocks_from_both_sides_at_once_both_stay(world: &World) {
    for _ in 0..ROUNDS {
        let (anna, ben) = world.two().await;
        anna.befriend(&ben).await;
        let answers = at_once([blocking(&anna, &ben), blocking(&ben, &anna), unfriending(&anna, &ben)]).await;
        assert_eq!((answers[0].status.as_u16(), answers[1].status.as_u16()), (201, 201));
        assert_eq!((blocked(&anna).await, blocked(&ben).await), (vec![ben.id().into()], vec![anna.id().into()]));
        assert_eq!((friends(&anna).await.len(), friends(&ben).await.len()), (0, 0));
        for (one, other) in [(&anna, &ben), (&ben, &anna)] {
            asking(one, other).answer().await.problem(409, "blocked");
        }
    }
}

pub(crate) async fn what_two_do_at_once_leaves_no_contradiction(world: &World) {
    let (anna, ben) = world.two().await;
    for _ in 0..ROUNDS {
        let answers = at_once([
            asking(&anna, &ben),
            asking(&ben, &anna),
            unfriending(&anna, &ben),
            blocking(&ben, &anna),
            unblocking(&ben, &anna),
            asking(&ben, &anna),
        ])
        .await;
        assert!(answers.iter().all(|answer| !answer.status.is_server_error()), "{answers:?}");
        let (of_anna, of_ben) = (friends(&anna).await, friends(&ben).await);
        assert_eq!(of_anna.len(), of_ben.len(), "a friendship has two sides");
        assert!(blocked(&ben).await.is_empty() || of_anna.is_empty());
        assert!(of_anna.is_empty() || waiting(&anna).await + waiting(&ben).await == 0);
    }
}

pub(crate) async fn blocks_come_in_pages(world: &World) {
    let anna = world.person("anna").await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.person("other").await);
    }
    for other in others.iter().rev() {
        let _ = blocking(&anna, other).answer().await.is(201);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Value> = anna.get(format!("/api/friends/blocks?limit=2{cursor}")).await;
        assert!(page.items.len() <= 2);
        found.extend(page.items.iter().map(|item| item["user"]["id"].as_str().unwrap_or_default().to_owned()));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let mut expected: Vec<&str> = others.iter().map(Person::id).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

pub(crate) async fn of_an_account_that_is_gone_nothing_is_left(world: &World) {
    let (gone, friend) = world.two().await;
    let (asked, asking, blocker, other) =
        tokio::join!(world.person("asked"), world.person("asking"), world.person("blocker"), world.person("other"));
    gone.befriend(&friend).await;
    friend.befriend(&other).await;
    let body = json!({ "target_user_id": asked.id() });
    let asking_once = gone.client.post("/api/friends/request").json(&body).header("idempotency-key", "once");
    let _ = asking_once.answer().await.is(201);
    let _ = asking.request(&gone).await.is(201);
    let _ = blocking(&blocker, &gone).answer().await.is(201);
    let _ = blocking(&gone, &other).answer().await.is(201);
    let rejected: FriendRequest = blocker.request(&other).await.ok(201);
    let _ = answering(&other, &rejected, "reject").answer().await.is(200);

    let data = json!({ "user_id": gone.id(), "deleted_at": "2026-01-31T09:30:00.000Z" });
    let event = |kind: &str| json!({ "specversion": "1.0", "id": unique("event"), "source": "/test", "type": kind, "data": data });
    let deleted = [event("plaza.user.UserDeleted.v1"), event("plaza.user.SomethingElse.v1")];
    // As when an event is delivered again while its effect is under way.
    let answers = at_once((0..3).map(|_| world.bringing_to("friend", &deleted))).await;
    count(&answers, [204, 503]);
    let _ = world.bringing_to("friend", &deleted).answer().await.is(204);

    assert_eq!(friends(&friend).await, [other.id()], "others stay");
    assert_eq!((waiting(&asked).await, waiting(&asking).await), (0, 0));
    assert!(blocked(&blocker).await.is_empty() && blocked(&gone).await.is_empty());
    assert!(friends(&gone).await.is_empty());
    if let Some(mariadb) = world.mariadb() {
        let of = |table: &str, columns: [&str; 2]| {
            let [one, other] = columns;
            let sql = format!("SELECT 1 FROM {table} WHERE {one} = '{0}' OR {other} = '{0}'", gone.id());
            mariadb.sql("friend", &sql).len()
        };
        assert_eq!(of("pairs", ["first_id", "second_id"]), 0);
        assert_eq!(of("idempotency_keys", ["scope", "scope"]), 0);
        assert_eq!(of("friend_requests", ["requester_id", "addressee_id"]), 0);
        assert_eq!(of("friendships", ["user_id", "friend_id"]) + of("blocks", ["user_id", "blocked_user_id"]), 0);
        let told = format!("SELECT type FROM outbox WHERE `key` = '{}' AND type LIKE '%FriendRemoved%'", friend.id());
        assert_eq!(mariadb.sql("friend", &told).len(), 1, "the friend is told once");
        let told = format!("SELECT type FROM outbox WHERE `key` = '{}' AND type LIKE '%Cancelled%'", asked.id());
        assert_eq!(mariadb.sql("friend", &told).len(), 1);
    }
    let malformed = json!({ "specversion": "1.0", "id": unique("event"), "source": "/test",
        "type": "plaza.user.UserDeleted.v1", "data": { "user_id": 7 } });
    world.bringing_to("friend", &[malformed]).answer().await.problem(422, "invalid_event");
}

pub(crate) async fn friends_and_requests_come_in_pages(world: &World) {
    let anna = world.person("anna").await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.person("other").await);
    }
    for other in &others {
        let _ = other.request(&anna).await.is(201);
    }
    let mut ids = Vec::new();
    let mut requesters = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<FriendRequest> = anna.get(format!("/api/friends/requests?limit=2{cursor}")).await;
        assert!(page.items.len() <= 2);
        for request in page.items {
            ids.push(request.id);
            requesters.push(request.requester_id);
        }
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<&str> = others.iter().rev().map(Person::id).collect();
    assert_eq!(requesters, expected, "the newest first");
    for id in ids {
        let _ = anna.client.post(format!("/api/friends/requests/{id}/accept")).answer().await.is(200);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<User> = anna.get(format!("/api/friends?limit=2{cursor}")).await;
        found.extend(page.items.into_iter().map(|user| user.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let mut expected: Vec<&str> = others.iter().map(Person::id).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
