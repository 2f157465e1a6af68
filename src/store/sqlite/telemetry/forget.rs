//! Forgetting telemetry: a few rows at a time.

use rusqlite::Connection;

use super::super::failure::Failure;
use super::super::journal::count;
use super::record::{Memory, with_memory};
use super::row;
use crate::domain::clock::Timestamp;
use crate::domain::observation::store::Forget;

/// Forgets at most `limit` rows, and returns how many.
pub(super) fn forget(
    connection: &Connection,
    memory: &mut Memory,
    what: Forget,
    limit: usize,
) -> Result<usize, Failure> {
    match what {
        Forget::Observations { before } => observations(connection, memory, before, limit),
        Forget::Payloads { before } => payloads(connection, before, limit),
        Forget::Journal { through } => journal(connection, through, limit),
    }
}

fn observations(
    connection: &Connection,
    memory: &mut Memory,
    before: Timestamp,
    limit: usize,
) -> Result<usize, Failure> {
    let forgotten = with_memory(connection, memory, |scribe| {
        let ids: Vec<i64> = connection
            .prepare_cached("SELECT id FROM telemetry_observations WHERE start_us < ?1 ORDER BY start_us LIMIT ?2")?
            .query_map((before.as_micros(), count(limit)), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut traces = Vec::new();
        for id in &ids {
            if let Some(observation) = row::load(connection, *id)? {
                scribe.remove(*id, &observation.facts)?;
                traces.extend(observation.facts.place.trace);
            }
        }
        traces.dedup();
        for trace in traces {
            let delete = "DELETE FROM telemetry_traces WHERE trace = ?1
                AND NOT EXISTS (SELECT 1 FROM telemetry_observations o WHERE o.trace = telemetry_traces.id) RETURNING id";
            let mut delete = connection.prepare_cached(delete)?;
            let mut gone = delete.query([&trace.as_bytes()[..]])?;
            if let Some(row) = gone.next()? {
                let number: i64 = row.get(0)?;
                let delete = "DELETE FROM telemetry_trace_payloads WHERE trace = ?1";
                connection.prepare_cached(delete)?.execute([number])?;
                scribe.memory.traces.remove(&trace);
            }
        }
        Ok(ids.len())
    })?;
    Ok(forgotten)
}

fn payloads(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, Failure> {
    let delete = "DELETE FROM telemetry_payloads WHERE observation IN (
        SELECT p.observation FROM telemetry_payloads p JOIN telemetry_observations o ON o.id = p.observation
         WHERE o.start_us < ?1 ORDER BY p.observation LIMIT ?2)";
    Ok(connection
        .prepare_cached(delete)?
        .execute((before.as_micros(), count(limit)))?)
}

/// The last change stays, so that the sequence goes on after it.
fn journal(connection: &Connection, through: i64, limit: usize) -> Result<usize, Failure> {
    let delete = "DELETE FROM telemetry_changes WHERE seq IN (
        SELECT seq FROM telemetry_changes
         WHERE seq <= ?1 AND seq < (SELECT max(seq) FROM telemetry_changes) ORDER BY seq LIMIT ?2)";
    Ok(connection
        .prepare_cached(delete)?
        .execute((through, count(limit)))?)
}
