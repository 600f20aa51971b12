//! What the server itself costs: requests a second from 64 connections in a process of their own beside it, and the server's own
//! processor time for each. `cargo run --release -p plaza-http --example throughput` (Linux)
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use futures::future::BoxFuture;
use http::{Request, Response};
use plaza_http::{Body, Server, ServerSettings, Upstream, full};
use std::{
    error::Error,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error + Send + Sync>;

const CONNECTIONS: usize = 64;
const DURATION: Duration = Duration::from_secs(5);
const REQUEST: &[u8] =
    b"GET /api/hello HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer 0123456789\r\naccept: */*\r\n\r\n";
const BODY: &[u8] = b"{\"hello\":\"world\"}";

struct Hello {
    requests: AtomicU64,
}

impl Upstream for Hello {
    fn call(&self, _request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Response::new(full(BODY)) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if let Some(addr) = std::env::args().nth(1) {
        return load(addr).await;
    }
    let (server, addr) = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default())?;
    let (hello, stop) = (Arc::new(Hello { requests: AtomicU64::new(0) }), CancellationToken::new());
    let serving = tokio::spawn(server.run(Arc::clone(&hello) as Arc<dyn Upstream>, stop.clone()));
    let (started, cpu) = (Instant::now(), cpu_seconds()?);
    let mut child = Command::new(std::env::current_exe()?).arg(addr.to_string()).spawn()?;
    tokio::task::spawn_blocking(move || child.wait()).await??;
    let requests = u32::try_from(hello.requests.load(Ordering::Relaxed))?;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let requests = f64::from(requests);
    println!(
        "{:.0} requests/s; {:.0} requests per second of the server's processor time",
        requests / elapsed,
        requests / cpu
    );
    stop.cancel();
    serving.await?;
    Ok(())
}

async fn load(addr: String) -> Result<(), Failure> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(&addr).await?;
        clients.spawn(async move {
            let started = Instant::now();
            let mut buffer = vec![0; 4_096];
            while started.elapsed() < DURATION {
                socket.write_all(REQUEST).await?;
                let mut filled = 0;
                while !buffer[..filled].ends_with(BODY) {
                    match socket.read(&mut buffer[filled..]).await? {
                        0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                        read => filled += read,
                    }
                }
            }
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(result) = clients.join_next().await {
        result??;
    }
    Ok(())
}

/// Processor time of this process so far: fields 14 and 15 of `/proc/self/stat`, in ticks of 10 ms (proc(5)).
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
