//! The statements behind consumers. Those that change something run on the writer's connection inside a batch.

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use uuid::Uuid;

use super::failure::Failure;
use super::journal::{self, count};
use super::row::{self, format_time};
use crate::domain::change::{Cursor, JournalBounds};
use crate::domain::clock::Timestamp;
use crate::domain::consumer::store::{Acknowledge, NewConsumer, Reset};
use crate::domain::consumer::{
    self, Claim, Consumer, LagLimits, MAX_SET_ASIDE, Origin, Place, SetAside, Standing,
};
use crate::domain::error::Error;
use crate::domain::notification::store::Call;

/// The consumers that `$rest` selects, with the time of the first change that each has not acknowledged.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.name, c.epoch, c.acknowledged, c.generation, c.set_aside, c.created_at, c.updated_at,
                    (SELECT at FROM changes WHERE seq = c.acknowledged + 1), c.watch
               FROM consumers c ",
            $rest
        )
    };
}

/// The journal that the consumers stand in, as the transaction of a connection sees it.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) connection: &'a Connection,
    /// The database's epoch.
    pub(super) epoch: &'a str,
    /// The last sequence that is published.
    pub(super) published: i64,
}

impl Scene<'_> {
    /// What the journal keeps. Its head is not behind what the transaction sees: a consumer may have acknowledged that already.
    fn bounds(self) -> rusqlite::Result<JournalBounds> {
        let head = self.published.max(journal::last(self.connection)?);
        Ok(JournalBounds {
            epoch: self.epoch.to_owned(),
            oldest: journal::oldest(self.connection, head)?,
            head,
        })
    }

    /// Reads one consumer.
    pub(super) fn consumer(self, name: &str) -> Result<Standing, Failure> {
        self.find(name)?.ok_or_else(|| not_found(name).into())
    }

    fn find(self, name: &str) -> rusqlite::Result<Option<Standing>> {
        let consumer = self
            .connection
            .prepare_cached(select!("WHERE c.name = ?1"))?
            .query_row([name], read)
            .optional()?;
        let stand = |consumer| {
            Ok(Standing {
                consumer,
                bounds: self.bounds()?,
            })
        };
        consumer.map(stand).transpose()
    }

    /// Reads the consumers after the one with the id `after`, at most `limit`.
    pub(super) fn consumers(self, after: i64, limit: usize) -> rusqlite::Result<Vec<Standing>> {
        let bounds = self.bounds()?;
        let mut statement = self
            .connection
            .prepare_cached(select!("WHERE c.id > ?1 ORDER BY c.id LIMIT ?2"))?;
        let standings = statement.query_map((after, count(limit)), |row| {
            Ok(Standing {
                consumer: read(row)?,
                bounds: bounds.clone(),
            })
        })?;
        standings.collect()
    }

    /// What the consumers still need of the journal at `now`: for retention, in the transaction in which it removes changes.
    pub(super) fn claim(self, limits: LagLimits, now: Timestamp) -> rusqlite::Result<Claim> {
        let consumers = self.consumers(0, usize::MAX)?;
        Ok(consumer::claim(&consumers, limits, now))
    }

    /// Creates a consumer, or returns what an earlier call with the same request id made.
    pub(super) fn create(self, new: &NewConsumer, call: Call) -> Result<Standing, Failure> {
        let wanted = Wanted {
            name: &new.name,
            place: describe(&new.place),
            request_id: new.request_id,
        };
        if self.is_repeated(CREATED, &wanted)? {
            return self.consumer(&new.name);
        }
        if self.find(&new.name)?.is_some() {
            let name = new.name.clone();
            return Err(Error::ConsumerExists { name }.into());
        }
        let acknowledged = new.place.sequence(&self.bounds()?)?;
        let generation = self.next_number()?;
        self.connection
            .prepare_cached(
                "INSERT INTO consumers
                    (name, epoch, acknowledged, generation, created_at, updated_at, request_id, request_place)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
            )?
            .execute((
                &new.name,
                self.epoch,
                acknowledged,
                generation,
                format_time(call.now),
                new.request_id.as_ref().map(Uuid::as_bytes),
                wanted.place,
            ))?;
        self.consumer(&new.name)
    }

    /// Deletes a consumer with all that is kept for it.
    pub(super) fn delete(self, name: &str) -> Result<bool, Failure> {
        let Some(standing) = self.find(name)? else {
            return Ok(false);
        };
        for statement in [
            "DELETE FROM set_aside WHERE consumer_id = ?1",
            "DELETE FROM consumers WHERE id = ?1",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute([standing.consumer.id])?;
        }
        Ok(true)
    }

    /// Gives a watch the next number, unless it has the highest already.
    pub(super) fn begin_watch(self, name: &str, origin: Origin) -> Result<Standing, Failure> {
        let mut standing = self.consumer(name)?;
        let consumer = &mut standing.consumer;
        origin.check(consumer)?;
        if origin.watch != Some(consumer.watch) {
            consumer.watch = self.next_number()?;
            self.connection
                .prepare_cached("UPDATE consumers SET watch = ?2 WHERE id = ?1")?
                .execute((consumer.id, consumer.watch))?;
        }
        Ok(standing)
    }

    /// Moves a consumer forwards; one row is updated, in no index.
    pub(super) fn acknowledge(
        self,
        acknowledge: &Acknowledge,
        call: Call,
    ) -> Result<Standing, Failure> {
        let mut standing = self.checked(acknowledge)?;
        let consumer = &mut standing.consumer;
        if acknowledge.through.sequence > consumer.acknowledged {
            consumer.acknowledged = acknowledge.through.sequence;
            consumer.update_time = Some(call.now);
            self.connection
                .prepare_cached(
                    "UPDATE consumers SET acknowledged = ?2, updated_at = ?3 WHERE id = ?1",
                )?
                .execute((consumer.id, consumer.acknowledged, format_time(call.now)))?;
            consumer.behind_since = self.time_after(consumer.acknowledged)?;
        }
        Ok(standing)
    }

    /// The consumer, where `acknowledge` may be done to it.
    fn checked(self, acknowledge: &Acknowledge) -> Result<Standing, Failure> {
        let standing = self.consumer(&acknowledge.name)?;
        let name = || acknowledge.name.clone();
        let Cursor { epoch, sequence } = &acknowledge.through;
        acknowledge.origin.check(&standing.consumer)?;
        let other_epoch = epoch.as_ref().is_some_and(|epoch| *epoch != self.epoch);
        if other_epoch || *sequence > standing.bounds.head || standing.is_elsewhere() {
            let bounds = standing.bounds;
            return Err(Error::ConsumerElsewhere {
                name: name(),
                bounds,
            }
            .into());
        }
        Ok(standing)
    }

    /// Moves a consumer anywhere. The second part says whether it was moved, and not only asked again.
    pub(super) fn reset(self, reset: &Reset, call: Call) -> Result<(Standing, bool), Failure> {
        let id = self.consumer(&reset.name)?.consumer.id;
        let wanted = Wanted {
            name: &reset.name,
            place: describe(&reset.place),
            request_id: reset.request_id,
        };
        if self.is_repeated(RESET, &wanted)? {
            return Ok((self.consumer(&reset.name)?, false));
        }
        let acknowledged = reset.place.sequence(&self.bounds()?)?;
        let generation = self.next_number()?;
        self.connection
            .prepare_cached(
                "UPDATE consumers SET epoch = ?2, acknowledged = ?3, generation = ?4, updated_at = ?5,
                        reset_request_id = ?6, reset_request_place = ?7
                  WHERE id = ?1",
            )?
            .execute((
                id,
                self.epoch,
                acknowledged,
                generation,
                format_time(call.now),
                reset.request_id.as_ref().map(Uuid::as_bytes),
                wanted.place,
            ))?;
        Ok((self.consumer(&reset.name)?, true))
    }

    /// Keeps `event` as set aside, and acknowledges.
    pub(super) fn set_aside(
        self,
        acknowledge: &Acknowledge,
        event: &SetAside,
        call: Call,
    ) -> Result<Standing, Failure> {
        let consumer = self.checked(acknowledge)?.consumer;
        let place: [&dyn ToSql; 2] = [&consumer.id, &event.sequence];
        let is_known = self
            .connection
            .prepare_cached("SELECT 1 FROM set_aside WHERE consumer_id = ?1 AND seq = ?2")?
            .exists(place)?;
        if !is_known && consumer.set_aside >= MAX_SET_ASIDE {
            let (name, limit) = (consumer.name, MAX_SET_ASIDE);
            return Err(Error::SetAsideFull { name, limit }.into());
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO set_aside (consumer_id, seq, notification_id, attempts, error, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                consumer.id,
                event.sequence,
                event.notification_id,
                event.attempts,
                &event.error,
                format_time(call.now),
            ))?;
        self.count_set_aside(consumer.id)?;
        self.acknowledge(acknowledge, call)
    }

    /// Reads what a consumer has set aside after the sequence `after`, at most `limit`.
    pub(super) fn list_set_aside(
        self,
        name: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<SetAside>, Failure> {
        let id = self.consumer(name)?.consumer.id;
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, notification_id, attempts, error, at FROM set_aside
              WHERE consumer_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let events = statement.query_map((id, after, count(limit)), read_set_aside)?;
        Ok(events.collect::<Result<_, _>>()?)
    }

    /// Records another attempt at a change that is set aside.
    pub(super) fn update_set_aside(
        self,
        name: &str,
        event: &SetAside,
        call: Call,
    ) -> Result<SetAside, Failure> {
        let id = self.consumer(name)?.consumer.id;
        self.connection
            .prepare_cached(
                "UPDATE set_aside SET attempts = ?3, error = ?4, at = ?5
                  WHERE consumer_id = ?1 AND seq = ?2
                 RETURNING seq, notification_id, attempts, error, at",
            )?
            .query_row(
                (
                    id,
                    event.sequence,
                    event.attempts,
                    &event.error,
                    format_time(call.now),
                ),
                read_set_aside,
            )
            .optional()?
            .ok_or_else(|| not_set_aside(name, event.sequence).into())
    }

    /// Takes a change off the list of what is set aside.
    pub(super) fn discard_set_aside(self, name: &str, sequence: i64) -> Result<(), Failure> {
        let id = self.consumer(name)?.consumer.id;
        let removed = self
            .connection
            .prepare_cached("DELETE FROM set_aside WHERE consumer_id = ?1 AND seq = ?2")?
            .execute((id, sequence))?;
        if removed == 0 {
            return Err(not_set_aside(name, sequence).into());
        }
        Ok(self.count_set_aside(id)?)
    }

    fn count_set_aside(self, id: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE consumers SET set_aside = (SELECT count(*) FROM set_aside WHERE consumer_id = ?1) WHERE id = ?1",
            )?
            .execute([id])
            .map(drop)
    }

    /// The next generation, or the next watch: numbers that come once each, so that none is mistaken for that of an earlier consumer of the same name.
    fn next_number(self) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached(
                "UPDATE barista_meta SET value = value + 1 WHERE key = 'consumer_generation' RETURNING value",
            )?
            .query_row([], |row| row.get(0))
    }

    /// Whether `sql` finds that `wanted` has been done before.
    fn is_repeated(self, sql: &str, wanted: &Wanted<'_>) -> Result<bool, Failure> {
        let Some(request_id) = wanted.request_id else {
            return Ok(false);
        };
        let earlier = self
            .connection
            .prepare_cached(sql)?
            .query_row([request_id.as_bytes()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()?;
        let Some((name, place)) = earlier else {
            return Ok(false);
        };
        if name == wanted.name && place.is_none_or(|place| place == wanted.place) {
            return Ok(true);
        }
        Err(Error::ConsumerRequestReused { request_id, name }.into())
    }

    /// When the change after `sequence` was written.
    fn time_after(self, sequence: i64) -> rusqlite::Result<Option<Timestamp>> {
        let time = self
            .connection
            .prepare_cached("SELECT at FROM changes WHERE seq = ?1")?
            .query_row([sequence + 1], |row| row::time(row, 0))
            .optional()?;
        Ok(time.flatten())
    }
}

/// What a request id was used for: the consumer that it made, and where.
const CREATED: &str = "SELECT name, request_place FROM consumers WHERE request_id = ?1";
/// The same for the last reset of each consumer.
const RESET: &str = "SELECT name, reset_request_place FROM consumers WHERE reset_request_id = ?1";

/// What a request asks for that puts a consumer somewhere.
struct Wanted<'a> {
    name: &'a str,
    place: String,
    request_id: Option<Uuid>,
}

/// A place as it was asked for. The text is stored and compared, and must never change.
fn describe(place: &Place) -> String {
    match place {
        Place::Now => "now".to_owned(),
        Place::Oldest => "oldest".to_owned(),
        Place::After(Cursor { epoch, sequence }) => match epoch {
            Some(epoch) => format!("after {sequence} of {epoch}"),
            None => format!("after {sequence}"),
        },
    }
}

fn not_found(name: &str) -> Error {
    Error::ConsumerNotFound {
        name: name.to_owned(),
    }
}

fn not_set_aside(name: &str, sequence: i64) -> Error {
    Error::SetAsideEventNotFound {
        name: name.to_owned(),
        sequence,
    }
}

fn read_set_aside(row: &Row<'_>) -> rusqlite::Result<SetAside> {
    Ok(SetAside {
        sequence: row.get(0)?,
        notification_id: row.get(1)?,
        attempts: row.get(2)?,
        error: row::text(row, 3)?,
        time: row::time(row, 4)?,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Consumer> {
    let set_aside: i64 = row.get(5)?;
    Ok(Consumer {
        id: row.get(0)?,
        name: row.get(1)?,
        epoch: row.get(2)?,
        acknowledged: row.get(3)?,
        generation: row.get(4)?,
        set_aside: usize::try_from(set_aside).unwrap_or(0),
        create_time: row::time(row, 6)?,
        update_time: row::time(row, 7)?,
        behind_since: row::time(row, 8)?,
        watch: row.get(9)?,
    })
}
