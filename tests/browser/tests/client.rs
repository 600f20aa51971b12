//! The web client in a real Chromium: people who use it, two browsers at a time.

use std::fs;
use std::path::Path;
use std::time::Instant;

use plaza_browser::{Chromium, Look, Page, keys};
use plaza_test_support::{
    Credentials, Message, Options, PATIENCE, Person, Plaza, Room, User, eventually, unique, workspace,
};
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

/// Points at the message with this text and presses a button of its own. It may be drawn anew meanwhile, and keeps the focus then.
async fn at_message(page: &Page, text: &str, button: &str) {
    let focus = "const row = [...document.querySelectorAll('.message')].find((one) => one.querySelector('.bubble > p').textContent === arguments[0]);
        row?.focus(); return Boolean(row)";
    page.until(&format!("the message {text:?}"), focus, vec![text.into()]).await;
    page.click_at(&format!("//li[.//div[@class='bubble']/p[.='{text}']]//button[@aria-label='{button}']")).await;
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
    junho.click_at("//a[contains(@class, 'unread')][contains(., 'Are you still there?')]").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_has_a_name_and_a_picture_that_others_see() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("pictures"));
    fs::create_dir_all(&folder).expect("the target directory can be written");
    let small = workspace().join("libs/picture/tests/pictures/lossy.webp");
    // More than the API takes: the browser makes it smaller.
    let large = folder.join("large.jpg");
    let mut bytes = fs::read(workspace().join("libs/picture/tests/pictures/rotated.jpg")).expect("a picture");
    bytes.resize(2 * 1024 * 1024, 0);
    fs::write(&large, bytes).expect("a file can be written");
    let broken = folder.join("broken.png");
    fs::write(&broken, "no picture").expect("a file can be written");

    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    page.go("#/settings").await;
    page.see(".picture .avatar > span").await;
    let loaded = "const picture = document.querySelector('.picture img');
        return Boolean(picture?.complete && picture.naturalWidth > 1 && picture.currentSrc !== arguments[0])";
    let mut before = String::new();
    for file in [&small, &large] {
        page.choose_file("[type=file]", file).await;
        page.until("the picture", loaded, vec![before.into()]).await;
        before = page.text_of("return document.querySelector('.picture img').currentSrc").await;
        assert!(before.contains("&size=256"), "not more than is shown: {before}");
    }
    page.choose_file("[type=file]", &broken).await;
    page.reads(".toast", "PNG, JPEG or WebP").await;
    page.type_instead("[autocomplete=name]", "Anna the First").await;
    page.press("Save").await;
    page.reads(".toast", "Saved").await;

    let other = chromium.open(&plaza.url(), Look::default()).await;
    other.enter(&ben).await;
    other.go("#/people").await;
    other.type_into("#find", "Anna the F").await;
    other.reads(".person", "Anna the First").await;
    let shown = "const picture = document.querySelector('.person img'); return Boolean(picture?.complete && picture.naturalWidth > 1 && picture.currentSrc.endsWith('&size=64'))";
    other.until("her picture, small", shown, vec![]).await;

    page.press("Remove picture").await;
    page.see(".picture .avatar > span").await;
    let user: User = ben.get(format!("/api/profile/{}", anna.id())).await;
    assert_eq!((user.profile_image_url, user.display_name.as_deref()), (None, Some("Anna the First")));
    // The refusal of what is no picture.
    let complaints = page.complaints().await;
    assert!(complaints.len() == 1 && complaints[0].contains("415"), "{complaints:?}");
    fs::remove_dir_all(&folder).expect("it is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_and_passwords_change() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let credentials = Credentials::unique("anna");
    let (page, other) = chromium.open_two(&plaza.url()).await;
    register(&page, &credentials, "Anna").await;
    let log_in = async |page: &Page, password: &str| {
        page.visit().await;
        page.type_into("[name=username]", &credentials.username).await;
        page.type_into("[name=password]", password).await;
        page.click("[type=submit]").await;
    };
    log_in(&other, &credentials.password).await;
    other.see(".shell").await;

    page.go("#/settings").await;
    page.reads(".person small", "This device").await;
    page.press("End: Chrome · Linux").await;
    page.click("dialog .danger").await;
    other.reads("[role=alert]", "Your session has ended").await;
    page.until("one session", "return document.querySelectorAll('.person').length === 1", vec![]).await;

    log_in(&other, &credentials.password).await;
    other.see(".shell").await;
    page.type_into("[autocomplete=current-password]", "not her password").await;
    page.type_into("[autocomplete=new-password]", "a boat on the lake").await;
    page.press("Change password").await;
    page.reads(".hint.wrong", "The password is wrong").await;
    assert!(page.has_focus("[autocomplete=current-password]").await);
    page.type_instead("[autocomplete=current-password]", &credentials.password).await;
    page.type_instead("[autocomplete=new-password]", "short").await;
    page.press("Change password").await;
    page.reads(".hint.wrong", "8 to 128 characters").await;
    page.type_instead("[autocomplete=new-password]", "a boat on the lake").await;
    page.press("Change password").await;
    page.reads(".toast", "Your password was changed").await;
    other.reads("[role=alert]", "Your session has ended").await;
    log_in(&other, "a boat on the lake").await;
    other.see(".shell").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_is_told_of_is_ones_own_choice() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let room = ben.direct_room(&anna).await;
    ben.say(&room, "before").await;
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    page.reads("nav [href='#/notifications'] .badge", "2").await;

    page.go(&format!("#/chats/{}", room.id)).await;
    page.press("About this chat").await;
    page.click("dialog [role=switch]").await;
    page.see(".rooms .muted").await;
    assert!(page.has_focus("dialog [role=switch]").await, "the focus stays");
    page.type_keys(keys::ESCAPE).await;
    page.go("#/settings").await;
    page.click(".toggle:has([data-focus=friend_request])").await;
    let preferences = async || -> Value { anna.get("/api/notifications/preferences").await };
    let expected = json!({
        "kinds": { "friend_request": false, "friend_request_accepted": true, "message": true, "welcome": true },
        "muted_rooms": [{ "room_id": room.id, "muted_until": null }],
    });
    eventually(PATIENCE, "the server knows", async || (preferences().await == expected).then_some(())).await;

    // Nothing tells of a message there: the next one that is told of is from elsewhere.
    ben.say(&room, "muted").await;
    let group = ben.group("Elsewhere", &[&anna]).await;
    ben.say(&group, "told of").await;
    page.go("#/notifications").await;
    page.reads(".notifications", "told of").await;
    let told = page.texts(".notifications .row-text").await;
    assert!(!told.iter().any(|text| text.contains("muted")), "{told:?}");

    page.reload().await;
    page.go(&format!("#/chats/{}", room.id)).await;
    page.see(".room .muted").await;
    page.press("About this chat").await;
    page.click("dialog [role=switch]").await;
    page.gone(".room .muted").await;
    assert_eq!(preferences().await["muted_rooms"], json!([]));
    is_clean(&page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_message_said_before_can_be_read() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let room = ben.direct_room(&anna).await;
    let message = ben.say(&room, "one").await;
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    page.go(&format!("#/chats/{}", room.id)).await;
    page.reads(TEXTS, "one").await;
    for words in ["two", "three"] {
        let path = format!("/api/messages/{}/{}", room.id, message.id);
        let _: Value = ben.client.patch(path).json(&json!({ "content": words })).answer().await.ok(200);
    }
    page.reads(TEXTS, "three").await;
    page.press("edited – show what it said before").await;
    page.see("dialog .history").await;
    assert_eq!(page.texts("dialog .history li > p + p").await, ["one", "two", "three"]);
    page.type_keys(keys::ESCAPE).await;
    page.gone("dialog").await;
    assert!(page.has_focus(".meta button").await);
    is_clean(&page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_taken_along_and_deleted() {
    /// More than two pages of the export.
    const MESSAGES: usize = 230;
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    anna.befriend(&ben).await;
    let room = anna.direct_room(&ben).await;
    for n in 1..=MESSAGES {
        anna.say(&room, &format!("message {n}")).await;
    }
    let (page, other) = chromium.open_two(&plaza.url()).await;
    page.enter(&anna).await;
    other.enter(&ben).await;
    other.go(&format!("#/chats/{}", room.id)).await;
    other.reads("#room-name", anna.name()).await;

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("downloads"));
    fs::create_dir_all(&folder).expect("the target directory can be written");
    page.download_into(&folder).await;
    page.go("#/settings").await;
    page.press("Download my data").await;
    let file = eventually(PATIENCE, "the file", async || {
        let files = fs::read_dir(&folder).expect("it is there").flatten().map(|entry| entry.path());
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "json"))
    });
    let items: Vec<Value> = serde_json::from_slice(&fs::read(file.await).expect("a file")).expect("JSON");
    let of =
        |kind: &str| items.iter().filter(|item| item["kind"] == kind).map(|item| &item["data"]).collect::<Vec<_>>();
    assert_eq!(of("profile")[0]["email"], anna.credentials.email);
    assert_eq!(of("friend").len(), 1);
    assert!(!of("notification").is_empty(), "to the last page");
    let said: Vec<&str> = of("message").into_iter().filter_map(|message| message["content"].as_str()).collect();
    assert_eq!(said.len(), MESSAGES, "all of them, each once");
    assert!(said.contains(&"message 1") && said.contains(&"message 230"));
    fs::remove_dir_all(&folder).expect("it is there");
    is_clean(&page).await;

    page.press("Delete account").await;
    page.type_into("dialog [type=password]", "not her password").await;
    page.click("dialog [type=submit]").await;
    page.reads("dialog .wrong", "The password is wrong").await;
    page.type_instead("dialog [type=password]", &anna.credentials.password).await;
    page.click("dialog [type=submit]").await;
    page.reads("[role=alert]", "Your account was deleted").await;
    assert_eq!(page.text_of("return JSON.stringify(sessionStorage)").await, "{}", "nothing of the session is left");
    let _ = plaza.client().post("/api/auth/login/json").json(&anna.credentials.login()).answer().await.is(401);
    other.reads("#room-name", "Deleted account").await;
    say(&other, "Are you there?").await;
    other.reads(".mark.wrong", "You cannot send messages to this user").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_too_fast_waits_and_loses_nothing() {
    const MESSAGES: usize = 40;
    let Some(chromium) = Chromium::start() else { return };
    // What it takes to begin is half of it; then there is one every second and a half.
    let plaza = start(Plaza::options().environment("PLAZA_REQUESTS_PER_MINUTE", "40")).await;
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let room = anna.direct_room(&ben).await;
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    page.go(&format!("#/chats/{}", room.id)).await;
    page.see(COMPOSER).await;
    let expected: Vec<String> = (1..=MESSAGES).map(|n| format!("message {n}")).collect();
    let write = "const input = document.querySelector('.composer textarea');
        for (const text of arguments[0]) { input.value = text; input.form.requestSubmit(); }";
    page.run(write, vec![json!(expected)]).await;
    page.reads(".mark", "Will be sent in a moment").await;
    // Whatever else is asked for waits, too, and the page says so: of several at once not all find a turn.
    let wander = "const places = ['#/people', '#/notifications', '#/settings'];
        const go = () => places.length > 0 && (location.hash = places.shift());
        window.addEventListener('hashchange', go); go()";
    page.run(wander, vec![]).await;
    page.reads(".banner", "Many requests at once").await;
    page.reads(".person small", "This device").await;
    page.go(&format!("#/chats/{}", room.id)).await;
    page.gone(".banner").await;
    page.until(
        "every message",
        "return document.querySelectorAll('.message').length === arguments[0]",
        vec![MESSAGES.into()],
    )
    .await;
    page.gone(".message.sending, .message.waiting, .message.failed").await;
    assert_eq!(page.texts(TEXTS).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_little() {
    const ROOMS: usize = 10;
    const MESSAGES: usize = 20;
    const ANSWERS: usize = 5;
    let Some(chromium) = Chromium::start() else { return };
    let plaza = start(Plaza::options()).await;
    let client = plaza.client();
    let anna = Person::new(&client, "anna").await;
    let mut others = Vec::new();
    for n in 0..ROOMS {
        let other = Person::new(&client, "other").await;
        let body = json!({ "display_name": format!("Other {n}") });
        let _: Value = other.client.patch("/api/profile/me").json(&body).answer().await.ok(200);
        // Friends come with their names; the others must be looked up.
        if n % 2 == 0 {
            anna.befriend(&other).await;
        }
        let room = other.direct_room(&anna).await;
        other.say(&room, "Hello").await;
        others.push((other, room));
    }
    let page = chromium.open(&plaza.url(), Look::default()).await;
    page.enter(&anna).await;
    for n in 0..ROOMS {
        page.reads(".rooms", &format!("Other {n}")).await;
    }
    page.reads(".shell > nav", "unread notification").await;
    let mut calls = page.calls().await;
    page.count_calls().await;
    calls.sort();
    let expected = [
        "/api/auth/refresh",
        "/api/chat-rooms",
        "/api/friends",
        "/api/friends/requests",
        "/api/notifications/preferences",
        "/api/notifications/unread-count",
        "/api/profile/me",
        "/api/users",
    ];
    assert_eq!(calls, expected, "a start, beside the stream");

    // Many messages come in quickly: the page reads them, and asks for nothing.
    let (ben, room) = &others[0];
    page.go(&format!("#/chats/{}", room.id)).await;
    page.reads(TEXTS, "Hello").await;
    page.gone(".rooms a[aria-current] .badge").await;
    let read = async |seq: u64| {
        let has_read = async || {
            let room: Room = ben.get(format!("/api/chat-rooms/{}", room.id)).await;
            let mut participants = room.participants.into_iter();
            participants.any(|one| one.user_id == anna.id() && one.last_read_seq >= seq).then_some(())
        };
        eventually(PATIENCE, "everything is read", has_read).await;
    };
    read(1).await;
    let opening = page.calls().await;
    assert_eq!(opening.len(), 2, "to open a room, its messages and that they are read: {opening:?}");
    let began = Instant::now();
    for n in 1..=MESSAGES {
        ben.say(room, &format!("message {n}")).await;
    }
    read(1 + 20).await;
    page.reads(TEXTS, "message 20").await;
    let calls = page.calls().await;
    let most = 2 + began.elapsed().as_secs() / 2;
    assert!(calls.iter().all(|path| path.ends_with("/read")), "nothing but that they are read: {calls:?}");
    assert!(calls.len() as u64 <= most, "every two seconds: {calls:?}, not {most}");

    // Answers: each is sent, and now and then that somebody types.
    let began = Instant::now();
    for n in 1..=ANSWERS {
        say(&page, &format!("answer {n}")).await;
        page.reads(TEXTS, &format!("answer {n}")).await;
        page.gone(".message.sending").await;
    }
    ben.say(room, "That is all.").await;
    page.reads(TEXTS, "That is all.").await;
    read(1 + 20 + 5 + 1).await;
    let calls = page.calls().await;
    let count = |end: &str| calls.iter().filter(|path| path.ends_with(end)).count();
    let typing = 1 + began.elapsed().as_secs() / 5;
    assert_eq!(count(&room.id), ANSWERS, "{calls:?}");
    assert!(count("/typing") as u64 <= typing, "{calls:?}");
    assert_eq!(count("/read"), 1, "whoever answers has read what came before: {calls:?}");
    assert_eq!(calls.len(), ANSWERS + count("/typing") + 1, "{calls:?}");

    // What is said elsewhere comes with the event, and so does the notification of it.
    let (carl, elsewhere) = &others[1];
    carl.say(elsewhere, "Over here!").await;
    page.reads(".rooms", "Over here!").await;
    page.go("#/notifications").await;
    page.reads(".notifications", "Over here!").await;
    assert_eq!(page.calls().await, ["/api/notifications"], "the list, as somebody looks at it");
    carl.say(elsewhere, "And again!").await;
    page.reads(".notifications", "And again!").await;
    assert_eq!(page.calls().await, [""; 0]);
    is_clean(&page).await;
}
