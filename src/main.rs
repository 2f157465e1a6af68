//! `baristad`: flags, then the daemon, then an exit code.

use std::process::ExitCode;

use barista::cli::Arguments;
use barista::{check, daemon, offline};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(what) = arguments.check {
        return check::run(&arguments, what);
    }
    if let Some(code) = offline::run(&arguments) {
        return code;
    }
    match daemon::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("baristad: {}", daemon::explain(&error));
            if let Some(remedy) = daemon::remedy(&error) {
                eprintln!("next: {remedy}");
            }
            ExitCode::from(daemon::exit_code(&error))
        }
    }
}
