//! The one table of configuration keys: `baristad --help`, `data/barista.toml` and the names of the variables are made from it.

use std::fmt::Write as _;

/// One configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table of `barista.toml` that it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Its default, as TOML.
    pub default: &'static str,
    /// The flag of `baristad` that sets it, where there is one.
    pub flag: Option<&'static str>,
    /// What it means, in sentences, with its units.
    pub meaning: &'static str,
}

impl Key {
    /// The environment variable that sets it, such as `BARISTA_LOG_LEVEL`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BARISTA_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    const fn new(
        section: &'static str,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            section,
            name,
            default,
            flag: None,
            meaning,
        }
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }
}

/// Every configuration key, in the order of `barista.toml`.
pub const KEYS: &[Key] = &[
    Key::new(
        "server",
        "socket",
        r#""""#,
        "The socket's path, at most 100 bytes. Empty: run/barista.sock in the data directory, or a short name under /tmp where that path is too \
         long. Clients find the socket through the data directory either way.",
    )
    .flag("--socket"),
    Key::new(
        "server",
        "max_message_bytes",
        r#""4 MiB""#,
        "The largest request that is accepted.",
    ),
    Key::new(
        "server",
        "max_concurrent_streams",
        "1024",
        "How many calls may run at once on one connection; a client waits before it starts more.",
    ),
    Key::new(
        "server",
        "max_connections",
        "1024",
        "How many connections may be open. Further ones are closed at once, with a warning in the log.",
    )
    .flag("--max-connections"),
    Key::new(
        "server",
        "max_watchers",
        "4096",
        "How many watches and waits may be open in the whole daemon. Further ones get a typed error.",
    ),
    Key::new(
        "server",
        "handshake_timeout",
        r#""10s""#,
        "How long a new connection may take to introduce itself before it is closed.",
    ),
    Key::new(
        "server",
        "keepalive_interval",
        r#""30s""#,
        "How long a connection may be silent before it is probed. One that does not reply to the probe is closed.",
    ),
    Key::new(
        "server",
        "shutdown_grace",
        r#""8s""#,
        "How long a stopping daemon waits for calls that still run. At most 10s.",
    )
    .flag("--shutdown-grace"),
    Key::new(
        "server",
        "worker_threads",
        "1",
        "Threads that serve requests, apart from those of the databases. One costs the least work per request.",
    )
    .flag("--worker-threads"),
    Key::new(
        "agent",
        "enabled",
        "true",
        "Serve the agent socket, over which agents in sandboxes may ask, wait, and cancel what is their own, and nothing else.",
    ),
    Key::new(
        "agent",
        "socket",
        r#""""#,
        "Its path, at most 100 bytes, in a directory that exists. Empty: run/agent/agent.sock in the data directory, or a short name under /tmp \
         where that path is too long.",
    ),
    Key::new(
        "agent",
        "allow_default",
        "false",
        "Let agents set a default response, which a question takes when it expires: with a short expiry, an agent can answer itself.",
    ),
    Key::new(
        "agent",
        "max_connections",
        "256",
        "How many connections to the agent socket may be open. Further ones are closed at once, with a warning in the log.",
    ),
    Key::new(
        "agent",
        "max_calls",
        "256",
        "How many calls over the agent socket may run at once, waits and watches among them. Further ones get a typed error.",
    ),
    Key::new(
        "storage",
        "busy_timeout",
        r#""30s""#,
        "How long one attempt to write waits for another process that holds the database's write lock.",
    ),
    Key::new(
        "storage",
        "busy_attempts",
        "3",
        "How many attempts are made, with growing pauses, before a write fails as busy.",
    ),
    Key::new(
        "storage",
        "queue_capacity",
        "4096",
        "How many writes may wait for one database. Further ones are refused at once.",
    ),
    Key::new(
        "storage",
        "batch_max_writes",
        "512",
        "How many waiting writes share one transaction, and so one sync of the disk.",
    ),
    Key::new(
        "storage",
        "batch_max_bytes",
        r#""4 MiB""#,
        "How many bytes of requests share one transaction.",
    ),
    Key::new("storage", "readers", "4", "Connections for reading, for each database."),
    Key::new("storage", "cache_kib", "8192", "The page cache of one connection, in KiB."),
    Key::new(
        "storage",
        "min_free_disk_bytes",
        r#""64 MiB""#,
        "Writes are refused, and reading goes on, while the file system has less space than this.",
    ),
    Key::new(
        "storage",
        "foreign_poll",
        r#""5ms""#,
        "How often the daemon looks for commits by other programs while somebody watches and the log was written to lately, or always where the system cannot tell. Not longer than idle_poll.",
    ),
    Key::new(
        "storage",
        "idle_poll",
        r#""250ms""#,
        "How often it looks for them otherwise.",
    ),
    Key::new(
        "storage",
        "checkpoint_frames",
        "1000",
        "The length of the write-ahead log, in frames, from which the daemon copies it into the database file.",
    ),
    Key::new(
        "storage",
        "truncate_bytes",
        r#""64 MiB""#,
        "The size of the write-ahead log's file from which its space is given back.",
    ),
    Key::new(
        "storage",
        "allow_network_file_system",
        "false",
        "Accept a data directory on NFS, SMB, FUSE and the like. Their locks and shared memory are often not sound: databases can be damaged.",
    )
    .flag("--allow-network-file-system"),
    Key::new(
        "storage",
        "file_check_interval",
        r#""2s""#,
        "How often the daemon checks that nobody moved or replaced its database files.",
    ),
    Key::new(
        "consumers",
        "max_lag_events",
        "1000000",
        "How many changes a durable watcher may be behind before the journal is no longer kept for it. It must then be reset once changes that it has \
         not seen are removed.",
    ),
    Key::new(
        "consumers",
        "max_age",
        r#""720h""#,
        "How old the first change may be that a durable watcher has not acknowledged before the journal is no longer kept for it.",
    ),
    Key::new(
        "retention",
        "journal_max_age",
        r#""720h""#,
        "How old a change becomes before it may be removed from the journal. What a durable watcher within its limits has not acknowledged is kept \
         all the same.",
    ),
    Key::new(
        "retention",
        "journal_max_events",
        "10000000",
        "How many changes the journal keeps, however young they are; a million takes about 200 MB.",
    ),
    Key::new(
        "retention",
        "closed_max_age",
        r#""0s""#,
        "How long a notification is kept after it was responded to, dismissed or cancelled, or has expired; at least 24h. 0s: for ever. Those that \
         are not closed are never removed.",
    ),
    Key::new(
        "retention",
        "observations_max_age",
        r#""0s""#,
        "How long after it began an observation (a call of a model, a step of an agent) is kept, with its part in all sums. 0s: for ever.",
    ),
    Key::new(
        "retention",
        "payloads_max_age",
        r#""720h""#,
        "How long after its beginning the raw attributes and the content of an observation are kept, which take most of the space. 0s: as long as \
         the observation.",
    ),
    Key::new(
        "retention",
        "observation_events",
        "1000000",
        "How many changes of observations the journal keeps for those who follow it; a million takes about 15 MB.",
    ),
    Key::new(
        "retention",
        "interval",
        r#""1h""#,
        "How often what is no longer kept is removed.",
    ),
    Key::new(
        "telemetry",
        "content",
        r#""off""#,
        "What is kept of prompts, answers and the arguments of tools: off (nothing), truncated (the first 2 KiB of each) or full. What looks like a \
         secret is never kept.",
    ),
    Key::new(
        "metrics",
        "listen",
        r#""""#,
        "Where numbers for Prometheus are served as http://ADDRESS/metrics: an address of the loopback interface with a port, such as \
         127.0.0.1:9464. Empty: nowhere; barista status --metrics prints them in either case.",
    ),
    Key::new(
        "log",
        "format",
        r#""human""#,
        "How a line looks: human (text) or json (one object per line).",
    )
    .flag("--log-format"),
    Key::new(
        "log",
        "level",
        r#""info""#,
        "What is logged: off, error, warn, info, debug or trace, or directives for parts of the program such as info,barista::store=debug.",
    )
    .flag("--log-level"),
    Key::new(
        "log",
        "file",
        r#""""#,
        "The log file. Empty: standard error, or log/baristad.log in the data directory when a client started the daemon.",
    )
    .flag("--log-file"),
    Key::new(
        "log",
        "max_bytes",
        r#""10 MiB""#,
        "The size at which the log file is rotated: baristad.log becomes baristad.log.1, and so on.",
    ),
    Key::new("log", "keep", "3", "How many rotated files are kept beside the current one."),
];

const LAYERS: &str = "Later ones win: the default, barista.toml in the data directory (or the file that --config names), the environment variable, the flag. \
     Relative paths are relative to the data directory.";

/// The last part of `baristad --help`: every key with its default, variable, flag and meaning.
#[must_use]
pub fn manual() -> String {
    let mut text = String::from("Configuration keys:\n");
    // Paragraphs stay whole: clap fills them to the width of the terminal, and would break lines of another width twice.
    let _ = writeln!(text, "  {LAYERS}");
    for key in KEYS {
        let Key {
            section,
            name,
            default,
            meaning,
            ..
        } = key;
        let _ = write!(
            text,
            "\n  {section}.{name} = {default}\n      {}",
            key.variable()
        );
        if let Some(flag) = key.flag {
            let _ = write!(text, ", {flag}");
        }
        let _ = write!(text, "\n      {meaning}\n");
    }
    text
}

/// The text of `data/barista.toml`: every key explained, and commented out at its default.
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of baristad. The directory that this file lies in is a data directory.\n#\n",
    );
    fill(&mut text, "# ", LAYERS);
    text.push_str("#\n# A line that starts with \"#\" and no space is a setting at its default: take the \"#\" away to change it.\n");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push('\n');
        fill(&mut text, "# ", key.meaning);
        let _ = write!(text, "# Environment: {}.", key.variable());
        if let Some(flag) = key.flag {
            let _ = write!(text, " Flag: {flag}.");
        }
        let _ = write!(text, "\n#{} = {}\n", key.name, key.default);
    }
    text
}

/// Appends `words` to `text` in lines of at most 100 characters that all start with `indent`.
fn fill(text: &mut String, indent: &str, words: &str) {
    const WIDTH: usize = 100;
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{indent}{line}");
}
