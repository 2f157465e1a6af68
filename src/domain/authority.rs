//! What a caller may do, and whose notifications it may see.

/// The secret of an agent, as a digest: it tells whose a notification is, and nobody can act as its owner by reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; Owner::BYTES]);

impl Owner {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// The owner with this digest.
    #[must_use]
    pub fn new(digest: [u8; Self::BYTES]) -> Self {
        Self(digest)
    }

    /// The owner that a store has kept; `None` for anything else.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// What a store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// On whose behalf a call is made. It comes from the way that the call took, never from what the call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// On behalf of the person that the daemon belongs to: everything.
    Person,
    /// On behalf of an agent: what it has created itself, and nothing else.
    Agent(Owner),
}

impl Authority {
    /// The owner of what the caller creates, and of what it may see; `None` for no limit.
    #[must_use]
    pub fn owner(self) -> Option<Owner> {
        match self {
            Self::Person => None,
            Self::Agent(owner) => Some(owner),
        }
    }

    /// Whether the caller may see something that belongs to `owner`.
    #[must_use]
    pub fn may_see(self, owner: Option<Owner>) -> bool {
        match self {
            Self::Person => true,
            Self::Agent(own) => owner == Some(own),
        }
    }
}
