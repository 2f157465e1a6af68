//! The client library against a daemon that the test plays: what it does when the daemon stops, breaks or hangs in mid-call.
#![expect(
    clippy::disallowed_methods,
    reason = "the fake daemon makes every Status itself"
)]

mod calls;
mod daemon;
mod replace;
mod start;
mod watch;
