//! Notifications: what they are, and where they are kept.

pub mod draft;
pub mod filter;
pub mod response;
pub mod store;

use super::authority::Owner;
use super::clock::Timestamp;
use super::error::Closed;
use super::word::{Vocabulary, Word};

/// What kind of thing a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationType {
    /// Somebody waits for a response.
    Question,
    /// Worth knowing.
    Info,
    /// Something may go wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// A piece of work has ended.
    Completion,
}

impl Vocabulary for NotificationType {
    const ALL: &'static [Self] = &[
        Self::Question,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Completion,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Completion => "completion",
        }
    }
}

/// How urgent a notification is, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Work has stopped, or damage is near.
    Critical,
    /// Soon.
    High,
    /// When there is time.
    Normal,
    /// Whenever.
    Low,
}

impl Vocabulary for Priority {
    const ALL: &'static [Self] = &[Self::Critical, Self::High, Self::Normal, Self::Low];

    fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// Where a notification is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has looked at it.
    Pending,
    /// Seen, and still open.
    Read,
    /// End state: it has a response.
    Responded,
    /// End state: put away.
    Dismissed,
    /// End state: withdrawn.
    Cancelled,
    /// End state: its time has passed.
    Expired,
}

impl State {
    /// Whether a notification in this state can still be answered.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Read)
    }
}

impl Vocabulary for State {
    const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Read,
        Self::Responded,
        Self::Dismissed,
        Self::Cancelled,
        Self::Expired,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Read => "read",
            Self::Responded => "responded",
            Self::Dismissed => "dismissed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// One of the answers that a notification offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is answered, and shown.
    pub name: String,
    /// What it means; may be empty.
    pub description: String,
}

/// The answer to a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The response as text; chosen options by name, separated by ", ".
    pub text: String,
    /// The names of the chosen options.
    pub options: Vec<String>,
    /// Who responded; empty where unknown.
    pub responder: String,
    /// Through what; empty where unknown.
    pub surface: String,
    /// When.
    pub time: Option<Timestamp>,
    /// Whether it is the default that an expired notification took.
    pub is_default: bool,
}

/// A notification as it is stored. Empty strings stand for what is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Identity, never used again.
    pub id: i64,
    /// What kind of thing it is.
    pub kind: Word<NotificationType>,
    /// How urgent it is.
    pub priority: Word<Priority>,
    /// Where it is in its life.
    pub state: Word<State>,
    /// One line.
    pub title: String,
    /// The whole text.
    pub message: String,
    /// A JSON object as text; direct tooling may have stored other text.
    pub context: String,
    /// The agent it comes from.
    pub agent: String,
    /// The agent's session.
    pub session: String,
    /// The project it is about.
    pub project: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// The answers offered.
    pub options: Vec<Choice>,
    /// Whether several options may be chosen.
    pub allow_multiple: bool,
    /// Whether free text is taken although there are options.
    pub allow_text: bool,
    /// When it was created.
    pub create_time: Option<Timestamp>,
    /// When it last changed.
    pub update_time: Option<Timestamp>,
    /// When it was first marked read.
    pub read_time: Option<Timestamp>,
    /// When it reached its end state.
    pub close_time: Option<Timestamp>,
    /// Who ended it.
    pub closed_by: String,
    /// Through what it was ended.
    pub closed_surface: String,
    /// When it expires.
    pub expire_time: Option<Timestamp>,
    /// The response that it takes when it expires.
    pub default_response: String,
    /// The answer.
    pub response: Option<Response>,
    /// The sequence of its last change; 0 where the journal does not know it.
    pub sequence: i64,
    /// The agent that created it over the agent socket; `None` for what anybody else created.
    pub owner: Option<Owner>,
}

#[cfg(test)]
impl Notification {
    /// One of which nothing else is known: what a test says of it stands out.
    pub(crate) fn blank(id: i64, state: Word<State>) -> Self {
        Self {
            id,
            kind: Word::Other(String::new()),
            priority: Word::Other(String::new()),
            state,
            title: String::new(),
            message: String::new(),
            context: String::new(),
            agent: String::new(),
            session: String::new(),
            project: String::new(),
            tags: Vec::new(),
            options: Vec::new(),
            allow_multiple: false,
            allow_text: false,
            create_time: None,
            update_time: None,
            read_time: None,
            close_time: None,
            closed_by: String::new(),
            closed_surface: String::new(),
            expire_time: None,
            default_response: String::new(),
            response: None,
            sequence: 0,
            owner: None,
        }
    }
}

impl Notification {
    /// Whether it is in an end state: nothing will change any more. A state outside the vocabulary is none.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.known().is_some_and(|state| !state.is_open())
    }

    /// Whether it can be answered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.known().is_some_and(State::is_open)
    }

    /// What closed it, for an error.
    #[must_use]
    pub fn closed(&self) -> Closed {
        Closed {
            id: self.id,
            state: self.state.clone(),
            by: self.closed_by.clone(),
            surface: self.closed_surface.clone(),
            response: self.response.as_ref().map(|response| response.text.clone()),
        }
    }

    /// About how many bytes it takes in memory and in a message.
    #[must_use]
    pub fn size(&self) -> usize {
        let response = self
            .response
            .as_ref()
            .map_or(0, |r| r.text.len() + r.responder.len());
        let lists: usize = self.tags.iter().map(|tag| tag.len() + 24).sum::<usize>()
            + self
                .options
                .iter()
                .map(|o| o.name.len() + o.description.len() + 48)
                .sum::<usize>();
        let texts = [
            &self.title,
            &self.message,
            &self.context,
            &self.agent,
            &self.session,
            &self.project,
            &self.default_response,
            &self.closed_by,
            &self.closed_surface,
        ];
        256 + texts.into_iter().map(String::len).sum::<usize>() + response + lists
    }
}
