//! `barista wait`: waits for responses and prints them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use barista_client::pb::notification::v1::Notification;
use barista_client::{Client, Error, WaitOutcome};
use clap::Args;
use tokio::task::JoinSet;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::signals::Stop;
use crate::waiting::Teller;
use crate::{complete, input, outcome, text, waiting};

/// Wait for responses and print them, as they come.
///
/// One id: the response as it is. Several: lines of ID, a tab and the response, with \t, \n, \r and \\ for tabs, line breaks and
/// backslashes. The exit code is that of the first id on the command line that does not end with 0, as of ask.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Their ids
    #[arg(required = true, value_name = "ID", value_parser = input::id, add = complete::open_ids())]
    ids: Vec<i64>,
    /// Until one of them has ended
    #[arg(long, conflicts_with = "all")]
    any: bool,
    /// Until all of them have ended; the default
    #[arg(long)]
    all: bool,
    /// Wait so long at most; 0 only looks, and exit code 8 says that a question is still open
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, value_parser = input::limit)]
    timeout: Option<Duration>,
}

type Ended = (i64, Result<WaitOutcome, Error>);

impl Wait {
    pub(crate) async fn run(mut self, app: &App) -> Result<Exit> {
        let mut seen = HashSet::new();
        self.ids.retain(|id| seen.insert(*id));
        let client = app.client().await?;
        let mut stop = Stop::listen()?;
        let open = tokio::select! {
            open = self.announce(app, &client) => open,
            exit = stop.signal() => return Ok(exit),
        };
        let mut waits = self.begin(app, &client);
        let mut exits = HashMap::new();
        loop {
            let ended = tokio::select! {
                ended = waits.join_next() => ended,
                exit = stop.signal() => return Ok(exit),
            };
            let Some(ended) = ended else { break };
            let (id, result) = ended.map_err(|error| Failure::unexpected("cannot wait", error))?;
            let exit = self.deliver(app, id, result, open.contains(&id))?;
            exits.insert(id, exit);
            if self.any && !matches!(exit, Exit::StillOpen | Exit::TimedOut) {
                return Ok(exit);
            }
        }
        let exits = self.ids.iter().filter_map(|id| exits.get(id).copied());
        Ok(exits
            .into_iter()
            .find(|exit| *exit != Exit::Done)
            .unwrap_or(Exit::Done))
    }

    /// Says what is waited for, unless this is only a look; returns which of the notifications are open. What cannot be got is left to the
    /// wait, which says why.
    async fn announce(&self, app: &App, client: &Client) -> HashSet<i64> {
        let mut open = HashSet::new();
        if self.only_looks() {
            return open;
        }
        for id in self.ids.iter().copied() {
            if let Ok(notification) = client.get_notification(id).await
                && !outcome::is_closed(&notification)
            {
                app.output.note(&waiting::announcement(&notification));
                open.insert(id);
            }
        }
        open
    }

    fn only_looks(&self) -> bool {
        self.timeout.is_some_and(|timeout| timeout.is_zero())
    }

    fn begin(&self, app: &App, client: &Client) -> JoinSet<Ended> {
        let mut waits = JoinSet::new();
        let teller = Teller::new(&app.output);
        for id in self.ids.iter().copied() {
            let (client, timeout) = (client.clone(), self.timeout);
            let teller = teller.clone();
            waits.spawn(async move {
                let tell = |notice| teller.tell(notice);
                (id, client.wait_telling(id, timeout, tell).await)
            });
        }
        waits
    }

    /// Prints how one wait ended; says with which exit code. `was_open`: the notification was there when the wait began.
    fn deliver(
        &self,
        app: &App,
        id: i64,
        result: Result<WaitOutcome, Error>,
        was_open: bool,
    ) -> Result<Exit> {
        let notification = match result {
            Ok(WaitOutcome::Ended(notification)) => notification,
            Ok(WaitOutcome::TimedOut(notification)) => return self.still_open(app, &notification),
            Err(error) => {
                let failure = if was_open {
                    waiting::failure(id, &error)
                } else {
                    Failure::call(format!("cannot wait for #{id}"), &error)
                };
                if self.ids.len() == 1 {
                    return Err(failure);
                }
                app.output.complain(&failure.report().unwrap_or_default());
                return Ok(failure.exit());
            }
        };
        if let Some(remark) = outcome::remark(&notification) {
            app.output.note(&remark);
        }
        if app.output.json {
            app.output.message(&notification)?;
        } else if let Some(response) = &notification.response {
            let line = match self.ids.len() {
                1 => response.text.clone(),
                _ => format!("{id}\t{}", text::field(&response.text)),
            };
            app.output.value(&line)?;
        }
        Ok(outcome::exit(&notification))
    }

    fn still_open(&self, app: &App, notification: &Notification) -> Result<Exit> {
        if app.output.json {
            app.output.message(notification)?;
        }
        let id = notification.id;
        if self.only_looks() {
            app.output.note(&format!("#{id} is still open."));
            return Ok(Exit::StillOpen);
        }
        app.output.note(&format!(
            "No response to #{id} yet. Wait again with: barista wait {id}"
        ));
        Ok(Exit::TimedOut)
    }
}
