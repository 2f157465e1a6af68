//! What `doctor` looks at: the directory from outside, the daemon by its answers, the databases by the daemon's own check, and other tools.

pub(crate) mod check;
pub(crate) mod consumers;
pub(crate) mod daemon;
pub(crate) mod directory;
pub(crate) mod finding;
pub(crate) mod fix;
pub(crate) mod integrity;
pub(crate) mod tools;
