//! `GET /`, `GET /client/...`: a small web client, to see and try the backend, and an example for those who write clients.
//!
//! Its files are in `files/`, as they are served: no build step, no framework. `build.rs` puts them into the component.
//! They are public; who may see what, the API decides.

use plaza_kit::{Problem, Reply, Request, reply};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

plaza_kit::function!(handle);

/// A file of the client.
struct File {
    /// Its path below `files/`.
    name: &'static str,
    /// A hash of its content.
    tag: &'static str,
    plain: &'static [u8],
    /// Compressed, where that pays.
    gzip: Option<&'static [u8]>,
}

/// The page may load from this server and from nowhere else, runs no script that stands in a page or is made of text, and is
/// shown in nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Nothing of it changes under an address that has the version in it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for again each time.
const ASK_AGAIN: &str = "no-cache";

async fn handle(request: Request) -> Result<Reply, Problem> {
    if !matches!(request.method(), "GET" | "HEAD") {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    let path = request.path_and_query().split('?').next().unwrap_or("/");
    let (name, cache_control) = named(path).ok_or_else(Problem::not_found)?;
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;

    let gzip = file.gzip.filter(|_| takes_gzip(request.header("accept-encoding").unwrap_or_default()));
    // The same file compressed is another representation, with a tag of its own (RFC 9110, section 8.8.3.3).
    let tag = if gzip.is_some() { format!("\"{}-gzip\"", file.tag) } else { format!("\"{}\"", file.tag) };
    let mut builder = http::Response::builder()
        .header("etag", &tag)
        .header("cache-control", cache_control)
        .header("vary", "accept-encoding")
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .header("cross-origin-opener-policy", "same-origin")
        .header("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        .header("referrer-policy", "no-referrer")
        .header("x-content-type-options", "nosniff");
    if request.header("if-none-match").is_some_and(|known| is_known(known, &tag)) {
        return reply::build(builder.status(304), Vec::new());
    }
    if gzip.is_some() {
        builder = builder.header("content-encoding", "gzip");
    }
    reply::build(builder.header("content-type", content_type(name)), gzip.unwrap_or(file.plain).to_vec())
}

/// Which file a path means, and how long it may be kept: `/`, `/client/<version>/<name>`, or `/client/<name>`. Another version's
/// page, still open or from a server that is being replaced, gets what there is, and does not keep it.
fn named(path: &str) -> Option<(&str, &'static str)> {
    if path == "/" {
        return Some(("index.html", ASK_AGAIN));
    }
    let name = path.strip_prefix("/client/")?;
    let is_version =
        |segment: &str| segment.len() == VERSION.len() && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.split_once('/') {
        Some((VERSION, name)) => Some((name, FOR_EVER)),
        Some((other, name)) if is_version(other) => Some((name, "no-store")),
        _ => Some((name, ASK_AGAIN)),
    }
}

/// Whether a client that sends this `Accept-Encoding` takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0_f32));
        matches!(name.to_ascii_lowercase().as_str(), "gzip" | "x-gzip" | "*") && !refused
    })
}

/// Whether the client has what has this tag (RFC 9110, section 13.1.2: compared weakly).
fn is_known(if_none_match: &str, tag: &str) -> bool {
    if_none_match
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_and_how_long_it_may_be_kept() {
        let versioned = |name: &str| format!("/client/{VERSION}/{name}");
        assert_eq!(named("/"), Some(("index.html", ASK_AGAIN)));
        assert_eq!(named(&versioned("views/room.js")), Some(("views/room.js", FOR_EVER)));
        assert_eq!(named("/client/views/room.js"), Some(("views/room.js", ASK_AGAIN)));
        assert_eq!(named(&format!("/client/{}/main.js", "0".repeat(32))), Some(("main.js", "no-store")));
        assert_eq!(named("/clientele"), None);
    }

    #[test]
    fn every_file_has_a_type_and_a_tag_of_its_own() {
        for file in FILES {
            assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
            assert_eq!(FILES.iter().filter(|other| other.tag == file.tag).count(), 1, "{}", file.name);
        }
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for takes in ["gzip", "br, gzip;q=0.5", "*", "GZIP", "deflate , gzip; q=1"] {
            assert!(takes_gzip(takes), "{takes}");
        }
        for refuses in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"] {
            assert!(!takes_gzip(refuses), "{refuses}");
        }
    }

    #[test]
    fn what_a_client_has_is_known_by_its_tag() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_known(known, "\"a\""), "{known}");
        }
        for other in ["\"b\"", "a", "\"a-gzip\""] {
            assert!(!is_known(other, "\"a\""), "{other}");
        }
    }
}
