//! What can be done with consumers: the rules applied to a store, and who watches as whom.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::change::Cursor;
use super::clock::{Clock, Timestamp};
use super::consumer::store::{Acknowledge, ConsumerStore, NewConsumer, Reset};
use super::consumer::{LagLimits, Origin, SetAside, Standing, not_negative, validate_name};
use super::error::{Error, Result};
use super::notification::store::Call;
use crate::sync::{Mutex, MutexGuard};

/// A consumer, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The consumer in its journal.
    pub standing: Standing,
    /// Since when somebody watches as it; `None` when nobody does.
    pub connected: Option<Timestamp>,
    /// Whether the journal is kept for it.
    pub holds_journal: bool,
}

/// A watch that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The consumer to watch as.
    pub name: String,
    /// The watch that this one continues. Without a number it is a new one.
    pub origin: Origin,
    /// Where to start; `None`: at the consumer's place.
    pub after: Option<Cursor>,
}

/// Everything that can be done with consumers.
pub struct Consumers {
    store: Arc<dyn ConsumerStore>,
    clock: Arc<dyn Clock>,
    limits: LagLimits,
    watchers: Arc<Watchers>,
}

impl Consumers {
    /// Puts the rules in front of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ConsumerStore>, clock: Arc<dyn Clock>, limits: LagLimits) -> Self {
        Self {
            store,
            clock,
            limits,
            watchers: Arc::default(),
        }
    }

    fn call(&self, deadline: Option<Instant>) -> Call {
        Call {
            now: self.clock.now(),
            deadline,
        }
    }

    fn view(&self, standing: Standing) -> View {
        View {
            connected: self.watchers.since(&standing.consumer.name),
            holds_journal: standing.holds_journal(self.limits, self.clock.now()),
            standing,
        }
    }

    /// Creates a consumer.
    ///
    /// # Errors
    ///
    /// `InvalidField`, and those of [`ConsumerStore::create_consumer`].
    pub async fn create(&self, new: NewConsumer, deadline: Option<Instant>) -> Result<View> {
        validate_name("name", &new.name)?;
        new.place.validate()?;
        let created = self.store.create_consumer(new, self.call(deadline));
        Ok(self.view(created.await?))
    }

    /// Returns one consumer.
    ///
    /// # Errors
    ///
    /// `InvalidField`, `ConsumerNotFound`.
    pub async fn get(&self, name: &str) -> Result<View> {
        validate_name("name", name)?;
        Ok(self.view(self.store.consumer(name).await?))
    }

    /// Returns the consumers after the one with the id `after`, at most `limit`: each with its lag, for whoever lists or measures.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(&self, after: i64, limit: usize) -> Result<Vec<View>> {
        let standings = self.store.consumers(after, limit).await?.into_iter();
        Ok(standings.map(|standing| self.view(standing)).collect())
    }

    /// Deletes a consumer, and ends its watch.
    ///
    /// # Errors
    ///
    /// `InvalidField`; `ConsumerNotFound` unless `allow_missing`.
    pub async fn delete(
        &self,
        name: &str,
        allow_missing: bool,
        deadline: Option<Instant>,
    ) -> Result<()> {
        validate_name("name", name)?;
        let name = name.to_owned();
        let found = self
            .store
            .delete_consumer(&name, self.call(deadline))
            .await?;
        if found {
            self.watchers
                .end(&name, Error::ConsumerNotFound { name: name.clone() });
        }
        if found || allow_missing {
            Ok(())
        } else {
            Err(Error::ConsumerNotFound { name })
        }
    }

    /// Acknowledges everything up to a change.
    ///
    /// # Errors
    ///
    /// `InvalidField`, and those of [`ConsumerStore::acknowledge`].
    pub async fn acknowledge(
        &self,
        acknowledge: Acknowledge,
        deadline: Option<Instant>,
    ) -> Result<View> {
        validate_name("name", &acknowledge.name)?;
        not_negative("through.sequence", acknowledge.through.sequence)?;
        let moved = self.store.acknowledge(acknowledge, self.call(deadline));
        Ok(self.view(moved.await?))
    }

    /// Moves a consumer to another place, and ends its watch so that it begins anew there.
    ///
    /// # Errors
    ///
    /// `InvalidField`, and those of [`ConsumerStore::reset_consumer`].
    pub async fn reset(&self, reset: Reset, deadline: Option<Instant>) -> Result<View> {
        validate_name("name", &reset.name)?;
        reset.place.validate()?;
        let name = reset.name.clone();
        let (standing, moved) = self
            .store
            .reset_consumer(reset, self.call(deadline))
            .await?;
        if moved {
            self.watchers
                .end(&name, Error::ConsumerReset { name: name.clone() });
        }
        Ok(self.view(standing))
    }

    /// Sets a change aside, and acknowledges up to it.
    ///
    /// # Errors
    ///
    /// `InvalidField`, and those of [`ConsumerStore::set_aside`].
    pub async fn set_aside(
        &self,
        acknowledge: Acknowledge,
        event: SetAside,
        deadline: Option<Instant>,
    ) -> Result<View> {
        validate_name("name", &acknowledge.name)?;
        event.validate()?;
        let moved = self
            .store
            .set_aside(acknowledge, event, self.call(deadline));
        Ok(self.view(moved.await?))
    }

    /// Returns what a consumer has set aside after the sequence `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// `InvalidField`, `ConsumerNotFound`.
    pub async fn list_set_aside(
        &self,
        name: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<SetAside>> {
        validate_name("name", name)?;
        self.store.list_set_aside(name, after, limit).await
    }

    /// Records another attempt at a change that is set aside, which has failed, too.
    ///
    /// # Errors
    ///
    /// `InvalidField`, `ConsumerNotFound`, `SetAsideEventNotFound`.
    pub async fn update_set_aside(
        &self,
        name: &str,
        event: SetAside,
        deadline: Option<Instant>,
    ) -> Result<SetAside> {
        validate_name("name", name)?;
        event.validate()?;
        let updated = self
            .store
            .update_set_aside(name, event, self.call(deadline));
        updated.await
    }

    /// Takes a change off the list of what is set aside.
    ///
    /// # Errors
    ///
    /// `InvalidField`, `ConsumerNotFound`, `SetAsideEventNotFound`.
    pub async fn discard_set_aside(
        &self,
        name: &str,
        sequence: i64,
        deadline: Option<Instant>,
    ) -> Result<()> {
        validate_name("name", name)?;
        if sequence <= 0 {
            return Err(Error::invalid("sequence", "must be positive"));
        }
        let discarded = self
            .store
            .discard_set_aside(name, sequence, self.call(deadline));
        discarded.await
    }

    /// Takes the place of whoever watches as a consumer, and returns where the watch starts.
    ///
    /// Each watch has a durable number. A new one gets the highest; one that was interrupted comes back with its own, and only while that is
    /// the highest. So a watcher that was away cannot take its place back from the one that took it over, whoever restarted meanwhile.
    ///
    /// The place is read after the older watcher was told to end, so nothing that it acknowledged before is repeated.
    ///
    /// # Errors
    ///
    /// `InvalidField`, `ConsumerNotFound`; those of [`Origin::check`]; those of [`JournalBounds::check`] for where it starts, in the words
    /// of the consumer where that is the consumer's place; those of a write.
    ///
    /// [`JournalBounds::check`]: super::change::JournalBounds::check
    pub async fn hold(&self, begin: Begin, deadline: Option<Instant>) -> Result<Hold> {
        let Begin {
            name,
            origin,
            after,
        } = begin;
        validate_name("consumer", &name)?;
        if let Some(after) = &after {
            not_negative("after.sequence", after.sequence)?;
        }
        // A watch that cannot begin must not end one that goes on.
        let standing = self.store.consumer(&name).await?;
        origin.check(&standing.consumer)?;
        start(&standing, after.as_ref())?;
        let is_numbered = origin.watch == Some(standing.consumer.watch);
        let begun = if is_numbered {
            standing
        } else {
            let begun = self.store.begin_watch(&name, origin, self.call(deadline));
            begun.await?
        };
        let origin = Origin {
            generation: origin.generation,
            watch: Some(begun.consumer.watch),
        };
        let mut hold = self
            .watchers
            .take_over(name, begun.consumer.watch, self.clock.now())?;
        let standing = self.store.consumer(&hold.name).await?;
        origin.check(&standing.consumer)?;
        hold.start = start(&standing, after.as_ref())?;
        hold.is_own_place = after.is_none();
        hold.generation = standing.consumer.generation;
        Ok(hold)
    }
}

/// Where a watch of the consumer in `standing` starts that asks for what follows `after`, or for what follows the consumer's place.
fn start(standing: &Standing, after: Option<&Cursor>) -> Result<Cursor> {
    let own = standing.cursor();
    let start = after.unwrap_or(&own);
    let name = &standing.consumer.name;
    standing
        .bounds
        .check(start)
        .map_err(|error| match after {
            Some(_) => error,
            None => in_its_words(name, error),
        })
        .map(|()| start.clone())
}

/// `error` in the words of the owner of the consumer `name`, who knows a name and no cursor.
fn in_its_words(name: &str, error: Error) -> Error {
    let name = name.to_owned();
    match error {
        Error::SequenceCompacted { after, bounds } => Error::ConsumerLeftBehind {
            name,
            acknowledged: after,
            bounds,
        },
        Error::UnknownCursor { bounds } => Error::ConsumerElsewhere { name, bounds },
        other => other,
    }
}

/// Who watches as whom: one watcher for each consumer.
#[derive(Default)]
struct Watchers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    by_name: HashMap<String, Watcher>,
    next_key: u64,
}

struct Watcher {
    key: u64,
    /// The durable number of its watch.
    watch: i64,
    since: Timestamp,
    end: oneshot::Sender<Error>,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Nothing inside the lock leaves it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since(&self, name: &str) -> Option<Timestamp> {
        self.lock().by_name.get(name).map(|watcher| watcher.since)
    }

    /// Lets the watch with the number `watch` have the place of an older one, or of its own earlier connection.
    fn take_over(self: &Arc<Self>, name: String, watch: i64, since: Timestamp) -> Result<Hold> {
        let (end, ended) = oneshot::channel();
        let mut registry = self.lock();
        // Two that begin at once may come here in either order.
        if registry.by_name.get(&name).is_some_and(|w| w.watch > watch) {
            return Err(Error::ConsumerTakenOver { name });
        }
        registry.next_key += 1;
        let key = registry.next_key;
        let watcher = Watcher {
            key,
            watch,
            since,
            end,
        };
        if let Some(older) = registry.by_name.insert(name.clone(), watcher) {
            let name = name.clone();
            // It may be gone already.
            drop(older.end.send(Error::ConsumerTakenOver { name }));
        }
        Ok(Hold {
            watchers: Arc::clone(self),
            name,
            key,
            start: Cursor {
                epoch: None,
                sequence: 0,
            },
            is_own_place: false,
            generation: 0,
            watch,
            ended,
        })
    }

    /// Ends the watch of `name`, where there is one, for `reason`.
    fn end(&self, name: &str, reason: Error) {
        if let Some(watcher) = self.lock().by_name.remove(name) {
            drop(watcher.end.send(reason));
        }
    }

    fn leave(&self, name: &str, key: u64) {
        let mut registry = self.lock();
        if registry.by_name.get(name).is_some_and(|w| w.key == key) {
            registry.by_name.remove(name);
        }
    }
}

/// The right to watch as a consumer, until somebody else takes it.
pub struct Hold {
    watchers: Arc<Watchers>,
    name: String,
    key: u64,
    start: Cursor,
    /// Whether the start is what the consumer has acknowledged.
    is_own_place: bool,
    generation: i64,
    watch: i64,
    ended: oneshot::Receiver<Error>,
}

impl Hold {
    /// Where the watch starts.
    #[must_use]
    pub fn start(&self) -> &Cursor {
        &self.start
    }

    /// The consumer's generation and the number of the watch.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            generation: Some(self.generation),
            watch: Some(self.watch),
        }
    }

    /// Waits until this right has ended, and says why. Must not be called again after that.
    pub async fn ended(&mut self) -> Error {
        let name = self.name.clone();
        (&mut self.ended)
            .await
            .unwrap_or(Error::ConsumerTakenOver { name })
    }

    /// Why this right has ended, if it has.
    pub fn has_ended(&mut self) -> Option<Error> {
        self.ended.try_recv().ok()
    }

    /// `error` in the words of a consumer's owner, where the watch started at the consumer's place.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        if self.is_own_place {
            in_its_words(&self.name, error)
        } else {
            error
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.watchers.leave(&self.name, self.key);
    }
}

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;
