//! The server of these tests, and how an operation's example is called.

use jwt_simple::prelude::{Claims, Duration, Ed25519KeyPair, EdDSAKeyPairLike, HeaderOptions, UnixTimeStamp};
use plaza_e2e::example::{EVENTS_KEY, OPERATOR_EMAIL};
use plaza_e2e::town::Town;
use plaza_e2e::{forge, routes};
use plaza_test_support::Plaza;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) struct World {
    pub(crate) plaza: Plaza,
    pub(crate) document: Value,
    signing_key: Ed25519KeyPair,
}

impl World {
    /// The server that all tests here share. Its keys are known, so that a token can be made that has expired.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<World> = OnceLock::new();
        SHARED.get_or_init(|| {
            let keys = keys();
            let mut options = Plaza::options().variable("events_key", EVENTS_KEY).variable("operators", OPERATOR_EMAIL);
            for name in ["token_signing_key", "token_keys"] {
                options = options.variable(name, &keys[name].to_string());
            }
            let signing_key = Ed25519KeyPair::from_jwk(&keys["token_signing_key"].to_string()).expect("a signing key");
            let plaza = options.start().unwrap_or_else(|why| panic!("{why}"));
            Self { plaza, document: routes::document(), signing_key }
        })
    }

    pub(crate) async fn town(&self) -> Town {
        Town::build(&self.plaza.client(), &self.document).await
    }

    /// The same token, good in everything but its time.
    pub(crate) fn expired(&self, token: &str) -> String {
        let (header, claims) = (forge::header(token), forge::claims(token));
        let own = json!({ "client_id": claims["client_id"], "sid": claims["sid"], "username": claims["username"] });
        let text = |claim: &str| claims[claim].as_str().unwrap_or_else(|| panic!("no {claim} in {claims}"));
        let mut expired = Claims::with_custom_claims(own, Duration::from_secs(1))
            .with_issuer(text("iss"))
            .with_audience(text("aud"))
            .with_subject(text("sub"));
        let end: UnixTimeStamp = Duration::from_secs(claims["iat"].as_u64().expect("iat") - 60);
        expired.expires_at = Some(end);
        let options =
            HeaderOptions { signature_type: header["typ"].as_str().map(str::to_owned), ..HeaderOptions::default() };
        self.signing_key.sign_with_options(expired, &options).expect("a token")
    }
}

/// What `plaza keys` prints, by the names of the variables.
fn keys() -> Value {
    let output = Command::new(plaza_test_support::binary()).arg("keys").output().expect("plaza keys");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut keys = json!({});
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("not a variable: {line}"));
        let name = name.trim_start_matches("SPIN_VARIABLE_").to_lowercase();
        let value = value.trim_matches('\'');
        keys[name] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    keys
}
