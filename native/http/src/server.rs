//! The server: an accept loop over hyper, HTTP/1.1 and HTTP/2 without TLS (h2c with prior knowledge) on one port.

use crate::{Body, Upstream};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections that the kernel keeps ready while all places are taken.
const ACCEPT_BACKLOG: u32 = 4_096;

/// The pause after an accept that failed for want of a resource (file descriptors, memory), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Requests under way at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 1_024;

/// The limits of a [`Server`]; each has a default that suits a single machine.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Connections open at once; further ones wait in the kernel's backlog. Metric: `plaza_connections_limit_hits_total`.
    pub connections_max: usize,
    /// The time for the whole head of a request, counted from the moment the connection is ready for one: it therefore also
    /// bounds how long an idle connection is kept.
    pub header_read_timeout: Duration,
    /// Bytes of a request's head (request line and fields together), at least 8,192. HTTP/1.1 answers 431 beyond it.
    pub header_bytes_max: usize,
    /// How long sent bytes may stay unacknowledged before the peer counts as gone (`TCP_USER_TIMEOUT`, RFC 5482; Linux only).
    pub peer_timeout: Duration,
    /// How long running requests may still take after the stop was asked for; then their connections are cut.
    pub drain_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            header_read_timeout: Duration::from_secs(30),
            header_bytes_max: 64 * 1024,
            peer_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// A handle on the connection that a request came by, found among the request's extensions.
///
/// A response body cannot end a connection whose peer does not read: hyper asks it for nothing while the socket is full. This can.
#[derive(Clone, Debug, Default)]
pub struct Connection(CancellationToken);

impl Connection {
    /// Closes the connection without finishing what is under way on it (over HTTP/2: every request that shares it).
    pub fn abort(&self) {
        self.0.cancel();
    }

    /// Whether [`Connection::abort`] was called.
    pub fn is_aborted(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// A listening socket that is not served yet: clients may connect already, and wait.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    settings: ServerSettings,
}

impl Server {
    /// Listens on `addr` (port 0: any free port) and tells the address that was bound.
    pub fn bind(addr: SocketAddr, settings: ServerSettings) -> io::Result<(Self, SocketAddr)> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(ACCEPT_BACKLOG).unwrap_or(i32::MAX))?;
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        Ok((Self { listener, settings }, local))
    }

    /// Serves `upstream` until `shutdown` is cancelled; then accepts nothing more, tells HTTP/1.1 clients `Connection: close` and HTTP/2
    /// clients GOAWAY, and returns when the running requests are done, at the latest after [`ServerSettings::drain_timeout`].
    ///
    /// Each request carries the peer's [`SocketAddr`] and its [`Connection`] as extensions.
    pub async fn run(self, upstream: Arc<dyn Upstream>, shutdown: CancellationToken) {
        let Self { listener, settings } = self;
        let places = Arc::new(Semaphore::new(settings.connections_max));
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        let settings = Arc::new(settings);
        let http = Arc::new(protocol(&settings));
        let open = metrics::gauge!("plaza_connections");
        let full = metrics::counter!("plaza_connections_limit_hits_total");

        loop {
            let place = if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                place
            } else {
                full.increment(1);
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    place = Arc::clone(&places).acquire_owned() => match place {
                        Ok(place) => place,
                        Err(_closed) => break,
                    },
                }
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    metrics::counter!("plaza_accept_errors_total").increment(1);
                    if !is_of_one_connection(&error) {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                    continue;
                }
            };
            let (http, settings, upstream) = (Arc::clone(&http), Arc::clone(&settings), Arc::clone(&upstream));
            let (shutdown, cut, open) = (shutdown.clone(), cut.clone(), open.clone());
            tracker.spawn(async move {
                let _place = place;
                open.increment(1.0);
                serve(stream, peer, &http, &settings, upstream, &shutdown, &cut).await;
                open.decrement(1.0);
            });
        }

        drop(listener);
        tracker.close();
        if tokio::time::timeout(settings.drain_timeout, tracker.wait()).await.is_err() {
            tracing::warn!(connections = tracker.len(), "connections cut at the end of the drain time");
            metrics::counter!("plaza_connections_cut_total").increment(tracker.len() as u64);
            cut.cancel();
            tracker.wait().await;
        }
    }
}

/// Whether an accept error tells of the one connection only, so that the next accept can follow at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// The protocol settings, shared by all connections.
fn protocol(settings: &ServerSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_read_timeout)
        .max_buf_size(settings.header_bytes_max.max(8_192))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(settings.header_read_timeout)
        .keep_alive_timeout(settings.peer_timeout);
    builder
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    http: &auto::Builder<TokioExecutor>,
    settings: &ServerSettings,
    upstream: Arc<dyn Upstream>,
    shutdown: &CancellationToken,
    cut: &CancellationToken,
) {
    if let Err(error) = prepare(&stream, settings) {
        tracing::debug!(%peer, %error, "socket options refused");
    }
    let connection = Connection(cut.child_token());
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (connection, asked) = (connection.clone(), Arc::clone(&asked));
        service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let upstream = Arc::clone(&upstream);
            let mut request = request.map(|body| -> Body { body.map_err(Into::into).boxed_unsync() });
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(connection.clone());
            async move { Ok::<Response<Body>, Infallible>(upstream.call(request).await) }
        })
    };
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));

    // hyper's own timeout starts when it knows the protocol; who sends nothing, or the first letter of a preface, never gets so far.
    let mut silent = pin!(tokio::time::sleep(settings.header_read_timeout));
    let mut silence_watched = true;
    let mut draining = false;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection ended with an error");
                }
                return;
            }
            () = connection.0.cancelled() => return,
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                served.as_mut().graceful_shutdown();
            }
            () = silent.as_mut(), if silence_watched => {
                silence_watched = false;
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!(%peer, "connection without a request closed");
                    return;
                }
            }
        }
    }
}

/// Sets what each accepted socket needs: small frames leave at once, and a vanished peer is noticed.
fn prepare(stream: &TcpStream, settings: &ServerSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(settings.peer_timeout))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.peer_timeout))?;
    Ok(())
}
