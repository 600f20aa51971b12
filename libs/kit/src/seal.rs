//! Seals what must be stored and yet not be read there: AES-256-GCM, by a key that is made for this one use (HKDF, RFC 5869)
//! of the variable `seal_key` and of words that only the caller has.

use crate::secret;
use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use plaza_domain::Problem;
use sha2::Sha256;

/// The bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// A key that seals one answer.
pub(crate) struct Seal(Aes256Gcm);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// The seal for the request of this digest that came with this key, and a fingerprint of the request from which nobody who
    /// lacks the secret can tell what was in it.
    pub(crate) fn new(secret: &str, scope: &str, key: &str, digest: &[u8]) -> Result<(Self, String), Problem> {
        if secret.is_empty() {
            return Err(refuse(&"the variable seal_key is empty"));
        }
        let source = Hkdf::<Sha256>::new(None, secret.as_bytes());
        let derive = |purpose: &str| {
            // The scope has no NUL and the key is visible: the parts cannot run into each other.
            let words = [b"plaza ", purpose.as_bytes(), b"\0", scope.as_bytes(), b"\0", key.as_bytes(), b"\0", digest];
            let mut derived = [0; 32];
            source.expand_multi_info(&words, &mut derived).map(|()| derived).map_err(|error| refuse(&error))
        };
        let cipher = Aes256Gcm::new(&derive("stored answer")?.into());
        Ok((Self(cipher), BASE64_URL_SAFE_NO_PAD.encode(derive("fingerprint")?)))
    }

    /// Seals.
    pub(crate) fn close(&self, plain: &[u8]) -> Result<String, Problem> {
        let nonce = secret::random::<NONCE_BYTES>();
        let sealed = self.0.encrypt(&Nonce::from(nonce), plain).map_err(|error| refuse(&error))?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what was sealed with the same words.
    pub(crate) fn open(&self, sealed: &str) -> Result<Vec<u8>, Problem> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).map_err(|error| refuse(&error))?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| refuse(&"too short"))?;
        self.0.decrypt(&Nonce::from(*nonce), sealed).map_err(|error| refuse(&error))
    }
}

fn refuse(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("sealed answer: {error}");
    Problem::internal()
}
