//! `GET, PATCH, DELETE /api/profile/me`: the caller's own profile, and with it their account.

use plaza_domain::user::{self, DisplayName};
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use plaza_user::{confirmation, deletion, session};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => show(&auth::caller(&request).await?).await,
        "PATCH" => change(&request, &auth::caller(&request).await?).await,
        "DELETE" => delete(&request, &auth::caller(&request).await?).await,
        _ => Err(Problem::method_not_allowed("GET, PATCH, DELETE")),
    }
}

async fn show(caller: &Caller) -> Result<Reply, Problem> {
    let database = Database::open(plaza_user::DATABASE).await?;
    let profile = plaza_user::profile(&database, caller.user_id).await?.ok_or_else(Problem::not_found)?;
    reply::json(200, &profile)
}

async fn change(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let Some(display_name) = input.optional::<DisplayName>("display_name") else { return Err(input.problem()) };

    let database = Database::open(plaza_user::DATABASE).await?;
    let profile = database
        .transaction(async |change| {
            let mut profile =
                plaza_user::locked_profile(change, caller.user_id).await?.ok_or_else(Problem::not_found)?;
            let Some(name) = display_name.as_ref().filter(|name| name.as_str() != profile.user.display_name) else {
                return Ok(profile);
            };
            name.as_str().clone_into(&mut profile.user.display_name);
            let sql = "UPDATE users SET display_name = ?, display_name_key = ? WHERE id = ?";
            change.execute(sql, &params![name.as_str(), name.as_str().to_lowercase(), caller.user_id]).await?;
            change.emit(&user::profile_updated(&profile.user)).await?;
            Ok(profile)
        })
        .await?;
    reply::json(200, &profile)
}

/// Deletes the account. Whoever only found an unlocked phone must not be able to: the password is asked for once more.
async fn delete(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let Some(password) = input.required::<String>("password") else { return Err(input.problem()) };

    let database = Database::open(plaza_user::DATABASE).await?;
    let account = confirmation::confirm(&database, caller.user_id, &password).await?;
    let ended = database.transaction(async |change| deletion::delete(change, caller.user_id, &account).await).await?;
    session::forget_all(&ended)?;
    reply::no_content()
}
