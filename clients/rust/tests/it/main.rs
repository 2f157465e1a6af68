//! The client library against a daemon that the test plays: what it does when the daemon stops, breaks or hangs in mid-call.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand in for the daemon, which makes every Status"
)]

mod calls;
mod daemon;
mod start;
mod watch;
