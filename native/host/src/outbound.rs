//! Requests that a component sends: allowed or not, and to whom.

use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response, Uri, header};
use http_body_util::BodyExt;
use tokio::time::timeout_at;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, WasiHttpView, default_send_request};

use crate::dispatch::{self, Target};
use crate::hosts::{SELF_AUTHORITY, chaining_target};
use crate::metrics::Limit;
use crate::state::{Guest, State};

/// What drives a response's connection, beside its body.
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Sends the requests of one instance.
pub(crate) struct Outbound {
    guest: Arc<Guest>,
}

impl Outbound {
    pub(crate) fn new(guest: Arc<Guest>) -> Self {
        Self { guest }
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        let guest = self.guest.clone();
        Box::new(async move {
            let deadline = guest.deadline;
            match timeout_at(deadline, send(guest, request, options)).await {
                Ok(result) => result,
                Err(_) => Err(Error::HttpResponseTimeout),
            }
        })
    }
}

/// `wasi:http/outgoing-handler.handle`. Wasmtime's own takes no request without an authority; to Spin such a one is for
/// the application itself.
pub(crate) fn handle(
    state: &mut State,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
    let authority = &mut state.table.get_mut(&request)?.authority;
    if authority.as_ref().is_none_or(String::is_empty) {
        *authority = Some(SELF_AUTHORITY.to_owned());
    }
    match outgoing_handler::Host::handle(&mut state.http(), request, options) {
        Ok(response) => Ok(Ok(response)),
        Err(error) => error.downcast().map(Err),
    }
}

async fn send(
    guest: Arc<Guest>,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<(Response<WasiBody>, Io), Error> {
    let count = |to: &'static str| metrics::counter!("plaza_outbound_requests_total", "to" => to).increment(1);
    let host = request.uri().host().unwrap_or_default();
    let to_self = host == SELF_AUTHORITY;
    let allowed = &guest.component.allowed_hosts;
    if !allowed.any(|host| if to_self { host.allows_self() } else { host.allows(request.uri()) }) {
        count("denied");
        let component = &guest.component.name;
        tracing::warn!(component, request_id = guest.request_id(), host, "request to a host that is not granted");
        return Err(Error::HttpRequestDenied);
    }
    let target = match chaining_target(host) {
        Some(name) => Some(Target::Component(guest.host.chainable(name).ok_or(Error::DestinationNotFound)?)),
        None => to_self.then_some(Target::Route),
    };
    let Some(target) = target else {
        count("network");
        let (response, io) = default_send_request(request, options).await?;
        return Ok((response.map(BodyExt::boxed_unsync), Box::new(io)));
    };
    count(if to_self { "self" } else { "component" });
    if guest.depth >= guest.host.limits.chain_depth_max {
        Limit::ChainDepth.hit();
        return Err(Error::LoopDetected);
    }
    request.headers_mut().remove(header::HOST);
    if to_self {
        *request.uri_mut() = relative(request.uri());
    }
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    let response = dispatch::chain(&guest, request, target).await;
    let response = response.map(|body| {
        body.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::InternalError(Some(error.to_string())),
        })
        .boxed_unsync()
    });
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

/// A URI without its scheme and authority.
fn relative(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// A future that is pinned where it is boxed: what recursion between components needs.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
