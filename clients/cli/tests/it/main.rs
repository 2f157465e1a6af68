//! The real programs: `barista` and the `baristad` that it starts, each test in a home of its own.
//!
//! A test waits for what a program writes, for its end, or for what the daemon says about itself; the one limit there is only turns a hang
//! into a failure. The transcripts are brought up to date with `SNAPSHOTS=overwrite cargo test -p barista-cli --test it`.

mod activation;
mod agent;
mod ask;
mod completions;
mod consumer;
mod daemon;
mod db;
mod doctor;
mod heard;
mod home;
mod inbox;
mod install;
mod json;
mod picker;
mod program;
mod respond;
mod restart;
mod run;
mod service;
mod signals;
mod start;
mod stats;
mod terminal;
mod transcript;
mod watch;
