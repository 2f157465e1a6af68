//! Answers from the sums by the hour, and from the rows where those do not tell.

mod expensive;

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::super::failure::Failure;
use super::super::journal::count;
use super::pack;
use super::record;
use super::row;
use super::words::{Dictionary, find};
use crate::domain::analytics::MAX_DIMENSIONS;
use crate::domain::analytics::bucket::{Plan, position};
use crate::domain::analytics::store::{Dimension, Ingestion, Selection, Sum, SumsQuery};
use crate::domain::clock::Timestamp;
use crate::domain::error::Error;
use crate::domain::hourly::{HOUR_MICROS, Totals};
use crate::domain::observation::usage::Tokens;
use crate::domain::sketch::Tally;
use crate::domain::word::Vocabulary;
pub(super) use expensive::expensive;

// The columns of both begin alike: time, kind, outcome, and the names in the order of `Dimension`, as numbers.
const HOURS: &str = "
    SELECT hour, kind, failed, model, provider, agent, project, observations, cost, unknown_costs, input, cache_read, cache_write_5m,
           cache_write_1h, audio_input, output, reasoning, audio_output, latency, first_token
      FROM analytics_hourly WHERE hour >= ?1 AND hour < ?2";
const ROWS: &str = "
    SELECT start_us, kind, level, coalesce(model_responded, model_requested), provider, agent, project, session, user, prompt_name, counts,
           coalesce(provided_cost, computed_cost), input, cache_read, cache_write_5m, cache_write_1h, audio_input, output, reasoning,
           audio_output, end_us, first_token_us
      FROM telemetry_observations WHERE start_us >= ?1 AND start_us < ?2 LIMIT ?3";
const COUNT: &str =
    "SELECT coalesce(sum(observations), 0) FROM analytics_hourly WHERE hour >= ?1 AND hour < ?2";
const NEWEST: &str = "SELECT start_us FROM telemetry_observations ORDER BY start_us DESC LIMIT 1";
const OLDEST: &str = "SELECT start_us FROM telemetry_observations ORDER BY start_us LIMIT 1";

/// The first name in a row of [`HOURS`] or [`ROWS`].
const NAMES: usize = 3;

/// Adds up what `query` asks for.
pub(super) fn sums(connection: &Connection, query: &SumsQuery) -> Result<Vec<Sum>, Failure> {
    let (Some(first), Some(last)) = (query.bounds.first(), query.bounds.last()) else {
        return Ok(Vec::new());
    };
    let Some(wanted) = Wanted::of(connection, &query.selection)? else {
        return Ok(Vec::new());
    };
    let mut adder = Adder {
        query,
        wanted,
        groups: HashMap::new(),
        rows: 0,
    };
    if query
        .group_by
        .iter()
        .any(|dimension| dimension.needs_rows())
    {
        let everything = first.as_micros()..last.as_micros();
        adder.check_rows(connection, &everything)?;
        adder.add_rows(connection, &everything)?;
        return adder.finish(connection);
    }
    let plan = Plan::of(&query.bounds);
    let stretches = plan.stretches(&query.bounds);
    for stretch in &stretches {
        adder.check_rows(connection, stretch)?;
    }
    adder.add_hours(connection, &plan)?;
    for stretch in &stretches {
        adder.add_rows(connection, stretch)?;
    }
    adder.finish(connection)
}

/// What is counted, in numbers.
pub(super) struct Wanted {
    kinds: Vec<i64>,
    /// The places of names behind [`NAMES`], with the numbers that are asked for.
    names: Vec<(usize, i64)>,
}

impl Wanted {
    /// `None` where a name is asked for that nothing has.
    pub(super) fn of(
        connection: &Connection,
        selection: &Selection,
    ) -> rusqlite::Result<Option<Self>> {
        let kinds = selection.kinds.iter().copied();
        let mut wanted = Self {
            kinds: kinds.map(row::kind_number).collect(),
            names: Vec::new(),
        };
        for (dimension, name) in selection.names() {
            if name.is_empty() {
                continue;
            }
            match find(connection, name)? {
                Some(number) => wanted.names.push((place(dimension), number)),
                None => return Ok(None),
            }
        }
        Ok(Some(wanted))
    }

    /// Whether a row is meant whose names are behind `names`, and that says its kind at `kind`.
    pub(super) fn matches(
        &self,
        row: &Row<'_>,
        kind: usize,
        names: usize,
    ) -> rusqlite::Result<bool> {
        if !self.kinds.is_empty() && !self.kinds.contains(&row.get(kind)?) {
            return Ok(false);
        }
        for (place, number) in &self.names {
            if row.get::<_, Option<i64>>(names + place)? != Some(*number) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The place of a name in rows.
fn place(dimension: Dimension) -> usize {
    let place = Dimension::ALL.iter().position(|other| *other == dimension);
    place.unwrap_or(0)
}

/// One sum: bucket, names as numbers (0 for none, and for what is not grouped by), kind, outcome.
type Key = (usize, [i64; MAX_DIMENSIONS], i64, bool);

/// What is being added up.
struct Adder<'a> {
    query: &'a SumsQuery,
    wanted: Wanted,
    groups: HashMap<Key, Amounts>,
    /// How many rows have been read.
    rows: usize,
}

#[derive(Default)]
struct Amounts {
    observations: i64,
    cost: i64,
    unknown_costs: i64,
    tokens: [i64; Tokens::BUCKETS],
    latency: Tally,
    first_token: Tally,
}

impl Adder<'_> {
    /// Refuses a stretch of which the sums by the hour tell that it has too many rows, before any of them is read.
    fn check_rows(
        &self,
        connection: &Connection,
        stretch: &std::ops::Range<i64>,
    ) -> Result<(), Failure> {
        let whole = (
            -(-stretch.start).div_euclid(HOUR_MICROS),
            stretch.end.div_euclid(HOUR_MICROS),
        );
        let rows: i64 = connection
            .prepare_cached(COUNT)?
            .query_row(whole, |row| row.get(0))?;
        if rows > count(self.query.most_rows) {
            return Err(self.too_broad());
        }
        Ok(())
    }

    fn too_broad(&self) -> Failure {
        let limit = self.query.most_rows;
        Error::QuestionTooBroad { limit }.into()
    }

    fn add_hours(&mut self, connection: &Connection, plan: &Plan) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(HOURS)?;
        let mut rows = statement.query((plan.hours.start, plan.hours.end))?;
        while let Some(row) = rows.next()? {
            let hour: i64 = row.get(0)?;
            if plan.cut.contains(&hour) || !self.wanted.matches(row, 1, NAMES)? {
                continue;
            }
            let failed = row.get::<_, i64>(2)? != 0;
            let distributions = self.query.distributions;
            let Some(amounts) = self.group(row, hour * HOUR_MICROS, failed)? else {
                continue;
            };
            amounts.add(row.get(7)?, row.get(8)?, row.get(9)?);
            amounts.add_tokens(row, 10)?;
            if distributions {
                let sketch = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_blob()?);
                amounts.latency.extend(pack::buckets(sketch(18)?));
                amounts.first_token.extend(pack::buckets(sketch(19)?));
            }
        }
        Ok(())
    }

    /// Adds the rows that began in `stretch`, as the sums by the hour would have them: see [`Totals::of`].
    fn add_rows(
        &mut self,
        connection: &Connection,
        stretch: &std::ops::Range<i64>,
    ) -> Result<(), Failure> {
        let most = self.query.most_rows;
        let left = count(most.saturating_sub(self.rows).saturating_add(1));
        let mut statement = connection.prepare_cached(ROWS)?;
        let mut rows = statement.query((stretch.start, stretch.end, left))?;
        while let Some(row) = rows.next()? {
            self.rows += 1;
            if self.rows > most {
                return Err(self.too_broad());
            }
            if !self.wanted.matches(row, 1, NAMES)? {
                continue;
            }
            let start: i64 = row.get(0)?;
            let failed = row::is_failed(row.get(2)?);
            let distributions = self.query.distributions;
            let Some(amounts) = self.group(row, start, failed)? else {
                continue;
            };
            let cost: Option<i64> = row.get(11)?;
            if row.get::<_, i64>(10)? != 0 {
                let tokens = amounts.add_tokens(row, 12)?;
                let unknown = cost.is_none() && tokens > 0;
                amounts.add(1, cost.unwrap_or(0), i64::from(unknown));
            } else {
                amounts.add(1, 0, 0);
            }
            if distributions {
                let since = |column| {
                    let time: Option<i64> = row.get(column)?;
                    let since = time.map(|time| u64::try_from(time - start).unwrap_or(0));
                    Ok::<_, rusqlite::Error>(since)
                };
                amounts.latency.record(since(20)?);
                amounts.first_token.record(since(21)?);
            }
        }
        Ok(())
    }

    /// What a row belongs to that began at `micros`; `None` where it began in no bucket.
    fn group(
        &mut self,
        row: &Row<'_>,
        micros: i64,
        failed: bool,
    ) -> rusqlite::Result<Option<&mut Amounts>> {
        let Some(bucket) = position(&self.query.bounds, micros) else {
            return Ok(None);
        };
        let mut names = [0; MAX_DIMENSIONS];
        for (name, dimension) in names.iter_mut().zip(&self.query.group_by) {
            let number: Option<i64> = row.get(NAMES + place(*dimension))?;
            *name = number.unwrap_or(0);
        }
        let key = (bucket, names, row.get(1)?, failed);
        Ok(Some(self.groups.entry(key).or_default()))
    }

    fn finish(self, connection: &Connection) -> Result<Vec<Sum>, Failure> {
        let mut words = Dictionary::new(connection);
        let mut sums = Vec::with_capacity(self.groups.len());
        for ((bucket, names, kind, failed), amounts) in self.groups {
            let names = names.iter().take(self.query.group_by.len());
            sums.push(Sum {
                bucket,
                names: names
                    .map(|number| words.word(Some(*number)))
                    .collect::<rusqlite::Result<_>>()?,
                kind: row::numbered_kind(kind),
                failed,
                totals: amounts.totals(),
            });
        }
        Ok(sums)
    }
}

impl Amounts {
    fn add(&mut self, observations: i64, cost: i64, unknown_costs: i64) {
        self.observations = self.observations.wrapping_add(observations);
        self.cost = self.cost.wrapping_add(cost);
        self.unknown_costs = self.unknown_costs.wrapping_add(unknown_costs);
    }

    /// Adds the tokens in the columns from `first` on, and returns how many they are.
    fn add_tokens(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<i64> {
        let mut added = 0_i64;
        for (index, sum) in self.tokens.iter_mut().enumerate() {
            let tokens: Option<i64> = row.get(first + index)?;
            let tokens = tokens.unwrap_or(0);
            *sum = sum.wrapping_add(tokens);
            added = added.saturating_add(tokens);
        }
        Ok(added)
    }

    fn totals(self) -> Totals {
        Totals {
            observations: self.observations,
            tokens: self.tokens,
            cost: self.cost,
            unknown_costs: self.unknown_costs,
            latency: self.latency.sketch(),
            first_token: self.first_token.sketch(),
        }
    }
}

/// Reads what has come in.
pub(super) fn ingestion(connection: &Connection) -> rusqlite::Result<Ingestion> {
    let time = |sql| {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let micros: Option<i64> = match rows.next()? {
            Some(row) => row.get(0)?,
            None => None,
        };
        Ok::<_, rusqlite::Error>(micros.and_then(Timestamp::from_micros))
    };
    Ok(Ingestion {
        newest: time(NEWEST)?,
        oldest: time(OLDEST)?,
        head: record::last(connection)?,
    })
}

#[cfg(test)]
mod tests;
