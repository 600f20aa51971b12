//! From a request to the component that answers it, within the limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use plaza_http::{Body, BoxError, REQUEST_ID, full, problem, request_id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::headers;
use crate::hosts::chaining_target;
use crate::metrics::{ComponentMetrics, InUse, Limit};
use crate::mysql::Pools;
use crate::outbound::Boxed;
use crate::output::Lines;
use crate::routes::{Router, WELL_KNOWN_PREFIX};
use crate::run;
use crate::settings::Limits;
use crate::state::{Component, Guest};

/// What a client that was refused for want of room is told to wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) router: Router,
    pub(crate) components: Vec<Arc<Component>>,
    /// Index of each component by its id.
    pub(crate) names: HashMap<String, usize>,
    /// The answer of `/.well-known/spin/info`.
    pub(crate) info: Bytes,
    pub(crate) mysql: Pools,
    /// One permit per instance that may run for a request from outside.
    pub(crate) permits: Arc<Semaphore>,
    /// One permit per instance that may run for a request from a component.
    pub(crate) chained_permits: Arc<Semaphore>,
    /// Requests that wait for a permit.
    pub(crate) waiting: AtomicU32,
    /// Every request in progress.
    pub(crate) requests: TaskTracker,
    /// No request from outside is taken any longer.
    pub(crate) stopping: AtomicBool,
    /// Requests in progress are to end now.
    pub(crate) cancelled: CancellationToken,
    /// Counts what no component answers.
    pub(crate) unrouted: ComponentMetrics,
}

impl Shared {
    /// A component that other components may call.
    pub(crate) fn chainable(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied().filter(|index| self.components[*index].chainable)
    }
}

/// Who answers a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Whichever component has the route.
    Route,
    /// The component of this index.
    Component(usize),
}

/// What is known of a request beside itself.
struct Context {
    started: Instant,
    deadline: Instant,
    client: Option<SocketAddr>,
    request_id: HeaderValue,
    depth: u8,
    token: TaskTrackerToken,
}

/// What a request holds while its instance runs. Dropped after the instance.
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
    _instance: InUse,
    _token: TaskTrackerToken,
}

/// An answer that the host gives itself.
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail }
    }

    fn into_response(self, request_id: &HeaderValue) -> Response<Body> {
        let mut response = problem(self.status, self.code, self.detail, request_id.to_str().unwrap_or_default());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

const STOPPING: Refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping.");
const CANCELLED: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "stopping",
    "The server stopped before the request was done; whether it took effect is not known.",
);
const NOT_FOUND: Refusal = Refusal::new(StatusCode::NOT_FOUND, "not_found", "Nothing answers this path.");
const BAD_HOST: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "bad_host", "The request does not name one valid public host.");
const BODY_TOO_LARGE: Refusal =
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The request's body is larger than allowed.");
const BODY_INCOMPLETE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "body_incomplete", "The request's body ended too early.");
const BODY_TIMEOUT: Refusal =
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The request's body did not arrive in time.");
pub(crate) const OVERLOADED: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server has no room for the request now.");
pub(crate) const TIME_LIMIT: Refusal =
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "time_limit", "The request took longer than allowed.");

/// Answers a request that came from outside this crate.
pub(crate) async fn serve(host: &Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let client = request.extensions().get::<SocketAddr>().copied();
    let context = Context {
        started,
        deadline: started + host.limits.request_time_max,
        client,
        request_id: request_id(request.headers(), None),
        depth: 0,
        token: host.requests.token(),
    };
    // Only what has no client may name a component: the relay, the trigger. A client that tries is refused below.
    let target = match request.uri().host().and_then(chaining_target) {
        Some(name) if client.is_none() => host.names.get(name).map(|index| Target::Component(*index)),
        _ => Some(Target::Route),
    };
    answer(host, request, context, target).await
}

/// Answers a request that a component sent to another, or to its own application.
pub(crate) fn chain(caller: &Arc<Guest>, request: Request<Body>, target: Target) -> Boxed<Response<Body>> {
    let caller = caller.clone();
    Box::pin(async move {
        let context = Context {
            started: Instant::now(),
            deadline: caller.deadline,
            client: None,
            request_id: request_id(request.headers(), Some(&caller.request_id)),
            depth: caller.depth + 1,
            token: caller.host.requests.token(),
        };
        answer(&caller.host, request, context, Some(target)).await
    })
}

async fn answer(
    host: &Arc<Shared>,
    request: Request<Body>,
    context: Context,
    target: Option<Target>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (started, client, request_id) = (context.started, context.client, context.request_id.clone());
    let line = tracing::enabled!(target: "plaza::access", tracing::Level::INFO)
        .then(|| (parts.method.clone(), parts.uri.clone()));
    let (component, result) = route(host, parts, body, context, target).await;
    let mut response = result.unwrap_or_else(|refusal| refusal.into_response(&request_id));
    response.headers_mut().insert(REQUEST_ID, request_id.clone());
    let duration = started.elapsed();
    let (name, metrics) = match component {
        Some(index) => (host.components[index].name.as_str(), &host.components[index].metrics),
        None => ("none", &host.unrouted),
    };
    metrics.answered(response.status(), duration);
    if let Some((method, uri)) = line {
        log(&method, &uri, response.status(), duration, name, &request_id, client);
    }
    response
}

fn log(
    method: &Method,
    uri: &Uri,
    status: StatusCode,
    duration: std::time::Duration,
    component: &str,
    request_id: &HeaderValue,
    client: Option<SocketAddr>,
) {
    tracing::info!(
        target: "plaza::access",
        method = method.as_str(),
        path = uri.path(),
        status = status.as_u16(),
        duration_ms = duration.as_secs_f64() * 1e3,
        component,
        request_id = request_id.to_str().unwrap_or_default(),
        client = client.map(tracing::field::display),
    );
}

/// Finds who answers, and has it answered. The first part of the answer is the component, if there is one.
async fn route(
    host: &Arc<Shared>,
    mut parts: Parts,
    body: Body,
    context: Context,
    target: Option<Target>,
) -> (Option<usize>, Result<Response<Body>, Refusal>) {
    if context.depth == 0 && host.stopping.load(Ordering::Relaxed) {
        return (None, Err(STOPPING));
    }
    let Some(target) = target else { return (None, Err(NOT_FOUND)) };
    if context.client.is_some() && !is_public(&parts) {
        return (None, Err(BAD_HOST));
    }
    let index = match target {
        Target::Component(index) => {
            headers::prepare(&mut parts.headers, &parts.uri, None, None, &context.request_id);
            index
        }
        Target::Route => {
            if let Some(well_known) = parts.uri.path().strip_prefix(WELL_KNOWN_PREFIX) {
                return (None, well_known_answer(host, well_known));
            }
            let Some(matched) = host.router.find(parts.uri.path()) else { return (None, Err(NOT_FOUND)) };
            let client = context.client;
            headers::prepare(&mut parts.headers, &parts.uri, Some(&matched), client, &context.request_id);
            matched.route.component
        }
    };
    if parts.uri.authority().is_none() && !parts.headers.contains_key(header::HOST) {
        // An inner request need not name a host, but a component always sees one.
        parts.headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    (Some(index), execute(host, index, parts, body, context).await)
}

/// Whether a client named one host, and not one of this application's inside.
fn is_public(parts: &Parts) -> bool {
    let in_header = match parts.headers.get(header::HOST).map(|host| host.to_str()) {
        None => None,
        Some(Ok(host)) => Some(host),
        Some(Err(_)) => return false,
    };
    let in_uri = parts.uri.authority().map(http::uri::Authority::as_str);
    let agree = in_header.zip(in_uri).is_none_or(|(one, other)| one.eq_ignore_ascii_case(other));
    agree && in_header.or(in_uri).is_some_and(|host| chaining_target(host).is_none())
}

/// What Spin's trigger answers itself.
fn well_known_answer(host: &Shared, name: &str) -> Result<Response<Body>, Refusal> {
    match name {
        "health" => Ok(Response::new(full(Bytes::from_static(b"OK")))),
        "info" => {
            let mut response = Response::new(full(host.info.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(response)
        }
        _ => Err(NOT_FOUND),
    }
}

async fn execute(
    host: &Arc<Shared>,
    index: usize,
    parts: Parts,
    body: Body,
    context: Context,
) -> Result<Response<Body>, Refusal> {
    let work = async {
        // The body is read before an instance is taken: a client that sends slowly keeps nothing but its own connection.
        let (body, trailers) = read(body, host.limits.request_body_bytes_max, context.deadline).await?;
        let permits = if context.depth == 0 { &host.permits } else { &host.chained_permits };
        let permit = admit(host, permits, context.deadline).await?;
        let component = host.components[index].clone();
        let held = Held { _permit: permit, _instance: component.metrics.instance(), _token: context.token };
        let guest = Arc::new(Guest {
            component,
            host: host.clone(),
            request_id: context.request_id,
            deadline: context.deadline,
            depth: context.depth,
            lines: Lines::default(),
        });
        run::run(guest, parts, body, trailers, held).await
    };
    tokio::select! {
        biased;
        result = work => result,
        () = host.cancelled.cancelled() => Err(CANCELLED),
    }
}

/// Reads a body whole, however it is framed.
async fn read(mut body: Body, bytes_max: usize, deadline: Instant) -> Result<(Bytes, Option<HeaderMap>), Refusal> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > bytes_max) {
        Limit::Body.hit();
        return Err(BODY_TOO_LARGE);
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error: BoxError| {
                tracing::debug!(%error, "request body");
                BODY_INCOMPLETE
            })?;
            match frame.into_data() {
                Ok(data) if first.len() + rest.len() + data.len() > bytes_max => {
                    Limit::Body.hit();
                    return Err(BODY_TOO_LARGE);
                }
                Ok(data) if first.is_empty() => first = data,
                Ok(data) => rest.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if rest.is_empty() {
            return Ok((first, trailers));
        }
        let mut joined = BytesMut::with_capacity(first.len() + rest.len());
        joined.extend_from_slice(&first);
        joined.extend_from_slice(&rest);
        Ok((joined.freeze(), trailers))
    };
    timeout_at(deadline, whole).await.unwrap_or_else(|_elapsed| {
        Limit::Time.hit();
        Err(BODY_TIMEOUT)
    })
}

/// Waits for an instance, within bounds.
async fn admit(host: &Shared, permits: &Arc<Semaphore>, deadline: Instant) -> Result<OwnedSemaphorePermit, Refusal> {
    if let Ok(permit) = permits.clone().try_acquire_owned() {
        return Ok(permit);
    }
    let queued = Queued::join(&host.waiting, host.limits.waiting_max).ok_or_else(|| {
        Limit::Waiting.hit();
        OVERLOADED
    })?;
    let until = deadline.min(Instant::now() + host.limits.wait_max);
    let permit = timeout_at(until, permits.clone().acquire_owned()).await;
    drop(queued);
    match permit {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_closed)) => Err(STOPPING),
        Err(_elapsed) => {
            Limit::Wait.hit();
            Err(OVERLOADED)
        }
    }
}

/// A place among those that wait.
struct Queued<'a>(&'a AtomicU32);

impl<'a> Queued<'a> {
    fn join(waiting: &'a AtomicU32, max: u32) -> Option<Self> {
        let more = |now: u32| (now < max).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
