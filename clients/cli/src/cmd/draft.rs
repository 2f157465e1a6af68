//! What a question and a notice have in common.

use std::path::PathBuf;

use barista_client::pb::notification::v1::{
    CreateNotificationRequest, Notification, NotificationType, Priority,
};
use clap::Args;

use crate::app::App;
use crate::failure::{Failure, Result};
use crate::identity::{self, AgentArgs, SURFACE};
use crate::{input, words};

/// The arguments of everything that is new.
#[derive(Debug, Args)]
pub(crate) struct DraftArgs {
    /// How urgent it is
    #[arg(long, short, default_value = "normal", value_parser = words::parser(words::PRIORITIES))]
    priority: Priority,
    /// A file with a JSON object of details; - reads stdin
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    context: Option<PathBuf>,
    /// A label; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A UUID that makes a repetition safe: with the same one, the same thing is created only once
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl DraftArgs {
    /// The request for a notification; what only questions have is left empty. Reads stdin and files, so `what` says what fails with
    /// them, as in "cannot ask".
    pub(crate) fn request(
        self,
        what: &str,
        kind: NotificationType,
        title: String,
        message: Option<String>,
    ) -> Result<CreateNotificationRequest> {
        let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
        if message.as_deref() == Some("-") && self.context.as_ref().is_some_and(is_stdin) {
            let why = "only one of --message and --context can read stdin";
            return Err(Failure::usage(what, why)
                .next("put the context into a file: --context FILE".to_owned()));
        }
        let agent = self.agent.resolve(&identity::system);
        Ok(CreateNotificationRequest {
            request_id: self.request_id.unwrap_or_default(),
            r#type: kind.into(),
            priority: self.priority.into(),
            title,
            message: message.map_or_else(|| Ok(String::new()), input::text)?,
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

/// Prints what was created: its id, or all of it as JSON.
pub(crate) fn print(app: &App, created: &Notification) -> Result<()> {
    if app.output.json {
        app.output.message(created)
    } else {
        app.output.value(&created.id.to_string())
    }
}
