//! What was typed: the arguments of `baristad`.
//!
//! Only the shape is checked here. What a value means, and whether it is valid, is decided in [`crate::config`], which reads flags by the rules
//! of the file and the environment.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The release, as in `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How this program was built: target and profile.
pub const BUILD: &str = concat!(env!("BARISTA_TARGET"), " ", env!("BARISTA_PROFILE"));
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BARISTA_TARGET"),
    " ",
    env!("BARISTA_PROFILE"),
    ")"
);

/// Owns Barista's databases and serves them on a Unix socket.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "baristad",
    version = LONG_VERSION,
    max_term_width = 100,
    after_help = "Configuration keys and environment variables are listed by --help.",
    after_long_help = crate::config::keys::manual(),
)]
pub struct Arguments {
    /// The data directory; created if it is missing, and its parent is not
    ///
    /// By default BARISTA_DATA_DIR, else the nearest data/barista.toml in the current directory or above it, else
    /// $XDG_DATA_HOME/barista (~/.local/share/barista).
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The configuration file, instead of barista.toml in the data directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The socket's path
    #[arg(long, value_name = "PATH")]
    pub socket: Option<String>,

    /// How a log line looks: human or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// What is logged, such as info or debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Where the log goes instead of standard error
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<String>,

    /// Threads that serve requests
    #[arg(long, value_name = "NUMBER")]
    pub worker_threads: Option<String>,

    /// How many connections may be open
    #[arg(long, value_name = "NUMBER")]
    pub max_connections: Option<String>,

    /// How long a stopping daemon waits for calls that still run, such as 8s
    #[arg(long, value_name = "DURATION")]
    pub shutdown_grace: Option<String>,

    /// Accept a data directory on a network file system; databases can be damaged
    #[arg(long)]
    pub allow_network_file_system: bool,

    /// Look for what would keep the daemon from starting or from working, and start nothing
    ///
    /// Reads the configuration, the data directory and the databases, without changing anything or getting in the way of a daemon that runs. Exit
    /// code 0: all is well; 1: something is not; 2: the configuration is not valid. config: only the configuration and the directory. full: also
    /// whether every index agrees with its table.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "quick", group = "offline")]
    pub check: Option<Check>,

    /// Look whether a backup is sound, and start nothing; exit code 1: it is not
    #[arg(long, value_name = "FILE", group = "offline")]
    pub verify: Option<PathBuf>,

    /// Put a backup in the place of the notifications' database, and start nothing
    ///
    /// Only while no daemon runs. What was there before is kept in replaced-TIME/ in the data directory. The database begins another history: cursors
    /// of the old one are refused, and durable watchers must be reset (barista consumer reset NAME --since now|oldest).
    #[arg(long, value_name = "FILE", group = "offline")]
    pub restore: Option<PathBuf>,

    /// Rebuild the notifications' database without free space, and start nothing
    ///
    /// Only while no daemon runs. A file that an older release or direct tooling made can give space back from then on.
    #[arg(long, group = "offline")]
    pub vacuum: bool,

    /// With --check, --verify, --restore or --vacuum: print one JSON object
    #[arg(long, requires = "offline")]
    pub json: bool,

    /// Leave the terminal's session and log to the data directory: for clients that start the daemon.
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// What [`Arguments::check`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// The configuration and the data directory.
    Config,
    /// Those, and the structure of the databases.
    Quick,
    /// Those, and every index.
    Full,
}

impl Arguments {
    /// The flags that set a configuration key, with the text that was typed.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let network = self.allow_network_file_system.then(|| "true".to_owned());
        [
            ("--socket", self.socket.clone()),
            ("--log-format", self.log_format.clone()),
            ("--log-level", self.log_level.clone()),
            ("--log-file", self.log_file.clone()),
            ("--worker-threads", self.worker_threads.clone()),
            ("--max-connections", self.max_connections.clone()),
            ("--shutdown-grace", self.shutdown_grace.clone()),
            ("--allow-network-file-system", network),
        ]
        .into_iter()
        .filter_map(|(flag, text)| text.map(|text| (flag, text)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::config::KEYS;

    #[test]
    fn the_command_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_sets_a_key_except_the_general_ones() {
        let general = [
            "data-dir", "config", "check", "verify", "restore", "vacuum", "json", "detached",
            "help", "version",
        ];
        let command = Arguments::command();
        let flags: BTreeSet<String> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .filter(|long| !general.contains(long))
            .map(|long| format!("--{long}"))
            .collect();
        let keyed: BTreeSet<String> = KEYS
            .iter()
            .filter_map(|key| key.flag)
            .map(str::to_owned)
            .collect();
        assert_eq!(flags, keyed);
    }

    #[test]
    fn detached_is_not_in_the_help() {
        assert!(
            !Arguments::command()
                .render_long_help()
                .to_string()
                .contains("detached")
        );
    }

    #[test]
    fn the_version_says_how_it_was_built() {
        let version = Arguments::command().render_version();
        assert!(version.contains(VERSION) && version.contains("linux") | version.contains("apple"));
    }
}
