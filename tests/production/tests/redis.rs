//! Without Redis what can go on does, and what cannot says so.

use std::sync::Arc;

use plaza_test_support::{PATIENCE, Person, Plaza, Servers, Stack, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_redis_is_slower_not_wrong() {
    let start = || {
        let servers = Arc::new(Servers::start(1)?);
        let plaza = Plaza::options().stack(&Stack::Servers(Arc::clone(&servers))).start()?;
        Ok::<_, String>((servers, plaza))
    };
    let started = tokio::task::spawn_blocking(start).await.expect("no panic");
    let (servers, plaza) = started.unwrap_or_else(|why| panic!("{why}"));
    let (minji, junho) = (Person::new(&plaza.client(), "minji").await, Person::new(&plaza.client(), "junho").await);
    let room = minji.direct_room(&junho).await;
    let ticket = junho.ticket().await;
    let mut stream = junho.stream("/api/stream").await;

    for fault in ["killed", "stalled"] {
        tokio::task::block_in_place(|| if fault == "killed" { servers.redis.kill() } else { servers.redis.pause() });
        // Tokens are examined by their signature and the database.
        let message = minji.say(&room, fault).await;
        let event = stream.find("the message", PATIENCE, |event| event.event == "MessageSent").await;
        assert_eq!(event.json()["id"], message.id.as_str(), "{fault}");
        drop(junho.stream("/api/stream").await);
        let another = minji.on_another_device().await;
        let _: serde_json::Value = another.get("/api/profile/me").await;
        // What must be certain waits.
        let used = plaza.client().get("/api/stream").query(&[("ticket", &ticket.ticket)]);
        for call in [junho.client.post("/api/stream/ticket"), another.client.post("/api/auth/logout"), used] {
            let answer = call.answer().await;
            assert!(!answer.header("retry-after").is_empty(), "{fault}: {answer}");
            answer.problem(503, "unavailable");
        }
        // The session whose end was refused has not ended.
        let _: serde_json::Value = another.get("/api/profile/me").await;
        let ready = plaza.client().get("/ready").answer().await.is(503);
        let ready: serde_json::Value = ready.read();
        assert_eq!(
            (&ready["checks"]["key-value:tickets"], &ready["checks"]["database:chat"]),
            (&"failed".into(), &"ok".into())
        );

        tokio::task::block_in_place(
            || if fault == "killed" { servers.redis.restart() } else { servers.redis.resume() },
        );
        eventually(PATIENCE, "everything is there again", async || {
            (plaza.client().get("/ready").answer().await.status == 200).then_some(())
        })
        .await;
        let _ = another.client.post("/api/auth/logout").answer().await.is(204);
        another.client.get("/api/profile/me").answer().await.unauthorized();
        let fresh = junho.ticket().await;
        let by_ticket = plaza.client().get("/api/stream").query(&[("ticket", &fresh.ticket)]);
        let opened = plaza_test_support::Stream::open(by_ticket, None).await;
        drop(opened.unwrap_or_else(|refused| panic!("{fault}: {refused}")));
    }
}
