//! A function that does what its path says, good and bad, for the tests of the host. It is written against `wit/` alone,
//! so that it also shows that the contract there is enough.

wit_bindgen::generate!({ path: "../../../../wit", world: "function", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use fermyon::spin::rdbms_types::ParameterValue;
use fermyon::spin::{key_value, mysql, variables};
use spin::sqlite::sqlite;
use wasi::clocks::monotonic_clock;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};
use wasi::io::streams::{InputStream, StreamError};
use wasi::keyvalue::{atomics, batch, store as wasi_key_value};

struct Function;

export!(Function);

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let mut words = path.split(['/', '?']).filter(|word| !word.is_empty()).skip(1);
        let (what, first, second) = (words.next().unwrap_or_default(), words.next(), words.next());
        match what {
            "hello" => respond(out, 200, b"hello"),
            "method" => respond(out, 200, format!("{:?}", request.method()).as_bytes()),
            "headers" => {
                let mut lines = format!("authority: {}\n", request.authority().unwrap_or_default());
                for (name, value) in request.headers().entries() {
                    lines += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
                }
                respond(out, 200, lines.as_bytes());
            }
            "echo" => match body(&request) {
                Ok(bytes) => respond(out, 200, &bytes),
                Err(()) => respond(out, 400, b"the body broke off"),
            },
            "large" => respond(out, 200, &vec![b'x'; number(first)]),
            "print" => {
                println!("to standard output: {}", "o".repeat(number(first)));
                eprint!("to standard error, unfinished");
                respond(out, 200, b"");
            }
            "panic" => panic!("on purpose"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "sleep" => {
                sleep(number(first));
                respond(out, 200, b"slept");
            }
            "memory" => {
                let mut hoard = Vec::new();
                for _ in 0..number(first) {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
                respond(out, 200, format!("{}", hoard.len()).as_bytes());
            }
            "nothing" => {}
            "short" => {
                let headers = Fields::new();
                headers.append("content-length", b"10").unwrap();
                let response = OutgoingResponse::new(headers);
                let body = response.body().unwrap();
                ResponseOutparam::set(out, Ok(response));
                body.write().unwrap().blocking_write_and_flush(b"short").unwrap();
                let _ = OutgoingBody::finish(body, None);
            }
            // Begins an answer, waits, and goes on with it.
            "stream" | "stream-panic" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().unwrap();
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().unwrap();
                stream.blocking_write_and_flush(b"first").unwrap();
                sleep(number(first));
                assert!(what != "stream-panic", "on purpose");
                stream.blocking_write_and_flush(b"second").unwrap();
                drop(stream);
                OutgoingBody::finish(body, None).unwrap();
            }
            "panic-after" => {
                respond(out, 200, b"complete");
                panic!("on purpose");
            }
            "variable" => match variables::get(first.unwrap_or_default()) {
                Ok(value) => respond(out, 200, value.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "environment" => respond(out, 200, format!("{:?}", std::env::vars().collect::<Vec<_>>()).as_bytes()),
            "kv" => match key_value_operation(&request, first, second) {
                Ok(text) => respond(out, 200, text.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "wasi-kv" => match wasi_key_value_operation(&request, first, second) {
                Ok(text) => respond(out, 200, text.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "increment" => match increment(&request, first, second) {
                Ok(sum) => respond(out, 200, sum.to_string().as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "swap" => match swap(&request, first, second) {
                Ok(text) => respond(out, 200, text.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "sql" => match statements(&request, first.unwrap_or_default()) {
                Ok(text) => respond(out, 200, text.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "mysql" => match mysql_statements(&request) {
                Ok(text) => respond(out, 200, text.as_bytes()),
                Err(error) => respond(out, 400, format!("{error:?}").as_bytes()),
            },
            "mysql-open" => {
                let address = String::from_utf8(body(&request).unwrap_or_default()).unwrap_or_default();
                let mut open = Vec::new();
                let error = loop {
                    match mysql::Connection::open(&address) {
                        Ok(connection) => open.push(connection),
                        Err(error) => break error,
                    }
                };
                respond(out, 200, format!("{} {error:?}", open.len()).as_bytes());
            }
            "open" => {
                let mut open = Vec::new();
                let error = loop {
                    match sqlite::Connection::open(first.unwrap_or_default()) {
                        Ok(connection) => open.push(connection),
                        Err(error) => break error,
                    }
                };
                respond(out, 200, format!("{} {error:?}", open.len()).as_bytes());
            }
            "fetch" => {
                let url = String::from_utf8(body(&request).unwrap_or_default()).unwrap_or_default();
                match fetch(&url) {
                    Ok((status, bytes)) => respond(out, status, &bytes),
                    Err(error) => respond(out, 502, error.as_bytes()),
                }
            }
            // Calls itself by the name of a host, for ever.
            "recurse" => {
                let host = first.unwrap_or_default();
                match fetch(&format!("http://{host}/t/recurse/{host}")) {
                    Ok((status, bytes)) => respond(out, status, &[&b"."[..], &bytes].concat()),
                    Err(error) => respond(out, 200, error.as_bytes()),
                }
            }
            _ => respond(out, 404, b"no such trick"),
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    for chunk in bytes.chunks(4096) {
        stream.blocking_write_and_flush(chunk).unwrap();
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn number(word: Option<&str>) -> usize {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn sleep(milliseconds: usize) {
    monotonic_clock::subscribe_duration(milliseconds as u64 * 1_000_000).block();
}

fn body(request: &IncomingRequest) -> Result<Vec<u8>, ()> {
    read(&request.consume()?)
}

fn read(body: &IncomingBody) -> Result<Vec<u8>, ()> {
    let stream: InputStream = body.stream()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(()),
        }
    }
}

fn key_value_operation(
    request: &IncomingRequest,
    label: Option<&str>,
    key: Option<&str>,
) -> Result<String, key_value::Error> {
    let store = key_value::Store::open(label.unwrap_or_default())?;
    let key = key.unwrap_or_default();
    match request.method() {
        Method::Put => store.set(key, &body(request).unwrap_or_default()).map(|()| String::new()),
        Method::Delete => store.delete(key).map(|()| String::new()),
        Method::Head => store.exists(key).map(|exists| exists.to_string()),
        Method::Options => store.get_keys().map(|mut keys| {
            keys.sort();
            format!("{keys:?}")
        }),
        _ => store.get(key).map(|value| format!("{:?}", value.map(|bytes| String::from_utf8(bytes).unwrap()))),
    }
}

/// The same through `wasi:keyvalue`. PATCH sets two keys at once, PURGE removes them; both answer what is there then.
fn wasi_key_value_operation(
    request: &IncomingRequest,
    label: Option<&str>,
    key: Option<&str>,
) -> Result<String, wasi_key_value::Error> {
    let bucket = wasi_key_value::open(label.unwrap_or_default())?;
    let key = key.unwrap_or_default();
    let pair = || vec![key.to_owned(), format!("{key}+")];
    match request.method() {
        Method::Put => bucket.set(key, &body(request).unwrap_or_default()).map(|()| String::new()),
        Method::Delete => bucket.delete(key).map(|()| String::new()),
        Method::Head => bucket.exists(key).map(|exists| exists.to_string()),
        Method::Options => bucket.list_keys(None).map(|mut response| {
            response.keys.sort();
            format!("{:?} {:?}", response.keys, response.cursor)
        }),
        Method::Trace => bucket.list_keys(Some("cursor")).map(|_| String::new()),
        Method::Patch => {
            let entries: Vec<_> = pair().into_iter().map(|key| (key.clone(), key.into_bytes())).collect();
            batch::set_many(&bucket, &entries)?;
            batch::get_many(&bucket, &pair()).map(|entries| format!("{entries:?}"))
        }
        Method::Other(_) => {
            batch::delete_many(&bucket, &pair())?;
            batch::get_many(&bucket, &pair()).map(|entries| format!("{entries:?}"))
        }
        _ => bucket.get(key).map(|value| format!("{:?}", value.map(|bytes| String::from_utf8(bytes).unwrap()))),
    }
}

/// Adds the number in the body.
fn increment(
    request: &IncomingRequest,
    label: Option<&str>,
    key: Option<&str>,
) -> Result<i64, wasi_key_value::Error> {
    let bucket = wasi_key_value::open(label.unwrap_or_default())?;
    let delta = String::from_utf8(body(request).unwrap_or_default()).unwrap_or_default();
    atomics::increment(&bucket, key.unwrap_or_default(), delta.parse().unwrap_or(1))
}

/// Swaps a value for the body, after somebody else has set it (PUT) or not.
fn swap(request: &IncomingRequest, label: Option<&str>, key: Option<&str>) -> Result<String, atomics::CasError> {
    let failed = atomics::CasError::StoreError;
    let bucket = wasi_key_value::open(label.unwrap_or_default()).map_err(failed)?;
    let key = key.unwrap_or_default();
    let seen = atomics::Cas::new(&bucket, key).map_err(failed)?;
    let before = seen.current().map_err(failed)?;
    if matches!(request.method(), Method::Put) {
        bucket.set(key, b"meddled").map_err(failed)?;
    }
    let text = |value: Option<Vec<u8>>| value.map(|bytes| String::from_utf8(bytes).unwrap());
    let before = text(before);
    match atomics::swap(seen, &body(request).unwrap_or_default()) {
        Ok(()) => Ok(format!("{before:?} swapped")),
        Err(atomics::CasError::CasFailed(again)) => {
            Ok(format!("{before:?} became {:?}", text(again.current().map_err(failed)?)))
        }
        Err(error) => Err(error),
    }
}

/// Runs the statements of the body, one per line, on one connection, and says what the last one answered.
fn statements(request: &IncomingRequest, label: &str) -> Result<String, sqlite::Error> {
    let text = String::from_utf8(body(request).unwrap_or_default()).unwrap_or_default();
    let connection = sqlite::Connection::open(label)?;
    let mut answer = String::new();
    for statement in text.lines() {
        let parameters: &[_] = if statement.contains('?') {
            &[
                sqlite::Value::Integer(-1),
                sqlite::Value::Real(0.5),
                sqlite::Value::Text("tëxt".to_owned()),
                sqlite::Value::Blob(vec![0, 255]),
                sqlite::Value::Null,
            ]
        } else {
            &[]
        };
        let result = connection.execute(statement, parameters)?;
        let rows: Vec<_> = result.rows.iter().map(|row| &row.values).collect();
        answer = format!("{:?} {rows:?} {} {}", result.columns, connection.last_insert_rowid(), connection.changes());
    }
    Ok(answer)
}

/// Runs the lines of the body on one connection to the address in its first line, and says what the last one answered.
/// A line is a statement with its parameters behind tabs (`i:5`, `u:5`, `f:0.5`, `s:text`, `b:text`, `n:`), or one of `!sleep <ms>`,
/// `!panic`. The error of a statement behind `~` is an answer.
fn mysql_statements(request: &IncomingRequest) -> Result<String, mysql::Error> {
    let text = String::from_utf8(body(request).unwrap_or_default()).unwrap_or_default();
    let mut lines = text.lines();
    let connection = mysql::Connection::open(lines.next().unwrap_or_default())?;
    let mut answer = String::new();
    for line in lines {
        let mut words = line.split('\t');
        let statement = words.next().unwrap_or_default();
        match statement.split_once(' ') {
            Some(("!sleep", milliseconds)) => sleep(number(Some(milliseconds))),
            _ if statement == "!panic" => panic!("on purpose"),
            _ => {
                let parameters: Vec<_> = words.map(mysql_parameter).collect();
                let result = connection.query(statement.trim_start_matches('~'), &parameters);
                answer = match result {
                    Ok(found) => {
                        let columns: Vec<_> = found.columns.iter().map(|c| (c.name.as_str(), c.data_type)).collect();
                        format!("{columns:?} {:?}", found.rows)
                    }
                    Err(error) if statement.starts_with('~') => format!("{error:?}"),
                    Err(error) => return Err(error),
                };
            }
        }
    }
    Ok(answer)
}

fn mysql_parameter(word: &str) -> ParameterValue {
    let (kind, text) = word.split_once(':').unwrap();
    match kind {
        "i" => ParameterValue::Int64(text.parse().unwrap()),
        "u" => ParameterValue::Uint8(text.parse().unwrap()),
        "f" => ParameterValue::Floating64(text.parse().unwrap()),
        "s" => ParameterValue::Str(text.to_owned()),
        "b" => ParameterValue::Binary(text.as_bytes().to_vec()),
        _ => ParameterValue::DbNull,
    }
}

fn fetch(url: &str) -> Result<(u16, Vec<u8>), String> {
    let request = OutgoingRequest::new(Fields::new());
    // A URL without a scheme is for the application itself.
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        request.set_scheme(Some(&if scheme == "https" { Scheme::Https } else { Scheme::Http })).unwrap();
        request.set_authority(Some(authority)).unwrap();
        request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    } else {
        request.set_path_with_query(Some(url)).unwrap();
    }
    let future = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    let response = loop {
        if let Some(response) = future.get() {
            break response.unwrap().map_err(|code| format!("{code:?}"))?;
        }
        future.subscribe().block();
    };
    let bytes = read(&response.consume().unwrap()).map_err(|()| "the response broke off".to_owned())?;
    Ok((response.status(), bytes))
}
