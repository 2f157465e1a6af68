//! Which notifications are meant, and in which order.

use super::super::authority::Owner;
use super::super::change::{Change, ChangeKind};
use super::super::word::{Vocabulary, Word};
use super::{Notification, NotificationType, Priority, State};

/// A choice from a vocabulary: its values, and the words outside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection<T> {
    /// The values chosen.
    pub values: Vec<T>,
    /// Whether words outside the vocabulary are chosen too.
    pub others: bool,
}

impl<T> Default for Selection<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            others: false,
        }
    }
}

impl<T: Vocabulary> Selection<T> {
    /// Whether nothing is chosen, which means that everything matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.values.is_empty() && !self.others
    }

    /// Whether `word` is chosen.
    #[must_use]
    pub fn matches(&self, word: &Word<T>) -> bool {
        self.is_any()
            || match word {
                Word::Known(value) => self.values.contains(value),
                Word::Other(_) => self.others,
            }
    }
}

/// Which notifications are meant: all that match every part. Empty strings match everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// One of these types.
    pub kinds: Selection<NotificationType>,
    /// One of these priorities.
    pub priorities: Selection<Priority>,
    /// One of these states.
    pub states: Selection<State>,
    /// Exactly this agent.
    pub agent: String,
    /// Exactly this session.
    pub session: String,
    /// Exactly this project.
    pub project: String,
    /// What this agent has created, and nothing else; `None` for no limit.
    pub owner: Option<Owner>,
}

impl Filter {
    /// Whether `notification` is meant.
    #[must_use]
    pub fn matches(&self, notification: &Notification) -> bool {
        self.kinds.matches(&notification.kind)
            && self.priorities.matches(&notification.priority)
            && self.states.matches(&notification.state)
            && names(&self.agent, &notification.agent)
            && names(&self.session, &notification.session)
            && names(&self.project, &notification.project)
            && (self.owner.is_none() || self.owner == notification.owner)
    }
}

fn names(wanted: &str, value: &str) -> bool {
    wanted.is_empty() || wanted == value
}

/// Which changes a watcher wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeFilter {
    /// Of which notifications.
    pub notifications: Filter,
    /// Of which kinds; empty for all.
    pub kinds: Vec<ChangeKind>,
}

impl ChangeFilter {
    /// Whether `change` is wanted. A deletion whose content nobody knows any more is always wanted: better one tombstone too many than
    /// a watcher that keeps a row which is gone. But not to an agent, of which nobody knows that it may hear of it.
    #[must_use]
    pub fn matches(&self, change: &Change) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&change.kind))
            && (self.notifications.matches(&change.notification)
                || (!change.has_content && self.notifications.owner.is_none()))
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// By id, descending.
    NewestFirst,
    /// By id, ascending.
    OldestFirst,
    /// By rank of the priority, then by id ascending.
    MostUrgentFirst,
}

/// The rank of a priority in [`Order::MostUrgentFirst`]: 0 for the most urgent; words outside the vocabulary come last.
#[must_use]
pub fn rank(priority: &Word<Priority>) -> u8 {
    let last = Priority::ALL.len();
    let rank = priority
        .known()
        .and_then(|known| Priority::ALL.iter().position(|value| *value == known))
        .unwrap_or(last);
    u8::try_from(rank).unwrap_or(u8::MAX)
}

/// A place in a list: the last notification that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    /// The rank of its priority; 0 in orders without ranks.
    pub rank: u8,
    /// Its id.
    pub id: i64,
}

#[cfg(test)]
mod tests {
    use super::super::super::authority::Authority;
    use super::*;

    /// A deletion that was only noticed afterwards: nobody knows what was deleted.
    fn tombstone() -> Change {
        Change {
            sequence: 1,
            kind: ChangeKind::Deleted,
            time: None,
            actor: String::new(),
            surface: String::new(),
            notification: Notification::blank(1, Word::Other(String::new())),
            has_content: false,
        }
    }

    #[test]
    fn a_deletion_of_unknown_content_is_told_to_people_and_not_to_agents() {
        let of = |authority: Authority| ChangeFilter {
            notifications: Filter {
                agent: "robin".to_owned(),
                owner: authority.owner(),
                ..Filter::default()
            },
            ..ChangeFilter::default()
        };
        assert!(of(Authority::Person).matches(&tombstone()));
        let agent = Authority::Agent(Owner::new([1; Owner::BYTES]));
        assert!(!of(agent).matches(&tombstone()));
    }
}
