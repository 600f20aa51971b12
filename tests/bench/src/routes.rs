//! How long every route takes, one request at a time: each operation of the OpenAPI document with its first example.
//!
//! What only reads is asked again and again in one town; what changes something has a new town each time, because it can be done
//! once. Operations that hash a password do it at the cost of production.

use plaza_e2e::example::{self, EVENTS_KEY, OPERATOR_EMAIL};
use plaza_e2e::routes::{self, Operation};
use plaza_e2e::town::Town;
use plaza_test_support::{Client, PASSWORD_COST_IN_PRODUCTION, Plaza, Stack};
use std::time::Instant;

use crate::Outcome;
use crate::load::Latencies;
use crate::report::Figure;

/// Requests of one that reads.
const READS: usize = 200;

/// Requests of one that changes something.
const WRITES: usize = 20;

/// Requests before it is measured.
const WARM_UP: usize = 5;

/// What hashes a password.
const HASHES: [&str; 5] = ["register", "logIn", "logInByJson", "changePassword", "deleteAccount"];

/// Measures each, in so many runs.
pub(crate) async fn measure(runs: usize, stack: &Stack, outcome: &mut Outcome) -> Result<(), String> {
    let options =
        || Plaza::options().stack(stack).variable("events_key", EVENTS_KEY).variable("operators", OPERATOR_EMAIL);
    let cheap = options().start()?;
    let dear = options().variable("password_cost", PASSWORD_COST_IN_PRODUCTION).start()?;
    let mut routes = Vec::new();
    for plaza in [&cheap, &dear] {
        routes.push(Routes::new(plaza).await);
    }
    for operation in routes::operations() {
        let route = &routes[usize::from(HASHES.contains(&operation.id.as_str()))];
        let mut medians = Vec::new();
        let mut worst = Vec::new();
        for _ in 0..runs {
            let latencies = route.latencies(&operation.id, outcome).await;
            medians.push(latencies.ms(0.50));
            worst.push(latencies.ms(0.95));
        }
        let what = format!("{} {}", operation.method, operation.route);
        outcome.figures.push(Figure::new(format!("{what}, P50"), "ms", &medians));
        outcome.figures.push(Figure::new(format!("{what}, P95"), "ms", &worst));
    }
    Ok(())
}

struct Routes {
    client: Client,
    operator: Client,
    quiet: Town,
}

impl Routes {
    async fn new(plaza: &Plaza) -> Self {
        let client = plaza.client();
        let operator = example::operator(&client).await;
        let quiet = Town::build(&client, &routes::document()).await;
        Self { client, operator, quiet }
    }

    async fn latencies(&self, id: &str, outcome: &mut Outcome) -> Latencies {
        let only_reads = self.quiet.operation(id).only_reads();
        let mut latencies = Latencies::new();
        for number in 0..WARM_UP + if only_reads { READS } else { WRITES } {
            let own = if only_reads { None } else { Some(Town::build(&self.client, &routes::document()).await) };
            let town = own.as_ref().unwrap_or(&self.quiet);
            let operation: Operation = town.operation(id);
            let client = example::caller(town, &operation, &self.operator);
            let body = operation.bodies().into_iter().next();
            let started = Instant::now();
            let answer = example::call(&client, &operation, body.as_ref()).await;
            let took = started.elapsed();
            let status = answer.map_or_else(|status| status, |answer| answer.status.as_u16());
            if status >= 300 {
                outcome.faults.push(format!("{id} was answered {status}"));
                break;
            }
            if number >= WARM_UP {
                latencies.record(took);
            }
        }
        latencies
    }
}
