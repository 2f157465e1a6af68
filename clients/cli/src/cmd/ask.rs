//! `barista ask`: asks a question, waits, and prints the response.

use std::time::Duration;

use barista_client::pb::error::v1::ErrorReason;
use barista_client::pb::notification::v1::create_notification_request::Expiration;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, Notification, NotificationType, Option as Choice,
};
use barista_client::{Client, WaitOutcome};
use clap::Args;

use crate::app::App;
use crate::cmd::draft::{self, DraftArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::signals::Stop;
use crate::waiting::Teller;
use crate::{input, outcome, waiting};

/// Ask a question, wait, and print the response.
///
/// Only the response is on stdout. Exit code 0: answered; 3: answered "no"; 7: ended without a response; 124: --wait ran out, the
/// question stays open, and its id is on stdout. If the daemon is stopped meanwhile, ask waits until it runs again.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: answer=$(barista ask \"Install pandas 2.0?\" --option approve --option deny)"
)]
pub(crate) struct Ask {
    /// The question, in one line
    title: String,
    /// More about it; - reads stdin
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// An answer to choose from, with what it means; may be repeated. Without any, every text is an answer
    #[arg(long = "option", short, value_name = "NAME[:LABEL]", value_parser = choice)]
    options: Vec<Choice>,
    /// Take free text besides the options; without options it is taken anyway
    #[arg(long)]
    text: bool,
    /// Allow several options
    #[arg(long, requires = "options")]
    multiple: bool,
    /// When the question expires if nobody responds, as in 2h
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, value_parser = input::limit)]
    expires: Option<Duration>,
    /// The response that it takes when it expires; without one, silence is no answer
    #[arg(long, value_name = "RESPONSE", requires = "expires")]
    default: Option<String>,
    /// Wait so long at most [default: until there is a response]
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, value_parser = input::limit, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Do not wait; print the question's id
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    draft: DraftArgs,
}

/// Reads `NAME[:LABEL]`.
fn choice(typed: &str) -> Result<Choice, String> {
    let (name, description) = typed.split_once(':').unwrap_or((typed, ""));
    if name.is_empty() {
        return Err("an option needs a name, as in approve or approve:\"Ship it\"".to_owned());
    }
    Ok(Choice {
        name: name.to_owned(),
        description: description.to_owned(),
    })
}

impl Ask {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let (no_wait, limit) = (self.no_wait, self.wait);
        let request = self.request()?;
        let client = app.client().await?;
        let question = waiting::for_lock(app, &client, client.create_notification(request))
            .await
            .map_err(|error| Failure::call("cannot ask", &error))?;
        if no_wait {
            draft::print(app, &question)?;
            return Ok(Exit::Done);
        }
        // Whoever reads that it waits may interrupt it from then on.
        let stop = Stop::listen()?;
        app.output.note(&waiting::announcement(&question));
        wait(app, &client, question.id, limit, stop).await
    }

    fn request(self) -> Result<CreateNotificationRequest> {
        let kind = NotificationType::Question;
        let draft = self
            .draft
            .request("cannot ask", kind, self.title, self.message)?;
        Ok(CreateNotificationRequest {
            allow_text: self.text && !self.options.is_empty(),
            options: self.options,
            allow_multiple: self.multiple,
            expiration: self
                .expires
                .map(|span| Expiration::Ttl(input::duration(span))),
            default_response: self.default.unwrap_or_default(),
            ..draft
        })
    }
}

/// Waits for the end of one question and prints its response.
async fn wait(
    app: &App,
    client: &Client,
    id: i64,
    limit: Option<Duration>,
    mut stop: Stop,
) -> Result<Exit> {
    let teller = Teller::new(&app.output);
    let ended = tokio::select! {
        ended = client.wait_telling(id, limit, |notice| teller.tell(notice)) => ended,
        exit = stop.signal() => {
            app.output.note(&format!(
                "Question #{id} stays open. Wait again with: barista wait {id}   Withdraw it with: barista cancel {id}"
            ));
            return Ok(exit);
        }
    };
    let resume = format!("barista wait {id}");
    match ended {
        Ok(WaitOutcome::Ended(notification)) => deliver(app, &notification),
        Ok(WaitOutcome::TimedOut(question)) => {
            // Without it nobody could wait again: remarks may be off, and a script reads only this.
            draft::print(app, &question)?;
            app.output.note(&format!(
                "No response to #{id} yet; it stays open. Wait again with: {resume}"
            ));
            Ok(Exit::TimedOut)
        }
        Err(error) if error.reason() == ErrorReason::NotificationNotFound => {
            Err(waiting::failure(id, &error))
        }
        Err(error) => Err(waiting::failure(id, &error).next(resume)),
    }
}

/// Prints the response of an ended question, or tells why there is none.
fn deliver(app: &App, notification: &Notification) -> Result<Exit> {
    if let Some(remark) = outcome::remark(notification) {
        app.output.note(&remark);
    }
    if app.output.json {
        app.output.message(notification)?;
    } else if let Some(response) = &notification.response {
        app.output.value(&response.text)?;
    }
    Ok(outcome::exit(notification))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_may_have_a_label() {
        let parsed = choice("approve:Ship it: now").expect("an option");
        assert_eq!(
            (parsed.name.as_str(), parsed.description.as_str()),
            ("approve", "Ship it: now")
        );
        assert!(choice("deny").expect("an option").description.is_empty());
        assert!(choice(":label").is_err());
    }
}
