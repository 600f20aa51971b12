//! Everything that Plaza stands on and is made of is killed, frozen and restarted at random while clients write and streams
//! resume. Afterwards every message that was answered is there once, every stream has brought each once and in order, and
//! there is one notification of each for everyone whom it concerns.

use std::thread;
use std::time::{Duration, Instant};

use plaza_e2e::load::Load;
use plaza_production::Site;
use plaza_test_support::{Seed, eventually};

/// How long it goes on: `PLAZA_CHAOS_SECONDS`, or this. `scripts/chaos` goes on longer.
const SECONDS_DEFAULT: u64 = 60;

/// Brokers of the cluster: one may be gone at any time, and what was acknowledged is on another.
const BROKERS: usize = 3;

/// Between the end of a fault and the next.
const PAUSE_MS: std::ops::Range<u64> = 200..2_500;

/// How long something is gone, or frozen.
const FAULT_MS: std::ops::Range<u64> = 100..6_000;

/// How long everything may take to be itself again after the last fault.
const RECOVERY: Duration = Duration::from_mins(2);

/// What is done to a victim.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Freeze,
    /// SIGTERM, and a start when it has ended.
    Restart,
}

/// Whom it is done to.
#[derive(Clone, Copy)]
enum Victim {
    Broker(usize),
    Database,
    Redis,
    Part(usize),
}

fn victims(site: &Site) -> Vec<Victim> {
    let brokers = (0..BROKERS).map(Victim::Broker);
    let parts = (0..site.parts.len()).map(Victim::Part);
    brokers.chain([Victim::Database, Victim::Redis]).chain(parts).collect()
}

fn name(site: &Site, victim: Victim) -> String {
    match victim {
        Victim::Broker(number) => format!("broker {}", number + 1),
        Victim::Database => "database".to_owned(),
        Victim::Redis => "redis".to_owned(),
        Victim::Part(part) => site.parts[part].0.to_owned(),
    }
}

/// Does it, waits, and undoes it.
fn harm(site: &mut Site, victim: Victim, fault: Fault, lasting: Duration) {
    match (victim, fault) {
        (Victim::Part(part), Fault::Kill) => {
            site.parts[part].1.kill();
            thread::sleep(lasting);
            site.parts[part].1.restart();
        }
        (Victim::Part(part), Fault::Restart) => {
            let status = site.parts[part].1.stop();
            assert!(status.success(), "{} stopped with {status}", site.parts[part].0);
            site.parts[part].1.restart();
        }
        (Victim::Part(part), Fault::Freeze) => {
            site.parts[part].1.freeze();
            thread::sleep(lasting);
            site.parts[part].1.thaw();
        }
        (server, fault) => harm_server(site, server, fault, lasting),
    }
}

fn harm_server(site: &Site, victim: Victim, fault: Fault, lasting: Duration) {
    let (server, process): (&plaza_test_servers::Server, usize) = match victim {
        Victim::Broker(number) => (&site.servers.kafka, number),
        Victim::Database => (&site.servers.mariadb, 0),
        _ => (&site.servers.redis, 0),
    };
    if matches!(fault, Fault::Freeze) {
        server.pause_one(process);
        thread::sleep(lasting);
        server.resume_one(process);
    } else {
        server.kill_one(process);
        thread::sleep(lasting);
        server.restart();
    }
}

/// Harms one after another until the time is over, and gives the site back, whole.
fn rage(mut site: Site, lasting: Duration, mut rng: fastrand::Rng) -> Site {
    let began = Instant::now();
    // Everybody's turn comes, in an order of its own each time.
    let mut turns = Vec::new();
    let mut faults = 0;
    while began.elapsed() < lasting {
        thread::sleep(Duration::from_millis(rng.u64(PAUSE_MS)));
        if turns.is_empty() {
            turns = victims(&site);
            rng.shuffle(&mut turns);
        }
        let Some(victim) = turns.pop() else { break };
        let fault = [Fault::Kill, Fault::Freeze, Fault::Restart][rng.usize(..3)];
        let gone = Duration::from_millis(rng.u64(FAULT_MS));
        eprintln!("{:>6.1} s  {:<12} {fault:?} for {gone:?}", began.elapsed().as_secs_f64(), name(&site, victim));
        harm(&mut site, victim, fault, gone);
        faults += 1;
    }
    eprintln!("{faults} faults in {:?}", began.elapsed());
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_is_lost_doubled_or_out_of_order() {
    let seed = Seed::from_env();
    eprintln!("{seed}");
    let seconds = std::env::var("PLAZA_CHAOS_SECONDS");
    let seconds = seconds.map_or(SECONDS_DEFAULT, |text| text.parse().expect("PLAZA_CHAOS_SECONDS is a number"));
    let lasting = Duration::from_secs(seconds);
    let site = tokio::task::spawn_blocking(|| Site::start(BROKERS)).await.expect("everything starts");
    let doors = site.doors();
    let load = Load::begin(&doors, seed).await;
    let rng = seed.rng(0);
    let site = tokio::task::spawn_blocking(move || rage(site, lasting, rng)).await;
    let site = site.expect("everything that is started again becomes ready");
    for (name, part) in &site.parts {
        eventually(RECOVERY, &format!("{name} is ready"), async || {
            let answer = part.client().get("/ready").send().await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    let sum = load.end().await;
    eprintln!("{sum:?}");
    assert_eq!(sum.repeats, 0, "a stream brought a message again");
    drop(site);
}
