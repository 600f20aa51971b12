//! What a context keeps of a user, for their export: read from its database, section by section, each in the order of its keys.

use crate::{Database, Problem, Reply, Request, Row, params, reply};
use plaza_domain::export::{self, Entry, Position};
use plaza_domain::id::UserId;
use serde::Serialize;

/// Answers the component that asks for a page of what a context keeps of a user (`?user_id=`, `limit`, `cursor`).
pub async fn answer(
    request: &Request,
    database: &'static str,
    sections: usize,
    read: impl AsyncFn(&Database, UserId, Position, u32) -> Result<Vec<(String, Entry)>, Problem>,
) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let (limit, position) = request.page::<Position>()?;
    let database = Database::open(database).await?;
    let read = async |position, count| read(&database, user, position, count).await;
    reply::json(200, &export::page(sections, position.unwrap_or_default(), limit, read).await?)
}

/// A section that is one query: of a user, after a key, so many rows.
#[derive(Debug)]
pub struct Section<'a, T> {
    /// The kind of its entries.
    pub kind: &'a str,
    /// Whose parameters are the user, the key after which to begin, and how many.
    pub sql: &'a str,
    /// What a row says.
    pub read: fn(&Row) -> Result<T, Problem>,
    /// The key by which they are ordered.
    pub key: fn(&T) -> String,
}

impl<T: Serialize> Section<'_, T> {
    /// Reads a part of it.
    pub async fn entries(
        &self,
        database: &Database,
        user: UserId,
        after: &str,
        count: u32,
    ) -> Result<Vec<(String, Entry)>, Problem> {
        let rows = database.query(self.sql, &params![user, after, count]).await?;
        let entry = |row| {
            let item = (self.read)(row)?;
            Ok(((self.key)(&item), Entry::new(self.kind, &item)?))
        };
        rows.iter().map(entry).collect()
    }
}

/// A section of one entry, which is there where the section begins.
pub fn only(kind: &str, after: &str, item: Option<impl Serialize>) -> Result<Vec<(String, Entry)>, Problem> {
    let item = item.filter(|_| after.is_empty());
    item.map(|item| Ok((kind.to_owned(), Entry::new(kind, &item)?))).into_iter().collect()
}
