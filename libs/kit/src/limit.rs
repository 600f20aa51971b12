//! Limits on how often somebody may ask: so many requests in a window of time, counted in the key-value store `limits`.
//!
//! A request is counted with one operation on the store. Every answer of a request that was counted says what is left
//! (draft-ietf-httpapi-ratelimit-headers), and one too many is refused with 429.
//!
//! A store that does not answer limits nobody: that is in the log, and the front door's own limit by address still holds.

use crate::key_value::KeyValue;
use crate::{Reply, Request, clock, secret, variable};
use plaza_address as address;
use plaza_domain::Problem;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The key-value store that counts.
pub const STORE: &str = "limits";

/// A limit of one kind of request.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What clients know it by.
    pub name: &'static str,
    /// The variable that says how many requests a window has; 0: any number.
    pub variable: &'static str,
    /// The length of a window: whole seconds, at most an hour, as that is how long the store keeps what it counts.
    pub window: Duration,
}

/// For whoever reads out what is there, name by name or word by word: searches of users and in messages count together.
pub const SEARCH: Rule =
    Rule { name: "search", variable: "search_per_user_per_minute", window: Duration::from_mins(1) };

/// What is left of a limit.
struct Left {
    name: &'static str,
    quota: u64,
    remaining: u64,
    /// Seconds.
    window: u64,
    /// Seconds until the next window.
    reset: u64,
}

thread_local! {
    /// The limits that this request was counted by. An instance answers one request.
    static COUNTED: RefCell<Vec<Left>> = const { RefCell::new(Vec::new()) };
}

/// Counts a request of this subject; 429 where it is one too many.
///
/// A window begins at another moment for each subject, so that they do not all come back at once.
pub fn take(rule: &Rule, subject: &str) -> Result<(), Problem> {
    let quota = variable::number(rule.variable)?;
    if quota == 0 {
        return Ok(());
    }
    let subject = secret::hash(subject);
    let window = rule.window.as_secs().max(1);
    let offset: u64 = subject.bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % window);
    let now = clock::now().unix_seconds().unsigned_abs() + offset;
    let (number, reset) = (now / window, window - now % window);
    let counted = KeyValue::open(STORE).and_then(|store| store.count(&format!("{}:{subject}:{number}", rule.name)));
    // The failure is in the log.
    let Ok(count) = counted else { return Ok(()) };
    let count = count.unsigned_abs();
    let left = Left { name: rule.name, quota, remaining: quota.saturating_sub(count), window, reset };
    COUNTED.with_borrow_mut(|counted| counted.push(left));
    if count <= quota {
        return Ok(());
    }
    Err(Problem::new(429, "rate_limited", format!("Too many requests; there may be more in {reset} s."))
        .with_header("retry-after", reset.to_string()))
}

/// What counts as one client by its address, whichever proxies named in the variable `trusted_proxies` it came through.
pub fn client_address(request: &Request) -> Result<String, Problem> {
    let trusted = address::networks(&variable::required("trusted_proxies")?).map_err(|error| {
        eprintln!("variable \"trusted_proxies\": {error}");
        Problem::internal()
    })?;
    let peer = request.header("spin-client-addr").unwrap_or_default();
    let peer = peer.parse::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded_for: Vec<&str> =
        request.headers().get_all("x-forwarded-for").iter().filter_map(|header| header.to_str().ok()).collect();
    Ok(address::subscriber(address::client(peer, forwarded_for.into_iter(), &trusted)).to_string())
}

/// Says in an answer what is left of the limits that its request was counted by.
pub(crate) fn tell(reply: &mut Reply) {
    let (policies, left) = COUNTED.with_borrow(|counted| (list(counted, Left::policy), list(counted, Left::left)));
    for (name, value) in [("ratelimit-policy", policies), ("ratelimit", left)] {
        if let Ok(value) = http::HeaderValue::try_from(value)
            && !value.is_empty()
        {
            reply.headers_mut().insert(name, value);
        }
    }
}

impl Left {
    fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.quota, self.window)
    }

    fn left(&self) -> String {
        format!("\"{}\";r={};t={}", self.name, self.remaining, self.reset)
    }
}

fn list(counted: &[Left], item: impl Fn(&Left) -> String) -> String {
    counted.iter().map(item).collect::<Vec<_>>().join(", ")
}
