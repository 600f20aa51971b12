//! Writes the OpenAPI document to where it is served from.

use anyhow::{Context, Result};
use std::path::Path;

fn main() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(plaza_openapi::FILE);
    std::fs::write(&file, plaza_openapi::text()).with_context(|| format!("cannot write {}", file.display()))
}
