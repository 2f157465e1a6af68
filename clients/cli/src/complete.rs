//! What the shell offers while somebody types.

use std::time::Duration;

use barista_client::pb::notification::v1::{Notification, NotificationFilter};
use barista_client::{Autostart, Client, ConnectOptions};
use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use tokio::time::timeout;

use crate::args::Cli;
use crate::{listing, text};

/// The variable with which the shell's script asks this program for candidates.
pub(crate) const VARIABLE: &str = "COMPLETE";
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let open = runtime.map(|runtime| runtime.block_on(timeout(PATIENCE, open())));
        let open = open.ok().and_then(Result::ok).flatten().unwrap_or_default();
        open.iter()
            .enumerate()
            .map(|(order, each)| candidate(order, each))
            .collect()
    })
}

async fn open() -> Option<Vec<Notification>> {
    let options = ConnectOptions::new().autostart(Autostart::Never);
    let client = Client::connect(options).await.ok()?;
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
