//! What one case stands on.

use std::sync::OnceLock;
use std::thread;

use plaza_test_support::{Call, Client, Person, Plaza, Tokens};
use serde_json::{Value, json};

use crate::MariaDb;

/// The key that the application under test takes events with.
pub const EVENTS_KEY: &str = "the key of the stores' tests";

/// The address of the application's operator.
const OPERATOR: &str = "operator@example.com";

/// The application on one database, shared by the cases of a test binary.
#[derive(Debug)]
pub struct World {
    plaza: &'static Plaza,
    mariadb: Option<&'static MariaDb>,
    client: Client,
}

impl World {
    /// On SQLite.
    ///
    /// # Panics
    /// If the application does not start.
    pub fn on_sqlite() -> Option<Self> {
        static SHARED: OnceLock<Plaza> = OnceLock::new();
        let plaza = SHARED.get_or_init(|| start(Plaza::options()));
        Some(Self { plaza, mariadb: None, client: plaza.client() })
    }

    /// On MariaDB; `None` where it cannot be had.
    ///
    /// # Panics
    /// If the application does not start.
    pub fn on_mariadb() -> Option<Self> {
        static SHARED: OnceLock<Option<(MariaDb, Plaza)>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let mariadb = MariaDb::start()?;
            let plaza = start(mariadb.options());
            Some((mariadb, plaza))
        });
        let (mariadb, plaza) = shared.as_ref()?;
        Some(Self { plaza, mariadb: Some(mariadb), client: plaza.client() })
    }

    /// The application.
    pub fn plaza(&self) -> &'static Plaza {
        self.plaza
    }

    /// The server, where it is MariaDB.
    pub fn mariadb(&self) -> Option<&'static MariaDb> {
        self.mariadb
    }

    /// A client without a token.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A new user, registered and logged in, whose name begins with `hint`.
    pub async fn person(&self, hint: &str) -> Person {
        Person::new(&self.client, hint).await
    }

    /// Two of them.
    pub async fn two(&self) -> (Person, Person) {
        tokio::join!(self.person("anna"), self.person("ben"))
    }

    /// The call that registers somebody.
    pub fn registering(&self, username: &str, email: &str) -> Call {
        let body = json!({ "username": username, "email": email, "password": "correct horse battery" });
        self.client.post("/api/auth/register").json(&body)
    }

    /// The call that brings events to the notification context.
    pub fn bringing(&self, events: &[Value]) -> Call {
        self.bringing_to("notification", events)
    }

    /// The call that brings events to a context.
    pub fn bringing_to(&self, context: &str, events: &[Value]) -> Call {
        let batch = Value::from(events).to_string();
        self.client
            .with_token(EVENTS_KEY)
            .post(format!("/events/{context}"))
            .body("application/cloudevents-batch+json", batch)
    }

    /// Somebody who operates the application.
    pub async fn operator(&self) -> Client {
        let password = "correct horse battery";
        let body = json!({ "username": "operator", "email": OPERATOR, "password": password });
        // Another case may have been first.
        let _ = self.client.post("/api/auth/register").json(&body).answer().await;
        let login = json!({ "email": OPERATOR, "password": password });
        let tokens: Tokens = self.client.post("/api/auth/login/json").json(&login).answer().await.ok(200);
        self.client.with_token(&tokens.access_token)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.plaza.log_tail());
        }
    }
}

fn start(options: plaza_test_support::Options) -> Plaza {
    // Signs of life count only for moments, so that their ends can be waited for.
    let lives = [("presence_grace_ms", "1000"), ("presence_lease_ms", "6000"), ("heartbeat_lifetime_ms", "3000")];
    let options = lives.iter().fold(options, |options, (name, value)| options.variable(name, value));
    options
        .variable("events_key", EVENTS_KEY)
        .variable("operators", OPERATOR)
        .start()
        .unwrap_or_else(|why| panic!("{why}"))
}
