//! `barista watch`: follows every change.

use std::time::Duration;

use barista_client::pb::error::v1::ErrorReason;
use barista_client::pb::notification::v1::{
    Cursor, NotificationEvent, StartAt, WatchNotificationsRequest,
};
use barista_client::{Error, Watch as Stream, WatchItem};
use clap::Args;

use crate::app::App;
use crate::cmd::inbox::FilterArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::hook::{Hook, Hooks};
use crate::input;
use crate::render::event;
use crate::signals::Stop;
use crate::text;
use crate::time::Clock;

/// Follow every change, by whoever, in order. Goes on when the daemon restarts.
///
/// With --exec, CMD runs through sh -c once per change, with the fields in its environment: BARISTA_SEQUENCE, BARISTA_KIND, BARISTA_ID,
/// BARISTA_TYPE, BARISTA_PRIORITY, BARISTA_STATE, BARISTA_TITLE, BARISTA_MESSAGE, BARISTA_AGENT, BARISTA_SESSION, BARISTA_PROJECT,
/// BARISTA_RESPONSE and BARISTA_RESPONDER, long ones cut to 32 KiB; and with the whole event as JSON on stdin. Text comes from agents:
/// quote the variables, as in "$BARISTA_TITLE".
#[derive(Debug, Args)]
#[command(
    after_help = "Example: barista watch --exec 'notify-send \"$BARISTA_KIND\" \"$BARISTA_TITLE\"'"
)]
pub(crate) struct Watch {
    /// Where to start: after this sequence, now, or with all that the journal still has
    #[arg(long, default_value = "now", value_name = "SEQ|now|all", value_parser = since)]
    since: Since,
    #[command(flatten)]
    filter: FilterArgs,
    /// A command to run for each change
    #[arg(long, value_name = "CMD", value_hint = clap::ValueHint::CommandString)]
    exec: Option<String>,
    /// How long the command may take for one change
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = input::limit, requires = "exec")]
    exec_timeout: Duration,
    /// How many commands may run at once; with 1 they run in order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), requires = "exec")]
    exec_parallel: u16,
}

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Now,
    All,
    After(i64),
}

fn since(typed: &str) -> Result<Since, String> {
    match typed {
        "now" => Ok(Since::Now),
        "all" => Ok(Since::All),
        typed => match typed.parse() {
            Ok(sequence) if sequence >= 0 => Ok(Since::After(sequence)),
            _ => Err("give a sequence such as 41, or now, or all".to_owned()),
        },
    }
}

impl Watch {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
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
        match self.since {
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

/// Hands each change on until the stream ends, which it only does with an error.
async fn follow(app: &App, stream: &mut Stream, hooks: &mut Option<Hooks>) -> Result<Exit> {
    loop {
        let item = stream
            .next()
            .await
            .map_err(|error| Failure::call("cannot follow changes", &error))?;
        match item {
            Some(WatchItem::Event(event)) => match hooks {
                Some(hooks) => hooks.run(app, &event).await?,
                None => print(app, &event)?,
            },
            Some(WatchItem::Interrupted(error)) => app.output.note(&interruption(&error)),
            Some(WatchItem::Resumed(_)) => app.output.note("Connected again."),
            Some(_) => {}
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
        assert_eq!(since("0"), Ok(Since::After(0)));
        assert_eq!(since("41"), Ok(Since::After(41)));
        for wrong in ["", "-1", "yesterday", "1.5"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
