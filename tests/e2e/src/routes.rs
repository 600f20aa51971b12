//! Every operation of the application, as the OpenAPI document has it. The document is compared with the manifest, so a new
//! route cannot come without its refusals being tested.

use std::fs;

use reqwest::Method;
use serde_json::Value;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever has an access token.
    Token,
    /// Whoever has an access token or a ticket.
    TokenOrTicket,
    /// Whoever has the application's key for events.
    EventsKey,
}

/// What an operation takes as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// JSON.
    Json,
    /// JSON, or nothing.
    OptionalJson,
    /// A form.
    Form,
    /// Something else: a picture, an event.
    Other,
}

/// One method of one route.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in the document.
    pub id: String,
    /// The method.
    pub method: Method,
    /// The path as in the document, with `{names}`.
    pub route: String,
    /// Who may.
    pub access: Access,
    /// Its body.
    pub takes: Takes,
    /// The whole description.
    pub document: Value,
}

/// A well-formed id of nothing (UUID version 7 of the year 2020).
pub const NOBODY: &str = "016f5e66-e800-7000-8000-000000000000";

impl Operation {
    fn new(route: &str, method: &str, document: &Value) -> Self {
        let schemes = document["security"].as_array().into_iter().flatten().filter_map(Value::as_object);
        let schemes: Vec<&str> = schemes.flat_map(|scheme| scheme.keys()).map(String::as_str).collect();
        let access = match schemes {
            schemes if schemes.is_empty() => Access::Public,
            schemes if schemes.contains(&"events_key") => Access::EventsKey,
            schemes if schemes.contains(&"ticket") => Access::TokenOrTicket,
            _ => Access::Token,
        };
        let body = &document["requestBody"];
        let media_type = body["content"].as_object().and_then(|content| content.keys().next());
        let takes = match media_type.map(String::as_str) {
            None => Takes::Nothing,
            Some("application/json") if body["required"] == true => Takes::Json,
            Some("application/json") => Takes::OptionalJson,
            Some("application/x-www-form-urlencoded") => Takes::Form,
            Some(_) => Takes::Other,
        };
        Self {
            id: document["operationId"].as_str().unwrap_or_else(|| panic!("{method} {route} has no name")).to_owned(),
            method: method.to_uppercase().parse().unwrap_or_else(|_| panic!("{method} is no method")),
            route: route.to_owned(),
            access,
            takes,
            document: document.clone(),
        }
    }

    /// A path of this route, its query included where there must be one: parameters stand for things that do not exist but could.
    pub fn path(&self) -> String {
        self.path_with(|_| NOBODY.to_owned())
    }

    /// The path of the document's examples, with the query that must be there.
    pub fn example_path(&self) -> String {
        self.path_with(|parameter| parameter["example"].as_str().unwrap_or_default().to_owned())
    }

    fn path_with(&self, segment: impl Fn(&Value) -> String) -> String {
        let mut path = self.route.clone();
        let mut query = Vec::new();
        for parameter in self.document["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default();
            match (parameter["in"].as_str(), parameter["required"].as_bool()) {
                (Some("path"), _) => path = path.replace(&format!("{{{name}}}"), &segment(parameter)),
                (Some("query"), Some(true)) => {
                    query.push(format!("{name}={}", parameter["example"].as_str().unwrap_or_default()));
                }
                _ => {}
            }
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// The document's examples of its body.
    pub fn bodies(&self) -> Vec<Value> {
        let content = self.document["requestBody"]["content"].as_object().and_then(|content| content.values().next());
        let examples = content.and_then(|content| content["examples"].as_object());
        examples.into_iter().flatten().map(|(_, example)| example["value"].clone()).collect()
    }

    /// The media type of its body; empty where it takes none.
    pub fn media_type(&self) -> &str {
        let content = self.document["requestBody"]["content"].as_object();
        content.and_then(|content| content.keys().next()).map_or("", String::as_str)
    }

    /// Whether it takes a picture.
    pub fn takes_picture(&self) -> bool {
        self.media_type().starts_with("image/")
    }

    /// Whether a success is of this media type.
    pub fn answers_with(&self, media_type: &str) -> bool {
        self.document["responses"]["200"]["content"].get(media_type).is_some()
    }

    /// Whether it changes nothing.
    pub fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// A body that it would understand, though it names nothing that exists.
    pub fn body(&self) -> Value {
        self.bodies().into_iter().next().unwrap_or_else(|| Value::Object(serde_json::Map::default()))
    }
}

/// The OpenAPI document.
///
/// # Panics
/// If it cannot be read.
pub fn document() -> Value {
    let root = plaza_test_support::manifest();
    let path = root.with_file_name("functions/ops/openapi/openapi.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every method of every route.
pub fn operations() -> Vec<Operation> {
    operations_of(&document())
}

/// Every method of every route of a document.
pub fn operations_of(document: &Value) -> Vec<Operation> {
    let routes = document["paths"].as_object().into_iter().flatten();
    let of_route = |(route, methods): (&String, &Value)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(|(method, document)| Operation::new(route, method, document)).collect::<Vec<_>>()
    };
    routes.flat_map(of_route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(id: &str) -> Operation {
        operations().into_iter().find(|operation| operation.id == id).unwrap_or_else(|| panic!("no operation {id}"))
    }

    #[test]
    fn the_document_is_read() {
        assert_eq!((operation("register").access, operation("register").takes), (Access::Public, Takes::Json));
        assert_eq!((operation("logOut").access, operation("logOut").takes), (Access::Token, Takes::OptionalJson));
        assert_eq!((operation("logIn").access, operation("logIn").takes), (Access::Public, Takes::Form));
        assert_eq!(operation("streamAll").access, Access::TokenOrTicket);
        assert_eq!(operation("receiveForNotification").access, Access::EventsKey);
    }

    #[test]
    fn paths_stand_for_things_that_could_exist() {
        assert_eq!(operation("acceptFriendRequest").path(), format!("/api/friends/requests/{NOBODY}/accept"));
        assert!(operation("searchUsers").path().starts_with("/api/users/search?q="));
    }
}
