//! Key-value stores in Redis: the same behaviour, entries that end by themselves, and what happens when it is gone.

use std::time::{Duration, Instant};

use plaza_host::{Host, KeyValuePlace};
use plaza_test_servers::Redis;
use redis::AsyncCommands;

use crate::MANIFEST;
use crate::key_value::behaves;
use crate::support::{App, client, settings};

/// How long a call may take, as the tests set it.
const CALL_TIME_MAX: Duration = Duration::from_millis(400);

/// What an answer may take on a busy machine beside that.
const SLACK: Duration = Duration::from_millis(500);

/// How long Redis may take to be found again.
const BACK_DEADLINE: Duration = Duration::from_secs(10);

async fn app(url: &str, age_max: Duration) -> App {
    let url = url.to_owned();
    let change = |settings: &mut plaza_host::HostSettings| {
        settings.redis_url = Some(url);
        settings.limits.key_value_age_max = age_max;
        settings.limits.redis_call_time_max = CALL_TIME_MAX;
    };
    App::with(MANIFEST, change).await
}

/// The server that tests share, and a database in it that only one of them uses.
fn database(number: u8) -> Option<String> {
    Redis::shared().map(|redis| format!("{}/{number}", redis.url()))
}

async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Asks until Redis answers again.
async fn answers_again(app: &App) {
    let began = Instant::now();
    while app.get("/t/kv/default/key").await.status != 200 {
        assert!(began.elapsed() < BACK_DEADLINE, "Redis is back, and is not found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends requests at once. All fail; says how long the slowest took.
async fn all_fail(app: &App, requests: usize) -> Duration {
    let ask = |_| async {
        let began = Instant::now();
        let answer = app.get("/t/kv/default/key").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().starts_with(r#"Error::Other("Redis does not answer"#), "{answer:?}");
        began.elapsed()
    };
    futures::future::join_all((0..requests).map(ask)).await.into_iter().max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_behaves_as_files_do() {
    let Some(url) = database(1) else { return };
    behaves(&app(&url, Duration::from_mins(1)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hosts_count_each_increment_once() {
    let Some(url) = database(2) else { return };
    let hosts = [app(&url, Duration::from_mins(1)).await, app(&url, Duration::from_mins(1)).await];
    let increments = (0..200).map(|number| hosts[number % 2].post("/t/increment/default/n", "1"));
    let mut sums: Vec<u32> = Vec::new();
    for answer in futures::future::join_all(increments).await {
        sums.push(answer.text().parse().unwrap_or_else(|_| panic!("{answer:?}")));
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>());
    // What one has written, the other reads: nothing is kept in between.
    for value in ["1", "2"] {
        hosts[0].send(client("PUT", "/t/kv/default/shared", value)).await;
        assert_eq!(hosts[1].get("/t/kv/default/shared").await.text(), format!("Some({value:?})"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_end_after_their_time() {
    let Some(url) = database(3) else { return };
    let age_max = Duration::from_millis(700);
    let app = app(&url, age_max).await;
    let mut redis = connection(&url).await;
    app.send(client("PUT", "/t/kv/default/set", "x")).await;
    app.send(client("PATCH", "/t/wasi-kv/default/many", "")).await;
    app.post("/t/increment/default/n", "1").await;
    app.post("/t/swap/default/swapped", "x").await;
    for key in ["default:set", "default:many", "default:many+", "default:n", "default:swapped"] {
        let left: i64 = redis.pttl(key).await.unwrap();
        assert!(left > 0 && left <= 700, "{key} has {left} ms left");
    }
    // A write begins its time anew; a read does not.
    let began = Instant::now();
    while began.elapsed() < age_max * 2 {
        app.post("/t/increment/default/n", "1").await;
        app.get("/t/kv/default/set").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.get("/t/kv/default/set").await.text(), "None");
    let n: u32 = app.post("/t/increment/default/n", "1").await.text().parse().unwrap();
    assert!(n > 3, "{n}");
    let ended = Instant::now();
    while app.send(client("OPTIONS", "/t/kv/default", "")).await.text() != "[]" {
        assert!(ended.elapsed() < age_max + SLACK, "something stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_spins_has_the_keys_as_they_are() {
    let Some(url) = database(4) else { return };
    let place = KeyValuePlace::Redis(url.clone());
    let app = App::with(MANIFEST, |settings| {
        settings.places.key_value.insert("default".to_owned(), place);
    })
    .await;
    let mut redis = connection(&url).await;
    let _: () = redis.set("of spin", "1").await.unwrap();
    let _: i64 = redis.incr("counter", 41).await.unwrap();
    assert_eq!(app.get("/t/kv/default/of%20spin").await.text(), "None", "the guest takes the path as it is");
    let _: () = redis.set("of-spin", "1").await.unwrap();
    assert_eq!(app.get("/t/kv/default/of-spin").await.text(), "Some(\"1\")");
    assert_eq!(app.post("/t/increment/default/counter", "1").await.text(), "42");
    app.send(client("PUT", "/t/kv/default/ours", "2")).await;
    assert_eq!(redis.get::<_, String>("ours").await.unwrap(), "2");
    assert!(app.directory.path().join("state/kv/other.db").exists(), "the other store is where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_fails_fast_and_comes_back() {
    let Some(redis) = Redis::start() else { return };
    let app = app(redis.url(), Duration::from_mins(1)).await;
    app.send(client("PUT", "/t/kv/default/key", "value")).await;
    redis.kill();
    assert!(all_fail(&app, 20).await < CALL_TIME_MAX + SLACK);
    assert!(all_fail(&app, 20).await < CALL_TIME_MAX, "nobody waits any longer");
    // A host that starts now starts.
    let late = self::app(redis.url(), Duration::from_mins(1)).await;
    all_fail(&late, 1).await;
    redis.restart();
    answers_again(&app).await;
    answers_again(&late).await;
    assert_eq!(app.get("/t/kv/default/key").await.text(), "Some(\"value\")");
    // A restart between two calls is not even noticed.
    redis.kill();
    redis.restart();
    assert_eq!(app.get("/t/kv/default/key").await.text(), "Some(\"value\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_it_costs_one_call_time_and_then_nothing() {
    let Some(redis) = Redis::start() else { return };
    let app = app(redis.url(), Duration::from_mins(1)).await;
    app.send(client("PUT", "/t/kv/default/key", "value")).await;
    redis.pause();
    let first = all_fail(&app, 20).await;
    assert!(first >= CALL_TIME_MAX && first < CALL_TIME_MAX + SLACK, "{first:?}");
    let next = all_fail(&app, 20).await;
    assert!(next < CALL_TIME_MAX / 2, "{next:?}");
    redis.resume();
    answers_again(&app).await;
    assert_eq!(app.get("/t/kv/default/key").await.text(), "Some(\"value\")");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_being_shown() {
    let directory = tempfile::tempdir().unwrap();
    let change =
        |settings: &mut plaza_host::HostSettings| settings.redis_url = Some("http://:hunter2@127.0.0.1".to_owned());
    let error = Host::start(settings(directory.path(), MANIFEST, change)).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("redis://") && !error.contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_it_talks_to_nobody_else() {
    let Some(redis) = Redis::shared() else { return };
    // Nobody answers in TLS there, and nobody may get anything in plain text.
    let app = app(&redis.url().replace("redis://", "rediss://"), Duration::from_mins(1)).await;
    all_fail(&app, 1).await;
}
