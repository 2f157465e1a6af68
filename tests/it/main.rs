//! Stories: the real daemon in a process of its own, told through the public client library. A second program at the same files is this
//! process, with SQLite connections of its own: the daemon's process must be another one, as POSIX locks belong to processes.

mod support;

mod agent;
mod analytics;
mod architecture;
mod backup;
mod concurrency;
mod consumer;
mod contention;
mod crash;
mod expiry;
#[cfg(feature = "failpoints")]
mod faults;
mod foreign;
mod fuzz;
mod input;
mod integrity;
mod legacy;
mod list;
mod locks;
mod metrics;
mod notification;
mod otlp;
mod repetition;
mod respond;
mod shutdown;
mod socket;
mod start;
mod stopped;
mod storage;
mod telemetry;
mod upgrade;
mod wait;
mod watch;
mod watch_limits;
mod watchdog;
