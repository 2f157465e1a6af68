//! `barista inbox`: open notifications, grouped by priority.

use std::time::Duration;

use barista_client::pb::notification::v1::{
    ListNotificationsResponse, Notification, NotificationFilter, NotificationState,
    NotificationType, Priority, StartAt, WatchNotificationsRequest,
};
use barista_client::{Client, Watch, WatchItem};
use clap::Args;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::cmd::watch::interruption;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Window;
use crate::screen::Screen;
use crate::signals::{self, Stop};
use crate::time::Clock;
use crate::{json, listing, render, text, words};

/// How long changes are gathered before the screen is drawn again, so that a burst of them draws once.
const GATHER: Duration = Duration::from_millis(50);
/// How often the screen is drawn again only because time passes.
const REFRESH: Duration = Duration::from_secs(30);
/// The last line of a window that stays.
const LEAVE: &str = "Ctrl-C leaves";

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
    /// Stay, and draw again on every change: as much as fits the window
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
        if list.next_page_token.is_empty() {
            if let Some(remark) = self.remark(&list) {
                app.output.note(&remark);
            }
            return Ok(Exit::Done);
        }
        let (hidden, is_all) =
            listing::count(&client, self.filter.filter(self.states()), &list).await?;
        app.output.note(&self.beyond(hidden, is_all));
        Ok(Exit::Done)
    }

    /// What lies beyond the limit. The most urgent come first, and among those the oldest.
    fn beyond(&self, hidden: usize, is_all: bool) -> String {
        let at_least = if is_all { "" } else { "at least " };
        format!(
            "… and {at_least}{hidden} more, less urgent or newer than these: see them with --limit {}",
            self.limit.saturating_add(hidden)
        )
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
        if app.output.window().is_none() {
            return Err(Failure::usage("cannot draw", "stdout is not a terminal")
                .next("barista watch, to follow changes line by line".to_owned()));
        }
        let mut stop = Stop::listen()?;
        let mut resized = signals::resized()?;
        let client = app.client().await?;
        let request = WatchNotificationsRequest {
            start_at: StartAt::Now.into(),
            ..Default::default()
        };
        let mut watch = client.watch(request);
        let screen = Screen::take(&app.output)?;
        let mut away: Option<String> = None;
        let mut seen: Option<Seen> = None;
        loop {
            let drawn = match &away {
                // A call would start a daemon that somebody stopped.
                Some(why) => draw_seen(app, &screen, seen.as_ref(), why),
                None => tokio::select! {
                    drawn = self.draw(app, &client, &screen) => drawn.map(|list| seen = Some(list)),
                    exit = stop.signal() => return Ok(exit),
                },
            };
            match drawn {
                Ok(()) => {}
                Err(Failure::ClosedPipe) => return Ok(Exit::Done),
                // A daemon that restarts is back soon; the watch says when.
                Err(failure) => {
                    let why = failure.report().unwrap_or_default();
                    draw_seen(app, &screen, seen.as_ref(), &why)?;
                }
            }
            tokio::select! {
                changed = change(&mut watch, away.is_some()) => away = changed?,
                _ = resized.recv() => {}
                exit = stop.signal() => return Ok(exit),
            }
        }
    }

    async fn draw(&self, app: &App, client: &Client, screen: &Screen<'_>) -> Result<Seen> {
        let list = self.list(client).await?;
        let Some(window) = app.output.window() else {
            return Err(Failure::ClosedPipe);
        };
        // One line for how to leave, and one for what is not shown, though it may all fit.
        let room = Window {
            rows: window.rows.saturating_sub(2).max(1),
            ..window
        };
        let clock = Clock::system();
        let (mut text, shown) = render::inbox::fitting(&list.notifications, &clock, room);
        match list.notifications.len() - shown {
            0 => text.extend(self.remark(&list)),
            missing => text.push_str(&hidden(missing, !list.next_page_token.is_empty())),
        }
        screen.show(&page(&text))?;
        let list = list.notifications;
        Ok(Seen { list, clock })
    }
}

/// What the daemon said last.
struct Seen {
    list: Vec<Notification>,
    /// When that was.
    clock: Clock,
}

/// Draws what was seen last, as it was then, with `why` there is nothing newer.
fn draw_seen(app: &App, screen: &Screen<'_>, seen: Option<&Seen>, why: &str) -> Result<()> {
    let Some(window) = app.output.window() else {
        return Err(Failure::ClosedPipe);
    };
    screen.show(&page(&stale(seen, why, window)))
}

/// The text of a window with what was seen last. `why` is whole, whatever that leaves for the list.
fn stale(seen: Option<&Seen>, why: &str, window: Window) -> String {
    let note = match seen {
        Some(seen) => format!("This is as of {}. {why}", seen.clock.present()),
        None => why.to_owned(),
    };
    let note = text::wrap(&note, window.columns);
    let room = Window {
        rows: window.rows.saturating_sub(note.len() + 1),
        ..window
    };
    let (mut text, _shown) = match seen {
        Some(seen) if room.rows > 0 => render::inbox::fitting(&seen.list, &seen.clock, room),
        _ => Default::default(),
    };
    text.push_str(&note.join("\n"));
    text
}

/// Says how many notifications the window is too small for; `more`: there are others, which were not even asked for.
fn hidden(missing: usize, more: bool) -> String {
    let at_least = if more { "at least " } else { "" };
    format!("… and {at_least}{missing} more that do not fit; barista inbox lists them")
}

/// `text` with the last line of a window.
fn page(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    if text.is_empty() {
        return LEAVE.to_owned();
    }
    format!("{text}\n{LEAVE}")
}

/// Waits until something changed, or long enough for the ages on the screen to be old. `away`: the daemon is, so it waits until it is back.
/// Returns why the daemon has gone away where it has.
async fn change(watch: &mut Watch, away: bool) -> Result<Option<String>> {
    let refresh = (!away).then(|| Instant::now() + REFRESH);
    let mut until = refresh;
    loop {
        let item = match until {
            Some(until) => match timeout_at(until, watch.next()).await {
                Ok(item) => item,
                Err(_elapsed) => return Ok(None),
            },
            None => watch.next().await,
        };
        match item.map_err(|error| Failure::call("cannot follow changes", &error))? {
            Some(WatchItem::Interrupted(error)) => return Ok(Some(interruption(&error))),
            Some(WatchItem::Started(_) | WatchItem::Resumed(_)) if away => return Ok(None),
            Some(WatchItem::Event(_)) if until == refresh => until = Some(Instant::now() + GATHER),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        assert!(hidden(12, false).contains("and 12 more"));
        assert!(hidden(12, true).contains("and at least 12 more"));
    }

    #[test]
    fn what_was_seen_last_stays_beside_the_whole_reason_that_there_is_nothing_newer() {
        let seen = Seen {
            list: vec![Notification {
                id: 12,
                title: "Deploy?".to_owned(),
                ..Default::default()
            }],
            clock: crate::time::tests::noon(),
        };
        let window = Window {
            columns: 40,
            rows: 10,
        };
        let why = "The daemon was stopped. This goes on when it runs again; start it with: barista daemon start";
        let text = stale(Some(&seen), why, window);
        assert!(
            text.contains("Deploy?") && text.contains("This is as of 12:00:00."),
            "{text}"
        );
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").ends_with(why), "{text}");
        assert!(text.lines().all(|line| text::width(line) <= 40), "{text}");
    }

    #[test]
    fn a_page_ends_with_how_to_leave_it_and_no_line_break() {
        assert_eq!(page("a\nb\n"), "a\nb\nCtrl-C leaves");
        assert_eq!(page(""), "Ctrl-C leaves");
    }
}
