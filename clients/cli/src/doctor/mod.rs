//! What `doctor` looks at: each file finds, none of them changes anything.

pub(crate) mod daemon;
pub(crate) mod directory;
pub(crate) mod finding;
pub(crate) mod tools;
