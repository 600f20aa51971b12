//! HTTP/1.1 (RFC 9112) over a kept connection with as little work as possible: the generator shares its processors with
//! the server it measures.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one read asks for; answers here are a few hundred bytes.
const READ_BYTES: usize = 8 * 1024;

/// No answer that is measured is larger; a larger one is an error and not a reason to grow.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// One connection, for one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(2 * READ_BYTES) })
    }

    /// Sends a whole request and gives the status of its answer, which is read to its end and kept until the next.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer.status);
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                return Err(invalid("the answer is too large"));
            }
            self.buffer.reserve(READ_BYTES);
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The latest answer as text, for messages.
    pub(crate) fn answer(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    status: u16,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The answer, if `bytes` holds all of it.
fn parse(bytes: &[u8]) -> io::Result<Option<Parsed>> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| invalid("a head that is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid("no status"))?;
    let mut length = None;
    let mut chunked = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().map_err(|_| invalid("a length that is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let body = &bytes[head_end + 4..];
    let complete = match (chunked, length) {
        (true, _) => chunks_complete(body)?,
        (false, Some(length)) => body.len() >= length,
        (false, None) if status == 204 || status == 304 => true,
        (false, None) => return Err(invalid("neither a length nor chunks")),
    };
    Ok(complete.then_some(Parsed { status }))
}

/// Whether chunked content is there to its last chunk. Trailers are not expected.
fn chunks_complete(mut body: &[u8]) -> io::Result<bool> {
    loop {
        let Some(line_end) = body.windows(2).position(|window| window == b"\r\n") else { return Ok(false) };
        let size = std::str::from_utf8(&body[..line_end]).ok().map(|line| line.split(';').next().unwrap_or(line));
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or_else(|| invalid("a chunk without a size"))?;
        let Some(rest) = body.get(line_end + 2..).and_then(|rest| rest.get(size + 2..)) else { return Ok(false) };
        if size == 0 {
            return Ok(true);
        }
        body = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parsing succeeds at the last byte and not before.
    fn complete_only_as_a_whole(answer: &[u8], status: u16) {
        for end in 0..answer.len() {
            assert_eq!(parse(&answer[..end]).expect("a valid start"), None, "after {end} bytes");
        }
        assert_eq!(parse(answer).expect("valid"), Some(Parsed { status }));
    }

    #[test]
    fn an_answer_ends_by_its_length() {
        complete_only_as_a_whole(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello", 201);
    }

    #[test]
    fn an_answer_ends_with_its_last_chunk() {
        let answer =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        complete_only_as_a_whole(answer, 200);
    }

    #[test]
    fn an_answer_without_content_ends_with_its_head() {
        complete_only_as_a_whole(b"HTTP/1.1 204 No Content\r\n\r\n", 204);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse(b"nonsense\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "an end that cannot be known");
    }
}
