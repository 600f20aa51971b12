//! What a client is told when something is refused: problem details (RFC 9457) with a stable `code`.

use serde::Serialize;
use std::borrow::Cow;

/// The base of every problem's `type` URI; the `code` follows.
pub const TYPE_BASE: &str = "https://plaza.dev/problems/";

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldError {
    /// The field's name in the body, or the parameter's in the query.
    pub field: Cow<'static, str>,
    /// A stable code, for programs.
    pub code: &'static str,
    /// What is wrong, for people. It continues the sentence that the field's name begins.
    pub detail: Cow<'static, str>,
}

/// A refusal. Everything but the request's id, which the one who answers adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A stable code, for programs.
    pub code: &'static str,
    /// What happened and what would help, for people.
    pub detail: Cow<'static, str>,
    /// What is wrong field by field; only with 422.
    pub errors: Vec<FieldError>,
    /// A header that the status calls for: `Allow`, `Retry-After`, `WWW-Authenticate`.
    pub header: Option<(&'static str, Cow<'static, str>)>,
}

impl Problem {
    /// A refusal with a status and a code of its own.
    pub fn new(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), header: None }
    }

    /// The same, with a header that the status calls for.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, code, detail)
    }

    /// 401: no token, or none that is valid (RFC 6750, section 3).
    pub fn unauthorized() -> Self {
        Self::unauthenticated("unauthorized", "A valid access token is needed.")
    }

    /// 401 with a code of its own. It must say what would be accepted (RFC 9110, section 15.5.2).
    pub fn unauthenticated(code: &'static str, detail: &'static str) -> Self {
        Self::new(401, code, detail).with_header("www-authenticate", "Bearer")
    }

    /// 404: it does not exist, or the caller may not know that it does.
    pub fn not_found() -> Self {
        Self::new(404, "not_found", "There is nothing here.")
    }

    /// 405, naming the methods that are allowed.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(405, "method_not_allowed", "This route does not have that method.").with_header("allow", allowed)
    }

    /// 409: it contradicts what is there.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(409, code, detail)
    }

    /// 422: understood, but not valid; `errors` says why, field by field.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(422, "validation_failed", "Some fields are not valid.") }
    }

    /// 500: our fault. The cause goes to the log, not to the client.
    pub fn internal() -> Self {
        Self::new(500, "internal_error", "Something went wrong on our side.")
    }

    /// 503: a part that is needed does not answer; nothing was changed.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, "unavailable", detail).with_header("retry-after", "1")
    }

    /// The document (RFC 9457) for the request of this id.
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        let document = Document {
            r#type: [TYPE_BASE, self.code].concat(),
            title: title(self.status),
            status: self.status,
            detail: &self.detail,
            code: self.code,
            errors: &self.errors,
            request_id,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// What a refusal looks like to the client.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub struct Document<'a> {
    /// A URI that names the kind of problem.
    r#type: String,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What happened and what would help, for people.
    detail: &'a str,
    /// A stable code, for programs.
    code: &'a str,
    /// What is wrong field by field; only with 422.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// The request's id, for the log.
    request_id: &'a str,
}

/// The reason phrase (RFC 9110, section 15) of the statuses that are used here.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::conflict("email_taken", "This address has an account.");
        let document: serde_json::Value = serde_json::from_slice(&problem.document("r-1")).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "https://plaza.dev/problems/email_taken", "title": "Conflict", "status": 409,
                "detail": "This address has an account.", "code": "email_taken", "request_id": "r-1",
            })
        );
    }
}
