//! `barista notify`: tells something that needs no response.

use barista_client::pb::notification::v1::NotificationType;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::app::App;
use crate::cmd::draft::{self, DraftArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::{waiting, words};

/// Tell something that needs no response, and print its id.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: make 2>&1 | tail -20 | barista notify \"Build failed\" - --type error"
)]
pub(crate) struct Notify {
    /// What it is about, in one line
    title: String,
    /// The whole text; - reads stdin
    message: Option<String>,
    /// The whole text, as ask takes it
    #[arg(
        long = "message",
        short = 'm',
        value_name = "TEXT",
        conflicts_with = "message"
    )]
    text: Option<String>,
    /// What kind of thing it is
    #[arg(long = "type", short = 't', value_name = "TYPE", default_value = "info", value_parser = kind())]
    kind: NotificationType,
    #[command(flatten)]
    draft: DraftArgs,
}

/// Reads the type of a notice. A question is none, but it is what somebody may try who has not heard of `ask`.
fn kind() -> impl TypedValueParser<Value = NotificationType> {
    let notices = words::NOTICES
        .iter()
        .map(|(word, _)| PossibleValue::new(*word));
    let question = PossibleValue::new("question").hide(true);
    PossibleValuesParser::new(notices.chain([question])).try_map(|typed| {
        words::NOTICES
            .iter()
            .find(|(word, _)| *word == typed)
            .map(|(_, kind)| *kind)
            .ok_or("questions are asked with `barista ask`, which waits for the response")
    })
}

impl Notify {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let request = self.draft.request(
            "cannot notify",
            self.kind,
            self.title,
            self.message.or(self.text),
        )?;
        let client = app.client().await?;
        let notification = waiting::for_lock(app, &client, client.create_notification(request))
            .await
            .map_err(|error| Failure::call("cannot notify", &error))?;
        draft::print(app, &notification)?;
        Ok(Exit::Done)
    }
}
