//! Where the things under test are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The application manifest: `PLAZA_MANIFEST`, or `spin.toml` in the workspace.
pub fn manifest() -> PathBuf {
    std::env::var_os("PLAZA_MANIFEST").map_or_else(|| workspace().join("spin.toml"), PathBuf::from)
}
