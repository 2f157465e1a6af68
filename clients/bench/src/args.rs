//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::Scenario;
use crate::soak::Soak;

/// Measures Barista's daemon over its real socket, and compares it with what it replaces.
///
/// Nothing here passes or fails: it prints what it measured. The whole measurement, on a machine that does nothing else:
///
///   cargo build --release --workspace --features barista-bench/opponents
///   target/release/barista-bench run --rounds 5 --json bench.json > RESULTS.md
#[derive(Debug, Parser)]
#[command(
    name = "barista-bench",
    version,
    max_term_width = 100,
    verbatim_doc_comment
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the scenarios in turn and print a table
    Run(Box<Run>),
    /// Work for long, then rest, and print what the daemon holds meanwhile
    Soak(Soak),
    /// Print the table of an earlier run, as Markdown
    Table {
        /// What `run --json` wrote
        file: PathBuf,
        /// Only the rows that have a target, reached or not
        #[arg(long)]
        targets: bool,
    },
    /// Print a picture of an earlier run, as SVG
    Chart {
        /// Which picture
        kind: Picture,
        /// What `run --json` wrote
        file: PathBuf,
    },
}

/// A picture of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// How many times as good as its opponents Barista is, with the targets
    Ratios,
    /// How the rate of creates grows with the callers
    Callers,
}

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub(crate) only: Vec<Scenario>,
    /// How often to run each scenario, in turn
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long to measure each closed loop, and each paced one
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How often to repeat what is counted instead: lists and processes
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// How many callers there are at a time, where the cost of more callers is measured
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256, 1024], value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) callers: Vec<u32>,
    /// How many watchers there are at a time, where the cost of more watchers is measured
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10, 100, 1000], value_name = "N")]
    pub(crate) watchers: Vec<u32>,
    /// The sizes of the inboxes. 10 million rows take minutes to make and 6 GB: they are made only where asked for
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000], value_name = "ROWS")]
    pub(crate) inbox: Vec<usize>,
    /// Write every number to this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where to put the data directories, on the disk to be measured [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Make the large data directories here, keep them, and use those of an earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Where baristad and barista are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) bin: Option<PathBuf>,
    /// The daemon's log level; a line per change is its default, and `--only logging` says what that costs
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    pub(crate) log_level: String,
    /// The interpreter of the legacy way
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give a number of seconds from 0.1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
