//! A stream that is cut again and again, anywhere in a frame, while messages flow, loses nothing and repeats nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plaza_e2e::check::{self, Delivered};
use plaza_test_support::{Next, PATIENCE, Person, Room, World};
use tokio::time::Instant;

/// How often the stream is cut: `PLAZA_RESUME_CUTS`, or this.
const CUTS_DEFAULT: usize = 300;

/// The most bytes that are read before a cut: a few frames of several hundred bytes each, so that most cuts fall
/// inside a frame and some before the first byte of one.
const CUT_AFTER_BYTES_MAX: usize = 2_500;

/// The longest that one connection lives when too little flows to reach its cut.
const CONNECTION_MAX: Duration = Duration::from_millis(400);

/// The longest pause of a writer between two messages.
const PAUSE_MS_MAX: u64 = 8;

fn cuts() -> usize {
    std::env::var("PLAZA_RESUME_CUTS").map_or(CUTS_DEFAULT, |text| text.parse().expect("PLAZA_RESUME_CUTS is a number"))
}

/// Writes into `room` until told to stop and gives the number of messages.
async fn write(person: Person, room: Room, stop: Arc<AtomicBool>, mut rng: fastrand::Rng) -> u64 {
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        written += 1;
        // Of many lengths, so that frames end anywhere in what is read at once.
        let content = format!("{written} {}", "x".repeat(rng.usize(0..300)));
        person.say(&room, &content).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(0..=PAUSE_MS_MAX))).await;
    }
    written
}

/// Listens to `path` over connections that are cut at random, while somebody writes in each of the rooms.
async fn cut_and_resume(world: &World, listener: &Person, path: &str, rooms: Vec<(Person, Room)>) {
    let mut rng = world.seed().rng(0);
    let mut delivered = Delivered::default();
    // Open before the first message is written, and left alone until something came: a client without a position has
    // nothing to resume after.
    let mut stream = listener.stream(path).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (number, (writer, room)) in (1..).zip(rooms) {
        let id = room.id.clone();
        writers.push((id, tokio::spawn(write(writer, room, Arc::clone(&stop), world.seed().rng(number)))));
    }
    delivered.note(&stream.next(PATIENCE).await);

    let cuts = cuts();
    for _ in 0..cuts {
        stream.cut_after(rng.usize(0..=CUT_AFTER_BYTES_MAX));
        let lives_until = Instant::now() + CONNECTION_MAX;
        while let Next::Event(event) = stream.poll_until(lives_until).await {
            delivered.note(&event);
        }
        let position = stream.last_event_id().expect("a position after the first event").to_owned();
        drop(stream);
        stream = listener.resume(path, &position).await;
    }

    stop.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for (room, writer) in writers {
        written.push((room, writer.await.expect("the writer does not panic")));
    }
    while written.iter().any(|(room, last)| delivered.distinct(room) < *last) {
        // What does not come is named by the check below.
        let Next::Event(event) = stream.poll(PATIENCE).await else { break };
        delivered.note(&event);
    }
    for (room, last) in &written {
        delivered.exactly_once_in_order(room, *last).unwrap_or_else(|why| panic!("{path}, room {room}: {why}"));
        check::gapless(&listener.all_messages(room).await).unwrap_or_else(|why| panic!("room {room}: {why}"));
    }
    eprintln!("{path}: {} messages over {cuts} cuts", delivered.len());
    assert!(delivered.len() > cuts / 2, "too little flowed to mean anything: {} messages", delivered.len());
}

#[tokio::test]
async fn a_rooms_stream_survives_hundreds_of_cuts() {
    let world = World::shared();
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    let room = anna.direct_room(&ben).await;
    let path = format!("/api/stream/messages/{}", room.id);
    cut_and_resume(&world, &ben, &path, vec![(anna, room)]).await;
}

#[tokio::test]
async fn the_stream_of_everything_survives_hundreds_of_cuts() {
    let world = World::shared();
    let listener = world.person("listener").await;
    let mut rooms = Vec::new();
    for name in ["one", "two", "three"] {
        let writer = world.person(name).await;
        let room = writer.group(name, &[&listener]).await;
        rooms.push((writer, room));
    }
    cut_and_resume(&world, &listener, "/api/stream", rooms).await;
}
