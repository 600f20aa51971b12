//! `plaza`: everything of Plaza that is not a function. `plaza help` says what it can do.

mod app;
mod bus;
mod cli;
mod doctor;
mod help;
mod keys;
mod migrate;
mod ops;
mod plugin;
mod process;
mod roles;
mod source;
mod state;
mod topics;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command, LogFormat};
use keys::Keys;
use std::future::Future;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Functions come and go with every request, and with them many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if plugin::is_called() {
        return plugin::main();
    }
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("PLAZA_LOG").unwrap_or_else(|_| EnvFilter::new("info,plaza::access=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match cli.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let outcome = match cli.command {
        Command::Up(words) => run(words.app.threads, roles::up(words)),
        Command::Functions(words) => run(words.app.threads, roles::functions(words)),
        Command::Relay(words) => run(cores(), roles::relay(words)),
        Command::Publish(words) => run(cores(), roles::publish(words)),
        Command::Trigger(words) => run(words.app.threads, roles::trigger(words)),
        Command::Topics(words) => run(NonZeroUsize::MIN, topics::topics(words)),
        Command::Migrate(words) => run(NonZeroUsize::MIN, migrate::migrate(words)),
        Command::Compile { manifest, cache } => {
            plaza_host::compile(&manifest.from, &cache).map(drop).map_err(Into::into)
        }
        Command::Doctor(words) => run(NonZeroUsize::MIN, doctor::doctor(words)),
        Command::Keys { algorithm, json } => Keys::generate(algorithm).map(|keys| {
            print(&if json { serde_json::json!(keys.variables()).to_string() } else { keys.environment() });
        }),
        Command::Completions { shell } => {
            print(&help::completions(shell));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plaza: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end on so many threads.
fn run(threads: NonZeroUsize, role: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads.get()).enable_all().build()?;
    runtime.block_on(role)
}

/// As many threads as there are cores.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Standard output is for results.
#[expect(clippy::print_stdout, reason = "the command line's answers")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
