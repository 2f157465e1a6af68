//! Reading, beside the writer: a few connections that cannot write.

use deadpool_sqlite::{Config, Hook, HookError, Object, Pool, PoolConfig, Runtime, Timeouts};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Mutex;

use super::connection::{configure_reader, reader_uri};
use super::failure::{Failure, OpenError, read_error};
use crate::data_dir::{DatabasePath, FileIdentity};
use crate::domain::error::{Error, Result};

/// The readers of one file.
pub(super) struct Readers {
    pool: Pool,
    /// The connection of [`Readers::follow`], once it was needed.
    follower: Mutex<Option<Object>>,
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
            // And the follower's.
            max_size: size + 1,
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
        Ok(Self {
            pool,
            follower: Mutex::new(None),
        })
    }

    /// Runs `work` in a read transaction: everything that it reads is from one moment.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let connection = self.pooled().await?;
        read_on(&connection, work).await?.map_err(read_error)
    }

    /// As [`Readers::read`], for the one task that follows the journal: on a connection that it keeps. The pool tries each connection that it
    /// hands out with a query of its own, which takes as long as a short read, and each watcher would wait for it.
    pub(super) async fn follow<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    {
        // Whoever else catches up at the same moment takes a connection of the pool.
        let Ok(mut kept) = self.follower.try_lock() else {
            return self.read(work).await;
        };
        let connection = match kept.take() {
            Some(connection) => connection,
            None => self.pooled().await?,
        };
        // One on which a read did not finish is not kept.
        let outcome = read_on(&connection, work).await?;
        *kept = Some(connection);
        outcome.map_err(read_error)
    }

    async fn pooled(&self) -> Result<Object> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_sqlite::PoolError::Closed => Error::ShuttingDown,
            other => Error::DatabaseUnavailable {
                reason: format!("it cannot be read: {other}"),
            },
        })
    }

    /// Closes the connections that nobody uses; the others close when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
        if let Ok(mut kept) = self.follower.try_lock() {
            drop(kept.take());
        }
    }
}

/// Runs `work` in a read transaction on `connection`. The outer error means that it did not finish.
async fn read_on<T, F>(connection: &Object, work: F) -> Result<std::result::Result<T, Failure>>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
{
    connection
        .interact(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction)
        })
        .await
        .map_err(|error| Error::Internal(format!("a read did not finish: {error}")))
}
