//! Traces: what holds for all of their observations.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row};

use super::pack;
use super::row::trace_id;
use super::words::{Dictionary, Words};
use crate::domain::clock::Timestamp;
use crate::domain::observation::Times;
use crate::domain::observation::id::TraceId;
use crate::domain::observation::usage::{NanoDollars, Tokens};
use crate::domain::trace::{Trace, TraceFacts};

/// The columns that [`decode`] reads.
pub(super) const COLUMNS: &str = "t.id, t.trace, t.trace_text, t.start_us, t.end_us, t.name, t.user, t.session, t.release, t.environment, t.tags";

const FIND: &str = "
    SELECT t.id, t.trace, t.trace_text, t.start_us, t.end_us, t.name, t.user, t.session, t.release, t.environment, t.tags
      FROM telemetry_traces t WHERE t.trace = ?1";
const UPDATE: &str = "
    UPDATE telemetry_traces SET start_us = ?2, end_us = ?3, name = ?4, user = ?5, session = ?6, release = ?7, environment = ?8, tags = ?9
     WHERE id = ?1";
const SUMS: &str = "
    SELECT count(*), coalesce(sum(level = 3), 0),
           coalesce(sum(input * counts), 0), coalesce(sum(cache_read * counts), 0), coalesce(sum(cache_write_5m * counts), 0),
           coalesce(sum(cache_write_1h * counts), 0), coalesce(sum(audio_input * counts), 0), coalesce(sum(output * counts), 0),
           coalesce(sum(reasoning * counts), 0), coalesce(sum(audio_output * counts), 0),
           coalesce(sum(coalesce(provided_cost, computed_cost) * counts), 0),
           coalesce(sum(counts AND coalesce(provided_cost, computed_cost) IS NULL
                        AND input + cache_read + cache_write_5m + cache_write_1h + audio_input + output + reasoning + audio_output > 0), 0)
      FROM telemetry_observations WHERE trace = ?1";
/// The root that began first names a trace that nobody named.
const ROOT: &str = "
    SELECT name FROM telemetry_observations WHERE trace = ?1 AND parent IS NULL AND name IS NOT NULL ORDER BY start_us, id LIMIT 1";

/// A trace as the writer remembers it.
pub(super) struct KnownTrace {
    pub(super) number: i64,
    /// `None` for one that has no row yet but this.
    start: Option<i64>,
    end: Option<i64>,
    /// Without metadata, input and output.
    facts: TraceFacts,
}

impl KnownTrace {
    /// Adds what a report says. Returns whether that is news.
    pub(super) fn learn(&mut self, times: &Times, facts: &TraceFacts) -> bool {
        let start = times.start.as_micros();
        let end = times.end.map(Timestamp::as_micros);
        let mut is_news = false;
        if self.start.is_none_or(|known| start < known) {
            self.start = Some(start);
            is_news = true;
        }
        if end > self.end {
            self.end = end;
            is_news = true;
        }
        if facts.is_empty() {
            return is_news;
        }
        let before = self.facts.clone();
        self.facts.join(facts);
        self.facts.metadata.clear();
        (self.facts.input, self.facts.output) = (None, None);
        is_news || self.facts != before
    }
}

/// Finds a trace by its id.
pub(super) fn find(connection: &Connection, id: &TraceId) -> rusqlite::Result<Option<KnownTrace>> {
    let mut words = Dictionary::new(connection);
    connection
        .prepare_cached(FIND)?
        .query_row([&id.as_bytes()[..]], |row| known(row, &mut words))
        .optional()
}

fn known(row: &Row<'_>, words: &mut Dictionary<'_>) -> rusqlite::Result<KnownTrace> {
    Ok(KnownTrace {
        number: row.get(0)?,
        start: Some(row.get(3)?),
        end: row.get(4)?,
        facts: facts(row, words)?,
    })
}

fn facts(row: &Row<'_>, words: &mut Dictionary<'_>) -> rusqlite::Result<TraceFacts> {
    let mut word = |column: usize| words.word(row.get(column)?);
    let tags: Option<String> = row.get(10)?;
    let tags: BTreeSet<String> = tags
        .and_then(|tags| serde_json::from_str(&tags).ok())
        .unwrap_or_default();
    Ok(TraceFacts {
        name: word(5)?,
        user: word(6)?,
        session: word(7)?,
        release: word(8)?,
        environment: word(9)?,
        tags,
        ..TraceFacts::default()
    })
}

/// Makes the row of a new trace; what is known about it follows by [`update`].
pub(super) fn insert(connection: &Connection, id: &TraceId) -> rusqlite::Result<KnownTrace> {
    connection
        .prepare_cached(
            "INSERT INTO telemetry_traces (trace, trace_text, start_us) VALUES (?1, ?2, 0)",
        )?
        .execute((&id.as_bytes()[..], id.text()))?;
    Ok(KnownTrace {
        number: connection.last_insert_rowid(),
        start: None,
        end: None,
        facts: TraceFacts::default(),
    })
}

/// Writes what is remembered of a trace into its row.
pub(super) fn update(
    connection: &Connection,
    words: &mut Words,
    known: &KnownTrace,
) -> rusqlite::Result<()> {
    let mut names = [None; 5];
    for (number, name) in names.iter_mut().zip(known.facts.names()) {
        *number = words.number(connection, name)?;
    }
    let [name, user, session, release, environment] = names;
    let tags = (!known.facts.tags.is_empty())
        .then(|| serde_json::to_string(&known.facts.tags).unwrap_or_default());
    let start = known.start.unwrap_or(0);
    let row = (
        known.number,
        start,
        known.end,
        name,
        user,
        session,
        release,
        environment,
        tags,
    );
    connection.prepare_cached(UPDATE)?.execute(row).map(drop)
}

/// Adds metadata, input and output to those that are stored.
pub(super) fn learn_payload(
    connection: &Connection,
    number: i64,
    facts: &TraceFacts,
) -> rusqlite::Result<()> {
    if facts.metadata.is_empty() && facts.input.is_none() && facts.output.is_none() {
        return Ok(());
    }
    let mut joined = TraceFacts::default();
    load_payload(connection, number, &mut joined)?;
    let before = joined.clone();
    joined.join(&TraceFacts {
        metadata: facts.metadata.clone(),
        input: facts.input.clone(),
        output: facts.output.clone(),
        ..TraceFacts::default()
    });
    if joined == before {
        return Ok(());
    }
    let metadata = serde_json::to_string(&joined.metadata).unwrap_or_default();
    let parts = [
        Some(metadata.as_str()),
        joined.input.as_deref(),
        joined.output.as_deref(),
    ];
    let write = "INSERT OR REPLACE INTO telemetry_trace_payloads (trace, data) VALUES (?1, ?2)";
    connection
        .prepare_cached(write)?
        .execute((number, pack::pack(&parts).unwrap_or_default()))
        .map(drop)
}

fn load_payload(
    connection: &Connection,
    number: i64,
    facts: &mut TraceFacts,
) -> rusqlite::Result<()> {
    let data: Option<Vec<u8>> = connection
        .prepare_cached("SELECT data FROM telemetry_trace_payloads WHERE trace = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    if let Some([metadata, input, output]) = data.and_then(|data| pack::unpack(&data)) {
        let metadata: Option<BTreeMap<String, String>> =
            metadata.and_then(|metadata| serde_json::from_str(&metadata).ok());
        facts.metadata = metadata.unwrap_or_default();
        (facts.input, facts.output) = (input, output);
    }
    Ok(())
}

/// The trace in a row of [`COLUMNS`], with its number, and the sums of its observations.
pub(super) fn decode(
    connection: &Connection,
    row: &Row<'_>,
    words: &mut Dictionary<'_>,
) -> rusqlite::Result<(i64, Option<Trace>)> {
    let number: i64 = row.get(0)?;
    let Some(id) = trace_id(row, 1)? else {
        return Ok((number, None));
    };
    let time = |column| {
        let micros: Option<i64> = row.get(column)?;
        Ok::<_, rusqlite::Error>(micros.and_then(Timestamp::from_micros))
    };
    let mut facts = facts(row, words)?;
    if facts.name.is_empty() {
        let root: Option<i64> = connection
            .prepare_cached(ROOT)?
            .query_row([number], |row| row.get(0))
            .optional()?;
        facts.name = words.word(root)?;
    }
    let mut trace = Trace {
        id,
        facts,
        start_time: time(3)?.unwrap_or(Timestamp::MIN),
        end_time: time(4)?,
        observations: 0,
        errors: 0,
        tokens: Tokens::default(),
        cost: NanoDollars::default(),
        unknown_costs: 0,
    };
    connection
        .prepare_cached(SUMS)?
        .query_row([number], |row| {
            let count = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
            let mut buckets = [0; Tokens::BUCKETS];
            for (index, bucket) in buckets.iter_mut().enumerate() {
                *bucket = count(2 + index)?;
            }
            trace.observations = count(0)?;
            trace.errors = count(1)?;
            trace.tokens = Tokens::from_buckets(buckets);
            trace.cost = NanoDollars(row.get(2 + Tokens::BUCKETS)?);
            trace.unknown_costs = count(3 + Tokens::BUCKETS)?;
            Ok(())
        })?;
    Ok((number, Some(trace)))
}

/// A trace with its metadata, input and output, and its number.
pub(super) fn load(
    connection: &Connection,
    id: &TraceId,
) -> rusqlite::Result<Option<(i64, Trace)>> {
    let mut words = Dictionary::new(connection);
    let found = connection
        .prepare_cached(FIND)?
        .query_row([&id.as_bytes()[..]], |row| {
            decode(connection, row, &mut words)
        })
        .optional()?;
    let Some((number, Some(mut trace))) = found else {
        return Ok(None);
    };
    load_payload(connection, number, &mut trace.facts)?;
    Ok(Some((number, trace)))
}
