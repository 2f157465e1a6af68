//! What the daemon was told to do: defaults, below `barista.toml`, below the environment, below the flags.
//!
//! The four layers are merged as text-shaped TOML and read once, by the same deserialiser that reads the file: a rule about a value is written
//! in one place and holds wherever the value comes from. Everything after [`Config::load`] sees plain typed structs, one per concern.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barista_locate::variables;
use serde::Deserialize;
use toml::{Table, Value};

use crate::cli::Arguments;

mod file;
pub mod keys;
mod value;

pub use keys::{KEYS, Key};

/// The whole configuration, valid by construction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The socket and the connections on it.
    pub server: Server,
    /// The socket for agents.
    pub agent: Agent,
    /// The databases.
    pub storage: Storage,
    /// Durable watchers.
    pub consumers: Consumers,
    /// How long what is kept.
    pub retention: Retention,
    /// Traces, and what they cost.
    pub telemetry: Telemetry,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// What is logged, where, and how much of it is kept.
    pub log: Log,
}

/// The socket and the connections on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The socket's path, absolute after [`Config::load`]. `None`: the path that clients compute from the data directory.
    #[serde(deserialize_with = "value::optional_path")]
    pub socket: Option<PathBuf>,
    /// The largest request that is decoded, in bytes.
    #[serde(deserialize_with = "value::bytes::<_, _, 65_536, 268_435_456>")]
    pub max_message_bytes: usize,
    /// How many calls may run at once on one connection.
    #[serde(deserialize_with = "value::number::<_, _, 1, 65_536>")]
    pub max_concurrent_streams: u32,
    /// How many connections may be open; further ones are closed at once.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub max_connections: usize,
    /// How many watches and waits may be open in the whole daemon.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub max_watchers: usize,
    /// How long a new connection may take until it has introduced itself.
    #[serde(deserialize_with = "value::duration::<_, 100, 600_000>")]
    pub handshake_timeout: Duration,
    /// How long a connection may be silent before it is probed with an HTTP/2 ping.
    #[serde(deserialize_with = "value::duration::<_, 1_000, 86_400_000>")]
    pub keepalive_interval: Duration,
    /// How long a stopping daemon waits for calls that still run.
    #[serde(deserialize_with = "value::duration::<_, 0, 10_000>")]
    pub shutdown_grace: Duration,
    /// Threads that serve requests. 1: a runtime on the main thread.
    #[serde(deserialize_with = "value::number::<_, _, 1, 256>")]
    pub worker_threads: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            socket: None,
            max_message_bytes: 4 << 20,
            max_concurrent_streams: 1024,
            max_connections: 1024,
            max_watchers: 4096,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(8),
            worker_threads: 1,
        }
    }
}

/// The socket for agents in sandboxes, and what they may do there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Whether there is one.
    pub enabled: bool,
    /// Its path, absolute after [`Config::load`]. `None`: the usual one in the data directory.
    #[serde(deserialize_with = "value::optional_path")]
    pub socket: Option<PathBuf>,
    /// Whether agents may set a default response for the expiry of their questions.
    pub allow_default: bool,
    /// How many connections to it may be open; further ones are closed at once.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub max_connections: usize,
    /// How many calls over it may run at once, waits and watches among them.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub max_calls: usize,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: None,
            allow_default: false,
            max_connections: 256,
            max_calls: 256,
        }
    }
}

/// The databases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// How long one attempt waits for another process's write lock.
    #[serde(deserialize_with = "value::duration::<_, 1, 600_000>")]
    pub busy_timeout: Duration,
    /// How many attempts are made before a write fails as busy.
    #[serde(deserialize_with = "value::number::<_, _, 1, 10>")]
    pub busy_attempts: u32,
    /// How many writes may wait per database; further ones are refused at once.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub queue_capacity: usize,
    /// How many writes one transaction takes.
    #[serde(deserialize_with = "value::number::<_, _, 1, 100_000>")]
    pub batch_max_writes: usize,
    /// How many bytes of requests one transaction takes; a single larger request still gets one of its own.
    #[serde(deserialize_with = "value::bytes::<_, _, 4_096, 1_073_741_824>")]
    pub batch_max_bytes: usize,
    /// Connections for reading, per database.
    #[serde(deserialize_with = "value::number::<_, _, 1, 64>")]
    pub readers: usize,
    /// The page cache of one connection, in KiB.
    #[serde(deserialize_with = "value::number::<_, _, 64, 4_194_304>")]
    pub cache_kib: u32,
    /// Writes are refused while the file system has less space than this, in bytes.
    #[serde(deserialize_with = "value::bytes::<_, _, 0, 1_099_511_627_776>")]
    pub min_free_disk_bytes: u64,
    /// How often commits by other processes are looked for while somebody watches.
    #[serde(deserialize_with = "value::duration::<_, 1, 60_000>")]
    pub foreign_poll: Duration,
    /// The same while nobody watches.
    #[serde(deserialize_with = "value::duration::<_, 1, 60_000>")]
    pub idle_poll: Duration,
    /// The size of the write-ahead log, in frames, beyond which the writer makes a passive checkpoint.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000>")]
    pub checkpoint_frames: u32,
    /// The size of the write-ahead log, in bytes, beyond which the writer truncates it.
    #[serde(deserialize_with = "value::bytes::<_, _, 1_048_576, 1_099_511_627_776>")]
    pub truncate_bytes: u64,
    /// Whether the data directory may lie on a network file system.
    pub allow_network_file_system: bool,
    /// How often the daemon checks that its database files are still the ones that it opened.
    #[serde(deserialize_with = "value::duration::<_, 100, 60_000>")]
    pub file_check_interval: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(30),
            busy_attempts: 3,
            queue_capacity: 4096,
            batch_max_writes: 512,
            batch_max_bytes: 4 << 20,
            readers: 4,
            cache_kib: 8192,
            min_free_disk_bytes: 64 << 20,
            foreign_poll: Duration::from_millis(5),
            idle_poll: Duration::from_millis(250),
            checkpoint_frames: 1000,
            truncate_bytes: 64 << 20,
            allow_network_file_system: false,
            file_check_interval: Duration::from_secs(2),
        }
    }
}

/// Durable watchers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consumers {
    /// How many changes a consumer may be behind before the journal is no longer kept for it.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000_000_000>")]
    pub max_lag_events: u64,
    /// How old the first change may be that a consumer has not acknowledged.
    #[serde(deserialize_with = "value::duration::<_, 1_000, 315_360_000_000>")]
    pub max_age: Duration,
}

impl Default for Consumers {
    fn default() -> Self {
        Self {
            max_lag_events: 1_000_000,
            max_age: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The age from which on a change may go.
    #[serde(deserialize_with = "value::duration::<_, 1_000, 315_360_000_000>")]
    pub journal_max_age: Duration,
    /// How many changes are kept.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000_000_000>")]
    pub journal_max_events: u64,
    /// How long after it was closed a notification may go; zero for never.
    #[serde(deserialize_with = "value::duration::<_, 0, 3_153_600_000_000>")]
    pub closed_max_age: Duration,
    /// How long after it began an observation may go; zero for never.
    #[serde(deserialize_with = "value::duration::<_, 0, 3_153_600_000_000>")]
    pub observations_max_age: Duration,
    /// The same for the attributes and the content of observations that stay.
    #[serde(deserialize_with = "value::duration::<_, 0, 3_153_600_000_000>")]
    pub payloads_max_age: Duration,
    /// How many changes of observations are kept.
    #[serde(deserialize_with = "value::number::<_, _, 1, 1_000_000_000_000>")]
    pub observation_events: u64,
    /// How often what may go does.
    #[serde(deserialize_with = "value::duration::<_, 1_000, 604_800_000>")]
    pub interval: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            journal_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            journal_max_events: 10_000_000,
            closed_max_age: Duration::ZERO,
            observations_max_age: Duration::ZERO,
            payloads_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            observation_events: 1_000_000,
            interval: Duration::from_secs(60 * 60),
        }
    }
}

/// The least that [`Retention::closed_max_age`] may be: request ids are remembered for as long, in the notifications that they made.
const LEAST_CLOSED_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Traces, and what they cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// How much is kept of what goes into models, and comes out.
    pub content: Content,
}

/// How much is kept of what goes into models, and comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Nothing.
    #[default]
    Off,
    /// The beginning.
    Truncated,
    /// All.
    Full,
}

/// Numbers for Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where they are served over HTTP, on the loopback interface. `None`: nowhere.
    #[serde(deserialize_with = "value::loopback")]
    pub listen: Option<SocketAddr>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: one line of text per event.
    #[default]
    Human,
    /// For programs: one JSON object per line.
    Json,
}

/// What is logged, where, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`, known to be valid.
    #[serde(deserialize_with = "value::log_level")]
    pub level: String,
    /// The log file, absolute after [`Config::load`]. `None`: standard error.
    #[serde(deserialize_with = "value::log_file")]
    pub file: Option<PathBuf>,
    /// The size at which a log file is rotated, in bytes.
    #[serde(deserialize_with = "value::bytes::<_, _, 4_096, 1_099_511_627_776>")]
    pub max_bytes: u64,
    /// How many rotated files are kept beside the current one.
    #[serde(deserialize_with = "value::number::<_, _, 0, 100>")]
    pub keep: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            level: "info".to_owned(),
            file: None,
            max_bytes: 10 << 20,
            keep: 3,
        }
    }
}

/// Why there is no configuration. The message says where the mistake is and what is valid there, [`ConfigError::remedy`] what to do; the exit
/// code is 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read. A missing `barista.toml` is no error unless `--config` names it.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has a mistake: in its syntax, a key that does not exist, or a value that is not valid.
    #[error("{path}:{line}:{column}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column, in characters, counted from 1.
        column: usize,
        /// What is wrong, and what is valid.
        message: String,
    },
    /// An environment variable has a value that is not valid.
    #[error("the environment variable {variable} {message}")]
    Variable {
        /// The variable's name.
        variable: String,
        /// What is wrong, and what is valid.
        message: String,
    },
    /// An environment variable has a name like those of Barista, and none of them.
    #[error("the environment variable {variable} is none of Barista's{}", did_you_mean(.meant.as_deref()))]
    UnknownVariable {
        /// The variable's name.
        variable: String,
        /// The one that was probably meant.
        meant: Option<String>,
    },
    /// A flag has a value that is not valid.
    #[error("{flag} {message}")]
    Flag {
        /// The flag, with its dashes.
        flag: &'static str,
        /// What is wrong, and what is valid.
        message: String,
    },
    /// Two values are valid each, but not together.
    #[error("{message}")]
    Conflict {
        /// What contradicts what.
        message: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

impl ConfigError {
    /// What to do about it, with a command that can be pasted where there is one.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!(
                "make it readable (ls -l {}), or name another one with --config",
                path.display()
            ),
            Self::File { path, line, .. } => format!(
                "correct line {line} of {}, or take it out; baristad --help lists every setting",
                path.display()
            ),
            Self::Variable { variable, .. } => format!("correct it, or: unset {variable}"),
            Self::UnknownVariable { variable, meant } => match meant {
                Some(meant) => format!("unset {variable}, and set {meant} instead"),
                None => format!("unset {variable}; baristad --help lists every variable"),
            },
            Self::Flag { .. } => "baristad --help".to_owned(),
            Self::Conflict { remedy, .. } => (*remedy).to_owned(),
        }
    }
}

/// Refuses the variables among `names` that look like Barista's and are none: a mistyped one would change nothing in silence. Those of clients,
/// which start the daemon in their own environment, are let through.
///
/// # Errors
///
/// [`ConfigError::UnknownVariable`] for the first one in the order of the names.
pub fn refuse_unknown_variables(names: impl Iterator<Item = OsString>) -> Result<(), ConfigError> {
    let own: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let unknown = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(variables::PREFIX))
        .filter(|name| !own.contains(name) && !variables::is_of_clients(name))
        .min();
    let Some(variable) = unknown else {
        return Ok(());
    };
    // Without what all have in common, which would make any two of them seem close.
    let tail = |name| str::strip_prefix(name, variables::PREFIX);
    let known = own.iter().map(String::as_str);
    let known = known.chain(variables::CLIENT_VARIABLES.iter().copied());
    let meant = variables::nearest(tail(&variable).unwrap_or_default(), known.filter_map(tail))
        .map(|meant| format!("{}{meant}", variables::PREFIX));
    Err(ConfigError::UnknownVariable { variable, meant })
}

impl Config {
    /// Merges the four layers and validates the result.
    ///
    /// `variable` reads the environment ([`std::env::var_os`] in a program); empty values count as absent. `data_dir` is where `barista.toml` is
    /// looked for, and what relative paths in any layer are relative to. It need not exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first mistake found, in the order of the layers.
    pub fn load(
        arguments: &Arguments,
        variable: impl Fn(&str) -> Option<OsString>,
        data_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let mut layers = match &arguments.config {
            Some(path) => file::read(path)?,
            None => read_optional_file(&data_dir.join(barista_locate::CONFIG_FILE))?,
        };
        for key in KEYS {
            let name = key.variable();
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else {
                continue;
            };
            text.to_str()
                .ok_or_else(|| "has a value that is not UTF-8".to_owned())
                .and_then(|text| overlay(&mut layers, key, text))
                .map_err(|message| ConfigError::Variable {
                    variable: name,
                    message,
                })?;
        }
        for (flag, text) in arguments.settings() {
            let Some(key) = KEYS.iter().find(|key| key.flag == Some(flag)) else {
                continue;
            };
            overlay(&mut layers, key, &text)
                .map_err(|message| ConfigError::Flag { flag, message })?;
        }
        // Each layer was read on its own above, where its place is known; the merged table cannot fail on a single value any more.
        let config: Self =
            layers
                .try_into()
                .map_err(|error: toml::de::Error| ConfigError::File {
                    path: data_dir.into(),
                    line: 1,
                    column: 1,
                    message: error.message().into(),
                })?;
        config.check()?.resolve(data_dir)
    }

    fn check(self) -> Result<Self, ConfigError> {
        if self.storage.foreign_poll > self.storage.idle_poll {
            return Err(ConfigError::Conflict {
                message: "storage.foreign_poll is longer than storage.idle_poll: the daemon would look more often while nobody watches",
                remedy: "make storage.foreign_poll shorter, or storage.idle_poll longer",
            });
        }
        let closed = self.retention.closed_max_age;
        if !closed.is_zero() && closed < LEAST_CLOSED_AGE {
            return Err(ConfigError::Conflict {
                message: "retention.closed_max_age is shorter than 24h, for which the daemon must know a repeated request",
                remedy: "make retention.closed_max_age at least 24h, or 0s for never",
            });
        }
        Ok(self)
    }

    fn resolve(mut self, data_dir: &Path) -> Result<Self, ConfigError> {
        self.server.socket = self.server.socket.map(|path| data_dir.join(path));
        self.agent.socket = self.agent.socket.map(|path| data_dir.join(path));
        self.log.file = self.log.file.map(|path| data_dir.join(path));
        Ok(self)
    }
}

fn read_optional_file(path: &Path) -> Result<Table, ConfigError> {
    match file::read(path) {
        // A file in the place of the directory is for the check of the data directory to name.
        Err(ConfigError::Unreadable { source, .. })
            if matches!(
                source.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Table::new())
        }
        other => other,
    }
}

/// Reads a single value by the rules of its key.
fn alone(section: &str, name: &str, value: Value) -> Result<Config, toml::de::Error> {
    let table = Table::from_iter([(name.to_owned(), value)]);
    Table::from_iter([(section.to_owned(), Value::Table(table))]).try_into()
}

/// Puts one value, as typed in a shell, on top of `layers`.
///
/// A shell has no types, so the text is tried as each type that it can be: `8` as a number, then as a string. The key's own rule
/// decides which one fits.
fn overlay(layers: &mut Table, key: &Key, text: &str) -> Result<(), String> {
    let number = text.parse().ok().map(Value::Integer);
    let truth = text.parse().ok().map(Value::Boolean);
    let mut first_refusal = None;
    for value in [number, truth, Some(Value::String(text.to_owned()))]
        .into_iter()
        .flatten()
    {
        match alone(key.section, key.name, value.clone()) {
            Ok(_) => {
                let section = layers
                    .entry(key.section)
                    .or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key.name.to_owned(), value);
                }
                return Ok(());
            }
            Err(error) => {
                first_refusal
                    .get_or_insert_with(|| format!("is {text:?}, but {}", file::must_be(&error)));
            }
        }
    }
    Err(first_refusal.unwrap_or_default())
}

#[cfg(test)]
mod tests;
