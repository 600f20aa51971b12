//! What comes in.

use bytes::Bytes;
use http::HeaderMap;
use plaza_domain::page::{self, invalid_parameter};
use plaza_domain::{Input, Problem, input::Invalid};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::str::FromStr;

/// The most bytes of a body that a function reads where it does not say otherwise: 4,000 characters of four bytes, each escaped as a surrogate pair
/// (12 bytes), and room for the rest of the object.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a body that carries events: those that wait together come in one request.
pub(crate) const EVENTS_BYTES_MAX: usize = 1024 * 1024;

/// A request, its body read.
#[derive(Debug)]
pub struct Request {
    inner: http::Request<Bytes>,
}

/// A body that is a JSON object.
#[derive(Debug)]
pub struct Json(Map<String, Value>);

impl Json {
    /// Starts to read its fields.
    pub fn input(&self) -> Input<'_> {
        Input::new(&self.0)
    }
}

impl Request {
    /// From the `http` crate's type.
    pub fn new(inner: http::Request<Bytes>) -> Self {
        Self { inner }
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.inner.method().as_str()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// A header's value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.inner.body()
    }

    pub(crate) fn set_body(&mut self, body: Bytes) {
        *self.inner.body_mut() = body;
    }

    /// The path and the query, as they were asked for.
    pub fn path_and_query(&self) -> &str {
        self.inner.uri().path_and_query().map_or("/", |path| path.as_str())
    }

    /// The request's id, given by the client or the host; it stands in every answer and in the log.
    pub fn id(&self) -> &str {
        self.header("x-request-id").unwrap_or_default()
    }

    /// A named segment of the route (`:room_id`). What is no id names nothing: 404.
    pub fn segment<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        // Spin's own rule for the header's name.
        let header = format!("spin-path-match-{}", name.replace('_', "-"));
        let text = self.header(&header).unwrap_or_default();
        text.parse().map_err(|_| Problem::not_found())
    }

    /// A query parameter, decoded. An empty one counts as absent.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.inner.uri().query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// A query parameter of a certain form; 422 where it is not of it.
    pub fn query_as<T: FromStr>(&self, name: &'static str, form: &'static str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query(name) else { return Ok(None) };
        let refuse = |_| invalid_parameter(name, Invalid::new("invalid_value", format!("must be {form}")));
        text.parse().map(Some).map_err(refuse)
    }

    /// The `limit` and the position of the `cursor` of a list.
    pub fn page<T: FromStr>(&self) -> Result<(u32, Option<T>), Problem> {
        let limit = page::limit(self.query("limit").as_deref())?;
        let cursor = self.query("cursor").map(|cursor| page::decode(&cursor)).transpose()?;
        Ok((limit, cursor))
    }

    /// The body as a JSON object.
    pub fn json(&self) -> Result<Json, Problem> {
        self.expect_content_type("application/json")?;
        match serde_json::from_slice(self.body()) {
            Ok(Value::Object(fields)) => Ok(Json(fields)),
            Ok(_) => Err(Problem::bad_request("malformed_json", "The body must be a JSON object.")),
            Err(error) => Err(Problem::bad_request("malformed_json", format!("The body is not JSON: {error}."))),
        }
    }

    /// The body as a form (`application/x-www-form-urlencoded`).
    pub fn form(&self) -> Result<Json, Problem> {
        self.expect_content_type("application/x-www-form-urlencoded")?;
        let pairs = form_urlencoded::parse(self.body());
        Ok(Json(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()))
    }

    /// Whether the body is of this media type, whatever its parameters.
    pub fn has_content_type(&self, media_type: &str) -> bool {
        let given = self.header("content-type").unwrap_or_default();
        given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }

    /// Whether the client has what has this entity tag (`If-None-Match`; RFC 9110, section 13.1.2: compared weakly).
    pub fn client_has(&self, etag: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let known = self.header("if-none-match").unwrap_or_default();
        known.trim() == "*" || known.split(',').any(|known| opaque(known) == opaque(etag))
    }

    fn expect_content_type(&self, media_type: &'static str) -> Result<(), Problem> {
        if self.has_content_type(media_type) {
            return Ok(());
        }
        Err(Problem::new(415, "unsupported_media_type", format!("The body must be {media_type}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, content_type: &str, body: &'static str) -> Request {
        let builder = http::Request::builder().uri(uri).header("content-type", content_type);
        Request::new(builder.body(Bytes::from(body)).unwrap())
    }

    #[test]
    fn a_body_must_be_what_it_says_and_say_what_it_is() {
        let problem = |content_type, body| request("/", content_type, body).json().unwrap_err();
        assert_eq!(problem("text/plain", "{}").status, 415);
        assert_eq!(problem("application/json", "{").code, "malformed_json");
        assert_eq!(problem("application/json", "[]").code, "malformed_json");
        assert!(request("/", "Application/JSON; charset=utf-8", "{}").json().is_ok());
    }

    #[test]
    fn deep_nesting_is_refused_not_a_crash() {
        let deep = Box::leak("[".repeat(50_000).into_boxed_str());
        assert_eq!(request("/", "application/json", deep).json().unwrap_err().status, 400);
    }

    #[test]
    fn query_parameters_are_decoded() {
        let request = request("/?q=%EB%AF%BC+ji&limit=7&empty=", "", "");
        assert_eq!(request.query("q").as_deref(), Some("민 ji"));
        assert_eq!(request.page::<u64>().unwrap(), (7, None));
        assert_eq!(request.query("empty"), None);
        assert_eq!(self::request("/?a=&a=1", "", "").query("a").as_deref(), Some("1"));
        assert_eq!(request.query_as::<u64>("q", "a number").unwrap_err().status, 422);
    }
}
