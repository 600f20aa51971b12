//! The adapter to WASI 0.2: everything that knows `wasi:http` is here.

use crate::cloudevents::BATCH_TYPE;
use crate::request::EVENTS_BYTES_MAX;
use crate::{Reply, Request, limit, reply};
use bytes::Bytes;
use http::Method as HttpMethod;
use plaza_domain::Problem;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};
use wasi::io::streams::{InputStream, OutputStream, StreamError};

/// How many bytes are asked for at a time.
const READ_BYTES: u64 = 64 * 1024;

/// How many bytes `blocking-write-and-flush` takes at once, by its definition.
const WRITE_BYTES_MAX: usize = 4096;

/// Serves one request, whose body has at most so many bytes, with `handler`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the request is the callee's to drop: its handle must go before the answer ends"
)]
pub fn serve<F: Future<Output = Result<Reply, Problem>>>(
    request: IncomingRequest,
    answer: ResponseOutparam,
    body_bytes_max: usize,
    handler: impl Fn(Request) -> F,
) {
    let mut request_id = String::new();
    let outcome = read_head(&request).and_then(|mut head| {
        head.id().clone_into(&mut request_id);
        read_body_into(&mut head, &request, body_bytes_max)?;
        block_on(handler(head))
    });
    let mut reply = outcome.unwrap_or_else(|problem| reply::problem(&problem, &request_id));
    limit::tell(&mut reply);
    write(answer, reply);
}

/// Asks another component and reads its whole answer. `Err` where there is none.
pub(crate) fn ask(request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, String> {
    let (parts, body) = request.into_parts();
    let outgoing = OutgoingRequest::new(fields(&parts.headers));
    let method = match parts.method {
        HttpMethod::GET => Method::Get,
        HttpMethod::POST => Method::Post,
        other => Method::Other(other.to_string()),
    };
    let refused = |()| "the request cannot be written".to_owned();
    outgoing.set_method(&method).map_err(refused)?;
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    outgoing.set_authority(parts.uri.authority().map(http::uri::Authority::as_str)).map_err(refused)?;
    outgoing.set_path_with_query(parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str)).map_err(refused)?;
    let outgoing_body = outgoing.body().map_err(refused)?;
    let answer = outgoing_handler::handle(outgoing, None).map_err(|error| error.to_string())?;
    write_body(outgoing_body, &body)?;
    answer.subscribe().block();
    let incoming = match answer.get() {
        Some(Ok(Ok(incoming))) => incoming,
        Some(Ok(Err(error))) => return Err(error.to_string()),
        _ => return Err("no answer".to_owned()),
    };
    let mut response = http::Response::new(Vec::new());
    *response.status_mut() = http::StatusCode::from_u16(incoming.status()).map_err(|error| error.to_string())?;
    let body = incoming.consume().map_err(|()| "the answer's body is gone".to_owned())?;
    *response.body_mut() = read_body(&body, usize::MAX).map_err(|problem| problem.detail.into_owned())?;
    Ok(response)
}

fn read_head(incoming: &IncomingRequest) -> Result<Request, Problem> {
    let method = match incoming.method() {
        Method::Get => HttpMethod::GET,
        Method::Head => HttpMethod::HEAD,
        Method::Post => HttpMethod::POST,
        Method::Put => HttpMethod::PUT,
        Method::Delete => HttpMethod::DELETE,
        Method::Connect => HttpMethod::CONNECT,
        Method::Options => HttpMethod::OPTIONS,
        Method::Trace => HttpMethod::TRACE,
        Method::Patch => HttpMethod::PATCH,
        Method::Other(name) => HttpMethod::from_bytes(name.as_bytes())
            .map_err(|_| Problem::bad_request("bad_method", "No such method."))?,
    };
    let path = incoming.path_with_query().unwrap_or_else(|| "/".to_owned());
    let mut builder = http::Request::builder().method(method).uri(path);
    for (name, value) in incoming.headers().entries() {
        builder = builder.header(name, value);
    }
    Ok(Request::new(builder.body(Bytes::new()).map_err(|_| malformed())?))
}

fn read_body_into(request: &mut Request, incoming: &IncomingRequest, bytes_max: usize) -> Result<(), Problem> {
    let body = incoming.consume().map_err(|()| Problem::internal())?;
    let bytes_max = if request.has_content_type(BATCH_TYPE) { EVENTS_BYTES_MAX } else { bytes_max };
    request.set_body(read_body(&body, bytes_max)?.into());
    Ok(())
}

fn malformed() -> Problem {
    Problem::bad_request("malformed_request", "The request is malformed.")
}

fn read_body(body: &IncomingBody, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let stream: InputStream = body.stream().map_err(|()| Problem::internal())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                eprintln!("the body cannot be read: {}", error.to_debug_string());
                return Err(Problem::bad_request("incomplete_body", "The body did not arrive whole."));
            }
        }
        if bytes.len() > bytes_max {
            return Err(Problem::new(
                413,
                "payload_too_large",
                format!("The body must not be larger than {bytes_max} bytes."),
            ));
        }
    }
}

fn write(answer: ResponseOutparam, reply: Reply) {
    let (parts, body) = reply.into_parts();
    let headers = fields(&parts.headers);
    // With 204 there is no length, and with 304 it would be that of what is not sent (RFC 9110, section 8.6).
    if ![http::StatusCode::NO_CONTENT, http::StatusCode::NOT_MODIFIED].contains(&parts.status) {
        // A known length spares the client chunked coding.
        let _ = headers.set(&"content-length".to_owned(), &[body.len().to_string().into_bytes()]);
    }
    let response = OutgoingResponse::new(headers);
    let status = response.set_status_code(parts.status.as_u16());
    debug_assert!(status.is_ok(), "http::StatusCode allows only what WASI allows");
    let outgoing = response.body();
    ResponseOutparam::set(answer, Ok(response));
    if let Ok(outgoing) = outgoing
        && let Err(error) = write_body(outgoing, &body)
    {
        eprintln!("the answer cannot be written: {error}");
    }
}

fn write_body(outgoing: OutgoingBody, body: &[u8]) -> Result<(), String> {
    if !body.is_empty() {
        let stream: OutputStream = outgoing.write().map_err(|()| "the body is gone".to_owned())?;
        for chunk in body.chunks(WRITE_BYTES_MAX) {
            stream.blocking_write_and_flush(chunk).map_err(|error| error.to_string())?;
        }
    }
    OutgoingBody::finish(outgoing, None).map_err(|error| error.to_string())
}

fn fields(headers: &http::HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        if fields.append(&name.as_str().to_owned(), &value.as_bytes().to_vec()).is_err() {
            eprintln!("header {name} is not allowed here");
        }
    }
    fields
}

/// Runs a handler to its end. Under WASI 0.2 every call of the host returns only when it is done, so a handler never
/// waits for anything else.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
