//! `barista watch`: follows every change.

use std::time::Duration;

use barista_client::pb::consumer::v1::create_consumer_request::Start;
use barista_client::pb::consumer::v1::{
    Consumer, ConsumerPosition, CreateConsumerRequest, SetAsideEvent,
};
use barista_client::pb::notification::v1::{
    Cursor, NotificationEvent, StartAt, WatchNotificationsRequest,
};
use barista_client::{Client, ConsumerWatch, Error, ErrorReason, Watch as Stream, WatchItem};
use clap::Args;
use tokio::time::timeout;

use crate::app::App;
use crate::cmd::inbox::FilterArgs;
use crate::delivery::{Delivery, Outcome, RetryArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::hook::{Hook, Hooks};
use crate::render::{self, event};
use crate::signals::Stop;
use crate::time::Clock;
use crate::{complete, input, text};

/// How long a watch that ends may take to acknowledge what it has printed.
const FAREWELL: Duration = Duration::from_secs(2);

/// Follow every change, by whoever, in order. Goes on when the daemon restarts.
///
/// With --exec, CMD runs through sh -c once per change, with the fields in its environment: BARISTA_SEQUENCE, BARISTA_KIND, BARISTA_ID,
/// BARISTA_TYPE, BARISTA_PRIORITY, BARISTA_STATE, BARISTA_TITLE, BARISTA_MESSAGE, BARISTA_AGENT, BARISTA_SESSION, BARISTA_PROJECT,
/// BARISTA_RESPONSE and BARISTA_RESPONDER, long ones cut to 32 KiB; and with the whole event as JSON on stdin. Text comes from agents:
/// quote the variables, as in "$BARISTA_TITLE".
///
/// With --consumer, the daemon keeps the place under that name, and each change comes at least once, whoever restarts: it is acknowledged when it is
/// printed, or when CMD has succeeded. CMD then runs for one change after the other; one that fails is run again, and when it has failed
/// too often its change is set aside (`barista consumer show NAME`) and the watch goes on. BARISTA_CONSUMER and BARISTA_ATTEMPT say for whom
/// and for which time CMD runs. A newer watch of the same consumer takes over, and the older one ends. The place is one for all changes:
/// what a filter such as --type hides is acknowledged, too, and does not come again under another filter.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: barista watch --exec 'notify-send \"$BARISTA_KIND\" \"$BARISTA_TITLE\"'"
)]
pub(crate) struct Watch {
    /// Where to start: after this sequence, now (the default), or with all that the journal still has. With --consumer: where a new one starts
    #[arg(long, value_name = "SEQ|now|all", value_parser = since)]
    since: Option<Since>,
    /// Go on where the last watch of this name ended; the first one creates it
    #[arg(long, value_name = "NAME", add = complete::consumers())]
    consumer: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// A command to run for each change
    #[arg(long, value_name = "CMD", value_hint = clap::ValueHint::CommandString)]
    exec: Option<String>,
    /// How long the command may take for one change
    #[arg(long, value_name = "SPAN", default_value = "60s", allow_hyphen_values = true, value_parser = input::limit, requires = "exec")]
    exec_timeout: Duration,
    /// How many commands may run at once; with 1 they run in order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), requires = "exec", conflicts_with = "consumer")]
    exec_parallel: u16,
    #[command(flatten)]
    retry: RetryArgs,
}

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the next change.
    Now,
    /// With the oldest that is kept.
    All,
    /// After this sequence.
    After(i64),
}

/// Reads where to start.
pub(crate) fn since(typed: &str) -> Result<Since, String> {
    match typed {
        "now" => Ok(Since::Now),
        "all" | "oldest" => Ok(Since::All),
        typed => match typed.parse() {
            Ok(sequence) if sequence >= 0 => Ok(Since::After(sequence)),
            _ => Err("give a sequence such as 41, or now, or all".to_owned()),
        },
    }
}

impl Watch {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        if let Some(name) = self.consumer.clone() {
            return Box::pin(self.run_as(app, name)).await;
        }
        let request = self.request();
        let mut hooks = self.exec.map(|command| {
            Hooks::new(
                Hook {
                    command,
                    limit: self.exec_timeout,
                },
                usize::from(self.exec_parallel),
            )
        });
        let client = app.client().await?;
        let mut stop = Stop::listen()?;
        let mut stream = client.watch(request);
        let result = tokio::select! {
            result = follow(app, &mut stream, &mut hooks) => result,
            exit = stop.signal() => Ok(exit),
        };
        let seen = stream.cursor().map(|cursor| cursor.sequence);
        let unfinished = match hooks {
            Some(hooks) => hooks.end().await,
            None => None,
        };
        // A change whose command was killed comes again.
        let place = unfinished.map(|sequence| sequence - 1).or(seen);
        if let (Ok(_stopped), Some(sequence)) = (&result, place) {
            app.output.note(&format!(
                "Go on from here with: barista watch --since {sequence}"
            ));
        }
        result
    }

    fn request(&self) -> WatchNotificationsRequest {
        let mut request = WatchNotificationsRequest {
            filter: Some(self.filter.filter(&[])),
            ..Default::default()
        };
        match self.since.unwrap_or(Since::Now) {
            Since::Now => request.start_at = StartAt::Now.into(),
            Since::All => request.start_at = StartAt::Oldest.into(),
            Since::After(sequence) => {
                request.after = Some(Cursor {
                    epoch: String::new(),
                    sequence,
                });
            }
        }
        request
    }
}

impl Watch {
    /// Watches as the consumer `name`.
    async fn run_as(self, app: &App, name: String) -> Result<Exit> {
        let client = app.client().await?;
        self.ensure(app, &client, &name).await?;
        let delivery = self.exec.map(|command| Delivery {
            hook: Hook {
                command,
                limit: self.exec_timeout,
            },
            consumer: name.clone(),
            retry: self.retry,
        });
        let mut stop = Stop::listen()?;
        let mut stream = client.watch_consumer(WatchNotificationsRequest {
            filter: Some(self.filter.filter(&[])),
            consumer: name.clone(),
            ..Default::default()
        });
        let result = tokio::select! {
            result = consume(app, &mut stream, delivery.as_ref()) => result,
            exit = stop.signal() => Ok(exit),
        };
        // What cannot be acknowledged now comes again.
        let _acknowledged = timeout(FAREWELL, stream.flush()).await;
        if result.is_ok() {
            app.output.note(&format!(
                "Go on from here with: barista watch --consumer {name}"
            ));
        }
        result
    }

    /// Creates the consumer where there is none.
    async fn ensure(&self, app: &App, client: &Client, name: &str) -> Result<()> {
        let failed = |error| Failure::call(format!("cannot watch as {name}"), &error);
        match client.get_consumer(name).await {
            Ok(consumer) => {
                if self.since.is_some() {
                    app.output.note(&format!(
                        "{} --since is for new consumers.",
                        render::consumer::place(&consumer)
                    ));
                }
                return Ok(());
            }
            Err(error) if error.reason() == ErrorReason::ConsumerNotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let start = match self.since.unwrap_or(Since::Now) {
            Since::Now => Start::Position(ConsumerPosition::Now.into()),
            Since::All => Start::Position(ConsumerPosition::Oldest.into()),
            Since::After(sequence) => Start::After(Cursor {
                epoch: String::new(),
                sequence,
            }),
        };
        let request = CreateConsumerRequest {
            name: name.to_owned(),
            start: Some(start),
            ..Default::default()
        };
        match client.create_consumer(request).await {
            Ok(created) => app.output.note(&new(&created)),
            // Somebody else was first.
            Err(error) if error.reason() == ErrorReason::ConsumerExists => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }
}

fn new(created: &Consumer) -> String {
    format!("A new consumer: {}", render::consumer::place(created))
}

/// Deals with each change and acknowledges it, until the stream ends, which it only does with an error.
async fn consume(
    app: &App,
    stream: &mut ConsumerWatch,
    delivery: Option<&Delivery>,
) -> Result<Exit> {
    loop {
        let item = stream.next().await.map_err(|error| failure(&error))?;
        match (item, delivery) {
            (Some(WatchItem::Event(event)), Some(delivery)) => {
                deliver(app, stream, delivery, &event).await?;
            }
            (Some(WatchItem::Event(event)), None) => {
                print(app, &event)?;
                stream.done(event.sequence);
            }
            (Some(other), _) => remark(app, &other),
            (None, _) => return Ok(Exit::Done),
        }
    }
}

/// Runs the command for a change, and acknowledges it or sets it aside.
async fn deliver(
    app: &App,
    stream: &mut ConsumerWatch,
    delivery: &Delivery,
    event: &NotificationEvent,
) -> Result<()> {
    let sequence = event.sequence;
    let (attempts, why) = match delivery.deliver(app, stream, event).await? {
        Outcome::Done => {
            let acknowledged = stream.acknowledge(sequence).await;
            return acknowledged.map_err(|error| failure(&error));
        }
        Outcome::GivenUp { attempts, why } => (attempts, why),
        Outcome::Overtaken => return Ok(()),
    };
    let aside = SetAsideEvent {
        sequence,
        notification_id: event.notification.as_ref().map_or(0, |n| n.id),
        attempts,
        error: why.clone(),
        time: None,
    };
    stream
        .set_aside(aside)
        .await
        .map_err(|error| failure(&error))?;
    let times = if attempts == 1 {
        "once".to_owned()
    } else {
        format!("{attempts} times")
    };
    app.output.complain(&format!(
        "barista: the command for change {sequence} failed {times}, and the change is set aside: {why}\nnext: barista consumer show {}",
        delivery.consumer
    ));
    Ok(())
}

/// How a watch ends.
pub(crate) fn failure(error: &Error) -> Failure {
    Failure::call("cannot follow changes", error)
}

/// Says what is worth knowing about the connection.
fn remark(app: &App, item: &WatchItem) {
    match item {
        WatchItem::Interrupted(error) => app.output.note(&interruption(error)),
        WatchItem::Resumed(_) => app.output.note("Connected again."),
        _ => {}
    }
}

/// Hands each change on until the stream ends, which it only does with an error.
async fn follow(app: &App, stream: &mut Stream, hooks: &mut Option<Hooks>) -> Result<Exit> {
    loop {
        let item = stream.next().await.map_err(|error| failure(&error))?;
        match item {
            Some(WatchItem::Event(event)) => match hooks {
                Some(hooks) => hooks.run(app, &event).await?,
                None => print(app, &event)?,
            },
            Some(other) => remark(app, &other),
            None => return Ok(Exit::Done),
        }
    }
}

/// What an interruption means for whoever follows: a watch changes nothing and goes on where it was.
pub(crate) fn interruption(error: &Error) -> String {
    if error.reason() == ErrorReason::ShuttingDown {
        return "The daemon was stopped. This goes on when it runs again; start it with: barista daemon start".to_owned();
    }
    match error {
        Error::Disconnected { .. } | Error::NotRunning { .. } => {
            "The connection to the daemon is lost. Trying again; no change is missed.".to_owned()
        }
        error => format!(
            "Changes do not come through at the moment. Trying again; no change is missed: {}",
            text::line(&error.to_string())
        ),
    }
}

fn print(app: &App, event: &NotificationEvent) -> Result<()> {
    if app.output.json {
        return app.output.message(event);
    }
    let line = event::line(event, &Clock::system(), app.output.columns());
    app.output.print(&(line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_starts_where_it_is_told() {
        assert_eq!(since("now"), Ok(Since::Now));
        assert_eq!(since("all"), Ok(Since::All));
        assert_eq!(since("oldest"), Ok(Since::All));
        assert_eq!(since("0"), Ok(Since::After(0)));
        assert_eq!(since("41"), Ok(Since::After(41)));
        for wrong in ["", "-1", "yesterday", "1.5"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
