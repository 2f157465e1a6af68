//! `barista consumer`: durable watchers, and what they set aside.

use std::time::Duration;

use barista_client::pb::consumer::v1::reset_consumer_request::To;
use barista_client::pb::consumer::v1::{
    Consumer as Details, ConsumerPosition, ResetConsumerRequest, SetAsideEvent,
};
use barista_client::pb::notification::v1::{Cursor, NotificationEvent, WatchNotificationsRequest};
use barista_client::{Client, Error, ErrorReason, WatchItem};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use crate::cmd::watch::{Since, since};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::hook::Hook;
use crate::signals::Stop;
use crate::time::Clock;
use crate::{complete, failure, input, json, render};

/// Look after durable watchers, as `watch --consumer NAME` makes them.
///
/// A consumer is a named place among the changes that the daemon keeps. `watch --consumer` goes on from there, whoever restarted meanwhile.
#[derive(Debug, Subcommand)]
pub(crate) enum Consumer {
    /// List them, with how far behind each is
    List,
    Show(Show),
    Reset(Reset),
    Delete(Delete),
    Retry(Retry),
    Discard(Discard),
}

/// Show one with what it has set aside.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
}

/// Move one to another place. Its watch begins anew there.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    which: Which,
    /// Where to: after this sequence, now, or before the oldest change that the journal still has, so that all of it comes again
    #[arg(long, value_name = "SEQ|now|oldest", value_parser = since)]
    since: Since,
}

/// Delete one with what it has set aside.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
}

/// Run a command for changes that were set aside; those for which it succeeds are off the list.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    which: Which,
    /// Only for this change
    #[arg(value_name = "SEQ", value_parser = clap::value_parser!(i64).range(1..))]
    sequence: Option<i64>,
    /// The command, as of watch --exec
    #[arg(long, value_name = "CMD", value_hint = clap::ValueHint::CommandString)]
    exec: String,
    /// How long the command may take for one change
    #[arg(long, value_name = "SPAN", default_value = "60s", allow_hyphen_values = true, value_parser = input::limit)]
    exec_timeout: Duration,
}

/// Give changes up that were set aside.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    which: Which,
    /// Their sequences
    #[arg(required = true, value_name = "SEQ", value_parser = clap::value_parser!(i64).range(1..))]
    sequences: Vec<i64>,
}

#[derive(Debug, Args)]
struct Which {
    /// Its name
    #[arg(add = complete::consumers())]
    name: String,
}

impl Consumer {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let client = app.client().await?;
        match self {
            Self::List => list(app, &client).await,
            Self::Show(show) => show.run(app, &client).await,
            Self::Reset(reset) => reset.run(app, &client).await,
            Self::Delete(delete) => delete.run(app, &client).await,
            Self::Retry(retry) => Box::pin(retry.run(app, &client)).await,
            Self::Discard(discard) => discard.run(app, &client).await,
        }
    }
}

async fn list(app: &App, client: &Client) -> Result<Exit> {
    let consumers = client
        .list_consumers()
        .await
        .map_err(|error| Failure::call("cannot list consumers", &error))?;
    if app.output.json {
        let values: Vec<_> = consumers.iter().map(json::value).collect::<Result<_>>()?;
        app.output.json_value(&json!({ "consumers": values }))?;
        return Ok(Exit::Done);
    }
    let clock = Clock::system();
    app.output
        .print(&render::consumer::list(&consumers, &clock))?;
    if consumers.is_empty() {
        app.output.note("There are no consumers.");
    }
    Ok(Exit::Done)
}

impl Show {
    async fn run(self, app: &App, client: &Client) -> Result<Exit> {
        let name = &self.which.name;
        let what = format!("cannot show consumer {name}");
        let failed = |error| Failure::call(&what, &error);
        let consumer = client.get_consumer(name).await.map_err(failed)?;
        let events = client.list_set_aside_events(name).await.map_err(failed)?;
        if app.output.json {
            let events: Vec<_> = events.iter().map(json::value).collect::<Result<_>>()?;
            let value = json!({ "consumer": json::value(&consumer)?, "setAsideEvents": events });
            app.output.json_value(&value)?;
        } else {
            let columns = app.output.columns();
            let text = render::consumer::details(&consumer, &events, &Clock::system(), columns);
            app.output.print(&text)?;
        }
        Ok(Exit::Done)
    }
}

impl Reset {
    async fn run(self, app: &App, client: &Client) -> Result<Exit> {
        let name = self.which.name;
        let request = ResetConsumerRequest {
            name: name.clone(),
            to: Some(match self.since {
                Since::Now => To::Position(ConsumerPosition::Now.into()),
                Since::All => To::Position(ConsumerPosition::Oldest.into()),
                Since::After(sequence) => To::After(Cursor {
                    epoch: String::new(),
                    sequence,
                }),
            }),
            ..Default::default()
        };
        let failed = |error: Error| {
            let failure = Failure::call(format!("cannot reset consumer {name}"), &error);
            match error.reason() {
                ErrorReason::UnknownCursor | ErrorReason::SequenceCompacted => {
                    failure.next(failure::reset(&name))
                }
                _ => failure,
            }
        };
        let moved = client.reset_consumer(request).await.map_err(failed)?;
        tell(app, &moved, &render::consumer::place(&moved))
    }
}

impl Delete {
    async fn run(self, app: &App, client: &Client) -> Result<Exit> {
        let name = self.which.name;
        client
            .delete_consumer(&name)
            .await
            .map_err(|error| Failure::call(format!("cannot delete consumer {name}"), &error))?;
        app.output.note(&format!("{name} is deleted."));
        Ok(Exit::Done)
    }
}

impl Retry {
    async fn run(self, app: &App, client: &Client) -> Result<Exit> {
        let mut stop = Stop::listen()?;
        // The command that runs is killed with its group when this is dropped.
        tokio::select! {
            result = self.run_all(app, client) => result,
            exit = stop.signal() => Ok(exit),
        }
    }

    async fn run_all(&self, app: &App, client: &Client) -> Result<Exit> {
        let name = &self.which.name;
        let what = format!("cannot retry for consumer {name}");
        let failed = |error| Failure::call(&what, &error);
        let listed = client.list_set_aside_events(name).await.map_err(failed)?;
        if listed.is_empty() && self.sequence.is_none() {
            app.output.note(&format!("{name} has set nothing aside."));
            return Ok(Exit::Done);
        }
        let wanted = |event: &SetAsideEvent| self.sequence.is_none_or(|s| s == event.sequence);
        let listed: Vec<SetAsideEvent> = listed.into_iter().filter(wanted).collect();
        if let (Some(sequence), []) = (self.sequence, &listed[..]) {
            let why = format!("change {sequence} is not set aside");
            return Err(Failure::new(Exit::NotFound, what, why)
                .next(format!("barista consumer show {name}")));
        }
        let hook = Hook {
            command: self.exec.clone(),
            limit: self.exec_timeout,
        };
        let mut exit = Exit::Done;
        for aside in listed {
            let event = find(client, name, &aside).await?;
            let variables = vec![
                ("BARISTA_CONSUMER", name.clone()),
                (
                    "BARISTA_ATTEMPT",
                    aside.attempts.saturating_add(1).to_string(),
                ),
            ];
            let sequence = aside.sequence;
            if let Err(why) = hook.run(&event, variables).await? {
                app.output.complain(&format!(
                    "barista: the command for change {sequence} failed: {why}"
                ));
                record(client, name, aside, why).await.map_err(failed)?;
                exit = Exit::Failed;
                continue;
            }
            match client.discard_set_aside_event(name, sequence).await {
                // Somebody else has taken it off the list meanwhile.
                Err(error) if error.reason() == ErrorReason::SetAsideEventNotFound => {}
                discarded => discarded.map_err(failed)?,
            }
            app.output.note(&format!("Change {sequence} is done."));
        }
        Ok(exit)
    }
}

/// Keeps on record that a change has failed once more, and why. It stays set aside, and the consumer's place stays where it is.
async fn record(
    client: &Client,
    name: &str,
    mut aside: SetAsideEvent,
    why: String,
) -> Result<(), Error> {
    aside.attempts = aside.attempts.saturating_add(1);
    aside.error = why;
    match client.update_set_aside_event(name, aside).await {
        // Somebody else has taken it off the list meanwhile, and it stays off.
        Err(error) if error.reason() == ErrorReason::SetAsideEventNotFound => Ok(()),
        updated => updated.map(drop),
    }
}

/// The change behind an entry of the list, from the journal.
async fn find(client: &Client, name: &str, aside: &SetAsideEvent) -> Result<NotificationEvent> {
    let sequence = aside.sequence;
    let what = format!("cannot retry change {sequence}");
    let mut watch = client.watch(WatchNotificationsRequest {
        after: Some(Cursor {
            epoch: String::new(),
            sequence: sequence - 1,
        }),
        ..Default::default()
    });
    let discard = format!("barista consumer discard {name} {sequence}");
    loop {
        let item = watch
            .next()
            .await
            .map_err(|error| Failure::call(&what, &error).next(discard.clone()))?;
        if let Some(WatchItem::Event(event)) = item {
            let id = event.notification.as_ref().map_or(0, |n| n.id);
            // After a restored backup the same number may stand for something else.
            if event.sequence == sequence && [0, id].contains(&aside.notification_id) {
                return Ok(event);
            }
            let why = "the journal has another change under this number";
            return Err(Failure::new(Exit::Conflict, what, why).next(discard));
        }
    }
}

impl Discard {
    async fn run(self, app: &App, client: &Client) -> Result<Exit> {
        let name = self.which.name;
        let mut first_failure = None;
        for sequence in self.sequences {
            let discarded = client.discard_set_aside_event(&name, sequence).await;
            let Err(error) = discarded else {
                app.output.note(&format!("Change {sequence} is discarded."));
                continue;
            };
            let failure = Failure::call(format!("cannot discard change {sequence}"), &error);
            if error.reason() != ErrorReason::SetAsideEventNotFound {
                return Err(failure);
            }
            // The others are meant all the same.
            app.output.complain(&failure.report().unwrap_or_default());
            first_failure.get_or_insert(failure.exit());
        }
        first_failure.map_or(Ok(Exit::Done), |exit| Err(Failure::Reported(exit)))
    }
}

/// Prints the consumer as JSON, or what became of it.
fn tell(app: &App, consumer: &Details, remark: &str) -> Result<Exit> {
    if app.output.json {
        app.output.message(consumer)?;
    } else {
        app.output.note(remark);
    }
    Ok(Exit::Done)
}
