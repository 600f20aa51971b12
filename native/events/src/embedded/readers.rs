use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use plaza_sqlite::rusqlite;
use rusqlite::params;
use tokio::sync::watch;

use super::{READ_BYTES_MAX, Shared, head::Entry, stored};
use crate::{Consumer, Delivery, LogError, Position, Record, Tail, TailStart};

/// Most records that a consumer or a tail is given at once.
const BATCH_RECORDS_MAX: usize = 512;

/// How far back in the log, over all topics, a tail looks for the last records of its own.
const LOOK_BACK_RECORDS_MAX: usize = 100_000;

pub(super) struct SqliteConsumer {
    shared: Arc<Shared>,
    group: String,
    topics: Vec<String>,
    appended: watch::Receiver<u64>,
    parts: Vec<Assigned>,
    /// Where in `parts` to look first, so that a busy partition does not starve the others.
    turn: usize,
}

struct Assigned {
    part: usize,
    next: u64,
    paused: bool,
}

impl SqliteConsumer {
    pub(super) fn new(shared: Arc<Shared>, group: &str, topics: &[String]) -> Result<Self, LogError> {
        let parts = shared.layout.parts(topics)?;
        {
            let mut members = shared.members.lock().unwrap_or_else(PoisonError::into_inner);
            for topic in topics {
                if members.contains(&(group.to_owned(), topic.clone())) {
                    return Err(LogError::GroupInUse { group: group.to_owned(), topic: topic.clone() });
                }
            }
            members.extend(topics.iter().map(|topic| (group.to_owned(), topic.clone())));
        }
        let parts = {
            let mut groups = shared.committed();
            let committed = groups.entry(group.to_owned()).or_default();
            let head = shared.head();
            parts
                .into_iter()
                .map(|part| {
                    // Known from now on, so that lag counts partitions of which nothing was committed yet.
                    let next = *committed.entry(part).or_insert(head.parts[part].low);
                    Assigned { part, next, paused: false }
                })
                .collect()
        };
        let appended = shared.appended.subscribe();
        Ok(Self { shared, group: group.to_owned(), topics: topics.to_vec(), appended, parts, turn: 0 })
    }

    fn assigned(&mut self, topic: &str, partition: u32) -> Option<&mut Assigned> {
        let part = self.shared.layout.part(topic, partition).ok()?;
        self.parts.iter_mut().find(|assigned| assigned.part == part)
    }

    /// What is there now.
    fn poll(&mut self) -> Result<Option<Vec<Arc<Record>>>, LogError> {
        for step in 0..self.parts.len() {
            let index = (self.turn + step) % self.parts.len();
            let assigned = &mut self.parts[index];
            if assigned.paused {
                continue;
            }
            let records = self.shared.read(assigned.part, assigned.next, BATCH_RECORDS_MAX)?;
            if let Some(last) = records.last() {
                assigned.next = last.offset + 1;
                self.turn = index + 1;
                return Ok(Some(records));
            }
        }
        Ok(None)
    }
}

impl Drop for SqliteConsumer {
    fn drop(&mut self) {
        let mut members = self.shared.members.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in self.topics.drain(..) {
            members.remove(&(self.group.clone(), topic));
        }
    }
}

#[async_trait]
impl Consumer for SqliteConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        loop {
            // Before looking: what is appended afterwards wakes.
            self.appended.borrow_and_update();
            if let Some(records) = self.poll()? {
                return Ok(Delivery::Records(records));
            }
            self.appended.changed().await.map_err(|_| LogError::Closed)?;
        }
    }

    fn pause(&mut self, topic: &str, partition: u32) {
        if let Some(assigned) = self.assigned(topic, partition) {
            assigned.paused = true;
        }
    }

    fn resume(&mut self, topic: &str, partition: u32) {
        if let Some(assigned) = self.assigned(topic, partition) {
            assigned.paused = false;
        }
    }

    async fn commit(&mut self, positions: &[Position]) -> Result<(), LogError> {
        let mut parts = Vec::with_capacity(positions.len());
        for position in positions {
            parts.push((self.shared.layout.part(&position.topic, position.partition)?, position.offset));
        }
        let mut connection = self.shared.offsets.connection()?;
        let group = &self.group;
        connection
            .write(|connection| {
                let mut upsert = connection.prepare_cached("INSERT OR REPLACE INTO offsets VALUES (?1, ?2, ?3, ?4)")?;
                for position in positions {
                    upsert.execute(params![group, &*position.topic, position.partition, position.offset])?;
                }
                Ok(())
            })
            .await?;
        self.shared.committed().entry(self.group.clone()).or_default().extend(parts);
        Ok(())
    }
}

pub(super) struct SqliteTail {
    shared: Arc<Shared>,
    appended: watch::Receiver<u64>,
    /// Everything up to this sequence number has been given, or is not ours.
    sequence: u64,
    /// Our partitions, each with its first offset.
    from: HashMap<usize, u64>,
}

impl SqliteTail {
    pub(super) fn new(shared: Arc<Shared>, topics: &[String], start: TailStart) -> Result<Self, LogError> {
        let parts = shared.layout.parts(topics)?;
        let appended = shared.appended.subscribe();
        let (last, ends, ids) = {
            let head = shared.head();
            let ends: BTreeMap<usize, u64> = parts.iter().map(|part| (*part, head.parts[*part].next)).collect();
            let ids: HashMap<i64, usize> = parts.iter().map(|part| (head.parts[*part].id, *part)).collect();
            (head.last, ends, ids)
        };
        let (sequence, from) = match start {
            TailStart::Last(records) => {
                let sequence = before_last(&shared, last, records, &ids.into_keys().collect())?;
                (sequence, parts.into_iter().map(|part| (part, 0)).collect())
            }
            TailStart::At(positions) => {
                let mut from: HashMap<usize, u64> = ends.clone().into_iter().collect();
                for position in positions {
                    let part = shared.layout.part(&position.topic, position.partition)?;
                    if let Some(from) = from.get_mut(&part) {
                        *from = position.offset;
                    }
                }
                let mut sequence = last;
                for (part, from) in &from {
                    if *from < ends[part] {
                        sequence = sequence.min(before(&shared, *part, *from)?.unwrap_or(last));
                    }
                }
                (sequence, from)
            }
        };
        Ok(Self { shared, appended, sequence, from })
    }

    /// What is there now; passes over what is not ours. `None` at the end.
    fn poll(&mut self) -> Result<Option<Vec<Arc<Record>>>, LogError> {
        let (last, entries) = {
            let head = self.shared.head();
            if self.sequence >= head.last {
                return Ok(None);
            }
            (head.last, head.after(self.sequence, BATCH_RECORDS_MAX))
        };
        let (entries, seen) = match entries {
            Some(entries) => {
                let seen = entries.last().map(|entry| entry.sequence);
                (entries, seen)
            }
            None => self.load(last)?,
        };
        // Nothing between here and the end: swept, or given up by a failed append.
        let Some(seen) = seen else {
            self.sequence = last;
            return Ok(None);
        };
        self.sequence = seen;
        let ours = |entry: &Entry| self.from.get(&entry.part).is_some_and(|from| entry.record.offset >= *from);
        Ok(Some(entries.iter().filter(|entry| ours(entry)).map(|entry| entry.record.clone()).collect()))
    }

    /// The next records from the file, and up to which sequence number it was read, if there was any.
    fn load(&self, last: u64) -> Result<(Vec<Entry>, Option<u64>), LogError> {
        let by_id: HashMap<i64, (usize, Arc<str>, u32)> = {
            let head = self.shared.head();
            let parts = head.parts.iter().enumerate();
            parts.map(|(number, part)| (part.id, (number, part.topic.clone(), part.partition))).collect()
        };
        let found = self.shared.records.connection()?.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sequence, part, position, time, key, headers, value FROM records
                 WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence LIMIT ?3",
            )?;
            let mut rows = statement.query(params![self.sequence, last, BATCH_RECORDS_MAX])?;
            let (mut entries, mut seen, mut bytes) = (Vec::new(), None, 0);
            while bytes < READ_BYTES_MAX
                && let Some(row) = rows.next()?
            {
                let sequence = row.get(0)?;
                seen = Some(sequence);
                // A topic that the log does not know any longer.
                let Some((part, topic, partition)) = by_id.get(&row.get(1)?) else { continue };
                let record = Arc::new(stored(row, 2, topic.clone(), *partition)?);
                bytes += record.size_bytes();
                entries.push(Entry { sequence, part: *part, record });
            }
            Ok((entries, seen))
        })?;
        Ok(found)
    }
}

#[async_trait]
impl Tail for SqliteTail {
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, LogError> {
        loop {
            self.appended.borrow_and_update();
            match self.poll()? {
                Some(records) if records.is_empty() => {}
                Some(records) => return Ok(records),
                None => self.appended.changed().await.map_err(|_| LogError::Closed)?,
            }
        }
    }
}

/// The sequence number after which the last so many records of these partitions come, none of them after `last`.
fn before_last(shared: &Shared, last: u64, records: usize, ids: &HashSet<i64>) -> Result<u64, LogError> {
    if records == 0 {
        return Ok(last);
    }
    let sequence = shared.records.connection()?.read(|connection| {
        // Backwards through the log, which may hold many of other topics' records.
        let mut statement = connection.prepare_cached(
            "SELECT sequence, part FROM records WHERE sequence <= ?1 ORDER BY sequence DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![last, LOOK_BACK_RECORDS_MAX.max(records)])?;
        let (mut left, mut sequence) = (records, last + 1);
        while left > 0
            && let Some(row) = rows.next()?
        {
            if ids.contains(&row.get(1)?) {
                sequence = row.get(0)?;
                left -= 1;
            }
        }
        Ok(sequence - 1)
    })?;
    Ok(sequence)
}

/// The sequence number after which a partition's records from an offset on come.
fn before(shared: &Shared, part: usize, from: u64) -> Result<Option<u64>, LogError> {
    let id = shared.head().parts[part].id;
    let sequence: Option<u64> = shared.records.connection()?.read(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT sequence FROM records WHERE part = ?1 AND position >= ?2 ORDER BY position LIMIT 1",
        )?;
        let mut rows = statement.query(params![id, from])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    })?;
    Ok(sequence.map(|sequence| sequence.saturating_sub(1)))
}
