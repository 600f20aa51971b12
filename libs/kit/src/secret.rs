//! Random bytes, secrets made of them, and the hashes that are kept in their place.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Random bytes from the host's cryptographic source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&wasi::random::random::get_random_bytes(N as u64));
    bytes
}

/// A secret to hand out: 256 random bits.
pub fn new() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(random::<32>())
}

/// What is kept of a secret: SHA-256, which suffices for what cannot be guessed.
pub fn hash(secret: &str) -> String {
    hash_bytes(secret.as_bytes())
}

/// SHA-256 of any bytes: 43 characters of base64url.
pub fn hash_bytes(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}
