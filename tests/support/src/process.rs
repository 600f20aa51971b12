//! The real `plaza` as a child process.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Client, Stack, paths};

/// How long a start may take. A first start compiles every component to machine code.
const READY_DEADLINE: Duration = Duration::from_mins(3);

/// How long a graceful stop may take before it counts as failed.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How often a stopping process is looked at: there is no event for "child exited" without a thread per child.
const STOP_PROBE: Duration = Duration::from_millis(5);

/// Lines of the server's log that are shown with a failure.
const LOG_TAIL_LINES: usize = 60;

/// The line on standard output that says where the server listens.
const READY_PREFIX: &str = "listening on http://";

/// How often somebody may ask, everywhere: tests ask as often as they like, unless they test just that.
const UNLIMITED: [&str; 6] = [
    "PLAZA_REQUESTS_PER_MINUTE",
    "SPIN_VARIABLE_LOGIN_PER_ACCOUNT_PER_MINUTE",
    "SPIN_VARIABLE_LOGIN_PER_ADDRESS_PER_MINUTE",
    "SPIN_VARIABLE_REGISTER_PER_ADDRESS_PER_HOUR",
    "SPIN_VARIABLE_SEND_PER_USER_PER_MINUTE",
    "SPIN_VARIABLE_SEARCH_PER_USER_PER_MINUTE",
];

/// Ends the server when the test process is gone, however it went (the pipe on its input closes), and takes the
/// temporary directory along. A line on the input calls it off.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; if read -r _; then exit 0; fi
kill -9 "$1" 2>/dev/null; [ -z "$2" ] || rm -rf -- "$2""#;

/// Which part of Plaza a process is: its subcommand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    #[default]
    Up,
    /// The functions.
    Functions,
    /// The relay.
    Relay,
    /// The publisher.
    Publish,
    /// The triggers, with the functions elsewhere.
    Trigger,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Functions => "functions",
            Self::Relay => "relay",
            Self::Publish => "publish",
            Self::Trigger => "trigger",
        }
    }

    /// Whether it runs functions, which are compiled and kept in a state directory.
    pub(crate) fn runs_functions(self) -> bool {
        matches!(self, Self::Up | Self::Functions)
    }
}

/// How a [`Plaza`] is to be started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    role: Role,
    stack: Option<Stack>,
    state: Option<PathBuf>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Options {
    /// Only this part of Plaza.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// On these stores, instead of those that `PLAZA_TEST_STACK` names, which are its own.
    #[must_use]
    pub fn stack(mut self, stack: &Stack) -> Self {
        self.stack = Some(stack.clone());
        self
    }

    /// Keeps the state in `directory`, which outlives the [`Plaza`], instead of in a temporary one.
    #[must_use]
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state = Some(directory.into());
        self
    }

    /// Sets an application variable, as Spin reads them from the environment (`SPIN_VARIABLE_…`).
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.environment(&format!("SPIN_VARIABLE_{}", name.to_uppercase()), value)
    }

    /// Sets an environment variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the server and waits until it is ready. Blocks the thread.
    ///
    /// # Errors
    /// A text for people: the binary or the manifest is missing, or the server did not become ready; with the end of
    /// its log.
    pub fn start(self) -> Result<Plaza, String> {
        let binary = paths::binary();
        let manifest = paths::manifest();
        for (what, path) in [("binary", &binary), ("application manifest", &manifest)] {
            if !path.is_file() {
                return Err(format!(
                    "there is no {what} at {}: run ./scripts/build first (or set PLAZA_BIN and PLAZA_MANIFEST)",
                    path.display()
                ));
            }
        }
        let home = TempDir::with_prefix("plaza-test-").map_err(|error| format!("no temporary directory: {error}"))?;
        let state = self.state.clone().unwrap_or_else(|| home.path().join("state"));
        let log = home.path().join("plaza.log");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        if self.state.is_none() && self.role.runs_functions() {
            warm(&binary, &state);
        }
        let stack = self.stack.clone().map_or_else(Stack::of_environment, Ok)?;
        let mut plaza = Plaza {
            binary,
            manifest,
            home,
            state,
            log,
            options: self,
            stack,
            address: any_port,
            process: None,
            started_in: Duration::ZERO,
        };
        plaza.spawn()?;
        if plaza.options.state.is_none() && plaza.options.role.runs_functions() {
            keep_warm(&plaza.binary, &plaza.state);
        }
        Ok(plaza)
    }
}

/// Passwords of tests cost next to nothing to hash, but where a test says otherwise: its users are registered by the hundred.
const PASSWORD_COST: (&str, &str) = ("SPIN_VARIABLE_PASSWORD_COST", "m=8,t=1,p=1");

/// What a state directory calls its compiled functions, and the file that makes it one.
const COMPILED: &str = "compiled";
const LOCK: &str = "plaza.lock";

/// Where tests that use this binary keep compiled functions for each other: machine code by content, so that sharing it
/// shares no state. It saves each server of its own the better part of ten seconds.
fn shared_compiled(binary: &Path) -> Option<PathBuf> {
    Some(binary.parent()?.parent()?.join("tmp").join("plaza-test-compiled"))
}

/// Puts functions that were compiled before into a state directory that does not exist yet. Where that fails, the
/// server compiles them itself.
fn warm(binary: &Path, state: &Path) {
    let Some(shared) = shared_compiled(binary).filter(|shared| shared.is_dir()) else { return };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state.join(COMPILED));
    if made.and_then(|()| File::create(state.join(LOCK))).is_ok() {
        link_all(&shared, &state.join(COMPILED));
    }
}

/// Keeps what a server compiled.
fn keep_warm(binary: &Path, state: &Path) {
    let Some(shared) = shared_compiled(binary) else { return };
    if DirBuilder::new().recursive(true).mode(0o700).create(&shared).is_ok() {
        link_all(&state.join(COMPILED), &shared);
    }
}

/// Links the files of one directory into another, where they are not there yet, or copies them. Whoever comes second
/// with a file of the same name has the same content.
fn link_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if !target.exists() && fs::hard_link(entry.path(), &target).is_err() {
            // A copy is complete before it has its name.
            let part = target.with_extension(format!("{}.part", std::process::id()));
            let _ = fs::copy(entry.path(), &part).and_then(|_| fs::rename(&part, &target));
        }
    }
}

/// A running server with a directory of its own, on a port of its own. Killed, by its process id, when dropped.
#[derive(Debug)]
pub struct Plaza {
    binary: PathBuf,
    manifest: PathBuf,
    home: TempDir,
    state: PathBuf,
    log: PathBuf,
    options: Options,
    stack: Stack,
    address: SocketAddr,
    process: Option<Process>,
    started_in: Duration,
}

#[derive(Debug)]
struct Process {
    child: Child,
    watchdog: Option<Child>,
}

impl Plaza {
    /// Options to change before the start.
    pub fn options() -> Options {
        Options::default()
    }

    /// A server with a fresh state. Blocks until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; the message holds the end of its log.
    pub fn start() -> Self {
        Options::default().start().unwrap_or_else(|why| panic!("{why}"))
    }

    /// Where it listens; the port stays the same over [`Plaza::kill`] and [`Plaza::restart`].
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its URLs, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of this server without a token. It belongs to the async runtime that first uses it.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// From the start of the process to its ready line, for the latest start.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The process id, while it runs.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").child.id()
    }

    /// The directory that holds its state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Everything that it wrote to its log so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log, under a heading.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("--- the last {} of {} lines of plaza's log ---\n{}\n---", tail.len(), lines.len(), tail.join("\n"))
    }

    /// Kills it with SIGKILL: no handler runs, nothing is flushed. Does nothing when it does not run.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have gone by itself; then there is nothing left to kill, and `wait` collects it.
            let _ = process.child.kill();
            let _ = process.child.wait();
            process.call_off();
        }
    }

    /// Starts it again on the same state and the same port, and waits until it is ready. Blocks the thread.
    ///
    /// # Panics
    /// If it still runs, or does not become ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        self.spawn().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts it again and kills it after `life`, ready or not: a crash while it recovers from the last one. Blocks the
    /// thread.
    ///
    /// # Panics
    /// If it still runs, or cannot be started.
    pub fn start_and_kill(&mut self, life: Duration) {
        assert!(self.process.is_none(), "the server still runs");
        self.launch().unwrap_or_else(|why| panic!("{why}"));
        thread::sleep(life);
        self.kill();
    }

    /// Freezes it (SIGSTOP): its connections stay, and nothing is answered.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Plaza::freeze`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it stands on.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Sends SIGTERM without waiting.
    ///
    /// # Panics
    /// If it does not run.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, as Ctrl-C does, without waiting.
    ///
    /// # Panics
    /// If it does not run.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits until the process has ended after a signal.
    ///
    /// # Panics
    /// If it does not run, or does not end within 30 seconds.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        let mut process = self.process.take().expect("the server runs");
        loop {
            if let Some(status) = process.child.try_wait().expect("its own child can be waited for") {
                process.call_off();
                return status;
            }
            if started.elapsed() > STOP_DEADLINE {
                self.process = Some(process);
                panic!("plaza did not stop within {STOP_DEADLINE:?}\n{}", self.log_tail());
            }
            thread::sleep(STOP_PROBE);
        }
    }

    /// Stops it gracefully and gives its exit status.
    ///
    /// # Panics
    /// As [`Plaza::wait`].
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    fn signal(&self, signal: Signal) {
        let child = &self.process.as_ref().expect("the server runs").child;
        kill_process(Pid::from_child(child), signal).expect("its own child can be signalled");
    }

    /// Starts the process and gives what follows its output.
    fn launch(&mut self) -> Result<Option<mpsc::Receiver<SocketAddr>>, String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|error| format!("cannot write {}: {error}", self.log.display()))?;
        let role = self.options.role;
        let mut command = Command::new(&self.binary);
        command.arg(role.name()).arg("--from").arg(&self.manifest);
        if role.runs_functions() {
            command.arg("--state").arg(&self.state);
        }
        let mut child = command
            .args(["--listen", &self.address.to_string()])
            .args(self.stack.arguments(role))
            .args(&self.options.arguments)
            .env(PASSWORD_COST.0, PASSWORD_COST.1)
            .envs(UNLIMITED.map(|limit| (limit, "0")))
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.binary.display()))?;
        let lines = child.stdout.take().map(follow);
        let process = Process { watchdog: watch(&child, self.home.path()), child };
        self.process = Some(process);
        Ok(lines)
    }

    fn spawn(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let lines = self.launch()?;
        let ready = lines.map(|lines| lines.recv_timeout(READY_DEADLINE));
        if let Some(Ok(address)) = ready {
            self.started_in = started.elapsed();
            self.address = address;
            return Ok(());
        }
        let ended = self.process.as_mut().and_then(|process| process.child.try_wait().ok().flatten());
        self.kill();
        let what = match ended {
            Some(status) => format!("plaza ended before it was ready ({status})"),
            None => format!("plaza was not ready within {READY_DEADLINE:?}"),
        };
        Err(format!("{what}\n{}", self.log_tail()))
    }
}

impl Drop for Plaza {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        self.kill();
    }
}

impl Process {
    /// Ends the watchdog: the server is gone already.
    fn call_off(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut input) = watchdog.stdin.take() {
                // A watchdog that is gone has nothing to be called off.
                let _ = input.write_all(b"done\n");
            }
            let _ = watchdog.wait();
        }
    }
}

fn watch(child: &Child, home: &Path) -> Option<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "plaza-watchdog", &child.id().to_string()])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

/// Reads the server's output to its end on a thread, so that it never blocks on a full pipe, and hands over the
/// address in the ready line.
fn follow(stdout: ChildStdout) -> mpsc::Receiver<SocketAddr> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let address = line.split_once(READY_PREFIX).and_then(|(_, rest)| rest.trim().parse().ok());
            if let Some(address) = address {
                // The one who waits may have given up; the output is still read.
                let _ = send.send(address);
            }
        }
    });
    receive
}
