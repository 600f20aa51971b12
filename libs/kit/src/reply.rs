//! Answers.

use plaza_domain::Problem;
use serde::Serialize;

/// An answer that is complete when it is given.
pub type Reply = http::Response<Vec<u8>>;

/// A JSON answer.
pub fn json(status: u16, value: &impl Serialize) -> Result<Reply, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        eprintln!("cannot write the answer: {error}");
        Problem::internal()
    })?;
    build(http::Response::builder().status(status).header("content-type", "application/json"), body)
}

/// 204: done, and nothing to say.
pub fn no_content() -> Result<Reply, Problem> {
    build(http::Response::builder().status(204), Vec::new())
}

/// An answer put together by hand.
pub fn build(builder: http::response::Builder, body: Vec<u8>) -> Result<Reply, Problem> {
    builder.body(body).map_err(|error| {
        eprintln!("cannot build the answer: {error}");
        Problem::internal()
    })
}

/// The answer that a refusal becomes.
pub(crate) fn problem(problem: &Problem, request_id: &str) -> Reply {
    let mut reply = http::Response::new(problem.document(request_id));
    *reply.status_mut() = http::StatusCode::from_u16(problem.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/problem+json"));
    if let Some((name, value)) = &problem.header
        && let Ok(value) = http::HeaderValue::from_str(value)
    {
        headers.insert(*name, value);
    }
    reply
}
