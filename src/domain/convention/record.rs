//! Spans and logs as OpenTelemetry defines them, whatever they were encoded in.

use crate::domain::observation::id::{SpanId, TraceId};

/// Attributes by name. Bytes and numbers that JSON cannot hold are texts.
pub type Attributes = serde_json::Map<String, serde_json::Value>;

/// Who reports: what is said once for many spans or logs.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What is known about the program.
    pub resource: Attributes,
    /// The name of the library that reports.
    pub scope: String,
    /// The version of that library.
    pub scope_version: String,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Nobody said; usually well.
    #[default]
    Unset,
    /// Well, whatever happened on the way.
    Ok,
    /// It failed.
    Error,
}

/// Something that happened during a span.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// What happened.
    pub name: String,
    /// When, in nanoseconds since the epoch.
    pub time_nanos: u64,
    /// More about it.
    pub attributes: Attributes,
}

/// A span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span that it is part of; `None` for the root of its trace.
    pub parent_id: Option<SpanId>,
    /// What it is called.
    pub name: String,
    /// When it began, in nanoseconds since the epoch.
    pub start_nanos: u64,
    /// When it ended; 0 where nobody said.
    pub end_nanos: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub status_message: String,
    /// More about it.
    pub attributes: Attributes,
    /// What happened during it.
    pub events: Vec<Event>,
}

/// A log record.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// When it happened, in nanoseconds since the epoch; where nobody said, when it was noticed.
    pub time_nanos: u64,
    /// What kind of event it is; empty for a line of an ordinary log, and for programs that say it elsewhere.
    pub event_name: String,
    /// How serious it is: 17 and above are errors, 13 and above warnings; 0 where nobody said.
    pub severity: i32,
    /// Its text, where it is one.
    pub body: String,
    /// The trace in which it was written.
    pub trace_id: Option<TraceId>,
    /// The span in which it was written.
    pub span_id: Option<SpanId>,
    /// More about it.
    pub attributes: Attributes,
}
