//! A conversation against a running Plaza, over plain HTTP: two people register, log in, become friends and open a
//! room; what one writes, the other's stream prints as it arrives, with the time it took.
//!
//! Exit codes: 0 when every line arrived; 1 when Plaza answered something unexpected or a line did not arrive; 2 for
//! a wrong command line or an unreadable file; 69 (`EX_UNAVAILABLE`) when no Plaza answers.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::fmt;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use plaza_test_support::{
    Answer, Call, Client, Credentials, FriendRequest, Lost, Message, Next, Refused, Room, Stream, Tokens, User,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long a line may take to reach the other's stream.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(10);

/// Lines that are read ahead of the conversation.
const LINES_AHEAD: usize = 16;

#[derive(Parser)]
#[command(name = "demo", about = "Plays a conversation against a running Plaza and prints what arrives, and how fast.")]
struct Arguments {
    /// A text file; each line that is not blank is a message. Without it, lines are read from standard input.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Where Plaza listens.
    #[arg(long, env = "PLAZA_URL", default_value = "http://127.0.0.1:3000")]
    url: String,
}

/// Why the conversation stopped.
enum Failure {
    Unreachable { url: String, why: String },
    Unexpected(String),
    Unreadable(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, why } => write!(
                f,
                "no Plaza answers at {url}.\nStart one with ./scripts/run, or say where it is with --url.\n({why})"
            ),
            Self::Unexpected(what) | Self::Unreadable(what) => f.write_str(what),
        }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::Unexpected(format!("Plaza stopped answering: {lost}"))
    }
}

impl Failure {
    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unexpected(_) => 1,
            Self::Unreadable(_) => 2,
            Self::Unreachable { .. } => 69,
        })
    }
}

/// Somebody in the conversation.
struct Speaker {
    client: Client,
    user: User,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match play(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("demo: {failure}");
            failure.code()
        }
    }
}

async fn play(arguments: Arguments) -> Result<(), Failure> {
    // Before anything else, so that a mistyped name costs no account.
    let (lines, typed) = lines(arguments.file)?;
    let url = arguments.url.trim_end_matches('/').to_owned();
    let client = Client::new(url.as_str());
    match client.get("/health").send().await {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => return Err(Failure::Unreachable { url, why: format!("/health was answered {}", answer.status) }),
        Err(lost) => return Err(Failure::Unreachable { url, why: lost.to_string() }),
    }

    println!("Two people meet on {url}.");
    let (anna, ben) = (meet(&client, "anna").await?, meet(&client, "ben").await?);
    let (one, other) = (&anna.user.username, &ben.user.username);
    println!("  {one} and {other} registered and logged in.");
    let request = anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.user.id }));
    let request: FriendRequest = expect(request, &[201]).await?;
    let path = format!("/api/friends/requests/{}/accept", request.id);
    let _: FriendRequest = expect(ben.client.post(path), &[200]).await?;
    println!("  {one} asked to be friends, {other} accepted.");
    let room = json!({ "room_type": "direct", "participant_ids": [ben.user.id] });
    let room: Room = expect(anna.client.post("/api/chat-rooms").json(&room), &[201, 200]).await?;
    let stream = Stream::open(ben.client.get("/api/stream"), None).await;
    let stream = stream.map_err(|refused| match refused {
        Refused::Lost(lost) => lost.into(),
        Refused::Answer(answer) => unexpected(&answer),
    })?;
    println!("  They opened a room; {other} listens on a stream.\n");
    if typed {
        println!("Type what {one} says, one message a line. Ctrl-D ends it.");
    }
    talk(&anna, &ben, &room, stream, lines).await
}

async fn meet(client: &Client, name: &str) -> Result<Speaker, Failure> {
    let credentials = Credentials::unique(name);
    let registration = client.post("/api/auth/register").json(&credentials.registration());
    let user: User = expect(registration, &[201]).await?;
    let login = client.post("/api/auth/login/json").json(&credentials.login());
    let tokens: Tokens = expect(login, &[200]).await?;
    Ok(Speaker { client: client.with_token(&tokens.access_token), user })
}

async fn talk(
    anna: &Speaker,
    ben: &Speaker,
    room: &Room,
    mut stream: Stream,
    mut lines: mpsc::Receiver<String>,
) -> Result<(), Failure> {
    let mut took_ms = Vec::new();
    let mut refused = 0;
    while let Some(line) = lines.recv().await {
        let mut started = Instant::now();
        let mut answer = say(anna, room, &line).await?;
        while answer.status == 429 {
            // One address may make a hundred requests a minute, unless `plaza up` says otherwise.
            let seconds = answer.header("retry-after").parse().unwrap_or(1);
            eprintln!("  that was fast; on in {seconds} s (plaza up --requests-per-minute 0 has no limit)");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            started = Instant::now();
            answer = say(anna, room, &line).await?;
        }
        if answer.status != 201 {
            eprintln!("  not sent: {}", complaint(&answer));
            refused += 1;
            continue;
        }
        let message: Message = parse(&answer)?;
        let heard = arrival(&mut stream, &message.id).await?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        took_ms.push(ms);
        println!("{} hears {}: {heard}  [{ms:.1} ms]", ben.user.username, anna.user.username);
    }
    if took_ms.is_empty() {
        println!("Nothing was said.");
    } else {
        took_ms.sort_by(f64::total_cmp);
        let (median, worst) = (took_ms[took_ms.len() / 2], took_ms[took_ms.len() - 1]);
        println!("\nFrom POST to stream: median {median:.1} ms, worst {worst:.1} ms, of {}.", took_ms.len());
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::Unexpected(format!("lines that were not sent: {refused}"))),
    }
}

async fn say(speaker: &Speaker, room: &Room, line: &str) -> Result<Answer, Failure> {
    let call = speaker.client.post(format!("/api/messages/{}", room.id)).json(&json!({ "content": line }));
    Ok(call.send().await?)
}

/// Waits for one message on the stream and gives its content.
async fn arrival(stream: &mut Stream, message: &str) -> Result<String, Failure> {
    let deadline = tokio::time::Instant::now() + ARRIVAL_DEADLINE;
    loop {
        match stream.poll_until(deadline).await {
            Next::Event(event) if event.event == "MessageSent" => {
                let data: Value = serde_json::from_str(&event.data)
                    .map_err(|error| Failure::Unexpected(format!("{error} in the data of {event:?}")))?;
                if data["id"] == message {
                    return Ok(data["content"].as_str().unwrap_or_default().to_owned());
                }
            }
            Next::Event(_) => {}
            Next::Ended => return Err(Failure::Unexpected("the stream ended".to_owned())),
            Next::Quiet => {
                return Err(Failure::Unexpected(format!("the message did not arrive within {ARRIVAL_DEADLINE:?}")));
            }
        }
    }
}

/// The lines to say, without blank ones, and whether a person types them.
fn lines(file: Option<PathBuf>) -> Result<(mpsc::Receiver<String>, bool), Failure> {
    let (send, receive) = mpsc::channel(LINES_AHEAD);
    let (reader, typed): (Box<dyn BufRead + Send>, bool) = match file {
        Some(path) => {
            let unreadable = |error| Failure::Unreadable(format!("cannot read {}: {error}", path.display()));
            (Box::new(BufReader::new(std::fs::File::open(&path).map_err(unreadable)?)), false)
        }
        None => (Box::new(BufReader::new(std::io::stdin())), std::io::stdin().is_terminal()),
    };
    // A thread, since a read of a terminal cannot be called off; it goes with the process.
    std::thread::spawn(move || {
        for line in reader.lines() {
            match line {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    if send.blocking_send(line.trim_end().to_owned()).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    eprintln!("demo: the lines end here: {error}");
                    return;
                }
            }
        }
    });
    Ok((receive, typed))
}

async fn expect<T: DeserializeOwned>(call: Call, statuses: &[u16]) -> Result<T, Failure> {
    let answer = call.send().await?;
    if statuses.contains(&answer.status.as_u16()) { parse(&answer) } else { Err(unexpected(&answer)) }
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| Failure::Unexpected(format!("{error}: {answer}")))
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::Unexpected(format!("unexpected: {answer}"))
}

/// What a problem document says, for people.
fn complaint(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fields: Vec<String> =
        fields.iter().map(|error| format!("{} {}", text(&error["field"]), text(&error["detail"]))).collect();
    let detail = if fields.is_empty() { text(&problem["detail"]) } else { fields.join("; ") };
    format!("{} ({})", detail, answer.status)
}
