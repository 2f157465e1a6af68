//! What the daemon says about itself: events and spans of `tracing`, as text or JSON, on standard error or in a log file.
//!
//! Nothing that people or agents wrote goes here: no titles, messages, responses or tokens, only ids, counts, times and reasons.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{Log, LogFormat};
use crate::log_file::LogFile;

/// Why the daemon cannot log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be used.
    #[error(
        "cannot log to {path}: {source}; set log.file (--log-file) to a regular file in a directory of this user"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The filter is not valid; [`crate::config`] does not let such a one through.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("logging was set up before: {0}")]
    SetUpBefore(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets up logging for the whole process: to the configured file, else to `default_file` (for a daemon without a terminal), else to
/// standard error, in colour if that is a terminal and `NO_COLOR` is not set.
///
/// Call it once, after the instance lock is taken: two daemons must not rotate one file.
///
/// # Errors
///
/// [`TelemetryError`] says what is wrong with the file.
pub fn init(log: &Log, default_file: Option<PathBuf>) -> Result<(), TelemetryError> {
    let subscriber = match log.file.clone().or(default_file) {
        Some(path) => {
            let file = LogFile::open(&path, log.max_bytes, log.keep)
                .map_err(|source| TelemetryError::File { path, source })?;
            subscriber(log, Arc::new(file), false)?
        }
        None => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            subscriber(log, io::stderr, io::stderr().is_terminal() && !no_color)?
        }
    };
    tracing::subscriber::set_global_default(subscriber)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(
    log: &Log,
    writer: W,
    colour: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.level)?;
    // An event that cannot be written is dropped. The layer would complain on standard error, and panic where that is closed.
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Human => fmt::layer()
            .with_writer(writer)
            .with_ansi(colour)
            .log_internal_errors(false)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .log_internal_errors(false)
            .boxed(),
    };
    Ok(Box::new(Registry::default().with(layer).with(filter)))
}

/// Logs where a panic was, not what it said: the text of a failed assertion or a string index quotes the data at hand.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let backtrace = std::backtrace::Backtrace::capture();
    match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => {
            tracing::error!(location, thread, %backtrace, "panic: a defect of the daemon");
        }
        _ => tracing::error!(location, thread, "panic: a defect of the daemon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alone;

    fn logged(format: LogFormat, level: &str) -> String {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        let file = Arc::new(LogFile::open(&path, 1 << 20, 1).expect("opened"));
        let log = Log {
            format,
            level: level.to_owned(),
            ..Log::default()
        };
        let subscriber = subscriber(&log, file, false).expect("a subscriber");
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("rpc", method = "Watch");
            let _entered = span.enter();
            tracing::info!(rows = 7, "page read");
            tracing::debug!("detail");
        });
        std::fs::read_to_string(&path).expect("readable")
    }

    #[test]
    fn people_get_a_line_of_text() {
        let text = logged(LogFormat::Human, "info");
        assert!(text.contains("INFO rpc{method=\"Watch\"}: "), "{text}");
        assert!(
            text.ends_with("page read rows=7\n") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn programs_get_an_object_per_line() {
        let text = logged(LogFormat::Json, "debug");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "page read");
        assert_eq!(lines[0]["rows"], 7);
        assert_eq!(lines[0]["span"]["method"], "Watch");
        assert_eq!(lines[1]["level"], "DEBUG");
    }

    #[test]
    fn the_level_filters() {
        assert_eq!(logged(LogFormat::Human, "off"), "");
        assert_eq!(
            logged(LogFormat::Human, "info,barista=debug")
                .lines()
                .count(),
            2
        );
    }

    /// Sets the logging of a whole process, so it runs in one of its own.
    #[test]
    #[ignore = "sets up logging for the whole process; another test runs it"]
    fn alone_panicking() {
        if !alone::is_alone() {
            return;
        }
        let path = std::env::var_os("LOG").expect("a path");
        init(&Log::default(), Some(path.into())).expect("set up");
        assert!(init(&Log::default(), None).is_err());
        std::thread::spawn(|| panic!("secret text"))
            .join()
            .expect_err("a panic");
    }

    #[test]
    fn a_panic_is_logged_without_its_text() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        alone::expect_pass(alone::command("telemetry::tests::alone_panicking").env("LOG", &path));
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(
            text.contains("panic: a defect of the daemon") && text.contains("telemetry.rs"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}
