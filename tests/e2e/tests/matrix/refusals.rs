//! Every operation, asked by each of those who may not, or not everything.

use crate::table::{Cell, Row, rows};
use crate::world::World;
use plaza_e2e::example::call;
use plaza_e2e::forge;
use plaza_e2e::town::Town;
use plaza_test_support::{Client, PATIENCE, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who asks, with the example that is meant for Minji.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Somebody without a token.
    NoToken,
    /// Minji's token, with a broken signature.
    BadToken,
    /// Minji's token, if it were old.
    ExpiredToken,
    /// A token of a session of Minji's that has ended.
    RevokedSession,
    /// Junho: the sessions, requests and messages are Minji's, but he is in her rooms.
    Another,
    /// Haru, who is in none of the rooms.
    Outsider,
    /// Minji herself, whom Junho and Seoyeon have blocked.
    Blocked,
}

const EVERYBODY: [Who; 7] =
    [Who::NoToken, Who::BadToken, Who::ExpiredToken, Who::RevokedSession, Who::Another, Who::Outsider, Who::Blocked];

impl Row {
    fn cell(&self, who: Who) -> Cell {
        match who {
            Who::NoToken => self.no_token,
            Who::BadToken => self.bad_token,
            Who::ExpiredToken => self.expired_token,
            Who::RevokedSession => self.revoked_session,
            Who::Another => self.another,
            Who::Outsider => self.outsider,
            Who::Blocked => self.blocked,
        }
    }
}

/// A town, and who asks in it.
struct Scene {
    town: Town,
    revoked: String,
}

impl Scene {
    async fn new(world: &World, who: Who) -> Self {
        let town = world.town().await;
        let login = town.operation("logInByJson");
        let answer = call(&world.plaza.client(), &login, login.bodies().first()).await.expect("no stream");
        let tokens: plaza_test_support::Tokens = answer.ok(200);
        let revoked = tokens.access_token;
        let answer = world.plaza.client().with_token(&revoked).post("/api/auth/logout").answer().await;
        assert_eq!(answer.status, 204, "{answer}");
        if who == Who::Blocked {
            for blocker in ["junho", "seoyeon"] {
                let me: Value = town.client("minji").get("/api/profile/me").answer().await.ok(200);
                let body = json!({ "user_id": me["id"] });
                let answer = town.client(blocker).post("/api/friends/blocks").json(&body).answer().await;
                assert!(answer.status.is_success(), "{answer}");
            }
            // The chat context learns of it by an event. The same words again are no edit.
            let edit = town.operation("editMessage");
            let same = json!({ "content": "안녕, 준호!" });
            eventually(PATIENCE, "the block in the chat", async || {
                let answer = town.client("minji").patch(edit.example_path()).json(&same).answer().await;
                (answer.status == 403).then_some(())
            })
            .await;
        }
        Self { town, revoked }
    }

    fn client(&self, world: &World, who: Who) -> Client {
        let anonymous = world.plaza.client();
        let token = self.town.real("minji-access-token");
        match who {
            Who::NoToken => anonymous,
            Who::BadToken => anonymous.with_token(&forge::broken_signature(token)),
            Who::ExpiredToken => anonymous.with_token(&world.expired(token)),
            Who::RevokedSession => anonymous.with_token(&self.revoked),
            Who::Another => self.town.client("junho"),
            Who::Outsider => self.town.client("haru"),
            Who::Blocked => self.town.client("minji"),
        }
    }
}

#[tokio::test]
async fn every_operation_refuses_whom_it_must() {
    let world = tokio::task::spawn_blocking(World::shared).await.expect("the start does not panic");
    let rows = rows();
    let document = world.town().await;
    let described: BTreeSet<String> = document.operations().into_iter().map(|operation| operation.id).collect();
    let in_table: BTreeSet<String> = rows.iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(described, in_table, "left: the document, right: the table");
    assert_eq!(rows.len(), in_table.len(), "an operation has two rows");

    let mut wrong = Vec::new();
    for who in EVERYBODY {
        // Who is refused changes nothing.
        let quiet = Scene::new(world, who).await;
        for row in &rows {
            let expected = row.cell(who);
            let changes = expected.0 < 300 && !quiet.town.operation(row.operation).only_reads();
            let own = if changes { Some(Scene::new(world, who).await) } else { None };
            let scene = own.as_ref().unwrap_or(&quiet);
            let operation = scene.town.operation(row.operation);
            let given = match call(&scene.client(world, who), &operation, operation.bodies().first()).await {
                Err(status) => (status, String::new()),
                Ok(answer) => {
                    scene.town.check(&operation, &answer);
                    let code = serde_json::from_slice(&answer.body)
                        .ok()
                        .and_then(|body: Value| body["code"].as_str().map(str::to_owned));
                    (answer.status.as_u16(), code.unwrap_or_default())
                }
            };
            if given != (expected.0, expected.1.to_owned()) {
                wrong.push(format!("{} for {who:?}: {given:?}, not {expected:?}", row.operation));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
