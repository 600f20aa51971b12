//! For functions: answers with a file, or that the client's copy is still good.

use crate::File;
use plaza_kit::{Problem, Reply, Request, reply};

/// Bytes of gzip's head (RFC 1952, section 2.3) and of what stands at its end: the checksum and the length.
const HEAD_BYTES: usize = 10;
const TAIL_BYTES: usize = 8;

/// Answers a `GET` or `HEAD`: 200 with the file, or 304 where the client has it. `builder` has the headers that are the file's own.
pub fn file(request: &Request, builder: http::response::Builder, file: &File) -> Result<Reply, Problem> {
    if !matches!(request.method(), "GET" | "HEAD") {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    // Weak: the same for the compressed form and the plain one (RFC 9110, section 8.8.1).
    let tag = format!("W/\"{}\"", file.hash);
    let builder =
        builder.header("etag", &tag).header("vary", "accept-encoding").header("x-content-type-options", "nosniff");
    if has(request, &tag) {
        return reply::build(builder.status(304), Vec::new());
    }
    if takes_gzip(request) {
        return reply::build(builder.header("content-encoding", "gzip"), file.gzip.to_vec());
    }
    let deflated = file.gzip.get(HEAD_BYTES..file.gzip.len() - TAIL_BYTES).unwrap_or_default();
    let plain = miniz_oxide::inflate::decompress_to_vec(deflated).map_err(|error| {
        eprintln!("{}: {error}", file.name);
        Problem::internal()
    })?;
    reply::build(builder, plain)
}

/// Whether the client has the file of this tag (RFC 9110, section 13.1.2).
fn has(request: &Request, tag: &str) -> bool {
    let known = request.header("if-none-match").unwrap_or_default();
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|known| opaque(known) == opaque(tag))
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}
