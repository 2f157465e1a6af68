//! Barista's daemon as a library.

pub mod cli;
pub mod config;
pub mod connection;
pub mod data_dir;
pub mod instance;
pub mod log_file;
pub mod notify;
pub mod platform;
pub mod shutdown;
pub mod socket;
pub mod telemetry;

#[cfg(test)]
mod alone;
