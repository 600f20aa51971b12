//! The front door: what every request from outside passes before anything else looks at it. It finds out who the client is, counts
//! its requests, and answers browsers that ask whether they may (CORS).

use crate::{Body, REQUEST_ID, Upstream, X_FORWARDED_FOR, full, problem, request_id};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use plaza_address::{self as address, Network};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The window of the general limit.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are counted at once. When there are more, those that have asked for nothing lately are forgotten; requests of
/// further ones are let through without being counted. Metric: `plaza_addresses_limit_hits_total`.
const ADDRESSES_MAX: usize = 100_000;

/// How often those who have asked for nothing lately are looked for, while the table is full.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

/// What is counted. The rest is pages and their parts, and what is asked by machines that watch over this one.
const COUNTED: &str = "/api/";

/// Seconds that a browser may remember the answer to its question whether it may.
const PREFLIGHT_SECONDS: u32 = 7_200;

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Allow, Content-Disposition, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, \
     WWW-Authenticate, X-Request-Id",
);

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How the front door lets in.
#[derive(Clone, Debug, Default)]
pub struct FrontSettings {
    /// Requests that one client may make a minute: an IPv4 address, or an IPv6 network of 64 bits. 0: any number.
    pub requests_per_minute: u32,
    /// The origins whose pages may read answers; `*` is every one.
    pub cors_origins: Vec<HeaderValue>,
    /// Who is believed when it says, by `X-Forwarded-For`, from whom a request came. Its own requests are not counted.
    pub trusted_proxies: Vec<Network>,
}

/// Lets requests in to `next`.
pub struct Front {
    next: Arc<dyn Upstream>,
    settings: FrontSettings,
    addresses: Addresses,
}

impl Front {
    /// In front of `next`.
    pub fn new(next: Arc<dyn Upstream>, settings: FrontSettings) -> Self {
        let addresses = Addresses::new(settings.requests_per_minute, Instant::now());
        Self { next, settings, addresses }
    }

    async fn pass(&self, mut request: Request<Body>) -> Response<Body> {
        let id = request_id(request.headers(), None);
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let allowed = origin.as_ref().and_then(|origin| self.allowed(origin));
        let mut response =
            if self.is_preflight(&request) { preflight(allowed.is_some()) } else { self.limited(request, &id).await };
        let headers = response.headers_mut();
        headers.entry(REQUEST_ID).or_insert(id);
        // No answer is anything else than it says, and tickets in addresses are nobody's business.
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
        headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
        self.say_who_may_read(headers, allowed);
        response
    }

    /// Counts the request and lets it in, unless it is one too many.
    async fn limited(&self, mut request: Request<Body>, id: &HeaderValue) -> Response<Body> {
        let Some(client) = self.find_client(&mut request) else { return self.next.call(request).await };
        let is_counted = request.uri().path().starts_with(COUNTED) && !self.is_trusted(client);
        let turn = if is_counted { self.addresses.take(client, Instant::now()) } else { None };
        let Some(turn) = turn else { return self.next.call(request).await };
        let mut response = if turn.retry_after.is_none() {
            self.next.call(request).await
        } else {
            metrics::counter!("plaza_rate_limited_total", "limit" => "address").increment(1);
            let detail = "Too many requests from this address.";
            problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail, id.to_str().unwrap_or_default())
        };
        turn.tell(self.settings.requests_per_minute, response.headers_mut());
        response
    }

    /// The client of a request from outside, which the request is given as its peer. One without a peer comes from inside.
    fn find_client(&self, request: &mut Request<Body>) -> Option<IpAddr> {
        let peer = *request.extensions().get::<SocketAddr>()?;
        let named = request.headers().get_all(X_FORWARDED_FOR);
        let named: Vec<&str> = named.iter().filter_map(|value| value.to_str().ok()).collect();
        let client = address::client(peer.ip(), named.into_iter(), &self.settings.trusted_proxies);
        if client != peer.ip() {
            request.extensions_mut().insert(SocketAddr::new(client, 0));
        }
        Some(client)
    }

    fn is_trusted(&self, client: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(client))
    }

    /// What `Access-Control-Allow-Origin` says to this origin, if it is allowed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let origins = &self.settings.cors_origins;
        // Tokens stand in a header that a page must set itself; there are no cookies, so everyone may be allowed.
        origins
            .iter()
            .find(|allowed| *allowed == "*")
            .or_else(|| origins.iter().find(|allowed| *allowed == origin))
            .cloned()
    }

    fn is_preflight(&self, request: &Request<Body>) -> bool {
        !self.settings.cors_origins.is_empty()
            && request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ORIGIN)
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    fn say_who_may_read(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        if self.settings.cors_origins.is_empty() {
            return;
        }
        if self.settings.cors_origins.iter().all(|origin| origin != "*") {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }
}

impl Upstream for Front {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.pass(request))
    }
}

/// The answer to a browser that asks whether a page may send what it wants to send.
fn preflight(is_allowed: bool) -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    if is_allowed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS.into());
    }
    response
}

/// Counts requests by address: each takes up a part of the window, and whoever has taken up all of it must wait until some of it has
/// passed (the generic cell rate algorithm: no moment at which everything is allowed again at once).
struct Addresses {
    /// Requests in a window; 0: nobody is counted.
    quota: u32,
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Until when each address has used up its time, since the beginning.
    used_until: HashMap<IpAddr, Duration>,
    /// When the table was last looked through because it was full.
    forgot_at: Option<Duration>,
}

/// What became of a request that was counted.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    /// Requests that are left.
    remaining: u32,
    /// The time after which all of them are there again.
    reset: Duration,
    /// Where there was none left: the time after which there is one.
    retry_after: Option<Duration>,
}

impl Addresses {
    fn new(quota: u32, began: Instant) -> Self {
        Self { quota, began, seen: Mutex::default() }
    }

    /// Counts a request; nothing where it is not counted.
    fn take(&self, address: IpAddr, now: Instant) -> Option<Turn> {
        let cost = WINDOW.checked_div(self.quota)?;
        let now = now.saturating_duration_since(self.began);
        let address = address::subscriber(address);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.has_room_for(&address, now) {
            return None;
        }
        let used_until = seen.used_until.get(&address).map_or(now, |until| (*until).max(now));
        let would_use = used_until + cost;
        let retry_after = would_use.saturating_sub(now).checked_sub(WINDOW).filter(|wait| !wait.is_zero());
        let used = if retry_after.is_none() { would_use } else { used_until };
        seen.used_until.insert(address, used);
        let left = WINDOW.saturating_sub(used.saturating_sub(now)).as_nanos() / cost.as_nanos().max(1);
        Some(Turn {
            remaining: u32::try_from(left).unwrap_or(self.quota),
            reset: used.saturating_sub(now),
            retry_after,
        })
    }
}

impl Seen {
    fn has_room_for(&mut self, address: &IpAddr, now: Duration) -> bool {
        if self.used_until.len() < ADDRESSES_MAX || self.used_until.contains_key(address) {
            return true;
        }
        metrics::counter!("plaza_addresses_limit_hits_total").increment(1);
        if self.forgot_at.is_none_or(|at| now.saturating_sub(at) >= FORGET_INTERVAL) {
            self.used_until.retain(|_, until| *until > now);
            self.forgot_at = Some(now);
        }
        self.used_until.len() < ADDRESSES_MAX
    }
}

impl Turn {
    /// Says it in the answer (draft-ietf-httpapi-ratelimit-headers), beside what the function says of its own limits.
    fn tell(&self, quota: u32, headers: &mut HeaderMap) {
        let policy = format!("\"address\";q={quota};w={}", WINDOW.as_secs());
        let left = format!("\"address\";r={};t={}", self.remaining, whole_seconds(self.reset));
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(name, value);
            }
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_has_its_requests_and_each_comes_back_by_itself() {
        let began = Instant::now();
        let addresses = Addresses::new(60, began);
        let take = |seconds: u64| addresses.take(ip("192.0.2.1"), began + Duration::from_secs(seconds)).unwrap();
        for remaining in (0..60).rev() {
            let turn = take(0);
            assert_eq!((turn.remaining, turn.retry_after), (remaining, None));
        }
        let refused = take(0);
        assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_secs(1))));
        assert_eq!(refused.reset, WINDOW);
        assert_eq!(take(1).retry_after, None, "a second later there is one");
        assert!(take(1).retry_after.is_some());
        assert_eq!(take(300).remaining, 59);
        assert_eq!(addresses.take(ip("192.0.2.2"), began).unwrap().remaining, 59, "another address is another client");
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_none_are_counted_where_there_is_no_limit() {
        let began = Instant::now();
        let addresses = Addresses::new(2, began);
        assert_eq!(addresses.take(ip("2001:db8::1"), began).unwrap().remaining, 1);
        assert_eq!(addresses.take(ip("2001:db8::2"), began).unwrap().remaining, 0);
        assert!(addresses.take(ip("2001:db8::3"), began).unwrap().retry_after.is_some());
        assert_eq!(addresses.take(ip("2001:db8:0:1::1"), began).unwrap().remaining, 1);
        assert_eq!(Addresses::new(0, began).take(ip("192.0.2.1"), began), None);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_has_asked_for_nothing_lately() {
        let began = Instant::now();
        let addresses = Addresses::new(60, began);
        let nth = |n: usize| IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
        for n in 0..ADDRESSES_MAX {
            assert!(addresses.take(nth(n), began).is_some());
        }
        assert_eq!(addresses.take(nth(ADDRESSES_MAX), began), None, "let through, and not counted");
        assert!(addresses.take(nth(0), began).is_some(), "those who are counted stay so");
        let later = began + Duration::from_secs(5);
        assert!(addresses.take(nth(ADDRESSES_MAX), later).is_some());
        assert_eq!(addresses.seen.lock().unwrap().used_until.len(), 1);
    }
}
