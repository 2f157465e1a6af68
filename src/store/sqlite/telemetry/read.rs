//! Lists of observations and traces, trees, and the journal.

use std::sync::LazyLock;

use rusqlite::{Connection, Row, ToSql};

use super::super::failure::Failure;
use super::super::journal::count;
use super::record::change_kind;
use super::row;
use super::traces;
use super::words::{Dictionary, find};
use crate::domain::change::JournalBounds;
use crate::domain::clock::Timestamp;
use crate::domain::error::Error;
use crate::domain::observation::id::TraceId;
use crate::domain::observation::store::{
    ObservationChange, ObservationChangeKind, ObservationFilter, Page, PageKey, PageQuery,
    TraceFilter, TraceTree,
};
use crate::domain::observation::{Labels, Observation};
use crate::domain::trace::Trace;

/// The most rows that one page looks at: a filter that hardly anything matches gives short pages, not long transactions.
const MAX_SCANNED: usize = 10_000;

static BY_TIME: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE o.start_us >= ?1 AND (o.start_us, o.id) < (?2, ?3) ORDER BY o.start_us DESC, o.id DESC LIMIT ?4",
        *row::SELECT
    )
});
static BY_TRACE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE o.trace = (SELECT id FROM telemetry_traces WHERE trace = ?5)
              AND o.start_us >= ?1 AND (o.start_us, o.id) < (?2, ?3) ORDER BY o.start_us DESC, o.id DESC LIMIT ?4",
        *row::SELECT
    )
});
static TREE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE o.trace = ?1 ORDER BY o.start_us, o.id LIMIT ?2",
        *row::SELECT
    )
});
static CHANGED: LazyLock<String> = LazyLock::new(|| format!("{} WHERE o.id = ?1", *row::SELECT));
static TRACES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM telemetry_traces t
          WHERE t.start_us >= ?1 AND (t.start_us, t.id) < (?2, ?3) ORDER BY t.start_us DESC, t.id DESC LIMIT ?4",
        traces::COLUMNS
    )
});

/// Where a page begins: the first start that it may show, and the place that it comes after.
fn range(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    after: Option<PageKey>,
) -> (i64, PageKey) {
    let first = start.map_or(i64::MIN, Timestamp::as_micros);
    let end = PageKey {
        start: end.map_or(i64::MAX, Timestamp::as_micros),
        // Before everything that begins at the end itself.
        id: i64::MIN,
    };
    (first, after.map_or(end, |after| after.min(end)))
}

/// The labels that a filter names, as numbers; `None` where one of them is no word that anything has.
struct Wanted {
    model: Option<i64>,
    others: [(usize, Option<i64>); 5],
}

impl Wanted {
    fn of(connection: &Connection, filter: &ObservationFilter) -> rusqlite::Result<Option<Self>> {
        let number = |word: &str| -> rusqlite::Result<Option<Option<i64>>> {
            if word.is_empty() {
                return Ok(Some(None));
            }
            Ok(find(connection, word)?.map(Some))
        };
        let Some(model) = number(&filter.model)? else {
            return Ok(None);
        };
        let mut others = [
            (LABEL_PROVIDER, None),
            (LABEL_AGENT, None),
            (LABEL_PROJECT, None),
            (LABEL_SESSION, None),
            (LABEL_USER, None),
        ];
        let words = [
            &filter.provider,
            &filter.agent,
            &filter.project,
            &filter.session,
            &filter.user,
        ];
        for ((_, wanted), word) in others.iter_mut().zip(words) {
            match number(word)? {
                Some(found) => *wanted = found,
                None => return Ok(None),
            }
        }
        Ok(Some(Self { model, others }))
    }

    fn matches(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        for (label, wanted) in self.others {
            if !row::label_is(row, label, wanted)? {
                return Ok(false);
            }
        }
        Ok(row::label_is(row, LABEL_REQUESTED, self.model)?
            || row::label_is(row, LABEL_RESPONDED, self.model)?)
    }
}

/// Places in [`Labels::NAMES`].
const LABEL_REQUESTED: usize = 1;
const LABEL_RESPONDED: usize = 2;
const LABEL_PROVIDER: usize = 3;
const LABEL_AGENT: usize = 4;
const LABEL_PROJECT: usize = 5;
const LABEL_SESSION: usize = 6;
const LABEL_USER: usize = 7;
const _: () = assert!(LABEL_USER < Labels::COUNT);

/// Reads a page of observations.
pub(super) fn observations(
    connection: &Connection,
    query: &PageQuery<ObservationFilter>,
) -> rusqlite::Result<Page<Observation>> {
    let filter = &query.filter;
    let mut page = Page {
        items: Vec::new(),
        next: None,
    };
    let Some(wanted) = Wanted::of(connection, filter)? else {
        return Ok(page);
    };
    let (first, after) = range(filter.start, filter.end, query.after);
    let limit = count(MAX_SCANNED);
    let trace = filter.trace.as_ref().map(|trace| &trace.as_bytes()[..]);
    let mut parameters: Vec<&dyn ToSql> = vec![&first, &after.start, &after.id, &limit];
    let sql = match &trace {
        Some(trace) => {
            parameters.push(trace);
            &*BY_TRACE
        }
        None => &*BY_TIME,
    };
    let mut words = Dictionary::new(connection);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(&*parameters)?;
    let mut scanned = 0;
    while let Some(found) = rows.next()? {
        let (kind, level, start, id) = row::essence(found)?;
        scanned += 1;
        let is_meant = (filter.kinds.is_empty() || filter.kinds.contains(&kind))
            && (filter.levels.is_empty() || filter.levels.contains(&level))
            && wanted.matches(found)?;
        if is_meant {
            page.items.push(row::decode(found, &mut words)?);
        }
        if page.items.len() == query.size || scanned == MAX_SCANNED {
            page.next = Some(PageKey { start, id });
            break;
        }
    }
    Ok(page)
}

/// Reads a page of traces.
pub(super) fn traces(
    connection: &Connection,
    query: &PageQuery<TraceFilter>,
) -> rusqlite::Result<Page<Trace>> {
    let filter = &query.filter;
    let (first, after) = range(filter.start, filter.end, query.after);
    let mut page = Page {
        items: Vec::new(),
        next: None,
    };
    let mut words = Dictionary::new(connection);
    let mut statement = connection.prepare_cached(&TRACES)?;
    let mut rows = statement.query((first, after.start, after.id, count(MAX_SCANNED)))?;
    let mut scanned = 0;
    while let Some(found) = rows.next()? {
        let (number, trace) = traces::decode(connection, found, &mut words)?;
        scanned += 1;
        let start: i64 = found.get(3)?;
        page.items
            .extend(trace.filter(|trace| is_meant(filter, trace)));
        if page.items.len() == query.size || scanned == MAX_SCANNED {
            page.next = Some(PageKey { start, id: number });
            break;
        }
    }
    Ok(page)
}

fn is_meant(filter: &TraceFilter, trace: &Trace) -> bool {
    let names = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    let facts = &trace.facts;
    names(&filter.name, &facts.name)
        && names(&filter.session, &facts.session)
        && names(&filter.user, &facts.user)
        && names(&filter.environment, &facts.environment)
}

/// Reads a trace with its observations.
pub(super) fn tree(
    connection: &Connection,
    id: &TraceId,
    limit: usize,
) -> Result<TraceTree, Failure> {
    let Some((number, trace)) = traces::load(connection, id)? else {
        let id = id.to_string();
        return Err(Error::TraceNotFound { id }.into());
    };
    let mut words = Dictionary::new(connection);
    let mut statement = connection.prepare_cached(&TREE)?;
    let mut rows = statement.query((number, count(limit.saturating_add(1))))?;
    let mut observations = Vec::new();
    while let Some(found) = rows.next()? {
        observations.push(row::decode(found, &mut words)?);
    }
    let truncated = observations.len() > limit;
    observations.truncate(limit);
    Ok(TraceTree {
        trace,
        observations,
        truncated,
    })
}

/// The first sequence that is kept, when `head` is the last that is published.
pub(in crate::store::sqlite) fn oldest(
    connection: &Connection,
    head: i64,
) -> rusqlite::Result<i64> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT min(seq) FROM telemetry_changes")?
        .query_row([], |row| row.get(0))?;
    Ok(oldest.unwrap_or(head + 1).min(head + 1))
}

/// Reads at most `limit` changes after `after`, up to the published head in `bounds`.
pub(super) fn changes_after(
    connection: &Connection,
    bounds: impl Fn(&Connection) -> rusqlite::Result<JournalBounds>,
    after: i64,
    head: i64,
    limit: usize,
) -> Result<Vec<ObservationChange>, Failure> {
    if after > head {
        let bounds = bounds(connection)?;
        return Err(Error::UnknownCursor { bounds }.into());
    }
    let mut statement = connection.prepare_cached(
        "SELECT seq, observation, kind FROM telemetry_changes WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut words = Dictionary::new(connection);
    let mut observation = connection.prepare_cached(&CHANGED)?;
    let mut rows = statement.query((after, head, count(limit)))?;
    let mut changes = Vec::new();
    while let Some(found) = rows.next()? {
        let (sequence, id, kind) = (found.get(0)?, found.get(1)?, change_kind(found.get(2)?));
        let observation = match kind {
            ObservationChangeKind::Deleted => None,
            _ => match observation.query([id])?.next()? {
                Some(found) => Some(row::decode(found, &mut words)?),
                None => None,
            },
        };
        changes.push(ObservationChange {
            sequence,
            kind,
            id,
            observation,
        });
    }
    let gap = changes
        .iter()
        .zip(after + 1..)
        .any(|(change, sequence)| change.sequence != sequence);
    if gap || (changes.is_empty() && after < head) {
        let bounds = bounds(connection)?;
        return Err(Error::SequenceCompacted { after, bounds }.into());
    }
    Ok(changes)
}
