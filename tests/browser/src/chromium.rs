use std::io::Write as _;
use std::process::Command;

use fantoccini::ClientBuilder;
use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use plaza_test_servers::Server;
use serde_json::{Value, json};

use crate::Page;

/// What a browser is like: the language that its person reads, the colours of their system, the size of its window.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `en`, `ko`, …
    pub language: &'static str,
    /// Whether the system is dark.
    pub dark: bool,
    /// Whether it is a phone.
    pub phone: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { language: "en", dark: false, phone: false }
    }
}

/// A browser driver, and the browsers that it started. All of them end with it.
#[derive(Debug)]
pub struct Chromium(Server);

impl Chromium {
    /// Starts a driver. `None`, and a line on standard error, where there is no Chromium to be had.
    pub fn start() -> Option<Self> {
        Server::start("chromium", &[]).map(Self)
    }

    /// A new browser with a profile of its own, which shows nothing yet.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn open(&self, base: &str, look: Look) -> Page {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = builder.capabilities(capabilities(look)).connect(self.0.address()).await;
        let client = connected.unwrap_or_else(|why| panic!("no browser: {why}"));
        let page = Page::new(client, base.to_owned());
        if look.dark {
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
            page.devtools("Emulation.setEmulatedMedia", features).await;
        }
        page
    }

    /// Two browsers, for two people.
    pub async fn open_two(&self, base: &str) -> (Page, Page) {
        tokio::join!(self.open(base, Look::default()), self.open(base, Look::default()))
    }

    /// The source of axe-core, the checker of accessibility. `None`, and a line on standard error, where it cannot be had.
    ///
    /// # Panics
    /// If it must be had and cannot.
    pub fn axe() -> Option<String> {
        let script = plaza_test_support::workspace().join("scripts/chromium");
        let output = Command::new(script).arg("axe").output().expect("the script can be run");
        if output.status.success() {
            let path = String::from_utf8_lossy(&output.stdout);
            return Some(std::fs::read_to_string(path.trim()).expect("the script names a file"));
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        assert_ne!(std::env::var("PLAZA_REQUIRE_SERVERS").as_deref(), Ok("1"), "{reason}");
        // Past the test harness, which would keep it to itself when the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: accessibility by axe-core: {}",
            reason.lines().last().unwrap_or_default()
        );
        None
    }
}

fn capabilities(look: Look) -> Capabilities {
    let size = if look.phone { "--window-size=500,900" } else { "--window-size=1280,860" };
    let mut options = json!({
        "args": [
            "--headless=new", size,
            // As root there is no sandbox; what is shown is our own page.
            "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            format!("--lang={}", look.language),
            // Over a pipe, which breaks when the driver is gone, however it went: then the browser goes, too.
            "--remote-debugging-pipe",
        ],
        "prefs": { "intl.accept_languages": look.language },
    });
    if look.phone {
        options["mobileEmulation"] = json!({ "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2.0 } });
    }
    let Value::Object(capabilities) = json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
    }) else {
        unreachable!("an object was written");
    };
    capabilities
}
