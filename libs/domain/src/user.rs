//! Accounts: names, passwords, profiles, sessions.

use crate::event::{Action, Channel, Event, Topic};
use crate::id::{SessionId, UserId};
use crate::input::{self, FromValue, Invalid};
use crate::schema::schema;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Characters of a user name.
pub const USERNAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=50;
/// Characters of a password.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// The most characters of a display name.
pub const DISPLAY_NAME_LENGTH_MAX: usize = 50;
/// The most characters of an address (RFC 5321, section 4.5.3.1.3, less the angle brackets).
pub const EMAIL_LENGTH_MAX: usize = 254;
/// The most users that one look-up may name.
pub const LOOKUP_USERS_MAX: usize = 100;
/// The fewest characters of a search.
pub const SEARCH_LENGTH_MIN: usize = 2;
/// What stands for the name of somebody whose account is gone. It is no user name: nobody can take it.
pub const DELETED_USERNAME: &str = "(deleted)";
/// How long a session lives without being refreshed.
pub const SESSION_IDLE_MAX: Duration = Duration::from_hours(30 * 24);
/// The most sessions of one user that live at a time: a further login ends the one that was not used for longest.
pub const SESSIONS_MAX: u32 = 100;
/// The most characters of a device's description (`User-Agent`) that a session keeps.
pub const DEVICE_LENGTH_MAX: usize = 200;
/// The sides of the squares that a profile's picture comes in, in pixels, from the smallest.
pub const IMAGE_SIDES: [u32; 3] = [64, 256, 1024];
/// The side of the square that one gets who does not say.
pub const IMAGE_SIDE_DEFAULT: u32 = 256;
/// Characters of a picture's version: 96 bits, so that no two pictures of one user ever have the same.
const IMAGE_VERSION_LENGTH: usize = 16;
/// How long a ticket for a stream is good.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// A user name: 3 to 50 of `[A-Za-z0-9_.-]`. Kept as written; compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that was accepted before.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The form in which it is unique.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromValue for Username {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let name = input::text(value, *USERNAME_LENGTH.start(), *USERNAME_LENGTH.end())?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            return Err(Invalid::new("invalid_characters", "may have only letters, digits, '_', '.' and '-'"));
        }
        Ok(Self(name.to_owned()))
    }
}

schema!(Username, {
    "type": "string",
    "description": "A user name. Unique without regard to case.",
    "minLength": USERNAME_LENGTH.start(),
    "maxLength": USERNAME_LENGTH.end(),
    "pattern": "^[A-Za-z0-9_.-]+$",
});

/// An address, in lower case. Its syntax is only looked at so far that a slip is noticed; whether it is somebody's,
/// only a letter to it can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The address, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that was accepted before.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Whether a login name means an address rather than a user name (which cannot have an `@`).
    pub fn is_meant_by(login: &str) -> bool {
        login.contains('@')
    }
}

impl FromValue for Email {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let text = input::text(value, 1, EMAIL_LENGTH_MAX)?;
        let malformed = || Invalid::new("invalid_email", "is not an e-mail address");
        let (local, domain) = text.rsplit_once('@').ok_or_else(malformed)?;
        let plain =
            |part: &str| !part.chars().any(|c| c.is_whitespace() || c.is_control() || "@\"<>(),:;\\[]".contains(c));
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let dots = |part: &str| part.split('.').all(|piece| !piece.is_empty());
        let well_formed = (1..=64).contains(&local.len())
            && plain(local)
            && dots(local)
            && domain.contains('.')
            && domain.split('.').all(label);
        if well_formed { Ok(Self(text.to_lowercase())) } else { Err(malformed()) }
    }
}

schema!(Email, {
    "type": "string",
    "description": "An e-mail address. Kept in lower case.",
    "format": "idn-email",
    "minLength": 1,
    "maxLength": EMAIL_LENGTH_MAX,
});

/// A password: 8 to 128 characters, none of the common ones. No composition rules (NIST SP 800-63B, section 5.1.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// The secret itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it merely repeats the account's own name or address, which is what is guessed first.
    pub fn repeats(&self, username: &Username, email: &Email) -> bool {
        let password = self.0.to_lowercase();
        let local = email.0.split('@').next().unwrap_or_default();
        [username.key().as_str(), email.as_str(), local].contains(&password.as_str())
    }
}

/// The refusal of a password that [repeats](Password::repeats) the account's name or address.
pub fn repeated_password() -> Invalid {
    Invalid::new("common_password", "must not be the user name or the address")
}

impl FromValue for Password {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let text = input::text(value, *PASSWORD_LENGTH.start(), *PASSWORD_LENGTH.end())?;
        let lower = text.to_lowercase();
        if include_str!("common-passwords.txt").lines().any(|common| common == lower) {
            return Err(Invalid::new("common_password", "is one of the most common passwords"));
        }
        Ok(Self(text.to_owned()))
    }
}

schema!(Password, {
    "type": "string",
    "description": "A password: none of the most common ones, and not the account's own name or address.",
    "format": "password",
    "minLength": PASSWORD_LENGTH.start(),
    "maxLength": PASSWORD_LENGTH.end(),
});

/// The name that others see: 1 to 50 characters on one line, in any script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for DisplayName {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        input::one_line(value, 1, DISPLAY_NAME_LENGTH_MAX).map(Self)
    }
}

schema!(DisplayName, {
    "type": "string",
    "description": "The name that others see: on one line, in any script.",
    "minLength": 1,
    "maxLength": DISPLAY_NAME_LENGTH_MAX,
    "pattern": crate::schema::ONE_LINE_PATTERN,
});

/// What a session keeps of the `User-Agent` that began it, for its user to recognize it by: one line, whatever was sent.
pub fn device(user_agent: &str) -> String {
    user_agent.chars().map(|c| if input::is_hidden(c) { ' ' } else { c }).take(DEVICE_LENGTH_MAX).collect()
}

/// The version of a picture, from the hash of its largest square.
pub fn image_version(hash: &str) -> &str {
    hash.get(..IMAGE_VERSION_LENGTH).unwrap_or(hash)
}

/// Where a picture is. Another version has another address, so what is there never changes.
pub fn image_url(user: UserId, version: &str) -> String {
    format!("/api/profile/{user}/image?v={version}")
}

/// A user as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The unique name.
    pub username: String,
    /// The name to show.
    pub display_name: String,
    /// Where the picture is, if there is one: a reference relative to the API's own address (RFC 3986, section 4.2), which takes
    /// `&size=64`, `256` or `1024`.
    pub profile_image_url: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

impl User {
    /// Whether the user or display name begins with `text`, whatever the case.
    pub fn name_begins_with(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        [&self.username, &self.display_name].iter().any(|name| name.to_lowercase().starts_with(&text))
    }
}

/// A user as they see themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// What others see.
    #[serde(flatten)]
    pub user: User,
    /// What only they see.
    pub email: String,
}

/// The role of those who operate an installation.
pub const OPERATOR: &str = "operator";

/// Whether a list of ids and addresses, separated by commas or spaces, names this user.
pub fn is_operator(list: &str, user: UserId, email: Option<&str>) -> bool {
    let id = user.to_string();
    let mut names = list.split([',', ' ', '\n']).map(str::trim).filter(|name| !name.is_empty());
    names.any(|name| name == id || email.is_some_and(|email| name.to_lowercase() == email))
}

/// What a login or a refresh answers (RFC 6749, section 5.1).
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tokens {
    /// A JWT (RFC 9068), for the `Authorization` header.
    pub access_token: String,
    /// Always `bearer`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = "bearer")))]
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// For the next refresh, once.
    pub refresh_token: String,
}

/// A session, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// What began it: its `User-Agent`.
    pub device: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last got new tokens.
    pub last_used_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Several users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Users {
    /// Those who exist, in the order in which they were asked for.
    pub items: Vec<User>,
}

/// What opens a stream, once, where no header can be set.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket {
    /// For the query parameter `ticket`.
    pub ticket: String,
    /// Seconds until it is of no more use.
    pub expires_in: u64,
}

/// Whether somebody is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presence {
    /// Who.
    pub user_id: UserId,
    /// Whether they are there now.
    pub online: bool,
    /// When they were last there, if they ever were.
    pub last_seen_at: Option<Timestamp>,
}

/// Whether several users are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presences {
    /// Of those who exist, in the order in which they were asked for.
    pub items: Vec<Presence>,
}

/// An account came to be.
pub fn registered(user: &User) -> Event {
    Event::new(Topic::USER, user.id, "plaza.user.UserRegistered.v1", user)
}

/// What others see of an account changed.
pub fn profile_updated(user: &User) -> Event {
    Event::new(Topic::USER, user.id, "plaza.user.UserProfileUpdated.v1", user)
}

/// The type of the event that tells of an account's end.
pub const USER_DELETED: &str = "plaza.user.UserDeleted.v1";

/// What [`deleted`] tells: whose account is gone. Nothing personal is left to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeleted {
    /// Whose account it was. The id is never given again.
    pub user_id: UserId,
    /// Since when it is gone.
    pub deleted_at: Timestamp,
}

/// An account is gone: whoever keeps something of this user forgets it.
pub fn deleted(user: &UserDeleted) -> Event {
    Event::new(Topic::USER, user.user_id, USER_DELETED, user)
}

/// A session ended before its time: by logout, or because a refresh token was used twice. Its streams end with it.
pub fn session_revoked(user: UserId, session: SessionId) -> Event {
    #[derive(Serialize)]
    struct Data {
        user_id: UserId,
        session_id: SessionId,
    }
    Event::new(Topic::USER, user, "plaza.user.SessionRevoked.v1", &Data { user_id: user, session_id: session })
        .also_to([Channel::session(session)])
        .with_action(Action::Close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn code<T: FromValue + std::fmt::Debug>(value: &Value) -> &'static str {
        T::from_value(value).unwrap_err().code
    }

    #[test]
    fn user_names_have_their_alphabet_and_length() {
        assert_eq!(Username::from_value(&json!("Min.Ji_90-x")).unwrap().key(), "min.ji_90-x");
        assert_eq!(code::<Username>(&json!("ab")), "wrong_length");
        assert_eq!(code::<Username>(&json!("a".repeat(51))), "wrong_length");
        assert_eq!(code::<Username>(&json!("min ji")), "invalid_characters");
        assert_eq!(code::<Username>(&json!("민지입니다")), "invalid_characters");
        assert_eq!(code::<Username>(&json!(12345)), "wrong_type");
    }

    #[test]
    fn addresses_are_looked_at_for_slips() {
        for good in ["a@b.co", "Min.Ji+plaza@Example.COM", "이메일@예시.한국"] {
            assert_eq!(Email::from_value(&json!(good)).unwrap().as_str(), good.to_lowercase());
        }
        for bad in
            ["a@b", "@b.co", "a@", "a b@c.de", "a@b..c", "a@-b.co", "a@@b.co", ".a@b.co", "a\u{0}@b.co", "a@b.co\n"]
        {
            assert_eq!(code::<Email>(&json!(bad)), "invalid_email", "{bad:?}");
        }
        assert_eq!(code::<Email>(&json!(format!("{}@example.com", "a".repeat(250)))), "wrong_length");
    }

    #[test]
    fn common_and_repeated_passwords_are_refused() {
        assert_eq!(code::<Password>(&json!("Password1")), "common_password");
        assert_eq!(code::<Password>(&json!("short")), "wrong_length");
        let password = Password::from_value(&json!("min-ji-90")).unwrap();
        let name = |name: &str| Username::from_value(&json!(name)).unwrap();
        let email = Email::from_value(&json!("a@b.co")).unwrap();
        assert!(password.repeats(&name("Min-Ji-90"), &email));
        assert!(!password.repeats(&name("somebody"), &email));
        assert_eq!(format!("{password:?}"), "Password(…)");
    }

    #[test]
    fn display_names_show_on_one_line_and_hide_nothing() {
        assert_eq!(DisplayName::from_value(&json!("  김민지 🌱 ")).unwrap().as_str(), "김민지 🌱");
        for bad in ["a\nb", "a\u{0}", "evil\u{202e}txt", "a\u{2066}b"] {
            assert_eq!(code::<DisplayName>(&json!(bad)), "invalid_characters", "{bad:?}");
        }
        assert_eq!(code::<DisplayName>(&json!("   ")), "wrong_length");
        for nothing in ["\u{200b}", "\u{3164}\u{115f}", "\u{2800} \u{ad}", "\u{fe0f}\u{200d}", "\u{e0041}"] {
            assert_eq!(code::<DisplayName>(&json!(nothing)), "invalid_characters", "{nothing:?}");
        }
        for joined in ["👩\u{200d}👧", "❤\u{fe0f}", "نام\u{200c}ها", "\u{1112}\u{1161}\u{11ab}"] {
            assert_eq!(DisplayName::from_value(&json!(joined)).unwrap().as_str(), joined);
        }
    }

    #[test]
    fn operators_are_named_by_id_or_address_and_by_the_whole_of_it() {
        let user = UserId::new(Timestamp::from_unix_ms(0), [7; 10]);
        let list = format!("Ops@Example.com, {user}");
        assert!(is_operator(&list, user, None));
        assert!(is_operator(
            "a@b.co,ops@example.com",
            UserId::new(Timestamp::from_unix_ms(1), [7; 10]),
            Some("ops@example.com")
        ));
        for (list, email) in [
            ("", Some("")),
            (",,", Some("a@b.co")),
            ("a@b.co.uk", Some("a@b.co")),
            ("b.co", Some("a@b.co")),
            ("a@b.co", None),
        ] {
            assert!(!is_operator(list, user, email), "{list:?} {email:?}");
        }
    }

    #[test]
    fn a_deletion_tells_only_who_and_when() {
        let user_id = UserId::new(Timestamp::from_unix_ms(1_763_668_800_007), [7; 10]);
        let gone = UserDeleted { user_id, deleted_at: Timestamp::from_unix_ms(1_763_668_900_000) };
        let event = deleted(&gone);
        assert_eq!((event.topic.name(), &event.key), ("user.events", &user_id.to_string()));
        let data: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(data, json!({"user_id": user_id, "deleted_at": "2025-11-20T20:01:40.000Z"}));
        assert_eq!(serde_json::from_value::<UserDeleted>(data).unwrap(), gone);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_rule_panic(text: String) {
            let value = json!(text);
            let _ = (Username::from_value(&value), Email::from_value(&value), Password::from_value(&value), DisplayName::from_value(&value));
        }
    }
}
