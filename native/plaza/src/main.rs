//! `plaza`: everything of Plaza that is not a function. `plaza help` says what it can do.

mod keys;
mod ops;
mod plugin;
mod source;
mod state;
mod up;

use clap::{Args, Parser, Subcommand};
use keys::{Algorithm, Keys};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Threads that run functions, for each core, where `--threads` does not say.
const THREADS_PER_CORE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Functions come and go with every request, and with them many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A real-time chat backend: WebAssembly functions on Spin, driven by HTTP and Kafka.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// How the log on standard error is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "PLAZA_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything in this process: functions, relay, log, publisher and triggers. Ctrl-C stops it cleanly.
    Up(Up),
    /// Compiles the functions of a manifest to machine code, as `up` does where it must.
    #[command(hide = true)]
    Compile {
        /// The application's manifest.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Where compiled functions are kept.
        #[arg(long, value_name = "DIR")]
        cache: PathBuf,
    },
    /// Prints a new set of keys, as variables for a stock Spin.
    Keys {
        /// The signature algorithm of access tokens.
        #[arg(long, value_enum, default_value_t = Algorithm::EdDsa)]
        algorithm: Algorithm,
    },
}

/// The words of `plaza up`.
#[derive(Debug, Args)]
struct Up {
    /// The application's manifest.
    #[arg(long, value_name = "FILE", default_value = "spin.toml", env = "PLAZA_MANIFEST")]
    from: PathBuf,
    /// Where everything is kept: databases, log, keys, compiled functions.
    #[arg(long, value_name = "DIR", default_value = ".plaza", env = "PLAZA_STATE")]
    state: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", env = "PLAZA_LISTEN")]
    listen: SocketAddr,
    /// Threads that run functions. Statements of SQLite run on the thread of their function, so more than cores may pay.
    #[arg(long, value_name = "N", default_value_t = default_threads(), env = "PLAZA_THREADS")]
    threads: NonZeroUsize,
    /// Begin with an empty state: what is in DIR is deleted first, if Plaza made it.
    #[arg(long)]
    fresh: bool,
}

fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.saturating_mul(THREADS_PER_CORE))
}

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
        Command::Up(words) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(words.threads.get())
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(up::up(words))),
        Command::Compile { from, cache } => plaza_host::compile(&from, &cache).map(drop).map_err(Into::into),
        Command::Keys { algorithm } => Keys::generate(algorithm).map(|keys| print(&keys.environment())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plaza: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Standard output is for results.
#[expect(clippy::print_stdout, reason = "the command line's answers")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
