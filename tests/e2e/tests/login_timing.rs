//! A failed login takes as long for a name that exists as for one that does not. Alone in its binary: nothing else
//! uses the server meanwhile.

use plaza_e2e::statistics::{mann_whitney_z, median};
use plaza_test_support::{Credentials, PASSWORD_COST_IN_PRODUCTION, Person, Plaza, Seed};
use serde_json::json;

/// Measurements of each kind; above 30 the normal approximation of the test is good.
const SAMPLES: usize = 40;

/// Attempts before the measurement: caches, connections and the code itself are warm then.
const WARM_UP: usize = 4;

/// Beyond this the two kinds differ: by chance it happens about once in 16,000 runs.
const Z_MAX: f64 = 4.0;

/// A difference of medians below this share of the whole is below what can be told apart through a network, however
/// surely it is measured on one machine. A skipped password hash is far above: it is most of the time of a login.
const RELATIVE_DIFFERENCE_MAX: f64 = 0.05;

#[tokio::test]
async fn a_failed_login_takes_as_long_for_nobody_as_for_somebody() {
    let plaza = Plaza::options().variable("password_cost", PASSWORD_COST_IN_PRODUCTION).start();
    let plaza = plaza.unwrap_or_else(|why| panic!("{why}"));
    let seed = Seed::from_env();
    let client = plaza.client();
    let anna = Person::new(&client, "anna").await;
    let attempt = async |email: &str| {
        let body = json!({ "email": email, "password": "not the password" });
        let answer = client.post("/api/auth/login/json").json(&body).answer().await;
        answer.problem(401, "invalid_credentials");
        answer.took.as_secs_f64() * 1e3
    };
    let (mut known_ms, mut unknown_ms) = (Vec::new(), Vec::new());
    let mut rng = seed.rng(0);
    for round in 0..WARM_UP + SAMPLES {
        // As long as the known one, so that not even the size of the request differs.
        let nobody = Credentials::unique("anna").email;
        // Interleaved, in random order within each pair: whatever drifts meets both alike.
        let known_first = rng.bool();
        let first = attempt(if known_first { &anna.credentials.email } else { &nobody }).await;
        let second = attempt(if known_first { &nobody } else { &anna.credentials.email }).await;
        if round >= WARM_UP {
            known_ms.push(if known_first { first } else { second });
            unknown_ms.push(if known_first { second } else { first });
        }
    }
    let z = mann_whitney_z(&known_ms, &unknown_ms);
    let (known, unknown) = (median(&known_ms), median(&unknown_ms));
    let relative = (known - unknown).abs() / known.max(unknown);
    eprintln!("{seed}");
    eprintln!("a failed login: {known:.1} ms for a known name, {unknown:.1} ms for an unknown one, z = {z:.2}");
    assert!(
        z.abs() < Z_MAX || relative < RELATIVE_DIFFERENCE_MAX,
        "who exists shows in the time: medians {known:.2} and {unknown:.2} ms, z = {z:.2}\n{known_ms:.1?}\n{unknown_ms:.1?}"
    );
}
