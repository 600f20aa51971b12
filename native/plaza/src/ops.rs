//! What the process itself answers: `/metrics`, and its own part of `/ready`; without functions behind it also `/health`.

use futures::future::{BoxFuture, join_all};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use plaza_http::{Body, REQUEST_ID, Upstream, full, request_id};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Prometheus' text format (exposition format 0.0.4).
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long one check may take before it counts as failed.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// The longest answer of the functions to `/ready` that is read, in bytes.
const READY_BYTES_MAX: usize = 64 << 10;

/// Whether a part of this process does what it is there for.
pub(crate) type Check = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Answers what is about the process, and leaves everything else to the next.
pub(crate) struct Ops {
    /// What was measured.
    pub(crate) metrics: PrometheusHandle,
    /// This process' own checks, by name.
    pub(crate) checks: Vec<(&'static str, Check)>,
    /// Who answers everything else. `None`: this process serves nothing but this.
    pub(crate) next: Option<Arc<dyn Upstream>>,
}

impl Upstream for Ops {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        match (request.uri().path(), &self.next) {
            ("/metrics", _) => {
                Box::pin(async move { only_reading(&request).unwrap_or_else(|| self.metrics(&request)) })
            }
            ("/ready", next) if next.is_none() || !self.checks.is_empty() => Box::pin(self.ready(request)),
            ("/health", None) => {
                let health = json!({ "status": "ok" });
                Box::pin(async move { only_reading(&request).unwrap_or_else(|| document(&request, &health)) })
            }
            (_, Some(next)) => next.call(request),
            (_, None) => Box::pin(async move {
                let detail = "There is nothing here but /health, /ready and /metrics.";
                problem(&request, StatusCode::NOT_FOUND, "not_found", detail)
            }),
        }
    }
}

impl Ops {
    fn metrics(&self, request: &Request<Body>) -> Response<Body> {
        let mut response = Response::new(full(self.metrics.render()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
        with_request_id(request, response)
    }

    /// The functions' answer with this process' checks added.
    async fn ready(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, theirs) = match &self.next {
            Some(next) => {
                let (parts, body) = next.call(request).await.into_parts();
                let bytes = beginning(body).await;
                let theirs = checks_of(&bytes);
                // What is no verdict (a wrong method, say) is not ours to change.
                let is_verdict = matches!(parts.status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE);
                let Some(theirs) = theirs.filter(|_| is_verdict) else {
                    return Response::from_parts(parts, full(bytes));
                };
                (parts, theirs)
            }
            None => match only_reading(&request) {
                Some(refusal) => return refusal,
                None => (document(&request, &Value::Null).into_parts().0, Map::new()),
            },
        };
        let mut checks = theirs;
        let mut ready = parts.status == StatusCode::OK;
        let outcomes = join_all(self.checks.iter().map(|(name, check)| async move {
            (*name, tokio::time::timeout(CHECK_TIME_MAX, check()).await.unwrap_or(false))
        }));
        for (name, ok) in outcomes.await {
            ready &= ok;
            checks.insert(name.to_owned(), json!(if ok { "ok" } else { "failed" }));
        }
        let (status, word) =
            if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        parts.status = status;
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, full(json!({ "status": word, "checks": checks }).to_string()))
    }
}

/// The checks in an answer to `/ready`.
fn checks_of(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Value>(bytes).ok()?.get_mut("checks")?.take() {
        Value::Object(checks) => Some(checks),
        _ => None,
    }
}

/// As much of a body as an answer to `/ready` may be long.
async fn beginning(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(
            frame.data_ref().map_or(&[], |data| &data[..data.len().min(READY_BYTES_MAX - bytes.len())]),
        );
    }
    bytes
}

/// The refusal of a method that does not read.
fn only_reading(request: &Request<Body>) -> Option<Response<Body>> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let detail = "This route does not have that method.";
    let mut response = problem(request, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

fn problem(request: &Request<Body>, status: StatusCode, code: &str, detail: &str) -> Response<Body> {
    let id = request_id(request.headers(), None);
    plaza_http::problem(status, code, detail, id.to_str().unwrap_or_default())
}

fn document(request: &Request<Body>, document: &Value) -> Response<Body> {
    let mut response = Response::new(full(document.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    with_request_id(request, response)
}

fn with_request_id(request: &Request<Body>, mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(REQUEST_ID, request_id(request.headers(), None));
    response
}
