//! What goes to stdout and what goes to stderr.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::{AutoStream, ColorChoice};

use crate::failure::{Failure, Result};
use crate::json::{self, Named};
use crate::{shell, text};

/// The part of a terminal that is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Characters in a line.
    pub(crate) columns: usize,
    /// Lines.
    pub(crate) rows: usize,
}

/// The window of a terminal that does not tell its own.
const DEFAULT_WINDOW: Window = Window {
    columns: 80,
    rows: 24,
};

fn window(stream: &(impl IsTerminal + AsFd)) -> Option<Window> {
    if !stream.is_terminal() {
        return None;
    }
    let told = |size: u16, default| match size {
        0 => default,
        size => usize::from(size),
    };
    let window = rustix::termios::tcgetwinsize(stream).map(|size| Window {
        columns: told(size.ws_col, DEFAULT_WINDOW.columns),
        rows: told(size.ws_row, DEFAULT_WINDOW.rows),
    });
    Some(window.unwrap_or(DEFAULT_WINDOW))
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command's data and remarks go. Data is on stdout, everything else on stderr.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Whether data is JSON.
    pub(crate) json: bool,
    /// Whether remarks are left out.
    pub(crate) quiet: bool,
    color: Color,
    /// What names the daemon on the command line: empty where nothing was typed.
    place: String,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, color: Color, place: String) -> Self {
        Self {
            json,
            quiet,
            color,
            place,
        }
    }

    /// A remedy, for the daemon that was named.
    pub(crate) fn placed(&self, text: &str) -> String {
        shell::placed(text, &self.place)
    }

    /// Writes rendered text, which ends with a line break, to stdout.
    pub(crate) fn print(&self, rendered: &str) -> Result<()> {
        let stdout = io::stdout().lock();
        let choice = self.choice(&stdout);
        let mut stream = AutoStream::new(stdout, choice);
        stream
            .write_all(rendered.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(Failure::stdout)
    }

    /// Sends a control sequence of our own to the terminal on stdout.
    pub(crate) fn control(&self, sequence: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(sequence.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Writes a line that a program may read, such as a response: exactly as it is, but made safe where it would reach a terminal.
    pub(crate) fn value(&self, value: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let safe = if stdout.is_terminal() {
            text::block(value)
        } else {
            value.to_owned()
        };
        writeln!(stdout, "{safe}")
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Writes comma-separated values, made safe where they would reach a terminal.
    pub(crate) fn csv(&self, values: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let safe = if stdout.is_terminal() {
            text::block(values)
        } else {
            values.to_owned()
        };
        stdout
            .write_all(safe.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Writes a message as one line of JSON.
    pub(crate) fn message<M: Named>(&self, message: &M) -> Result<()> {
        self.json_value(&json::value(message)?)
    }

    /// Writes a JSON value as one line. JSON escapes C0 control characters itself.
    pub(crate) fn json_value(&self, value: &serde_json::Value) -> Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{value}")
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Tells the person something that is not data, unless `--quiet` was given. Nobody can be told that stderr is broken.
    pub(crate) fn note(&self, remark: &str) {
        if !self.quiet {
            self.complain(remark);
        }
    }

    /// Tells the person that something went wrong.
    pub(crate) fn complain(&self, remark: &str) {
        let stderr = io::stderr().lock();
        let choice = self.choice(&stderr);
        let remark = self.placed(remark);
        let _closed = writeln!(AutoStream::new(stderr, choice), "{remark}");
    }

    /// How many columns a line on stdout may take. Only a terminal has an end of the line.
    pub(crate) fn columns(&self) -> usize {
        window(&io::stdout()).map_or(usize::MAX, |window| window.columns)
    }

    /// The window that stdout is shown in; `None` where stdout is no terminal.
    pub(crate) fn window(&self) -> Option<Window> {
        window(&io::stdout())
    }

    /// How many columns a line of a prompt may take: prompts are on stderr.
    pub(crate) fn prompt_columns() -> usize {
        window(&io::stderr()).map_or(DEFAULT_WINDOW.columns, |window| window.columns)
    }

    /// Whether a person can be asked: both sides of the conversation are a terminal.
    pub(crate) fn can_prompt() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn choice(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.color {
            Color::Auto => AutoStream::choice(stream),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }
}
