//! `GET /health`: liveness. It answers where functions run at all.

use plaza_kit::{Problem, Reply, Request, reply};
use serde_json::json;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" | "HEAD" => reply::json(200, &json!({"status": "ok"})),
        _ => Err(Problem::method_not_allowed("GET, HEAD")),
    }
}
