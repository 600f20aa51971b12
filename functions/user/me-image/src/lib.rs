//! `PUT, DELETE /api/profile/me/image`: the caller's own picture. It is taken as it is (the body is the file), made anew in three
//! sizes, and kept with the profile; what was uploaded is thrown away.

use plaza_domain::user;
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Change, Database, Problem, Reply, Request, params, reply, secret};
use plaza_picture::{Refused, SIDE_MAX, SIDES, UPLOAD_BYTES_MAX};

plaza_kit::function!(handle, body_bytes_max = UPLOAD_BYTES_MAX);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "PUT" => put(&request, &auth::caller(&request).await?).await,
        "DELETE" => delete(&auth::caller(&request).await?).await,
        _ => Err(Problem::method_not_allowed("PUT, DELETE")),
    }
}

async fn put(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let squares = plaza_picture::squares(request.body()).map_err(refuse)?;
    // Of the same picture there is one version: uploaded again it has the same address, and caches have it already.
    let hashes = squares.each_ref().map(|square| secret::hash_bytes(square));
    let version = user::image_version(&hashes[SIDES.len() - 1]);
    let url = user::image_url(caller.user_id, version);

    let database = Database::open(plaza_user::DATABASE).await?;
    let profile = database
        .transaction(async |change| {
            let mut profile =
                plaza_user::locked_profile(change, caller.user_id).await?.ok_or_else(Problem::not_found)?;
            if profile.user.profile_image_url.as_ref() == Some(&url) {
                return Ok(profile);
            }
            remove(change, caller).await?;
            for ((side, square), hash) in SIDES.into_iter().zip(&squares).zip(&hashes) {
                let sql = "INSERT INTO profile_images (user_id, side, version, hash, data) VALUES (?, ?, ?, ?, ?)";
                change.execute(sql, &params![caller.user_id, side, version, hash, square]).await?;
            }
            profile.user.profile_image_url = Some(url.clone());
            tell(change, &profile.user).await?;
            Ok(profile)
        })
        .await?;
    reply::json(200, &profile)
}

async fn delete(caller: &Caller) -> Result<Reply, Problem> {
    let database = Database::open(plaza_user::DATABASE).await?;
    database
        .transaction(async |change| {
            let mut profile =
                plaza_user::locked_profile(change, caller.user_id).await?.ok_or_else(Problem::not_found)?;
            if profile.user.profile_image_url.take().is_none() {
                return Ok(());
            }
            remove(change, caller).await?;
            tell(change, &profile.user).await
        })
        .await?;
    reply::no_content()
}

async fn remove(change: &Change<'_>, caller: &Caller) -> Result<(), Problem> {
    change.execute("DELETE FROM profile_images WHERE user_id = ?", &params![caller.user_id]).await
}

/// Writes the new address of the picture, and tells of it.
async fn tell(change: &Change<'_>, user: &user::User) -> Result<(), Problem> {
    let sql = "UPDATE users SET profile_image_url = ? WHERE id = ?";
    change.execute(sql, &params![user.profile_image_url, user.id]).await?;
    change.emit(&user::profile_updated(user)).await
}

fn refuse(refused: Refused) -> Problem {
    match refused {
        Refused::Unknown => {
            Problem::new(415, "unsupported_media_type", "The body must be a picture: PNG, JPEG or WebP.")
        }
        Refused::TooLarge => Problem::new(
            422,
            "picture_too_large",
            format!(
                "The picture has too many pixels: at most {SIDE_MAX} on a side, and about 3 million of the most demanding kinds."
            ),
        ),
        Refused::Broken => Problem::new(422, "picture_broken", "The picture cannot be decoded."),
    }
}
