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
    if request.client_has(&tag) {
        return reply::build(builder.status(304), Vec::new());
    }
    if takes_gzip(request.header("accept-encoding").unwrap_or_default()) {
        return reply::build(builder.header("content-encoding", "gzip"), file.gzip.to_vec());
    }
    let deflated = file.gzip.get(HEAD_BYTES..file.gzip.len() - TAIL_BYTES).unwrap_or_default();
    let plain = miniz_oxide::inflate::decompress_to_vec(deflated).map_err(|error| {
        eprintln!("{}: {error}", file.name);
        Problem::internal()
    })?;
    reply::build(builder, plain)
}

/// Whether a client that sends this `Accept-Encoding` takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0_f32));
        ["gzip", "x-gzip", "*"].iter().any(|gzip| name.eq_ignore_ascii_case(gzip)) && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for takes in ["gzip", "br, gzip;q=0.5", "*", "GZIP", "deflate , gzip; q=1"] {
            assert!(takes_gzip(takes), "{takes}");
        }
        for refuses in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"] {
            assert!(!takes_gzip(refuses), "{refuses}");
        }
    }
}
