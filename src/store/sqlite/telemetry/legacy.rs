//! Taking over a file that earlier tooling has made.

use rusqlite::Connection;

/// What the tables of earlier tooling are called, what they are called from now on, and the columns that our views read.
const TABLES: [(&str, &str, &[&str]); 3] = [
    (
        "traces",
        "legacy_traces",
        &[
            "id",
            "name",
            "user_id",
            "session_id",
            "trace_metadata",
            "input",
            "output",
            "created_at",
            "updated_at",
            "release",
            "tags",
        ],
    ),
    (
        "generations",
        "legacy_generations",
        &[
            "id",
            "trace_id",
            "name",
            "model",
            "model_parameters",
            "input",
            "output",
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "input_cost",
            "output_cost",
            "total_cost",
            "latency_ms",
            "created_at",
            "updated_at",
            "metadata",
            "level",
            "status_message",
            "completion_start_time",
            "completion_end_time",
        ],
    ),
    (
        "spans",
        "legacy_spans",
        &[
            "id",
            "trace_id",
            "name",
            "start_time",
            "end_time",
            "input",
            "output",
            "metadata",
            "level",
            "status_message",
        ],
    ),
];

/// Moves the tables of earlier tooling, with all their rows, to names of their own, so that views can take their place which show those rows and
/// ours. A column that an older version did not have is added, empty. Indexes and references go along.
pub(in crate::store::sqlite) fn adopt(connection: &Connection) -> rusqlite::Result<()> {
    for (old, new, columns) in TABLES {
        let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        if !connection.prepare(table)?.exists([old])? {
            continue;
        }
        connection.execute_batch(&format!("ALTER TABLE {old} RENAME TO {new}"))?;
        for column in columns {
            let present = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
            if !connection.prepare(present)?.exists([new, column])? {
                connection.execute_batch(&format!("ALTER TABLE {new} ADD COLUMN {column}"))?;
            }
        }
    }
    Ok(())
}
