//! Changes that are made once however often they are asked for, by `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! The key is taken in the transaction of the change, and the answer is stored in it: after a crash there is both or neither.
//! Of two that come with the same key at once, the second waits where it takes the key, and finds the first one's answer. A
//! refusal rolls the change back, the key with it: it is not stored, and the same key may be tried again.

use super::{Change, Database};
use crate::store::Column;
use crate::{Reply, Request, clock, params, secret};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use plaza_domain::{Problem, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::time::Duration;

/// The header that the key comes in.
const HEADER: &str = "idempotency-key";

/// The header by which a repeat's answer is known: its value is `true`.
const REPLAYED: &str = "idempotency-replayed";

/// The longest key, in characters of visible ASCII.
const KEY_LENGTH_MAX: usize = 255;

/// How long a key and its answer are kept.
const KEPT: Duration = Duration::from_hours(24);

/// One change in so many that stores an answer also removes old ones, so that those who do are rarely in each other's way.
const REMOVES_ONE_IN: u8 = 8;

/// The most old answers that are removed with one change: several times what such a change stands for.
const REMOVED_AT_ONCE_MAX: u32 = 64;

/// A request's key, and what it came with.
#[derive(Debug)]
struct Keyed {
    scope: String,
    key_hash: String,
    fingerprint: String,
    seal: Option<Seal>,
}

#[cfg(feature = "seal")]
use crate::seal::Seal;

/// Without the feature nothing is sealed.
#[cfg(not(feature = "seal"))]
#[derive(Debug)]
enum Seal {}

#[cfg(not(feature = "seal"))]
impl Seal {
    fn close(&self, _: &[u8]) -> Result<String, Problem> {
        match *self {}
    }

    fn open(&self, _: &str) -> Result<Vec<u8>, Problem> {
        match *self {}
    }
}

/// An answer as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Database {
    /// Makes a change as [`Database::transaction`] does, and answers with what it says; but where the request has an
    /// `Idempotency-Key`, only the first time: a repeat changes nothing and is given the first answer.
    ///
    /// A key belongs to its `scope`: the caller's user id, or the name of a route without a caller. The same key with another
    /// method, path or body is refused.
    pub async fn once(
        &self,
        request: &Request,
        scope: impl Display,
        change: impl AsyncFn(&Change<'_>) -> Result<Reply, Problem>,
    ) -> Result<Reply, Problem> {
        self.once_by(Keyed::plain(request, &scope)?.as_ref(), change).await
    }

    /// The same for an answer that is a secret, or a request that has a password in it: of both there is only in the database
    /// what nobody can use without the variable `seal_key` and the `Idempotency-Key` itself.
    #[cfg(feature = "seal")]
    pub async fn once_sealed(
        &self,
        request: &Request,
        scope: impl Display,
        change: impl AsyncFn(&Change<'_>) -> Result<Reply, Problem>,
    ) -> Result<Reply, Problem> {
        self.once_by(Keyed::sealed(request, &scope)?.as_ref(), change).await
    }

    /// The answer that [`Database::once`] would repeat, if this request is a repeat: for those who look at something that may
    /// have changed since, before they begin the change.
    pub async fn repeated(&self, request: &Request, scope: impl Display) -> Result<Option<Reply>, Problem> {
        self.repeated_by(Keyed::plain(request, &scope)?.as_ref()).await
    }

    /// The same for [`Database::once_sealed`].
    #[cfg(feature = "seal")]
    pub async fn repeated_sealed(&self, request: &Request, scope: impl Display) -> Result<Option<Reply>, Problem> {
        self.repeated_by(Keyed::sealed(request, &scope)?.as_ref()).await
    }

    async fn repeated_by(&self, keyed: Option<&Keyed>) -> Result<Option<Reply>, Problem> {
        let Some(keyed) = keyed else { return Ok(None) };
        let row = self.query_one(LOOK, &params![keyed.scope, keyed.key_hash, oldest_kept()]).await?;
        row.map(|row| keyed.replay(&row)).transpose()
    }

    async fn once_by(
        &self,
        keyed: Option<&Keyed>,
        body: impl AsyncFn(&Change<'_>) -> Result<Reply, Problem>,
    ) -> Result<Reply, Problem> {
        let Some(keyed) = keyed else { return self.transaction(body).await };
        self.transaction(async |change| {
            if !keyed.take(change).await? {
                // The first look of this change, so it sees what has made the key taken.
                let first = change.query_one(LOOK, &params![keyed.scope, keyed.key_hash, oldest_kept()]).await?;
                if let Some(first) = first {
                    return keyed.replay(&first);
                }
                let remove = "DELETE FROM idempotency_keys WHERE scope = ? AND key_hash = ?";
                change.execute(remove, &params![keyed.scope, keyed.key_hash]).await?;
                if !keyed.take(change).await? {
                    return Err(change.again());
                }
            }
            let reply = body(change).await?;
            keyed.store(change, &reply).await?;
            Ok(reply)
        })
        .await
    }
}

/// What a key that is still kept was answered with.
const LOOK: &str =
    "SELECT fingerprint, answer FROM idempotency_keys WHERE scope = ? AND key_hash = ? AND created_at > ?";

/// Whether an answer is a repeated one.
pub fn is_replayed(reply: &Reply) -> bool {
    reply.headers().contains_key(REPLAYED)
}

/// The key of a request, if it has one; 400 where it is none.
pub fn key(request: &Request) -> Result<Option<&str>, Problem> {
    let mut given = request.headers().get_all(HEADER).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let key = first.to_str().unwrap_or_default();
    let is_good = (1..=KEY_LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good && given.next().is_none() {
        return Ok(Some(key));
    }
    Err(Problem::bad_request(
        "invalid_idempotency_key",
        "Idempotency-Key must come once and be 1 to 255 visible ASCII characters.",
    ))
}

impl Keyed {
    fn plain(request: &Request, scope: &impl Display) -> Result<Option<Self>, Problem> {
        let Some(key) = key(request)? else { return Ok(None) };
        let fingerprint = BASE64_URL_SAFE_NO_PAD.encode(digest(request, key));
        Ok(Some(Self { scope: scope.to_string(), key_hash: secret::hash(key), fingerprint, seal: None }))
    }

    #[cfg(feature = "seal")]
    fn sealed(request: &Request, scope: &impl Display) -> Result<Option<Self>, Problem> {
        let Some(key) = key(request)? else { return Ok(None) };
        let scope = scope.to_string();
        let (seal, fingerprint) =
            Seal::new(&crate::variable::required("seal_key")?, &scope, key, &digest(request, key))?;
        Ok(Some(Self { scope, key_hash: secret::hash(key), fingerprint, seal: Some(seal) }))
    }

    /// Takes the key for this change; `false` where it is taken. Waits while another change holds it.
    async fn take(&self, change: &Change<'_>) -> Result<bool, Problem> {
        let sql = "INSERT INTO idempotency_keys (scope, key_hash, fingerprint, created_at) VALUES (?, ?, ?, ?)";
        change.insert_new(sql, &params![self.scope, self.key_hash, self.fingerprint, clock::now()]).await
    }

    /// The first answer, if this is the request that it was given to.
    fn replay(&self, row: &super::Row) -> Result<Reply, Problem> {
        if row.get::<String>(0)? != self.fingerprint {
            return Err(Problem::new(
                422,
                "idempotency_key_reused",
                "This Idempotency-Key came with another request before. Use a new one.",
            ));
        }
        let answer: String = row.get(1)?;
        let opened = match &self.seal {
            Some(seal) => seal.open(&answer)?,
            None => answer.into_bytes(),
        };
        let stored: Stored = serde_json::from_slice(&opened).map_err(|error| refuse(&error))?;
        let mut builder = http::Response::builder().status(stored.status).header(REPLAYED, "true");
        for (name, value) in stored.headers {
            builder = builder.header(name, value);
        }
        crate::reply::build(builder, stored.body.into_bytes())
    }

    /// Stores the answer with its change; now and then old ones go.
    async fn store(&self, change: &Change<'_>, reply: &Reply) -> Result<(), Problem> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).map_err(|error| refuse(&error));
        let headers = reply.headers().iter().map(|(name, value)| Ok((name.to_string(), text(value.as_bytes())?)));
        let stored = Stored {
            status: reply.status().as_u16(),
            headers: headers.collect::<Result<_, Problem>>()?,
            body: text(reply.body())?,
        };
        let plain = serde_json::to_string(&stored).map_err(|error| refuse(&error))?;
        let answer = match &self.seal {
            Some(seal) => seal.close(plain.as_bytes())?,
            None => plain,
        };
        let sql = "UPDATE idempotency_keys SET answer = ? WHERE scope = ? AND key_hash = ?";
        change.execute(sql, &params![answer, self.scope, self.key_hash]).await?;
        let [lot] = secret::random::<1>();
        if lot.is_multiple_of(REMOVES_ONE_IN) { remove_old(change).await } else { Ok(()) }
    }
}

impl Change<'_> {
    /// Forgets what was answered to a user who is gone.
    pub async fn forget_answers(&self, scope: impl Display) -> Result<(), Problem> {
        self.execute("DELETE FROM idempotency_keys WHERE scope = ?", &params![scope.to_string()]).await
    }
}

/// Removes some of the keys that are no longer kept. They are looked up first: deleting a range locks its edge even where nothing
/// is in it.
async fn remove_old(change: &Change<'_>) -> Result<(), Problem> {
    let sql = "SELECT scope, key_hash FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?";
    let old = change.query(sql, &params![oldest_kept(), REMOVED_AT_ONCE_MAX]).await?;
    if old.is_empty() {
        return Ok(());
    }
    let mut keys = Vec::with_capacity(2 * old.len());
    for row in &old {
        keys.extend([row.get::<String>(0)?.to_value(), row.get::<String>(1)?.to_value()]);
    }
    let each = vec!["(scope = ? AND key_hash = ?)"; old.len()].join(" OR ");
    change.execute(&format!("DELETE FROM idempotency_keys WHERE {each}"), &keys).await
}

/// What was stored before this is no longer kept.
fn oldest_kept() -> Timestamp {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(clock::now().unix_ms().saturating_sub(kept))
}

/// Tells one request from another. The key is part of it, so that nobody who has only the hash can try out what the body was.
fn digest(request: &Request, key: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in [key.as_bytes(), request.method().as_bytes(), request.path_and_query().as_bytes(), request.body()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn refuse(error: &dyn Display) -> Problem {
    eprintln!("stored answer: {error}");
    Problem::internal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(keys: &[&str], path: &str, body: &'static str) -> Request {
        let mut builder = http::Request::builder().method("POST").uri(path);
        for key in keys {
            builder = builder.header(HEADER, http::HeaderValue::from_bytes(key.as_bytes()).unwrap());
        }
        Request::new(builder.body(Bytes::from(body)).unwrap())
    }

    #[test]
    fn a_key_is_visible_ascii_and_comes_once() {
        assert_eq!(key(&request(&[], "/", "")), Ok(None));
        let longest = "k".repeat(KEY_LENGTH_MAX);
        for good in ["0", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "!~", &longest] {
            assert_eq!(key(&request(&[good], "/", "")), Ok(Some(good)));
        }
        let too_long = "k".repeat(KEY_LENGTH_MAX + 1);
        for bad in [&[""][..], &["two words"], &["열쇠"], &[&too_long], &["one", "two"], &["same", "same"]] {
            let problem = key(&request(bad, "/", "")).unwrap_err();
            assert_eq!((problem.status, problem.code), (400, "invalid_idempotency_key"), "{bad:?}");
        }
    }

    #[test]
    fn a_fingerprint_tells_requests_apart() {
        let of = |key: &str, path, body| digest(&request(&[], path, body), key);
        let first = of("k", "/a", "{}");
        assert_eq!(first, of("k", "/a", "{}"));
        for other in [of("j", "/a", "{}"), of("k", "/b", "{}"), of("k", "/a", "{ }"), of("k", "/a{", "}")] {
            assert_ne!(first, other);
        }
    }
}
