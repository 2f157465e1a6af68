//! What a store of consumers does. One method is one transaction.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::change::Cursor;
use super::super::error::Result;
use super::super::notification::store::Call;
use super::{Claim, LagLimits, Origin, Place, SetAside, Standing};

/// A consumer to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsumer {
    /// Its name, valid.
    pub name: String,
    /// Where it starts.
    pub place: Place,
    /// Makes a repetition safe.
    pub request_id: Option<Uuid>,
}

/// Up to where a consumer is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledge {
    /// The consumer.
    pub name: String,
    /// The last change that is dealt with.
    pub through: Cursor,
    /// The watch in which it was dealt with.
    pub origin: Origin,
}

/// A consumer to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The consumer.
    pub name: String,
    /// Where to.
    pub place: Place,
    /// Makes a repetition safe.
    pub request_id: Option<Uuid>,
}

/// Keeps consumers, in the same database as the journal, so that both agree.
///
/// A write returns after it is durable, and fails as those of the notifications' store do. Every method that names a consumer may fail with
/// `ConsumerNotFound`.
#[async_trait]
pub trait ConsumerStore: Send + Sync {
    /// Creates a consumer. The request id of an existing one returns that one.
    ///
    /// # Errors
    ///
    /// `ConsumerExists`, `UnknownCursor`, `SequenceCompacted`; `ConsumerRequestReused`: the request id was for another consumer or place.
    async fn create_consumer(&self, new: NewConsumer, call: Call) -> Result<Standing>;

    /// Returns one consumer.
    async fn consumer(&self, name: &str) -> Result<Standing>;

    /// Returns the consumers after the one with the id `after`, in the order of their ids, at most `limit`.
    async fn consumers(&self, after: i64, limit: usize) -> Result<Vec<Standing>>;

    /// Deletes a consumer with what it has set aside. Whether there was one.
    async fn delete_consumer(&self, name: &str, call: Call) -> Result<bool>;

    /// Gives a consumer's watch a number above that of every watch before. One that has the highest already keeps it.
    ///
    /// # Errors
    ///
    /// Those of [`Origin::check`].
    async fn begin_watch(&self, name: &str, origin: Origin, call: Call) -> Result<Standing>;

    /// Moves a consumer forwards. A place that it has passed changes nothing.
    ///
    /// # Errors
    ///
    /// `ConsumerElsewhere` ahead of the head or of another epoch; those of [`Origin::check`].
    async fn acknowledge(&self, acknowledge: Acknowledge, call: Call) -> Result<Standing>;

    /// Moves a consumer anywhere, and gives it a new generation. The request id of its last reset changes nothing. Whether it was moved.
    ///
    /// # Errors
    ///
    /// `UnknownCursor`, `SequenceCompacted`; `ConsumerRequestReused`: the request id was for another consumer or place.
    async fn reset_consumer(&self, reset: Reset, call: Call) -> Result<(Standing, bool)>;

    /// Keeps `event` as set aside by the consumer that `acknowledge` names, and acknowledges: both or neither. An entry of the same sequence is replaced.
    ///
    /// # Errors
    ///
    /// Those of [`ConsumerStore::acknowledge`]; `SetAsideFull`.
    async fn set_aside(
        &self,
        acknowledge: Acknowledge,
        event: SetAside,
        call: Call,
    ) -> Result<Standing>;

    /// Returns what a consumer has set aside after the sequence `after`, in order, at most `limit`.
    async fn list_set_aside(&self, name: &str, after: i64, limit: usize) -> Result<Vec<SetAside>>;

    /// Replaces the number of attempts and the error of a change that is set aside, and returns it as it is then. The consumer stays where it is.
    ///
    /// # Errors
    ///
    /// `SetAsideEventNotFound`.
    async fn update_set_aside(&self, name: &str, event: SetAside, call: Call) -> Result<SetAside>;

    /// Takes a change off the list.
    ///
    /// # Errors
    ///
    /// `SetAsideEventNotFound`.
    async fn discard_set_aside(&self, name: &str, sequence: i64, call: Call) -> Result<()>;

    /// What the consumers still need of the journal, at `call.now`.
    async fn claim(&self, limits: LagLimits, call: Call) -> Result<Claim>;
}
