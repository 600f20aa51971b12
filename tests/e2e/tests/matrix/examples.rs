//! Every example of the document works, and the answer is as the document has it.

use crate::world::{EVENTS_KEY, OPERATOR_EMAIL, World, call};
use plaza_e2e::routes::{Access, Operation};
use plaza_e2e::town::Town;
use plaza_test_support::{Client, Credentials};
use tokio::sync::OnceCell;

/// The one who is told to Plaza as its operator.
async fn operator(world: &World) -> Client {
    static OPERATOR: OnceCell<String> = OnceCell::const_new();
    let token = OPERATOR.get_or_init(async || {
        let credentials = Credentials {
            email: OPERATOR_EMAIL.to_owned(),
            username: "operator".to_owned(),
            password: "correct horse battery".to_owned(),
        };
        credentials.register(&world.plaza.client()).await;
        credentials.log_in(&world.plaza.client()).await.access_token
    });
    world.plaza.client().with_token(token.await)
}

/// Whoever may call this operation.
async fn caller(world: &World, town: &Town, operation: &Operation) -> Client {
    let anonymous = world.plaza.client();
    match operation.access {
        Access::Public => anonymous,
        Access::Token if operation.id == "getStats" => operator(world).await,
        Access::Token | Access::TokenOrTicket => town.client("minji"),
        Access::EventsKey => anonymous.with_token(EVENTS_KEY),
    }
}

#[tokio::test]
async fn every_example_works() {
    let world = tokio::task::spawn_blocking(World::shared).await.expect("the start does not panic");
    let quiet = world.town().await;
    for id in quiet.operations().iter().map(|operation| operation.id.clone()) {
        let examples = quiet.operation(&id).bodies().len().max(1);
        for example in 0..examples {
            // What changes something has a town of its own.
            let only_reads = quiet.operation(&id).only_reads();
            let town = if only_reads { quiet.clone() } else { world.town().await };
            let operation = town.operation(&id);
            let client = caller(world, &town, &operation).await;
            match call(&client, &operation, operation.bodies().get(example)).await {
                Err(status) => assert_eq!(status, 200),
                Ok(answer) => {
                    assert!(answer.status.is_success(), "{id}, example {example}: {answer}");
                    town.check(&operation, &answer);
                }
            }
        }
    }
}
