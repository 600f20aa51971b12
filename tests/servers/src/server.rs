use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};
use tempfile::TempDir;

/// What a script answers where its server cannot be had.
const EXIT_CANNOT_BE_HAD: i32 = 3;
/// Set to `1`, a server that cannot be had fails the test.
const REQUIRE: &str = "PLAZA_REQUIRE_SERVERS";
/// How long a killed process may take to be gone.
const GONE_DEADLINE: Duration = Duration::from_secs(20);
/// How long a paused process may take to stand.
const STAND_DEADLINE: Duration = Duration::from_secs(20);
/// How often a process that was killed or paused is looked at; it is not our child.
const PROBE: Duration = Duration::from_millis(2);

/// Ends the server when the test process is gone, however it went (the pipe on its input closes), and takes its directory
/// along. Twice, in case it was just being started. A line on the input calls it off.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; if read -r _; then exit 0; fi
for again in 1 2; do for pid in $(cat "$1/server/pid" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done; sleep 1; done
rm -rf -- "$1""#;

/// A server that a script of `scripts/` started, with everything it has in a temporary directory. It may be of several
/// processes, counted from 0. Killed when dropped, and when the test process ends without dropping it.
///
/// The script's contract: `scripts/NAME start DIR [ARGUMENTS]` starts what does not run, with the data and the ports that it had before,
/// writes `DIR/pid` (a line for each process) and prints the address; exit code 3 means that the server cannot be had here.
#[derive(Debug)]
pub struct Server {
    script: PathBuf,
    arguments: Vec<String>,
    home: TempDir,
    address: String,
    /// One change at a time.
    changes: Mutex<()>,
    watchdog: Option<Child>,
}

impl Server {
    /// Starts the server of `scripts/<name>` and waits until it answers. `None`, and a line on standard error, where it cannot be had.
    ///
    /// # Panics
    /// If it cannot be started, or if it cannot be had and `PLAZA_REQUIRE_SERVERS` is 1.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let home = TempDir::with_prefix(format!("plaza-{name}-")).expect("there is a temporary directory");
        let mut server = Self {
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            watchdog: watch(home.path()),
            home,
            address: String::new(),
            changes: Mutex::default(),
        };
        match server.run() {
            Ok(address) => {
                server.address = address;
                Some(server)
            }
            Err(Failure { cannot_be_had: true, reason }) if env::var(REQUIRE).as_deref() != Ok("1") => {
                // Past the test harness, which would keep it to itself when the test passes.
                let test = thread::current().name().unwrap_or_default().to_owned();
                let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
                None
            }
            Err(Failure { reason, .. }) => panic!("{reason}"),
        }
    }

    /// Where clients find it, as its script writes it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its directory, with its data and logs.
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("server")
    }

    /// The content of a file in its directory, without the line's end.
    ///
    /// # Panics
    /// If there is none.
    pub fn file(&self, name: &str) -> String {
        let path = self.directory().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.file("pid").lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Kills all of it with SIGKILL and waits until it is gone.
    pub fn kill(&self) {
        (0..self.pids().len()).for_each(|process| self.kill_one(process));
    }

    /// Stops all of it where it is, with SIGSTOP: connections stay, nothing answers.
    pub fn pause(&self) {
        (0..self.pids().len()).for_each(|process| self.pause_one(process));
    }

    /// Lets all of it go on.
    pub fn resume(&self) {
        (0..self.pids().len()).for_each(|process| self.resume_one(process));
    }

    /// Starts what of it does not run, with the same data and ports, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        let _change = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(Failure { reason, .. }) = self.run() {
            panic!("{reason}");
        }
    }

    /// Kills one process with SIGKILL and waits until it is gone. Does nothing if it is gone.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn kill_one(&self, process: usize) {
        let pid = self.pid(process);
        if kill_process(pid, Signal::KILL) == Err(Errno::SRCH) {
            return;
        }
        let killed = Instant::now();
        while runs(pid) {
            assert!(killed.elapsed() < GONE_DEADLINE, "process {pid:?} does not go");
            thread::sleep(PROBE);
        }
    }

    /// Stops one process with SIGSTOP.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn pause_one(&self, process: usize) {
        let pid = self.pid(process);
        kill_process(pid, Signal::STOP).expect("the process runs");
        // The signal reaches its threads one by one; until then some still answer.
        let began = Instant::now();
        while !stands(pid) {
            assert!(began.elapsed() < STAND_DEADLINE, "it does not stand");
            thread::sleep(PROBE);
        }
    }

    /// Lets one process go on.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn resume_one(&self, process: usize) {
        kill_process(self.pid(process), Signal::CONT).expect("the process runs");
    }

    fn pid(&self, process: usize) -> Pid {
        let pid = self.pids().get(process).copied().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.unwrap_or_else(|| panic!("there is no process {process}"))
    }

    fn run(&self) -> Result<String, Failure> {
        let name = self.script.display();
        let mut command = Command::new(&self.script);
        command.arg("start").arg(self.directory()).args(&self.arguments).stdin(Stdio::null());
        let Output { status, stdout, stderr } =
            command.output().map_err(|error| Failure { cannot_be_had: false, reason: format!("{name}: {error}") })?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).trim().to_owned());
        }
        let stderr = String::from_utf8_lossy(&stderr);
        let cannot_be_had = status.code() == Some(EXIT_CANNOT_BE_HAD);
        let reason = if cannot_be_had {
            stderr.lines().last().unwrap_or_default().to_owned()
        } else {
            format!("{name} start: {status}\n{stderr}")
        };
        Err(Failure { cannot_be_had, reason })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.directory().join("pid").exists() {
            self.kill();
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut input) = watchdog.stdin.take() {
                // A watchdog that is gone has nothing to be called off.
                let _ = input.write_all(b"done\n");
            }
            let _ = watchdog.wait();
        }
    }
}

struct Failure {
    cannot_be_had: bool,
    reason: String,
}

/// Whether a process runs. One that has ended and that nobody has collected yet does not.
fn runs(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return false;
    }
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    let is_zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    // Its first thread may end before the others, which still hold the sockets.
    let threads = fs::read_dir(format!("{process}/task")).map_or(0, Iterator::count);
    !is_zombie || threads > 1
}

/// Whether every thread of a process is stopped.
fn stands(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    states.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}

fn watch(home: &Path) -> Option<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "plaza-watchdog"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
