//! Friend requests and friends.

use std::collections::BTreeSet;

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{FriendRequest, PATIENCE, Page, Person, World};
use serde_json::{Value, json};

async fn requests(person: &Person, direction: &str) -> Vec<FriendRequest> {
    let page: Page<FriendRequest> = person.get(format!("/api/friends/requests?direction={direction}")).await;
    page.items
}

async fn answer(person: &Person, request: &str, what: &str) -> plaza_test_support::Answer {
    person.client.post(format!("/api/friends/requests/{request}/{what}")).answer().await
}

async fn friends(person: &Person) -> BTreeSet<String> {
    let friends: Vec<Value> = person.all("/api/friends").await;
    friends.iter().map(|friend| friend["id"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_request_is_seen_by_both_and_by_nobody_else() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let answer = anna.request(&ben).await;
    let request: FriendRequest = answer.clone().ok(201);
    check::is_time(&request.created_at);
    assert_eq!((request.requester_id.as_str(), request.addressee_id.as_str()), (anna.id(), ben.id()));
    assert_eq!(request.status, "pending");
    assert_eq!(requests(&anna, "outgoing").await, std::slice::from_ref(&request));
    assert_eq!(requests(&ben, "incoming").await, std::slice::from_ref(&request));
    for (person, direction) in [(&anna, "incoming"), (&ben, "outgoing"), (&cleo, "incoming"), (&cleo, "outgoing")] {
        assert_eq!(requests(person, direction).await, []);
    }
    assert!(friends(&anna).await.is_empty(), "asking alone makes no friends");
}

#[tokio::test]
async fn only_the_one_who_was_asked_can_answer() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let request: FriendRequest = anna.request(&ben).await.ok(201);
    for what in ["accept", "reject"] {
        answer(&cleo, &request.id, what).await.problem(404, "not_found");
        // The requester sees the request, so it is a refusal and not a secret.
        let own = answer(&anna, &request.id, what).await;
        assert!(matches!(own.status.as_u16(), 403 | 404), "{own}");
        answer(&ben, NOBODY, what).await.problem(404, "not_found");
        answer(&ben, "nonsense", what).await.problem(404, "not_found");
    }
    assert_eq!(requests(&ben, "incoming").await, [request]);
}

#[tokio::test]
async fn an_accepted_request_makes_friends_and_is_over() {
    let world = World::shared();
    let (anna, ben) = world.friends("anna", "ben").await;
    assert_eq!(friends(&anna).await, BTreeSet::from([ben.id().to_owned()]));
    assert_eq!(friends(&ben).await, BTreeSet::from([anna.id().to_owned()]));
    let page: Page<Value> = anna.get("/api/friends").await;
    check::has_members(&page.items[0], &["id", "username", "display_name", "profile_image_url", "created_at"]);
    assert!(page.items[0].get("email").is_none(), "{page:?}");
    assert!(page.items[0].to_string().contains("online"), "friends come with their presence: {page:?}");
    assert_eq!(requests(&ben, "incoming").await, []);
    assert_eq!(requests(&anna, "outgoing").await, []);
    for (one, other) in [(&anna, &ben), (&ben, &anna)] {
        one.request(other).await.problem(409, "already_friends");
    }
}

#[tokio::test]
async fn an_answered_request_cannot_be_answered_otherwise() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let accepted = anna.befriend(&ben).await;
    let again = answer(&ben, &accepted.id, "reject").await;
    assert!(matches!(again.status.as_u16(), 404 | 409), "{again}");
    assert_eq!(friends(&anna).await.len(), 1);

    let request: FriendRequest = anna.request(&cleo).await.ok(201);
    let rejected: FriendRequest = answer(&cleo, &request.id, "reject").await.ok(200);
    assert_eq!(rejected.status, "rejected");
    let again = answer(&cleo, &request.id, "accept").await;
    assert!(matches!(again.status.as_u16(), 404 | 409), "{again}");
    assert!(friends(&cleo).await.is_empty());
}

#[tokio::test]
async fn crossing_requests_make_friends() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let _: FriendRequest = anna.request(&ben).await.ok(201);
    let answer = ben.request(&anna).await;
    assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer}");
    assert_eq!(answer.read::<FriendRequest>().status, "accepted");
    assert_eq!(friends(&anna).await.len(), 1);
    assert_eq!(friends(&ben).await.len(), 1);
    assert_eq!(requests(&anna, "outgoing").await, []);
}

#[tokio::test]
async fn requests_that_cross_in_the_same_instant_make_friends_once() {
    let world = World::shared();
    for _ in 0..5 {
        let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
        let (one, other) = tokio::join!(anna.request(&ben), ben.request(&anna));
        let accepted = [&one, &other].iter().filter(|answer| answer.read::<Value>()["status"] == "accepted").count();
        assert_eq!(accepted, 1, "exactly one of them completes the pair: {one} {other}");
        assert_eq!((friends(&anna).await.len(), friends(&ben).await.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_request_is_taken_back_by_the_one_who_asked() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let request: FriendRequest = anna.request(&ben).await.ok(201);
    let take_back =
        async |person: &Person, id: &str| person.client.delete(format!("/api/friends/requests/{id}")).answer().await;
    take_back(&ben, &request.id).await.problem(403, "not_requester");
    for id in [request.id.as_str(), NOBODY, "nonsense"] {
        take_back(&cleo, id).await.problem(404, "not_found");
    }
    let mut stream = ben.stream("/api/stream").await;
    let _ = take_back(&anna, &request.id).await.is(204);
    let event = stream.find("the end of the request", PATIENCE, |event| event.event == "FriendRequestCancelled").await;
    assert_eq!((&event.json()["id"], &event.json()["status"]), (&json!(request.id), &json!("cancelled")));
    assert_eq!((requests(&anna, "outgoing").await, requests(&ben, "incoming").await), (vec![], vec![]));
    take_back(&anna, &request.id).await.problem(409, "request_not_pending");
    answer(&ben, &request.id, "accept").await.problem(409, "request_not_pending");
    let accepted = anna.befriend(&ben).await;
    take_back(&anna, &accepted.id).await.problem(409, "request_not_pending");
}

#[tokio::test]
async fn a_friendship_is_ended_by_either_and_both_are_told() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let end = async |one: &Person, other: &str| one.client.delete(format!("/api/friends/{other}")).answer().await;
    for (one, other) in [(&anna, &ben), (&ben, &anna)] {
        anna.befriend(&ben).await;
        let mut streams = [one.stream("/api/stream").await, other.stream("/api/stream").await];
        for id in [cleo.id(), one.id(), NOBODY, "nonsense"] {
            end(one, id).await.problem(404, "not_found");
        }
        let _ = end(one, other.id()).await.is(204);
        for stream in &mut streams {
            let event = stream.find("the end", PATIENCE, |event| event.event == "FriendRemoved").await.json();
            assert_eq!((&event["user_id"], &event["friend_id"]), (&json!(one.id()), &json!(other.id())));
        }
        assert!(friends(&anna).await.is_empty() && friends(&ben).await.is_empty());
        end(one, other.id()).await.problem(404, "not_found");
        end(other, one.id()).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn friends_are_found_by_the_beginning_of_a_name() {
    let world = World::shared();
    let (anna, stranger) = tokio::join!(world.person("anna"), world.person("minsu"));
    let mut friends = Vec::new();
    for (hint, display_name) in [("minji", "김민지"), ("minho", "Ärger 100%"), ("junho", "minime"), ("sora", "김소라")]
    {
        let friend = world.person(hint).await;
        let _ = friend
            .client
            .patch("/api/profile/me")
            .json(&json!({ "display_name": display_name }))
            .answer()
            .await
            .is(200);
        friend.befriend(&anna).await;
        friends.push(friend);
    }
    let find = async |query: &str| -> Vec<usize> {
        let answer = anna.client.get("/api/friends/search").query(&[("q", query)]).answer().await;
        let page: Page<Value> = answer.ok(200);
        assert!(page.next_cursor.is_none());
        page.items
            .iter()
            .map(|item| friends.iter().position(|friend| item["id"] == friend.id()).expect("a friend"))
            .collect()
    };
    for (query, found) in [
        ("min", vec![0, 1, 2]),
        ("MINJI", vec![0]),
        ("김", vec![0, 3]),
        ("김소", vec![3]),
        ("ärger 100%", vec![1]),
        ("  junho ", vec![2]),
        ("%", vec![]),
        ("in", vec![]),
        (stranger.name(), vec![]),
        (friends[0].credentials.email.as_str(), vec![]),
    ] {
        assert_eq!(find(query).await, found, "{query:?}");
    }
    let mut paged = Vec::new();
    let mut path = "/api/friends/search?q=min&limit=2".to_owned();
    loop {
        let page: Page<Value> = anna.get(path).await;
        assert!(page.items.len() <= 2);
        check::has_members(&page.items[0], &["id", "username", "presence", "friends_since"]);
        paged.extend(page.items.into_iter().map(|item| item["id"].clone()));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/friends/search?q=min&limit=2&cursor={cursor}");
    }
    assert_eq!(paged, friends[..3].iter().map(|friend| json!(friend.id())).collect::<Vec<_>>());
    for query in ["", "?q=", "?q=%20%20", &format!("?q={}", "a".repeat(51))] {
        let answer = anna.client.get(format!("/api/friends/search{query}")).answer().await;
        answer.problem(422, "validation_failed").field("q");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    anna.request(&anna).await.problem(400, "cannot_befriend_yourself");
    let _: FriendRequest = anna.request(&ben).await.ok(201);
    anna.request(&ben).await.problem(409, "request_exists");
    let request = async |body: Value| anna.client.post("/api/friends/request").json(&body).answer().await;
    request(json!({ "target_user_id": NOBODY })).await.problem(404, "user_not_found");
    for body in [json!({}), json!({ "target_user_id": null }), json!({ "target_user_id": [] })] {
        request(body).await.problem(422, "validation_failed").field("target_user_id");
    }
    for id in ["", "nonsense", "\u{0}"] {
        let answer = request(json!({ "target_user_id": id })).await;
        assert!(matches!(answer.status.as_u16(), 404 | 422), "{answer}");
    }
}

#[tokio::test]
async fn a_direction_is_one_of_two() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let answer = anna.client.get("/api/friends/requests?direction=sideways").answer().await;
    answer.problem(422, "validation_failed").field("direction");
}

#[tokio::test]
async fn friends_and_requests_come_in_pages() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let others = futures::future::join_all((0..5).map(|n| world.person(["f0", "f1", "f2", "f3", "f4"][n]))).await;
    let mut made = Vec::new();
    for other in &others {
        made.push(other.request(&anna).await.ok::<FriendRequest>(201));
    }
    let ids = |requests: &[FriendRequest]| requests.iter().map(|request| request.id.clone()).collect::<BTreeSet<_>>();
    let mut paged = Vec::new();
    let mut path = "/api/friends/requests?direction=incoming&limit=2".to_owned();
    loop {
        let page: Page<FriendRequest> = anna.get(path).await;
        assert!(page.items.len() <= 2);
        paged.extend(page.items);
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/friends/requests?direction=incoming&limit=2&cursor={cursor}");
    }
    assert_eq!((paged.len(), ids(&paged)), (5, ids(&made)));

    for request in &made {
        let _: FriendRequest = answer(&anna, &request.id, "accept").await.ok(200);
    }
    let mut seen = Vec::new();
    let mut path = "/api/friends?limit=2".to_owned();
    loop {
        let page: Page<Value> = anna.get(path).await;
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().filter_map(|friend| friend["id"].as_str().map(str::to_owned)));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/friends?limit=2&cursor={cursor}");
    }
    let expected: BTreeSet<String> = others.iter().map(|other| other.id().to_owned()).collect();
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>()), (5, expected));
    for path in ["/api/friends", "/api/friends/requests?direction=incoming"] {
        let glue = if path.contains('?') { '&' } else { '?' };
        anna.client.get(format!("{path}{glue}cursor=nonsense!")).answer().await.problem(400, "invalid_cursor");
        for limit in ["0", "101", "x"] {
            let answer = anna.client.get(format!("{path}{glue}limit={limit}")).answer().await;
            answer.problem(422, "validation_failed").field("limit");
        }
    }
}
