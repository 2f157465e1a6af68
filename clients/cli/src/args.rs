//! What may be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::cmd;
use crate::exit::{self, Exit};
use crate::output::Color;
use crate::shell;

/// Ask people, answer agents, and follow what happens between them.
///
/// Agents ask with `ask` and tell with `notify`; people answer from `inbox` with `respond`. The daemon is started when it is needed.
#[derive(Debug, Parser)]
#[command(name = "barista", version, after_long_help = exit::help())]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The data directory [default: BARISTA_DATA_DIR, else the nearest data/barista.toml, else ~/.local/share/barista]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The daemon's socket, as in a sandbox [default: BARISTA_SOCKET]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
    /// Do not start the daemon when it is not running
    #[arg(long, global = true)]
    pub(crate) no_autostart: bool,
    /// Print JSON: one object, or one per line when following
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no remarks on stderr, only errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: Color,
}

/// The commands. What each does is told where its arguments are; a sentence here would replace that in its help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ask(cmd::ask::Ask),
    Notify(cmd::notify::Notify),
    Run(cmd::run::Run),
    #[command(alias = "notifications")]
    Inbox(cmd::inbox::Inbox),
    Show(cmd::show::Show),
    Respond(cmd::respond::Respond),
    Read(cmd::close::Read),
    Dismiss(cmd::close::Dismiss),
    Cancel(cmd::close::Cancel),
    Wait(cmd::wait::Wait),
    Watch(cmd::watch::Watch),
    #[command(subcommand)]
    Consumer(cmd::consumer::Consumer),
    Stats(cmd::stats::Stats),
    Status(cmd::status::Status),
    Doctor(cmd::doctor::Doctor),
    #[command(subcommand)]
    Daemon(cmd::daemon::Daemon),
    #[command(subcommand)]
    Service(cmd::service::Service),
    #[command(subcommand)]
    Db(cmd::db::Db),
    Init(cmd::init::Init),
    Completions(cmd::completions::Completions),
    Man(cmd::man::Man),
    Version(cmd::version::Version),
}

/// Prints what clap has to say about the command line `words`, which is none, or asks for help.
pub(crate) fn explain(mut error: clap::Error, words: impl Iterator<Item = OsString>) -> Exit {
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some((before, extra)) = unquoted(&error, &words) {
        let tips = tips(&words, &before, &extra);
        let tips = tips.into_iter().map(Into::into).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    if let Some(name) = renamed(&error) {
        // In place of one that only sounds alike.
        let name = ContextValue::String(name.to_owned());
        error.insert(ContextKind::SuggestedSubcommand, name);
    }
    // A closed pipe, as in `barista --help | head -1`, is no failure.
    let _closed = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

/// What other tools call a command of ours.
const NAMES_ELSEWHERE: [(&str, &str); 8] = [
    ("answer", "respond"),
    ("reply", "respond"),
    ("list", "inbox"),
    ("ls", "inbox"),
    ("logs", "daemon logs"),
    ("start", "daemon start"),
    ("stop", "daemon stop"),
    ("restart", "daemon restart"),
];

/// The command that was probably meant, where it has another name elsewhere.
fn renamed(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let (_, name) = NAMES_ELSEWHERE.iter().find(|(word, _)| word == typed)?;
    Some(name)
}

/// What was probably meant where the word `extra` after `before` is one too many.
fn tips(words: &[String], before: &str, extra: &str) -> Vec<String> {
    let text = shell::word(&format!("{before} {extra}"));
    let quotes = format!("put a text of several words in quotes, as in {text}");
    let several = format!("-o {} -o {}", shell::word(before), shell::word(extra));
    let has = |command| words.iter().any(|word| word == command);
    if has("ask") {
        let one = shell::word(extra);
        return vec![
            quotes,
            format!("name each answer to choose from with -o, as in -o {one}"),
        ];
    }
    if has("respond") {
        return vec![
            quotes,
            format!("choose several options with -o, as in {several}"),
        ];
    }
    vec![quotes]
}

/// The word before the one that is too many, and that one, where both may be text. `None` where it is something else.
fn unquoted(error: &clap::Error, words: &[String]) -> Option<(String, String)> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(extra)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let place = words.iter().rposition(|word| word == extra)?;
    let before = words.get(place.checked_sub(1)?)?;
    let text = |word: &str| !word.is_empty() && !word.starts_with('-');
    (text(extra) && text(before)).then(|| (before.clone(), extra.clone()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn documented_command_lines_are_understood() {
        for line in [
            "barista ask Deploy? --option approve:Ship --option deny --text --priority high --wait 10m",
            "barista ask Deploy? --expires 2h --default deny --no-wait",
            "barista ask Which? --option a --option b --multiple --context - --request-id x",
            "barista notify Done text --type completion --tag a --tag b",
            "barista notify Done -m text --context -",
            "barista run -- cargo test --all",
            "barista inbox --state pending --agent a --type question --limit 5",
            "barista inbox --all -n 5",
            "barista notifications --json",
            "barista show 12",
            "barista respond",
            "barista respond 12 approve",
            "barista respond 12 --option a --option b",
            "barista respond 12 -",
            "barista read 1 2 3",
            "barista dismiss #12 --as ann",
            "barista wait 12 13 --any --timeout 10m",
            "barista watch --since 41 --type error --priority high --agent a --exec true",
            "barista watch --since all --json",
            "barista watch --consumer bell",
            "barista watch --consumer bell --since all --exec true --retries 3 --retry-pause 200ms",
            "barista consumer list --json",
            "barista consumer show bell",
            "barista consumer reset bell --since now",
            "barista consumer delete bell",
            "barista consumer retry bell 7 --exec true",
            "barista consumer discard bell 7 8",
            "barista db backup",
            "barista db backup copy.db --json",
            "barista db verify copy.db",
            "barista db restore copy.db --yes",
            "barista db retain --dry-run",
            "barista db retain --vacuum",
            "barista daemon logs -f",
            "barista daemon run",
            "barista service install --dry-run --data-dir /x",
            "barista service install --restart --force",
            "barista service uninstall",
            "barista service status --json",
            "barista status --json",
            "barista completions zsh",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "barista ask Deploy? --wait 10m --no-wait",
            "barista ask Deploy? --default deny",
            "barista ask Deploy? --multiple",
            "barista ask Deploy? --priority urgent",
            "barista notify x --type question",
            "barista notify x text --message more",
            "barista respond 12 yes --as= ",
            "barista wait",
            "barista wait 12 --any --all",
            "barista wait 0",
            "barista watch --since yesterday",
            "barista watch --retries 3 --exec true",
            "barista watch --consumer bell --retries 3",
            "barista watch --consumer bell --exec true --exec-parallel 2",
            "barista consumer retry bell",
            "barista db restore",
            "barista db retain --vacuum --dry-run",
            "barista consumer discard bell 0",
            "barista consumer reset bell",
            "barista respond 12 approve --option deny",
            "barista inbox --all --state pending",
            "barista show twelve",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
