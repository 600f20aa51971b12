//! What Plaza's native parts share of HTTP: one body type, one way to call something that answers requests,
//! one form for errors (RFC 9457), the server, and the proxy to functions that run elsewhere.

mod front;
mod proxy;
mod server;

pub use front::{Front, FrontSettings};
pub use proxy::{InvalidBase, Proxy, ProxySettings};
pub use server::{Connection, Server, ServerSettings};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
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

/// Identifies a request in answers, logs and problems.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Through whom a request came: the client first, then each proxy but the last.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longest request id taken over from a client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The client's request id if it is well-formed, else `fallback`, else a new one.
pub fn request_id(headers: &HeaderMap, fallback: Option<&HeaderValue>) -> HeaderValue {
    let well_formed = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    };
    if let Some(value) = headers.get(REQUEST_ID).filter(|value| well_formed(value)) {
        return value.clone();
    }
    fallback.cloned().unwrap_or_else(|| {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""))
    })
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
        headers.insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_clients_own_where_it_is_well_formed() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(text).unwrap())]);
            request_id(&headers, None).to_str().unwrap().to_owned()
        };
        assert_eq!(of("a.B_c-1"), "a.B_c-1");
        for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
            let made = of(bad);
            assert_eq!(uuid::Uuid::parse_str(&made).unwrap().get_version_num(), 7, "{bad}");
        }
        let parent = HeaderValue::from_static("parent");
        assert_eq!(request_id(&HeaderMap::new(), Some(&parent)), parent);
    }
}
