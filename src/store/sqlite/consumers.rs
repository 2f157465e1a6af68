//! The store of consumers: what the domain asks for, handed to the writer or to a reader.

use async_trait::async_trait;
use rusqlite::Connection;

use super::consumer::Scene;
use super::failure::Failure;
use super::store::SqliteStore;
use crate::domain::consumer::store::{Acknowledge, ConsumerStore, NewConsumer, Reset};
use crate::domain::consumer::{Claim, LagLimits, Origin, SetAside, Standing};
use crate::domain::error::Result;
use crate::domain::notification::store::Call;

impl SqliteStore {
    /// Runs `work` on the consumers in the next batch.
    async fn change_consumers<T, F>(&self, size: usize, call: Call, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(Scene<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let (epoch, published) = (self.epoch_shared(), self.published());
        let job = move |connection: &Connection| {
            work(Scene {
                connection,
                epoch: &epoch,
                published,
            })
        };
        self.writer().write(call.deadline, size, job).await
    }

    /// Runs `work` on the consumers in a read transaction.
    async fn read_consumers<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Scene<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let (epoch, published) = (self.epoch_shared(), self.published());
        let read = move |connection: &Connection| {
            work(Scene {
                connection,
                epoch: &epoch,
                published,
            })
        };
        self.readers().read(read).await
    }
}

#[async_trait]
impl ConsumerStore for SqliteStore {
    async fn create_consumer(&self, new: NewConsumer, call: Call) -> Result<Standing> {
        self.change_consumers(0, call, move |scene| scene.create(&new, call))
            .await
    }

    async fn consumer(&self, name: &str) -> Result<Standing> {
        let name = name.to_owned();
        self.read_consumers(move |scene| scene.consumer(&name))
            .await
    }

    async fn consumers(&self, after: i64, limit: usize) -> Result<Vec<Standing>> {
        self.read_consumers(move |scene| Ok(scene.consumers(after, limit)?))
            .await
    }

    async fn delete_consumer(&self, name: &str, call: Call) -> Result<bool> {
        let name = name.to_owned();
        self.change_consumers(0, call, move |scene| scene.delete(&name))
            .await
    }

    async fn begin_watch(&self, name: &str, origin: Origin, call: Call) -> Result<Standing> {
        let name = name.to_owned();
        self.change_consumers(0, call, move |scene| scene.begin_watch(&name, origin))
            .await
    }

    async fn acknowledge(&self, acknowledge: Acknowledge, call: Call) -> Result<Standing> {
        self.change_consumers(0, call, move |scene| scene.acknowledge(&acknowledge, call))
            .await
    }

    async fn reset_consumer(&self, reset: Reset, call: Call) -> Result<(Standing, bool)> {
        self.change_consumers(0, call, move |scene| scene.reset(&reset, call))
            .await
    }

    async fn set_aside(
        &self,
        acknowledge: Acknowledge,
        event: SetAside,
        call: Call,
    ) -> Result<Standing> {
        let size = event.error.len();
        self.change_consumers(size, call, move |scene| {
            scene.set_aside(&acknowledge, &event, call)
        })
        .await
    }

    async fn list_set_aside(&self, name: &str, after: i64, limit: usize) -> Result<Vec<SetAside>> {
        let name = name.to_owned();
        self.read_consumers(move |scene| scene.list_set_aside(&name, after, limit))
            .await
    }

    async fn update_set_aside(&self, name: &str, event: SetAside, call: Call) -> Result<SetAside> {
        let (name, size) = (name.to_owned(), event.error.len());
        self.change_consumers(size, call, move |scene| {
            scene.update_set_aside(&name, &event, call)
        })
        .await
    }

    async fn discard_set_aside(&self, name: &str, sequence: i64, call: Call) -> Result<()> {
        let name = name.to_owned();
        self.change_consumers(0, call, move |scene| {
            scene.discard_set_aside(&name, sequence)
        })
        .await
    }

    async fn claim(&self, limits: LagLimits, call: Call) -> Result<Claim> {
        self.read_consumers(move |scene| Ok(scene.claim(limits, call.now)?))
            .await
    }
}
