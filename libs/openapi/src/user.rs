//! Accounts, sessions, profiles.

use crate::example::{self, AT, JUNHO, MINJI, PASSWORD, REFRESH_TOKEN, SESSION};
use crate::operation::{Body, Operation, delete, get, patch, post, put};
use plaza_domain::export::Entry;
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::page::Page;
use plaza_domain::user::{
    DISPLAY_NAME_LENGTH_MAX, DisplayName, EMAIL_LENGTH_MAX, Email, IMAGE_SIDE_DEFAULT, IMAGE_SIDES, LOOKUP_USERS_MAX,
    Password, Presences, Profile, SEARCH_LENGTH_MIN, Session, Tokens, User, Username, Users,
};
use serde_json::json;

pub(crate) fn operations() -> Vec<Operation> {
    let mut operations = beginning();
    operations.extend(sessions());
    operations.extend(profiles());
    operations
}

/// It answers with tokens, which are not for caches.
fn tokens(operation: Operation, description: &'static str) -> Operation {
    const NO_STORE: &str = "Tokens are not for caches (RFC 6749, section 5.1).";
    operation.answers::<Tokens>(200, description, example::tokens()).with_header(
        "Cache-Control",
        NO_STORE,
        json!({ "type": "string", "const": "no-store" }),
    )
}

fn beginning() -> Vec<Operation> {
    vec![
        post("/api/auth/register", "register", "Makes an account")
            .public()
            .takes(
                Body::json()
                    .required::<Email>("email")
                    .required::<Username>("username")
                    .required::<Password>("password")
                    .optional::<DisplayName>("display_name")
                    .example(
                        "dana",
                        json!({
                            "email": "dana.jung@example.com", "username": "dana.jung", "password": PASSWORD,
                            "display_name": "정다나",
                        }),
                    ),
            )
            .answers::<Profile>(201, "The own profile.", example::profile())
            .refuses(409, &["username_taken", "email_taken"]),
        tokens(
            post("/api/auth/login", "logIn", "Begins a session, as OAuth 2 has it")
                .about(
                    "The password form of OAuth 2 (RFC 6749, section 4.3.2). `username` is an address or a user name.",
                )
                .public()
                .takes(
                    Body::form()
                        .required::<String>("username")
                        .required::<String>("password")
                        .example("minji", json!({ "username": "minji.kim", "password": PASSWORD })),
                ),
            "The session's tokens.",
        )
        .refuses(400, &["malformed_json"])
        .refuses(401, &["invalid_credentials"]),
        tokens(
            post("/api/auth/login/json", "logInByJson", "Begins a session")
                .about("With the address as `email`, or the user name as `username`.")
                .public()
                .takes(
                    Body::json()
                        .optional::<String>("email")
                        .optional::<String>("username")
                        .required::<String>("password")
                        .also(
                            "anyOf",
                            json!([
                                { "required": ["email"], "properties": { "email": { "type": "string" } } },
                                { "required": ["username"], "properties": { "username": { "type": "string" } } },
                            ]),
                        )
                        .example("minji", json!({ "email": "minji.kim@example.com", "password": PASSWORD })),
                ),
            "The session's tokens.",
        )
        .refuses(401, &["invalid_credentials"]),
        tokens(
            post("/api/auth/refresh", "refresh", "Gives a session new tokens")
                .about(
                    "The old refresh token is used up. One that comes a second time ends the session: it was stolen.",
                )
                .public()
                .takes(
                    Body::json()
                        .required::<String>("refresh_token")
                        .example("minji", json!({ "refresh_token": REFRESH_TOKEN })),
                ),
            "The session's new tokens.",
        )
        .refuses(401, &["invalid_refresh_token"]),
    ]
}

fn sessions() -> Vec<Operation> {
    vec![
        post("/api/auth/logout", "logOut", "Ends this session, or every session")
            .about("At once: tokens stop working, streams end.")
            .takes(
                Body::json()
                    .optional::<bool>("all")
                    .may_be_absent()
                    .example("this session", json!({}))
                    .example("every session", json!({ "all": true })),
            )
            .answers_nothing(204, "It has ended."),
        put("/api/auth/password", "changePassword", "Changes the password")
            .about("This session goes on, all others end at once.")
            .takes(
                Body::json()
                    .required::<String>("current_password")
                    .required::<Password>("new_password")
                    .example("new", json!({ "current_password": PASSWORD, "new_password": "wrong mule accumulator" })),
            )
            .answers_nothing(204, "It is changed.")
            .refuses(403, &["wrong_password"]),
        get("/api/auth/sessions", "listSessions", "The own sessions")
            .about("Newest first.")
            .list()
            .answers::<Page<Session>>(
                200,
                "The sessions.",
                example::page(&json!({
                    "id": SESSION, "device": "Mozilla/5.0", "created_at": AT, "last_used_at": AT, "current": true,
                })),
            ),
        delete("/api/auth/sessions/:id", "revokeSession", "Ends one of the own sessions")
            .about("This one or another, at once.")
            .segment::<SessionId>("id", "Which session.", SESSION)
            .answers_nothing(204, "It has ended."),
    ]
}

/// A tag as caches compare it.
const ETAG: &str = "What tells this picture from others.";

fn picture() -> Operation {
    let size = json!({ "type": "integer", "enum": IMAGE_SIDES, "default": IMAGE_SIDE_DEFAULT });
    let etag = || json!({ "type": "string" });
    get("/api/profile/:user_id/image", "getImage", "Somebody's picture")
        .about(
            "For everybody, as an `<img>` cannot send a token. The address in a profile has the picture's version, and may be kept for a \
             year.",
        )
        .public()
        .segment::<UserId>("user_id", "Whose.", MINJI)
        .query("size", "Pixels on a side, or fewer where the picture has no more.", size)
        .query("v", "The version that is meant.", json!({ "type": "string" }))
        .header("If-None-Match", "The `ETag` of the copy that the client has.", json!({ "type": "string" }))
        .answers_as(200, "The picture: a square.", "image/jpeg", json!({ "type": "string", "format": "binary" }), None)
        .with_header("ETag", ETAG, etag())
        .answers_nothing(304, "The client's copy is still good.")
        .with_header("ETag", ETAG, etag())
}

fn profiles() -> Vec<Operation> {
    let lookup = json!({
        "type": "string",
        "description": format!("At most {LOOKUP_USERS_MAX} ids, with commas between them."),
        "pattern": format!("^[^,]*(,[^,]*){{0,{}}}$", LOOKUP_USERS_MAX - 1),
        "minLength": 1,
    });
    vec![
        get("/api/profile/me", "getOwnProfile", "The own profile").refuses(404, &["not_found"]).answers::<Profile>(
            200,
            "The own profile.",
            example::profile(),
        ),
        patch("/api/profile/me", "updateOwnProfile", "Changes the own profile")
            .takes(
                Body::json()
                    .optional::<DisplayName>("display_name")
                    .example("name", json!({ "display_name": "민지 🌱" })),
            )
            .refuses(404, &["not_found"])
            .answers::<Profile>(200, "The own profile.", example::profile()),
        delete("/api/profile/me", "deleteAccount", "Deletes the account")
            .about(
                "The name is free again, all sessions end, and every context forgets what is personal. Messages stay, without a \
                 name.",
            )
            .takes(
                Body::json().required::<String>("password").example("minji", json!({ "password": PASSWORD })),
            )
            .answers_nothing(204, "It is gone.")
            .refuses(403, &["wrong_password"]),
        get("/api/profile/me/export", "export", "Everything that Plaza keeps of the caller")
            .about(
                "Page by page, until there is no `next_cursor`: profile, presence, sessions, friends, blocks, friend requests, rooms, \
                 messages with what they said before, notifications and preferences. A page may be short. What changes \
                 meanwhile may be there or not.",
            )
            .list()
            .answers::<Page<Entry>>(
                200,
                "What is kept, each with its kind.",
                example::page(&json!({ "kind": "profile", "data": example::profile() })),
            ),
        put("/api/profile/me/image", "putImage", "Changes the own picture")
            .about(
                "The body is the picture: PNG, JPEG or WebP, by what it is, not by its `Content-Type`. It is made anew from the middle, \
                 upright, in three sizes, without metadata.",
            )
            .takes(
                Body::whole("image/*", json!({ "type": "string", "format": "binary" }))
                    .example("picture", "The file itself.".into()),
            )
            .refuses(404, &["not_found"])
            .answers::<Profile>(200, "The own profile.", example::profile_with_picture())
            .refuses(422, &["picture_too_large", "picture_broken"]),
        delete("/api/profile/me/image", "deleteImage", "Removes the own picture")
            .refuses(404, &["not_found"])
            .answers_nothing(204, "There is none."),
        picture(),
        get("/api/profile/:user_id", "getProfile", "Somebody's profile")
            .segment::<UserId>("user_id", "Whose.", JUNHO)
            .answers::<User>(200, "The user.", example::junho()),
        get("/api/users", "lookUpUsers", "Several users at once")
            .about("In the order in which they were asked for. Those who do not exist are left out.")
            .query_required("user_ids", "Who.", lookup.clone(), JUNHO.into())
            .answers::<Users>(200, "Those who exist.", json!({ "items": [example::junho()] })),
        get("/api/users/presence", "lookUpPresence", "Whether several users are there")
            .about("In the order in which they were asked for. Those who do not exist are left out.")
            .query_required("user_ids", "Who.", lookup, JUNHO.into())
            .answers::<Presences>(
                200,
                "Of those who exist.",
                json!({ "items": [{ "user_id": JUNHO, "online": true, "last_seen_at": AT }] }),
            ),
        post("/api/users/me/heartbeat", "beat", "The caller is there")
            .about("For a minute. Whoever holds a stream is there without it.")
            .repeatable()
            .answers_nothing(204, "It is known."),
        get("/api/users/search", "searchUsers", "Finds users")
            .about("By the whole of an address, or by the beginning of a user name or display name.")
            .query_required(
                "q",
                "An address, or the beginning of a name.",
                json!({ "type": "string", "pattern": "[^\\s\\u0085][\\s\\S]*[^\\s\\u0085]", "anyOf": [
                    { "minLength": SEARCH_LENGTH_MIN, "maxLength": DISPLAY_NAME_LENGTH_MAX },
                    { "minLength": SEARCH_LENGTH_MIN, "maxLength": EMAIL_LENGTH_MAX, "pattern": "@" },
                ] }),
                "junho".into(),
            )
            .list()
            .answers::<Page<User>>(200, "Those who were found, by user name.", example::page(&example::junho())),
    ]
}
