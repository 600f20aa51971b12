//! Tickets, and what is ready.

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Refused, Stream};
use serde_json::Value;

pub(crate) async fn a_ticket_used_at_once_is_good_once(world: &World) {
    let anna = world.person("anna").await;
    for _ in 0..4 {
        let ticket = anna.ticket().await.ticket;
        let open = || Stream::open(world.client().get(format!("/api/stream?ticket={ticket}")), None);
        let opened = join_all((0..8).map(|_| open())).await;
        assert_eq!(opened.iter().filter(|stream| stream.is_ok()).count(), 1, "one of eight has it");
        for refused in opened.into_iter().filter_map(Result::err).chain(open().await.err()) {
            let Refused::Answer(answer) = refused else { panic!("{refused}") };
            answer.problem(401, "invalid_ticket");
        }
    }
}

pub(crate) async fn every_store_is_named(world: &World) {
    let answer = world.client().get("/ready").answer().await;
    let ready: Value = answer.read();
    for store in [
        "database:user",
        "database:friend",
        "database:chat",
        "database:notification",
        "key-value:sessions",
        "key-value:tickets",
    ] {
        assert_eq!(ready["checks"][store], "ok", "{answer}");
    }
}
