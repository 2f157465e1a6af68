//! `barista inbox`: open notifications, grouped by priority.

use std::time::Duration;

use barista_client::pb::notification::v1::{
    ListNotificationsResponse, NotificationFilter, NotificationState, NotificationType, Priority,
    StartAt, WatchNotificationsRequest,
};
use barista_client::{Client, Watch, WatchItem};
use clap::Args;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::signals::Stop;
use crate::time::Clock;
use crate::{json, listing, render, words};

/// How long changes are gathered before the screen is drawn again, so that a burst of them draws once.
const GATHER: Duration = Duration::from_millis(50);
/// How often the screen is drawn again only because time passes.
const REFRESH: Duration = Duration::from_secs(30);
/// Moves the cursor home and clears the screen with its scroll-back left alone.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// List notifications by priority, the open ones unless told otherwise.
#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// Closed ones too
    #[arg(long, short, conflicts_with = "states")]
    all: bool,
    /// Only this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = words::parser(words::STATES))]
    states: Vec<NotificationState>,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = limit)]
    limit: usize,
    /// Stay, and draw again on every change
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
}

/// Which notifications are meant.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only this type; may be repeated
    #[arg(long = "type", short = 't', value_name = "TYPE", value_parser = words::parser(words::TYPES))]
    types: Vec<NotificationType>,
    /// Only this priority; may be repeated
    #[arg(long = "priority", short, value_name = "PRIORITY", value_parser = words::parser(words::PRIORITY_FILTER))]
    priorities: Vec<Priority>,
    /// Only this agent's
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only this session's
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only this project's
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

impl FilterArgs {
    /// The filter for these and `states`; no states mean all.
    pub(crate) fn filter(&self, states: &[NotificationState]) -> NotificationFilter {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        NotificationFilter {
            types: self.types.iter().map(|each| i32::from(*each)).collect(),
            priorities: self
                .priorities
                .iter()
                .map(|each| i32::from(*each))
                .collect(),
            states: states.iter().map(|each| i32::from(*each)).collect(),
            agent: text(&self.agent),
            session: text(&self.session),
            project: text(&self.project),
        }
    }
}

fn limit(typed: &str) -> Result<usize, String> {
    match typed.parse() {
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err("give a number from 1".to_owned()),
    }
}

impl Inbox {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        if self.watch {
            return self.follow(app).await;
        }
        let client = app.client().await?;
        let list = self.list(&client).await?;
        if app.output.json {
            let mut value = json::value(&list)?;
            // The canonical form leaves an empty list out, over which a script's loop would stumble.
            if let Some(fields) = value.as_object_mut() {
                fields
                    .entry("notifications")
                    .or_insert_with(|| serde_json::json!([]));
            }
            app.output.json_value(&value)?;
            return Ok(Exit::Done);
        }
        app.output.print(&render::inbox::render(
            &list.notifications,
            &Clock::system(),
            app.output.columns(),
        ))?;
        if let Some(remark) = self.remark(&list) {
            app.output.note(&remark);
        }
        Ok(Exit::Done)
    }

    fn states(&self) -> &[NotificationState] {
        match (self.all, self.states.as_slice()) {
            (true, _) => &[],
            (false, []) => &listing::OPEN,
            (false, states) => states,
        }
    }

    async fn list(&self, client: &Client) -> Result<ListNotificationsResponse> {
        listing::most_urgent(client, self.filter.filter(self.states()), self.limit).await
    }

    /// What the list does not show.
    fn remark(&self, list: &ListNotificationsResponse) -> Option<String> {
        let narrowed = self.filter.filter(&self.states) != NotificationFilter::default();
        if list.notifications.is_empty() {
            return Some(match (narrowed, self.all) {
                (true, _) => "Nothing matches.".to_owned(),
                (false, true) => "There are no notifications.".to_owned(),
                (false, false) => "The inbox is empty.".to_owned(),
            });
        }
        let more = !list.next_page_token.is_empty();
        more.then(|| {
            format!(
                "… and more: see them with --limit {}",
                self.limit.saturating_mul(4)
            )
        })
    }

    async fn follow(self, app: &App) -> Result<Exit> {
        if app.output.columns() == usize::MAX {
            return Err(Failure::usage("cannot draw", "stdout is not a terminal")
                .next("barista watch, to follow changes line by line".to_owned()));
        }
        let mut stop = Stop::listen()?;
        let client = app.client().await?;
        let request = WatchNotificationsRequest {
            start_at: StartAt::Now.into(),
            ..Default::default()
        };
        let mut watch = client.watch(request);
        loop {
            let lost = tokio::select! {
                drawn = self.draw(app, &client) => drawn.err(),
                exit = stop.signal() => return Ok(exit),
            };
            if let Some(failure) = lost {
                // A daemon that restarts is back soon; the watch says when.
                app.output.complain(&failure.report().ok_or(failure)?);
            }
            tokio::select! {
                changed = change(&mut watch) => changed?,
                exit = stop.signal() => return Ok(exit),
            }
        }
    }

    async fn draw(&self, app: &App, client: &Client) -> Result<()> {
        let list = self.list(client).await?;
        let screen =
            render::inbox::render(&list.notifications, &Clock::system(), app.output.columns());
        let remark = self
            .remark(&list)
            .map_or_else(String::new, |remark| remark + "\n");
        app.output.control(CLEAR)?;
        app.output.print(&format!("{screen}{remark}"))
    }
}

/// Waits until something changed, or long enough for the ages on the screen to be old.
async fn change(watch: &mut Watch) -> Result<()> {
    let mut until = Instant::now() + REFRESH;
    let mut gathering = false;
    while let Ok(item) = timeout_at(until, watch.next()).await {
        let item = item.map_err(|error| Failure::call("cannot follow changes", &error))?;
        match item {
            Some(WatchItem::Event(_) | WatchItem::Resumed(_)) if !gathering => {
                gathering = true;
                until = Instant::now() + GATHER;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
    Ok(())
}
