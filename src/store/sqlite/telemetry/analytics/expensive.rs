//! The most expensive observations of a range: a few of each day, from an index that has the dearest of a day behind each other.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rusqlite::Connection;

use super::super::super::failure::Failure;
use super::super::row;
use super::super::words::Dictionary;
use super::Wanted;
use crate::domain::analytics::store::ExpensiveQuery;
use crate::domain::error::Error;
use crate::domain::observation::Observation;

/// As the index has it, in microseconds.
const DAY_MICROS: i64 = 86_400_000_000;

/// The first day from ?1 on on which anything cost something.
const NEXT_DAY: &str = "
    SELECT start_us / 86400000000 FROM telemetry_observations
     WHERE counts = 1 AND coalesce(provided_cost, computed_cost) > 0 AND start_us / 86400000000 >= ?1
     ORDER BY start_us / 86400000000 LIMIT 1";
/// One day, the dearest first.
const DAY: &str = "
    SELECT coalesce(provided_cost, computed_cost), start_us, id, kind, coalesce(model_responded, model_requested), provider, agent, project
      FROM telemetry_observations
     WHERE counts = 1 AND coalesce(provided_cost, computed_cost) > 0 AND start_us / 86400000000 = ?1
     ORDER BY coalesce(provided_cost, computed_cost) DESC, start_us DESC, id DESC";
static BY_ID: LazyLock<String> = LazyLock::new(|| format!("{} WHERE o.id = ?1", *row::SELECT));

/// Cost, start and id: the order in which observations are told.
type Rank = (i64, i64, i64);

/// Reads the observations of `query`, the most expensive first.
pub(in super::super) fn expensive(
    connection: &Connection,
    query: &ExpensiveQuery,
) -> Result<Vec<Observation>, Failure> {
    let mut found = Vec::new();
    let Some(wanted) = Wanted::of(connection, &query.selection)? else {
        return Ok(found);
    };
    let mut words = Dictionary::new(connection);
    let mut by_id = connection.prepare_cached(&BY_ID)?;
    for (_, _, id) in ranked(connection, query, &wanted)?.iter().rev() {
        if let Some(row) = by_id.query([id])?.next()? {
            found.push(row::decode(row, &mut words)?);
        }
    }
    Ok(found)
}

/// The ranks of the observations of `query`.
fn ranked(
    connection: &Connection,
    query: &ExpensiveQuery,
    wanted: &Wanted,
) -> Result<BTreeSet<Rank>, Failure> {
    let range = query.start.as_micros()..query.end.as_micros();
    let mut next_day = connection.prepare_cached(NEXT_DAY)?;
    let mut of_day = connection.prepare_cached(DAY)?;
    let mut best = BTreeSet::new();
    let mut in_vain = 0;
    let mut from = range.start / DAY_MICROS;
    while let Some(day) = next_day.query([from])?.next()? {
        let day: i64 = day.get(0)?;
        if day > (range.end - 1) / DAY_MICROS {
            break;
        }
        let mut rows = of_day.query([day])?;
        while let Some(row) = rows.next()? {
            let rank: Rank = (row.get(0)?, row.get(1)?, row.get(2)?);
            let full = best.len() >= query.limit;
            if full && best.first().is_none_or(|worst| rank <= *worst) {
                break;
            }
            if range.contains(&rank.1) && wanted.matches(row, 3, 4)? {
                if full {
                    best.pop_first();
                }
                best.insert(rank);
                continue;
            }
            in_vain += 1;
            if in_vain > query.most_rows {
                let limit = query.most_rows;
                return Err(Error::QuestionTooBroad { limit }.into());
            }
        }
        from = day + 1;
    }
    Ok(best)
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 2] = [NEXT_DAY, DAY];
