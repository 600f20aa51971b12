//! One request in one instance.
//!
//! The guest runs in the task that waits for its answer, and what it writes is collected there: most responses are small
//! and complete when the guest returns, and cost neither a task nor a channel to another thread. Only a guest that writes
//! much, or goes on to wait for something after it has begun to answer, moves to a task of its own and is streamed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use plaza_http::{Body, BoxError, full};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tracing::Instrument;
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use crate::dispatch::{Held, OVERLOADED, Refusal, TIME_LIMIT};
use crate::metrics::Limit;
use crate::state::{Guest, State};

const FAILED: Refusal =
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "function_failed", "The function that answers this path failed.");
const MEMORY_LIMIT: Refusal =
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "memory_limit", "The request needed more memory than allowed.");
const NO_RESPONSE: Refusal = Refusal::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "no_response",
    "The function that answers this path gave no answer.",
);
const INCOMPLETE: Refusal = Refusal::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "response_incomplete",
    "The function that answers this path did not complete its answer.",
);

/// How a guest ended, with its store, which is what keeps the guest's side of the response's body open.
type Ended = (wasmtime::Result<()>, Store<State>);

/// A guest that runs. Boxed, so that it can move to another task.
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Runs a component for one request.
pub(crate) async fn run(
    guest: Arc<Guest>,
    parts: Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
    held: Held,
) -> Result<Response<Body>, Refusal> {
    let (sender, receiver) = oneshot::channel();
    let span = tracing::debug_span!("function", component = guest.component.name, request_id = guest.request_id(),);
    let mut running: Running = {
        let request = Request::from_parts(parts, whole(body, trailers));
        let guest = guest.clone();
        Box::pin(instance(guest, request, sender).instrument(span))
    };
    let mut answer = Answer::new(receiver, guest.host.limits.response_buffer_bytes_max);
    let progress = poll_fn(|context| answer.drive(&mut running, context));
    match timeout_at(guest.deadline, progress).await {
        Err(_elapsed) => {
            Limit::Time.hit();
            tracing::warn!(component = guest.component.name, request_id = guest.request_id(), "time limit");
            Err(TIME_LIMIT)
        }
        Ok(Step::Ended(ended)) => finish(&guest, ended, answer),
        Ok(Step::Streams) => stream(guest, running, answer, held),
    }
}

/// Makes an instance, calls it, and returns its store when it is done.
async fn instance(
    guest: Arc<Guest>,
    request: Request<WasiBody>,
    sender: oneshot::Sender<Result<Response<HyperOutgoingBody>, ErrorCode>>,
) -> Ended {
    let pre = &guest.component.pre;
    let mut store = Store::new(pre.engine(), State::new(guest.clone()));
    store.limiter(|state| &mut state.memory);
    // At every tick a guest gives way to other tasks, and to the look at its deadline.
    store.epoch_deadline_async_yield_and_update(1);
    store.set_epoch_deadline(1);
    let result = async {
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(scheme, request)?;
        let response = http.new_response_outparam(sender)?;
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, response).await
    }
    .await;
    (result, store)
}

/// A request's body, for the guest to read.
fn whole(body: Bytes, trailers: Option<HeaderMap>) -> WasiBody {
    let body = Full::new(body).map_err(|never| match never {});
    match trailers {
        None => body.boxed_unsync(),
        Some(trailers) => body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync(),
    }
}

/// What there is of a response.
struct Answer {
    receiver: oneshot::Receiver<Result<Response<HyperOutgoingBody>, ErrorCode>>,
    head: Option<Result<http::response::Parts, ErrorCode>>,
    body: Option<HyperOutgoingBody>,
    chunks: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
    trailers: Option<HeaderMap>,
    /// Whether the guest has said that the body is complete.
    complete: bool,
    /// Whether the guest has said that it will not be.
    aborted: bool,
}

enum Step {
    Ended(Ended),
    /// The guest has begun to answer, and goes on for longer than the answer should wait.
    Streams,
}

impl Answer {
    fn new(receiver: oneshot::Receiver<Result<Response<HyperOutgoingBody>, ErrorCode>>, bytes_max: usize) -> Self {
        Self {
            receiver,
            head: None,
            body: None,
            chunks: VecDeque::new(),
            bytes: 0,
            bytes_max,
            trailers: None,
            complete: false,
            aborted: false,
        }
    }

    /// Runs the guest as far as it goes, taking what it writes out of its way.
    fn drive(&mut self, running: &mut Running, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            let polled = running.poll_unpin(context);
            let progress = self.collect();
            match polled {
                Poll::Ready(ended) => return Poll::Ready(Step::Ended(ended)),
                Poll::Pending if self.bytes > self.bytes_max => return Poll::Ready(Step::Streams),
                Poll::Pending if progress => {}
                Poll::Pending if matches!(self.head, Some(Ok(_))) => return Poll::Ready(Step::Streams),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes what the guest has written so far. Nothing needs to wake anyone for it: only the guest writes, and it runs
    /// in the same task.
    fn collect(&mut self) -> bool {
        let mut progress = false;
        if self.head.is_none()
            && let Ok(set) = self.receiver.try_recv()
        {
            progress = true;
            self.head = Some(set.map(|response| {
                let (head, body) = response.into_parts();
                self.body = Some(body);
                head
            }));
        }
        let mut context = Context::from_waker(Waker::noop());
        while let Some(body) = &mut self.body
            && !self.complete
            && !self.aborted
            && self.bytes <= self.bytes_max
            && let Poll::Ready(frame) = poll_frame(body, &mut context)
        {
            progress = true;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => self.complete = true,
                Some(Ok(Ok(data))) => {
                    self.bytes += data.len();
                    self.chunks.push_back(data);
                }
                Some(Ok(Err(frame))) => self.trailers = frame.into_trailers().ok(),
                Some(Err(_)) => self.aborted = true,
            }
        }
        progress
    }

    /// The body that was collected.
    fn into_body(mut self) -> Body {
        let bytes = match (self.chunks.pop_front(), self.chunks.is_empty()) {
            (None, _) => Bytes::new(),
            (Some(only), true) => only,
            (Some(first), false) => {
                let mut joined = BytesMut::with_capacity(self.bytes);
                joined.extend_from_slice(&first);
                self.chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
                joined.freeze()
            }
        };
        match self.trailers {
            None => full(bytes),
            Some(trailers) => {
                full(bytes).with_trailers(std::future::ready(Some(Ok::<_, BoxError>(trailers)))).boxed_unsync()
            }
        }
    }
}

/// Takes a frame of a body if it is there. A task that has done much in one go is made to pause by Tokio's channels, which then
/// say that there is nothing: here that would be taken for the end.
fn poll_frame(
    body: &mut HyperOutgoingBody,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, wasmtime_wasi_http::Error>>> {
    tokio::task::unconstrained(poll_fn(|context| Pin::new(&mut *body).poll_frame(context))).poll_unpin(context)
}

/// The answer of a guest that has returned.
fn finish(guest: &Guest, (result, store): Ended, mut answer: Answer) -> Result<Response<Body>, Refusal> {
    // What is left, even beyond the buffer, is no more than the channel holds: it is collected whole. With the store open,
    // the body's end means that the guest has said so itself.
    answer.bytes_max = usize::MAX;
    answer.collect();
    let failure = result.err().map(|error| report(guest, &error, store.data().memory.exceeded));
    drop(store);
    if let Some(refusal) = failure
        && !answer.complete
    {
        return Err(refusal);
    }
    answer.collect();
    match answer.head.take() {
        None => {
            complain(guest, "it returned without a response");
            Err(NO_RESPONSE)
        }
        Some(Err(code)) => {
            complain(guest, &format!("it responded with the error {code:?}"));
            Err(FAILED)
        }
        Some(Ok(_)) if answer.aborted => {
            complain(guest, "it gave its response's body up, or wrote another length than it announced");
            Err(INCOMPLETE)
        }
        Some(Ok(head)) => Ok(Response::from_parts(head, answer.into_body())),
    }
}

fn complain(guest: &Guest, message: &str) {
    tracing::error!(component = guest.component.name, request_id = guest.request_id(), "function failed: {message}");
}

/// Logs and counts a trap, once.
fn report(guest: &Guest, error: &wasmtime::Error, memory_exceeded: bool) -> Refusal {
    if error.is::<PoolConcurrencyLimitError>() {
        Limit::Waiting.hit();
        return OVERLOADED;
    }
    guest.component.metrics.trapped();
    complain(guest, &error.root_cause().to_string());
    tracing::debug!(component = guest.component.name, request_id = guest.request_id(), "{error:?}");
    if memory_exceeded { MEMORY_LIMIT } else { FAILED }
}

/// Goes on with a guest in a task of its own, while its body is sent.
fn stream(guest: Arc<Guest>, running: Running, mut answer: Answer, held: Held) -> Result<Response<Body>, Refusal> {
    let Some(Ok(parts)) = answer.head.take() else { return Err(FAILED) };
    let failed = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn(continue_running(guest, running, failed.clone(), held));
    let body = Streamed {
        chunks: answer.chunks,
        trailers: answer.trailers,
        rest: answer.body.filter(|_| !answer.complete),
        aborted: answer.aborted,
        failed,
        task: task.abort_handle(),
    };
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

async fn continue_running(guest: Arc<Guest>, mut running: Running, failed: Arc<AtomicBool>, held: Held) {
    let ended = tokio::select! {
        biased;
        ended = timeout_at(guest.deadline, &mut running) => ended.inspect_err(|_elapsed| Limit::Time.hit()).ok(),
        () = guest.host.cancelled.cancelled() => None,
    };
    // A body ends when the guest's side is gone, however that came: what failed must be known before.
    match ended {
        Some((Ok(()), _store)) => {}
        Some((Err(error), store)) => {
            failed.store(true, Ordering::Release);
            report(&guest, &error, store.data().memory.exceeded);
        }
        None => {
            failed.store(true, Ordering::Release);
            complain(&guest, "it was stopped while it sent its response");
        }
    }
    drop(running);
    drop(held);
}

/// The body of a response whose guest is still running.
struct Streamed {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// None once it has ended.
    rest: Option<HyperOutgoingBody>,
    aborted: bool,
    failed: Arc<AtomicBool>,
    task: tokio::task::AbortHandle,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if std::mem::take(&mut self.aborted) {
            self.rest = None;
            return Poll::Ready(Some(Err("the function gave its response up".into())));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match Pin::new(rest).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.rest = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.rest = None;
                let failed = self.failed.load(Ordering::Acquire);
                Poll::Ready(failed.then(|| Err("the function failed while it sent its response".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && !self.aborted && self.trailers.is_none() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // The client is gone before the end. A guest that has sent everything may go on with other work.
        if !self.is_end_stream() {
            self.task.abort();
        }
    }
}
