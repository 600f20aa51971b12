//! `plaza doctor`: looks at everything that Plaza needs, and says of each whether it is there and what to do where it is not. It
//! changes nothing.

use crate::state::State;
use crate::{app, bus, cli, print};
use anyhow::{Result, bail};
use plaza_events::{TopicState, check_topics};
use plaza_mysql::{State as Applied, redacted};
use serde_json::{Value, json};
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long one thing may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take, or the answer of whoever listens where Plaza is to.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// Free disk space below which Plaza cannot go on for long, and below which it is worth a look, in bytes.
const DISK_BYTES: (u64, u64) = (256 << 20, 2 << 30);

/// Open files that the limits of connections and streams ask for, with what databases and the log need.
const OPEN_FILES: u64 = 24_000;

/// Clocks that differ by more make tokens end early or late, in milliseconds.
const CLOCK_SKEW_MS_MAX: i64 = 2_000;

/// No clock that is right is before this: 2026-01-01, in seconds since the Unix epoch.
const NOT_BEFORE_SECONDS: u64 = 1_767_225_600;

/// The longest text of a failure that is told.
const DETAIL_CHARS_MAX: usize = 300;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found of one thing.
struct Finding {
    name: String,
    status: Status,
    detail: String,
    /// What to do, where it is not as it should be.
    advice: Option<&'static str>,
}

/// What was found.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Finding { name: name.into(), status: Status::Ok, detail: detail.into(), advice: None });
    }

    fn warn(&mut self, name: impl Into<String>, detail: impl Into<String>, advice: &'static str) {
        self.0.push(Finding { name: name.into(), status: Status::Warn, detail: detail.into(), advice: Some(advice) });
    }

    fn fail(&mut self, name: impl Into<String>, detail: &dyn std::fmt::Display, advice: &'static str) {
        let detail = detail.to_string().chars().take(DETAIL_CHARS_MAX).collect();
        self.0.push(Finding { name: name.into(), status: Status::Fail, detail, advice: Some(advice) });
    }

    fn failed(&self) -> usize {
        self.0.iter().filter(|finding| finding.status == Status::Fail).count()
    }

    fn as_json(&self) -> Value {
        let check = |finding: &Finding| {
            json!({
                "name": finding.name,
                "status": finding.status.name(),
                "detail": finding.detail,
                "advice": finding.advice,
            })
        };
        json!({ "ok": self.failed() == 0, "checks": self.0.iter().map(check).collect::<Vec<_>>() })
    }

    fn as_text(&self) -> String {
        let width = self.0.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
        let line = |finding: &Finding| {
            let Finding { name, status, detail, advice } = finding;
            let advice = advice.map(|advice| format!("\n      {:width$}  → {advice}", "")).unwrap_or_default();
            format!("{:4}  {name:width$}  {detail}{advice}\n", status.name())
        };
        self.0.iter().map(line).collect()
    }
}

pub(crate) async fn doctor(words: cli::Doctor) -> Result<()> {
    let mut report = Report::default();
    let infra = words.manifest.infra();
    manifest(&mut report, &words.manifest.from);
    state(&mut report, &words.state);
    port(&mut report, words.listen);
    open_files(&mut report);
    clock(&mut report);
    databases(&mut report, words.databases.mysql.as_deref(), &infra).await;
    key_values(&mut report, words.redis.as_deref()).await;
    topics(&mut report, &words.kafka, &infra).await;
    print(&if words.json { report.as_json().to_string() } else { report.as_text() });
    match report.failed() {
        0 => Ok(()),
        1 => bail!("one thing is not as Plaza needs it"),
        failed => bail!("{failed} things are not as Plaza needs them"),
    }
}

/// The manifest can be read, and its components are built.
fn manifest(report: &mut Report, file: &Path) {
    let name = "manifest";
    let read = std::fs::read_to_string(file).map_err(anyhow::Error::from);
    let manifest: toml::Table = match read.and_then(|text| Ok(toml::from_str(&text)?)) {
        Ok(manifest) => manifest,
        Err(error) => {
            let advice = "run plaza in the folder of spin.toml, or name it with --from";
            return report.fail(name, &format!("{}: {error}", file.display()), advice);
        }
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let components = manifest.get("component").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let source = |component: &toml::Value| Some(folder.join(component.get("source")?.as_str()?));
    let missing = components.values().filter_map(source).filter(|source| !source.is_file()).collect::<Vec<_>>();
    if let Some(first) = missing.first() {
        let detail =
            format!("{} of {} components are not built: {} …", missing.len(), components.len(), first.display());
        return report.fail(name, &detail, "run ./scripts/build");
    }
    match plaza_host::kafka_triggers(file) {
        Ok(triggers) => {
            report.ok(name, format!("{} components, {} triggers", components.len(), triggers.len()));
        }
        Err(error) => report.fail(name, &error, "mend what it says in spin.toml"),
    }
}

/// The state directory can be written, and there is room.
fn state(report: &mut Report, folder: &Path) {
    let name = "state";
    let detail = folder.display().to_string();
    if folder.exists() {
        match State::look(folder) {
            Ok(true) => report.ok(name, format!("{detail}: a plaza runs on it")),
            Ok(false) => report.ok(name, format!("{detail}: nobody holds it")),
            Err(error) => report.fail(name, &format!("{error:#}"), "name another directory with --state"),
        }
    } else {
        report.ok(name, format!("{detail}: is made at the first start"));
    }
    // Where it is not there yet, the disk is that of the folder it will be in.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let Some(free) = free_bytes(there) else {
        return report.warn("disk", "its free space is not known", "look at it yourself: df");
    };
    let detail = format!("{} MiB free", free >> 20);
    let advice = "make room: databases, log and compiled functions are there";
    if free < DISK_BYTES.0 {
        report.fail("disk", &detail, advice);
    } else if free < DISK_BYTES.1 {
        report.warn("disk", detail, advice);
    } else {
        report.ok("disk", detail);
    }
}

/// The space that is free on a folder's disk, as `df` tells it: there is no safe call for it in the standard library.
fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg("--").arg(folder).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kibibytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Whether Plaza can listen where it is to.
fn port(report: &mut Report, listen: SocketAddr) {
    let name = "port";
    let Err(error) = TcpListener::bind(listen) else { return report.ok(name, format!("{listen} is free")) };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return report.fail(name, &format!("{listen}: {error}"), "name another address with --listen");
    }
    match is_healthy(listen) {
        Ok(true) => report.ok(name, format!("a plaza answers at {listen}")),
        _ => report.fail(name, &format!("something else listens at {listen}"), "name another address with --listen"),
    }
}

/// Whether a Plaza answers there.
fn is_healthy(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)?;
    stream.set_read_timeout(Some(CONNECT_TIME_MAX))?;
    stream.write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    Ok(answer.starts_with("http/1.1 200") && answer.contains("x-request-id"))
}

fn open_files(report: &mut Report) {
    // Linux tells it in a file: "Max open files  1024  1048576  files". "unlimited" is no number.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(limit) = line.and_then(|line| line.split_whitespace().next()) else {
        return report.warn("open files", "how many are allowed is not known", "look yourself: ulimit -n");
    };
    let (detail, limit) = (limit.to_owned(), limit.parse::<u64>().ok());
    if limit.is_none_or(|limit| limit >= OPEN_FILES) {
        report.ok("open files", detail);
    } else {
        let advice = "allow more for many streams: ulimit -n 65536, or LimitNOFILE= of the service";
        report.warn("open files", format!("{detail}; 20,000 connections take {OPEN_FILES}"), advice);
    }
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn clock(report: &mut Report) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if seconds >= NOT_BEFORE_SECONDS {
        report.ok("clock", format!("{seconds} s since 1970"));
    } else {
        let detail = format!("it says {seconds} s since 1970, before this version was made");
        report.fail("clock", &detail, "set the time, best by NTP: tokens end by it");
    }
}

/// The databases answer, have the schema of this version, and the same time.
async fn databases(report: &mut Report, base: Option<&str>, infra: &Path) {
    let urls = match app::database_urls(base, infra) {
        Ok(urls) => urls,
        Err(error) => {
            return report.fail("databases", &format!("{error:#}"), "mend the URL; or infra/ is not beside spin.toml");
        }
    };
    if urls.is_empty() {
        return report.ok("databases", "SQLite in the state directory, migrated at each start");
    }
    for (context, url) in &urls {
        let name = format!("database {context}");
        let migrations = match in_time(plaza_mysql::status(url, &infra.join("sql").join(context))).await {
            Ok(migrations) => migrations,
            Err(error) => {
                report.fail(
                    name,
                    &format!("{}: {error}", redacted(url)),
                    "is the server up, and plaza migrate --create run?",
                );
                continue;
            }
        };
        let waiting = migrations.iter().filter(|one| !matches!(one.state, Applied::Applied(_))).count();
        if waiting == 0 {
            report.ok(name, format!("{}, {} migrations", redacted(url), migrations.len()));
        } else {
            let detail = format!("{}: {waiting} of {} migrations are not applied", redacted(url), migrations.len());
            report.fail(name, &detail, "run plaza migrate");
        }
    }
    let Some(url) = urls.values().next() else { return };
    let before = now_ms();
    let Ok(theirs) = in_time(plaza_mysql::server_time_ms(url)).await else { return };
    // What the question took counts for neither side.
    let skew = if theirs < before { theirs - before } else { (theirs - now_ms()).max(0) };
    if skew.abs() <= CLOCK_SKEW_MS_MAX {
        report.ok("database clock", format!("differs by {skew} ms"));
    } else {
        report.warn("database clock", format!("differs by {skew} ms"), "have all machines set their time by NTP");
    }
}

/// Redis is there, and takes the password.
async fn key_values(report: &mut Report, url: Option<&str>) {
    let Some(url) = url else { return report.ok("key-value", "files in the state directory") };
    let advice = "is the server up, and the URL right (redis://[:password@]host:port[/db])?";
    let client = match redis::Client::open(url) {
        Ok(client) => client,
        // What it says of the URL could have the password in it.
        Err(error) => return report.fail("key-value", &error.category(), advice),
    };
    let address = client.get_connection_info().addr().to_string();
    let answer = in_time(async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    });
    match answer.await {
        Ok(()) => report.ok("key-value", format!("{address} answers")),
        Err(error) => report.fail("key-value", &format!("{address}: {error}"), advice),
    }
}

/// The topics are as the contract has them.
async fn topics(report: &mut Report, words: &cli::Kafka, infra: &Path) {
    let contract = match bus::topics(infra) {
        Ok(contract) => contract,
        Err(error) => {
            return report.fail("topics", &format!("{error:#}"), "infra/topics.toml belongs beside spin.toml");
        }
    };
    let Some(brokers) = &words.kafka else {
        return report.ok("topics", format!("{} in the embedded log", contract.all().len()));
    };
    let found = match in_time(check_topics(&bus::settings(brokers, &words.security), &contract)).await {
        Ok(found) => found,
        Err(error) => {
            return report.fail(
                "topics",
                &format!("{brokers}: {error}"),
                "are the brokers up and reachable from here?",
            );
        }
    };
    let wrong: Vec<_> = found.0.iter().filter(|topic| topic.state != TopicState::Right).collect();
    if wrong.is_empty() {
        return report.ok("topics", format!("{} at {brokers}, as the contract has them", found.0.len()));
    }
    for topic in wrong {
        let name = format!("topic {}", topic.topic.name);
        match &topic.state {
            TopicState::Missing => report.fail(name, topic, "run plaza topics create"),
            state if !state.is_usable() => {
                report.fail(name, topic, "give it the partitions that it needs, or make it anew");
            }
            _ => report.warn(name, topic.to_string(), "it can be used as it is; was it meant to differ?"),
        }
    }
}

/// What answers, or how it failed, within a time.
async fn in_time<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_TIME_MAX, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {} s", ANSWER_TIME_MAX.as_secs())),
    }
}
