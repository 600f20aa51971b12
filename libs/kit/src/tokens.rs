//! Access tokens: JWTs in the profile of RFC 9068, signed by the algorithm that the signing key names.

use crate::auth::Caller;
use crate::{clock, secret, variable};
use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ES256KeyPair, ES256PublicKey, Ed25519KeyPair,
    Ed25519PublicKey, EdDSAKeyPairLike, EdDSAPublicKeyLike, HeaderOptions, JWTClaims, RS256KeyPair, RS256PublicKey,
    RSAKeyPairLike, RSAPublicKeyLike, Token, VerificationOptions,
};
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::{Problem, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `typ` of an access token (RFC 9068, section 2.1).
const TOKEN_TYPE: &str = "at+jwt";

/// `iss`, `aud` and `client_id`: Plaza issues for itself.
const ISSUER: &str = "plaza";

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Extra {
    client_id: String,
    sid: SessionId,
    username: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

/// Signs a token for this session. Returns it with the caller whom it stands for.
pub fn sign(
    user_id: UserId,
    username: &str,
    session_id: SessionId,
    roles: Vec<String>,
) -> Result<(String, Caller), Problem> {
    let now = clock::now();
    let lifetime = std::time::Duration::from_secs(variable::number("access_token_ttl_seconds")?);
    let expires_at = Timestamp::from_unix_ms(now.after(lifetime).unix_seconds() * 1000);
    let (client_id, name) = (ISSUER.to_owned(), username.to_owned());
    let extra = Extra { client_id, sid: session_id, username: name, roles: roles.clone() };
    let mut claims = Claims::with_custom_claims(extra, Duration::from_secs(lifetime.as_secs()))
        .with_issuer(ISSUER)
        .with_audience(ISSUER)
        .with_subject(user_id.to_string())
        .with_jwt_id(secret::new());
    // One clock: the token ends when we say that it does.
    claims.expires_at = Some(Duration::from_secs(expires_at.unix_seconds().unsigned_abs()));
    let options = HeaderOptions { signature_type: Some(TOKEN_TYPE.to_owned()), ..HeaderOptions::default() };

    let jwk = variable::required("token_signing_key")?;
    let fields: Value = serde_json::from_str(&jwk).map_err(|error| refuse(&error))?;
    let token = match fields["alg"].as_str() {
        Some("EdDSA") => Ed25519KeyPair::from_jwk(&jwk).and_then(|key| key.sign_with_options(claims, &options)),
        Some("ES256") => ES256KeyPair::from_jwk(&jwk).and_then(|key| key.sign_with_options(claims, &options)),
        Some("RS256") => RS256KeyPair::from_jwk(&jwk).and_then(|key| key.sign_with_options(claims, &options)),
        other => return Err(refuse(&format!("the signing key's alg is {other:?}, not EdDSA, ES256 or RS256"))),
    };
    let caller = Caller { user_id, username: username.to_owned(), session_id, expires_at, roles };
    token.map(|token| (token, caller)).map_err(|error| refuse(&error))
}

/// Whom a token stands for, if its signature, its type and its times are good. The key is the one of the key set
/// (RFC 7517) whose `kid` the token names; the algorithm is the key's own, whatever the token says.
pub fn verify(token: &str) -> Result<Option<Caller>, Problem> {
    let Ok(metadata) = Token::decode_metadata(token) else { return Ok(None) };
    let Some(key_id) = metadata.key_id() else { return Ok(None) };
    let key_set: Value = serde_json::from_str(&variable::required("token_keys")?).map_err(|error| refuse(&error))?;
    let mut keys = key_set["keys"].as_array().into_iter().flatten();
    let Some(key) = keys.find(|key| key["kid"].as_str() == Some(key_id)) else { return Ok(None) };

    let only_us = || Some(std::iter::once(ISSUER.to_owned()).collect());
    let options = || VerificationOptions {
        required_signature_type: Some(TOKEN_TYPE.to_owned()),
        allowed_issuers: only_us(),
        allowed_audiences: only_us(),
        max_token_length: Some(TOKEN_BYTES_MAX),
        time_tolerance: Some(Duration::from_secs(0)),
        ..VerificationOptions::default()
    };
    let jwk = key.to_string();
    let claims = match key["alg"].as_str() {
        Some("EdDSA") => {
            Ed25519PublicKey::from_jwk(&jwk).map_err(|error| refuse(&error))?.verify_token(token, Some(options()))
        }
        Some("ES256") => {
            ES256PublicKey::from_jwk(&jwk).map_err(|error| refuse(&error))?.verify_token(token, Some(options()))
        }
        Some("RS256") => {
            RS256PublicKey::from_jwk(&jwk).map_err(|error| refuse(&error))?.verify_token(token, Some(options()))
        }
        other => return Err(refuse(&format!("key {key_id:?} has alg {other:?}, not EdDSA, ES256 or RS256"))),
    };
    Ok(claims.ok().and_then(caller))
}

fn caller(claims: JWTClaims<Extra>) -> Option<Caller> {
    let seconds = i64::try_from(claims.expires_at?.as_secs()).ok()?;
    Some(Caller {
        user_id: claims.subject?.parse().ok()?,
        username: claims.custom.username,
        session_id: claims.custom.sid,
        expires_at: Timestamp::from_unix_ms(seconds.checked_mul(1000)?),
        roles: claims.custom.roles,
    })
}

fn refuse(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("access token: {error}");
    Problem::internal()
}
