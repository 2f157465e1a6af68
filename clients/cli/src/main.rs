//! `barista`, the command line of Barista: asks, answers, waits and watches over the daemon's Unix socket.

mod app;
mod args;
mod cmd;
mod complete;
mod delivery;
mod doctor;
mod exit;
mod failure;
mod field;
mod hook;
mod identity;
mod input;
mod json;
mod listing;
mod log_file;
mod outcome;
mod output;
mod picker;
mod process;
mod render;
mod screen;
mod service;
mod shell;
mod signals;
mod span;
mod style;
mod text;
mod time;
mod waiting;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    complete::answer_shell();
    match args::Cli::try_parse() {
        Ok(cli) => app::run(cli).into(),
        Err(error) => args::explain(error, std::env::args_os()).into(),
    }
}
