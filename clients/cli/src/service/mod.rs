//! The daemon as a service of the user's systemd: its units, where they lie, and what systemd says about them.

pub(crate) mod files;
pub(crate) mod manager;
pub(crate) mod plan;
pub(crate) mod units;
