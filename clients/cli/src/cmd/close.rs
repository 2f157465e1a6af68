//! `barista read`, `dismiss` and `cancel`: changes of several notifications, each on its own.

use barista_client::pb::notification::v1::{
    CancelNotificationRequest, DismissNotificationRequest, MarkNotificationReadRequest,
    Notification,
};
use barista_client::{Client, Error};
use clap::Args;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::identity::{ResponderArgs, SURFACE};
use crate::{complete, input, text, words};

/// Mark notifications as read. They stay open.
#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    which: Which,
}

/// Put notifications away without a response.
#[derive(Debug, Args)]
pub(crate) struct Dismiss {
    #[command(flatten)]
    which: Which,
}

/// Withdraw notifications: whoever asked no longer wants to know.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// Their ids
    #[arg(required = true, value_name = "ID", value_parser = input::id, add = complete::open_ids())]
    ids: Vec<i64>,
    #[command(flatten)]
    actor: ResponderArgs,
}

impl Read {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let change = async |client: &Client, id, actor, surface| {
            let request = MarkNotificationReadRequest {
                id,
                actor,
                surface,
                ..Default::default()
            };
            client.mark_notification_read(request).await
        };
        self.which.each(app, ("mark", " as read"), change).await
    }
}

impl Dismiss {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let change = async |client: &Client, id, actor, surface| {
            let request = DismissNotificationRequest {
                id,
                actor,
                surface,
                ..Default::default()
            };
            client.dismiss_notification(request).await
        };
        self.which.each(app, ("dismiss", ""), change).await
    }
}

impl Cancel {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let change = async |client: &Client, id, actor, surface| {
            let request = CancelNotificationRequest {
                id,
                actor,
                surface,
                ..Default::default()
            };
            client.cancel_notification(request).await
        };
        self.which.each(app, ("cancel", ""), change).await
    }
}

impl Which {
    /// Changes one notification after the other. A failure is told, in words of which some stand before the id and some after it, and the
    /// others go on; the first one decides the exit code.
    async fn each<F>(self, app: &App, (verb, rest): (&str, &str), change: F) -> Result<Exit>
    where
        F: AsyncFn(&Client, i64, String, String) -> Result<Notification, Error>,
    {
        let actor = self.actor.name();
        let client = app.client().await?;
        let mut first_failure = None;
        for id in self.ids {
            // The change itself says nothing of whether it was needed.
            let before = client.get_notification(id).await.ok();
            match change(&client, id, actor.clone(), SURFACE.to_owned()).await {
                Ok(notification) if app.output.json => app.output.message(&notification)?,
                Ok(notification) => app.output.note(&remark(before.as_ref(), &notification)),
                Err(error) => {
                    let failure = Failure::call(format!("cannot {verb} #{id}{rest}"), &error);
                    app.output.complain(&failure.report().unwrap_or_default());
                    first_failure.get_or_insert(failure.exit());
                }
            }
        }
        first_failure.map_or(Ok(Exit::Done), |exit| Err(Failure::Reported(exit)))
    }
}

/// What became of a notification, or that it was so before.
fn remark(before: Option<&Notification>, after: &Notification) -> String {
    let (id, state) = (after.id, words::state(after));
    if before.is_none_or(|before| words::state(before) != state) {
        return format!("#{id} is {state}.");
    }
    let by = match text::line(&after.closed_by).as_str() {
        "" => String::new(),
        closed_by => format!(" by {closed_by}"),
    };
    format!("#{id} was {state} before{by}; nothing has changed.")
}
