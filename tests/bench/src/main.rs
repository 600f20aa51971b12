//! Measures a release build of Plaza on this machine, the load generator included, and checks afterwards that what was
//! answered is there. Run it with `./scripts/bench`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod backlog;
mod day;
mod load;
mod procfs;
mod report;
mod routes;
mod town;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use plaza_test_support::{Options, PASSWORD_COST_IN_PRODUCTION, Plaza, Servers, Stack, manifest};
use serde_json::json;

use crate::day::Day;
use crate::load::{Delivery, Run, Target};
use crate::report::{Figure, Goal};
use crate::town::Town;

/// Messages a second of the open loop.
const OPEN_LOOP_PER_SECOND: u32 = 500;

/// How long the server idles before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// Components are measured in millions of bytes, memory too.
const MEGABYTE: f64 = 1e6;

#[derive(Parser)]
#[command(name = "bench", about = "Measures a release build of Plaza on this machine.")]
struct Arguments {
    /// Short runs, once each: for a look, not for figures.
    #[arg(long)]
    quick: bool,
    /// What Plaza stands on; several are measured one after another and shown beside each other.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "embedded")]
    stack: Vec<Base>,
    /// Where the figures go as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures only these parts.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Sizes,
    Start,
    Idle,
    Get,
    Send,
    Stream,
    Day,
    Routes,
}

/// What Plaza stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Base {
    /// SQLite and the embedded log.
    Embedded,
    /// MariaDB, Redis and Kafka (one broker), each with its defaults for durability, on this machine.
    Kafka,
}

impl Base {
    fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }

    fn stack(self) -> Result<Stack, String> {
        Ok(match self {
            Self::Embedded => Stack::Embedded,
            Self::Kafka => Stack::Servers(Arc::new(Servers::start(1)?)),
        })
    }
}

/// How much is measured.
struct Plan {
    seconds: u64,
    runs: usize,
    starts: usize,
}

impl Arguments {
    fn plan(&self) -> Plan {
        if self.quick { Plan { seconds: 3, runs: 1, starts: 1 } } else { Plan { seconds: 20, runs: 3, starts: 5 } }
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    figures: Vec<Figure>,
    /// What is wrong with the results themselves, not with the figures.
    faults: Vec<String>,
}

// One thread: the generator takes no more of the machine than it must.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut outcomes = Vec::new();
    for base in &arguments.stack {
        match measure(&arguments, *base).await {
            Ok(outcome) => outcomes.push((*base, outcome)),
            Err(why) => {
                eprintln!("bench: {}: {why}", base.name());
                return ExitCode::FAILURE;
            }
        }
    }
    finish(&arguments, &outcomes)
}

fn finish(arguments: &Arguments, outcomes: &[(Base, Outcome)]) -> ExitCode {
    let tables: Vec<(&str, &[Figure])> =
        outcomes.iter().map(|(base, outcome)| (base.name(), outcome.figures.as_slice())).collect();
    println!("\n{}\n\n{}", procfs::machine(), report::table(&tables));
    let is_whole = outcomes.iter().all(|(_, outcome)| outcome.faults.is_empty());
    for (base, outcome) in outcomes {
        for fault in &outcome.faults {
            eprintln!("FAULT: {}: {fault}", base.name());
        }
    }
    if let Some(path) = &arguments.json {
        let stacks: Vec<_> = outcomes
            .iter()
            .map(|(base, outcome)| json!({ "stack": base, "figures": outcome.figures, "faults": outcome.faults }))
            .collect();
        let document = json!({ "schema": 2, "machine": procfs::machine(), "quick": arguments.quick, "stacks": stacks });
        if let Err(error) = fs::write(path, format!("{document:#}\n")) {
            eprintln!("bench: cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    // A missed goal is a finding; a fault means that the figures cannot be believed.
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn progress(what: &str) {
    eprintln!("bench: {what} …");
}

async fn measure(arguments: &Arguments, base: Base) -> Result<Outcome, String> {
    let plan = arguments.plan();
    let mut outcome = Outcome::default();
    let stack = base.stack()?;
    let options = || Plaza::options().stack(&stack).variable("password_cost", PASSWORD_COST_IN_PRODUCTION);
    let state = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    if arguments.wants(Part::Start) {
        starts(&plan, options, state.path(), &mut outcome)?;
    }
    let plaza = options().state(state.path()).start()?;
    if arguments.wants(Part::Idle) {
        progress("idle memory");
        tokio::time::sleep(IDLE).await;
        memory(&plaza, "idle", Some(Goal::Below(150.0)), &mut outcome);
    }
    let loads = [Part::Get, Part::Send, Part::Stream, Part::Day];
    if loads.iter().any(|part| arguments.wants(*part)) {
        under_load(arguments, &plan, &plaza, &mut outcome).await;
    }
    drop(plaza);
    if arguments.wants(Part::Routes) {
        progress("every route");
        routes::measure(plan.runs, &stack, &mut outcome).await?;
    }
    if arguments.wants(Part::Sizes) {
        sizes(&mut outcome)?;
    }
    Ok(outcome)
}

/// Start to ready: with nothing compiled, and with everything compiled and a state to open.
fn starts(plan: &Plan, options: impl Fn() -> Options, state: &Path, outcome: &mut Outcome) -> Result<(), String> {
    let once = |state: &Path| -> Result<f64, String> {
        let mut plaza = options().state(state).start()?;
        let took = plaza.started_in().as_secs_f64();
        plaza.stop();
        Ok(took)
    };
    progress("cold start");
    let mut cold = vec![once(state)?];
    for _ in 1..plan.runs {
        let fresh = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
        cold.push(once(fresh.path())?);
    }
    progress("warm start");
    let warm = (0..plan.starts).map(|_| once(state)).collect::<Result<Vec<f64>, String>>()?;
    outcome.figures.push(Figure::new("start to ready, cold (nothing compiled)", "s", &cold));
    outcome.figures.push(Figure::new("start to ready, warm", "s", &warm).aim(Goal::Below(1.0)));
    Ok(())
}

fn memory(plaza: &Plaza, when: &str, goal: Option<Goal>, outcome: &mut Outcome) {
    let Some(memory) = procfs::memory(plaza.pid()) else {
        outcome.faults.push(format!("the memory {when} cannot be read"));
        return;
    };
    let megabytes = |bytes: u64| u32::try_from(bytes / 1_000).map_or(f64::NAN, f64::from) / 1e3;
    let resident = Figure::new(format!("memory {when}, resident"), "MB", &[megabytes(memory.rss_bytes)]);
    outcome.figures.push(goal.map_or(resident.clone(), |goal| resident.aim(goal)));
    if let Some(pss) = memory.pss_bytes {
        outcome.figures.push(Figure::new(format!("memory {when}, proportional"), "MB", &[megabytes(pss)]));
    }
}

async fn under_load(arguments: &Arguments, plan: &Plan, plaza: &Plaza, outcome: &mut Outcome) {
    progress("200 users register, log in and open 50 rooms");
    let town = Town::found(&plaza.client()).await;
    let target = Target { address: plaza.address(), server: plaza.pid(), stores: plaza.stack().pids() };
    let mut answered = vec![0; town.rooms.len()];
    let mut unanswered = 0;
    let mut pinned = 0;
    let mut keep = |run: &Run| {
        answered.iter_mut().zip(&run.answered).for_each(|(sum, part)| *sum += part);
        unanswered += run.errors.count;
    };

    let get = |buffer: &mut Vec<u8>, user: usize, _: &str| load::own_profile(&target, &town, buffer, user);
    let send =
        |buffer: &mut Vec<u8>, user: usize, id: &str| load::message(&target, &town, buffer, user, load::LINE, id);
    if arguments.wants(Part::Get) {
        let mut runs = Vec::new();
        for number in 1..=plan.runs {
            progress(&format!("GET /api/profile/me, run {number} of {}", plan.runs));
            runs.push(load::closed(&get, &target, &town, plan.seconds.min(10), "get").await);
        }
        closed_figures("GET /api/profile/me", &runs, (None, None), outcome);
    }
    if arguments.wants(Part::Send) {
        let (mut runs, mut backlogs) = (Vec::new(), Vec::new());
        for number in 1..=plan.runs {
            progress(&format!("sends, run {number} of {}", plan.runs));
            runs.push(load::closed(&send, &target, &town, plan.seconds, &format!("send{number}")).await);
            match backlog::drain(&plaza.client()).await {
                Ok(backlog) => backlogs.push(backlog),
                Err(why) => outcome.faults.push(why),
            }
        }
        runs.iter().for_each(&mut keep);
        let goals = (Some(Goal::AtLeast(5_000.0)), Some(Goal::Below(50.0)));
        closed_figures("messages sent", &runs, goals, outcome);
        let records = each(&backlogs, |backlog| backlog.records);
        outcome.figures.push(Figure::new("messages sent, events still to handle at the end", "", &records));
        let seconds = each(&backlogs, |backlog| backlog.gone_after.as_secs_f64());
        outcome.figures.push(Figure::new("messages sent, all of them handled after", "s", &seconds));
    }
    if arguments.wants(Part::Stream) {
        let mut runs = Vec::new();
        for number in 1..=plan.runs {
            progress(&format!("POST to stream at {OPEN_LOOP_PER_SECOND} a second, run {number} of {}", plan.runs));
            let name = format!("open{number}");
            runs.push(load::open(&target, &town, OPEN_LOOP_PER_SECOND, plan.seconds, &name).await);
        }
        runs.iter().map(|delivery| &delivery.sends).for_each(&mut keep);
        stream_figures(&runs, outcome);
    }
    if arguments.wants(Part::Day) {
        let day = Day::begin(&target, &town).await;
        pinned = 1;
        let ask = |buffer: &mut Vec<u8>, user: usize, id: &str| day.ask(buffer, user, id);
        let mut runs = Vec::new();
        for number in 1..=plan.runs {
            progress(&format!("a day in the life, run {number} of {}", plan.runs));
            runs.push(load::closed(&ask, &target, &town, plan.seconds, &format!("day{number}")).await);
            if let Err(why) = backlog::drain(&plaza.client()).await {
                outcome.faults.push(why);
            }
        }
        runs.iter().for_each(&mut keep);
        let what = "a day in the life (10 % writes)";
        closed_figures(what, &runs, (None, None), outcome);
        let writes = each(&runs, |run| run.writes.ms(0.99));
        outcome.figures.push(Figure::new(format!("{what}, P99 of the writes"), "ms", &writes));
    }
    memory(plaza, "after load", None, outcome);
    progress("reading back what was sent");
    for sum in &mut answered {
        *sum += pinned;
    }
    match town.verify(&answered, unanswered).await {
        Ok(messages) => progress(&format!("all {messages} messages are there, seq without a gap")),
        Err(why) => outcome.faults.push(why),
    }
}

fn each<T>(runs: &[T], value: impl Fn(&T) -> f64) -> Vec<f64> {
    runs.iter().map(value).collect()
}

fn note_errors<'a>(what: &str, runs: impl Iterator<Item = &'a Run>, outcome: &mut Outcome) {
    let mut errors = load::Errors::default();
    runs.for_each(|run| errors.add(&run.errors));
    if errors.count > 0 {
        outcome.faults.push(format!("{what}: {} errors, the first: {:#?}", errors.count, errors.first));
    }
}

fn closed_figures(what: &str, runs: &[Run], goals: (Option<Goal>, Option<Goal>), outcome: &mut Outcome) {
    let aim = |figure: Figure, goal: Option<Goal>| match goal {
        Some(goal) => figure.aim(goal),
        None => figure,
    };
    let rate = Figure::new(format!("{what}, {} connections", load::CONNECTIONS), "/s", &each(runs, Run::per_second));
    outcome.figures.push(aim(rate, goals.0));
    for (name, quantile) in [("P50", 0.50), ("P95", 0.95), ("P99", 0.99)] {
        let figure = Figure::new(format!("{what}, {name}"), "ms", &each(runs, |run| run.latencies.ms(quantile)));
        outcome.figures.push(if quantile > 0.98 { aim(figure, goals.1) } else { figure });
    }
    outcome.figures.push(Figure::new(format!("{what}, server CPU each"), "ms", &each(runs, Run::server_cpu_ms)));
    let stores = each(runs, Run::stores_cpu_ms);
    if stores.iter().any(|ms| *ms > 0.0) {
        outcome.figures.push(Figure::new(format!("{what}, databases' and broker's CPU each"), "ms", &stores));
    }
    let generator = each(runs, |run| run.cpu_seconds.generator / run.seconds * 100.0);
    outcome.figures.push(Figure::new(format!("{what}, generator's CPU"), "% of one", &generator));
    note_errors(what, runs.iter(), outcome);
}

fn stream_figures(runs: &[Delivery], outcome: &mut Outcome) {
    let what = format!("POST to stream at {OPEN_LOOP_PER_SECOND}/s");
    for (name, quantile) in [("P50", 0.50), ("P95", 0.95), ("P99", 0.99), ("worst", 1.0)] {
        let values = each(runs, |run| run.to_stream.ms(quantile));
        let figure = Figure::new(format!("{what}, {name}"), "ms", &values);
        outcome.figures.push(if name == "P99" { figure.aim(Goal::Below(25.0)) } else { figure });
    }
    let values = each(runs, |run| run.sends.latencies.ms(0.99));
    outcome.figures.push(Figure::new(format!("{what}, the answer's P99"), "ms", &values));
    outcome.figures.push(Figure::new(
        format!("{what}, server CPU each"),
        "ms",
        &each(runs, |run| run.sends.server_cpu_ms()),
    ));
    note_errors(&what, runs.iter().map(|run| &run.sends), outcome);
    let missing: u64 = runs.iter().map(|run| run.missing).sum();
    if missing > 0 {
        outcome.faults.push(format!("{what}: {missing} messages did not arrive"));
    }
}

/// The size of each component, as it is shipped.
fn sizes(outcome: &mut Outcome) -> Result<(), String> {
    let path = manifest();
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let manifest: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let components = manifest.get("component").and_then(toml::Value::as_table);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut sizes = Vec::new();
    for (name, component) in components.into_iter().flatten() {
        let Some(source) = component.get("source").and_then(toml::Value::as_str) else { continue };
        let source = folder.join(source);
        let bytes = fs::metadata(&source).map_err(|error| format!("{}: {error}", source.display()))?.len();
        sizes.push((name, u32::try_from(bytes).map_or(f64::NAN, f64::from) / MEGABYTE));
    }
    sizes.sort_by(|one, other| other.1.total_cmp(&one.1));
    for (name, megabytes) in sizes {
        outcome.figures.push(Figure::new(format!("component {name}"), "MB", &[megabytes]).aim(Goal::Below(1.0)));
    }
    Ok(())
}
