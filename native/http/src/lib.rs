//! What Plaza's native parts share of HTTP: one body type, one way to call something that answers requests,
//! one form for errors (RFC 9457), the server, and the proxy to functions that run elsewhere.

mod proxy;
mod server;

pub use proxy::{InvalidBase, Proxy, ProxySettings};
pub use server::{Connection, Server, ServerSettings};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

/// Any failure of a body that is being read.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request and response that moves between native parts.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Something that answers requests: the function host, a relay in front of it, a test.
///
/// A request whose authority ends in `.spin.internal` is for the component that the first label names (Spin's service
/// chaining); any other is routed by its path. It never fails: an error is a response with a problem document.
pub trait Upstream: Send + Sync + 'static {
    /// Answers one request.
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>>;
}

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A new id for a request that came without one: a UUID of version 7 (RFC 9562), so ids sort by time.
pub fn new_request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A problem document (RFC 9457) with Plaza's stable `code`.
pub fn problem(status: StatusCode, code: &str, detail: &str, request_id: &str) -> Response<Body> {
    let document = serde_json::json!({
        "type": format!("https://plaza.dev/problems/{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "request_id": request_id,
    });
    let mut response = Response::new(full(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", value);
    }
    response
}
