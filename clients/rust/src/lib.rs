//! The client library of Barista, the broker between coding agents and the people they work for: ask a question from a program, answer
//! it, wait for the answer, and watch what happens.
//!
//! # Asking
//!
//! ```no_run
//! use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationType};
//! use barista_client::{Client, ConnectOptions, WaitOutcome};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), barista_client::Error> {
//!     let client = Client::connect(ConnectOptions::new()).await?;
//!     let question = CreateNotificationRequest {
//!         r#type: NotificationType::Question.into(),
//!         title: "Deploy?".to_owned(),
//!         ..CreateNotificationRequest::default()
//!     };
//!     let question = client.create_notification(question).await?;
//!     match client.wait(question.id, None).await? {
//!         WaitOutcome::Ended(question) => match question.response {
//!             Some(response) => println!("{}", response.text),
//!             None => println!("closed without a response: {}", question.state().as_str_name()),
//!         },
//!         WaitOutcome::TimedOut(_) => println!("still open"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Look at the [state](pb::notification::v1::NotificationState) and the response of what a wait returns: a question that was dismissed,
//! cancelled or expired has ended, too, and silence is not consent. The crate's `examples/ask.rs` and `examples/watch.rs` are whole
//! programs.
//!
//! # Finding the daemon
//!
//! The daemon belongs to a data directory, which [`ConnectOptions`] names or the [common rule](locate::data_dir) finds. It counts as
//! running when it answers an RPC; what lock and socket files say is not asked. Where none answers, [`Client::connect`] starts
//! `baristad`, unless [`Autostart::Never`] says not to, and many clients that come at once start one. Whom it talks to is checked on every
//! connection: the daemon must run as this user or as root, and must serve the [revision of the protocol](PROTOCOL) that this library
//! speaks. An older daemon that is idle is replaced where a daemon may be started at all; a busy one is reported.
//!
//! # When the daemon goes away
//!
//! * **Calls** are repeated on a new connection, up to three times within their limit. That is safe: each change carries a request id,
//!   made up here where the caller gave none, and the daemon carries out a request id once. [`Error::Disconnected`] and
//!   [`Error::TimedOut`] mean that the outcome stayed unknown. To ask again after these, set the request id yourself and keep it.
//! * **Waits** ([`Client::wait`]) go on across restarts: the question is in the database.
//! * **Watches** ([`Client::watch`]) resume behind the last event: no gap, no duplicate. To resume in another process, keep
//!   [`Watch::cursor`], or let the daemon keep it: [`Client::watch_consumer`].
//!
//! # Agents in sandboxes
//!
//! [`ConnectOptions::socket`] may name the agent socket. Then all of this works for what this client, or another with the same
//! [`SessionKey`], has created, and everything else is refused with `AGENT_NOT_ALLOWED`.
//!
//! # Errors
//!
//! Decide on [`Error::reason`], show the [`Error`] itself: it is a sentence for people that says what to do next. What the reasons mean
//! is with [`ErrorReason`].

pub mod pb;

mod admin;
mod analytics;
mod autostart;
mod backoff;
mod client;
mod consumer;
mod error;
mod notification;
mod options;
mod replace;
mod session;
mod session_key;
mod target;
mod trace;
mod wait;
mod watch;

pub use autostart::daemon_program;
pub use barista_locate as locate;
pub use client::Client;
pub use error::{Error, FieldViolation, RpcError};
pub use options::{Autostart, ConnectOptions};
pub use pb::error::v1::ErrorReason;
pub use session_key::{SESSION_KEY_VARIABLE, SessionKey};
pub use tonic::Code;
pub use trace::ObservationWatch;
pub use wait::{WaitNotice, WaitOutcome};
pub use watch::{ConsumerWatch, Watch, WatchItem};

/// The revision of the protocol that this library speaks.
pub const PROTOCOL: i32 = 1;
