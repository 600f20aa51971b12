//! Puts the files of the client into the component, each as it is and compressed, with an entity tag made of its content.
//!
//! `{version}` in `index.html` becomes a hash of all the files, so that everything else has an address that never changes
//! its content.

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Bytes of a hash that are kept: half a SHA-256, written in 32 digits.
const HASH_BYTES: usize = 16;

/// Compression must save at least one part in so many to be worth its bytes in the component.
const WORTH_ONE_PART_IN: usize = 10;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=files");
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("files");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    // The order of a directory is the file system's.
    paths.sort();

    let mut all = Sha256::new();
    for path in &paths {
        all.update(path.strip_prefix(&root).map_err(io::Error::other)?.to_string_lossy().as_bytes());
        all.update(fs::read(path)?);
    }
    let version = hex(&all.finalize());

    let mut code = format!("pub(crate) const VERSION: &str = {version:?};\npub(crate) static FILES: &[File] = &[\n");
    for (number, path) in paths.iter().enumerate() {
        let name = path.strip_prefix(&root).map_err(io::Error::other)?.to_string_lossy().into_owned();
        let mut content = fs::read(path)?;
        if name == "index.html" {
            content = String::from_utf8(content).map_err(io::Error::other)?.replace("{version}", &version).into();
        }
        let tag = hex(&Sha256::digest(&content));
        let gzip = gzip(&content)?;
        let (plain_file, gzip_file) = (format!("{number}"), format!("{number}.gz"));
        fs::write(out.join(&plain_file), &content)?;
        let gzip = if gzip.len() + gzip.len() / WORTH_ONE_PART_IN < content.len() {
            fs::write(out.join(&gzip_file), gzip)?;
            format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{gzip_file}\")))")
        } else {
            "None".to_owned()
        };
        let plain = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{plain_file}\"))");
        writeln!(code, "    File {{ name: {name:?}, tag: {tag:?}, plain: {plain}, gzip: {gzip} }},")
            .map_err(io::Error::other)?;
    }
    code.push_str("];\n");
    fs::write(out.join("files.rs"), code)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn hex(hash: &[u8]) -> String {
    hash[..HASH_BYTES].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
