//! The statements behind each change of a notification. All of this runs on the writer's connection inside a batch, but [`fetch`].

use std::hash::Hasher;
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, named_params, params};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::failure::Failure;
use super::journal;
use super::row::{self, CONTENT, COURSE, columns, format_time, some};
use crate::domain::authority::{Authority, Owner};
use crate::domain::clock::Timestamp;
use crate::domain::error::Error;
use crate::domain::notification::draft::{Draft, Expiration, NewNotification};
use crate::domain::notification::response::{Chosen, Rules};
use crate::domain::notification::store::{Call, Expired, Move, Respond, Transition};
use crate::domain::notification::{Notification, Response, State};
use crate::domain::word::{Vocabulary, Word};

/// How long a request id is remembered.
const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT (SELECT coalesce(max(seq), 0) FROM changes WHERE notification_id = n.id), {}, {}, n.owner
           FROM notifications n WHERE n.id = ?1",
        columns("n", &CONTENT),
        columns("n", &COURSE),
    )
});

/// Reads one notification.
pub(super) fn fetch(connection: &Connection, id: i64) -> rusqlite::Result<Option<Notification>> {
    connection
        .prepare_cached(&SELECT)?
        .query_row([id], |row| {
            let course = 1 + CONTENT.len();
            let notification = row::notification(row, id, row.get(0)?, 1, course)?;
            let owner = row::owner(row, course + COURSE.len())?;
            Ok(Notification {
                owner,
                ..notification
            })
        })
        .optional()
}

fn require(
    connection: &Connection,
    id: i64,
    authority: Authority,
) -> Result<Notification, Failure> {
    fetch(connection, id)?
        .filter(|notification| authority.may_see(notification.owner))
        .ok_or(Failure::Domain(Error::NotificationNotFound { id }))
}

/// Creates a notification, or returns what an earlier call with the same request id made.
pub(super) fn create(
    connection: &Connection,
    new: &NewNotification,
) -> Result<Notification, Failure> {
    let digest = new.draft().request_id.map(|_| digest(new.draft()));
    if let (Some(request_id), Some(digest)) = (new.draft().request_id, &digest)
        && let Some((id, earlier)) = earlier(connection, request_id.as_bytes(), new)?
    {
        if earlier.as_deref() != Some(digest) {
            return Err(Error::RequestIdReused { request_id, id }.into());
        }
        return require(connection, id, Authority::Person);
    }
    new.check_new()?;
    insert(connection, new, digest.as_deref())?;
    let id = connection.last_insert_rowid();
    Ok(created(new, id, journal::last(connection)?))
}

const INSERT: &str = "INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at, agent,
        session, project, tags, options, allow_multiple, allow_text, expires_at, default_response, created_surface, request_id,
        request_digest, owner)
    VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

fn insert(
    connection: &Connection,
    new: &NewNotification,
    digest: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let draft = new.draft();
    connection
        .prepare_cached(INSERT)?
        // By position: looking names up took a twentieth of the writer's time.
        .execute(params![
            draft.kind.as_str(),
            draft.priority.as_str(),
            draft.title,
            draft.message,
            some(&draft.context),
            format_time(new.create_time()),
            some(&draft.agent),
            some(&draft.session),
            some(&draft.project),
            row::words_json(&draft.tags),
            row::choices_json(&draft.options),
            draft.allow_multiple.then_some(1),
            draft.allow_text.then_some(1),
            new.expire_time().map(format_time),
            some(&draft.default_response),
            // Never NULL: that is how the journal knows who writes.
            draft.surface,
            draft.request_id.as_ref().map(|id| id.as_bytes().as_slice()),
            digest,
            draft.owner.as_ref().map(Owner::as_bytes),
        ])
        .map(drop)
}

/// The notification that `insert` has just stored.
fn created(new: &NewNotification, id: i64, sequence: i64) -> Notification {
    let draft = new.draft();
    Notification {
        id,
        kind: Word::Known(draft.kind),
        priority: Word::Known(draft.priority),
        state: Word::Known(State::Pending),
        title: draft.title.clone(),
        message: draft.message.clone(),
        context: draft.context.clone(),
        agent: draft.agent.clone(),
        session: draft.session.clone(),
        project: draft.project.clone(),
        tags: draft.tags.clone(),
        options: draft.options.clone(),
        allow_multiple: draft.allow_multiple,
        allow_text: draft.allow_text,
        create_time: Some(new.create_time()),
        update_time: Some(new.create_time()),
        read_time: None,
        close_time: None,
        closed_by: String::new(),
        closed_surface: String::new(),
        expire_time: new.expire_time(),
        default_response: draft.default_response.clone(),
        response: None,
        sequence,
        owner: draft.owner,
    }
}

/// What the owner of `new` has used a request id for within its memory: the notification, and the digest of its content.
fn earlier(
    connection: &Connection,
    request_id: &[u8],
    new: &NewNotification,
) -> rusqlite::Result<Option<(i64, Option<Vec<u8>>)>> {
    let found = connection
        .prepare_cached(
            "SELECT id, request_digest, created_at FROM notifications WHERE request_id = ?1 AND owner IS ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row((request_id, new.draft().owner.as_ref().map(Owner::as_bytes)), |row| Ok((row.get(0)?, row.get(1)?, row::time(row, 2)?)))
        .optional()?;
    Ok(found
        .filter(|(_, _, created)| {
            created.is_none_or(|created| new.create_time().since(created) < REQUEST_MEMORY)
        })
        .map(|(id, digest, _)| (id, digest)))
}

/// A digest of what was asked for, to tell a repetition from another request with the same id. Every field is preceded by its length, so
/// that no two requests look the same. It is stored: the function and its key must never change. It need not be secret: both requests
/// come from the same user.
fn digest(draft: &Draft) -> Vec<u8> {
    let mut hash = SipHasher24::new();
    let mut feed = |bytes: &[u8]| {
        hash.write(&(bytes.len() as u64).to_le_bytes());
        hash.write(bytes);
    };
    for text in [
        draft.kind.as_str(),
        draft.priority.as_str(),
        &draft.title,
        &draft.message,
        &draft.context,
        &draft.agent,
        &draft.session,
        &draft.project,
        &draft.default_response,
        &draft.surface,
    ] {
        feed(text.as_bytes());
    }
    feed(&[u8::from(draft.allow_multiple), u8::from(draft.allow_text)]);
    match draft.expiration {
        None => feed(b""),
        Some(Expiration::At(time)) => feed(format!("at {}", time.as_micros()).as_bytes()),
        Some(Expiration::After(span)) => feed(format!("after {}", span.as_nanos()).as_bytes()),
    }
    feed(&(draft.tags.len() as u64).to_le_bytes());
    draft.tags.iter().for_each(|tag| feed(tag.as_bytes()));
    for option in &draft.options {
        feed(option.name.as_bytes());
        feed(option.description.as_bytes());
    }
    hash.finish128().as_bytes().to_vec()
}

const RESPOND: &str = "UPDATE notifications
       SET status = 'responded', user_response = :text, response_options = :options, updated_at = :now, closed_at = :now,
           closed_by = :by, closed_surface = :surface, response_request_id = :request
     WHERE id = :id AND status IN ('pending', 'read')";

/// Answers a notification; the first response wins.
pub(super) fn respond(
    connection: &Connection,
    respond: &Respond,
    call: Call,
) -> Result<Notification, Failure> {
    let before = require(connection, respond.id, Authority::Person)?;
    if before.state == Word::Known(State::Responded) && repeats(connection, &before, respond)? {
        return Ok(before);
    }
    if !before.is_open() {
        return Err(Error::NotificationClosed(Box::new(before.closed())).into());
    }
    let Chosen { text, options } =
        Rules::of(&before).choose("text", &respond.text, &respond.options)?;
    let changed = connection.prepare_cached(RESPOND)?.execute(named_params! {
        ":text": text,
        ":options": row::words_json(&options),
        ":now": format_time(call.now),
        ":by": some(&respond.actor.name),
        ":surface": some(&respond.actor.surface),
        ":request": respond.request_id.as_ref().map(|id| id.as_bytes().as_slice()),
        ":id": respond.id,
    })?;
    expect_one(changed, respond.id)?;
    let response = Response {
        text,
        options,
        responder: respond.actor.name.clone(),
        surface: respond.actor.surface.clone(),
        time: Some(call.now),
        is_default: false,
    };
    Ok(Notification {
        state: Word::Known(State::Responded),
        response: Some(response),
        update_time: Some(call.now),
        close_time: Some(call.now),
        closed_by: respond.actor.name.clone(),
        closed_surface: respond.actor.surface.clone(),
        sequence: journal::last(connection)?,
        ..before
    })
}

/// Whether `respond` says again what `answered` has been answered with: by request id, or by the same responder in the same words.
fn repeats(
    connection: &Connection,
    answered: &Notification,
    respond: &Respond,
) -> Result<bool, Failure> {
    if let Some(request_id) = respond.request_id {
        let stored: Option<Vec<u8>> = connection
            .prepare_cached("SELECT response_request_id FROM notifications WHERE id = ?1")?
            .query_row([answered.id], |row| row.get(0))?;
        if stored.as_deref() == Some(request_id.as_bytes().as_slice()) {
            return Ok(true);
        }
    }
    let Some(response) = &answered.response else {
        return Ok(false);
    };
    let same = Rules::of(answered)
        .choose("text", &respond.text, &respond.options)
        .is_ok_and(|chosen| chosen.text == response.text);
    Ok(same && respond.actor.name == response.responder)
}

const READ: &str = "UPDATE notifications
       SET status = 'read', updated_at = :now, read_at = coalesce(read_at, :now), read_by = :by, read_surface = :surface
     WHERE id = :id AND status = 'pending'";
const DISMISS: &str = "UPDATE notifications
       SET status = 'dismissed', updated_at = :now, closed_at = :now, closed_by = :by, closed_surface = :surface
     WHERE id = :id AND status IN ('pending', 'read')";
const CANCEL: &str = "UPDATE notifications
       SET status = 'cancelled', updated_at = :now, closed_at = :now, closed_by = :by, closed_surface = :surface
     WHERE id = :id AND status IN ('pending', 'read')";

/// Moves a notification to another state.
pub(super) fn transition(
    connection: &Connection,
    change: &Move,
    call: Call,
) -> Result<Notification, Failure> {
    let before = require(connection, change.id, change.authority)?;
    let (sql, to) = match change.transition {
        Transition::Read => (READ, State::Read),
        Transition::Dismiss => (DISMISS, State::Dismissed),
        Transition::Cancel => (CANCEL, State::Cancelled),
    };
    let unread = before.state == Word::Known(State::Pending);
    if before.state == Word::Known(to) || (change.transition == Transition::Read && !unread) {
        return Ok(before);
    }
    if !before.is_open() {
        return Err(Error::NotificationClosed(Box::new(before.closed())).into());
    }
    let changed = connection.prepare_cached(sql)?.execute(named_params! {
        ":now": format_time(call.now),
        ":by": some(&change.actor.name),
        ":surface": some(&change.actor.surface),
        ":id": change.id,
    })?;
    expect_one(changed, change.id)?;
    require(connection, change.id, change.authority)
}

/// The row was open when it was read in this transaction, so anything else is a defect.
fn expect_one(changed: usize, id: i64) -> Result<(), Failure> {
    if changed == 1 {
        return Ok(());
    }
    Err(Error::Internal(format!("changing notification {id} changed {changed} rows")).into())
}

// Left to itself the planner prefers the index by state, and sorts all that is open.
// Direct tooling may write another format, which sorts elsewhere: "2025-10-09 23:00" comes before "2025-10-09T01:00", and an empty text
// before everything. So julianday reads it too: nothing expires early, and what is no time never does.
const DUE: &str = "UPDATE notifications
       SET status = 'expired', updated_at = :now, closed_at = :now, user_response = default_response
     WHERE id IN (SELECT id FROM notifications INDEXED BY idx_barista_expiry
                   WHERE expires_at IS NOT NULL AND status IN ('pending', 'read') AND expires_at <= :now
                     AND julianday(expires_at) <= julianday(:now)
                   ORDER BY expires_at LIMIT :limit)";
const NEXT_DUE: &str = "SELECT expires_at FROM notifications INDEXED BY idx_barista_expiry
     WHERE expires_at IS NOT NULL AND status IN ('pending', 'read') AND expires_at > :now
     ORDER BY expires_at LIMIT 1";
const ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM notifications INDEXED BY idx_barista_expiry
     WHERE expires_at IS NOT NULL AND status IN ('pending', 'read') AND expires_at <= ?1
       AND julianday(expires_at) <= julianday(?1))";

/// Whether any notification should expire.
pub(super) fn any_due(connection: &Connection, now: Timestamp) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached(ANY_DUE)?
        .query_row([format_time(now)], |row| row.get(0))?)
}

/// Lets at most `limit` notifications expire.
pub(super) fn expire_due(
    connection: &Connection,
    limit: usize,
    now: Timestamp,
) -> Result<usize, Failure> {
    let count = connection
        .prepare_cached(DUE)?
        .execute(named_params! { ":now": format_time(now), ":limit": journal::count(limit) })?;
    Ok(count)
}

/// When the next notification is due after `now`.
pub(super) fn next_due(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let next = connection
        .prepare_cached(NEXT_DUE)?
        .query_row(named_params! { ":now": format_time(now) }, |row| {
            row::time(row, 0)
        })
        .optional()?;
    Ok(next.flatten())
}

/// What an expiry of up to `limit` did: when it was as many, more may be due at once.
pub(super) fn expired(
    count: usize,
    limit: usize,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Expired {
    Expired {
        count,
        next: if count >= limit { Some(now) } else { next },
    }
}

/// Counts open notifications, up to `limit`.
pub(super) fn count_open(connection: &Connection, limit: usize) -> Result<usize, Failure> {
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM notifications WHERE status IN ('pending', 'read') LIMIT ?1)",
        )?
        .query_row([journal::count(limit)], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::contents::NOTIFICATIONS;
    use super::super::schema::migrate;
    use super::*;

    #[test]
    fn what_is_due_is_found_in_the_index_of_open_notifications() {
        let mut connection = Connection::open_in_memory().expect("a database");
        migrate(
            &mut connection,
            std::path::Path::new("test"),
            &NOTIFICATIONS,
        )
        .expect("a schema");
        for sql in [DUE, NEXT_DUE, ANY_DUE] {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .expect("a plan");
            let count = statement.parameter_count();
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3))
                .expect("a plan")
                .collect::<Result<_, _>>()
                .expect("a plan");
            let plan = plan.join("; ");
            assert!(
                plan.contains("idx_barista_expiry") && !plan.contains("TEMP B-TREE"),
                "{sql}: {plan}"
            );
        }
    }
}
