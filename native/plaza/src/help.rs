//! What the help says beyond the list of words: an example of each command, and what comes next.

use crate::cli::{Cli, Shell};
use clap::CommandFactory as _;

pub(crate) const PLAZA: &str = "\
To begin:
  plaza up                        everything in one process, on http://127.0.0.1:3000
  plaza doctor                    what is missing, and what to do about it
  plaza help up                   what a command takes, with an example

In production, in this order: keys, topics create, migrate --create, then functions, relay, publish and trigger.
Every option that names an environment variable in its help may be given by it. Exit codes: 0 done, 1 failed, 2 wrong words.";

pub(crate) const UP: &str = "\
Examples:
  plaza up                                          on files in .plaza, with nothing else to install
  plaza up --listen 0.0.0.0:3000 --state /var/lib/plaza
  plaza up --cors-origin https://chat.example       pages from there may use the API
  plaza up --mysql mysql://plaza:secret@db/plaza --redis redis://cache --kafka broker:9092

It prints `listening on http://…` when it is ready. Next: curl http://127.0.0.1:3000/ready, or ./scripts/demo.";

pub(crate) const FUNCTIONS: &str = "\
Example:
  plaza functions --listen 0.0.0.0:3001 --trusted-proxy 10.0.0.0/8 --mysql mysql://plaza:secret@db/plaza --redis redis://cache

Next: plaza relay in front of them, plaza publish and plaza trigger beside them.";

pub(crate) const RELAY: &str = "\
Example:
  plaza relay --listen 0.0.0.0:3000 --to http://functions:3001 --kafka broker:9092 --keys /var/lib/plaza/keys.json

Clients talk to the relay; it passes on what is no stream. Start the functions with --trusted-proxy and the relay's address, so that
they know whose a request is.";

pub(crate) const PUBLISH: &str = "\
Example:
  plaza publish --kafka broker:9092 --mysql mysql://plaza:secret@db/plaza

Run two: when one ends, the other goes on. The metric plaza_outbox_depth says what waits.";

pub(crate) const TRIGGER: &str = "\
Example:
  plaza trigger --to http://functions:3001 --kafka broker:9092 --keys /var/lib/plaza/keys.json

The metric plaza_trigger_lag says what waits; what is given up goes to the topic <topic>.dlq.";

pub(crate) const TOPICS: &str = "\
Examples:
  plaza topics create --kafka broker:9092 --replication 3
  plaza topics check --kafka broker:9092 --json

Next: plaza migrate --create, then the parts that use them.";

pub(crate) const MIGRATE: &str = "\
Examples:
  plaza migrate --create --mysql mysql://plaza:secret@db/plaza    makes plaza_user, plaza_friend, … and their tables
  plaza migrate --check --json --mysql mysql://…                  for a pipeline: exit code 1 where something is to be applied

Before an update: migrate first, then start the new version.";

pub(crate) const DOCTOR: &str = "\
Examples:
  plaza doctor                                      what `plaza up` needs on this machine
  plaza doctor --mysql mysql://plaza:secret@db/plaza --redis redis://cache --kafka broker:9092
  plaza doctor --json                               for programs

Give it the same words as `plaza up`. Each line is ok, warn or fail, with what to do. Exit code 1 where something fails.";

pub(crate) const KEYS: &str = "\
Example:
  plaza keys | tr -d \"'\" > keys.env && chmod 600 keys.env

Once for each installation: whoever has new keys is not understood by those who have the old ones. `plaza up` makes its own.";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  plaza completions bash > /etc/bash_completion.d/plaza
  plaza completions zsh > \"${fpath[1]}/_plaza\"
  plaza completions fish > ~/.config/fish/completions/plaza.fish

They work from the next shell on.";

/// The script that completes the command line in a shell.
pub(crate) fn completions(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "plaza", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
