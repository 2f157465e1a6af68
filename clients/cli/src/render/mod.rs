//! How things look to people. Every function is pure: data, clock and width in, styled text out.

pub(crate) mod amount;
pub(crate) mod consumer;
pub(crate) mod detail;
pub(crate) mod event;
pub(crate) mod findings;
pub(crate) mod inbox;
pub(crate) mod retention;
pub(crate) mod service;
pub(crate) mod sheet;
pub(crate) mod stats;
pub(crate) mod status;
