//! `barista notify`: tells something that needs no response.

use std::path::PathBuf;

use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationType, Priority};
use clap::Args;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::identity::{self, AgentArgs, SURFACE};
use crate::{input, words};

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
    /// What kind of thing it is
    #[arg(long = "type", short = 't', value_name = "TYPE", default_value = "info", value_parser = words::parser(words::NOTICES))]
    kind: NotificationType,
    /// How urgent it is
    #[arg(long, short, default_value = "normal", value_parser = words::parser(words::PRIORITIES))]
    priority: Priority,
    /// A label; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A file with a JSON object of details
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    context: Option<PathBuf>,
    /// A UUID that makes a repetition safe
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Notify {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let request = self.request()?;
        let client = app.client().await?;
        let notification = client
            .create_notification(request)
            .await
            .map_err(|error| Failure::call("cannot notify", &error))?;
        if app.output.json {
            app.output.message(&notification)?;
        } else {
            app.output.value(&notification.id.to_string())?;
        }
        Ok(Exit::Done)
    }

    fn request(self) -> Result<CreateNotificationRequest> {
        let agent = self.agent.resolve(&identity::system);
        Ok(CreateNotificationRequest {
            request_id: self.request_id.unwrap_or_default(),
            r#type: self.kind.into(),
            priority: self.priority.into(),
            title: self.title,
            message: self
                .message
                .map_or_else(|| Ok(String::new()), input::text)?,
            context: self
                .context
                .map_or_else(|| Ok(String::new()), |path| input::file(&path))?,
            agent: agent.agent,
            session: agent.session,
            project: agent.project,
            tags: self.tags,
            surface: SURFACE.to_owned(),
            ..Default::default()
        })
    }
}
