//! Lists in pages: `limit`, and an opaque `cursor` that says where to go on.

use crate::input::Invalid;
use crate::problem::{FieldError, Problem};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The most items that one page may have.
pub const LIMIT_MAX: u32 = 100;

/// How many items a page has where the client does not say.
pub const LIMIT_DEFAULT: u32 = 50;

/// Sorts after the text of every id: where a list that begins with the newest begins.
pub const AFTER_EVERY_ID: &str = "g";

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last.
    pub next_cursor: Option<String>,
    /// Where the page before begins; none on the first.
    pub prev_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From what a query for one item more than `limit` gave: the extra one only tells that there is a next page.
    pub fn forward(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_cursor = if more { items.last().map(|item| encode(&cursor(item))) } else { None };
        Self { items, next_cursor, prev_cursor: None }
    }

    /// The same page with other items.
    pub fn with<U>(self, items: Vec<U>) -> Page<U> {
        Page { items, next_cursor: self.next_cursor, prev_cursor: self.prev_cursor }
    }
}

/// The `limit` parameter: 1 to 100, 50 where absent.
pub fn limit(parameter: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = parameter else { return Ok(LIMIT_DEFAULT) };
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        invalid_parameter(
            "limit",
            Invalid::new("out_of_range", format!("must be a whole number from 1 to {LIMIT_MAX}")),
        )
    })
}

/// The refusal of one query parameter.
pub fn invalid_parameter(name: &'static str, invalid: Invalid) -> Problem {
    Problem::invalid(vec![FieldError { field: name.into(), code: invalid.code, detail: invalid.detail }])
}

/// A cursor that stands for `position`.
pub fn encode(position: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(position)
}

/// The position that a cursor of ours stands for, in the form that the list reads.
pub fn decode<T: std::str::FromStr>(cursor: &str) -> Result<T, Problem> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
    let position = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    position.and_then(|text| text.parse().ok()).ok_or_else(foreign_cursor)
}

/// The refusal of a cursor that this list did not give.
pub fn foreign_cursor() -> Problem {
    Problem::bad_request("invalid_cursor", "The cursor is not one that this list gave.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_of_the_next_only_when_there_is_one() {
        let cursor = |n: &u32| n.to_string();
        let page = Page::forward(vec![1, 2, 3], 2, cursor);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(decode::<u32>(&page.next_cursor.unwrap()).unwrap(), 2);
        assert_eq!(Page::forward(vec![1, 2], 2, cursor).next_cursor, None);
    }

    #[test]
    fn limits_outside_the_range_are_refused() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some("100")).unwrap(), 100);
        for text in ["0", "101", "-1", "ten", "", "1e1"] {
            assert_eq!(limit(Some(text)).unwrap_err().status, 422, "{text:?}");
        }
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for text in ["", "!!", "AAAA", "bm90IGEgbnVtYmVy"] {
            assert_eq!(decode::<u32>(text).unwrap_err().code, "invalid_cursor", "{text:?}");
        }
    }
}
