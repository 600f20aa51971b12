//! `GET /openapi.json`: the whole API, described (OpenAPI 3.1). `scripts/openapi` writes the document.

use plaza_files::serve;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

include!(concat!(env!("OUT_DIR"), "/files.rs"));

async fn handle(request: Request) -> Result<Reply, Problem> {
    let builder = http::Response::builder()
        .header("content-type", "application/json")
        // It may be kept, and is asked for again: it changes with each deployment.
        .header("cache-control", "no-cache");
    serve::file(&request, builder, &FILES[0])
}
