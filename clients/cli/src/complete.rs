//! What the shell offers while somebody types.

use std::path::PathBuf;
use std::time::Duration;

use barista_client::pb::consumer::v1::Consumer;
use barista_client::pb::notification::v1::{Notification, NotificationFilter, Option as Choice};
use barista_client::{Autostart, Client, ConnectOptions};
use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use tokio::time::timeout;

use crate::args::Cli;
use crate::{input, listing, text};

/// The variable with which the shell's script asks this program for candidates.
pub(crate) const VARIABLE: &str = "BARISTA_COMPLETE";
/// How long a person waits for a Tab before it feels broken.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many ids are offered.
const OFFERED: usize = 50;
/// How much of a title is shown beside its id.
const TITLE_COLUMNS: usize = 60;

/// Answers the shell's script and ends the program, where the script is what runs it; returns at once otherwise.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// The ids of open notifications with their titles, the most urgent first. None where the daemon does not run: a Tab starts nothing.
pub(crate) fn open_ids() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let open = ask(open()).unwrap_or_default();
        open.iter()
            .enumerate()
            .map(|(order, each)| candidate(order, each))
            .collect()
    })
}

/// The names of the consumers, with how far behind each is.
pub(crate) fn consumers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = ask(async { connect().await?.list_consumers().await.ok() });
        let candidate = |consumer: &Consumer| {
            let help = format!("{} behind", consumer.lag);
            CompletionCandidate::new(text::line(&consumer.name)).help(Some(help.into()))
        };
        all.unwrap_or_default().iter().map(candidate).collect()
    })
}

/// The options of the notification whose id stands before the word that is typed.
pub(crate) fn options() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some(id) = typed_id(words().into_iter()) else {
            return Vec::new();
        };
        let options =
            ask(async move { Some(connect().await?.get_notification(id).await.ok()?.options) });
        let options = options.unwrap_or_default();
        let candidate = |option: &Choice| {
            let description = text::fit(&text::line(&option.description), TITLE_COLUMNS);
            let help = (!description.is_empty()).then(|| description.into());
            CompletionCandidate::new(text::line(&option.name)).help(help)
        };
        options.iter().map(candidate).collect()
    })
}

/// The id in `… -- barista respond 12 …`, as the shell's script passes what is typed.
fn typed_id(words: impl Iterator<Item = String>) -> Option<i64> {
    words
        .skip_while(|word| word != "respond")
        .skip(1)
        .find_map(|word| input::id(&word).ok())
}

/// Asks the daemon, if it runs, for as long as a person waits.
fn ask<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async { timeout(PATIENCE, question).await.ok().flatten() })
}

/// The line on which the Tab is pressed, after what the shell's script puts before it.
fn words() -> Vec<String> {
    std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// Connects to the daemon that the line on which the Tab is pressed is about.
async fn connect() -> Option<Client> {
    let words = words();
    let options = ConnectOptions::new()
        .data_dir(typed_path(&words, "--data-dir"))
        .socket(typed_path(&words, "--socket"))
        .autostart(Autostart::Never);
    Client::connect(options).await.ok()
}

/// The path after `flag`, which comes as it was typed: the shell has not replaced a `~` yet, nor taken quotes away.
fn typed_path(words: &[String], flag: &str) -> Option<PathBuf> {
    let after = |place: usize| words.get(place + 1).map(String::as_str);
    // bash takes `--flag=path` apart into three words.
    let value =
        words
            .iter()
            .enumerate()
            .find_map(|(place, word)| match word.strip_prefix(flag)? {
                "" if after(place) == Some("=") => after(place + 1),
                "" => after(place),
                rest => rest.strip_prefix('='),
            })?;
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let path = quoted('\'').or_else(|| quoted('"')).unwrap_or(value);
    let in_home = path.strip_prefix("~/").zip(std::env::home_dir());
    let path = in_home.map_or_else(|| PathBuf::from(path), |(rest, home)| home.join(rest));
    (!path.as_os_str().is_empty()).then_some(path)
}

async fn open() -> Option<Vec<Notification>> {
    let client = connect().await?;
    let filter = NotificationFilter {
        states: listing::OPEN.map(i32::from).to_vec(),
        ..Default::default()
    };
    Some(
        listing::most_urgent(&client, filter, OFFERED)
            .await
            .ok()?
            .notifications,
    )
}

fn candidate(order: usize, notification: &Notification) -> CompletionCandidate {
    let title = text::fit(&text::line(&notification.title), TITLE_COLUMNS);
    CompletionCandidate::new(notification.id.to_string())
        .help(Some(title.into()))
        .display_order(Some(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_what_is_typed() {
        let id = |line: &str| typed_id(line.split(' ').map(str::to_owned));
        assert_eq!(id("barista -- barista respond 12 "), Some(12));
        assert_eq!(
            id("barista -- barista -q respond --as ann #12 ap"),
            Some(12)
        );
        assert_eq!(id("barista -- barista respond "), None);
        assert_eq!(id("barista -- barista show 12"), None);
    }

    #[test]
    fn the_place_of_the_daemon_is_found_in_what_is_typed() {
        let path = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            typed_path(&words, "--data-dir")
        };
        let typed = Some(PathBuf::from("/d"));
        assert_eq!(path("barista -- barista --data-dir /d respond "), typed);
        assert_eq!(path("barista -- barista --data-dir=/d respond "), typed);
        assert_eq!(path("barista -- barista show --data-dir = '/d' 1"), typed);
        let home = std::env::home_dir().map(|home| home.join("d"));
        assert_eq!(path("barista -- barista --data-dir ~/d show "), home);
        for nowhere in [
            "barista show ",
            "barista --data-dir",
            "barista --data-dir= ",
        ] {
            assert_eq!(path(nowhere), None);
        }
    }
}
