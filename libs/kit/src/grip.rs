//! Streams, held open by a GRIP proxy: Plaza's relay, Pushpin or Fastly Fanout.
//!
//! A function decides who may listen to what; the proxy holds the connection. The answer names the channels, and a link
//! at which the proxy asks again when they may have changed. The link carries a pass that only this application can sign,
//! so that nothing of the client's is needed for the second look.

use crate::auth::{self, Caller};
use crate::{Reply, Request, clock, reply, variable};
use jwt_simple::prelude::{Claims, Duration, HS256Key, MACLike, NoCustomClaims, VerificationOptions};
use plaza_domain::event::Channel;
use plaza_domain::{Problem, Timestamp};
use serde::{Deserialize, Serialize};

/// Seconds between the comments that keep intermediaries from closing a quiet stream.
const KEEP_ALIVE_SECONDS: u32 = 25;

/// How many channels stand in one `Grip-Channel`: HTTP clients take a hundred fields.
const CHANNELS_PER_FIELD: usize = 64;

/// `iss` of a pass.
const PASS_ISSUER: &str = "plaza-stream";

#[derive(Debug, Serialize, Deserialize)]
struct Pass {
    caller: Caller,
}

/// The caller of a stream, by the token in the header, or on a second look by the pass in the link.
/// `None` where there is neither: a ticket may stand in for them.
pub async fn caller(request: &Request) -> Result<Option<Caller>, Problem> {
    require_proxy(request)?;
    if let Some(pass) = request.query("pass") {
        let options = VerificationOptions {
            allowed_issuers: Some(std::iter::once(PASS_ISSUER.to_owned()).collect()),
            ..VerificationOptions::default()
        };
        let claims = key()?.verify_token::<Pass>(&pass, Some(options)).map_err(|_| auth::invalid_token())?;
        let caller = claims.custom.caller;
        still_signed_in(&caller).await?;
        return Ok(Some(caller));
    }
    match auth::bearer(request) {
        Some(_) => auth::caller(request).await.map(Some),
        None => Ok(None),
    }
}

/// Refuses a caller whose session or token has ended since they were last looked at.
pub async fn still_signed_in(caller: &Caller) -> Result<(), Problem> {
    if caller.expires_at > clock::now() && auth::is_alive(caller.session_id).await? {
        return Ok(());
    }
    Err(auth::invalid_token())
}

/// Holds the stream open for `caller` on these channels, until the token's end at the latest. While it is open they are there, and
/// it ends with their session.
pub fn hold(request: &Request, caller: &Caller, channels: &[Channel]) -> Result<Reply, Problem> {
    let left = remaining(caller.expires_at);
    let claims =
        Claims::with_custom_claims(Pass { caller: caller.clone() }, Duration::from_secs(left)).with_issuer(PASS_ISSUER);
    let pass = key()?.authenticate(claims).map_err(|error| refuse(&error))?;
    let path = request.path_and_query().split('?').next().unwrap_or("/");
    let mut builder = http::Response::builder()
        .status(200)
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-store")
        .header("x-accel-buffering", "no")
        .header("grip-hold", "stream")
        .header("grip-keep-alive", format!(":\\n\\n; format=cstring; timeout={KEEP_ALIVE_SECONDS}"))
        .header("grip-link", format!("<{path}?pass={pass}>; rel=next"))
        .header("grip-timeout", left);
    let own = [Channel::presence(caller.user_id), Channel::session(caller.session_id)];
    let names: Vec<&str> = own.iter().chain(channels).map(Channel::name).collect();
    for names in names.chunks(CHANNELS_PER_FIELD) {
        builder = builder.header("grip-channel", names.join(","));
    }
    reply::build(builder, Vec::new())
}

/// Without a proxy that holds it, a stream would end as soon as it began: better to say so.
fn require_proxy(request: &Request) -> Result<(), Problem> {
    let signature = request.header("grip-sig").unwrap_or_default();
    match key()?.verify_token::<NoCustomClaims>(signature, None) {
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::new(
            501,
            "no_grip_proxy",
            "Streams are served through a GRIP proxy, which signs its requests.",
        )),
    }
}

fn key() -> Result<HS256Key, Problem> {
    Ok(HS256Key::from_bytes(variable::required("grip_key")?.as_bytes()))
}

fn remaining(until: Timestamp) -> u64 {
    until.since(clock::now()).as_secs()
}

fn refuse(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("stream: {error}");
    Problem::internal()
}
