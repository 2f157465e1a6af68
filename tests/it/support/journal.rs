//! The journal as it lies in the database: what every watcher should have been told, read without the daemon.

use std::collections::BTreeMap;

use barista_client::pb::notification::v1::{
    ChangeKind, NotificationFilter, NotificationState, NotificationType, Priority,
    WatchNotificationsRequest,
};
use rusqlite::{Connection, Row};

/// One change, with what a filter looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) sequence: i64,
    pub(crate) id: i64,
    pub(crate) kind: i32,
    pub(crate) state: i32,
    pub(crate) r#type: i32,
    pub(crate) priority: i32,
    pub(crate) agent: String,
    pub(crate) session: String,
    pub(crate) project: String,
    /// Whether the rest of the notification is known: direct tooling may have taken it away before anybody could keep it.
    pub(crate) has_content: bool,
}

impl Fact {
    /// Whether a watch that asked for `request` is to be told of this change.
    fn matches(&self, request: &WatchNotificationsRequest) -> bool {
        let any = NotificationFilter::default();
        let filter = request.filter.as_ref().unwrap_or(&any);
        let one_of = |wanted: &[i32], value| wanted.is_empty() || wanted.contains(&value);
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        let content = one_of(&filter.types, self.r#type)
            && one_of(&filter.priorities, self.priority)
            && one_of(&filter.states, self.state)
            && is(&filter.agent, &self.agent)
            && is(&filter.session, &self.session)
            && is(&filter.project, &self.project);
        one_of(&request.kinds, self.kind) && (content || !self.has_content)
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.kind == i32::from(ChangeKind::Deleted)
    }
}

/// All changes that are kept, by their sequence.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) epoch: String,
    pub(crate) facts: BTreeMap<i64, Fact>,
}

/// The contents are those that were kept first after the change, else those of the row as it is.
const FACTS: &str = "SELECT c.seq, c.notification_id, c.kind, c.status,
        iif(h.id IS NULL, n.type, h.type), iif(h.id IS NULL, n.priority, h.priority), iif(h.id IS NULL, n.agent, h.agent),
        iif(h.id IS NULL, n.session, h.session), iif(h.id IS NULL, n.project, h.project), coalesce(h.id, n.id) IS NOT NULL
   FROM changes c
   LEFT JOIN notifications n ON n.id = c.notification_id
   LEFT JOIN change_contents h ON h.id = (
        SELECT id FROM change_contents
         WHERE notification_id = c.notification_id AND until_seq > c.seq - (c.kind = 'deleted')
         ORDER BY until_seq LIMIT 1)";

impl Journal {
    pub(crate) fn read(connection: &Connection) -> Self {
        let epoch = connection
            .query_row(
                "SELECT value FROM barista_meta WHERE key = 'epoch'",
                [],
                |row| row.get(0),
            )
            .expect("an epoch");
        let mut statement = connection.prepare(FACTS).expect("a journal");
        let facts = statement
            .query_map([], fact)
            .and_then(Iterator::collect)
            .expect("changes");
        Self { epoch, facts }
    }

    /// The first sequence that is kept.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.facts.keys().next().copied()
    }

    /// The changes after `after` and before `before` that `request` asks for.
    pub(crate) fn between(
        &self,
        request: &WatchNotificationsRequest,
        after: i64,
        before: i64,
    ) -> Vec<i64> {
        if before <= after {
            return Vec::new();
        }
        self.facts
            .range(after + 1..before)
            .filter(|(_, fact)| fact.matches(request))
            .map(|(sequence, _)| *sequence)
            .collect()
    }

    /// What a snapshot at `head` must show of what the journal knows: the last change of each notification that matches.
    pub(crate) fn snapshot(
        &self,
        request: &WatchNotificationsRequest,
        head: i64,
    ) -> BTreeMap<i64, i64> {
        let mut last = BTreeMap::new();
        for fact in self.facts.range(..=head).map(|(_, fact)| fact) {
            last.insert(fact.id, fact);
        }
        // A snapshot is filtered by what the notification is, not by what happened to it.
        let request = WatchNotificationsRequest {
            kinds: Vec::new(),
            ..request.clone()
        };
        last.into_values()
            .filter(|fact| !fact.is_deletion() && fact.matches(&request))
            .map(|fact| (fact.id, fact.sequence))
            .collect()
    }
}

fn fact(row: &Row<'_>) -> rusqlite::Result<(i64, Fact)> {
    // Direct tooling may have written anything into any column.
    let text = |index| -> rusqlite::Result<String> {
        let value = row.get_ref(index)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    let value = |index, prefix: &str, known: fn(&str) -> Option<i32>| -> rusqlite::Result<i32> {
        let name = format!("{prefix}_{}", text(index)?.to_uppercase());
        Ok(known(&name).unwrap_or_default())
    };
    let sequence = row.get(0)?;
    let fact = Fact {
        sequence,
        id: row.get(1)?,
        kind: value(2, "CHANGE_KIND", |name| {
            ChangeKind::from_str_name(name).map(i32::from)
        })?,
        state: value(3, "NOTIFICATION_STATE", |name| {
            NotificationState::from_str_name(name).map(i32::from)
        })?,
        r#type: value(4, "NOTIFICATION_TYPE", |name| {
            NotificationType::from_str_name(name).map(i32::from)
        })?,
        priority: value(5, "PRIORITY", |name| {
            Priority::from_str_name(name).map(i32::from)
        })?,
        agent: text(6)?,
        session: text(7)?,
        project: text(8)?,
        has_content: row.get(9)?,
    };
    Ok((sequence, fact))
}
