//! How it looks, in each language, light and dark, on a desktop and on a phone: nothing that axe-core finds wrong with it (WCAG 2.2
//! AA), nothing wider than the window, and a picture of each view in `target/screenshots` for people.

use plaza_browser::{Chromium, Look, Page};
use plaza_test_support::{Person, Plaza, Room, Stream, workspace};
use serde_json::{Value, json};

/// What is looked at: the rules of WCAG and the checker's own best practices.
const RUN: &str = "const done = arguments[arguments.length - 1];
    axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(
        (found) => done(found.violations.map((one) => ({ rule: one.id, nodes: one.nodes.map((node) => node.html + ' ' + node.failureSummary) }))),
        (error) => done([String(error)]));";

struct Looker {
    axe: Option<String>,
    name: String,
    wrong: Vec<String>,
}

impl Looker {
    async fn look(&mut self, page: &Page, view: &str) {
        let name = format!("{}-{view}", self.name);
        // Nothing moves any more.
        page.run_async("Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => requestAnimationFrame(arguments[0]))", vec![]).await;
        let folder = workspace().join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("the target directory can be written");
        std::fs::write(folder.join(format!("{name}.png")), page.picture().await).expect("and a file in it");
        let overflow = page.run("return document.documentElement.scrollWidth - innerWidth", vec![]).await;
        if overflow.as_i64() > Some(0) {
            self.wrong.push(format!("{name}: wider than the window by {overflow}"));
        }
        if let Some(axe) = &self.axe {
            page.run(&format!("if (!window.axe) {{ {axe} }}"), vec![]).await;
            let found = page.run_async(RUN, vec![]).await;
            for violation in found.as_array().into_iter().flatten() {
                self.wrong.push(format!("{name}: {violation:#}"));
            }
        }
    }
}

/// People with something to show.
struct Town {
    minji: Person,
    newcomer: Person,
    room: Room,
    /// Whoever holds one is online.
    _alex_is_here: Stream,
}

async fn named(plaza: &Plaza, hint: &str, name: &str) -> Person {
    let person = Person::new(&plaza.client(), hint).await;
    let _: Value = person.client.patch("/api/profile/me").json(&json!({ "display_name": name })).answer().await.ok(200);
    person
}

async fn with_picture(person: &Person, picture: &'static [u8]) {
    let _: Value = person.client.put("/api/profile/me/image").body("image/jpeg", picture).answer().await.ok(200);
}

async fn town(plaza: &Plaza) -> Town {
    let minji = named(plaza, "minji", "김민지").await;
    let junho = named(plaza, "junho", "Junho Park").await;
    let seoyeon = named(plaza, "seoyeon", "이서연").await;
    let alex = named(plaza, "alex", "Alex Morgan").await;
    let newcomer = named(plaza, "newcomer", "New Here").await;
    with_picture(&minji, include_bytes!("../../../libs/picture/tests/pictures/rotated.jpg")).await;
    with_picture(&alex, include_bytes!("../../../libs/picture/tests/pictures/progressive.jpg")).await;
    for friend in [&junho, &seoyeon, &alex] {
        minji.befriend(friend).await;
    }
    let _ = newcomer.request(&minji).await;
    let group = minji.group("주말 등산 모임 · Weekend hiking", &[&junho, &seoyeon, &alex]).await;
    seoyeon.say(&group, "토요일 아침 8시에 도봉산역에서 만나요! 날씨도 좋대요 ☀️").await;
    alex.say(&group, "Perfect. I will bring coffee for everyone.").await;
    let muted = json!({ "kinds": {}, "muted_rooms": [{ "room_id": group.id }] });
    let _: Value = minji.client.put("/api/notifications/preferences").json(&muted).answer().await.ok(200);
    let other = minji.direct_room(&alex).await;
    alex.say(&other, "Did you see the photos?").await;
    let room = minji.direct_room(&junho).await;
    junho.say(&room, "Hey! Are we still on for dinner tomorrow?").await;
    junho.say(&room, "I found a small place near the station. They make their own noodles, and it is never too crowded on weekdays.").await;
    let yes = minji.say(&room, "좋아! 내일 저녁 7시 어때?").await;
    let place = minji.say(&room, "역 앞에서 만나자").await;
    let changed = json!({ "content": "역 앞에서 만나자 🙂" });
    let _: Value =
        minji.client.patch(format!("/api/messages/{}/{}", room.id, place.id)).json(&changed).answer().await.ok(200);
    let reaction = format!("/api/messages/{}/{}/reactions?emoji=%F0%9F%91%8D", room.id, yes.id);
    let _ = junho.client.put(reaction).answer().await;
    let answer = json!({ "content": "Seven is perfect. See you there!", "reply_to": yes.id });
    let _: Value = junho.client.post(format!("/api/messages/{}", room.id)).json(&answer).answer().await.ok(201);
    minji.say(&room, "그럼 내일 봐!").await;
    let _ = junho.client.post(format!("/api/messages/{}/read", room.id)).json(&json!({ "seq": 6 })).answer().await;
    Town { minji, newcomer, room, _alex_is_here: alex.stream("/api/stream").await }
}

async fn tour(chromium: &Chromium, plaza: &Plaza, town: &Town, look: Look, looker: &mut Looker) {
    let page = chromium.open(&plaza.url(), look).await;
    page.visit().await;
    page.see("form").await;
    looker.look(&page, "1-login").await;
    page.click(".turn button").await;
    page.click("[type=submit]").await;
    page.see(".wrong").await;
    looker.look(&page, "2-register").await;

    page.enter(&town.minji).await;
    page.reads(".rooms", "Alex").await;
    page.see(".rooms .dot").await;
    looker.look(&page, "3-chats").await;
    page.go(&format!("#/chats/{}", town.room.id)).await;
    page.reads(".message", "그럼 내일 봐!").await;
    page.see(".mark").await;
    looker.look(&page, "4-room").await;
    page.run("document.querySelector('.message.mine').focus()", vec![]).await;
    page.see(".message:focus .tools").await;
    looker.look(&page, "5-message").await;
    page.click(".meta button").await;
    page.see("dialog .history").await;
    looker.look(&page, "5-history").await;
    page.click("dialog header button").await;
    page.gone("dialog").await;
    page.click(".room > header button").await;
    page.see("dialog").await;
    looker.look(&page, "6-details").await;
    page.click("dialog header button").await;
    page.go("#/chats").await;
    page.click(".list header button").await;
    page.see("dialog").await;
    looker.look(&page, "7-new-chat").await;
    page.click("dialog header button").await;
    page.go("#/people").await;
    page.type_into("#find", "newcomer").await;
    page.reads(".page > section:first-of-type .person", "New Here").await;
    looker.look(&page, "8-people").await;
    page.go("#/notifications").await;
    page.reads(".notifications", "New Here").await;
    looker.look(&page, "9-notifications").await;
    page.go("#/settings").await;
    page.see(".picture").await;
    page.see(".page .person small").await;
    page.see(".toggle").await;
    looker.look(&page, "a-settings").await;
    page.run("document.querySelector('.page').scrollBy(0, innerHeight - 80)", vec![]).await;
    looker.look(&page, "a-settings-2").await;
    page.run("document.querySelector('.page').scrollTo(0, 1e6)", vec![]).await;
    looker.look(&page, "a-settings-3").await;
    page.click(".page section:last-child .danger").await;
    page.see("dialog [type=password]").await;
    looker.look(&page, "a-settings-delete").await;

    page.enter(&town.newcomer).await;
    page.see(".list .nothing").await;
    looker.look(&page, "b-empty").await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_fit_to_be_seen() {
    let Some(chromium) = Chromium::start() else { return };
    let plaza = tokio::task::spawn_blocking(Plaza::start).await.expect("the start does not panic");
    let town = town(&plaza).await;
    let mut looker = Looker { axe: Chromium::axe(), name: String::new(), wrong: Vec::new() };
    for (language, dark, phone) in [("en", false, false), ("ko", true, false), ("ko", false, true), ("en", true, true)]
    {
        let colours = if dark { "dark" } else { "light" };
        looker.name = format!("{}-{language}-{colours}", if phone { "phone" } else { "desktop" });
        tour(&chromium, &plaza, &town, Look { language, dark, phone }, &mut looker).await;
    }
    assert!(looker.wrong.is_empty(), "{}", looker.wrong.join("\n"));
}
