//! Streams: who may listen, and to what.

use std::time::Duration;

use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Call, Event, Next, PATIENCE, Refused, Stream, World};

async fn refused(call: Call) -> Answer {
    match Stream::open(call, None).await {
        Ok(stream) => panic!("it opened: {stream:?}"),
        Err(Refused::Answer(answer)) => *answer,
        Err(Refused::Lost(lost)) => panic!("{lost}"),
    }
}

fn is_message(event: &Event) -> bool {
    event.event == "MessageSent"
}

#[tokio::test]
async fn a_ticket_opens_one_stream() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for path in ["/api/stream".to_owned(), format!("/api/stream/messages/{}", room.id)] {
        let ticket = ben.ticket().await;
        assert!((1..=120).contains(&ticket.expires_in), "short-lived: {ticket:?}");
        let call = || world.client().get(path.clone()).query(&[("ticket", &ticket.ticket)]);
        let mut stream = Stream::open(call(), None).await.unwrap_or_else(|refused| panic!("{refused}"));
        refused(call()).await.problem(401, "invalid_ticket");
        let message = anna.say(&room, "hello").await;
        let event = stream.find("the message", PATIENCE, is_message).await;
        assert_eq!(event.json()["id"], message.id.as_str());
        refused(call()).await.problem(401, "invalid_ticket");
    }
}

#[tokio::test]
async fn of_many_who_use_one_ticket_at_once_one_gets_in() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let ticket = anna.ticket().await;
    let attempts =
        (0..8).map(|_| Stream::open(world.client().get("/api/stream").query(&[("ticket", &ticket.ticket)]), None));
    let opened = futures::future::join_all(attempts).await.into_iter().flatten().count();
    assert_eq!(opened, 1);
}

#[tokio::test]
async fn a_ticket_that_is_none_opens_nothing() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for ticket in ["nonsense", anna.tokens.access_token.as_str()] {
        let call = world.client().get("/api/stream").query(&[("ticket", ticket)]);
        refused(call).await.problem(401, "invalid_ticket");
    }
    let ticket = anna.ticket().await;
    for path in ["/api/profile/me", "/api/chat-rooms"] {
        let answer = world.client().get(path).query(&[("ticket", &ticket.ticket)]).answer().await;
        answer.unauthorized();
        world.client().get(path).authorization(&format!("Bearer {}", ticket.ticket)).answer().await.unauthorized();
    }
}

#[tokio::test]
async fn a_stream_is_not_stored_on_the_way() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let mut socket = tokio::net::TcpStream::connect(world.plaza().address()).await.expect("a connection");
    let request =
        format!("GET /api/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", anna.tokens.access_token);
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.expect("the request is taken");
    let mut head = Vec::new();
    let reading = async {
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            head.push(tokio::io::AsyncReadExt::read_u8(&mut socket).await.expect("a response head"));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("a response head in time");
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-") && !head.contains("content-length"), "{head}");
    assert!(!head.contains("grip"), "the instructions to the relay stay inside: {head}");
}

#[tokio::test]
async fn anothers_room_cannot_be_listened_to() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.direct_room(&ben).await;
    for id in [room.id.as_str(), NOBODY, "nonsense"] {
        refused(cleo.client.get(format!("/api/stream/messages/{id}"))).await.problem(404, "not_found");
    }
    // Nor by the stream of everything.
    let mut stream = cleo.stream("/api/stream").await;
    anna.say(&room, "a secret").await;
    let own = cleo.group("own", &[&anna]).await;
    let mine = cleo.say(&own, "not a secret").await;
    let event = stream.find("a message", PATIENCE, is_message).await;
    assert_eq!(event.json()["id"], mine.id.as_str());
}

#[tokio::test]
async fn a_rooms_stream_carries_that_room_and_nothing_else() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let (room, other) = (anna.group("one", &[&ben]).await, anna.group("other", &[&ben]).await);
    let mut stream = ben.stream(&format!("/api/stream/messages/{}", room.id)).await;
    for n in 1..=5 {
        anna.say(&other, "elsewhere").await;
        anna.say(&room, &format!("here {n}")).await;
    }
    for seq in 1..=5 {
        let event = stream.find("a message", PATIENCE, is_message).await.json();
        assert_eq!((event["room_id"].as_str(), event["seq"].as_u64()), (Some(room.id.as_str()), Some(seq)));
    }
}

#[tokio::test]
async fn a_new_room_is_heard_on_an_open_stream_at_once() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let mut stream = ben.stream("/api/stream").await;
    for n in 0..10 {
        // The message follows the room without a pause: the stream must not miss it.
        let room = anna.group(&format!("room {n}"), &[&ben]).await;
        let message = anna.say(&room, "hello").await;
        let event = stream.find("the first message of a new room", PATIENCE, is_message).await;
        assert_eq!(event.json()["id"], message.id.as_str());
    }
}

#[tokio::test]
async fn every_device_hears_everything() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let laptop = anna.on_another_device().await;
    let room = anna.direct_room(&ben).await;
    let mut streams =
        [anna.stream("/api/stream").await, laptop.stream("/api/stream").await, ben.stream("/api/stream").await];
    let sent = [anna.say(&room, "one").await, ben.say(&room, "two").await];
    for stream in &mut streams {
        for message in &sent {
            let event = stream.find("a message", PATIENCE, is_message).await;
            assert_eq!(event.json()["id"], message.id.as_str());
        }
    }
}

#[tokio::test]
async fn a_stream_resumes_where_it_stopped() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for path in ["/api/stream".to_owned(), format!("/api/stream/messages/{}", room.id)] {
        let mut stream = ben.stream(&path).await;
        let first = anna.say(&room, "heard").await;
        let event = stream.find("the first", PATIENCE, is_message).await;
        assert_eq!(event.json()["id"], first.id.as_str());
        drop(stream);
        let missed = [anna.say(&room, "missed").await, anna.say(&room, "missed too").await];
        // Twice from the same place: a position is not used up.
        for _ in 0..2 {
            let mut stream = ben.resume(&path, &event.id).await;
            for message in &missed {
                let event = stream.find("a missed message", PATIENCE, is_message).await;
                assert_eq!(event.json()["id"], message.id.as_str());
            }
        }
        let mut stream = ben.resume(&path, &event.id).await;
        let live = anna.say(&room, "live").await;
        for message in missed.iter().chain([&live]) {
            let event = stream.find("a message", PATIENCE, is_message).await;
            assert_eq!(event.json()["id"], message.id.as_str(), "first what was missed, then what is new");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_first_event_resumes_too() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for path in ["/api/stream".to_owned(), format!("/api/stream/messages/{}", room.id)] {
        let mut stream = ben.stream(&path).await;
        let opened = std::time::Instant::now();
        let position = loop {
            if let Some(position) = stream.last_event_id() {
                break position.to_owned();
            }
            assert!(opened.elapsed() < PATIENCE, "no position on a stream without events");
            // The room's own event may still be on its way.
            assert_ne!(stream.poll(Duration::from_millis(10)).await, Next::Ended);
        };
        drop(stream);
        let missed = anna.say(&room, "missed").await;
        // As a header, and as the query parameter for those who cannot set one.
        let by_query = ben.client.get(path.as_str()).query(&[("last_event_id", &position)]);
        let by_query = Stream::open(by_query, None).await.unwrap_or_else(|refused| panic!("{refused}"));
        for mut stream in [ben.resume(&path, &position).await, by_query] {
            let event = stream.find("the missed message", PATIENCE, is_message).await;
            assert_eq!(event.json()["id"], missed.id.as_str());
        }
    }
}

#[tokio::test]
async fn a_position_that_is_none_resets() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for id in ["nonsense", "message.events:999@-1", "{}", &"9".repeat(3_000)] {
        let stream = Stream::open(ben.client.get("/api/stream"), Some(id)).await;
        let mut stream = match stream {
            Ok(stream) => stream,
            // A header that long may be refused as such.
            Err(Refused::Answer(answer)) if id.len() > 1_000 && answer.status == 431 => continue,
            Err(refused) => panic!("{refused}"),
        };
        let event = stream.next(PATIENCE).await;
        assert_eq!(event.event, "reset", "{event:?}");
        let reason = event.json()["reason"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(["invalid_id", "unknown_id"].contains(&reason.as_str()), "{event:?}");
        // And from there on it works.
        let message = anna.say(&room, "after the reset").await;
        let event = stream.find("a message", PATIENCE, is_message).await;
        assert_eq!(event.json()["id"], message.id.as_str());
    }
}

#[tokio::test]
async fn a_quiet_stream_stays_open_and_says_so() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let mut stream = anna.stream("/api/stream").await;
    // The contract's heartbeat is a comment every 25 seconds.
    let started = std::time::Instant::now();
    while stream.comments() == 0 || started.elapsed() < Duration::from_secs(1) {
        assert!(started.elapsed() < Duration::from_secs(40), "no heartbeat in {:?}", started.elapsed());
        match stream.poll(Duration::from_millis(250)).await {
            Next::Quiet => {}
            // The welcome comes when it comes.
            Next::Event(event) if event.event == "NotificationSent" && event.json()["kind"] == "welcome" => {}
            Next::Event(event) => panic!("nothing happened, but there is {event:?}"),
            Next::Ended => panic!("the stream ended by itself after {:?}", started.elapsed()),
        }
    }
}
