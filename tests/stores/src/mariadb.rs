//! A MariaDB with the schemas of all contexts, and its own client to look into it and to be in the way.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use plaza_test_servers::Server;
use plaza_test_support::{Options, Plaza, Role, workspace};

/// The contexts that have a database.
const CONTEXTS: [&str; 5] = ["user", "friend", "chat", "notification", "analytics"];

/// A server of its own, with the databases `plaza_<context>`.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
}

impl MariaDb {
    /// Starts one and makes the schemas. `None` where it cannot be had.
    ///
    /// # Panics
    /// If it can be had, but not started or not filled.
    pub fn start() -> Option<Self> {
        // One after the other: those that are being installed share a folder for temporary tables.
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mariadb = Self { server: Server::start("mariadb", &[])? };
        drop(turn);
        for context in CONTEXTS {
            mariadb.run("", &format!("CREATE DATABASE plaza_{context} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"));
            for migration in migrations(context) {
                mariadb.run(&database(context), &migration);
            }
        }
        Some(mariadb)
    }

    /// The server, to kill, to stop and to start again.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How to start the application on it.
    pub fn options(&self) -> Options {
        // Without a publisher: what the outbox holds is looked at.
        let mut options = Plaza::options().role(Role::Functions).variable("database_host", self.host());
        for context in CONTEXTS {
            let url = format!("{}/{}", self.server.address(), database(context));
            options = options.variable(&format!("{context}_database_url"), &url);
        }
        options
    }

    /// Runs SQL in a context's database and gives its rows: columns separated by tabs.
    pub fn sql(&self, context: &str, sql: &str) -> Vec<Vec<String>> {
        let output = self.run(&database(context), sql);
        output.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// A status variable that is a number.
    ///
    /// # Panics
    /// If there is none.
    pub fn status(&self, name: &str) -> u64 {
        let rows = self.sql("chat", &format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        rows[0][1].parse().expect("a number")
    }

    /// Ends every connection but the one that does so, whatever it is doing. Returns how many.
    pub fn kill_connections(&self) -> usize {
        let own = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'";
        let ids: Vec<String> = self.sql("chat", own).into_iter().flatten().collect();
        let kills: String = ids.iter().fold(String::new(), |kills, id| kills + "KILL CONNECTION " + id + ";");
        // One may be gone already.
        let _ = self.client("plaza_chat").arg("--force").arg("--execute").arg(kills).output();
        ids.len()
    }

    /// Opens a session in a context's database that does one thing after the other, and keeps its locks in between.
    ///
    /// # Panics
    /// If the client cannot be started.
    pub fn session(&self, context: &str) -> Session {
        let mut client = self.client(&database(context));
        client.args(["--unbuffered", "--force"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = client.spawn().expect("the client mariadb can be started");
        let input = child.stdin.take().expect("its input is a pipe");
        Session { child, input }
    }

    fn run(&self, database: &str, sql: &str) -> String {
        let output =
            self.client(database).arg("--execute").arg(sql).output().expect("the client mariadb can be started");
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn client(&self, database: &str) -> Command {
        let (password, port) = self.credentials();
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ]);
        client.arg("--default-character-set=utf8mb4").arg(format!("--port={port}")).env("MYSQL_PWD", password);
        client.arg(format!("--database={database}")).stdin(Stdio::null());
        client
    }

    fn host(&self) -> &str {
        self.server.address().rsplit('@').next().unwrap_or_default()
    }

    /// From its address: `mysql://root:PASSWORD@127.0.0.1:PORT`.
    fn credentials(&self) -> (&str, &str) {
        let (credentials, host) = self.server.address().rsplit_once('@').expect("an address with credentials");
        let password = credentials.rsplit(':').next().unwrap_or_default();
        (password, host.rsplit(':').next().unwrap_or_default())
    }
}

/// A session in which locks can be held.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: ChildStdin,
}

impl Session {
    /// Has it run a statement, without waiting for its end.
    ///
    /// # Panics
    /// If the session is gone.
    pub fn send(&mut self, sql: &str) {
        writeln!(self.input, "{sql};").and_then(|()| self.input.flush()).expect("the session takes it");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn database(context: &str) -> String {
    format!("plaza_{context}")
}

/// The migrations of a context, in their order.
fn migrations(context: &str) -> Vec<String> {
    let folder = workspace().join("infra/sql").join(context);
    let files = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let up = |path: &std::path::PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".mysql.sql") && !name.ends_with(".down.sql")
    };
    let read = |path| std::fs::read_to_string(path).expect("a migration can be read");
    paths.into_iter().filter(up).map(read).collect()
}
