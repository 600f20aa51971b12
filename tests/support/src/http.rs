//! One HTTP exchange: a call, and its answer with everything a failed assertion must show.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Problem;

/// How long one exchange may take, the body of the answer included.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// How long a TCP connection to the local server may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Characters of a body that an assertion shows.
const SHOWN_CHARS: usize = 2_000;

/// An HTTP client of one server, with or without an access token. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    token: Option<Arc<str>>,
}

impl Client {
    /// A client of the server at `base` (scheme, host and port, no slash at the end), without a token.
    ///
    /// # Panics
    /// If the HTTP library cannot be set up.
    pub fn new(base: impl Into<Arc<str>>) -> Self {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self { http, base: base.into(), token: None }
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same client without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The base of its URLs, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its token, if it has one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A call of `method` on `path`, which starts with a slash and may have a query.
    pub fn call(&self, method: Method, path: impl Into<String>) -> Call {
        let path = path.into();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { method, path, request }
    }

    /// A GET call.
    pub fn get(&self, path: impl Into<String>) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST call.
    pub fn post(&self, path: impl Into<String>) -> Call {
        self.call(Method::POST, path)
    }

    /// A PUT call.
    pub fn put(&self, path: impl Into<String>) -> Call {
        self.call(Method::PUT, path)
    }

    /// A PATCH call.
    pub fn patch(&self, path: impl Into<String>) -> Call {
        self.call(Method::PATCH, path)
    }

    /// A DELETE call.
    pub fn delete(&self, path: impl Into<String>) -> Call {
        self.call(Method::DELETE, path)
    }
}

/// A request that is being put together.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: String,
    request: reqwest::RequestBuilder,
}

impl Call {
    /// Sets a header, in place of one with the same name.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        // `RequestBuilder::header` would append; `headers` replaces.
        self.request = self.request.headers(HeaderMap::from_iter([(name.parse().expect("a header name"), value)]));
        self
    }

    /// Sets the `Authorization` header, whatever the client's token is.
    #[must_use]
    pub fn authorization(self, value: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), value)
    }

    /// Adds parameters to the query, percent-encoded.
    #[must_use]
    pub fn query(mut self, parameters: &[(&str, &str)]) -> Self {
        self.request = self.request.query(parameters);
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// A form body (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.request = self.request.form(fields);
        self
    }

    /// A body as it is, of `content_type`.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// When no complete answer came: refused, cut off, or past the deadline.
    pub async fn send(self) -> Result<Answer, Lost> {
        let Self { method, path, request } = self;
        let started = Instant::now();
        let lost = |error: reqwest::Error| Lost::new(&method, &path, &error);
        let response = request.timeout(REQUEST_DEADLINE).send().await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(lost)?;
        Ok(Answer { status, headers, body, took: started.elapsed(), method, path })
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When no complete answer came.
    pub async fn answer(self) -> Answer {
        self.send().await.unwrap_or_else(|lost| panic!("{lost}"))
    }

    /// Sends it and gives the response as soon as its head is there, with its body unread and without a deadline.
    pub(crate) async fn open(self) -> Result<(Method, String, reqwest::Response), Lost> {
        let Self { method, path, request } = self;
        match tokio::time::timeout(REQUEST_DEADLINE, request.send()).await {
            Ok(Ok(response)) => Ok((method, path, response)),
            Ok(Err(error)) => Err(Lost::new(&method, &path, &error)),
            Err(_) => Err(Lost(format!("{method} {path}: no response head within {REQUEST_DEADLINE:?}"))),
        }
    }
}

/// No complete answer came.
#[derive(Clone, Debug)]
pub struct Lost(String);

impl Lost {
    pub(crate) fn new(method: &Method, path: &str, error: &reqwest::Error) -> Self {
        // The cause (refused, reset, timed out) is at the end of the chain.
        let mut text = format!("{method} {path}: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// From the call to the last byte.
    pub took: Duration,
    method: Method,
    path: String,
}

impl Answer {
    pub(crate) fn of(method: Method, path: String, status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body, took: Duration::ZERO, method, path }
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks the status.
    ///
    /// # Panics
    /// If it is another one.
    #[must_use]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// The body of a success with this status: JSON by its content type, and with a request id.
    ///
    /// # Panics
    /// If the status, the content type or the shape is another one, or the request id is missing.
    pub fn ok<T: DeserializeOwned>(self, status: u16) -> T {
        let answer = self.is(status);
        assert!(!answer.header("x-request-id").is_empty(), "no X-Request-Id: {answer}");
        let content_type = answer.header("content-type");
        assert!(content_type.starts_with("application/json"), "content type {content_type:?}: {answer}");
        answer.read()
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Panics
    /// If it is not JSON of this shape.
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The problem document of a refusal with this status and code, checked against the contract.
    ///
    /// # Panics
    /// If it is not one.
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status.as_u16(), status, "{self}");
        let content_type = self.header("content-type");
        assert!(content_type.starts_with("application/problem+json"), "content type {content_type:?}: {self}");
        let problem: Problem = self.read();
        assert_eq!(problem.code, code, "{self}");
        assert_eq!(problem.status, status, "the status in the document: {self}");
        for (member, text) in [("type", &problem.kind), ("title", &problem.title), ("detail", &problem.detail)] {
            assert!(!text.is_empty(), "{member} is empty: {self}");
        }
        assert!(!problem.request_id.is_empty(), "no request_id: {self}");
        assert_eq!(problem.request_id, self.header("x-request-id"), "request_id is not X-Request-Id: {self}");
        if status == 401 {
            assert!(!self.header("www-authenticate").is_empty(), "RFC 9110, section 15.5.2, wants a challenge: {self}");
        }
        if code == "validation_failed" {
            assert!(!problem.errors.is_empty(), "no field is named: {self}");
        }
        problem
    }

    /// The problem document of a 401 for a caller who is not known, with the challenge that RFC 9110 asks for.
    ///
    /// # Panics
    /// If it is not one.
    pub fn unauthorized(&self) -> Problem {
        let problem = self.problem(401, "unauthorized");
        let challenge = self.header("www-authenticate");
        assert!(challenge.starts_with("Bearer"), "WWW-Authenticate is {challenge:?}: {self}");
        problem
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(SHOWN_CHARS).collect();
        write!(f, "{} {} was answered {} with {:?}\n{body}", self.method, self.path, self.status, self.headers)
    }
}
