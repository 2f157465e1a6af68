//! `baristad`: flags, then the daemon, then an exit code.

use std::process::ExitCode;

use barista::cli::Arguments;
use barista::daemon;
use clap::Parser;

fn main() -> ExitCode {
    match daemon::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("baristad: {error:#}");
            ExitCode::from(daemon::exit_code(&error))
        }
    }
}
