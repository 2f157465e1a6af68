//! The client library of Barista: ask people questions from a program, answer them, wait, and watch what happens.

pub mod pb;

mod admin;
mod autostart;
mod backoff;
mod client;
mod error;
mod notification;
mod options;
mod session;
mod target;
mod wait;
mod watch;

pub use client::Client;
pub use error::{Error, FieldViolation, RpcError};
pub use options::{Autostart, ConnectOptions};
pub use pb::error::v1::ErrorReason;
pub use wait::WaitOutcome;
pub use watch::{Watch, WatchItem};

/// The revision of the protocol that this library speaks.
pub const PROTOCOL: i32 = 1;
