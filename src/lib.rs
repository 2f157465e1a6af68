#![doc = include_str!("ARCHITECTURE.md")]

pub mod check;
pub mod cli;
pub mod config;
pub mod connection;
pub mod daemon;
pub mod data_dir;
pub mod domain;
mod failpoint;
pub mod grpc;
pub mod instance;
pub mod log_file;
pub mod metrics;
pub mod notify;
pub mod offline;
pub mod platform;
pub mod scrape;
pub mod shutdown;
pub mod socket;
pub mod store;
mod sync;
pub mod telemetry;

#[cfg(test)]
mod alone;
