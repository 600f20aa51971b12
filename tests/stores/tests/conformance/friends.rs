//! The friend context.

use plaza_test_stores::World;
use plaza_test_support::{FriendRequest, Page, Person, User};
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
