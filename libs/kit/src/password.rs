//! Passwords: Argon2id (RFC 9106) in the PHC string format.

use crate::{secret, variable};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use plaza_domain::Problem;

/// The variable that says what a new hash costs, as a PHC string has it: `m=<KiB of memory>,t=<passes>,p=<lanes>`. The
/// manifest's default is the OWASP Password Storage Cheat Sheet's first choice for Argon2id.
const COST: &str = "password_cost";

/// The hash to keep.
pub fn hash(password: &str) -> Result<String, Problem> {
    let salt = SaltString::encode_b64(&secret::random::<16>()).map_err(|error| refuse(&error))?;
    let hash = argon2()?.hash_password(password.as_bytes(), &salt).map_err(|error| refuse(&error))?;
    Ok(hash.to_string())
}

/// Whether the password is the one of the hash. Without a hash it does the same work and answers no, so that the time
/// does not tell whether there is an account.
pub fn verify(password: &str, hash: Option<&str>) -> Result<bool, Problem> {
    let Some(hash) = hash else {
        self::hash(password)?;
        return Ok(false);
    };
    let hash = PasswordHash::new(hash).map_err(|error| refuse(&error))?;
    // By what the hash itself says that it cost.
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

fn argon2() -> Result<Argon2<'static>, Problem> {
    let cost = format!("$argon2id$v=19${}", variable::required(COST)?);
    let params = PasswordHash::new(&cost).and_then(|cost| Params::try_from(&cost));
    let params = params.map_err(|error| refuse(&format!("variable {COST:?}: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn refuse(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("password hash: {error}");
    Problem::internal()
}
