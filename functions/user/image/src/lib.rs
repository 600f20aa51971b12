//! `GET /api/profile/:user_id/image`: the picture of a user, for an `<img>`: without a token, which that cannot send.
//!
//! The address that a profile gives names the version of the picture, so that it may be kept for ever. Asked for without one, or
//! for one that is gone, the picture as it is now is the answer, to be asked for again each time.

use plaza_domain::id::UserId;
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_domain::user::{IMAGE_SIDE_DEFAULT, IMAGE_SIDES};
use plaza_kit::{Database, Problem, Reply, Request, params, reply};

plaza_kit::function!(handle);

/// A year: as long as anything is kept (RFC 9111 knows no "for ever").
const KEPT: &str = "public, max-age=31536000, immutable";

/// May be kept, but must be asked for each time.
const ASKED_FOR_AGAIN: &str = "public, no-cache";

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.segment("user_id")?;
    let side = side(&request)?;
    let database = Database::open(plaza_user::DATABASE).await?;
    let sql = "SELECT version, hash, data FROM profile_images WHERE user_id = ? AND side = ?";
    let row = database.query_one(sql, &params![user, side]).await?.ok_or_else(Problem::not_found)?;
    let (version, etag): (String, _) = (row.get(0)?, format!("\"{}\"", row.get::<String>(1)?));

    let is_this_version = request.query("v").is_some_and(|asked_for| asked_for == version);
    let builder = http::Response::builder()
        .header("etag", &etag)
        .header("cache-control", if is_this_version { KEPT } else { ASKED_FOR_AGAIN })
        // Pages of other origins may show it, also where they ask for isolation; and it is a picture, whatever they take it for.
        .header("cross-origin-resource-policy", "cross-origin")
        .header("x-content-type-options", "nosniff");
    if request.client_has(&etag) {
        return reply::build(builder.status(304), Vec::new());
    }
    reply::build(builder.header("content-type", "image/jpeg"), row.get(2)?)
}

fn side(request: &Request) -> Result<u32, Problem> {
    let side = request.query_as("size", "64, 256 or 1024")?.unwrap_or(IMAGE_SIDE_DEFAULT);
    if IMAGE_SIDES.contains(&side) {
        return Ok(side);
    }
    Err(invalid_parameter("size", Invalid::new("invalid_value", "must be 64, 256 or 1024")))
}
