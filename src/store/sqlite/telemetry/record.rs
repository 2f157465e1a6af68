//! Writing reports: each becomes a row, or a part of one.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::failure::Failure;
use super::hourly::Ledger;
use super::row::{self, COLUMNS};
use super::traces::{self, KnownTrace};
use super::words::Words;
use crate::domain::error::Error;
use crate::domain::observation::Facts;
use crate::domain::observation::draft::Report;
use crate::domain::observation::id::TraceId;
use crate::domain::observation::merge::join;
use crate::domain::observation::store::{ObservationChangeKind, Outcome, Recorded};
use crate::domain::word::Vocabulary;

/// The most traces that the writer remembers.
const MOST_TRACES: usize = 4_096;

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let parameters: Vec<String> = (1..=COLUMNS.len() + 1).map(|n| format!("?{n}")).collect();
    format!(
        "INSERT INTO telemetry_observations ({}, id) VALUES ({}) ON CONFLICT DO NOTHING",
        COLUMNS.join(", "),
        parameters.join(", ")
    )
});
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<String> = (1..)
        .zip(COLUMNS)
        .map(|(n, column)| format!("{column} = ?{n}"))
        .collect();
    format!(
        "UPDATE telemetry_observations SET {} WHERE id = ?{}",
        columns.join(", "),
        COLUMNS.len() + 1
    )
});

/// The last sequence of the journal; 0 for an empty one.
pub(in crate::store::sqlite) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM telemetry_changes")?
        .query_row([], |row| row.get(0))
}

/// A report with its payload, packed before the writer has to wait for that.
pub(super) struct Prepared {
    report: Report,
    payload: Option<Vec<u8>>,
}

impl Prepared {
    pub(super) fn new(report: Report) -> Self {
        let payload = row::payload(report.facts());
        Self { report, payload }
    }

    /// About how many bytes it brings.
    pub(super) fn size(&self) -> usize {
        256 + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// What the writer remembers from one transaction to the next. It holds only as long as the journal ends where its last transaction left it: after one
/// that was undone, everything is looked up again.
#[derive(Default)]
pub(super) struct Memory {
    sequence: i64,
    pub(super) words: Words,
    pub(super) traces: HashMap<TraceId, KnownTrace>,
    /// Whether any observation has been reported under several names.
    has_aliases: Option<bool>,
}

/// Runs `work`, which gets what is remembered, inside the transaction of `connection`.
pub(super) fn with_memory<T>(
    connection: &Connection,
    memory: &mut Memory,
    work: impl FnOnce(&mut Scribe<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let sequence = last(connection)?;
    // Taken out until it is known to be good, so that a panic leaves nothing of it behind.
    let mut taken = std::mem::take(memory);
    if taken.sequence != sequence || taken.traces.len() > MOST_TRACES {
        taken = Memory::default();
    }
    let mut scribe = Scribe {
        connection,
        memory: &mut taken,
        sequence,
        ledger: Ledger::default(),
        dirty: BTreeSet::new(),
    };
    let value = work(&mut scribe)?;
    let after = scribe.finish()?;
    // What was learned in a transaction that left no trace in the journal could not be told from one that was undone.
    if after != sequence {
        taken.sequence = after;
        *memory = taken;
    }
    Ok(value)
}

/// Records `reports`, in their order.
pub(super) fn record(
    connection: &Connection,
    memory: &mut Memory,
    reports: &[Prepared],
) -> Result<Vec<Recorded>, Failure> {
    with_memory(connection, memory, |scribe| {
        reports
            .iter()
            .map(|prepared| scribe.record(prepared))
            .collect()
    })
}

/// One transaction that changes observations.
pub(super) struct Scribe<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    sequence: i64,
    ledger: Ledger,
    /// Traces whose row is not yet what is remembered of them.
    dirty: BTreeSet<TraceId>,
}

impl Scribe<'_> {
    /// Writes what was put off, and returns the last sequence.
    fn finish(&mut self) -> Result<i64, Failure> {
        for id in std::mem::take(&mut self.dirty) {
            if let Some(known) = self.memory.traces.get(&id) {
                traces::update(self.connection, &mut self.memory.words, known)?;
            }
        }
        std::mem::take(&mut self.ledger).write(self.connection)?;
        Ok(self.sequence)
    }

    fn record(&mut self, prepared: &Prepared) -> Result<Recorded, Failure> {
        let facts = prepared.report.facts();
        let trace = self.trace(&prepared.report)?;
        if self.is_known_by_alias(facts)? {
            return self.merge(prepared, trace);
        }
        let id = self.sequence + 1;
        let columns = row::encode(self.connection, &mut self.memory.words, facts, trace, id)?;
        let values = columns.into_iter().chain([Value::Integer(id)]);
        let stored = self
            .connection
            .prepare_cached(&INSERT)?
            .execute(params_from_iter(values))?;
        if stored == 0 {
            // Its span or its request id is there already.
            return self.merge(prepared, trace);
        }
        self.journal(id, ObservationChangeKind::Stored)?;
        if let Some(payload) = &prepared.payload {
            self.write_payload(id, payload)?;
        }
        self.ledger
            .add(self.connection, &mut self.memory.words, facts)?;
        Ok(Recorded {
            outcome: Outcome::Stored,
            id,
        })
    }

    /// Joins a report with all that is stored about the same observation. That may be several rows, which nobody knew to be one until now.
    fn merge(&mut self, prepared: &Prepared, trace: Option<i64>) -> Result<Recorded, Failure> {
        let facts = prepared.report.facts();
        let ids = self.same(facts, trace)?;
        let mut found = Vec::new();
        for id in &ids {
            found.extend(row::load(self.connection, *id)?);
        }
        let Some((kept, others)) = found.split_first() else {
            let text = "a report is neither new nor known".to_owned();
            return Err(Error::Internal(text).into());
        };
        let mut joined = kept.facts.clone();
        for other in others {
            join(&mut joined, &other.facts);
        }
        let is_news = join(&mut joined, facts);
        let id = kept.id;
        if !is_news && others.is_empty() {
            let outcome = Outcome::Duplicate;
            return Ok(Recorded { outcome, id });
        }
        for other in others {
            self.remove(other.id, &other.facts)?;
        }
        self.replace(id, &kept.facts, &joined)?;
        Ok(Recorded {
            outcome: Outcome::Merged,
            id,
        })
    }

    /// The observations that were reported under one of the names of `facts`.
    fn same(&self, facts: &Facts, trace: Option<i64>) -> rusqlite::Result<BTreeSet<i64>> {
        let mut ids = BTreeSet::new();
        if let (Some(trace), Some(span)) = (trace, &facts.place.span) {
            let by_span = "SELECT id FROM telemetry_observations WHERE trace = ?1 AND span = ?2";
            let mut by_span = self.connection.prepare_cached(by_span)?;
            let key = (trace, row::span_number(span));
            ids.extend(
                by_span
                    .query_row(key, |row| row.get::<_, i64>(0))
                    .optional()?,
            );
        }
        for request in &facts.request_ids {
            let by_request = "SELECT id FROM telemetry_observations WHERE request_id = ?1";
            let mut by_request = self.connection.prepare_cached(by_request)?;
            ids.extend(
                by_request
                    .query_row([request], |row| row.get::<_, i64>(0))
                    .optional()?,
            );
        }
        ids.extend(self.by_alias(facts)?);
        Ok(ids)
    }

    fn by_alias(&self, facts: &Facts) -> rusqlite::Result<Vec<i64>> {
        let spans = facts.spans.iter().map(row::span_alias);
        let requests = facts.request_ids.iter().cloned().map(Value::Text);
        let by_alias = "SELECT observation FROM telemetry_aliases WHERE alias = ?1";
        let mut by_alias = self.connection.prepare_cached(by_alias)?;
        let mut ids = Vec::new();
        for alias in spans.chain(requests) {
            ids.extend(
                by_alias
                    .query_row([alias], |row| row.get::<_, i64>(0))
                    .optional()?,
            );
        }
        Ok(ids)
    }

    fn is_known_by_alias(&mut self, facts: &Facts) -> rusqlite::Result<bool> {
        let has_aliases = match self.memory.has_aliases {
            Some(has_aliases) => has_aliases,
            None => self
                .connection
                .prepare_cached("SELECT 1 FROM telemetry_aliases LIMIT 1")?
                .exists([])?,
        };
        self.memory.has_aliases = Some(has_aliases);
        Ok(has_aliases && !self.by_alias(facts)?.is_empty())
    }

    /// Writes `joined` in the place of observation `id`, which said `before`.
    fn replace(&mut self, id: i64, before: &Facts, joined: &Facts) -> Result<(), Failure> {
        let trace = match &joined.place.trace {
            Some(trace) => Some(self.known_trace(trace)?.number),
            None => None,
        };
        let sequence = self.journal(id, ObservationChangeKind::Merged)?;
        let words = &mut self.memory.words;
        let columns = row::encode(self.connection, words, joined, trace, sequence)?;
        let values = columns.into_iter().chain([Value::Integer(id)]);
        self.connection
            .prepare_cached(&UPDATE)?
            .execute(params_from_iter(values))?;
        if let Some(payload) = row::payload(joined) {
            self.write_payload(id, &payload)?;
        }
        self.forget_aliases(id)?;
        for alias in row::aliases(joined) {
            let insert = "INSERT INTO telemetry_aliases (alias, observation) VALUES (?1, ?2)";
            self.connection
                .prepare_cached(insert)?
                .execute((alias, id))?;
            self.memory.has_aliases = Some(true);
        }
        self.ledger
            .subtract(self.connection, &mut self.memory.words, before)?;
        self.ledger
            .add(self.connection, &mut self.memory.words, joined)?;
        Ok(())
    }

    /// Removes an observation with all that belongs to it.
    pub(super) fn remove(&mut self, id: i64, facts: &Facts) -> Result<(), Failure> {
        for delete in [
            "DELETE FROM telemetry_observations WHERE id = ?1",
            "DELETE FROM telemetry_payloads WHERE observation = ?1",
        ] {
            self.connection.prepare_cached(delete)?.execute([id])?;
        }
        self.forget_aliases(id)?;
        self.ledger
            .subtract(self.connection, &mut self.memory.words, facts)?;
        self.journal(id, ObservationChangeKind::Deleted)?;
        Ok(())
    }

    fn forget_aliases(&self, id: i64) -> rusqlite::Result<()> {
        let delete = "DELETE FROM telemetry_aliases WHERE observation = ?1";
        self.connection
            .prepare_cached(delete)?
            .execute([id])
            .map(drop)
    }

    fn write_payload(&self, id: i64, payload: &[u8]) -> rusqlite::Result<()> {
        let write = "INSERT OR REPLACE INTO telemetry_payloads (observation, data) VALUES (?1, ?2)";
        self.connection
            .prepare_cached(write)?
            .execute((id, payload))
            .map(drop)
    }

    fn journal(&mut self, id: i64, kind: ObservationChangeKind) -> rusqlite::Result<i64> {
        self.sequence += 1;
        let kind = ObservationChangeKind::ALL
            .iter()
            .position(|other| *other == kind);
        let kind = i64::try_from(kind.unwrap_or(0)).unwrap_or(0);
        let insert = "INSERT INTO telemetry_changes (seq, observation, kind) VALUES (?1, ?2, ?3)";
        self.connection
            .prepare_cached(insert)?
            .execute((self.sequence, id, kind))?;
        Ok(self.sequence)
    }

    /// The number of the trace of `report`, with what that says about it.
    fn trace(&mut self, report: &Report) -> Result<Option<i64>, Failure> {
        let facts = report.facts();
        let Some(id) = &facts.place.trace else {
            return Ok(None);
        };
        let connection = self.connection;
        let known = self.known_trace(id)?;
        if known.learn(&facts.times, report.trace()) {
            self.dirty.insert(id.clone());
        }
        let number = self.known_trace(id)?.number;
        traces::learn_payload(connection, number, report.trace())?;
        Ok(Some(number))
    }

    /// The trace with this id, which is made where there is none.
    fn known_trace(&mut self, id: &TraceId) -> Result<&mut KnownTrace, Failure> {
        if !self.memory.traces.contains_key(id) {
            let known = match traces::find(self.connection, id)? {
                Some(known) => known,
                None => traces::insert(self.connection, id)?,
            };
            self.memory.traces.insert(id.clone(), known);
        }
        let missing = || Error::Internal("a trace was forgotten while it was needed".to_owned());
        self.memory
            .traces
            .get_mut(id)
            .ok_or_else(|| missing().into())
    }
}

/// Groups of the sums are made again from all observations.
pub(super) fn rebuild_hourly(connection: &Connection, memory: &mut Memory) -> Result<(), Failure> {
    with_memory(connection, memory, |scribe| {
        scribe
            .connection
            .execute_batch("DELETE FROM analytics_hourly")?;
        let mut words = super::words::Dictionary::new(scribe.connection);
        let mut statement = scribe.connection.prepare(&row::SELECT)?;
        let mut rows = statement.query([])?;
        while let Some(found) = rows.next()? {
            let observation = row::decode(found, &mut words)?;
            let (connection, known) = (scribe.connection, &mut scribe.memory.words);
            scribe.ledger.add(connection, known, &observation.facts)?;
        }
        Ok(())
    })
}

/// The kind of change that has this number in the journal.
pub(super) fn change_kind(number: i64) -> ObservationChangeKind {
    let kind = usize::try_from(number).ok();
    let kind = kind.and_then(|kind| ObservationChangeKind::ALL.get(kind));
    kind.copied().unwrap_or(ObservationChangeKind::Merged)
}
