//! A store in Redis, which other hosts share: nothing is kept in front of it, and each entry lasts for a time after it was
//! last written.
//!
//! Redis is a cache: whoever uses it can go on without it, so this must not be what makes them wait. A call has a time
//! limit, connecting included. After one that Redis did not answer, calls fail at once for a short while; then one of them
//! tries again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Histogram};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError};
use tokio::time::{Instant, timeout};

use super::Failure;

/// How long calls fail at once after one that was not answered.
const PAUSE: Duration = Duration::from_secs(1);

/// Keys that Redis looks at in one step of a listing, roughly.
const SCAN_KEYS: usize = 1_000;

/// Keys that a listing may answer.
const KEYS_MAX: usize = 100_000;

/// Sets a key (`KEYS[1]`) to a value (`ARGV[3]`) for a time (`ARGV[4]`, milliseconds) if its value is the expected one
/// (`ARGV[2]`), or if it is absent and that was expected (`ARGV[1]`).
const SWAP: &str = "local value = redis.call('GET', KEYS[1])
if (ARGV[1] == '1' and value) or (ARGV[1] == '0' and value ~= ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1";

/// One Redis, which any number of stores may lie in.
pub(crate) struct Redis {
    client: redis::Client,
    call_time_max: Duration,
    connection: Mutex<Option<Numbered>>,
    /// Held by whoever connects, so that one does it for all.
    connecting: tokio::sync::Mutex<()>,
    breaker: Breaker,
    seconds: Histogram,
    answered: Counter,
    failed: Counter,
    unanswered: Counter,
    refused: Counter,
}

/// Numbers of connections. 0 is none.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A connection, to be told from the one that came after it.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

/// A store.
pub(crate) struct RedisStore {
    redis: Arc<Redis>,
    /// What the keys of this store begin with in Redis.
    prefix: String,
    age_max_ms: u64,
}

/// Why a call came to nothing.
enum Fault {
    /// Redis said so.
    Said(RedisError),
    /// Nothing was heard of Redis.
    Silent(String),
}

impl Redis {
    /// A Redis by its URL (`redis://`, `rediss://`). It need not be there yet. The error does not contain the URL, which may
    /// hold a password.
    pub(crate) fn new(url: &str, call_time_max: Duration) -> Result<Arc<Self>, String> {
        let client = redis::Client::open(url).map_err(|error| error.category().to_owned())?;
        let result = |result: &'static str| metrics::counter!("plaza_redis_calls_total", "result" => result);
        Ok(Arc::new(Self {
            client,
            call_time_max,
            connection: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            breaker: Breaker::default(),
            seconds: metrics::histogram!("plaza_redis_call_seconds"),
            answered: result("answered"),
            failed: result("failed"),
            unanswered: result("unanswered"),
            refused: result("refused"),
        }))
    }

    /// Asks whether it is there.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        self.call::<()>(redis::pipe().cmd("PING").ignore(), true).await
    }

    /// Sends commands and takes their answers. What may be `repeated` is, once, where the connection turns out to be a dead
    /// one.
    async fn call<T: FromRedisValue>(&self, commands: &Pipeline, repeated: bool) -> Result<T, Failure> {
        if !self.breaker.admits(self.call_time_max) {
            self.refused.increment(1);
            return Err(Failure::new("Redis does not answer"));
        }
        let began = Instant::now();
        let used = AtomicU64::new(0);
        let outcome = timeout(self.call_time_max, self.send(commands, repeated, &used)).await;
        self.seconds.record(began.elapsed());
        let fault = match outcome {
            Ok(Ok(answer)) => {
                self.breaker.answered();
                self.answered.increment(1);
                return Ok(answer);
            }
            Ok(Err(fault)) => fault,
            Err(_) => {
                // The connection may be dead without anybody having said so.
                self.give_up(used.into_inner());
                Fault::Silent(format!("no answer within {} ms", self.call_time_max.as_millis()))
            }
        };
        Err(match fault {
            Fault::Said(error) => {
                self.breaker.answered();
                self.failed.increment(1);
                Failure::new(format_args!("Redis: {error}"))
            }
            Fault::Silent(reason) => {
                self.unanswered.increment(1);
                self.breaker.failed(&reason);
                Failure::new(format_args!("Redis does not answer: {reason}"))
            }
        })
    }

    async fn send<T: FromRedisValue>(&self, commands: &Pipeline, repeated: bool, used: &AtomicU64) -> Result<T, Fault> {
        let mut may_repeat = repeated;
        loop {
            let (mut numbered, fresh) = self.connected().await.map_err(|error| Fault::Silent(error.to_string()))?;
            used.store(numbered.number, Ordering::Relaxed);
            let error = match commands.query_async(&mut numbered.connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_io_error() && !error.is_unrecoverable_error() {
                return Err(Fault::Said(error));
            }
            self.give_up(numbered.number);
            if fresh || !may_repeat {
                return Err(Fault::Silent(error.to_string()));
            }
            may_repeat = false;
        }
    }

    /// The connection, and whether it was made just now.
    async fn connected(&self) -> Result<(Numbered, bool), RedisError> {
        if let Some(connection) = self.current().clone() {
            return Ok((connection, false));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.current().clone() {
            return Ok((connection, false));
        }
        // The time of a call bounds both.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let made = Numbered { number: NUMBERS.fetch_add(1, Ordering::Relaxed), connection };
        *self.current() = Some(made.clone());
        Ok((made, true))
    }

    /// Lets go of a connection that did not answer.
    fn give_up(&self, number: u64) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.number == number) {
            *current = None;
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Numbered>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps calls away from a Redis that does not answer.
#[derive(Default)]
struct Breaker {
    /// Until when calls fail at once. None: Redis answers.
    open_until: Mutex<Option<Instant>>,
}

impl Breaker {
    /// Whether a call may be made. When the pause is over, one may, and the others wait for what becomes of it.
    fn admits(&self, call_time_max: Duration) -> bool {
        let now = Instant::now();
        let mut open_until = self.open_until.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *open_until {
            None => true,
            Some(until) if now < *until => false,
            Some(until) => {
                *until = now + call_time_max;
                true
            }
        }
    }

    fn answered(&self) {
        if self.open_until.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("Redis answers again");
        }
    }

    fn failed(&self, reason: &str) {
        let mut open_until = self.open_until.lock().unwrap_or_else(PoisonError::into_inner);
        if open_until.replace(Instant::now() + PAUSE).is_none() {
            tracing::warn!(reason, "Redis does not answer; what needs it fails at once until it does");
        }
    }
}

impl RedisStore {
    /// The store of this name. Without a prefix it is as Spin's store of type `redis`: the keys of the guest are the keys of
    /// Redis, and the store is the whole database of the URL.
    pub(crate) fn new(redis: Arc<Redis>, prefix: String, age_max: Duration) -> Self {
        Self { redis, prefix, age_max_ms: u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX) }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let mut commands = redis::pipe();
        commands.get(self.full(key));
        let (value,): (Option<Vec<u8>>,) = self.redis.call(&commands, true).await?;
        Ok(value.map(Bytes::from))
    }

    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Failure> {
        let mut commands = redis::pipe();
        for key in keys {
            commands.get(self.full(key));
        }
        let values: Vec<Option<Vec<u8>>> = self.redis.call(&commands, true).await?;
        Ok(values.into_iter().map(|value| value.map(Bytes::from)).collect())
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let mut commands = redis::pipe();
        commands.exists(self.full(key));
        let (exists,) = self.redis.call(&commands, true).await?;
        Ok(exists)
    }

    pub(super) async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        let mut commands = redis::pipe();
        for (key, value) in entries {
            commands.cmd("SET").arg(self.full(&key)).arg(value).arg("PX").arg(self.age_max_ms).ignore();
        }
        self.redis.call(&commands, true).await
    }

    pub(super) async fn delete_many(&self, keys: &[String]) -> Result<(), Failure> {
        let mut commands = redis::pipe();
        for key in keys {
            commands.del(self.full(key)).ignore();
        }
        self.redis.call(&commands, true).await
    }

    /// Every key, or an error if there are more than [`KEYS_MAX`].
    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let (mut keys, mut cursor) = (std::collections::BTreeSet::new(), 0_u64);
        loop {
            let mut commands = redis::pipe();
            commands.cmd("SCAN").arg(cursor).arg("MATCH").arg(format!("{}*", self.prefix)).arg("COUNT").arg(SCAN_KEYS);
            let ((next, found),): ((u64, Vec<String>),) = self.redis.call(&commands, true).await?;
            // A key may come more than once.
            keys.extend(found.into_iter().filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)));
            if keys.len() > KEYS_MAX {
                return Err(Failure::new(format_args!("there are more than {KEYS_MAX} keys")));
            }
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// Adds to the number at a key: decimal digits, as Redis and Spin have it.
    pub(super) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Failure> {
        let key = self.full(key);
        let mut commands = redis::pipe();
        commands.atomic().incr(&key, delta).cmd("PEXPIRE").arg(&key).arg(self.age_max_ms).ignore();
        // Not repeated: it may have been counted.
        let (sum,) = self.redis.call(&commands, false).await?;
        Ok(sum)
    }

    /// Sets a key if its value is still the expected one. Says whether it was.
    pub(super) async fn swap(&self, key: &str, expected: Option<&[u8]>, new: Vec<u8>) -> Result<bool, Failure> {
        let mut commands = redis::pipe();
        let absent = if expected.is_none() { "1" } else { "0" };
        let key = self.full(key);
        let script = commands.cmd("EVAL").arg(SWAP).arg(1).arg(key).arg(absent).arg(expected.unwrap_or_default());
        script.arg(new).arg(self.age_max_ms);
        let (swapped,) = self.redis.call(&commands, false).await?;
        Ok(swapped)
    }
}
