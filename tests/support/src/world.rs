//! What one test stands on.

use std::sync::OnceLock;
use std::thread;

use crate::{Client, Person, Plaza, Seed};

static SHARED: OnceLock<Result<Plaza, String>> = OnceLock::new();

/// The server that the tests of one binary share, and this test's own client and randomness. When the test fails, the
/// seed and the end of the server's log are printed.
#[derive(Debug)]
pub struct World {
    plaza: &'static Plaza,
    client: Client,
    seed: Seed,
}

impl World {
    /// The shared server, started by whoever comes first.
    ///
    /// # Panics
    /// If it does not start.
    pub fn shared() -> Self {
        let plaza = SHARED.get_or_init(|| Plaza::options().start());
        let plaza = plaza.as_ref().unwrap_or_else(|why| panic!("{why}"));
        Self { plaza, client: plaza.client(), seed: Seed::from_env() }
    }

    /// The shared server.
    pub fn plaza(&self) -> &'static Plaza {
        self.plaza
    }

    /// A client without a token.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// This test's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// A new user, registered and logged in, whose name begins with `hint`.
    pub async fn person(&self, hint: &str) -> Person {
        Person::new(&self.client, hint).await
    }

    /// Two new users who are friends.
    pub async fn friends(&self, one: &str, other: &str) -> (Person, Person) {
        let (one, other) = tokio::join!(self.person(one), self.person(other));
        one.befriend(&other).await;
        (one, other)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}\n{}", self.seed, self.plaza.log_tail());
        }
    }
}
