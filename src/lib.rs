//! Barista's daemon as a library.

pub mod cli;
pub mod config;
pub mod data_dir;
pub mod instance;
pub mod platform;
pub mod socket;
