//! Error documents (RFC 9457), as the API promises them.

use serde::Deserialize;

/// `{type, title, status, detail, code, errors?, request_id}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// A URI that identifies the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the answer, repeated.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// The stable code of the kind.
    pub code: String,
    /// One entry per field, for failed validation.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// The same as in the header `X-Request-Id`.
    pub request_id: String,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Deserialize)]
pub struct FieldError {
    /// The field's name as in the request.
    pub field: String,
    /// A stable code.
    pub code: String,
    /// The error in words.
    pub detail: String,
}

impl Problem {
    /// The error of `field`.
    ///
    /// # Panics
    /// If the document names no error of this field, or one without code or detail.
    pub fn field(&self, field: &str) -> &FieldError {
        let error = self.errors.iter().find(|error| error.field == field);
        let error = error.unwrap_or_else(|| panic!("no error of the field {field} in {self:?}"));
        assert!(!error.code.is_empty() && !error.detail.is_empty(), "an empty code or detail in {self:?}");
        error
    }
}
