//! What the process itself answers, beside the functions: `/metrics`.

use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use plaza_http::{Body, Upstream, full};
use std::sync::Arc;

/// Prometheus' text format (exposition format 0.0.4).
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers `/metrics`, and leaves everything else to the next.
pub(crate) struct Ops {
    /// What was measured.
    pub(crate) metrics: PrometheusHandle,
    /// Who answers everything else.
    pub(crate) next: Arc<dyn Upstream>,
}

impl Upstream for Ops {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        if request.uri().path() != "/metrics" {
            return self.next.call(request);
        }
        Box::pin(async move {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                let mut response = plaza_http::problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "This route does not have that method.",
                    &plaza_http::new_request_id(),
                );
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                return response;
            }
            let mut response = Response::new(full(self.metrics.render()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
            response
        })
    }
}
