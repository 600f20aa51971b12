//! Calling an operation as its example in the OpenAPI document has it.

use crate::routes::{Access, Operation, Takes};
use crate::town::Town;
use plaza_test_support::{Answer, Client, Credentials, Refused, Stream};
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};

/// The key of those who bring events, for the variable `events_key`.
pub const EVENTS_KEY: &str = "key-of-those-who-bring-events";

/// The address of Plaza's operator, for the variable `operators`.
pub const OPERATOR_EMAIL: &str = "operator@example.com";

/// A picture of one pixel.
const PICTURE: &[u8] = include_bytes!("pixel.png");

/// Registers the one who is told to Plaza as its operator.
pub async fn operator(client: &Client) -> Client {
    let credentials = Credentials {
        email: OPERATOR_EMAIL.to_owned(),
        username: "operator".to_owned(),
        password: "correct horse battery".to_owned(),
    };
    credentials.register(client).await;
    client.with_token(&credentials.log_in(client).await.access_token)
}

/// Whoever may call this operation.
pub fn caller(town: &Town, operation: &Operation, operator: &Client) -> Client {
    match operation.access {
        Access::Public => operator.anonymous(),
        Access::Token if operation.id == "getStats" => operator.clone(),
        Access::Token | Access::TokenOrTicket => town.client("minji"),
        Access::EventsKey => operator.with_token(EVENTS_KEY),
    }
}

/// Calls an operation with one of its examples. A stream that opens is closed at once: 200.
///
/// # Errors
/// The status of a stream that opened.
///
/// # Panics
/// If there is no answer.
pub async fn call(client: &Client, operation: &Operation, body: Option<&Value>) -> Result<Answer, u16> {
    let request = client.call(operation.method.clone(), operation.example_path());
    let request = match (operation.takes, body) {
        (_, None) | (Takes::Nothing, _) => request,
        (Takes::Json | Takes::OptionalJson, Some(body)) => request.json(&fresh(body)),
        (Takes::Form, Some(body)) => {
            let fields: Vec<(&str, &str)> = body
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
                .collect();
            request.form(&fields)
        }
        (Takes::Other, Some(body)) => {
            if operation.takes_picture() {
                request.body("image/png", PICTURE)
            } else {
                request.body(operation.media_type(), body.to_string())
            }
        }
    };
    if operation.answers_with("text/event-stream") {
        return match Stream::open(request, None).await {
            Ok(_) => Err(200),
            Err(Refused::Answer(answer)) => Ok(*answer),
            Err(lost) => panic!("{lost}"),
        };
    }
    Ok(request.answer().await)
}

/// The name that nobody has yet, each time another.
fn fresh(body: &Value) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut body = body.clone();
    for field in ["username", "email"] {
        if let Some(name) = body[field].as_str().filter(|name| name.starts_with("dana.jung")) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            body[field] = name.replace("dana.jung", &format!("dana.jung{number}")).into();
        }
    }
    body
}
