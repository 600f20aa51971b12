//! A guest's standard output and error: whole lines, to the log, with the component's name.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::metrics::Limit;
use crate::state::Guest;

/// Bytes that a guest may write at once; it may do so again at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Out,
    Error,
}

/// The lines that an instance has begun.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    out: Vec<u8>,
    error: Vec<u8>,
    written: usize,
}

/// One of a guest's streams.
#[derive(Clone)]
pub(crate) struct Output {
    guest: Arc<Guest>,
    kind: Kind,
}

impl Output {
    pub(crate) fn new(guest: &Arc<Guest>, kind: Kind) -> Self {
        Self { guest: guest.clone(), kind }
    }

    fn write_bytes(&self, mut bytes: &[u8]) {
        let limits = &self.guest.host.limits;
        let begun = &mut *self.guest.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = limits.output_bytes_max.saturating_sub(begun.written);
        let dropping = bytes.len() > room;
        if dropping {
            bytes = &bytes[..room];
            if begun.written < limits.output_bytes_max {
                Limit::Output.hit();
            }
            // Counted as full from now on, so that this is said once.
            begun.written = limits.output_bytes_max;
        } else {
            begun.written += bytes.len();
        }
        let line = match self.kind {
            Kind::Out => &mut begun.out,
            Kind::Error => &mut begun.error,
        };
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            append(line, &bytes[..end], limits.output_line_bytes_max);
            self.log(line);
            line.clear();
            bytes = &bytes[end + 1..];
        }
        append(line, bytes, limits.output_line_bytes_max);
    }

    fn log(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (component, request_id) = (&*self.guest.component.name, self.guest.request_id());
        let text = String::from_utf8_lossy(line);
        match self.kind {
            Kind::Out => tracing::info!(target: "plaza::guest", component, request_id, "{text}"),
            Kind::Error => tracing::warn!(target: "plaza::guest", component, request_id, "{text}"),
        }
    }
}

impl Lines {
    /// Logs what the guest has not ended with a newline.
    pub(crate) fn finish(guest: &Arc<Guest>) {
        let begun = std::mem::take(&mut *guest.lines.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (kind, line) in [(Kind::Out, begun.out), (Kind::Error, begun.error)] {
            if !line.is_empty() {
                Output::new(guest, kind).log(&line);
            }
        }
    }
}

fn append(line: &mut Vec<u8>, bytes: &[u8], max: usize) {
    let room = max.saturating_sub(line.len()).min(bytes.len());
    line.extend_from_slice(&bytes[..room]);
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_bytes(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_bytes(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
