//! GRIP's instructions: the `Grip-*` fields of a function's response.
//!
//! From <https://pushpin.org/docs/protocols/grip/> and, where that page is silent (`Grip-Link`, `Grip-Status`), from what Pushpin does. Two
//! things are ours: `Grip-Timeout` also bounds the life of a *stream* hold (GRIP defines it for response holds only), and a `Grip-Link` with
//! `rel=next` is asked again on a hint, not only after its timeout.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Bytes of one channel's name.
pub(crate) const CHANNEL_BYTES_MAX: usize = 256;

/// Bytes of the keep-alive content.
pub(crate) const KEEP_ALIVE_BYTES_MAX: usize = 1_024;

/// Seconds between keep-alives, whatever the function asks for.
pub(crate) const KEEP_ALIVE_SECONDS: std::ops::RangeInclusive<u64> = 1..=300;

/// Seconds between two looks at the link, whatever the function asks for.
pub(crate) const LINK_SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;

/// Seconds between two looks at the link where the function does not say: Pushpin's default.
const LINK_SECONDS_DEFAULT: u64 = 120;

/// The longest life of a stream: a week. Beyond it a client may as well reconnect once.
const TIMEOUT_SECONDS_MAX: u64 = 7 * 86_400;

/// The comment that is sent where the function does not say what.
const KEEP_ALIVE_CONTENT: &[u8] = b":\n\n";

/// What a function may have got wrong; the text is for its author.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InstructError {
    #[error("Grip-Hold: response (long polling) is not offered, only stream")]
    ResponseHold,
    #[error("Grip-Hold must be stream")]
    Hold,
    #[error("a held stream needs Content-Type: text/event-stream")]
    ContentType,
    #[error("Grip-Channel is missing, empty, longer than 256 bytes or not visible ASCII")]
    Channel,
    #[error("more than {0} channels")]
    Channels(usize),
    #[error("Grip-Keep-Alive cannot be parsed")]
    KeepAlive,
    #[error("Grip-Link cannot be parsed, or does not lead to a path of the same application")]
    Link,
    #[error("Grip-Timeout is not a number of seconds")]
    Timeout,
    #[error("Grip-Status is not a status")]
    Status,
}

/// Where and when a function wants to be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Path and query.
    pub(crate) uri: Uri,
    /// Time between two looks.
    pub(crate) every: Duration,
}

/// The instructions of one response.
#[derive(Clone, Debug)]
pub(crate) struct Instruct {
    /// The channels, each once.
    pub(crate) channels: HashSet<Arc<str>>,
    pub(crate) keep_alive: Bytes,
    pub(crate) keep_alive_every: Duration,
    pub(crate) link: Option<Link>,
    /// The rest of the stream's life.
    pub(crate) timeout: Option<Duration>,
    /// The status that the client gets instead of the response's own.
    pub(crate) status: Option<StatusCode>,
}

impl Instruct {
    /// Reads the instructions. `None` when the response is an ordinary one.
    pub(crate) fn read(
        headers: &HeaderMap,
        base: &Uri,
        keep_alive_every: Duration,
        channels_max: usize,
    ) -> Result<Option<Self>, InstructError> {
        let Some(hold) = headers.get("grip-hold") else { return Ok(None) };
        match hold.as_bytes() {
            b"stream" => {}
            b"response" => return Err(InstructError::ResponseHold),
            _ => return Err(InstructError::Hold),
        }
        let is_sse = headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"));
        if !is_sse {
            return Err(InstructError::ContentType);
        }
        let (keep_alive, keep_alive_every) = keep_alive(headers, keep_alive_every)?;
        Ok(Some(Self {
            channels: channels(headers, channels_max)?,
            keep_alive,
            keep_alive_every,
            link: link(headers, base)?,
            timeout: timeout(headers)?,
            status: status(headers)?,
        }))
    }
}

/// Removes every `Grip-*` field: they are between function and proxy.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most responses have none, so nothing is allocated for them.
    let found: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("grip-")).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn channels(headers: &HeaderMap, channels_max: usize) -> Result<HashSet<Arc<str>>, InstructError> {
    let mut channels = HashSet::new();
    for value in headers.get_all("grip-channel") {
        for item in value.to_str().map_err(|_| InstructError::Channel)?.split(',') {
            // Parameters (prev-id, filter) are for response holds and for Pushpin's own filters.
            let name = item.split(';').next().unwrap_or_default().trim();
            if name.is_empty() || name.len() > CHANNEL_BYTES_MAX {
                return Err(InstructError::Channel);
            }
            channels.insert(Arc::from(name));
            if channels.len() > channels_max {
                return Err(InstructError::Channels(channels_max));
            }
        }
    }
    if channels.is_empty() { Err(InstructError::Channel) } else { Ok(channels) }
}

/// The value and the parameters of a field such as `value; name=content; name=content`.
fn parameters(field: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = field.split(';');
    let value = parts.next().unwrap_or_default().trim();
    let parameters = parts.map(|part| {
        let (name, content) = part.split_once('=').unwrap_or((part, ""));
        (name.trim(), content.trim().trim_matches('"'))
    });
    (value, parameters)
}

fn keep_alive(headers: &HeaderMap, default: Duration) -> Result<(Bytes, Duration), InstructError> {
    let Some(field) = headers.get("grip-keep-alive") else {
        return Ok((Bytes::from_static(KEEP_ALIVE_CONTENT), default));
    };
    let (value, parameters) = parameters(field.to_str().map_err(|_| InstructError::KeepAlive)?);
    let (mut format, mut every) = ("raw", default);
    for (name, content) in parameters {
        match name {
            "format" => format = content,
            "timeout" => {
                let seconds: u64 = content.parse().map_err(|_| InstructError::KeepAlive)?;
                every = Duration::from_secs(seconds.clamp(*KEEP_ALIVE_SECONDS.start(), *KEEP_ALIVE_SECONDS.end()));
            }
            _ => {}
        }
    }
    let content = match format {
        "raw" => Bytes::copy_from_slice(value.as_bytes()),
        "cstring" => unescape(value).ok_or(InstructError::KeepAlive)?.into(),
        "base64" => STANDARD.decode(value).map_err(|_| InstructError::KeepAlive)?.into(),
        _ => return Err(InstructError::KeepAlive),
    };
    if content.is_empty() || content.len() > KEEP_ALIVE_BYTES_MAX {
        return Err(InstructError::KeepAlive);
    }
    Ok((content, every))
}

/// GRIP's C strings: `\\`, `\r`, `\n` and `\xHH`.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        content.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    u8::try_from(digit()? * 16 + digit()?).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(content)
}

fn link(headers: &HeaderMap, base: &Uri) -> Result<Option<Link>, InstructError> {
    for field in headers.get_all("grip-link") {
        let (value, parameters) = parameters(field.to_str().map_err(|_| InstructError::Link)?);
        let (mut is_next, mut seconds) = (false, LINK_SECONDS_DEFAULT);
        for (name, content) in parameters {
            match name {
                "rel" => is_next = content == "next",
                "timeout" => seconds = content.parse().map_err(|_| InstructError::Link)?,
                _ => {}
            }
        }
        if !is_next {
            continue;
        }
        let target = value.strip_prefix('<').and_then(|value| value.strip_suffix('>')).ok_or(InstructError::Link)?;
        let every = Duration::from_secs(seconds.clamp(*LINK_SECONDS.start(), *LINK_SECONDS.end()));
        return Ok(Some(Link { uri: same_origin(target, base)?, every }));
    }
    Ok(None)
}

/// A link may lead to another path of the application, not to another host: the relay sends the client's credentials along.
fn same_origin(target: &str, base: &Uri) -> Result<Uri, InstructError> {
    let uri: Uri = target.parse().map_err(|_| InstructError::Link)?;
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/')).ok_or(InstructError::Link)?.clone();
    if uri.authority().is_some() && uri.authority() != base.authority() {
        return Err(InstructError::Link);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| InstructError::Link)
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, InstructError> {
    let Some(field) = headers.get("grip-timeout") else { return Ok(None) };
    let seconds: u64 = field.to_str().ok().and_then(|value| value.trim().parse().ok()).ok_or(InstructError::Timeout)?;
    Ok(Some(Duration::from_secs(seconds.min(TIMEOUT_SECONDS_MAX))))
}

fn status(headers: &HeaderMap) -> Result<Option<StatusCode>, InstructError> {
    let Some(field) = headers.get("grip-status") else { return Ok(None) };
    let code = field.to_str().ok().and_then(|value| value.split_whitespace().next()).ok_or(InstructError::Status)?;
    code.parse().map(Some).map_err(|_| InstructError::Status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(fields: &[(&'static str, &str)]) -> Result<Option<Instruct>, InstructError> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("value"));
        }
        Instruct::read(&headers, &Uri::from_static("/api/stream?ticket=1"), Duration::from_secs(25), 4)
    }

    fn held(fields: &[(&'static str, &str)]) -> Result<Instruct, InstructError> {
        let all: Vec<_> =
            [("grip-hold", "stream"), ("grip-channel", "a")].into_iter().chain(fields.iter().copied()).collect();
        read(&all).map(|instruct| instruct.expect("a hold"))
    }

    #[test]
    fn ordinary_responses_are_left_alone() {
        assert!(read(&[("grip-channel", "a")]).expect("fine").is_none());
    }

    #[test]
    fn only_stream_holds_are_offered() {
        assert_eq!(
            read(&[("grip-hold", "response"), ("grip-channel", "a")]).expect_err("refused"),
            InstructError::ResponseHold
        );
        assert_eq!(read(&[("grip-hold", "Stream"), ("grip-channel", "a")]).expect_err("refused"), InstructError::Hold);
        let mut headers = HeaderMap::new();
        headers.insert("grip-hold", HeaderValue::from_static("stream"));
        let error = Instruct::read(&headers, &Uri::from_static("/"), Duration::from_secs(25), 4).expect_err("refused");
        assert_eq!(error, InstructError::ContentType);
    }

    #[test]
    fn channels_may_be_listed_and_repeated() {
        let instruct = held(&[("grip-channel", "b; prev-id=7 , c"), ("grip-channel", "a")]).expect("fine");
        let mut channels: Vec<_> = instruct.channels.iter().map(AsRef::as_ref).collect();
        channels.sort_unstable();
        assert_eq!(channels, ["a", "b", "c"]);
        assert_eq!(read(&[("grip-hold", "stream")]).expect_err("refused"), InstructError::Channel);
        assert_eq!(held(&[("grip-channel", "b,,c")]).expect_err("refused"), InstructError::Channel);
        assert_eq!(held(&[("grip-channel", &"x".repeat(257))]).expect_err("refused"), InstructError::Channel);
        assert_eq!(held(&[("grip-channel", "b,c,d,e")]).expect_err("refused"), InstructError::Channels(4));
    }

    #[test]
    fn keep_alive_comes_in_three_formats_and_within_bounds() {
        let parse =
            |field| held(&[("grip-keep-alive", field)]).map(|it| (it.keep_alive, it.keep_alive_every.as_secs()));
        assert_eq!(parse(r":\n\n; format=cstring; timeout=20"), Ok((Bytes::from_static(b":\n\n"), 20)));
        assert_eq!(parse(r"\x3a\\\r; format=cstring"), Ok((Bytes::from_static(b":\\\r"), 25)));
        assert_eq!(parse("Ogo=; format=base64; timeout=0"), Ok((Bytes::from_static(b":\n"), 1)));
        assert_eq!(parse("; timeout=3"), Err(InstructError::KeepAlive));
        assert_eq!(parse("hello; timeout=1000000"), Ok((Bytes::from_static(b"hello"), 300)));
        for field in [
            r"\q; format=cstring",
            r"\x4; format=cstring",
            r"\; format=cstring",
            "x; format=hex",
            "x; timeout=soon",
            "?; format=base64",
        ] {
            assert_eq!(parse(field), Err(InstructError::KeepAlive), "{field}");
        }
        let default = held(&[]).expect("fine");
        assert_eq!((default.keep_alive.as_ref(), default.keep_alive_every.as_secs()), (&b":\n\n"[..], 25));
    }

    #[test]
    fn links_stay_in_the_application() {
        let parse = |field| {
            held(&[("grip-link", field)]).map(|it| it.link.map(|link| (link.uri.to_string(), link.every.as_secs())))
        };
        assert_eq!(parse("</api/stream?pass=x>; rel=next"), Ok(Some(("/api/stream?pass=x".into(), 120))));
        assert_eq!(parse(r#"</next>; rel="next"; timeout=30"#), Ok(Some(("/next".into(), 30))));
        assert_eq!(parse("</gone>; rel=gone"), Ok(None));
        for field in [
            "</a>; rel=next; timeout=x",
            "/a; rel=next",
            "<>; rel=next",
            "<http://elsewhere/a>; rel=next",
            "<a>; rel=next",
        ] {
            assert_eq!(parse(field), Err(InstructError::Link), "{field}");
        }
    }

    #[test]
    fn timeout_and_status() {
        let instruct = held(&[("grip-timeout", "900"), ("grip-status", "201 Created")]).expect("fine");
        assert_eq!(instruct.timeout, Some(Duration::from_mins(15)));
        assert_eq!(instruct.status, Some(StatusCode::CREATED));
        assert_eq!(held(&[("grip-timeout", "-1")]).expect_err("refused"), InstructError::Timeout);
        assert_eq!(held(&[("grip-status", "fine")]).expect_err("refused"), InstructError::Status);
    }

    #[test]
    fn every_field_of_grip_is_stripped() {
        let mut headers = HeaderMap::new();
        for name in ["grip-hold", "grip-channel", "grip-something-new", "content-type"] {
            headers.append(name, HeaderValue::from_static("x"));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }
}
