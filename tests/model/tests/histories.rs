//! Whatever several people do, in whatever order: Plaza answers as a model in memory does, shows what it shows, and has told
//! everybody of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plaza_test_model::{Outcome, PEOPLE, Step, Town};
use plaza_test_support::{Client, PATIENCE, Plaza, Seed};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Runtime;

/// How many histories: `PLAZA_MODEL_HISTORIES`, or this.
const HISTORIES_DEFAULT: u32 = 200;

/// The most steps of one.
const STEPS_MAX: usize = 40;

/// With how many it begins at most that bring people together.
const MEETINGS_MAX: usize = 4;

/// How many histories are played at the same time.
const AT_ONCE: u32 = 8;

/// One in so many steps everything is compared, besides at the end.
const COMPARED_EVERY: usize = 20;

/// How long somebody is online whose stream has ended, in milliseconds: short, so that it can be waited for.
const PRESENCE_GRACE_MS: &str = "200";

/// How long what follows may take while a history that failed is made shorter: what fails by not coming is awaited once for each try.
const PATIENCE_SHORTENING: Duration = Duration::from_secs(2);

/// How long a history is made shorter for at most, in milliseconds.
const SHORTENING_MS_MAX: u32 = 120_000;

fn histories() -> u32 {
    std::env::var("PLAZA_MODEL_HISTORIES")
        .map_or(HISTORIES_DEFAULT, |text| text.parse().expect("PLAZA_MODEL_HISTORIES is a number"))
}

/// A history: what is done, and whose account goes at its end, if anybody's does.
type History = (Vec<Step>, Option<usize>);

async fn play(client: &Client, (steps, vanishes): &History, patience: Duration) -> Outcome {
    let mut town = Town::new(client, patience).await?;
    for (n, step) in steps.iter().enumerate() {
        town.play(*step).await.map_err(|why| format!("step {n}: {why}"))?;
        if n % COMPARED_EVERY == COMPARED_EVERY - 1 {
            town.compare().await.map_err(|why| format!("after step {n}: {why}"))?;
        }
    }
    town.gather().await?;
    town.compare().await.map_err(|why| format!("at the end: {why}"))?;
    if let Some(who) = vanishes {
        town.vanish(*who).await?;
        town.compare().await.map_err(|why| format!("with person {who} gone: {why}"))?;
    }
    Ok(())
}

fn history() -> impl Strategy<Value = History> {
    let meetings = prop::collection::vec(Step::meeting(), 0..=MEETINGS_MAX);
    let steps = prop::collection::vec(Step::any(), 1..=STEPS_MAX - MEETINGS_MAX);
    let steps = (meetings, steps).prop_map(|(meetings, steps)| [meetings, steps].concat());
    (steps, prop::option::weighted(0.3, 0..PEOPLE))
}

/// Plays many histories, one after another; what failed, as short as it could be made.
fn play_many(client: &Client, runtime: &Runtime, count: u32, seed: &[u8; 32], any_failed: &AtomicBool) -> Outcome {
    let config = Config {
        cases: count,
        max_shrink_time: SHORTENING_MS_MAX,
        max_shrink_iters: u32::MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, seed));
    let failed = AtomicBool::new(false);
    let outcome = runner.run(&history(), |history| {
        let shortening = failed.load(Ordering::Relaxed);
        // One failure is enough: the others stop.
        if !shortening && any_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let patience = if shortening { PATIENCE_SHORTENING } else { PATIENCE };
        // A call that does not succeed panics: that fails the history, too.
        let played = std::panic::AssertUnwindSafe(|| runtime.block_on(play(client, &history, patience)));
        let outcome =
            std::panic::catch_unwind(played).unwrap_or_else(|_| Err("a call failed, as said above".to_owned()));
        let Err(why) = outcome else { return Ok(()) };
        if !shortening && any_failed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        failed.store(true, Ordering::Relaxed);
        Err(TestCaseError::fail(why))
    });
    outcome.map_err(|failure| failure.to_string())
}

#[test]
fn plaza_does_what_the_model_says() {
    let plaza = Plaza::options().variable("presence_grace_ms", PRESENCE_GRACE_MS).start();
    let plaza = plaza.unwrap_or_else(|why| panic!("{why}"));
    let client = plaza.client();
    let runtime = Runtime::new().expect("a runtime");
    let seed = Seed::from_env();
    let failed = AtomicBool::new(false);
    let count = histories().div_ceil(AT_ONCE);
    let play_some = |stream: u32| {
        let mut bytes = [0; 32];
        seed.rng(stream.into()).fill(&mut bytes);
        play_many(&client, &runtime, count, &bytes, &failed)
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let play_some = &play_some;
        let players: Vec<_> = (0..AT_ONCE).map(|stream| scope.spawn(move || play_some(stream))).collect();
        players.into_iter().filter_map(|player| player.join().expect("a player does not panic").err()).collect()
    });
    assert!(failures.is_empty(), "{seed}\n{}", failures.join("\n\n"));
}
