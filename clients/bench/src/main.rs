//! Barista's load generator.

mod args;
mod catalogue;
mod chart;
mod daemon;
mod lab;
mod legacy;
mod load;
mod machine;
#[cfg(feature = "opponents")]
mod opponent;
mod report;
mod run;
mod scenario;
mod soak;
mod stats;
mod svg;
mod table;

use std::process::ExitCode;

use clap::Parser;

// One thread, as in the clients that the daemon has: on a small machine the daemon needs the other cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run::run(args::Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barista-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
