//! What is true whatever the wire and the disk: types, rules, and one store trait for each area. No I/O.

pub mod admin;
pub mod analytics;
pub mod authority;
pub mod backup;
pub mod change;
pub mod clock;
pub mod consumer;
pub mod consumers;
pub mod convention;
pub mod error;
pub mod feed;
pub mod forgetting;
pub mod hourly;
pub mod notification;
pub mod notifications;
pub mod observation;
pub mod price;
pub mod redaction;
pub mod retention;
pub mod sketch;
pub mod trace;
pub mod traces;
pub mod word;
