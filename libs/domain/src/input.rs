//! From a JSON body to values of the domain: every field is looked at, and every fault is told at once.
//!
//! ```
//! use plaza_domain::{Input, user::{Email, Username}};
//! let body = serde_json::json!({"username": "min-ji"});
//! let mut input = Input::new(body.as_object().unwrap());
//! let (Some(_username), Some(_email)) = (input.required::<Username>("username"), input.required::<Email>("email"))
//! else {
//!     let problem = input.problem();
//!     assert_eq!(problem.status, 422);
//!     assert_eq!((&*problem.errors[0].field, problem.errors[0].code), ("email", "required"));
//!     return;
//! };
//! # unreachable!();
//! ```

use crate::problem::{FieldError, Problem};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Why a value is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// A stable code, for programs.
    pub code: &'static str,
    /// What is wrong; it continues the sentence that the field's name begins.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// A fault with a code of its own.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The value is of another JSON type.
    pub fn type_of(wanted: &str) -> Self {
        Self::new("wrong_type", format!("must be {wanted}"))
    }

    /// The text is shorter or longer than allowed, counted in Unicode scalar values.
    pub fn length(min: usize, max: usize) -> Self {
        Self::new("wrong_length", format!("must have {min} to {max} characters"))
    }
}

/// A value of the domain that can be read from a JSON value.
pub trait FromValue: Sized {
    /// Reads it, or says why not.
    fn from_value(value: &Value) -> Result<Self, Invalid>;
}

/// The fields of a JSON object, and what is wrong with them so far.
#[derive(Debug)]
pub struct Input<'a> {
    fields: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'a> Input<'a> {
    /// Starts to read an object. Fields that nobody asks for are ignored.
    pub fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, errors: Vec::new() }
    }

    /// A field that must be there. `None` means that a fault was noted.
    pub fn required<T: FromValue>(&mut self, field: &'static str) -> Option<T> {
        match self.fields.get(field) {
            None | Some(Value::Null) => self.note(field, Invalid::new("required", "is required")),
            Some(value) => self.read(field, value),
        }
    }

    /// A field that may be absent or null: `Some(None)`. `None` means that a fault was noted.
    pub fn optional<T: FromValue>(&mut self, field: &'static str) -> Option<Option<T>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Some(None),
            Some(value) => self.read(field, value).map(Some),
        }
    }

    /// Notes a fault that only the caller can see.
    pub fn note<T>(&mut self, field: &'static str, invalid: Invalid) -> Option<T> {
        self.errors.push(FieldError { field: field.into(), code: invalid.code, detail: invalid.detail });
        None
    }

    /// The refusal that tells of all faults.
    pub fn problem(self) -> Problem {
        Problem::invalid(self.errors)
    }

    fn read<T: FromValue>(&mut self, field: &'static str, value: &Value) -> Option<T> {
        T::from_value(value).map_or_else(|invalid| self.note(field, invalid), Some)
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        value.as_bool().ok_or_else(|| Invalid::type_of("true or false"))
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        value.as_str().map(str::to_owned).ok_or_else(|| Invalid::type_of("a string"))
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        value.as_array().ok_or_else(|| Invalid::type_of("an array"))?.iter().map(T::from_value).collect()
    }
}

/// A text of `min` to `max` characters, read from a JSON string.
pub fn text(value: &Value, min: usize, max: usize) -> Result<&str, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::type_of("a string"))?;
    if (min..=max).contains(&text.chars().count()) { Ok(text) } else { Err(Invalid::length(min, max)) }
}

/// A text that is shown on one line: no control characters, and none that turn the direction of what follows
/// (Unicode Technical Report 36, section 2.7: such a name can disguise another).
pub fn one_line(value: &Value, min: usize, max: usize) -> Result<String, Invalid> {
    let text = text(value, min, max)?;
    if text.chars().any(is_hidden) {
        return Err(Invalid::new("invalid_characters", "must not have control or direction characters"));
    }
    let text = text.trim();
    if text.chars().count() < min {
        return Err(Invalid::length(min, max));
    }
    if text.chars().all(is_blank) {
        return Err(Invalid::new("invalid_characters", "must have something to see"));
    }
    Ok(text.to_owned())
}

/// Whether a character shows nothing by itself, though it may belong to one that does: white space, a blank pattern, and what Unicode
/// calls default ignorable (`Default_Ignorable_Code_Point` of `DerivedCoreProperties.txt`).
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a character is none that a line shows: it controls, or turns the direction of what follows.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
