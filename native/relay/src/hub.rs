//! The heart of the relay: the local order of records, the window of recent ones, who listens to what, and what each is given.
//!
//! All records of all partitions are put into one local order (`n` = 1, 2, …) as they come from the source. After record `n` the relay
//! is at one position (the vector of next offsets), and the record's frame carries it as id, so a frame is written once for
//! all who listen. Everything that must be exact, joining, resuming, changing channels, happens under the one lock under which
//! records are dispatched: it happens at one `n`.

use crate::{
    frame,
    instruct::Instruct,
    position::{Begin, Layout},
    source::{Action, Published},
    stream::{End, Item, Mark, Queue, Stream},
};
use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// How far the clocks of the producers of two topics may be apart where the order of their records is told by their times.
const CLOCK_SKEW_MS: i64 = 10_000;

/// Watches which channels have streams: the place of presence. `first` and `last` are called in their order, under the relay's
/// lock: they must only take note (send to a channel, say), never wait.
pub trait Observer: Send + Sync + 'static {
    /// A channel that nobody listened to has got its first stream.
    fn first(&self, channel: &str);
    /// The last stream of a channel has gone.
    fn last(&self, channel: &str);
}

/// The limits of the hub.
pub(crate) struct Limits {
    pub(crate) window_records_max: usize,
    pub(crate) window_bytes_max: usize,
    pub(crate) stream_records_max: usize,
    pub(crate) stream_bytes_max: usize,
    pub(crate) resume_records_max: usize,
    pub(crate) stall: Duration,
}

/// A record in the window.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its place in the local order.
    pub(crate) n: u64,
    partition: usize,
    offset: u64,
    time_ms: i64,
    /// Where it belongs, and as what.
    roles: Box<[(Arc<str>, Role)]>,
    pub(crate) frame: Bytes,
    id_len: usize,
    event: u128,
}

impl Entry {
    /// The frame without its id.
    fn rest(&self) -> &[u8] {
        &self.frame[self.id_len..]
    }

    /// The frame's id line.
    fn id_line(&self) -> &[u8] {
        &self.frame[..self.id_len]
    }

    /// Whether it is delivered to a stream on these channels.
    fn is_for(&self, channels: &HashSet<Arc<str>>) -> bool {
        self.roles.iter().any(|(name, role)| *role != Role::Close && channels.contains(name))
    }
}

/// What a record is to one of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Delivered.
    Deliver,
    /// Delivered; then the channel's streams ask again.
    Hint,
    /// Not delivered; ends the channel's streams.
    Close,
}

/// One channel: who listens, and what of it is in the window.
#[derive(Default)]
struct Channel {
    streams: HashMap<u64, Arc<Stream>>,
    recent: VecDeque<(Arc<Entry>, Role)>,
}

struct State {
    /// The position: the next offset of each partition.
    next: Vec<u64>,
    n: u64,
    window: VecDeque<Arc<Entry>>,
    window_bytes: usize,
    /// For each partition the offset from which on the window is complete.
    low: Vec<u64>,
    /// For each partition its records in the window: offset and place.
    places: Vec<VecDeque<(u64, u64)>>,
    /// The events in the window, because a publisher sends at least once.
    seen: HashSet<u128>,
    channels: HashMap<Arc<str>, Channel>,
}

/// Where a new stream begins.
pub(crate) enum Since<'a> {
    /// When its request arrived.
    Arrival,
    /// At a position that its client was at.
    Position {
        next: &'a [u64],
        /// What it was given from history, in case it was published twice.
        seen: &'a HashSet<u128>,
    },
    /// Now, and the client is told that it missed something.
    Reset(&'static str),
}

/// The answer to [`Hub::attach`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// The stream is live. True when a look at its link is to be started.
    Live(bool),
    /// The window does not reach back so far: these are its low marks.
    Behind(Vec<u64>),
    /// The client has been further than this relay is.
    Ahead,
    /// More records wait than one resume may have.
    TooMany,
    /// The client is gone.
    Over,
}

/// See the module.
pub(crate) struct Hub {
    pub(crate) layout: Layout,
    limits: Limits,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
    /// The state's `n`, to be had without the lock.
    n: AtomicU64,
    pub(crate) progress: watch::Sender<u64>,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
    next_stream: AtomicU64,
    hash: (RandomState, RandomState),
    pub(crate) deliveries: Counter,
    records: Counter,
    duplicates: Counter,
    open: Gauge,
    window_records: Gauge,
    window_bytes: Gauge,
    delay: Histogram,
}

/// Several hundred records make one lock hold long for those who come; the dispatcher gives way after so many.
pub(crate) const DISPATCH_RECORDS_MAX: usize = 64;

impl Hub {
    pub(crate) fn new(layout: Layout, start: Vec<u64>, limits: Limits, observer: Option<Arc<dyn Observer>>) -> Self {
        debug_assert_eq!(start.len(), layout.len());
        let state = State {
            low: start.clone(),
            places: vec![VecDeque::new(); start.len()],
            next: start,
            n: 0,
            window: VecDeque::new(),
            window_bytes: 0,
            seen: HashSet::new(),
            channels: HashMap::new(),
        };
        Self {
            layout,
            limits,
            observer,
            state: Mutex::new(state),
            n: AtomicU64::new(0),
            progress: watch::Sender::new(0),
            streams: Mutex::new(HashMap::new()),
            next_stream: AtomicU64::new(1),
            hash: (RandomState::new(), RandomState::new()),
            // Looked up once: a delivery is cheaper than a look-up.
            deliveries: metrics::counter!("plaza_stream_deliveries_total"),
            records: metrics::counter!("plaza_relay_records_total"),
            duplicates: metrics::counter!("plaza_relay_duplicates_total"),
            open: metrics::gauge!("plaza_streams"),
            window_records: metrics::gauge!("plaza_relay_window_records"),
            window_bytes: metrics::gauge!("plaza_relay_window_bytes"),
            delay: metrics::histogram!("plaza_relay_event_delay_seconds"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the last dispatched record.
    pub(crate) fn n(&self) -> u64 {
        self.n.load(Ordering::Acquire)
    }

    /// The position of the relay.
    pub(crate) fn position(&self) -> Vec<u64> {
        self.state().next.clone()
    }

    /// Goes on from these oldest retained offsets where the relay has not got so far. What lies between is lost: its streams end, and
    /// a client that comes back with an earlier position is told so by the log.
    pub(crate) fn skip(&self, oldest: impl IntoIterator<Item = (usize, u64)>) {
        let mut state = self.state();
        let mut lost = false;
        for (partition, oldest) in oldest {
            if state.next[partition] < oldest {
                state.next[partition] = oldest;
                state.low[partition] = oldest;
                lost = true;
            }
        }
        if lost {
            tracing::error!("the log has let go of records before the relay had read them");
            // Still under the lock: no stream may be given the new position as its own.
            for stream in self.all() {
                stream.end(End::Lost);
            }
        }
    }

    /// What an id means to this relay now.
    pub(crate) fn resolve(&self, begins: &[Begin]) -> Vec<u64> {
        let state = self.state();
        let resolve = |(begin, &next): (&Begin, &u64)| match begin {
            Begin::At(offset) => *offset,
            Begin::Now => next,
        };
        begins.iter().zip(&state.next).map(resolve).collect()
    }

    /// The event's identity within this process: ids may be long and anything, this is neither.
    pub(crate) fn event_key(&self, id: &str) -> u128 {
        match uuid::Uuid::try_parse(id) {
            Ok(uuid) => uuid.as_u128(),
            Err(_) => u128::from(self.hash.0.hash_one(id)) << 64 | u128::from(self.hash.1.hash_one(id)),
        }
    }

    /// Registers a stream that is not attached yet. `None` when there are `max` already.
    pub(crate) fn open(&self, max: usize, make: impl FnOnce(u64) -> Stream) -> Option<Arc<Stream>> {
        let mut streams = self.streams();
        if streams.len() >= max {
            return None;
        }
        let stream = Arc::new(make(self.next_stream.fetch_add(1, Ordering::Relaxed)));
        streams.insert(stream.id, Arc::clone(&stream));
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.open.set(streams.len() as f64);
        Some(stream)
    }

    /// The streams that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.streams().values().cloned().collect()
    }

    /// The number of streams that are open.
    pub(crate) fn len(&self) -> usize {
        self.streams().len()
    }

    /// Forgets a stream whose body is gone.
    pub(crate) fn detach(&self, stream: &Arc<Stream>) {
        {
            let mut state = self.state();
            let mut queue = stream.queue();
            queue.gone = true;
            let channels = std::mem::take(&mut queue.channels);
            drop(queue);
            for name in &channels {
                self.unsubscribe(&mut state, name, stream.id);
            }
        }
        stream.room.notify_waiters();
        let mut streams = self.streams();
        streams.remove(&stream.id);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.open.set(streams.len() as f64);
    }

    fn unsubscribe(&self, state: &mut State, name: &Arc<str>, id: u64) {
        let Some(channel) = state.channels.get_mut(name) else { return };
        if channel.streams.remove(&id).is_some()
            && channel.streams.is_empty()
            && let Some(observer) = &self.observer
        {
            observer.last(name);
        }
        if channel.streams.is_empty() && channel.recent.is_empty() {
            state.channels.remove(name);
        }
    }

    fn subscribe(&self, state: &mut State, queue: &mut Queue, name: &str, stream: &Arc<Stream>) {
        let name = state.name(name);
        let channel = state.channels.entry(Arc::clone(&name)).or_default();
        if channel.streams.is_empty()
            && let Some(observer) = &self.observer
        {
            observer.first(&name);
        }
        channel.streams.insert(stream.id, Arc::clone(stream));
        queue.channels.insert(name);
    }

    /// Puts records into the local order and into the queues of those who listen. What comes back are the streams whose links are
    /// to be asked now. At most [`DISPATCH_RECORDS_MAX`] at once.
    pub(crate) fn dispatch(&self, records: &[Published]) -> Vec<Arc<Stream>> {
        let mut wakers = Vec::new();
        let mut asking = Vec::new();
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        {
            let mut state = self.state();
            for record in records {
                let Some(partition) = self.layout.index(&record.topic, record.partition) else {
                    tracing::warn!(topic = %record.topic, partition = record.partition, "record of a partition that is not relayed");
                    continue;
                };
                if record.offset < state.next[partition] {
                    // The source began again a little earlier than it was asked to.
                    continue;
                }
                state.next[partition] = record.offset + 1;
                if record.event_name.is_empty() {
                    continue;
                }
                let event = self.event_key(&record.event_id);
                if !state.seen.insert(event) {
                    self.duplicates.increment(1);
                    continue;
                }
                self.records.increment(1);
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of a delay are few")]
                self.delay.record((now_ms - record.time_ms).max(0) as f64 / 1_000.0);
                let entry = state.admit(&self.layout, partition, event, record);
                self.deliver(&state, &entry, &mut wakers, &mut asking);
            }
            state.evict(&self.limits);
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            {
                self.window_records.set(state.window.len() as f64);
                self.window_bytes.set(state.window_bytes as f64);
            }
            self.n.store(state.n, Ordering::Release);
            self.progress.send_replace(state.n);
        }
        wakers.into_iter().for_each(Waker::wake);
        asking
    }

    fn deliver(&self, state: &State, entry: &Arc<Entry>, wakers: &mut Vec<Waker>, asking: &mut Vec<Arc<Stream>>) {
        let streams = |wanted: fn(Role) -> bool| {
            let named = entry.roles.iter().filter(move |(_, role)| wanted(*role));
            named.filter_map(|(name, _)| state.channels.get(name)).flat_map(|channel| channel.streams.values())
        };
        // Before any delivery: who holds a closed channel beside another of the record's does not get it.
        for stream in streams(|role| role == Role::Close) {
            let mut queue = stream.queue();
            queue.end(End::Closed);
            wakers.extend(queue.take_waker());
        }
        let Limits { stream_records_max, stream_bytes_max, .. } = self.limits;
        for stream in streams(|role| role != Role::Close) {
            wakers.extend(stream.queue().push_live(entry, stream_records_max, stream_bytes_max));
        }
        for stream in streams(|role| role == Role::Hint) {
            if stream.queue().hint(Mark { n: entry.n, hint: Some(Arc::clone(entry)) }) {
                asking.push(Arc::clone(stream));
            }
        }
    }

    /// Makes a stream live on these channels, exactly where it begins. `arrived` is the `n` before its function was asked: a hint or a
    /// close that came since is not in the function's answer.
    pub(crate) fn attach(
        &self,
        stream: &Arc<Stream>,
        channels: &HashSet<Arc<str>>,
        arrived: u64,
        since: &Since<'_>,
    ) -> Attached {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut queue = stream.queue();
        if queue.is_over() {
            return Attached::Over;
        }
        let items = match since {
            Since::Arrival => state.since_arrival(channels, arrived, &self.layout),
            Since::Reset(reason) => {
                vec![Item::word(state.n, frame::reset(&self.layout.encode(&state.next), reason))]
            }
            Since::Position { next, seen } => {
                if next.iter().zip(&state.low).any(|(next, low)| next < low) {
                    return Attached::Behind(state.low.clone());
                }
                if next.iter().zip(&state.next).any(|(next, here)| next > here) {
                    return Attached::Ahead;
                }
                state.since_position(channels, next, seen, &self.layout)
            }
        };
        if items.len() > self.limits.resume_records_max {
            return Attached::TooMany;
        }

        let mark = match state.signal_since(channels, arrived) {
            Some((_, Role::Close)) => {
                queue.end(End::Closed);
                return Attached::Over;
            }
            Some((mark, _)) => Some(mark),
            None => None,
        };
        for name in channels {
            self.subscribe(state, &mut queue, name, stream);
        }
        let asks = mark.is_some_and(|mark| queue.hint(mark));
        let barrier = queue.barrier();
        for item in items {
            if item.n() <= barrier {
                queue.push_backlog(item);
            } else {
                queue.live_bytes += item.bytes().len();
                queue.live.push_back(item);
            }
        }
        queue.last_n = state.n;
        queue.attached = true;
        let waker = queue.take_waker();
        drop(queue);
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
        Attached::Live(asks)
    }

    /// Gives a stream the channel set that its function named when asked again. True when it is to be asked once more, because of
    /// a hint that came meanwhile.
    pub(crate) fn rejoin(&self, stream: &Arc<Stream>, instruct: &Instruct) -> bool {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut queue = stream.queue();
        if queue.is_over() {
            return false;
        }
        // A look that began by the clock, and was met by a hint: its answer may be from before or after what the hint is about. What it
        // adds is taken from the hint on, and the hint stays to be answered.
        let mark = queue.asked().or_else(|| queue.hinted.clone());
        let old = queue.channels.clone();
        let added: HashSet<Arc<str>> = instruct.channels.difference(&old).cloned().collect();
        let removed: Vec<_> = old.difference(&instruct.channels).cloned().collect();

        let reaches = |mark: &Mark| state.window.front().is_none_or(|oldest| oldest.n <= mark.n + 1);
        if !added.is_empty() && !mark.as_ref().is_none_or(reaches) {
            // The answer took longer than the window is long. Coming back, the client gets what is missing from the log.
            queue.end(End::Unverified);
        } else if !added.is_empty() || !removed.is_empty() {
            // Up to the hint everything stays as it was; after it, the new set counts.
            let after = mark.as_ref().map_or(0, |mark| mark.n);
            let (mut waiting, mut later) = (VecDeque::new(), Vec::new());
            for item in std::mem::take(&mut queue.live) {
                if mark.is_some() && item.n() <= after {
                    waiting.push_back(item);
                } else if item.entry().is_none_or(|entry| entry.is_for(&instruct.channels)) {
                    later.push(item);
                }
            }
            if let Some(mark) = &mark {
                waiting.extend(state.overtaken(&added, &old, mark));
                later.extend(state.collect(&added, mark.n + 1, |_| true).into_iter().map(Item::Shared));
                later.sort_by_key(Item::n);
                later.dedup_by_key(|item| item.n());
            }
            waiting.extend(later);
            queue.replace_live(waiting);
            for name in &removed {
                queue.channels.remove(name);
                self.unsubscribe(state, name, stream.id);
            }
            for name in &added {
                self.subscribe(state, &mut queue, name, stream);
            }
        }
        queue.follow(instruct, Instant::now());
        if let Some(mark) = &mark {
            match state.signal_since(&added, mark.n) {
                Some((_, Role::Close)) => queue.end(End::Closed),
                Some((mark, _)) if queue.hinted.as_ref().is_none_or(|hinted| hinted.n > mark.n) => {
                    queue.hinted = Some(mark);
                }
                _ => {}
            }
        }
        let again = queue.hinted.is_some() && queue.link.is_some() && !queue.is_over();
        if again {
            queue.begin_asking();
        } else {
            queue.hinted = None;
        }
        let waker = queue.take_waker();
        drop(queue);
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
        again
    }

    /// What is due by time: ends, keep-alives, looks at links (which come back, to be started), and connections that do not take
    /// the end that they were told.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Arc<Stream>> {
        let (mut asking, mut quiet) = (Vec::new(), Vec::new());
        for stream in self.all() {
            let mut queue = stream.queue();
            if let Some(ended) = queue.ended_at() {
                if !queue.gone
                    && now.saturating_duration_since(ended) > self.limits.stall
                    && let Some(connection) = stream.caller.connection.as_ref().filter(|it| !it.is_aborted())
                {
                    metrics::counter!("plaza_stream_aborts_total").increment(1);
                    connection.abort();
                }
                continue;
            }
            if queue.expires.is_some_and(|at| at <= now) {
                drop(queue);
                stream.end(End::Expired);
                continue;
            }
            if queue.attached && queue.link_due.is_some_and(|at| at <= now) {
                // The next time counts from the answer.
                queue.link_due = None;
                if queue.begin_asking() {
                    asking.push(Arc::clone(&stream));
                }
            }
            if queue.keep_alive_due.is_none()
                && now.saturating_duration_since(queue.last_write) >= queue.keep_alive_every
            {
                drop(queue);
                quiet.push(stream);
            }
        }
        if !quiet.is_empty() {
            self.keep_alive(&quiet);
        }
        asking
    }

    /// Keeps quiet streams awake, and their ids young: a client of a quiet channel would otherwise come back with a
    /// position that the window, or even the log, has long left behind.
    fn keep_alive(&self, streams: &[Arc<Stream>]) {
        let state = self.state();
        let id = frame::id_only(&self.layout.encode(&state.next));
        for stream in streams {
            let mut queue = stream.queue();
            if queue.is_over() {
                continue;
            }
            // Nothing can be published between the look at the queue and the id: both are under the state's lock.
            let bytes = if queue.is_up_to_date() {
                [queue.keep_alive.as_ref(), &id].concat().into()
            } else {
                queue.keep_alive.clone()
            };
            queue.keep_alive_due = Some(bytes);
            let waker = queue.take_waker();
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl State {
    /// The one copy of a channel's name, where there is one.
    fn name(&self, name: &str) -> Arc<str> {
        self.channels.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    /// Gives a record its place and puts it into the window.
    fn admit(&mut self, layout: &Layout, partition: usize, event: u128, record: &Published) -> Arc<Entry> {
        self.n += 1;
        let (frame, id_len) = frame::event(&layout.encode(&self.next), record);
        let role = match record.action {
            Action::Send => Role::Deliver,
            Action::Hint => Role::Hint,
            Action::Close => Role::Close,
        };
        let mut roles: Vec<(Arc<str>, Role)> = Vec::with_capacity(1 + record.channels.len());
        for name in &record.channels {
            if roles.iter().all(|(known, _)| known.as_ref() != name) {
                roles.push((self.name(name), role));
            }
        }
        let own = format!("{}:{}", record.topic, record.key);
        if roles.iter().all(|(known, _)| **known != *own) {
            roles.push((self.name(&own), Role::Deliver));
        }
        let entry = Arc::new(Entry {
            n: self.n,
            partition,
            offset: record.offset,
            time_ms: record.time_ms,
            roles: roles.into(),
            frame,
            id_len,
            event,
        });
        for (name, role) in &entry.roles {
            let channel = self.channels.entry(Arc::clone(name)).or_default();
            channel.recent.push_back((Arc::clone(&entry), *role));
        }
        self.places[partition].push_back((record.offset, self.n));
        self.window_bytes += entry.frame.len();
        self.window.push_back(Arc::clone(&entry));
        entry
    }

    /// Lets the oldest records go while the window is over a limit.
    fn evict(&mut self, limits: &Limits) {
        while self.window.len() > limits.window_records_max || self.window_bytes > limits.window_bytes_max {
            let Some(entry) = self.window.pop_front() else { return };
            self.window_bytes -= entry.frame.len();
            let low = &mut self.low[entry.partition];
            *low = (*low).max(entry.offset + 1);
            self.places[entry.partition].pop_front();
            self.seen.remove(&entry.event);
            for (name, _) in &entry.roles {
                let Some(channel) = self.channels.get_mut(name) else { continue };
                channel.recent.pop_front();
                if channel.recent.is_empty() && channel.streams.is_empty() {
                    self.channels.remove(name);
                }
            }
        }
    }

    /// The records in the window from place `from` on that are delivered on these channels, each once, in order.
    fn collect(&self, channels: &HashSet<Arc<str>>, from: u64, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            let recent = channel.recent.iter().rev().take_while(|(entry, _)| entry.n >= from);
            found.extend(
                recent
                    .filter(|(entry, role)| *role != Role::Close && wanted(entry))
                    .map(|(entry, _)| Arc::clone(entry)),
            );
        }
        found.sort_unstable_by_key(|entry| entry.n);
        found.dedup_by_key(|entry| entry.n);
        found
    }

    /// What a stream without an id begins with: what came since its request did, so that a function may put the state of things
    /// into its answer. An id goes ahead, so that it can come back before the first event.
    fn since_arrival(&self, channels: &HashSet<Arc<str>>, arrived: u64, layout: &Layout) -> Vec<Item> {
        let found = self.collect(channels, arrived + 1, |_| true);
        let id = if found.is_empty() {
            Some(frame::id_only(&layout.encode(&self.next)))
        } else {
            let first = self.window.front().map_or(0, |entry| entry.n);
            let at_arrival = arrived.checked_sub(first).and_then(|index| self.window.get(usize::try_from(index).ok()?));
            at_arrival.map(|entry| [entry.id_line(), b"\n"].concat().into())
        };
        let id = id.map(|bytes| Item::word(arrived, bytes));
        id.into_iter().chain(found.into_iter().map(Item::Shared)).collect()
    }

    /// What a stream that was at `next` has missed, all of it being in the window.
    fn since_position(
        &self,
        channels: &HashSet<Arc<str>>,
        next: &[u64],
        seen: &HashSet<u128>,
        layout: &Layout,
    ) -> Vec<Item> {
        // The first place that it has not seen, and the last that it has: another relay may have had another order.
        let (mut first_new, mut last_old) = (u64::MAX, 0);
        for (places, &next) in self.places.iter().zip(next) {
            let split = places.partition_point(|&(offset, _)| offset < next);
            if let Some(&(_, n)) = places.get(split) {
                first_new = first_new.min(n);
            }
            if let Some(&(_, n)) = split.checked_sub(1).and_then(|last| places.get(last)) {
                last_old = last_old.max(n);
            }
        }
        let found = self.collect(channels, first_new, |entry| {
            entry.offset >= next[entry.partition] && !seen.contains(&entry.event)
        });
        if found.is_empty() {
            return vec![Item::word(self.n, frame::id_only(&layout.encode(&self.next)))];
        }
        let item = |entry: Arc<Entry>| {
            if entry.n > last_old {
                // From here on the relay's position includes the client's.
                return Item::Shared(entry);
            }
            let bytes = frame::under(&layout.encode(&self.position_after(entry.n, next)), entry.rest());
            Item::Own { n: entry.n, bytes, is_record: true, entry: Some(entry) }
        };
        found.into_iter().map(item).collect()
    }

    /// The position after record `n` of a client that had been at `floor`: the later of both in each partition.
    fn position_after(&self, n: u64, floor: &[u64]) -> Vec<u64> {
        let after = |(places, &floor): (&VecDeque<(u64, u64)>, &u64)| {
            let split = places.partition_point(|&(_, place)| place <= n);
            let last = split.checked_sub(1).and_then(|last| places.get(last));
            last.map_or(floor, |&(offset, _)| floor.max(offset + 1))
        };
        self.places.iter().zip(floor).map(after).collect()
    }

    /// What stands before the hint in the local order and yet happened after it: topics are not in step. Only for channels that are
    /// new, and not what came by an old one. It goes out under the hint's id, there being no position that has the one and not the other.
    fn overtaken(&self, added: &HashSet<Arc<str>>, old: &HashSet<Arc<str>>, mark: &Mark) -> Vec<Item> {
        let Some(hint) = &mark.hint else { return Vec::new() };
        let mut found = Vec::new();
        for channel in added.iter().filter_map(|name| self.channels.get(name)) {
            let before = channel.recent.iter().rev().skip_while(|(entry, _)| entry.n >= mark.n);
            let near = before.take_while(|(entry, _)| entry.time_ms + CLOCK_SKEW_MS >= hint.time_ms);
            let after = near
                .filter(|(entry, role)| *role != Role::Close && entry.time_ms >= hint.time_ms && !entry.is_for(old));
            found.extend(after.map(|(entry, _)| Arc::clone(entry)));
        }
        found.sort_unstable_by_key(|entry| entry.n);
        found.dedup_by_key(|entry| entry.n);
        let item = |entry: Arc<Entry>| {
            let bytes = [hint.id_line(), entry.rest()].concat().into();
            Item::Own { n: mark.n, bytes, is_record: true, entry: Some(entry) }
        };
        found.into_iter().map(item).collect()
    }

    /// The first hint, or any close, on these channels after place `after`. If the window does not reach back so far, it is as if there
    /// had been a hint.
    fn signal_since(&self, channels: &HashSet<Arc<str>>, after: u64) -> Option<(Mark, Role)> {
        let mut first: Option<&Arc<Entry>> = None;
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            for (entry, role) in channel.recent.iter().rev().take_while(|(entry, _)| entry.n > after) {
                match role {
                    Role::Deliver => {}
                    Role::Hint => first = Some(first.filter(|known| known.n < entry.n).unwrap_or(entry)),
                    Role::Close => return Some((Mark { n: entry.n, hint: None }, Role::Close)),
                }
            }
        }
        if self.window.front().is_some_and(|oldest| oldest.n > after + 1) {
            return Some((Mark { n: self.n, hint: None }, Role::Hint));
        }
        first.map(|entry| (Mark { n: entry.n, hint: Some(Arc::clone(entry)) }, Role::Hint))
    }
}
