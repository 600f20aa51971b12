//! `GET /docs`: the whole API in the browser, by Swagger UI. Everything comes from within; the page may load from nowhere else.

use plaza_files::serve;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Scripts and data from this server only. Swagger UI carries small pictures as data, and styles in its elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

async fn handle(request: Request) -> Result<Reply, Problem> {
    let path = request.path_and_query().split('?').next().unwrap_or_default();
    let file = named(path).ok_or_else(Problem::not_found)?;
    let builder = http::Response::builder()
        .header("content-type", content_type(file.name))
        .header("cache-control", "no-cache")
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .header("referrer-policy", "no-referrer");
    serve::file(&request, builder, file)
}

/// The file that a path means: `/docs` is the page, `/docs/<name>` a part of it.
fn named(path: &str) -> Option<&'static plaza_files::File> {
    let name = match path.strip_prefix("/docs")? {
        "" | "/" => "index.html",
        rest => rest.strip_prefix('/')?,
    };
    FILES.iter().find(|file| file.name == name)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file() {
        for path in ["/docs", "/docs/", "/docs/index.html"] {
            assert_eq!(named(path).map(|file| file.name), Some("index.html"), "{path}");
        }
        for path in ["/", "/docs/nothing", "/docsx", "/docs//index.html"] {
            assert!(named(path).is_none(), "{path}");
        }
    }

    #[test]
    fn every_file_has_a_type() {
        for file in FILES {
            assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
        }
    }
}
