//! For build scripts: compresses files, and writes the code that has them.

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

/// Bytes of a hash that are kept: half of a SHA-256.
const HASH_BYTES: usize = 16;

/// Writes `files.rs` to the build script's output: `static FILES: &[plaza_files::File]`, in the order given.
pub fn embed<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> io::Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let mut code = String::from("static FILES: &[plaza_files::File] = &[\n");
    for (number, (name, content)) in files.into_iter().enumerate() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content)?;
        fs::write(out.join(format!("{number}.gz")), encoder.finish()?)?;
        let gzip = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{number}.gz\"))");
        writeln!(code, "    plaza_files::File {{ name: {name:?}, hash: {:?}, gzip: {gzip} }},", hash(content))
            .map_err(io::Error::other)?;
    }
    code.push_str("];\n");
    fs::write(out.join("files.rs"), code)
}

/// Half of a content's SHA-256, as 32 hexadecimal digits.
pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content)[..HASH_BYTES].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
