//! The town that the document's examples speak of: made by the calls that the document gives.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use plaza_test_support::{Answer, Client, unique};
use reqwest::Method;
use serde_json::Value;

use crate::routes::{self, Operation};

/// A town of one's own, and the document with its ids in the place of those of the examples.
#[derive(Clone, Debug)]
pub struct Town {
    /// What stands in the document, and what stands for it.
    found: Vec<(String, String)>,
    client: Client,
    /// The document, filled in.
    pub document: Value,
}

impl Town {
    /// Makes one.
    ///
    /// # Panics
    /// If a call is not answered as the document says.
    pub async fn build(client: &Client, document: &Value) -> Self {
        let town = &document["x-example-town"];
        let strings = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let suffix = unique("").replace('_', "");
        let names = strings(&town["names"]);
        let mut found: Vec<(String, String)> =
            names.into_iter().map(|name| (name.clone(), format!("{name}-{suffix}"))).collect();
        for planned in town["calls"].as_array().unwrap_or_else(|| panic!("the document has no town")) {
            let call = fill(planned, &found);
            let method: Method = call["method"].as_str().and_then(|method| method.parse().ok()).expect("a method");
            let client = call["token"].as_str().map_or_else(|| client.anonymous(), |token| client.with_token(token));
            let request = client.call(method, call["path"].as_str().expect("a path"));
            let request = match (&call["body"], call["picture"].as_str()) {
                (_, Some(picture)) => request.body("image/png", BASE64.decode(picture).expect("base64")),
                (Value::Null, None) => request,
                (body, None) => request.json(body),
            };
            let answer = request.answer().await;
            assert_eq!(Some(u64::from(answer.status.as_u16())), call["status"].as_u64(), "{answer}");
            for (name, pointer) in planned["take"].as_object().into_iter().flatten() {
                let body: Value =
                    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer}"));
                let real = body.pointer(pointer.as_str().unwrap_or_default()).and_then(Value::as_str);
                found.push((name.clone(), real.unwrap_or_else(|| panic!("no {pointer} in {answer}")).to_owned()));
            }
        }
        let document = fill(document, &found);
        Self { found, client: client.clone(), document }
    }

    /// Every operation, with examples that speak of this town.
    pub fn operations(&self) -> Vec<Operation> {
        routes::operations_of(&self.document)
    }

    /// The operation of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn operation(&self, id: &str) -> Operation {
        let found = self.operations().into_iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("no operation {id}"))
    }

    /// What stands for a name of the document's.
    ///
    /// # Panics
    /// If the document has no such name.
    pub fn real(&self, name: &str) -> &str {
        let found = self.found.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name} in the town"), |(_, real)| real)
    }

    /// A client with the token of one of its people, by the first name.
    pub fn client(&self, who: &str) -> Client {
        self.client.with_token(self.real(&format!("{who}-access-token")))
    }

    /// Checks that an answer is one that the document gives for the operation.
    ///
    /// # Panics
    /// If the document has no such status, media type or shape.
    pub fn check(&self, operation: &Operation, answer: &Answer) {
        let status = answer.status.as_u16().to_string();
        let mut response = &operation.document["responses"][&status];
        if let Some(reference) = response["$ref"].as_str() {
            response = self.document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        }
        assert!(response.is_object(), "the document has no {status} for {}: {answer}", operation.id);
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "the document has no body for this: {answer}");
            return;
        };
        let given = answer.header("content-type").split(';').next().unwrap_or_default().trim();
        let media = content.get(given).unwrap_or_else(|| panic!("the document has no {given} for this: {answer}"));
        if !given.ends_with("json") {
            return;
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let schema = serde_json::json!({ "allOf": [media["schema"]], "components": self.document["components"] });
        let validator =
            jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{}: {error}", operation.id));
        let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "not as the document has it: {errors:#?}\n{answer}");
    }
}

fn fill(value: &Value, found: &[(String, String)]) -> Value {
    let filled = found.iter().fold(value.to_string(), |text, (name, real)| text.replace(name, real));
    serde_json::from_str(&filled).unwrap_or_else(|error| panic!("{error}"))
}
