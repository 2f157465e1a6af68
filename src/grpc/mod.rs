//! The wire: parse, call the domain, render.
//!
//! [`server::serve`] puts it together. Generated code enters through [`pb`] alone, and a `Status` is made in `status.rs` alone.

pub mod admin;
mod agent;
mod analytics;
mod authority;
mod body;
mod consumer;
mod deadline;
mod field;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod keeping;
mod layer;
pub mod metrics;
mod notification;
mod observation;
mod otlp;
pub mod page_token;
pub mod pb;
pub mod server;
mod sever;
mod status;
mod stream;
#[cfg(test)]
mod testing;
mod trace;
mod write;
