//! One operation: a method of a route, told in the order in which a reader asks. Who may, what goes in, what comes out, and
//! what is refused.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the schema of a type, and notes those that it is made of.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> schemars::Schema;

/// A schema: of a type, or written here.
#[derive(Clone)]
pub(crate) enum Shape {
    Of(SchemaOf),
    Is(Value),
}

impl Shape {
    pub(crate) fn of<T: JsonSchema>() -> Self {
        Self::Of(SchemaGenerator::subschema_for::<T>)
    }

    pub(crate) fn schema(&self, schemas: &mut SchemaGenerator) -> Value {
        match self {
            Self::Of(make) => make(schemas).to_value(),
            Self::Is(schema) => schema.clone(),
        }
    }
}

impl From<Value> for Shape {
    fn from(schema: Value) -> Self {
        Self::Is(schema)
    }
}

const PROBLEM: &str = "application/problem+json";

/// The codes of what cannot be read at all.
const UNREADABLE: [&str; 4] = ["bad_host", "malformed_request", "body_incomplete", "incomplete_body"];

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Who may call it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    Token,
    TokenOrTicket,
    EventsKey,
}

/// A parameter of the path, the query or the head.
struct Parameter {
    name: &'static str,
    place: &'static str,
    required: bool,
    description: &'static str,
    shape: Shape,
    example: Option<Value>,
}

/// What a body may be.
pub(crate) struct Body {
    media_type: &'static str,
    required: bool,
    shape: BodyShape,
    /// What more must hold of an object.
    also: Map<String, Value>,
    examples: Vec<(&'static str, Value)>,
}

type Field = (&'static str, bool, Shape);

enum BodyShape {
    /// The fields of an object, and whether each is required.
    Fields(Vec<Field>),
    Whole(Shape),
}

impl Body {
    /// A JSON object. Its fields are read as the function reads them: [`Body::required`], [`Body::optional`].
    pub(crate) fn json() -> Self {
        Self::of("application/json", BodyShape::Fields(Vec::new()))
    }

    /// A form.
    pub(crate) fn form() -> Self {
        Self::of("application/x-www-form-urlencoded", BodyShape::Fields(Vec::new()))
    }

    /// Something else.
    pub(crate) fn whole(media_type: &'static str, shape: impl Into<Shape>) -> Self {
        Self::of(media_type, BodyShape::Whole(shape.into()))
    }

    fn of(media_type: &'static str, shape: BodyShape) -> Self {
        Self { media_type, required: true, shape, also: Map::new(), examples: Vec::new() }
    }

    /// It may be left out.
    pub(crate) fn may_be_absent(mut self) -> Self {
        self.required = false;
        self
    }

    /// A field that must be there.
    pub(crate) fn required<T: JsonSchema>(self, name: &'static str) -> Self {
        self.field(name, true, Shape::of::<T>())
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T: JsonSchema>(self, name: &'static str) -> Self {
        self.field(name, false, Shape::of::<Option<T>>())
    }

    /// A field whose schema is more than its type.
    pub(crate) fn field(mut self, name: &'static str, required: bool, shape: impl Into<Shape>) -> Self {
        if let BodyShape::Fields(fields) = &mut self.shape {
            fields.push((name, required, shape.into()));
        }
        self
    }

    /// Something that must hold of the object as a whole, as a schema.
    pub(crate) fn also(mut self, keyword: &str, schema: Value) -> Self {
        self.also.insert(keyword.to_owned(), schema);
        self
    }

    /// An example that works.
    pub(crate) fn example(mut self, name: &'static str, value: Value) -> Self {
        self.examples.push((name, value));
        self
    }

    fn document(&self, schemas: &mut SchemaGenerator) -> Value {
        let schema = match &self.shape {
            BodyShape::Whole(shape) => shape.schema(schemas),
            BodyShape::Fields(fields) => {
                let required: Vec<_> =
                    fields.iter().filter(|(_, required, _)| *required).map(|field| field.0).collect();
                let properties: Map<_, _> =
                    fields.iter().map(|(name, _, shape)| ((*name).to_owned(), shape.schema(schemas))).collect();
                let mut schema = json!({ "type": "object", "properties": properties });
                for (keyword, value) in &self.also {
                    schema[keyword] = value.clone();
                }
                if !required.is_empty() {
                    schema["required"] = json!(required);
                }
                schema
            }
        };
        let examples: Map<_, _> =
            self.examples.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value }))).collect();
        let mut media = json!({ "schema": schema });
        if !examples.is_empty() {
            media["examples"] = Value::Object(examples);
        }
        json!({ "required": self.required, "content": { self.media_type: media } })
    }
}

/// An answer that is no refusal.
struct Answer {
    status: u16,
    description: &'static str,
    media_type: &'static str,
    /// `None`: it has no body.
    shape: Option<Shape>,
    example: Option<Value>,
    headers: Vec<(&'static str, &'static str, Value)>,
}

/// A method of a route.
pub struct Operation {
    method: &'static str,
    /// As in `spin.toml`.
    route: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    access: Access,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answers: Vec<Answer>,
    refusals: BTreeMap<u16, BTreeSet<&'static str>>,
}

/// A `GET` of a route, by its operation id and what it does in a few words.
pub(crate) fn get(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", route, id, summary)
}

/// A `HEAD` of a route.
pub(crate) fn head(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("head", route, id, summary)
}

/// A `POST` of a route. It changes something, so it takes an `Idempotency-Key`.
pub(crate) fn post(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
    Operation::new("post", route, id, summary)
        .header(
            IDEMPOTENCY_KEY,
            "A name for this request: sent again, it gets the first answer and changes nothing.",
            key,
        )
        .refuses(400, &["invalid_idempotency_key"])
        .refuses(422, &["idempotency_key_reused"])
}

/// A `PUT` of a route.
pub(crate) fn put(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("put", route, id, summary)
}

/// A `PATCH` of a route.
pub(crate) fn patch(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("patch", route, id, summary)
}

/// A `DELETE` of a route.
pub(crate) fn delete(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", route, id, summary)
}

impl Operation {
    fn new(method: &'static str, route: &'static str, id: &'static str, summary: &'static str) -> Self {
        let operation = Self {
            method,
            route,
            id,
            tag: "",
            summary,
            description: "",
            access: Access::Token,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: BTreeMap::new(),
        };
        // What is counted, may be too much.
        let operation = if route.starts_with("/api/") { operation.refuses(429, &["rate_limited"]) } else { operation };
        // What the host and the kit refuse of every request, and what is our fault.
        operation
            .refuses(400, &UNREADABLE)
            .refuses(408, &["request_timeout"])
            .refuses(413, &["payload_too_large"])
            .refuses(500, &["internal_error", "function_failed", "memory_limit"])
            .refuses(503, &["unavailable", "overloaded", "stopping"])
            .refuses(504, &["time_limit"])
            .for_token()
    }

    fn for_token(self) -> Self {
        self.refuses(401, &["unauthorized"])
    }

    /// The same, as a part of this context.
    pub(crate) fn tagged(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Anybody may. By default an access token is needed.
    pub(crate) fn public(mut self) -> Self {
        self.refusals.remove(&401);
        self.access(Access::Public)
    }

    /// A ticket does as well.
    pub(crate) fn by_ticket(self) -> Self {
        self.refuses(401, &["invalid_ticket"]).access(Access::TokenOrTicket).parameter(
            "ticket",
            "query",
            false,
            "A ticket, in the place of a token.",
            json!({ "type": "string" }),
            None,
        )
    }

    /// Whoever brings events may. An event has an id of its own by which a repeat is known.
    pub(crate) fn by_events_key(self) -> Self {
        self.repeatable().access(Access::EventsKey)
    }

    /// It is as good done twice: it takes no `Idempotency-Key`.
    pub(crate) fn repeatable(mut self) -> Self {
        self.parameters.retain(|parameter| parameter.name != IDEMPOTENCY_KEY);
        self.refusals.remove(&422);
        self.refusals.insert(400, BTreeSet::from(UNREADABLE));
        self
    }

    /// More words, in Markdown.
    pub(crate) fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A named segment of the route, with the example that stands for one that is there.
    pub(crate) fn segment<T: JsonSchema>(self, name: &'static str, description: &'static str, example: &str) -> Self {
        self.refuses(404, &["not_found"]).parameter(
            name,
            "path",
            true,
            description,
            Shape::of::<T>(),
            Some(example.into()),
        )
    }

    /// A parameter of the query that may be left out.
    pub(crate) fn query(self, name: &'static str, description: &'static str, shape: impl Into<Shape>) -> Self {
        self.refuses(422, &["validation_failed"]).parameter(name, "query", false, description, shape, None)
    }

    /// A parameter of the query that must be there.
    pub(crate) fn query_required(
        self,
        name: &'static str,
        description: &'static str,
        shape: impl Into<Shape>,
        example: Value,
    ) -> Self {
        self.refuses(422, &["validation_failed"]).parameter(name, "query", true, description, shape, Some(example))
    }

    /// A header of the request.
    pub(crate) fn header(self, name: &'static str, description: &'static str, shape: impl Into<Shape>) -> Self {
        self.parameter(name, "header", false, description, shape, None)
    }

    /// A list: `limit` and `cursor`.
    pub(crate) fn list(self) -> Self {
        use plaza_domain::page::{LIMIT_DEFAULT, LIMIT_MAX};
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT });
        self.query("limit", "How many items at most.", limit)
            .query(
                "cursor",
                "Where to go on: a `next_cursor` or `prev_cursor` of this list.",
                json!({ "type": "string" }),
            )
            .refuses(400, &["invalid_cursor"])
    }

    fn parameter(
        mut self,
        name: &'static str,
        place: &'static str,
        required: bool,
        description: &'static str,
        shape: impl Into<Shape>,
        example: Option<Value>,
    ) -> Self {
        self.parameters.push(Parameter { name, place, required, description, shape: shape.into(), example });
        self
    }

    /// What it takes as its body.
    pub(crate) fn takes(mut self, body: Body) -> Self {
        if body.media_type == "application/json" {
            self = self.refuses(400, &["malformed_json"]);
        }
        self.body = Some(body);
        self.refuses(415, &["unsupported_media_type"]).refuses(422, &["validation_failed"])
    }

    /// It answers with JSON of this type.
    pub(crate) fn answers<T: JsonSchema>(self, status: u16, description: &'static str, example: Value) -> Self {
        self.answers_as(status, description, "application/json", Shape::of::<T>(), Some(example))
    }

    /// It answers with something of this shape.
    pub(crate) fn answers_as(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &'static str,
        shape: impl Into<Shape>,
        example: Option<Value>,
    ) -> Self {
        let shape = Some(shape.into());
        self.answers.push(Answer { status, description, media_type, shape, example, headers: Vec::new() });
        self
    }

    /// It answers without a body.
    pub(crate) fn answers_nothing(mut self, status: u16, description: &'static str) -> Self {
        let answer = Answer { status, description, media_type: "", shape: None, example: None, headers: Vec::new() };
        self.answers.push(answer);
        self
    }

    /// The last answer has this header.
    pub(crate) fn with_header(mut self, name: &'static str, description: &'static str, schema: Value) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, description, schema));
        }
        self
    }

    /// It may refuse with these codes.
    pub(crate) fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.refusals.entry(status).or_default().extend(codes);
        self
    }

    /// Its route as in `spin.toml`.
    pub fn route(&self) -> &'static str {
        self.route
    }

    /// Its path as in OpenAPI: `/api/messages/{room_id}`.
    pub(crate) fn path(&self) -> String {
        let segment = |segment: &str| match segment.strip_prefix(':') {
            Some(name) => format!("{{{name}}}"),
            None => segment.to_owned(),
        };
        self.route.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// The Operation Object. Refusals go to `responses`, which those of the same status and codes share.
    pub(crate) fn document(&self, schemas: &mut SchemaGenerator, responses: &mut Map<String, Value>) -> Value {
        let mut document = json!({ "operationId": self.id, "tags": [self.tag], "summary": self.summary });
        if !self.description.is_empty() {
            document["description"] = self.description.into();
        }
        document["security"] = match self.access {
            Access::Public => json!([]),
            Access::Token => json!([{ "token": [] }, { "login": [] }]),
            Access::TokenOrTicket => json!([{ "token": [] }, { "login": [] }, { "ticket": [] }]),
            Access::EventsKey => json!([{ "events_key": [] }]),
        };
        let parameters: Vec<Value> = self.parameters.iter().map(|parameter| parameter.document(schemas)).collect();
        if !parameters.is_empty() {
            document["parameters"] = parameters.into();
        }
        if let Some(body) = &self.body {
            document["requestBody"] = body.document(schemas);
        }
        let mut answers = Map::new();
        for answer in &self.answers {
            let mut described = answer.document(schemas);
            if self.parameters.iter().any(|parameter| parameter.name == IDEMPOTENCY_KEY) {
                described["headers"]["Idempotency-Replayed"] =
                    json!({ "$ref": "#/components/headers/Idempotency-Replayed" });
            }
            answers.insert(answer.status.to_string(), described);
        }
        for (status, codes) in &self.refusals {
            if let Some(content) = answers.get_mut(&status.to_string()).and_then(|answer| answer.get_mut("content")) {
                // An answer of this status that is no problem, beside one that is.
                content[PROBLEM] = refusal(*status, codes)["content"][PROBLEM].take();
                continue;
            }
            let name = response_name(*status, codes);
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            answers.insert(status.to_string(), reference);
            responses.entry(name).or_insert_with(|| refusal(*status, codes));
        }
        document["responses"] = Value::Object(answers);
        document
    }
}

impl Parameter {
    fn document(&self, schemas: &mut SchemaGenerator) -> Value {
        let mut document = json!({
            "name": self.name, "in": self.place, "required": self.required, "description": self.description,
            "schema": self.shape.schema(schemas),
        });
        if let Some(example) = &self.example {
            document["example"] = example.clone();
        }
        document
    }
}

impl Answer {
    fn document(&self, schemas: &mut SchemaGenerator) -> Value {
        let mut headers = common_headers();
        for (name, description, schema) in &self.headers {
            headers[*name] = json!({ "description": description, "schema": schema });
        }
        let mut document = json!({ "description": self.description, "headers": headers });
        if let Some(shape) = &self.shape {
            let mut media = json!({ "schema": shape.schema(schemas) });
            if let Some(example) = &self.example {
                media["example"] = example.clone();
            }
            document["content"] = json!({ self.media_type: media });
        }
        document
    }
}

fn common_headers() -> Value {
    let names = ["X-Request-Id", "RateLimit", "RateLimit-Policy"];
    let header = |name| (name, json!({ "$ref": format!("#/components/headers/{name}") }));
    names.map(header).into_iter().collect()
}

/// `NotFoundOrUserNotFound`.
fn response_name(status: u16, codes: &BTreeSet<&str>) -> String {
    let word = match status {
        500 => "InternalError",
        503 => "Unavailable",
        _ => "",
    };
    if !word.is_empty() {
        return word.to_owned();
    }
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let name = |code: &&str| code.split('_').map(capital).collect::<String>();
    let names: Vec<_> = codes.iter().filter(|code| !UNREADABLE.contains(code)).map(name).collect();
    if names.is_empty() { "Unreadable".to_owned() } else { names.join("Or") }
}

fn refusal(status: u16, codes: &BTreeSet<&str>) -> Value {
    let words: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut headers = common_headers();
    let header = match status {
        401 => Some(("WWW-Authenticate", "Which kind of token is wanted, and whether one was given (RFC 6750).")),
        429 | 503 => Some(("Retry-After", "After how many seconds to ask again.")),
        _ => None,
    };
    if let Some((name, description)) = header {
        headers[name] = json!({ "description": description, "schema": { "type": "string" } });
    }
    json!({
        "description": words.join(", "),
        "headers": headers,
        "content": { PROBLEM: { "schema": {
            "$ref": "#/components/schemas/Problem",
            "properties": { "status": { "const": status }, "code": { "enum": codes } },
        } } },
    })
}
