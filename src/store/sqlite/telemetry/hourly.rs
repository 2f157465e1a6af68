//! The sums by the hour, kept in the transaction that changes what they are sums of.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::pack::{from_sketch, to_sketch};
use super::row;
use super::words::{Dictionary, Words};
use crate::domain::hourly::{Hourly, HourlyKey, Totals, failed, hour};
use crate::domain::observation::Facts;
use crate::domain::observation::usage::Tokens;

/// How many columns name a group.
const KEYS: usize = 7;
/// How many columns are numbers: of observations, tokens, cost, and unknown costs.
const NUMBERS: usize = 3 + Tokens::BUCKETS;

const FIND: &str = "
    SELECT observations, input, cache_read, cache_write_5m, cache_write_1h, audio_input, output, reasoning, audio_output, cost,
           unknown_costs, latency, first_token, id
      FROM analytics_hourly
     WHERE hour = ?1 AND kind = ?2 AND failed = ?3 AND model = ?4 AND provider = ?5 AND agent = ?6 AND project = ?7";
const INSERT: &str = "
    INSERT INTO analytics_hourly (hour, kind, failed, model, provider, agent, project, observations, input, cache_read, cache_write_5m,
           cache_write_1h, audio_input, output, reasoning, audio_output, cost, unknown_costs, latency, first_token)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";
const UPDATE: &str = "
    UPDATE analytics_hourly SET observations = ?2, input = ?3, cache_read = ?4, cache_write_5m = ?5, cache_write_1h = ?6,
           audio_input = ?7, output = ?8, reasoning = ?9, audio_output = ?10, cost = ?11, unknown_costs = ?12, latency = ?13,
           first_token = ?14
     WHERE id = ?1";
const READ: &str = "
    SELECT observations, input, cache_read, cache_write_5m, cache_write_1h, audio_input, output, reasoning, audio_output, cost,
           unknown_costs, latency, first_token, hour, kind, failed, model, provider, agent, project
      FROM analytics_hourly WHERE hour >= ?1 AND hour < ?2
     ORDER BY hour, kind, failed, model, provider, agent, project";

/// A group, with its names as numbers: hour, kind, failed, model, provider, agent, project.
type Group = [i64; KEYS];

/// What a transaction adds to the groups, and takes from them.
#[derive(Default)]
pub(super) struct Ledger {
    changes: BTreeMap<Group, Totals>,
}

impl Ledger {
    /// Adds an observation to its group.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        words: &mut Words,
        facts: &Facts,
    ) -> rusqlite::Result<()> {
        let group = group(connection, words, facts)?;
        self.changes
            .entry(group)
            .or_default()
            .add(&Totals::of(facts));
        Ok(())
    }

    /// Takes an observation from its group.
    pub(super) fn subtract(
        &mut self,
        connection: &Connection,
        words: &mut Words,
        facts: &Facts,
    ) -> rusqlite::Result<()> {
        let group = group(connection, words, facts)?;
        let changes = self.changes.entry(group).or_default();
        changes.subtract(&Totals::of(facts));
        Ok(())
    }

    /// Writes the sums.
    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        for (group, change) in self.changes {
            if !change.is_empty() {
                apply(connection, group, &change)?;
            }
        }
        Ok(())
    }
}

fn group(connection: &Connection, words: &mut Words, facts: &Facts) -> rusqlite::Result<Group> {
    let labels = &facts.labels;
    let mut number =
        |word: &str| Ok::<_, rusqlite::Error>(words.number(connection, word)?.unwrap_or(0));
    Ok([
        hour(facts),
        row::kind_number(facts.kind),
        i64::from(failed(facts)),
        number(labels.model())?,
        number(&labels.provider)?,
        number(&labels.agent)?,
        number(&labels.project)?,
    ])
}

fn apply(connection: &Connection, group: Group, change: &Totals) -> rusqlite::Result<()> {
    let found = connection
        .prepare_cached(FIND)?
        .query_row(params_from_iter(group), |row| {
            Ok((row.get::<_, i64>(NUMBERS + 2)?, totals(row)?))
        })
        .optional()?;
    let Some((id, mut totals)) = found else {
        return insert(connection, group, change);
    };
    totals.add(change);
    if totals.is_empty() {
        let delete = "DELETE FROM analytics_hourly WHERE id = ?1";
        return connection.prepare_cached(delete)?.execute([id]).map(drop);
    }
    let mut update = connection.prepare_cached(UPDATE)?;
    update.raw_bind_parameter(1, id)?;
    bind(&mut update, 2, &totals)?;
    update.raw_execute().map(drop)
}

fn insert(connection: &Connection, group: Group, totals: &Totals) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(INSERT)?;
    for (index, number) in group.into_iter().enumerate() {
        insert.raw_bind_parameter(1 + index, number)?;
    }
    bind(&mut insert, 1 + KEYS, totals)?;
    insert.raw_execute().map(drop)
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    first: usize,
    totals: &Totals,
) -> rusqlite::Result<()> {
    let mut numbers = vec![totals.observations];
    numbers.extend(totals.tokens);
    numbers.extend([totals.cost, totals.unknown_costs]);
    for (index, number) in numbers.into_iter().enumerate() {
        statement.raw_bind_parameter(first + index, number)?;
    }
    statement.raw_bind_parameter(first + NUMBERS, from_sketch(&totals.latency))?;
    statement.raw_bind_parameter(first + NUMBERS + 1, from_sketch(&totals.first_token))
}

fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    let mut tokens = [0; Tokens::BUCKETS];
    for (index, bucket) in tokens.iter_mut().enumerate() {
        *bucket = row.get(1 + index)?;
    }
    let sketch = |column| {
        let bytes = row.get_ref(column)?.as_blob().unwrap_or_default();
        Ok::<_, rusqlite::Error>(to_sketch(bytes))
    };
    Ok(Totals {
        observations: row.get(0)?,
        tokens,
        cost: row.get(NUMBERS - 2)?,
        unknown_costs: row.get(NUMBERS - 1)?,
        latency: sketch(NUMBERS)?,
        first_token: sketch(NUMBERS + 1)?,
    })
}

/// The groups of `hours`.
pub(super) fn read(connection: &Connection, hours: &Range<i64>) -> rusqlite::Result<Vec<Hourly>> {
    let mut words = Dictionary::new(connection);
    let mut statement = connection.prepare_cached(READ)?;
    let mut rows = statement.query((hours.start, hours.end))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let first = NUMBERS + 2;
        let mut word = |index: usize| words.word(row.get(first + index)?);
        let key = HourlyKey {
            hour: row.get(first)?,
            kind: row::numbered_kind(row.get(first + 1)?),
            failed: row.get::<_, i64>(first + 2)? != 0,
            model: word(3)?,
            provider: word(4)?,
            agent: word(5)?,
            project: word(6)?,
        };
        found.push(Hourly {
            key,
            totals: totals(row)?,
        });
    }
    Ok(found)
}
