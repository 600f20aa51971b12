//! Asking another context, by its component's name (Spin's service chaining: `http://<component>.spin.internal`).

use crate::{Request, guest};
use plaza_domain::Problem;
use plaza_domain::export::Entry;
use plaza_domain::id::UserId;
use plaza_domain::page::{self, Page};
use plaza_domain::user::{Presence, Presences, User, Users};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};

/// An answer of another context.
#[derive(Debug)]
pub struct Answer {
    component: &'static str,
    response: http::Response<Vec<u8>>,
}

/// A question to another context.
#[derive(Debug)]
pub struct Question {
    component: &'static str,
    builder: http::request::Builder,
}

impl Question {
    /// A `GET` of a path (with its query).
    pub fn get(component: &'static str, path: &str) -> Self {
        Self::new("GET", component, path)
    }

    /// A `POST` to a path.
    pub fn post(component: &'static str, path: &str) -> Self {
        Self::new("POST", component, path)
    }

    fn new(method: &str, component: &'static str, path: &str) -> Self {
        let uri = format!("http://{component}.spin.internal{path}");
        Self { component, builder: http::Request::builder().method(method).uri(uri) }
    }

    /// The same, with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Asks. A context that does not answer, or answers 5xx, makes this 503: nothing was changed.
    pub async fn ask(self, body: Vec<u8>) -> Result<Answer, Problem> {
        let component = self.component;
        let unavailable = |cause: &dyn std::fmt::Display| {
            eprintln!("{component}: {cause}");
            Problem::unavailable("A part of the service that this needs does not answer; nothing was changed.")
        };
        let request = self.builder.body(body).map_err(|error| unavailable(&error))?;
        let response = guest::ask(request).map_err(|error| unavailable(&error))?;
        if response.status().is_server_error() || response.status() == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(unavailable(&response.status()));
        }
        Ok(Answer { component, response })
    }
}

impl Answer {
    /// The status: below 500.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The JSON of a successful answer. Any other is a fault between our own parts.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let read = if self.response.status().is_success() {
            serde_json::from_slice(self.response.body()).map_err(|error| error.to_string())
        } else {
            Err(format!("answered {}", self.response.status()))
        };
        read.map_err(|cause| {
            eprintln!("{}: {cause}", self.component);
            Problem::internal()
        })
    }
}

/// Asks the user context who these are, on the caller's behalf. At most a hundred; those who do not exist are left out.
pub async fn users(request: &Request, ids: &[UserId]) -> Result<Vec<User>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let question = Question::get("user-users", &format!("/api/users?user_ids={}", list(ids)));
    let question = question.header("authorization", request.header("authorization").unwrap_or_default());
    let users: Users = question.ask(Vec::new()).await?.json()?;
    Ok(users.items)
}

/// Asks the user context whether these are there, on the caller's behalf. At most a hundred; those who do not exist are left out.
pub async fn presences(request: &Request, ids: &[UserId]) -> Result<HashMap<UserId, Presence>, Problem> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let question = Question::get("user-presence", &format!("/api/users/presence?user_ids={}", list(ids)));
    let question = question.header("authorization", request.header("authorization").unwrap_or_default());
    let presences: Presences = question.ask(Vec::new()).await?.json()?;
    Ok(presences.items.into_iter().map(|presence| (presence.user_id, presence)).collect())
}

/// A user's friends, as the friend context knows them: at most a thousand.
pub async fn friends_of(user: UserId) -> Result<Vec<UserId>, Problem> {
    #[derive(Deserialize)]
    struct Friends {
        friend_ids: Vec<UserId>,
    }
    let question = Question::get("friend-relations", &format!("/?user_id={user}"));
    let friends: Friends = question.ask(Vec::new()).await?.json()?;
    Ok(friends.friend_ids)
}

/// Which of these are hidden from `user`: those who block them, and whom they block. At most a hundred are asked for.
pub async fn hidden_from(user: UserId, ids: &[UserId]) -> Result<HashSet<UserId>, Problem> {
    #[derive(Deserialize)]
    struct Hidden {
        hidden_ids: HashSet<UserId>,
    }
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let question = Question::get("friend-relations", &format!("/?user_id={user}&user_ids={}", list(ids)));
    let hidden: Hidden = question.ask(Vec::new()).await?.json()?;
    Ok(hidden.hidden_ids)
}

/// What a context keeps of a user, as its component for exports tells it: a page of the list.
pub async fn exported(
    component: &'static str,
    user: UserId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Entry>, Problem> {
    let mut query = form_urlencoded::Serializer::new(format!("/?user_id={user}&limit={limit}"));
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    let question = Question::get(component, &query.finish());
    let answer = question.ask(Vec::new()).await?;
    // Whoever changes what is in a cursor is told so.
    if answer.status() == 400 { Err(page::foreign_cursor()) } else { answer.json() }
}

fn list(ids: &[UserId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
