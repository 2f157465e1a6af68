//! The commands, one file per noun.

pub(crate) mod ask;
pub(crate) mod close;
pub(crate) mod completions;
pub(crate) mod consumer;
pub(crate) mod daemon;
pub(crate) mod db;
pub(crate) mod doctor;
pub(crate) mod draft;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod notify;
pub(crate) mod respond;
pub(crate) mod run;
pub(crate) mod service;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod watch;
