//! The web client in a real Chromium: people who use it, two browsers at a time.

use plaza_browser::{Chromium, Look, Page, keys};
use plaza_test_support::{Credentials, Message, Options, Person, Plaza, Room};
use serde_json::{Value, json};

const COMPOSER: &str = ".composer textarea";
const TEXTS: &str = ".message .bubble > p";

async fn start(options: Options) -> Plaza {
    let started = tokio::task::spawn_blocking(|| options.start().unwrap_or_else(|why| panic!("{why}")));
    started.await.expect("the start does not panic")
}

/// Fills in the form of registration and goes in.
async fn register(page: &Page, credentials: &Credentials, display_name: &str) {
    page.visit().await;
    page.press("Create account").await;
    page.type_into("[name=email]", &credentials.email).await;
    page.type_into("[name=username]", &credentials.username).await;
    page.type_into("[name=display_name]", display_name).await;
    page.type_into("[name=password]", &credentials.password).await;
    page.click("[type=submit]").await;
    page.see(".shell").await;
}

async fn say(page: &Page, text: &str) {
    page.type_into(COMPOSER, text).await;
    page.type_into(COMPOSER, keys::ENTER).await;
}

async fn is_clean(page: &Page) {
    let complaints = page.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Points at the message with this text and presses a button of its own.
async fn at_message(page: &Page, text: &str, button: &str) {
    let mark = "const row = [...document.querySelectorAll('.message')].find((one) => one.querySelector('.bubble > p').textContent === arguments[0]);
        document.querySelectorAll('.pointed').forEach((one) => one.classList.remove('pointed'));
        row?.classList.add('pointed'); row?.focus(); return Boolean(row)";
    page.until(&format!("the message {text:?}"), mark, vec![text.into()]).await;
    page.click(&format!(".pointed .tools [aria-label='{button}']")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_meet_and_talk() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (minji, junho) = chromium.open_two(&plaza.url()).await;
    let (as_minji, as_junho) = (Credentials::unique("minji"), Credentials::unique("junho"));
    tokio::join!(register(&minji, &as_minji, "김민지"), register(&junho, &as_junho, "Junho"));

    // They find each other, and become friends.
    minji.click("nav [href='#/people']").await;
    minji.type_into("#find", &as_junho.username).await;
    minji.press("Add friend").await;
    minji.press("Cancel request").await;
    minji.press("Add friend").await;
    junho.reads("nav", "1").await;
    junho.click("nav [href='#/people']").await;
    junho.press("Accept").await;
    minji.reads(".people .person small", "Online").await;

    // They talk: live both ways, with what is being typed and what was read.
    minji.press("Message Junho").await;
    minji.reads(".room .about", "Online").await;
    say(&minji, "안녕, 준호!").await;
    minji.reads(".mark", "Sent").await;
    junho.reads("nav", "1").await;
    junho.click("nav [href='#/chats']").await;
    junho.reads(".rooms .badge", "1").await;
    junho.click(".rooms a").await;
    junho.reads(TEXTS, "안녕, 준호!").await;
    minji.reads(".mark", "Read").await;
    junho.gone(".rooms .badge").await;
    junho.type_into(COMPOSER, "Hel").await;
    minji.reads(".typing", "Junho is typing").await;
    say(&junho, "lo there").await;
    minji.reads(TEXTS, "Hello there").await;
    minji.gone(".typing:not(:empty)").await;

    // What was said can be changed, answered, reacted to, and taken back.
    at_message(&junho, "Hello there", "Edit").await;
    say(&junho, ", Minji").await;
    minji.reads(TEXTS, "Hello there, Minji").await;
    minji.reads(".meta", "edited").await;
    at_message(&minji, "Hello there, Minji", "React").await;
    minji.press("React with 🎉").await;
    junho.reads(".reactions", "🎉").await;
    junho.click(".reactions button").await;
    minji.reads(".reactions button", "2").await;
    minji.click(".reactions button").await;
    junho.reads(".reactions button", "1").await;
    at_message(&minji, "Hello there, Minji", "Reply").await;
    say(&minji, "An answer").await;
    junho.reads(".quote", "Hello there, Minji").await;
    at_message(&minji, "An answer", "Delete").await;
    minji.click("dialog .danger").await;
    junho.reads(TEXTS, "This message was deleted.").await;

    // While Junho is elsewhere, he is told; the notification leads to the room, and is read then.
    junho.click("nav [href='#/settings']").await;
    say(&minji, "Are you still there?").await;
    junho.reads("nav [href='#/chats']", "1").await;
    junho.reads("nav [href='#/notifications']", "unread notification").await;
    junho.click("nav [href='#/notifications']").await;
    junho.click(".notifications a.unread").await;
    junho.reads(TEXTS, "Are you still there?").await;
    junho.click("nav [href='#/notifications']").await;
    junho.press("Mark all as read").await;
    junho
        .until(
            "no notification is unread",
            "return !document.querySelector('nav [href=\"#/notifications\"]').innerText.includes('unread')",
            vec![],
        )
        .await;

    // Whoever closes the page is gone, after a while.
    junho.close().await;
    minji.reads(".room .about", "Last seen").await;
    is_clean(&minji).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_leaves_no_gap_and_nothing_twice() {
    /// Messages that each sends before the crash, while the server is away, and after it.
    const EACH: usize = 5;
    let Some(chromium) = Chromium::start() else { return };
    let mut plaza = start(Plaza::options()).await;
    let client = plaza.client();
    let (anna, ben) = (Person::new(&client, "anna").await, Person::new(&client, "ben").await);
    anna.befriend(&ben).await;
    let room = anna.direct_room(&ben).await;
    let (left, right) = chromium.open_two(&plaza.url()).await;
    for (page, person) in [(&left, &anna), (&right, &ben)] {
        page.enter(person).await;
        page.go(&format!("#/chats/{}", room.id)).await;
        page.see(COMPOSER).await;
    }
    let talk = async |phase: &str| {
        for n in 0..EACH {
            say(&left, &format!("{phase} {n} of anna")).await;
            say(&right, &format!("{phase} {n} of ben")).await;
        }
    };
    talk("before").await;
    plaza.kill();
    left.reads(".banner", "No connection").await;
    talk("without").await;
    left.reads(".mark", "Will be sent").await;
    let mut plaza = tokio::task::spawn_blocking(move || {
        plaza.restart();
        plaza
    })
    .await
    .expect("the restart does not panic");
    talk("after").await;

    let all = 2 * 3 * EACH;
    for page in [&left, &right] {
        page.until(
            "every message",
            "return document.querySelectorAll('.message').length === arguments[0]",
            vec![all.into()],
        )
        .await;
        page.gone(".message.sending, .message.waiting, .message.failed").await;
        page.gone(".banner").await;
    }
    let truth: Vec<String> =
        anna.all_messages(&room.id).await.into_iter().filter_map(|message| message.content).collect();
    assert_eq!(truth.len(), all, "the server has each once: {truth:?}");
    assert_eq!(left.texts(TEXTS).await, truth, "what Anna sees is what there is, in its order");
    assert_eq!(right.texts(TEXTS).await, truth, "and so for Ben");
    let of_anna: Vec<&String> = truth.iter().filter(|text| text.ends_with("anna")).collect();
    let said =
        ["before", "without", "after"].iter().flat_map(|phase| (0..EACH).map(move |n| format!("{phase} {n} of anna")));
    assert_eq!(
        of_anna.into_iter().cloned().collect::<Vec<_>>(),
        said.collect::<Vec<_>>(),
        "in the order she wrote them"
    );
    plaza.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_done_without_a_mouse() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    anna.befriend(&ben).await;
    let room = anna.direct_room(&ben).await;
    ben.say(&room, "Hello Anna").await;
    let page = chromium.open(&plaza.url(), Look::default()).await;

    page.visit().await;
    page.tab_to("[name=username]").await;
    page.type_keys(&anna.credentials.username).await;
    page.tab_to("[name=password]").await;
    page.type_keys(&anna.credentials.password).await;
    page.type_keys(keys::ENTER).await;
    page.reads(".rooms", "Hello Anna").await;

    page.tab_to(".rooms a").await;
    page.type_keys(keys::ENTER).await;
    page.until("the focus is where one writes", "return document.activeElement.matches('.composer textarea')", vec![])
        .await;
    page.type_keys("First line").await;
    page.type_keys(&format!("{}{}", keys::SHIFT, keys::ENTER)).await;
    page.type_keys("second line").await;
    page.type_keys(keys::ENTER).await;
    page.reads(TEXTS, "First line\nsecond line").await;
    page.reads(".mark", "Sent").await;

    // The last own message again, in other words.
    page.type_keys(keys::UP).await;
    page.see(".above").await;
    page.type_keys(", edited").await;
    page.type_keys(keys::ENTER).await;
    page.reads(TEXTS, "second line, edited").await;
    page.type_keys(keys::UP).await;
    page.see(".above > div").await;
    page.type_keys(keys::ESCAPE).await;
    page.gone(".above > div").await;

    // From the composer back among the messages, and to what can be done with one.
    page.type_keys(&format!("{}{}", keys::SHIFT, keys::TAB)).await;
    page.until("the focus is in the messages", "return Boolean(document.activeElement.closest('.message'))", vec![])
        .await;
    page.run("document.activeElement.closest('.message').focus()", vec![]).await;
    page.type_keys(keys::UP).await;
    page.until("the focus is on Ben's message", "return document.activeElement.matches('.message:not(.mine)')", vec![])
        .await;
    page.type_keys(keys::TAB).await;
    assert!(page.has_focus("[aria-label=React]").await);
    page.type_keys(keys::ENTER).await;
    page.type_keys(keys::SPACE).await;
    page.reads(".reactions", "👍").await;
    let message: Message = anna.messages(&room.id, "").await.items.remove(0);
    assert_eq!(message.reactions, [json!({ "emoji": "👍", "user_ids": [anna.id()] })]);

    // A dialog takes the focus, and gives it back.
    page.tab_to("[aria-label='About this chat']").await;
    page.type_keys(keys::ENTER).await;
    page.see("dialog").await;
    page.type_keys(keys::ESCAPE).await;
    page.gone("dialog").await;
    assert!(page.has_focus("[aria-label='About this chat']").await);
    is_clean(&page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_made_and_changed() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let client = plaza.client();
    let (anna, ben, carl) =
        (Person::new(&client, "anna").await, Person::new(&client, "ben").await, Person::new(&client, "carl").await);
    anna.befriend(&ben).await;
    anna.befriend(&carl).await;
    let (page, other) = chromium.open_two(&plaza.url()).await;
    page.enter(&anna).await;
    other.enter(&ben).await;
    page.press("New chat").await;
    page.see("dialog .person").await;
    for person in [&ben, &carl] {
        page.click(&format!("dialog [value='{}']", person.id())).await;
    }
    page.type_into("dialog .field input", "Hiking").await;
    page.press("Start chat").await;
    page.reads(".room .about", "3 members").await;
    other.reads(".rooms", "Hiking").await;
    say(&page, "Saturday?").await;
    other.reads(".rooms", "Saturday?").await;

    page.press("About this chat").await;
    page.type_into("dialog .inline input", " club").await;
    page.press("Rename").await;
    other.reads(".rooms", "Hiking club").await;
    page.press("Leave group").await;
    page.click("dialog + dialog .danger").await;
    page.gone(".rooms li").await;
    other.click(".rooms a").await;
    other.reads(".room .about", "2 members").await;
    let rooms: Value = ben.get("/api/chat-rooms").await;
    assert_eq!(rooms["items"][0]["owner_id"], ben.id(), "the group goes to whoever is there longest");
    is_clean(&page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_room_is_read_page_by_page_and_searched() {
    const MESSAGES: usize = 130;
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let room: Room = anna.direct_room(&ben).await;
    for n in 1..=MESSAGES {
        anna.say(&room, &format!("message {n}{}", if n == 3 { " with 바다여행" } else { "" })).await;
    }
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&ben).await;
    page.reads(".rooms .badge", "99+").await;
    page.click(".rooms a").await;
    page.reads(TEXTS, "message 130").await;
    let expected: Vec<String> = (1..=MESSAGES).map(|n| format!("message {n}")).collect();
    page.until(
        "the whole room",
        "document.querySelector('.older')?.scrollIntoView(); document.querySelector('.older:not([hidden])')?.click();
        return document.querySelectorAll('.message').length === arguments[0]",
        vec![MESSAGES.into()],
    )
    .await;
    let texts = page.texts(TEXTS).await;
    assert_eq!(texts.iter().map(|text| text.replace(" with 바다여행", "")).collect::<Vec<_>>(), expected);

    page.reload().await;
    page.type_into(".list [type=search]", "여행").await;
    // The index follows what was sent.
    let again = "if (!(Date.now() - window.askedAt < 1000)) {
            window.askedAt = Date.now();
            document.querySelector('.list [type=search]').dispatchEvent(new Event('input'));
        }
        return Boolean(document.querySelector('.found li a'))";
    page.until("the message is found", again, vec![]).await;
    page.click(".found li a").await;
    page.until(
        "the message that was found has the focus",
        "return document.activeElement.textContent.includes('바다여행')",
        vec![],
    )
    .await;
    page.press("Jump to the newest messages").await;
    page.reads(TEXTS, "message 130").await;
    is_clean(&page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_korean_and_is_dark_where_the_system_is() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let anna = Person::new(&plaza.client(), "anna").await;
    let page = chromium.open(&plaza.url(), Look { language: "ko", dark: true, ..Look::default() }).await;
    page.visit().await;
    page.reads("h2", "로그인").await;
    page.type_into("[name=username]", &anna.credentials.username).await;
    page.type_into("[name=password]", "not her password").await;
    page.click("[type=submit]").await;
    page.reads("[role=alert]", "이름 또는 비밀번호가 맞지 않아요").await;
    assert_eq!(page.text_of("return document.documentElement.lang").await, "ko");

    page.enter(&anna).await;
    page.click("nav [href='#/settings']").await;
    let background = async || page.text_of("return getComputedStyle(document.documentElement).backgroundColor").await;
    let dark = background().await;
    page.click("label:has([value=light])").await;
    assert_ne!(background().await, dark, "light, though the system is dark");
    page.click("label:has([value=en])").await;
    page.reads("h2", "Settings").await;
    // Both are remembered.
    page.reload().await;
    page.reads("h2", "Settings").await;
    assert_ne!(background().await, dark);
    page.press("Log out").await;
    page.reads("h2", "Log in").await;
    page.reload().await;
    page.reads("h2", "Log in").await;
    assert_eq!(page.text_of("return JSON.stringify(sessionStorage)").await, "{}", "nothing of the session is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_never_becomes_part_of_the_page() {
    const EVIL: &str = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>";
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let body = json!({ "display_name": "<b>Ben</b>" });
    let _: Value = ben.client.patch("/api/profile/me").json(&body).answer().await.ok(200);
    anna.befriend(&ben).await;
    let room = ben.direct_room(&anna).await;
    ben.say(&room, EVIL).await;
    let url = json!({ "content": "javascript:document.title='evil'", "message_type": "file" });
    let _: Message = ben.client.post(format!("/api/messages/{}", room.id)).json(&url).answer().await.ok(201);
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    page.go(&format!("#/chats/{}", room.id)).await;
    page.reads(TEXTS, EVIL).await;
    page.reads("#room-name", "<b>Ben</b>").await;
    assert_eq!(page.texts(".message img, .message script, .message a, #room-name b").await, Vec::<String>::new());
    // And were a script of this page to try it, the browser would refuse.
    let refused =
        page.run("try { document.body.innerHTML = '<p>x'; return false } catch { return true }", vec![]).await;
    assert_eq!(refused, true);
    assert!(!page.complaints().await.is_empty(), "the refusal is on the console");
}
