//! Every example of the document works, and the answer is as the document has it.

use crate::world::World;
use plaza_e2e::example;

#[tokio::test]
async fn every_example_works() {
    let world = tokio::task::spawn_blocking(World::shared).await.expect("the start does not panic");
    let operator = example::operator(&world.plaza.client()).await;
    let quiet = world.town().await;
    for id in quiet.operations().iter().map(|operation| operation.id.clone()) {
        let examples = quiet.operation(&id).bodies().len().max(1);
        for example in 0..examples {
            // What changes something has a town of its own.
            let only_reads = quiet.operation(&id).only_reads();
            let town = if only_reads { quiet.clone() } else { world.town().await };
            let operation = town.operation(&id);
            let client = example::caller(&town, &operation, &operator);
            match example::call(&client, &operation, operation.bodies().get(example)).await {
                Err(status) => assert_eq!(status, 200),
                Ok(answer) => {
                    assert!(answer.status.is_success(), "{id}, example {example}: {answer}");
                    town.check(&operation, &answer);
                }
            }
        }
    }
}
