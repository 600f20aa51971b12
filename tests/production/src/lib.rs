//! Plaza as it stands in production: every part a process of its own, on MariaDB, Redis and a cluster of Kafka.

use std::sync::Arc;

use plaza_test_support::{Client, Options, Plaza, Role, Servers, Stack};

/// Longer than any test: nobody is to be logged out in the middle of it.
const TOKEN_SECONDS: &str = "86400";

/// How long a relay that reports no more counts: short, so that its end can be waited for.
const LEASE_MS: &str = "4000";

/// All of it.
pub struct Site {
    /// What it stands on.
    pub servers: Arc<Servers>,
    /// The parts, by name.
    pub parts: Vec<(&'static str, Plaza)>,
}

impl Site {
    /// Starts it, with two of everything but the functions. Blocks.
    ///
    /// # Panics
    /// If something does not start.
    pub fn start(brokers: usize) -> Self {
        let servers = Arc::new(Servers::start(brokers).unwrap_or_else(|why| panic!("{why}")));
        let functions = part(&servers, Role::Functions, |options| {
            let options = options.variable("access_token_ttl_seconds", TOKEN_SECONDS);
            options.variable("presence_lease_ms", LEASE_MS)
        });
        let mut site = Self { servers, parts: vec![("functions", functions)] };
        for (name, role) in [
            ("relay 1", Role::Relay),
            ("relay 2", Role::Relay),
            ("publisher 1", Role::Publish),
            ("publisher 2", Role::Publish),
            ("trigger 1", Role::Trigger),
            ("trigger 2", Role::Trigger),
        ] {
            let part = site.beside_functions(role).start().unwrap_or_else(|why| panic!("{why}"));
            site.parts.push((name, part));
        }
        site
    }

    /// How a further part is started.
    pub fn beside_functions(&self, role: Role) -> Options {
        let functions = self.part("functions");
        let keys = functions.state().join("keys.json").display().to_string();
        let options = Plaza::options().role(role).stack(&Stack::Servers(Arc::clone(&self.servers)));
        if role == Role::Publish {
            return options;
        }
        options.argument("--to").argument(&functions.url()).argument("--keys").argument(&keys)
    }

    /// A part.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn part(&self, name: &str) -> &Plaza {
        self.parts.iter().find(|(its, _)| *its == name).map(|(_, part)| part).expect("a part of this name")
    }

    /// Where clients knock: at the relays.
    pub fn doors(&self) -> Vec<Client> {
        self.parts.iter().filter(|(name, _)| name.starts_with("relay")).map(|(_, relay)| relay.client()).collect()
    }
}

fn part(servers: &Arc<Servers>, role: Role, change: impl FnOnce(Options) -> Options) -> Plaza {
    let options = Plaza::options().role(role).stack(&Stack::Servers(Arc::clone(servers)));
    change(options).start().unwrap_or_else(|why| panic!("{why}"))
}
