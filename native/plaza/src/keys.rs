//! The secrets that an installation needs: made once, kept in the state directory, readable by its owner alone.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jwt_simple::prelude::{ES256KeyPair, Ed25519KeyPair, RS256KeyPair};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The signature algorithm of access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Algorithm {
    /// Ed25519: fast to sign and to verify.
    #[value(name = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256.
    #[value(name = "ES256")]
    Es256,
    /// RSA, 2048 bits: what every OpenID Connect client understands, and slow to sign.
    #[value(name = "RS256")]
    Rs256,
}

/// The bits of an RSA key.
const RSA_BITS: usize = 2048;

/// The application's variables that are keys, by their names in `spin.toml`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    /// Private JWK.
    #[serde(rename = "token_signing_key")]
    signing_jwk: String,
    /// JWK set with the public key.
    #[serde(rename = "token_keys")]
    verification_set: String,
    /// Shared between relay and functions.
    #[serde(rename = "grip_key")]
    grip: String,
    /// Shared between triggers and functions. Files of earlier versions have none.
    #[serde(rename = "events_key", default)]
    events: String,
    /// Seals stored answers that are secrets. Files of earlier versions have none.
    #[serde(rename = "seal_key", default)]
    seal: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// New ones.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self> {
        // The key's id is its thumbprint (RFC 7638): it needs no register, and a new key has a new one.
        let (private, public) = match algorithm {
            Algorithm::EdDsa => {
                let key = Ed25519KeyPair::generate();
                let id = key.jwk_thumbprint();
                let key = key.with_key_id(&id);
                (key.to_jwk(), key.public_key().to_jwk())
            }
            Algorithm::Es256 => {
                let key = ES256KeyPair::generate();
                let id = key.jwk_thumbprint();
                let key = key.with_key_id(&id);
                (key.to_jwk(), key.public_key().to_jwk())
            }
            Algorithm::Rs256 => {
                let key = RS256KeyPair::generate(RSA_BITS).context("cannot generate an RSA key")?;
                let id = key.jwk_thumbprint();
                let key = key.with_key_id(&id);
                (key.to_jwk(), key.public_key().to_jwk())
            }
        };
        Ok(Self {
            signing_jwk: private,
            verification_set: format!("{{\"keys\":[{public}]}}"),
            grip: secret()?,
            events: secret()?,
            seal: secret()?,
        })
    }

    /// Those that a file keeps.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        let named = || format!("keys in {}", file.display());
        serde_json::from_reader(File::open(file).with_context(named)?).with_context(named)
    }

    /// Those that the file keeps; made and written on the first call.
    pub(crate) fn load_or_generate(file: &Path) -> Result<Self> {
        let named = || format!("keys in {}", file.display());
        let keys = if file.exists() {
            let mut keys = Self::load(file)?;
            let lacking: Vec<&mut String> =
                [&mut keys.events, &mut keys.seal].into_iter().filter(|key| key.is_empty()).collect();
            if lacking.is_empty() {
                return Ok(keys);
            }
            for key in lacking {
                *key = secret()?;
            }
            keys
        } else {
            Self::generate(Algorithm::EdDsa)?
        };
        // Written beside and renamed, so that a crash leaves a whole file or none.
        let beside = file.with_extension("new");
        let mut handle =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).with_context(named)?;
        handle.write_all(&serde_json::to_vec_pretty(&keys)?).with_context(named)?;
        handle.sync_all().with_context(named)?;
        std::fs::rename(&beside, file).with_context(named)?;
        Ok(keys)
    }

    /// The key that relay and functions share, unless the environment gives another, as it may for every variable.
    pub(crate) fn grip_key(&self) -> String {
        variable("grip_key").unwrap_or_else(|| self.grip.clone())
    }

    /// The key that triggers and functions share, unless the environment gives another.
    pub(crate) fn events_key(&self) -> String {
        variable("events_key").unwrap_or_else(|| self.events.clone())
    }

    /// As the host takes variables.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("token_signing_key".to_owned(), self.signing_jwk.clone()),
            ("token_keys".to_owned(), self.verification_set.clone()),
            ("grip_key".to_owned(), self.grip.clone()),
            ("events_key".to_owned(), self.events.clone()),
            ("seal_key".to_owned(), self.seal.clone()),
        ])
    }

    /// As a shell would set them for a stock Spin.
    pub(crate) fn environment(&self) -> String {
        let line = |(name, value): (String, String)| format!("SPIN_VARIABLE_{}='{value}'\n", name.to_uppercase());
        self.variables().into_iter().map(line).collect()
    }
}

/// An application variable that the environment gives.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase())).ok().filter(|value| !value.is_empty())
}

/// One key of a part that is not beside the functions: from the environment, or from their file.
pub(crate) fn shared(name: &str, file: Option<&Path>, of: impl FnOnce(&Keys) -> String) -> Result<String> {
    if let Some(value) = variable(name) {
        return Ok(value);
    }
    let file = file.with_context(|| {
        let variable = format!("SPIN_VARIABLE_{}", name.to_uppercase());
        format!(
            "{name} is missing: name the functions' keys.json with --keys, or set {variable} as `plaza keys` prints it"
        )
    })?;
    Ok(of(&Keys::load(file)?))
}

/// 256 random bits.
fn secret() -> Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).context("the operating system gives no random bytes")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_simple::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_generated_pair_signs_what_its_set_verifies() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            let keys = Keys::generate(algorithm).unwrap();
            let set: serde_json::Value = serde_json::from_str(&keys.verification_set).unwrap();
            let public = set["keys"][0].to_string();
            assert!(!set["keys"][0].as_object().unwrap().contains_key("d"), "a public key set has no private part");
            let claims = Claims::create(Duration::from_secs(60));
            let verified = match algorithm {
                Algorithm::EdDsa => {
                    let token = Ed25519KeyPair::from_jwk(&keys.signing_jwk).unwrap().sign(claims).unwrap();
                    Ed25519PublicKey::from_jwk(&public).unwrap().verify_token::<NoCustomClaims>(&token, None)
                }
                Algorithm::Es256 => {
                    let token = ES256KeyPair::from_jwk(&keys.signing_jwk).unwrap().sign(claims).unwrap();
                    ES256PublicKey::from_jwk(&public).unwrap().verify_token::<NoCustomClaims>(&token, None)
                }
                Algorithm::Rs256 => {
                    let token = RS256KeyPair::from_jwk(&keys.signing_jwk).unwrap().sign(claims).unwrap();
                    RS256PublicKey::from_jwk(&public).unwrap().verify_token::<NoCustomClaims>(&token, None)
                }
            };
            assert!(verified.is_ok(), "{algorithm:?}");
        }
    }

    #[test]
    fn keys_are_made_once_and_are_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let made = Keys::load_or_generate(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Keys::load_or_generate(&file).unwrap().variables(), made.variables());
        // A file of an earlier version gets the keys that it lacks, and keeps the others.
        let mut earlier = made.variables();
        earlier.remove("events_key");
        earlier.remove("seal_key");
        std::fs::write(&file, serde_json::to_vec(&earlier).unwrap()).unwrap();
        let completed = Keys::load_or_generate(&file).unwrap();
        assert_eq!(completed.grip_key(), made.grip_key());
        assert!(completed.variables().values().all(|key| !key.is_empty()));
        assert_eq!(Keys::load(&file).unwrap().events_key(), completed.events_key());
        std::fs::write(&file, "{").unwrap();
        assert!(Keys::load_or_generate(&file).is_err(), "a damaged file is not silently replaced");
    }
}
