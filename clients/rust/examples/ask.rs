//! Asks a question, waits for the answer and prints it: `cargo run --example ask -- "Deploy?" yes no`

use std::process::ExitCode;
use std::time::Duration;

use barista_client::pb::notification::v1::{
    CreateNotificationRequest, NotificationType, Option as Choice,
};
use barista_client::{Client, ConnectOptions, Error, WaitOutcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(title) = arguments.next() else {
        eprintln!("usage: ask QUESTION [OPTION]…");
        return ExitCode::from(2);
    };
    match ask(title, arguments.collect()).await {
        Ok(Some(answer)) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(7),
        Err(error) => {
            eprintln!("ask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The answer, or `None` where there is none: the question may have been dismissed, for example.
async fn ask(title: String, options: Vec<String>) -> Result<Option<String>, Error> {
    let client = Client::connect(ConnectOptions::new()).await?;
    let question = CreateNotificationRequest {
        r#type: NotificationType::Question.into(),
        title,
        options: options
            .into_iter()
            .map(|name| Choice {
                name,
                ..Choice::default()
            })
            .collect(),
        surface: "example".to_owned(),
        ..CreateNotificationRequest::default()
    };
    let question = client.create_notification(question).await?;
    eprintln!(
        "ask: waiting for an answer to {}; ends after 10 minutes",
        question.id
    );
    match client
        .wait(question.id, Some(Duration::from_secs(600)))
        .await?
    {
        WaitOutcome::Ended(question) => Ok(question.response.map(|response| response.text)),
        WaitOutcome::TimedOut(_) => Ok(None),
    }
}
