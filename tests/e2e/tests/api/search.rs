//! The search, as a client meets it: what was said is found soon after.

use plaza_test_support::{Message, PATIENCE, Page, Person, World, eventually, unique};
use serde_json::json;

async fn search(person: &Person, q: &str) -> Vec<Message> {
    let page: Page<Message> = person.client.get("/api/messages/search").query(&[("q", q)]).answer().await.ok(200);
    page.items
}

#[tokio::test]
async fn what_is_said_is_found_until_it_is_taken_back() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.direct_room(&ben).await;
    let mark = unique("w").replace('_', "x");
    let message = anna.say(&room, &format!("내일은 {mark}대한민국에서")).await;
    let found = eventually(PATIENCE, "the message in the search", async || {
        let found = search(&ben, &format!("{mark}대한")).await;
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(found.await, std::slice::from_ref(&message));
    assert_eq!(search(&ben, &format!("민국 {mark}")).await, std::slice::from_ref(&message), "in the middle of a word");
    assert!(search(&cleo, &mark).await.is_empty(), "in own rooms only");

    let path = format!("/api/messages/{}/{}", room.id, message.id);
    let edited = anna.client.patch(path.clone()).json(&json!({ "content": format!("오늘은 {mark}서울에서") }));
    let edited: Message = edited.answer().await.ok(200);
    assert!(search(&ben, &format!("{mark}대한")).await.is_empty());
    eventually(PATIENCE, "the edited message", async || {
        (search(&ben, &format!("{mark}서울")).await == [edited.clone()]).then_some(())
    })
    .await;
    let _ = anna.client.delete(path).answer().await.is(204);
    assert!(search(&ben, &mark).await.is_empty());
}

#[tokio::test]
async fn a_search_that_makes_no_sense_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for (field, query) in [
        ("q", ""),
        ("q", "?q="),
        ("q", "?q=a"),
        ("q", "?q=%25"),
        ("q", "?q=%20%20"),
        ("room_id", "?q=word&room_id=x"),
        ("limit", "?q=word&limit=0"),
    ] {
        let answer = anna.client.get(format!("/api/messages/search{query}")).answer().await;
        answer.problem(422, "validation_failed").field(field);
    }
    let long = format!("/api/messages/search?q={}", "x".repeat(101));
    anna.client.get(long).answer().await.problem(422, "validation_failed").field("q");
    anna.client.get("/api/messages/search?q=word&cursor=!").answer().await.problem(400, "invalid_cursor");
}
