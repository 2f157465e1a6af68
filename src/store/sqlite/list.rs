//! Lists of notifications, whose cost does not grow with the table.
//!
//! SQLite cannot merge several ranges of an index into one order, and would sort everything that matches. So each state, or each state
//! and priority, is a range of its own here, read in the order of the id from an index; the ranges are merged, and only the rows of a
//! page are fetched.

use rusqlite::Connection;

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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Range {
    Everything,
    State(String),
    Urgency(String, String),
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
    "SELECT id FROM notifications WHERE status = ?3 AND id > ?1 ORDER BY id LIMIT ?2";
const STATE_DOWN: &str =
    "SELECT id FROM notifications WHERE status = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2";
const URGENCY_UP: &str = "SELECT id FROM notifications WHERE status = ?3 AND priority = ?4 AND id > ?1 ORDER BY id LIMIT ?2";
const URGENCY_DOWN: &str = "SELECT id FROM notifications WHERE status = ?3 AND priority = ?4 AND id < ?1 ORDER BY id DESC LIMIT ?2";

fn range_ids(
    connection: &Connection,
    range: &Range,
    after: Option<i64>,
    descending: bool,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let from = after.unwrap_or(if descending { i64::MAX } else { i64::MIN });
    let limit = count(limit);
    let read = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
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
            let range =
                |state: &String| Range::Urgency(state.clone(), priority.as_str().to_owned());
            ranked.push((rank, states.iter().map(range).collect()));
        }
    }
    if filter.priorities.is_any() || filter.priorities.others {
        let mut others = Vec::new();
        for state in &states {
            for priority in other_words::<Priority>(&words(connection, NEXT_PRIORITY, Some(state))?)
            {
                others.push(Range::Urgency(state.clone(), priority));
            }
        }
        ranked.push((u8::try_from(Priority::ALL.len()).unwrap_or(u8::MAX), others));
    }
    Ok(ranked)
}

/// The states that `filter` means, as they are spelled in the table.
fn states(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<String>> {
    let Selection { values, others } = &filter.states;
    if filter.states.is_any() {
        return words(connection, NEXT_STATE, None);
    }
    let mut states: Vec<String> = State::ALL
        .iter()
        .filter(|state| values.contains(state))
        .map(|state| state.as_str().to_owned())
        .collect();
    if *others {
        states.extend(other_words::<State>(&words(connection, NEXT_STATE, None)?));
    }
    Ok(states)
}

fn other_words<T: Vocabulary>(words: &[String]) -> Vec<String> {
    words
        .iter()
        .filter(|word| T::parse(word).known().is_none())
        .cloned()
        .collect()
}

const NEXT_STATE: &str = "SELECT min(status) FROM notifications WHERE status > ?1";
const NEXT_PRIORITY: &str =
    "SELECT min(priority) FROM notifications WHERE priority > ?1 AND status = ?2";

/// The different words in an indexed column: one step in the index for each word, however many rows have it.
fn words(
    connection: &Connection,
    next: &str,
    state: Option<&str>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(next)?;
    let mut words: Vec<String> = Vec::new();
    loop {
        let last = words.last().map_or("", String::as_str);
        let word: Option<String> = match state {
            None => statement.query_row([last], |row| row.get(0))?,
            Some(state) => statement.query_row([last, state], |row| row.get(0))?,
        };
        match word {
            Some(word) => words.push(word),
            None => return Ok(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{NOTIFICATIONS, migrate};
    use super::*;

    /// What the planner says about `sql` on a database with the indexes of direct tooling beside ours.
    fn plan(sql: &str) -> String {
        let mut connection = Connection::open_in_memory().expect("a database");
        migrate(&mut connection, "test", NOTIFICATIONS).expect("a schema");
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
