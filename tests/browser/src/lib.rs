//! A real Chromium for tests of the web client, and what a person does in it.
//!
//! Each test starts its own browser driver by `scripts/chromium`, and skips where there can be none:
//! `let Some(chromium) = Chromium::start() else { return };`.

mod chromium;
mod page;

pub use chromium::{Chromium, Look};
pub use page::Page;

/// Keys by their names in WebDriver.
pub mod keys {
    /// Enter.
    pub const ENTER: &str = "\u{E007}";
    /// Tab.
    pub const TAB: &str = "\u{E004}";
    /// Shift, held while what follows in the same text is typed.
    pub const SHIFT: &str = "\u{E008}";
    /// Escape.
    pub const ESCAPE: &str = "\u{E00C}";
    /// Arrow up.
    pub const UP: &str = "\u{E013}";
    /// Control, held while what follows in the same text is typed.
    pub const CONTROL: &str = "\u{E009}";
    /// The space bar.
    pub const SPACE: &str = " ";
}
