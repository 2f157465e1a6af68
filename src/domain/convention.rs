//! What programs call the things that they report: their spans and logs become reports of observations.
//!
//! Everything that differs from one convention to another is in `convention/table.rs`; the rest of this module only looks things up there. So a
//! convention that changes, as they do monthly, changes a table and a test with what the real program sends.

mod content;
mod facts;
mod log;
mod money;
mod record;
mod span;
mod table;
mod tokens;

pub use log::log;
pub use record::{Attributes, Event, Log, Origin, Outcome, Span};
pub use span::span;

#[cfg(test)]
mod tests;
