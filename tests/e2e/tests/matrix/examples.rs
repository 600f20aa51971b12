//! Every example of the document works, and the answer is as the document has it.

use crate::world::{EVENTS_KEY, World, call};
use plaza_e2e::routes::{Access, Operation};
use plaza_e2e::town::Town;
use plaza_test_support::Client;

/// Whoever may call this operation.
pub(crate) fn caller(town: &Town, anonymous: &Client, operation: &Operation) -> Client {
    match operation.access {
        Access::Public => anonymous.clone(),
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
            let client = caller(&town, &world.plaza.client(), &operation);
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
