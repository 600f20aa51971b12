//! Everything that is kept of a user, for the user to take away (GDPR, articles 15 and 20): a list of entries, each of a kind.

use crate::Problem;
use crate::page::{self, Page};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that is kept of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// What it is: `profile`, `session`, `friend`, `message` and so on.
    pub kind: String,
    /// The thing itself, in the shape that the API has for it.
    pub data: Value,
}

impl Entry {
    /// An entry of something that the API has a shape for.
    pub fn new(kind: &str, data: &impl Serialize) -> Result<Self, Problem> {
        let data = serde_json::to_value(data).map_err(|_| Problem::internal())?;
        Ok(Self { kind: kind.to_owned(), data })
    }
}

/// Where an export goes on: in which of its sections, and after what in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The section's number.
    pub section: usize,
    /// The last that was given of it; empty at its beginning.
    pub after: String,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.section, self.after)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (section, after) = text.split_once(' ').ok_or(())?;
        Ok(Self { section: section.parse().map_err(|_| ())?, after: after.to_owned() })
    }
}

/// A page of an export, from a position on, whose sections are read by `read`: of a section, after a key, so many entries in the
/// order of their keys, each with its key.
pub async fn page(
    sections: usize,
    mut position: Position,
    limit: u32,
    read: impl AsyncFn(Position, u32) -> Result<Vec<(String, Entry)>, Problem>,
) -> Result<Page<Entry>, Problem> {
    let mut items = Vec::new();
    while position.section < sections {
        let wanted = limit as usize - items.len();
        // One more tells that there is a next one.
        let mut entries = read(position.clone(), u32::try_from(wanted + 1).unwrap_or(limit)).await?;
        let more = entries.len() > wanted;
        entries.truncate(wanted);
        let last = entries.last().map(|(key, _)| key.clone()).unwrap_or(position.after);
        items.extend(entries.into_iter().map(|(_, entry)| entry));
        let after = if more { last } else { String::new() };
        position = Position { section: if more { position.section } else { position.section + 1 }, after };
        if items.len() == limit as usize && position.section < sections {
            return Ok(Page { items, next_cursor: Some(page::encode(&position.to_string())), prev_cursor: None });
        }
    }
    Ok(Page { items, next_cursor: None, prev_cursor: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// A page of two sections, of two and three entries, with a section of none between them.
    fn read(cursor: Option<&str>, limit: u32) -> Page<Entry> {
        let sections = [vec!["a", "b"], vec![], vec!["c", "d", "e"]];
        let read = async |position: Position, count: u32| {
            let keys = sections[position.section].iter().filter(|key| **key > position.after.as_str());
            keys.take(count as usize).map(|key| Ok(((*key).to_owned(), Entry::new(key, &1)?))).collect()
        };
        let position = cursor.map(|cursor| page::decode(cursor).unwrap()).unwrap_or_default();
        let mut reading = pin!(page(sections.len(), position, limit, read));
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(page) => page.unwrap(),
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    }

    #[test]
    fn pages_of_any_size_give_every_entry_once() {
        for limit in 1..7 {
            let (mut kinds, mut cursor) = (String::new(), None);
            for _ in 0..6 {
                let page = read(cursor.as_deref(), limit);
                assert!(page.items.len() <= limit as usize);
                kinds.extend(page.items.into_iter().map(|entry| entry.kind));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!((kinds.as_str(), cursor), ("abcde", None), "{limit} at a time");
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for text in ["", "!!", "AAAA", &page::encode("1"), &page::encode("-1 a")] {
            assert_eq!(page::decode::<Position>(text).unwrap_err().code, "invalid_cursor", "{text}");
        }
        assert_eq!(read(Some(&page::encode("9 a")), 5).items, [], "past the end there is nothing");
    }
}
