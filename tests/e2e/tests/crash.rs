//! `kill -9` at random moments under load, again and again: what was answered is kept, once, and everyone hears of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plaza_e2e::load::Load;
use plaza_test_support::{Person, Plaza, Room, Seed, unique};

/// How often the server is killed: `PLAZA_CRASH_ROUNDS`, or this.
const ROUNDS_DEFAULT: u32 = 25;

/// The server lives between these many milliseconds after it became ready: from "nothing has happened yet" to long
/// enough that writes, publishing, consumers and streams are all under way.
const LIFE_MS: std::ops::Range<u64> = 0..900;

/// One crash in so many is followed by another while the server starts again.
const RECOVERY_CRASH_ONE_IN: u8 = 3;

/// A start takes about 150 ms, so such a crash comes before, during or just after the recovery.
const RECOVERY_LIFE_MS: std::ops::Range<u64> = 0..250;

fn rounds() -> u32 {
    std::env::var("PLAZA_CRASH_ROUNDS")
        .map_or(ROUNDS_DEFAULT, |text| text.parse().expect("PLAZA_CRASH_ROUNDS is a number"))
}

/// Prints what repeats the run when it fails. Not the same moments, though: those are the machine's.
struct PrintOnFailure(Seed);

impl Drop for PrintOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Kills and restarts the server so many times and gives it back, running.
fn crash(mut plaza: Plaza, rounds: u32, mut rng: fastrand::Rng) -> Plaza {
    for round in 1..=rounds {
        let life = Duration::from_millis(rng.u64(LIFE_MS));
        // Not waiting for anything: the moment is the random choice.
        std::thread::sleep(life);
        plaza.kill();
        if rng.u8(0..RECOVERY_CRASH_ONE_IN) == 0 {
            plaza.start_and_kill(Duration::from_millis(rng.u64(RECOVERY_LIFE_MS)));
        }
        plaza.restart();
        eprintln!("round {round} of {rounds}: killed {life:?} after it was ready, back in {:?}", plaza.started_in());
    }
    plaza
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_by_crashes() {
    let seed = Seed::from_env();
    let _print = PrintOnFailure(seed);
    let rounds = rounds();
    let plaza = tokio::task::spawn_blocking(Plaza::start).await.expect("the start does not panic");
    let load = Load::begin(&[plaza.client()], seed).await;
    let rng = seed.rng(0);
    let plaza = tokio::task::spawn_blocking(move || crash(plaza, rounds, rng)).await;
    let plaza = plaza.expect("every restart becomes ready");
    let sum = load.end().await;
    let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
    assert!(sum.messages > rounds, "too little was written to mean anything: {sum:?}");
    // A server that is killed at once again may have had no stream to end.
    assert!(sum.connections_min > rounds / 2, "hardly a kill ended a stream: {sum:?}");
    drop(plaza);
}

/// Kills while requests are repeated under their keys until they are answered.
const KEYED_ROUNDS: u32 = 8;

/// Pause before a request is repeated.
const REPEAT_PAUSE: Duration = Duration::from_millis(10);

/// Makes a room after the other until told to stop, each under a key of its own; returns their ids as they were answered, and how
/// many of those answers were repeated ones.
async fn make_rooms(person: &Person, other: &str, stop: &AtomicBool) -> (Vec<String>, usize) {
    let (mut made, mut repeated) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let key = unique("key");
        let body = serde_json::json!({ "room_type": "group", "participant_ids": [other], "name": key });
        loop {
            let call = person.client.post("/api/chat-rooms").json(&body).header("idempotency-key", &key);
            match call.send().await {
                Ok(answer) if answer.status == 201 => {
                    repeated += usize::from(answer.header("idempotency-replayed") == "true");
                    made.push(answer.read::<Room>().id);
                    break;
                }
                Ok(answer) => assert_eq!(answer.status, 503, "{answer}"),
                Err(_) => tokio::time::sleep(REPEAT_PAUSE).await,
            }
        }
    }
    (made, repeated)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeated_under_its_key_until_it_is_answered_is_made_once() {
    let seed = Seed::from_env();
    let _print = PrintOnFailure(seed);
    let plaza = tokio::task::spawn_blocking(Plaza::start).await.expect("the start does not panic");
    let client = plaza.client();
    let (anna, ben) = tokio::join!(Person::new(&client, "anna"), Person::new(&client, "ben"));
    let (rng, stop) = (seed.rng(0), AtomicBool::new(false));
    let crashes = async {
        let plaza = tokio::task::spawn_blocking(move || crash(plaza, KEYED_ROUNDS, rng)).await;
        stop.store(true, Ordering::Relaxed);
        plaza.expect("every restart becomes ready")
    };
    let ((mut made, one), (more, two), (rest, three), _plaza) = tokio::join!(
        make_rooms(&anna, ben.id(), &stop),
        make_rooms(&anna, ben.id(), &stop),
        make_rooms(&anna, ben.id(), &stop),
        crashes
    );
    made.extend(more.into_iter().chain(rest));
    eprintln!(
        "{} rooms, {} of them were there before the answer that was lost in a crash",
        made.len(),
        one + two + three
    );
    assert!(made.len() > KEYED_ROUNDS as usize, "too little was made to mean anything: {}", made.len());
    let mut there: Vec<String> = anna.all::<Room>("/api/chat-rooms?x=").await.into_iter().map(|room| room.id).collect();
    made.sort_unstable();
    there.sort_unstable();
    assert_eq!(made, there, "what was answered is there, once, and nothing else");
}
