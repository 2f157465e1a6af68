//! SQLite: one writer thread for each file, readers beside it, and a journal that triggers fill.

mod backup;
mod batch;
mod checkpoint;
mod connection;
mod consumer;
mod consumers;
mod contents;
mod database;
mod databases;
mod failure;
mod inspect;
mod integrity;
mod job;
mod journal;
mod list;
mod lock;
mod notification;
mod offline;
mod opened;
mod progress;
mod readers;
mod reconcile;
mod retention;
mod row;
mod schema;
mod store;
mod telemetry;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

pub use connection::backend_version;
pub use databases::Databases;
pub use failure::OpenError;
pub use inspect::{InspectError, Inspection, inspect};
pub use offline::{BackupContents, GivenOut, examine_backup, given_out, prepare_restored, rebuild};
pub use store::{NOTIFICATIONS_FILE, Options, SqliteStore, Surroundings};
pub use telemetry::{SqliteTelemetry, TELEMETRY_FILE};
