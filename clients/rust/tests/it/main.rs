//! The client library against a daemon that the test plays: what it does when the daemon stops, breaks or hangs in mid-call.

mod calls;
mod daemon;
mod start;
mod watch;
