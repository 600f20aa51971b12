//! Where the things under test are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The `plaza` binary: `PLAZA_BIN`, or the release build, as `scripts/build` makes it, in the target directory
/// (`CARGO_TARGET_DIR`, or `target` in the workspace).
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PLAZA_BIN") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("release").join("plaza")
}

/// The application manifest: `PLAZA_MANIFEST`, or `spin.toml` in the workspace.
pub fn manifest() -> PathBuf {
    std::env::var_os("PLAZA_MANIFEST").map_or_else(|| workspace().join("spin.toml"), PathBuf::from)
}
