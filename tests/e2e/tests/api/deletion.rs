//! The end of an account.

use plaza_test_support::{PATIENCE, Page, Person, User, World, eventually};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

async fn delete(person: &Person) {
    let body = json!({ "password": person.credentials.password });
    let _ = person.client.delete("/api/profile/me").json(&body).answer().await.is(204);
}

#[tokio::test]
async fn a_deleted_account_is_gone_for_everyone() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let phone = anna.on_another_device().await;
    let mut streams = [anna.stream("/api/stream").await, phone.stream("/api/stream").await];
    let picture = include_bytes!("../../../../libs/picture/tests/pictures/grey.jpg").as_slice();
    let put = anna.client.put("/api/profile/me/image").body("image/jpeg", picture).answer().await;
    let picture = put.ok::<User>(200).profile_image_url.expect("an address");
    delete(&anna).await;
    world.client().get(picture).answer().await.problem(404, "not_found");

    for stream in &mut streams {
        let events = stream.ended(PATIENCE).await;
        assert_eq!(events.last().map(|event| event.event.as_str()), Some("end"), "{events:?}");
    }
    for person in [&anna, &phone] {
        person.client.get("/api/profile/me").answer().await.unauthorized();
        let body = json!({ "refresh_token": person.tokens.refresh_token });
        let refresh = world.client().post("/api/auth/refresh").json(&body).answer().await;
        refresh.problem(401, "invalid_refresh_token");
    }
    let login = world.client().post("/api/auth/login/json").json(&anna.credentials.login()).answer().await;
    login.problem(401, "invalid_credentials");

    ben.client.get(format!("/api/profile/{}", anna.id())).answer().await.problem(404, "not_found");
    let listed: Value = ben.get(format!("/api/users?user_ids={},{}", anna.id(), ben.id())).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    for q in [anna.name(), &anna.credentials.email] {
        let found: Page<User> = ben.client.get("/api/users/search").query(&[("q", q)]).answer().await.ok(200);
        assert!(found.items.is_empty(), "{found:?}");
    }
    ben.request(&anna).await.problem(404, "user_not_found");
}

#[tokio::test]
async fn name_and_address_are_free_again_for_somebody_else() {
    let world = World::shared();
    let anna = world.person("anna").await;
    delete(&anna).await;
    let again = anna.credentials.register(world.client()).await;
    assert_ne!(again.id, anna.id());
    anna.credentials.log_in(world.client()).await;
}

#[tokio::test]
async fn it_takes_the_password() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for password in ["", "not the password"] {
        let call = anna.client.delete("/api/profile/me").json(&json!({ "password": password }));
        call.answer().await.problem(403, "wrong_password");
    }
    for body in [json!({}), json!({ "password": null }), json!({ "password": 5 })] {
        let answer = anna.client.delete("/api/profile/me").json(&body).answer().await;
        answer.problem(422, "validation_failed").field("password");
    }
    let me: User = anna.get("/api/profile/me").await;
    assert_eq!(me, anna.user);
}

#[tokio::test]
async fn an_account_may_go_while_it_writes() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    let first = anna.say(&room, "first").await;
    let gone = AtomicBool::new(false);
    let writing = async {
        let mut sent = 1;
        loop {
            let was_gone = gone.load(Ordering::SeqCst);
            let answer = anna.sending(&room.id, "once more", None).answer().await;
            match answer.status.as_u16() {
                201 => sent += 1,
                // On its way in before the end, and taken out of the room by it.
                403 | 404 => {}
                401 => return sent,
                _ => panic!("{answer}"),
            }
            assert!(!was_gone, "after the answer to the deletion nothing is taken: {answer}");
        }
    };
    let deleting = async {
        eventually(Duration::from_secs(10), "some messages", async || {
            (ben.messages(&room.id, "").await.items.len() > 3).then_some(())
        })
        .await;
        delete(&anna).await;
        gone.store(true, Ordering::SeqCst);
    };
    let (sent, ()) = tokio::join!(writing, deleting);
    let messages = ben.all_messages(&room.id).await;
    assert_eq!(messages.len(), sent, "what was answered stays, and nothing else came");
    assert_eq!(messages[0].id, first.id);
    assert!(messages.iter().zip(1..).all(|(message, seq)| message.seq == seq), "{messages:?}");
}
