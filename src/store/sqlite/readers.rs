//! Reading, beside the writer: a few connections that cannot write.

use deadpool_sqlite::{Config, Hook, HookError, Pool, PoolConfig, Runtime, Timeouts};
use rusqlite::{Connection, TransactionBehavior};

use super::connection::{configure_reader, reader_uri};
use super::failure::{Failure, OpenError, read_error};
use crate::data_dir::{DatabasePath, FileIdentity};
use crate::domain::error::{Error, Result};

/// The readers of one file.
pub(super) struct Readers {
    pool: Pool,
}

impl Readers {
    /// Makes a pool of at most `size` connections, each opened when it is first needed, and only while the path leads to the file `main`.
    pub(super) fn new(
        path: &DatabasePath,
        main: FileIdentity,
        size: usize,
        cache_kib: u32,
    ) -> std::result::Result<Self, OpenError> {
        let mut config = Config::new(reader_uri(path.path()));
        config.pool = Some(PoolConfig {
            max_size: size,
            timeouts: Timeouts::new(),
            ..PoolConfig::default()
        });
        let path = path.clone();
        let configure = Hook::async_fn(move |connection, _| {
            // One reader on the old file and another on a new one would tell two stories.
            let same = path.still_the_same(&main);
            Box::pin(async move {
                same.map_err(|error| HookError::message(error.to_string()))?;
                let configured = connection
                    .interact(move |c| configure_reader(c, cache_kib))
                    .await;
                match configured {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(HookError::Backend(error)),
                    Err(error) => Err(HookError::message(error.to_string())),
                }
            })
        });
        let pool = config
            .builder(Runtime::Tokio1)
            .map_err(|error| OpenError::Pool(error.to_string()))?
            .post_create(configure)
            .build()
            .map_err(|error| OpenError::Pool(error.to_string()))?;
        Ok(Self { pool })
    }

    /// Runs `work` in a read transaction: everything that it reads is from one moment.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let connection = self.pool.get().await.map_err(|error| match error {
            deadpool_sqlite::PoolError::Closed => Error::ShuttingDown,
            other => Error::DatabaseUnavailable {
                reason: format!("it cannot be read: {other}"),
            },
        })?;
        let outcome = connection
            .interact(move |connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
                work(&transaction)
            })
            .await;
        match outcome {
            Ok(outcome) => outcome.map_err(read_error),
            Err(error) => Err(Error::Internal(format!("a read did not finish: {error}"))),
        }
    }

    /// Closes the connections that nobody uses; the others close when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}
