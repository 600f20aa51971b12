//! `POST /api/auth/register`: makes an account.

use plaza_domain::user::{self, DisplayName, Email, Password, Profile, User, Username};
use plaza_kit::clock::{self, Fresh};
use plaza_kit::limit::{self, Rule};
use plaza_kit::{Database, Json, Problem, Reply, Request, Row, params, password, reply};
use std::time::Duration;

plaza_kit::function!(handle);

/// Whose an `Idempotency-Key` is, as there is no caller yet.
const SCOPE: &str = "register";

/// For whoever makes accounts in great numbers, or asks which names and addresses are taken.
const PER_ADDRESS: Rule =
    Rule { name: "register-address", variable: "register_per_address_per_hour", window: Duration::from_hours(1) };

struct NewUser {
    username: Username,
    email: Email,
    password: Password,
    display_name: Option<DisplayName>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "POST" => register(&request, read(&request.json()?)?).await,
        _ => Err(Problem::method_not_allowed("POST")),
    }
}

fn read(body: &Json) -> Result<NewUser, Problem> {
    let mut input = body.input();
    let (Some(username), Some(email), Some(password), Some(display_name)) = (
        input.required::<Username>("username"),
        input.required::<Email>("email"),
        input.required::<Password>("password"),
        input.optional::<DisplayName>("display_name"),
    ) else {
        return Err(input.problem());
    };
    if password.repeats(&username, &email) {
        input.note::<()>("password", user::repeated_password());
        return Err(input.problem());
    }
    Ok(NewUser { username, email, password, display_name })
}

async fn register(request: &Request, new: NewUser) -> Result<Reply, Problem> {
    limit::take(&PER_ADDRESS, &limit::client_address(request)?)?;
    let display_name = new.display_name.as_ref().map_or(new.username.as_str(), DisplayName::as_str);
    let user = User {
        id: Fresh::fresh(),
        username: new.username.as_str().to_owned(),
        display_name: display_name.to_owned(),
        profile_image_url: None,
        created_at: clock::now(),
    };
    let database = Database::open(plaza_user::DATABASE).await?;
    if let Err(taken) = refuse_taken(async |sql, key| database.query_one(sql, &params![key]).await, &new).await {
        // By this very request, it may be.
        return database.repeated_sealed(request, SCOPE).await?.ok_or(taken);
    }
    // Hashing takes long: before the change, which holds the write lock.
    let password_hash = password::hash(new.password.as_str())?;
    let profile = Profile { user, email: new.email.as_str().to_owned() };
    let user = &profile.user;
    database
        .once_sealed(request, SCOPE, async |change| {
            let inserted = change
                .insert_new(
                    "INSERT INTO users (id, username, username_key, email, display_name, display_name_key, password_hash,
                         created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    &params![
                        user.id,
                        user.username,
                        new.username.key(),
                        new.email.as_str(),
                        user.display_name,
                        user.display_name.to_lowercase(),
                        password_hash,
                        user.created_at,
                    ],
                )
                .await?;
            if !inserted {
                // Somebody else took it while the password was hashed.
                refuse_taken(async |sql, key| change.lock_one(sql, &params![key]).await, &new).await?;
                return Err(change.again());
            }
            change.emit(&user::registered(user)).await?;
            reply::json(201, &profile)
        })
        .await
}

async fn refuse_taken(
    look: impl AsyncFn(&'static str, &str) -> Result<Option<Row>, Problem>,
    new: &NewUser,
) -> Result<(), Problem> {
    if look("SELECT 1 FROM users WHERE username_key = ?", &new.username.key()).await?.is_some() {
        return Err(Problem::conflict("username_taken", "This user name is taken."));
    }
    if look("SELECT 1 FROM users WHERE email = ?", new.email.as_str()).await?.is_some() {
        return Err(Problem::conflict("email_taken", "There is an account with this address."));
    }
    Ok(())
}
