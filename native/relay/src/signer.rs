//! `Grip-Sig`: what tells a function that its caller is a proxy that can hold streams.

use http::HeaderValue;
use jwt_simple::prelude::{Claims, Duration as ClaimDuration, HS256Key, MACLike};
use plaza_http::BoxError;
use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

/// `iss` of the token: GRIP asks for it as a hint which key was used.
const ISSUER: &str = "plaza";

/// How long a token is valid.
const VALID: Duration = Duration::from_mins(5);

/// How long one token is used; the rest of its life covers the clocks' difference and the request's own time.
const USED: Duration = Duration::from_secs(30);

/// Signs requests to the function: a JWT (RFC 7519) by HS256, as GRIP asks, made anew every half a minute.
pub(crate) struct Signer {
    key: HS256Key,
    current: RwLock<Option<(Instant, HeaderValue)>>,
}

impl Signer {
    /// A signer with the secret that proxy and functions share. Refused is a secret of less than 12 bytes, which the functions'
    /// library would not verify with either.
    pub(crate) fn new(secret: &[u8]) -> Result<Self, BoxError> {
        let signer = Self { key: HS256Key::from_bytes(secret), current: RwLock::new(None) };
        *signer.current.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), signer.sign()?));
        Ok(signer)
    }

    /// The token of the moment. `None` only if signing fails, which it did not at the start; the function then sees no proxy.
    pub(crate) fn signature(&self) -> Option<HeaderValue> {
        let fresh = |current: &Option<(Instant, HeaderValue)>| {
            current.as_ref().filter(|(since, _)| since.elapsed() < USED).map(|(_, value)| value.clone())
        };
        if let Some(value) = fresh(&self.current.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(value);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = fresh(&current) {
            return Some(value);
        }
        let value = self.sign().inspect_err(|error| tracing::error!(%error, "Grip-Sig cannot be signed")).ok()?;
        *current = Some((Instant::now(), value.clone()));
        Some(value)
    }

    fn sign(&self) -> Result<HeaderValue, BoxError> {
        let claims = Claims::create(ClaimDuration::from_secs(VALID.as_secs())).with_issuer(ISSUER);
        let token = self.key.authenticate(claims).map_err(|error| error.to_string())?;
        let mut value = HeaderValue::try_from(token)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_simple::prelude::NoCustomClaims;

    #[test]
    fn functions_can_verify_it_and_it_is_made_once() {
        let signer = Signer::new(b"a shared secret").expect("long enough");
        let token = signer.signature().expect("token");
        assert_eq!(signer.signature().expect("token"), token);
        assert!(Signer::new(b"short").is_err());
        let key = HS256Key::from_bytes(b"a shared secret");
        let claims = key.verify_token::<NoCustomClaims>(token.to_str().expect("ASCII"), None).expect("valid");
        assert_eq!(claims.issuer.as_deref(), Some("plaza"));
        assert!(claims.expires_at.is_some());
        assert!(
            HS256Key::from_bytes(b"another")
                .verify_token::<NoCustomClaims>(token.to_str().expect("ASCII"), None)
                .is_err()
        );
    }
}
