//! Other systems that store durably, started from what is installed, with settings under which an acknowledged write survives a power cut.

mod nats;
mod postgres;
mod redis;
mod server;

use std::future::Future;
use std::path::{Path, PathBuf};

pub(crate) use self::nats::Nats;
pub(crate) use self::postgres::Postgres;
pub(crate) use self::redis::Redis;
pub(crate) use self::server::Server;

/// A system to compare with.
pub(crate) trait Opponent: Sized {
    /// What people call it.
    const NAME: &'static str;
    /// The first part of the names under which it is recorded.
    const KEY: &'static str;
    /// Whether callers share a connection, as its client library recommends; otherwise each has one.
    const SHARES_A_CONNECTION: bool;
    /// One caller's access.
    type Caller: Clone + Send + 'static;

    /// Looks for its programs.
    ///
    /// # Errors
    ///
    /// They are not installed, or cannot do what is needed: a sentence that says how to get them.
    async fn find() -> anyhow::Result<Self>;

    /// A sentence about its release and its settings.
    fn describe(&self) -> String;

    /// Starts it with an empty database in `directory`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// It does not start; the error has the end of its log.
    async fn start(&self, directory: &Path) -> anyhow::Result<Server>;

    /// Makes access for `count` callers.
    ///
    /// # Errors
    ///
    /// It does not answer.
    async fn callers(&self, server: &Server, count: usize) -> anyhow::Result<Vec<Self::Caller>>;

    /// Stores `rows` rows, those from `first` on, and returns when all are on the disk. Several are one batch, or one pipeline.
    fn create(
        caller: Self::Caller,
        first: u64,
        rows: u64,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Looks for a program where the shell does, where Debian puts servers, and in `more`.
fn program(name: &str, more: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .chain(more)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}
