use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, Locator};
use plaza_test_support::{Person, eventually, unique};
use serde_json::{Value, json};
use url::{ParseError, Url};

/// How long anything may take to be seen. On a busy machine a browser takes its time; a test that goes well never waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a test says whose browser is gone.
const ANSWERS: &str = "the browser does as it is told";

/// A browser's only page. The methods panic where what they are told of does not come.
#[derive(Debug)]
pub struct Page {
    client: Client,
    base: String,
}

impl Page {
    pub(crate) fn new(client: Client, base: String) -> Self {
        Self { client, base }
    }

    /// Opens the client as somebody who comes for the first time.
    pub async fn visit(&self) {
        self.client.goto(&self.base).await.expect(ANSWERS);
    }

    /// Opens the client with a session of this person's that nobody else uses, as after a reload.
    pub async fn enter(&self, person: &Person) {
        let session = person.on_another_device().await;
        // Any page of the server: the storage is the origin's, and this page's scripts do not touch it.
        self.client.goto(&format!("{}/client/icon.svg", self.base)).await.expect(ANSWERS);
        let stored =
            json!({ "token": session.tokens.refresh_token, "key": unique("key"), "tab": session.tokens.refresh_token });
        self.run("sessionStorage.setItem('plaza.session', arguments[0])", vec![stored.to_string().into()]).await;
        self.visit().await;
        self.see(".shell").await;
        // That picture's page has no icon of its own, which the browser misses.
        let _ = self.complaints().await;
    }

    /// The same page again.
    pub async fn reload(&self) {
        self.client.refresh().await.expect(ANSWERS);
    }

    /// Goes to a place inside the client, such as `#/people`.
    pub async fn go(&self, place: &str) {
        self.run("location.hash = arguments[0]", vec![place.into()]).await;
    }

    /// Where it is inside the client.
    pub async fn place(&self) -> String {
        self.text_of("return location.hash").await
    }

    /// Waits for the first element of this selector that is shown.
    pub async fn see(&self, selector: &str) -> Element {
        self.shown(Locator::Css(selector), selector).await
    }

    /// Waits for a button or link that is shown and has this name.
    pub async fn control(&self, name: &str) -> Element {
        self.shown(Locator::XPath(&named(name)), name).await
    }

    /// Clicks on the first element of this selector that is shown.
    pub async fn click(&self, selector: &str) {
        self.clicking(Locator::Css(selector), selector).await;
    }

    /// Clicks on a button or link by its name.
    pub async fn press(&self, name: &str) {
        self.clicking(Locator::XPath(&named(name)), name).await;
    }

    /// Clicks on the first element of this XPath that is shown.
    pub async fn click_at(&self, path: &str) {
        self.clicking(Locator::XPath(path), path).await;
    }

    /// Closes the browser.
    pub async fn close(self) {
        self.client.close().await.expect(ANSWERS);
    }

    /// Types into a field, after what it has.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.see(selector).await.send_keys(text).await.expect(ANSWERS);
    }

    /// Chooses a file, in a field for files that need not be shown.
    pub async fn choose_file(&self, selector: &str, file: &Path) {
        let field = self.client.find(Locator::Css(selector)).await.expect(ANSWERS);
        field.send_keys(&file.to_string_lossy()).await.expect(ANSWERS);
    }

    /// Empties a field as a person does, and types into it.
    pub async fn type_instead(&self, selector: &str, text: &str) {
        self.see(selector).await.send_keys(&format!("{}a", crate::keys::CONTROL)).await.expect(ANSWERS);
        self.type_into(selector, text).await;
    }

    /// Has downloads put into this folder.
    pub async fn download_into(&self, folder: &Path) {
        let wanted = json!({ "behavior": "allow", "downloadPath": folder });
        self.devtools("Browser.setDownloadBehavior", wanted).await;
    }

    /// From now on [`Page::calls`] gives what the page asks for, in the moment in which it does.
    pub async fn count_calls(&self) {
        let script = "const fetch = window.fetch;
            window.calls = [];
            window.fetch = (path, options) => {
                window.calls.push(new URL(path, location).pathname);
                return fetch(path, options);
            }";
        let _ = self.run(script, vec![]).await;
    }

    /// The paths of the API that the page has asked for since this was last asked; since it was loaded, those that were answered.
    pub async fn calls(&self) -> Vec<String> {
        let script =
            "const answered = performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname);
            const calls = window.calls?.splice(0) ?? answered;
            return calls.filter((path) => path.startsWith('/api/'))";
        let calls = self.run(script, vec![]).await;
        calls.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Types to whatever has the focus.
    pub async fn type_keys(&self, text: &str) {
        let active = self.client.active_element().await.expect(ANSWERS);
        active.send_keys(text).await.expect(ANSWERS);
    }

    /// Presses Tab until the focus is on an element that matches, and gives up after a hundred.
    pub async fn tab_to(&self, selector: &str) {
        for _ in 0..100 {
            if self.has_focus(selector).await {
                return;
            }
            self.type_keys(crate::keys::TAB).await;
        }
        panic!("{selector} cannot be reached with Tab; {}", self.describe().await);
    }

    /// Whether an element that matches has the focus.
    pub async fn has_focus(&self, selector: &str) -> bool {
        let has = "return document.activeElement?.matches(arguments[0]) ?? false";
        self.run(has, vec![selector.into()]).await.as_bool().expect("a script that answers yes or no")
    }

    /// The texts of all elements of this selector, as they are now, trimmed.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())";
        let texts = self.run(script, vec![selector.into()]).await;
        texts.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Waits until an element of this selector is shown and has this text in it.
    pub async fn reads(&self, selector: &str, text: &str) {
        let script = "return [...document.querySelectorAll(arguments[0])].some((one) => one.checkVisibility() && one.innerText.includes(arguments[1]))";
        let arguments = vec![selector.into(), text.into()];
        self.until(&format!("{text:?} in {selector}"), script, arguments).await;
    }

    /// Waits until no element of this selector is shown.
    pub async fn gone(&self, selector: &str) {
        let script = "return ![...document.querySelectorAll(arguments[0])].some((one) => one.checkVisibility())";
        self.until(&format!("the end of {selector}"), script, vec![selector.into()]).await;
    }

    /// Waits until a script answers with something true.
    pub async fn until(&self, what: &str, script: &str, arguments: Vec<Value>) {
        let probe = async || self.run(script, arguments.clone()).await.as_bool().unwrap_or_default();
        let done = self.comes(probe).await;
        assert!(done, "not seen: {what}; {}", self.describe().await);
    }

    /// Runs a script in the page and gives what it returns.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap_or_else(|why| panic!("{script}: {why}"))
    }

    /// Runs a script that calls its last argument with an answer.
    pub async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute_async(script, arguments).await.unwrap_or_else(|why| panic!("{script}: {why}"))
    }

    /// A script's text.
    pub async fn text_of(&self, script: &str) -> String {
        self.run(script, vec![]).await.as_str().unwrap_or_default().to_owned()
    }

    /// A picture of what is shown (PNG).
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.expect(ANSWERS)
    }

    /// What the page said on its console that is a warning or an error, since this was last asked: a refusal by the
    /// Content-Security-Policy, an uncaught error.
    pub async fn complaints(&self) -> Vec<String> {
        let command = Command { path: "se/log", body: json!({ "type": "browser" }) };
        let entries = self.client.issue_cmd(command).await.expect(ANSWERS);
        let entries = entries.as_array().cloned().unwrap_or_default();
        let serious = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A command of the browser's developer tools.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.client.issue_cmd(Command { path: "goog/cdp/execute", body }).await.expect(ANSWERS)
    }

    async fn shown(&self, locator: Locator<'_>, what: &str) -> Element {
        let mut found = None;
        let shown = async || {
            found = self.first_shown(locator).await;
            found.is_some()
        };
        let done = self.comes(shown).await;
        assert!(done, "not seen: {what}; {}", self.describe().await);
        found.expect("what came is there")
    }

    async fn first_shown(&self, locator: Locator<'_>) -> Option<Element> {
        for element in self.client.find_all(locator).await.expect(ANSWERS) {
            // It may have been replaced since it was found.
            if element.is_displayed().await.unwrap_or_default() {
                return Some(element);
            }
        }
        None
    }

    /// Clicks, and does so again where the page moved just then.
    async fn clicking(&self, locator: Locator<'_>, what: &str) {
        let mut last: Option<CmdError> = None;
        let clicked = async || {
            let Some(element) = self.first_shown(locator).await else { return false };
            match element.click().await {
                Ok(()) => true,
                Err(why) => {
                    last = Some(why);
                    false
                }
            }
        };
        let done = self.comes(clicked).await;
        assert!(done, "cannot be clicked: {what} ({last:?}); {}", self.describe().await);
    }

    /// Whether a probe succeeds in time.
    async fn comes(&self, mut probe: impl AsyncFnMut() -> bool) -> bool {
        let probing = eventually(PATIENCE * 2, "an answer of the browser", async || probe().await.then_some(()));
        tokio::time::timeout(PATIENCE, probing).await.is_ok()
    }

    /// What is on the page, for a test that fails.
    async fn describe(&self) -> String {
        let text = self.text_of("return `${location.hash}, focus on ${document.activeElement?.outerHTML.slice(0, 200)}\\n${document.body.innerText}`");
        format!("at {}\nconsole: {:?}", text.await, self.complaints().await)
    }
}

/// Buttons and links by their name: what `aria-label` says, or their text.
fn named(name: &str) -> String {
    format!("//*[self::button or self::a][@aria-label='{name}' or (not(@aria-label) and normalize-space()='{name}')]")
}

/// A command that the WebDriver standard does not have.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
