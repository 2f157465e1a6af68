//! `barista show`: one notification with its history.

use barista_client::pb::notification::v1::Notification;
use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::time::Clock;
use crate::{complete, input, json, render, words};

/// Show one notification with its history.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id
    #[arg(value_parser = input::id, add = complete::open_ids())]
    id: i64,
}

impl Show {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let what = format!("cannot show #{}", self.id);
        let client = app.client().await?;
        let failed = |error| Failure::call(&what, &error);
        let notification = client.get_notification(self.id).await.map_err(failed)?;
        let history = client
            .list_notification_events(self.id)
            .await
            .map_err(failed)?;
        if app.output.json {
            let events: Vec<_> = history.iter().map(json::value).collect::<Result<_>>()?;
            let value = json!({ "notification": json::value(&notification)?, "events": events });
            app.output.json_value(&value)?;
            return Ok(Exit::Done);
        }
        app.output.print(&render::detail::render(
            &notification,
            &history,
            &Clock::system(),
            app.output.columns(),
        ))?;
        if words::is_open(&notification) {
            app.output.note(&format!("\n{}", advice(&notification)));
        }
        Ok(Exit::Done)
    }
}

/// What a person can do about an open notification: a question waits for an answer, a notice only to be seen.
fn advice(notification: &Notification) -> String {
    let id = notification.id;
    if words::is_question(notification) {
        format!("Answer with: barista respond {id} RESPONSE")
    } else {
        format!("Put it away with: barista dismiss {id}")
    }
}
