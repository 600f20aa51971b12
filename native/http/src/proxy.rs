//! Functions that run elsewhere, over HTTP: a reverse proxy to one base URL.

use crate::{Body, BoxError, REQUEST_ID, Upstream, X_FORWARDED_FOR, problem, request_id};
use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{net::SocketAddr, time::Duration};

/// What belongs to one connection and not to the message (RFC 9110, section 7.6.1). `te` is taken off with them.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Seconds after which a client may try again when the functions are not there.
const RETRY_AFTER_SECONDS: u32 = 1;

/// How a [`Proxy`] calls.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take.
    pub answer_timeout: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle_timeout: Duration,
    /// Connections that nobody uses, kept at most.
    pub idle_max: usize,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(35),
            // Shorter than the time after which this server, or Spin, closes what is idle.
            idle_timeout: Duration::from_secs(20),
            idle_max: 256,
        }
    }
}

/// The base URL is not one that can be called.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{url:?} is not the base URL of a server: it must be http:// or https://, a host, and perhaps a port and a path"
)]
pub struct InvalidBase {
    url: String,
}

/// Passes requests on to another server and its answers back, both as streams.
#[derive(Debug)]
pub struct Proxy {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: Scheme,
    authority: Authority,
    /// Before every path, without a slash at the end.
    prefix: String,
    answer_timeout: Duration,
}

impl Proxy {
    /// A proxy to `base`. Certificates are checked against Mozilla's roots.
    pub fn new(base: &str, settings: &ProxySettings) -> Result<Self, InvalidBase> {
        let invalid = || InvalidBase { url: base.to_owned() };
        let parts = base.parse::<Uri>().map_err(|_| invalid())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(invalid()) };
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let has_query = parts.path_and_query.as_ref().is_some_and(|path| path.query().is_some());
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if !is_http || has_query || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|_| invalid())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_max)
            .build(connector);
        let prefix = path.trim_end_matches('/').to_owned();
        Ok(Self { client, scheme, authority, prefix, answer_timeout: settings.answer_timeout })
    }

    async fn pass(&self, mut request: Request<Body>) -> Response<Body> {
        let id = request_id(request.headers(), None);
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let request_id = id.to_str().unwrap_or_default();
        let Some(uri) = self.uri(request.uri()) else {
            return problem(StatusCode::BAD_REQUEST, "bad_path", "The path cannot be passed on.", request_id);
        };
        let peer = request.extensions().get::<SocketAddr>().copied();
        forward(request.headers_mut(), peer, &self.authority);
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        let unavailable = |code, detail, status| {
            let mut response = problem(status, code, detail, request_id);
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            response
        };
        match tokio::time::timeout(self.answer_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let mut response = response.map(|body| -> Body { body.map_err(BoxError::from).boxed_unsync() });
                strip(response.headers_mut());
                response
            }
            Ok(Err(error)) => {
                metrics::counter!("plaza_proxy_errors_total", "reason" => "unreachable").increment(1);
                tracing::warn!(to = %self.authority, %error, "the functions do not answer");
                let detail = "The functions do not answer. Whether the request was acted on is not known.";
                let detail = if error.is_connect() { "The functions cannot be reached." } else { detail };
                unavailable("functions_unavailable", detail, StatusCode::SERVICE_UNAVAILABLE)
            }
            Err(_elapsed) => {
                metrics::counter!("plaza_proxy_errors_total", "reason" => "timeout").increment(1);
                let detail = "The functions took too long. Whether the request was acted on is not known.";
                unavailable("time_limit", detail, StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    fn uri(&self, asked: &Uri) -> Option<Uri> {
        let path = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        let path: PathAndQuery = format!("{}{path}", self.prefix).parse().ok()?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        uri.build().ok()
    }
}

impl Upstream for Proxy {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.pass(request))
    }
}

/// Turns the headers of a request that came here into those of the one that goes on.
fn forward(headers: &mut HeaderMap, peer: Option<SocketAddr>, authority: &Authority) {
    strip(headers);
    let host = headers.insert(header::HOST, header_of(authority.as_str()));
    let Some(peer) = peer else { return };
    let mut chain = peer.ip().to_canonical().to_string();
    let earlier: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    if !earlier.is_empty() {
        chain = format!("{}, {chain}", earlier.join(", "));
    }
    headers.insert(X_FORWARDED_FOR, header_of(&chain));
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

fn header_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Takes off what is of one connection only.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base_urls_of_servers_are_taken() {
        let take =
            |base| Proxy::new(base, &ProxySettings::default()).map(|proxy| proxy.uri(&"/a?b=c".parse().unwrap()));
        assert_eq!(take("http://spin:3000").unwrap().unwrap(), "http://spin:3000/a?b=c");
        assert_eq!(take("https://plaza.example/base/").unwrap().unwrap(), "https://plaza.example/base/a?b=c");
        for bad in ["", "spin:3000", "/x", "ftp://spin", "http://spin/?x=1", "http://user:word@spin"] {
            assert!(take(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_of_one_connection_stays_there_and_the_client_is_named() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("transfer-encoding", "chunked"),
            ("host", "chat.example"),
            ("x-forwarded-for", "10.1.1.1"),
            ("authorization", "Bearer x"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        forward(&mut headers, Some("[::ffff:192.0.2.7]:4000".parse().unwrap()), &"spin:80".parse().unwrap());
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(
            left,
            [
                "authorization: Bearer x",
                "host: spin:80",
                "x-forwarded-for: 10.1.1.1, 192.0.2.7",
                "x-forwarded-host: chat.example",
                "x-forwarded-proto: http",
            ]
        );
    }
}
