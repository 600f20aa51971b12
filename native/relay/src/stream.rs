//! One held stream: its queue, filled by the dispatcher, and the response body that empties it.
//!
//! A stream has no task and no timer of its own. The body runs in hyper's connection task; what is due at a time (keep-alives,
//! the stream's end, another look at its link) is found by one sweep over all streams.

use crate::{
    frame,
    hub::{Entry, Hub},
    instruct::{Instruct, Link},
};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use plaza_http::{Body, BoxError, Connection};
use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Bytes that leave in one piece at most, when frames wait together.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Bytes that a catch-up from the log may have waiting for its client; it reads on when there is room.
pub(crate) const CATCH_UP_BYTES_MAX: usize = 256 * 1024;

/// Why the relay ended a stream: what the client reads in `event: end`, and a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A record with action `close` named one of its channels.
    Closed,
    /// `Grip-Timeout` has passed.
    Expired,
    /// The function did not hold it any more when asked again.
    Refused,
    /// The function could not be asked again.
    Unverified,
    /// The client reads more slowly than its channels speak.
    Slow,
    /// The log let go of records before this instance had read them.
    Lost,
    /// This instance stops.
    Shutdown,
}

impl End {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unverified => "unverified",
            Self::Slow => "slow",
            Self::Lost => "lost",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The record after which a stream's channel set may have changed.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// The record's place in the local order; nothing later is delivered before the function has been asked.
    pub(crate) n: u64,
    /// The record, where it is known.
    pub(crate) hint: Option<Arc<Entry>>,
}

/// A look at a stream's link.
#[derive(Clone, Debug)]
enum Asking {
    /// None is under way.
    No,
    /// One is, because its time had come.
    Clock,
    /// One is, because of this hint.
    Hint(Mark),
}

impl Asking {
    fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Hint(mark) => Some(mark),
            Self::No | Self::Clock => None,
        }
    }
}

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record as everyone gets it.
    Shared(Arc<Entry>),
    /// Bytes for this stream alone.
    Own {
        /// The place in the local order that it belongs to.
        n: u64,
        bytes: Bytes,
        /// Whether there is a record in it, rather than a word of the relay's.
        is_record: bool,
        /// The record in it, where the window has it.
        entry: Option<Arc<Entry>>,
    },
}

impl Item {
    pub(crate) fn n(&self) -> u64 {
        match self {
            Self::Shared(entry) => entry.n,
            Self::Own { n, .. } => *n,
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Shared(entry) => &entry.frame,
            Self::Own { bytes, .. } => bytes,
        }
    }

    /// A word of the relay's own.
    pub(crate) fn word(n: u64, bytes: Bytes) -> Self {
        Self::Own { n, bytes, is_record: false, entry: None }
    }

    fn records(&self) -> u64 {
        u64::from(matches!(self, Self::Shared(_) | Self::Own { is_record: true, .. }))
    }

    pub(crate) fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Shared(entry) => Some(entry),
            Self::Own { entry, .. } => entry.as_ref(),
        }
    }
}

/// What the original request leaves for asking again: its credentials, and who it came from.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) headers: HeaderMap,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) connection: Option<Connection>,
    /// Resolved against by later links.
    pub(crate) base: http::Uri,
}

/// A held stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) caller: Caller,
    queue: Mutex<Queue>,
    /// Notified when a catch-up may go on.
    pub(crate) room: Notify,
}

/// What a stream has yet to say. Locked after the hub's state where both are needed.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The channels it is subscribed to.
    pub(crate) channels: HashSet<Arc<str>>,
    /// What was missed; goes out first and knows no barrier. Bounded by who fills it.
    pub(crate) backlog: VecDeque<Item>,
    pub(crate) backlog_bytes: usize,
    /// What the dispatcher delivers, in the local order.
    pub(crate) live: VecDeque<Item>,
    pub(crate) live_bytes: usize,
    /// The last record offered, because a record may come by several channels.
    pub(crate) last_n: u64,
    /// Whether it is subscribed, so that the relay's own position is its position when nothing waits.
    pub(crate) attached: bool,
    /// The look at the link that is under way.
    asking: Asking,
    /// The first hint that came since that look began.
    pub(crate) hinted: Option<Mark>,
    pub(crate) keep_alive_due: Option<Bytes>,
    pub(crate) keep_alive: Bytes,
    pub(crate) keep_alive_every: Duration,
    pub(crate) link: Option<Link>,
    pub(crate) link_due: Option<Instant>,
    pub(crate) expires: Option<Instant>,
    pub(crate) last_write: Instant,
    ended: Option<(End, Instant)>,
    last_words: Option<Bytes>,
    /// Whether the body is gone or has said all.
    pub(crate) gone: bool,
    waker: Option<Waker>,
}

impl Stream {
    pub(crate) fn new(id: u64, caller: Caller, instruct: &Instruct, now: Instant) -> Self {
        let mut queue = Queue {
            channels: HashSet::new(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            live: VecDeque::new(),
            live_bytes: 0,
            last_n: 0,
            attached: false,
            asking: Asking::No,
            hinted: None,
            keep_alive_due: None,
            keep_alive: Bytes::new(),
            keep_alive_every: Duration::ZERO,
            link: None,
            link_due: None,
            expires: None,
            last_write: now,
            ended: None,
            last_words: None,
            gone: false,
            waker: None,
        };
        queue.follow(instruct, now);
        Self { id, caller, queue: Mutex::new(queue), room: Notify::new() }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves a queue that is at worst incomplete; taking all streams down with it would be worse.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the stream, once. What must not be lost to this is said by the reason: all but a slow reader get what was due to them before.
    pub(crate) fn end(&self, end: End) {
        let waker = {
            let mut queue = self.queue();
            queue.end(end);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.room.notify_waiters();
    }

    /// Adds to a catch-up, when there is room. False when the stream is over.
    pub(crate) async fn push_history(&self, bytes: Bytes) -> bool {
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            {
                let mut queue = self.queue();
                if queue.is_over() {
                    return false;
                }
                if queue.backlog_bytes < CATCH_UP_BYTES_MAX {
                    queue.push_backlog(Item::Own { n: 0, bytes, is_record: true, entry: None });
                    let waker = queue.waker.take();
                    drop(queue);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                    return true;
                }
            }
            room.await;
        }
    }
}

impl Queue {
    /// Takes over what a function's answer says beside the channels.
    pub(crate) fn follow(&mut self, instruct: &Instruct, now: Instant) {
        self.keep_alive = instruct.keep_alive.clone();
        self.keep_alive_every = instruct.keep_alive_every;
        self.link_due = instruct.link.as_ref().and_then(|link| now.checked_add(link.every));
        self.link.clone_from(&instruct.link);
        self.expires = instruct.timeout.and_then(|timeout| now.checked_add(timeout));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.gone || self.ended.is_some()
    }

    /// When the relay ended it.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        self.ended.map(|(_, at)| at)
    }

    /// The place in the local order beyond which nothing may be delivered yet.
    pub(crate) fn barrier(&self) -> u64 {
        let asking = self.asking.mark().map(|mark| mark.n);
        let hinted = self.hinted.as_ref().map(|mark| mark.n);
        asking.into_iter().chain(hinted).min().unwrap_or(u64::MAX)
    }

    /// Whether everything that was published for it so far has been written.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.attached && self.backlog.is_empty() && self.live.is_empty() && self.barrier() == u64::MAX
    }

    pub(crate) fn push_backlog(&mut self, item: Item) {
        self.backlog_bytes += item.bytes().len();
        self.backlog.push_back(item);
    }

    /// Offers a record. A waker in the answer is to be woken when all locks are given back.
    pub(crate) fn push_live(&mut self, entry: &Arc<Entry>, records_max: usize, bytes_max: usize) -> Option<Waker> {
        if self.last_n == entry.n || self.is_over() {
            return None;
        }
        self.last_n = entry.n;
        self.live_bytes += entry.frame.len();
        if self.live.len() >= records_max || self.live_bytes > bytes_max {
            self.end(End::Slow);
            return self.waker.take();
        }
        self.live.push_back(Item::Shared(Arc::clone(entry)));
        if entry.n > self.barrier() { None } else { self.waker.take() }
    }

    /// Puts `items` in the place of all that waits live.
    pub(crate) fn replace_live(&mut self, items: VecDeque<Item>) {
        self.live_bytes = items.iter().map(|item| item.bytes().len()).sum();
        self.live = items;
    }

    /// Notes that the channel set may have changed. True when a look at the link is to be started.
    pub(crate) fn hint(&mut self, mark: Mark) -> bool {
        if self.link.is_none() || self.is_over() {
            return false;
        }
        // A record may name several of its channels.
        if self.asking.mark().is_some_and(|asked| asked.n >= mark.n) {
            return false;
        }
        // The earliest counts: the look that answers it answers the later ones, too.
        if self.hinted.is_none() {
            self.hinted = Some(mark);
        }
        self.begin_asking()
    }

    /// Begins a look at the link unless one is under way.
    pub(crate) fn begin_asking(&mut self) -> bool {
        if !matches!(self.asking, Asking::No) {
            return false;
        }
        self.asking = self.hinted.take().map_or(Asking::Clock, Asking::Hint);
        true
    }

    /// Ends a look at the link: the hint that it answers, if one does.
    pub(crate) fn asked(&mut self) -> Option<Mark> {
        let mark = self.asking.mark().cloned();
        self.asking = Asking::No;
        mark
    }

    pub(crate) fn end(&mut self, end: End) {
        if self.is_over() {
            return;
        }
        metrics::counter!("plaza_stream_drops_total", "reason" => end.label()).increment(1);
        self.ended = Some((end, Instant::now()));
        if end == End::Slow {
            self.backlog.clear();
            self.live.clear();
        } else {
            let barrier = self.barrier();
            self.live.retain(|item| item.n() <= barrier);
        }
        (self.asking, self.hinted) = (Asking::No, None);
        let retry = (end == End::Shutdown).then(|| RETRY_MS.start() + crate::jitter(RETRY_MS.end() - RETRY_MS.start()));
        self.last_words = Some(frame::end(end.label(), retry));
    }

    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// What is to be written next: all that may go and fits one write, and the number of records in it.
    fn take(&mut self) -> Option<(Bytes, u64)> {
        let barrier = self.barrier();
        let (mut size, mut from_backlog, mut from_live) = (0, 0, 0);
        for item in &self.backlog {
            if from_backlog > 0 && size + item.bytes().len() > WRITE_BYTES_MAX {
                break;
            }
            size += item.bytes().len();
            from_backlog += 1;
        }
        // History that is not complete yet must not be overtaken.
        if from_backlog == self.backlog.len() && self.attached {
            for item in &self.live {
                if item.n() > barrier || (from_backlog + from_live > 0 && size + item.bytes().len() > WRITE_BYTES_MAX) {
                    break;
                }
                size += item.bytes().len();
                from_live += 1;
            }
        }
        if from_backlog + from_live == 0 {
            return None;
        }
        let mut records = 0;
        let mut chunk = BytesMut::new();
        let mut only = None;
        let many = from_backlog + from_live > 1;
        if many {
            chunk.reserve(size);
        }
        let (mut backlog_bytes, mut live_bytes) = (0, 0);
        for item in self.backlog.drain(..from_backlog) {
            backlog_bytes += item.bytes().len();
            records += item.records();
            if many {
                chunk.extend_from_slice(item.bytes());
            } else {
                only = Some(item.bytes().clone());
            }
        }
        for item in self.live.drain(..from_live) {
            live_bytes += item.bytes().len();
            records += item.records();
            if many {
                chunk.extend_from_slice(item.bytes());
            } else {
                only = Some(item.bytes().clone());
            }
        }
        self.backlog_bytes -= backlog_bytes;
        self.live_bytes -= live_bytes;
        Some((only.unwrap_or_else(|| chunk.freeze()), records))
    }
}

/// Milliseconds after which a client of a stopping instance comes back: spread, so that the others are not run down.
const RETRY_MS: std::ops::RangeInclusive<u64> = 500..=3_000;

/// The response body of a held stream: what the function said first, then what is published.
pub(crate) struct StreamBody {
    pub(crate) hub: Arc<Hub>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) initial: Option<Body>,
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        while let Some(initial) = &mut this.initial {
            match std::task::ready!(Pin::new(initial).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                // Trailers have no place in a stream that goes on.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.initial = None,
            }
        }
        let mut queue = this.stream.queue();
        if queue.gone {
            return Poll::Ready(None);
        }
        if let Some((bytes, records)) = queue.take() {
            queue.last_write = Instant::now();
            queue.keep_alive_due = None;
            let has_room = queue.backlog_bytes < CATCH_UP_BYTES_MAX;
            let attached = queue.attached;
            drop(queue);
            if has_room && !attached {
                this.stream.room.notify_waiters();
            }
            this.hub.deliveries.increment(records);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if queue.ended.is_some() {
            if let Some(words) = queue.last_words.take() {
                return Poll::Ready(Some(Ok(Frame::data(words))));
            }
            queue.gone = true;
            return Poll::Ready(None);
        }
        if let Some(bytes) = queue.keep_alive_due.take() {
            queue.last_write = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            queue.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.hub.detach(&self.stream);
    }
}
