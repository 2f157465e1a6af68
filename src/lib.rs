//! Barista's daemon as a library.

pub mod cli;
pub mod config;
