//! Lists of notifications, whose cost does not grow with the table.
//!
//! SQLite cannot merge several ranges of an index into one order, and would sort everything that matches. So each state, or each state
//! and priority, is a range of its own here, read in the order of the id from an index; the ranges are merged, and only the rows of a
//! page are fetched.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::failure::Failure;
use super::journal::count;
use super::notification::fetch;
use crate::domain::notification::Notification;
use crate::domain::notification::filter::{Filter, Order, PageKey, Selection};
use crate::domain::notification::store::ListQuery;
use crate::domain::notification::{Priority, State};
use crate::domain::word::{Vocabulary, Word};

/// The most rows that one page looks at: a filter that hardly anything matches gives short pages, not long transactions.
const MAX_SCANNED: usize = 10_000;
/// The most bytes of notifications in a page, the last one excepted.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// A part of the table that an index has in the order of the id.
#[derive(Debug, Clone, PartialEq)]
enum Range {
    Everything,
    State(Stored),
    Urgency(Stored, Stored),
}

/// A state or priority exactly as the rows of a range have it. Direct tooling may have stored bytes, numbers, nothing, or text that is
/// not UTF-8.
#[derive(Debug, Clone, PartialEq)]
enum Stored {
    Text(Vec<u8>),
    Other(Value),
}

impl Stored {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Text(bytes) => Self::Text(bytes.to_owned()),
            ValueRef::Blob(bytes) => Self::Other(Value::Blob(bytes.to_owned())),
            ValueRef::Integer(number) => Self::Other(Value::Integer(number)),
            ValueRef::Real(number) => Self::Other(Value::Real(number)),
            ValueRef::Null => Self::Other(Value::Null),
        }
    }

    fn word<T: Vocabulary>(word: T) -> Self {
        Self::Text(word.as_str().as_bytes().to_owned())
    }

    fn is_word<T: Vocabulary>(&self) -> bool {
        T::ALL.iter().any(|word| *self == Self::word(*word))
    }
}

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Other(value) => value.into(),
        }))
    }
}

/// A page of a list, before the journal's bounds are added.
pub(super) struct Listed {
    pub(super) notifications: Vec<Notification>,
    pub(super) next: Option<PageKey>,
}

/// Reads a page.
pub(super) fn page(connection: &Connection, query: &ListQuery) -> Result<Listed, Failure> {
    let mut page = Pager {
        connection,
        query,
        notifications: Vec::new(),
        scanned: 0,
        bytes: 0,
    };
    let (first_rank, mut after) = query
        .after
        .map_or((0, None), |key| (key.rank, Some(key.id)));
    for (rank, ranges) in ranges(connection, query)?
        .into_iter()
        .filter(|(rank, _)| *rank >= first_rank)
    {
        if rank > first_rank {
            after = None;
        }
        if let Some(id) = page.read(&ranges, after)? {
            return Ok(Listed {
                notifications: page.notifications,
                next: Some(PageKey { rank, id }),
            });
        }
    }
    Ok(Listed {
        notifications: page.notifications,
        next: None,
    })
}

struct Pager<'a> {
    connection: &'a Connection,
    query: &'a ListQuery,
    notifications: Vec<Notification>,
    scanned: usize,
    bytes: usize,
}

impl Pager<'_> {
    /// Reads `ranges` after the id `after`. Returns the id at which the page ended, or `None` when the ranges did.
    fn read(&mut self, ranges: &[Range], mut after: Option<i64>) -> Result<Option<i64>, Failure> {
        let descending = self.query.order == Order::NewestFirst;
        loop {
            let wanted = (self.query.size - self.notifications.len()).saturating_add(1);
            let (ids, complete) = merge(self.connection, ranges, after, descending, wanted)?;
            for id in ids {
                if self.is_full() {
                    // Full before the first of these: ranks are read upwards, so everything lies after the least id.
                    return Ok(Some(after.unwrap_or(i64::MIN)));
                }
                self.scanned += 1;
                after = Some(id);
                // A row may be gone only between transactions, and this is one.
                let Some(notification) = fetch(self.connection, id)? else {
                    continue;
                };
                if self.query.filter.matches(&notification) {
                    self.bytes += notification.size();
                    self.notifications.push(notification);
                }
            }
            if complete {
                return Ok(None);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.notifications.len() >= self.query.size
            || self.scanned >= MAX_SCANNED
            || self.bytes >= MAX_BYTES
    }
}

/// Merges `ranges` after `after`. Returns at most `limit` ids, and whether these are all.
fn merge(
    connection: &Connection,
    ranges: &[Range],
    after: Option<i64>,
    descending: bool,
    limit: usize,
) -> rusqlite::Result<(Vec<i64>, bool)> {
    let mut ids = Vec::new();
    for range in ranges {
        ids.extend(range_ids(connection, range, after, descending, limit)?);
    }
    if ranges.len() > 1 {
        ids.sort_unstable();
        if descending {
            ids.reverse();
        }
    }
    let complete = ids.len() < limit;
    ids.truncate(limit);
    Ok((ids, complete))
}

const ALL_UP: &str = "SELECT id FROM notifications WHERE id > ?1 ORDER BY id LIMIT ?2";
const ALL_DOWN: &str = "SELECT id FROM notifications WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
const STATE_UP: &str =
    "SELECT id FROM notifications WHERE status IS ?3 AND id > ?1 ORDER BY id LIMIT ?2";
const STATE_DOWN: &str =
    "SELECT id FROM notifications WHERE status IS ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2";
const URGENCY_UP: &str = "SELECT id FROM notifications WHERE status IS ?3 AND priority IS ?4 AND id > ?1 ORDER BY id LIMIT ?2";
const URGENCY_DOWN: &str = "SELECT id FROM notifications WHERE status IS ?3 AND priority IS ?4 AND id < ?1 ORDER BY id DESC LIMIT ?2";

fn range_ids(
    connection: &Connection,
    range: &Range,
    after: Option<i64>,
    descending: bool,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let from = after.unwrap_or(if descending { i64::MAX } else { i64::MIN });
    let limit = count(limit);
    let read = |sql: &str, parameters: &[&dyn ToSql]| {
        connection
            .prepare_cached(sql)?
            .query_map(parameters, |row| row.get(0))?
            .collect()
    };
    match (range, descending) {
        (Range::Everything, false) => read(ALL_UP, &[&from, &limit]),
        (Range::Everything, true) => read(ALL_DOWN, &[&from, &limit]),
        (Range::State(state), false) => read(STATE_UP, &[&from, &limit, state]),
        (Range::State(state), true) => read(STATE_DOWN, &[&from, &limit, state]),
        (Range::Urgency(state, priority), false) => {
            read(URGENCY_UP, &[&from, &limit, state, priority])
        }
        (Range::Urgency(state, priority), true) => {
            read(URGENCY_DOWN, &[&from, &limit, state, priority])
        }
    }
}

/// The ranges that hold what `query` asks for, for each rank of its order.
fn ranges(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<(u8, Vec<Range>)>> {
    let filter = &query.filter;
    if query.order != Order::MostUrgentFirst {
        let ranges = if filter.states.is_any() {
            vec![Range::Everything]
        } else {
            states(connection, filter)?
                .into_iter()
                .map(Range::State)
                .collect()
        };
        return Ok(vec![(0, ranges)]);
    }
    let states = states(connection, filter)?;
    let mut ranked = Vec::new();
    for (rank, priority) in (0_u8..).zip(Priority::ALL) {
        if filter.priorities.matches(&Word::Known(*priority)) {
            let range = |state: &Stored| Range::Urgency(state.clone(), Stored::word(*priority));
            ranked.push((rank, states.iter().map(range).collect()));
        }
    }
    if filter.priorities.is_any() || filter.priorities.others {
        let mut others = Vec::new();
        for state in &states {
            let priorities = all_priorities(connection, state)?;
            let unknown = priorities.into_iter().filter(|p| !p.is_word::<Priority>());
            others.extend(unknown.map(|priority| Range::Urgency(state.clone(), priority)));
        }
        ranked.push((u8::try_from(Priority::ALL.len()).unwrap_or(u8::MAX), others));
    }
    Ok(ranked)
}

/// The states that `filter` means, as they are in the table.
fn states(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Stored>> {
    let Selection { values, others } = &filter.states;
    if filter.states.is_any() {
        return all_states(connection);
    }
    let mut states: Vec<Stored> = State::ALL
        .iter()
        .filter(|state| values.contains(state))
        .map(|state| Stored::word(*state))
        .collect();
    if *others {
        let found = all_states(connection)?;
        states.extend(found.into_iter().filter(|state| !state.is_word::<State>()));
    }
    Ok(states)
}

// NULL sorts before every value, so the first step finds it. The second walks over all rows without a state: the schema allows none, so
// there are some only where another tool has rebuilt the table.
const FIRST_STATE: &str = "SELECT status FROM notifications ORDER BY status LIMIT 1";
const SOME_STATE: &str =
    "SELECT status FROM notifications WHERE status IS NOT NULL ORDER BY status LIMIT 1";
const NEXT_STATE: &str =
    "SELECT status FROM notifications WHERE status > ?1 ORDER BY status LIMIT 1";
const FIRST_PRIORITY: &str =
    "SELECT priority FROM notifications WHERE status IS ?1 ORDER BY priority LIMIT 1";
const SOME_PRIORITY: &str = "SELECT priority FROM notifications WHERE status IS ?1 AND priority IS NOT NULL ORDER BY priority LIMIT 1";
const NEXT_PRIORITY: &str = "SELECT priority FROM notifications WHERE status IS ?1 AND priority > ?2 ORDER BY priority LIMIT 1";

/// The different states in the table.
fn all_states(connection: &Connection) -> rusqlite::Result<Vec<Stored>> {
    distinct(|last| match last {
        None => step(connection, FIRST_STATE, &[]),
        Some(Stored::Other(Value::Null)) => step(connection, SOME_STATE, &[]),
        Some(last) => step(connection, NEXT_STATE, &[last]),
    })
}

/// The different priorities of the rows in `state`.
fn all_priorities(connection: &Connection, state: &Stored) -> rusqlite::Result<Vec<Stored>> {
    distinct(|last| match last {
        None => step(connection, FIRST_PRIORITY, &[state]),
        Some(Stored::Other(Value::Null)) => step(connection, SOME_PRIORITY, &[state]),
        Some(last) => step(connection, NEXT_PRIORITY, &[state, last]),
    })
}

/// Collects values until there is none after the last: one step in an index for each, however many rows have it.
fn distinct(
    after: impl Fn(Option<&Stored>) -> rusqlite::Result<Option<Stored>>,
) -> rusqlite::Result<Vec<Stored>> {
    let mut values = Vec::new();
    while let Some(value) = after(values.last())? {
        values.push(value);
    }
    Ok(values)
}

fn step(
    connection: &Connection,
    sql: &str,
    parameters: &[&Stored],
) -> rusqlite::Result<Option<Stored>> {
    let value = |row: &Row<'_>| row.get_ref(0).map(Stored::of);
    connection
        .prepare_cached(sql)?
        .query_row(rusqlite::params_from_iter(parameters), value)
        .optional()
}

#[cfg(test)]
mod tests {
    use super::super::contents::NOTIFICATIONS;
    use super::super::schema::migrate;
    use super::*;

    /// What the planner says about `sql` on a database with the indexes of direct tooling beside ours.
    fn plan(sql: &str) -> String {
        let mut connection = Connection::open_in_memory().expect("a database");
        migrate(
            &mut connection,
            std::path::Path::new("test"),
            &NOTIFICATIONS,
        )
        .expect("a schema");
        connection
            .execute_batch(
                "CREATE INDEX idx_notifications_type ON notifications(type);
                 CREATE INDEX idx_notifications_priority ON notifications(priority);
                 CREATE INDEX idx_notifications_created_at ON notifications(created_at);",
            )
            .expect("indexes");
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .expect("a plan");
        let parameters = statement.parameter_count();
        let rows = statement
            .query_map(rusqlite::params_from_iter(vec![1; parameters]), |row| {
                row.get::<_, String>(3)
            })
            .expect("a plan");
        rows.collect::<Result<Vec<_>, _>>()
            .expect("a plan")
            .join("; ")
    }

    #[test]
    fn every_range_is_read_from_an_index_without_sorting() {
        let expected = [
            (ALL_UP, "INTEGER PRIMARY KEY"),
            (ALL_DOWN, "INTEGER PRIMARY KEY"),
            (STATE_UP, "COVERING INDEX idx_notifications_status"),
            (STATE_DOWN, "COVERING INDEX idx_notifications_status"),
            (URGENCY_UP, "COVERING INDEX idx_barista_urgency"),
            (URGENCY_DOWN, "COVERING INDEX idx_barista_urgency"),
            (NEXT_STATE, "COVERING INDEX"),
            (FIRST_PRIORITY, "COVERING INDEX idx_barista_urgency"),
            (SOME_PRIORITY, "COVERING INDEX idx_barista_urgency"),
            (NEXT_PRIORITY, "COVERING INDEX idx_barista_urgency"),
        ];
        for (sql, index) in expected {
            let plan = plan(sql);
            assert!(
                plan.contains("SEARCH") && plan.contains(index),
                "{sql}: {plan}"
            );
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
