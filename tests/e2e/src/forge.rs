//! Access tokens that must not be believed (RFC 8725, section 2).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_compact::KeyPair;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().unwrap_or_else(|_| panic!("not a JWT: {token}"))
}

fn decode(part: &str) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_else(|error| panic!("{error} in {part}"));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error} in {part}"))
}

/// The header of a JWT.
pub fn header(token: &str) -> Value {
    decode(parts(token)[0])
}

/// The claims of a JWT.
pub fn claims(token: &str) -> Value {
    decode(parts(token)[1])
}

/// The same claims, unsigned: `alg` is `none`.
pub fn unsigned(token: &str) -> String {
    format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "at+jwt" })), parts(token)[1])
}

/// The same claims, signed with HMAC under a key that anybody can know: what a verifier that lets the token choose the
/// algorithm takes its public key for. The signature is arbitrary: the key cannot be known from outside, so this is
/// only refused for the right reason or for the wrong signature, and both are refusals.
pub fn other_algorithm(token: &str) -> String {
    let mut header = header(token);
    header["alg"] = if header["alg"] == "HS256" { "HS512".into() } else { "HS256".into() };
    format!("{}.{}.{}", encode(&header), parts(token)[1], BASE64_URL_SAFE_NO_PAD.encode([7; 32]))
}

/// The same claims under a header of the attacker's choice, with a signature of `key` by HMAC-SHA-256: what a verifier takes for
/// genuine that lets the token choose the algorithm, and has `key` as its public key.
pub fn hmac(token: &str, header: &Value, key: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), parts(token)[1]);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// The same claims, well signed, but by a key that the token brings along itself.
pub fn own_key(token: &str) -> String {
    let key = KeyPair::generate();
    let mut header = header(token);
    header["alg"] = "EdDSA".into();
    header["jwk"] = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64_URL_SAFE_NO_PAD.encode(*key.pk) });
    let signed = format!("{}.{}", encode(&header), parts(token)[1]);
    let signature = key.sk.sign(&signed, None);
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(*signature))
}

/// The same claims and signature under another name of the key.
pub fn other_key_id(token: &str, kid: &Value) -> String {
    let mut header = header(token);
    header["kid"] = kid.clone();
    let [_, claims, signature] = parts(token);
    format!("{}.{claims}.{signature}", encode(&header))
}

/// Another subject under the old signature.
pub fn other_subject(token: &str, subject: &str) -> String {
    let mut claims = claims(token);
    claims["sub"] = subject.into();
    let [header, _, signature] = parts(token);
    format!("{header}.{}.{signature}", encode(&claims))
}

/// A later end under the old signature.
pub fn prolonged(token: &str) -> String {
    let mut claims = claims(token);
    let end = claims["exp"].as_u64().unwrap_or_else(|| panic!("no exp in {claims}"));
    claims["exp"] = (end + 3600).into();
    let [header, _, signature] = parts(token);
    format!("{header}.{}.{signature}", encode(&claims))
}

/// The same token with one bit of its signature changed.
pub fn broken_signature(token: &str) -> String {
    let [header, claims, signature] = parts(token);
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap_or_else(|error| panic!("{error} in {token}"));
    bytes[0] ^= 1;
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgeries_differ_from_the_original_only_where_they_say() {
        let token = format!(
            "{}.{}.{}",
            encode(&json!({ "alg": "HS256", "kid": "1" })),
            encode(&json!({ "sub": "a", "exp": 10 })),
            BASE64_URL_SAFE_NO_PAD.encode([0; 4])
        );
        assert_eq!(claims(&other_subject(&token, "b")), json!({ "sub": "b", "exp": 10 }));
        assert_eq!(claims(&prolonged(&token)), json!({ "sub": "a", "exp": 3610 }));
        assert_eq!(header(&unsigned(&token))["alg"], "none");
        assert_eq!(header(&other_algorithm(&token)), json!({ "alg": "HS512", "kid": "1" }));
        assert!(broken_signature(&token).starts_with(token.rsplit_once('.').expect("three parts").0));
        assert_ne!(broken_signature(&token), token);
    }
}
