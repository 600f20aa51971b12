//! What becomes of changes when MariaDB is in trouble: locked, killed, gone, silent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use plaza_test_stores::MariaDb;
use plaza_test_support::{Answer, Call, Message, Person, Plaza, Room, eventually, unique};
use serde_json::{Value, json};

/// How long a fault goes on under load.
const STORM: Duration = Duration::from_secs(5);

/// The longest that an answer may take while the database is silent or locked: it must come before a request's own end.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(25);

/// The application on a server of its own, and two people in a room.
struct Town {
    mariadb: MariaDb,
    plaza: Plaza,
    anna: Person,
    ben: Person,
    room: Room,
}

impl Town {
    async fn start() -> Option<Self> {
        let started = tokio::task::spawn_blocking(|| {
            let mariadb = MariaDb::start()?;
            let plaza = mariadb.options().start().unwrap_or_else(|why| panic!("{why}"));
            Some((mariadb, plaza))
        });
        let (mariadb, plaza) = started.await.expect("the start does not panic")?;
        let client = plaza.client();
        let (anna, ben) = tokio::join!(Person::new(&client, "anna"), Person::new(&client, "ben"));
        let room = anna.direct_room(&ben).await;
        Some(Self { mariadb, plaza, anna, ben, room })
    }

    async fn is_whole(&self, expected: u64) {
        let messages = self.ben.all_messages(&self.room.id).await;
        let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (1..=expected).collect::<Vec<_>>());
        let sql = "SELECT JSON_VALUE(data, '$.seq') FROM outbox WHERE topic = 'message.events'";
        let told = self.mariadb.sql("chat", &format!("{sql} AND `key` = '{}' ORDER BY id", self.room.id));
        let told: Vec<u64> = told.iter().map(|row| row[0].parse().expect("a seq")).collect();
        assert_eq!(told, seqs, "each is told of once, in its place");
    }
}

/// A refusal for the time being: 503, and when to come again.
fn is_unavailable(answer: &Answer) {
    answer.problem(503, "unavailable");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer}");
}

/// Sends until it is answered with a success, whatever comes in between, and returns how often that was a refusal.
async fn insist(call: impl Fn() -> Call) -> (Message, usize) {
    let began = Instant::now();
    let mut refusals = 0;
    loop {
        let answer = call().answer().await;
        if answer.status.is_success() {
            return (answer.read(), refusals);
        }
        is_unavailable(&answer);
        refusals += 1;
        assert!(began.elapsed() < 4 * STORM, "it never goes well: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_the_victim_of_a_deadlock_is_made_again() {
    let Some(town) = Town::start().await else { return };
    let Town { mariadb, anna, room, .. } = &town;
    mariadb.sql("chat", "CREATE TABLE ballast (id INT PRIMARY KEY); INSERT INTO ballast SELECT seq FROM seq_1_to_2000");
    let before = mariadb.status("Innodb_deadlocks");
    for round in 1..=3 {
        // It has the room and much else, so that it is not the one that the server gives up.
        let mut other = mariadb.session("chat");
        other.send("BEGIN");
        other.send(&format!("SELECT id FROM rooms WHERE id = '{}' FOR UPDATE; UPDATE ballast SET id = -id", room.id));
        let locked = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 1000";
        let holds = eventually(Duration::from_secs(10), "the other's lock", async || {
            (mariadb.sql("chat", locked)[0][0] == "1").then_some(())
        });
        holds.await;
        let sending = anna.sending(&room.id, "in the end", None);
        let (answer, ()) = tokio::join!(sending.answer(), async {
            let waits = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
            let waits = eventually(Duration::from_secs(10), "the change that waits for the room", async || {
                (mariadb.sql("chat", waits)[0][0] == "1").then_some(())
            });
            waits.await;
            let participant = format!("room_id = '{}' AND user_id = '{}'", room.id, anna.id());
            other.send(&format!("UPDATE participants SET joined_at = joined_at + 1 WHERE {participant}; COMMIT"));
        });
        assert_eq!(answer.ok::<Message>(201).seq, round);
    }
    // Not in each round: what the server says of its transactions is up to 100 ms old.
    assert!(mariadb.status("Innodb_deadlocks") > before, "there were deadlocks");
    town.is_whole(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stays_locked_is_a_503_in_time() {
    let Some(town) = Town::start().await else { return };
    let mut other = town.mariadb.session("chat");
    other.send(&format!("BEGIN; SELECT id FROM rooms WHERE id = '{}' FOR UPDATE; DO SLEEP(60)", town.room.id));
    let locked = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'";
    let holds = eventually(Duration::from_secs(10), "the other's lock", async || {
        (town.mariadb.sql("chat", locked)[0][0] == "1").then_some(())
    });
    holds.await;
    let answer = town.anna.sending(&town.room.id, "waits", None).answer().await;
    is_unavailable(&answer);
    assert!(answer.took < ANSWER_TIME_MAX, "{:?}", answer.took);
    // Others are not concerned.
    let elsewhere = town.anna.group("elsewhere", &[&town.ben]).await;
    assert_eq!(town.anna.say(&elsewhere, "at once").await.seq, 1);
    drop(other);
    town.mariadb.kill_connections();
    let (sent, _) = insist(|| town.anna.sending(&town.room.id, "goes on", None)).await;
    assert_eq!(sent.seq, 1);
    town.is_whole(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_connections_are_killed() {
    let Some(town) = Town::start().await else { return };
    let (over, began) = (AtomicBool::new(false), Instant::now());
    let storm = async {
        let mut killed = 0;
        while began.elapsed() < STORM {
            killed += tokio::task::block_in_place(|| town.mariadb.kill_connections());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        over.store(true, Ordering::Relaxed);
        killed
    };
    let write = async |person: &Person| {
        let (mut sent, mut refused) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let name = unique("client");
            let (_, refusals) = insist(|| person.sending(&town.room.id, "through the storm", Some(&name))).await;
            sent += 1;
            refused += refusals;
        }
        (sent, refused)
    };
    let writers = [&town.anna, &town.ben, &town.anna, &town.ben, &town.anna, &town.ben, &town.anna, &town.ben];
    let (killed, written) = tokio::join!(storm, join_all(writers.map(write)));
    let sent: u64 = written.iter().map(|(sent, _)| sent).sum();
    let refused: usize = written.iter().map(|(_, refused)| refused).sum();
    eprintln!("{sent} messages, {killed} connections killed, {refused} refusals");
    assert!(killed > 20 && sent > 20, "{killed} killed, {sent} sent");
    town.is_whole(sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_it_says_so_and_goes_on_when_it_is_back() {
    let Some(town) = Town::start().await else { return };
    let Town { mariadb, plaza, anna, ben, room } = &town;
    anna.say(room, "before").await;
    tokio::task::block_in_place(|| mariadb.server().kill());

    let client = plaza.client();
    let registration = json!({ "username": unique("new"), "email": format!("{}@example.com", unique("new")),
        "password": "correct horse battery" });
    let calls = [
        anna.sending(&room.id, "into the void", Some(&unique("client"))),
        anna.client.get(format!("/api/messages/{}", room.id)),
        anna.client.get("/api/chat-rooms"),
        anna.client.get("/api/friends"),
        anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.id() })),
        anna.client.get("/api/notifications"),
        anna.client.get("/api/profile/me"),
        client.post("/api/auth/register").json(&registration),
        client.post("/api/auth/login/json").json(&anna.credentials.login()),
        anna.client.post("/api/auth/logout"),
    ];
    for answer in join_all(calls.map(Call::answer)).await {
        is_unavailable(&answer);
        assert!(answer.took < ANSWER_TIME_MAX, "{:?}: {answer}", answer.took);
    }
    let ready: Value = client.get("/ready").answer().await.is(503).read();
    for context in ["user", "friend", "chat", "notification", "analytics"] {
        assert_eq!(ready["checks"][format!("database:{context}")], "failed", "{ready}");
    }
    let _: Value = client.get("/health").answer().await.ok(200);

    tokio::task::block_in_place(|| mariadb.server().restart());
    // The logout was refused as a whole, but a refused caller's tokens may have to be examined anew.
    let (sent, _) = insist(|| anna.sending(&room.id, "after", None)).await;
    assert_eq!(sent.seq, 2);
    town.is_whole(2).await;
    let _ = client.post("/api/auth/register").json(&registration).answer().await.is(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_a_503_in_time() {
    let Some(town) = Town::start().await else { return };
    let name = unique("client");
    let sending = || town.anna.sending(&town.room.id, "hello?", Some(&name));
    town.mariadb.server().pause();
    let answer = sending().send().await;
    town.mariadb.server().resume();
    let answer = answer.unwrap_or_else(|lost| panic!("{lost}"));
    is_unavailable(&answer);
    assert!(answer.took < ANSWER_TIME_MAX, "{:?}", answer.took);
    let (sent, _) = insist(sending).await;
    assert_eq!(sent.seq, 1);
    town.is_whole(1).await;
}
