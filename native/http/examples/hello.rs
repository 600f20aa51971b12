//! The smallest thing that the server can serve, to measure the server itself: `cargo run --release -p plaza-http --example hello`,
//! and then `wrk -t1 -c64 -d5 http://127.0.0.1:3999/` beside it.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use futures::future::BoxFuture;
use http::{Request, Response};
use plaza_http::{Body, Server, ServerSettings, Upstream, full};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct Hello;

impl Upstream for Hello {
    fn call(&self, _request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async { Response::new(full(&b"hello"[..])) })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (server, addr) = Server::bind(([127, 0, 0, 1], 3999).into(), ServerSettings::default())?;
    println!("http://{addr}");
    server.run(Arc::new(Hello), CancellationToken::new()).await;
    Ok(())
}
