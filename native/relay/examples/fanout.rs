//! How many deliveries a second the relay makes: many subscribers of one channel, over TCP, in a process of their own beside it.
//!
//! `cargo run --release -p plaza-relay --example fanout -- [subscribers] [records a second, …]`
//!
//! Prints for each rate what was delivered, and the time from the record's publication until its frame was read.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "statistics of a few seconds"
)]

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use plaza_http::{Body, Server, ServerSettings, Upstream, full};
use plaza_relay::{Action, Published, Relay, Settings, memory::MemoryLog};
use std::{
    error::Error,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

/// How long each rate is kept up.
const PHASE: Duration = Duration::from_secs(5);

/// Publications come in steps of this length, all records of a step at once, as from a log that is polled.
const STEP: Duration = Duration::from_millis(2);

/// Bytes of a message's text: with the rest of the record a usual chat message.
const TEXT: usize = 160;

type Failure = Box<dyn Error + Send + Sync>;

struct Hold;

impl Upstream for Hold {
    fn call(&self, _request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-store")
            .header("grip-hold", "stream")
            .header("grip-channel", "message.events:1")
            .body(full(""))
            .unwrap_or_default();
        Box::pin(async move { response })
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workers = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    if let [role, addr, subscribers, phases] = arguments.as_slice()
        && role == "subscribe"
    {
        return runtime.block_on(subscribe(addr.clone(), subscribers.parse()?, phases.parse()?));
    }
    let subscribers = arguments.first().map_or(Ok(1_000), |argument| argument.parse())?;
    let rates = if arguments.len() > 1 {
        arguments[1..].iter().map(|it| it.parse()).collect::<Result<_, _>>()?
    } else {
        vec![50, 150, 250, 350]
    };
    runtime.block_on(publish(subscribers, rates))
}

async fn publish(subscribers: usize, rates: Vec<u32>) -> Result<(), Failure> {
    let log = MemoryLog::new(&[
        ("chat.events", 3),
        ("friend.events", 3),
        ("message.events", 10),
        ("notification.events", 3),
        ("user.online_status", 6),
    ]);
    let settings = Settings { streams_max: subscribers, ..Settings::default() };
    let relay = Arc::new(Relay::start(Arc::new(Hold), Arc::new(log.clone()), settings).await?);
    let (server, addr) = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default())?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(Arc::clone(&relay) as Arc<dyn Upstream>, stop.clone()));
    let mut child = Command::new(std::env::current_exe()?)
        .args(["subscribe", &addr.to_string(), &subscribers.to_string(), &rates.len().to_string()])
        .stdout(Stdio::inherit())
        .spawn()?;
    while relay.streams() < subscribers {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{subscribers} subscribers of one channel, {} s at each rate", PHASE.as_secs());
    let text = "x".repeat(TEXT);
    for (phase, rate) in rates.iter().enumerate() {
        let (started, cpu, mut sent) = (Instant::now(), cpu_seconds(), 0_u32);
        let mut steps = tokio::time::interval(STEP);
        while started.elapsed() < PHASE {
            steps.tick().await;
            let due = (started.elapsed().as_secs_f64() * f64::from(*rate)) as u32;
            let now = now_ns();
            log.append(
                (sent..due).map(|n| record(&format!(r#"{{"t":{now:020},"p":{phase:03},"n":{n},"text":"{text}"}}"#))),
            );
            sent = due;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let per_second = f64::from(sent) * subscribers as f64 / (cpu_seconds() - cpu);
        println!(
            "{rate}/s: {per_second:.0} deliveries per second of the relay's processor time; streams left {}",
            relay.streams()
        );
    }
    log.append([record(r#"{"done":true}"#)]);
    tokio::task::spawn_blocking(move || child.wait()).await??;
    relay.shutdown(Duration::from_secs(5)).await;
    stop.cancel();
    serving.await?;
    Ok(())
}

fn record(data: &str) -> Published {
    static EVENTS: AtomicUsize = AtomicUsize::new(0);
    Published {
        topic: "message.events".into(),
        partition: 3,
        offset: 0,
        key: "1".into(),
        event_id: format!("018f0000-0000-7000-8000-{:012x}", EVENTS.fetch_add(1, Ordering::Relaxed)),
        event_name: "MessageSent".into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        channels: Vec::new(),
        action: Action::Send,
        time_ms: i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX),
    }
}

/// Processor time of this process so far: fields 14 and 15 of `/proc/self/stat`, in ticks of 10 ms (proc(5)); zero elsewhere.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Latencies of one rate, in steps of 10 µs up to 4 s.
struct Phase {
    counts: Vec<u32>,
}

impl Phase {
    const STEP_NS: u64 = 10_000;
    const STEPS: usize = 400_000;

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let mut left = (total as f64 * quantile).ceil() as u64;
        for (step, &count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(u64::from(count));
            if left == 0 {
                return step as f64 / 100.0;
            }
        }
        f64::NAN
    }
}

async fn subscribe(addr: String, subscribers: usize, phases: usize) -> Result<(), Failure> {
    let totals: Arc<Vec<Mutex<Phase>>> =
        Arc::new((0..phases).map(|_| Mutex::new(Phase { counts: vec![0; Phase::STEPS] })).collect());
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..subscribers {
        let mut socket = TcpStream::connect(&addr).await?;
        socket.write_all(b"GET /api/stream HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n").await?;
        readers.spawn(read(socket, Arc::clone(&totals)));
    }
    while let Some(result) = readers.join_next().await {
        result??;
    }
    println!("{:>12} {:>14} {:>9} {:>9} {:>9}", "deliveries", "per second", "P50 ms", "P99 ms", "max ms");
    for phase in totals.iter() {
        let phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
        let count: u64 = phase.counts.iter().map(|&count| u64::from(count)).sum();
        let (p50, p99, max) = (phase.quantile_ms(0.5), phase.quantile_ms(0.99), phase.quantile_ms(1.0));
        println!("{count:>12} {:>14.0} {p50:>9.2} {p99:>9.2} {max:>9.2}", count as f64 / PHASE.as_secs_f64());
    }
    Ok(())
}

/// Reads one stream to the record that ends the measurement. Frames are told by the mark of their data.
async fn read(mut socket: TcpStream, totals: Arc<Vec<Mutex<Phase>>>) -> Result<(), Failure> {
    const MARK: &[u8] = b"data: {\"";
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut kept = 0;
    loop {
        let read = socket.read(&mut buffer[kept..]).await?;
        if read == 0 {
            return Err("the stream was ended".into());
        }
        let now = now_ns();
        let filled = kept + read;
        let mut at = 0;
        while let Some(found) = buffer[at..filled].iter().position(|&byte| byte == b'{') {
            let start = at + found;
            // The longest that is looked at, from the brace on.
            if start + 40 > filled && !buffer[start..filled].starts_with(b"{\"done") {
                at = start;
                break;
            }
            at = start + 1;
            if start < 6 || &buffer[start - 6..start + 2] != MARK {
                continue;
            }
            let rest = &buffer[start + 2..filled];
            if rest.starts_with(b"done") {
                return Ok(());
            }
            let sent: u64 = std::str::from_utf8(&rest[3..23])?.parse()?;
            let phase: usize = std::str::from_utf8(&rest[28..31])?.parse()?;
            let step = usize::try_from(now.saturating_sub(sent) / Phase::STEP_NS)?.min(Phase::STEPS - 1);
            totals[phase].lock().unwrap_or_else(PoisonError::into_inner).counts[step] += 1;
        }
        // A frame that is cut stays, from its mark on.
        let from = if buffer[at..filled].first() == Some(&b'{') {
            at.saturating_sub(6)
        } else {
            filled.saturating_sub(40).max(at)
        };
        buffer.copy_within(from..filled, 0);
        kept = filled - from;
    }
}
