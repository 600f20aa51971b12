//! How many requests a second the host answers on one core, in this process: no network, a component that does nothing.
//!
//! `cargo run --release -p plaza-host --example bench -- [seconds] [path] [tasks]`, for example `-- 5 /t/hello 1`. It builds the
//! component of the tests, which needs the target wasm32-wasip2.
#![allow(clippy::print_stdout)]

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "bench"
[[trigger.http]]
route = "/t/..."
component = "guest"
[component.guest]
source = "GUEST"
key_value_stores = ["default"]
sqlite_databases = ["default"]
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(3.0);
    let path = arguments.next().unwrap_or_else(|| "/t/hello".to_owned());
    let tasks = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(1_u32);
    support::guest();
    let started = Instant::now();
    let app = support::App::start(MANIFEST).await;
    println!(
        "start: {:.1} ms (compiled: {}), resident {} MiB",
        started.elapsed().as_secs_f64() * 1e3,
        !app.host.components()[0].from_cache,
        resident_mib(),
    );
    let first = Instant::now();
    let answer = app.get(&path).await;
    println!("first call: {:.2} ms, status {}", first.elapsed().as_secs_f64() * 1e3, answer.status);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let caller = || async {
        let mut took = Vec::new();
        while Instant::now() < until {
            let begin = Instant::now();
            let answer = app.get(&path).await;
            took.push(begin.elapsed());
            assert!(answer.status < 500, "{answer:?}");
        }
        took
    };
    let begin = Instant::now();
    let mut took: Vec<_> =
        futures::future::join_all((0..tasks).map(|_| caller())).await.into_iter().flatten().collect();
    let elapsed = begin.elapsed().as_secs_f64();
    took.sort_unstable();
    // A count of calls is far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let calls = took.len() as f64;
    println!("{calls} calls, {:.0} a second, {:.1} µs each", calls / elapsed, elapsed * 1e6 / calls);
    for (name, part) in [("P50", 500), ("P99", 990), ("P99.9", 999)] {
        println!("{name} {:.1} µs", took[took.len() * part / 1000].as_secs_f64() * 1e6);
    }
    println!("resident {} MiB", resident_mib());
}

/// What this process keeps in memory (`VmRSS` of proc(5)), in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() >> 10
}
