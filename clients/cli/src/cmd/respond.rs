//! `barista respond`: answers a notification.

use barista_client::pb::notification::v1::{
    Notification, NotificationFilter, RespondNotificationRequest,
};
use barista_client::{Client, Error, ErrorReason};
use clap::Args;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::identity::{ResponderArgs, SURFACE};
use crate::picker::{self, Answer};
use crate::render::inbox;
use crate::time::Clock;
use crate::{complete, input, listing, outcome, shell, text, waiting, words};

/// How many notifications the picker offers.
const OFFERED: usize = 200;

/// Answer a notification. Without a response, on a terminal, choose what to answer, and how.
///
/// The first response wins: exit code 6 says that somebody else was faster.
#[derive(Debug, Args)]
pub(crate) struct Respond {
    /// Its id
    #[arg(value_parser = input::id, add = complete::open_ids())]
    id: Option<i64>,
    /// The response: the name of an option, or text; - reads stdin
    #[arg(allow_hyphen_values = true, add = complete::options())]
    response: Option<String>,
    /// The name of an option; may be repeated where several are allowed
    #[arg(
        long = "option",
        short,
        value_name = "NAME",
        conflicts_with = "response",
        requires = "id"
    )]
    options: Vec<String>,
    #[command(flatten)]
    responder: ResponderArgs,
}

impl Respond {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let responder = self.responder.name();
        let typed = match (self.response, self.options) {
            (Some(response), _) => Some(Answer::Text(input::text(response)?)),
            (None, options) if !options.is_empty() => Some(Answer::Options(options)),
            (None, _) => None,
        };
        if let (Some(id), Some(answer)) = (self.id, typed) {
            let client = app.client().await?;
            return send(app, &client, id, answer, responder).await;
        }
        if !crate::output::Output::can_prompt() {
            let id = self.id.map_or_else(|| "ID".to_owned(), |id| id.to_string());
            let next = format!("barista respond {id} RESPONSE");
            return Err(input::nobody_to_ask(
                "cannot ask which response you mean",
                &next,
            ));
        }
        let client = app.client().await?;
        match choose(app, &client, self.id).await? {
            Some((id, answer)) => send(app, &client, id, answer, responder).await,
            None => {
                app.output
                    .note("Nothing was chosen, so nothing was answered.");
                Ok(Exit::Interrupted)
            }
        }
    }
}

/// Lets the person choose a notification, unless `id` names it, and the response. `None`: they changed their mind.
async fn choose(app: &App, client: &Client, id: Option<i64>) -> Result<Option<(i64, Answer)>> {
    let notification = match id {
        Some(id) => client
            .get_notification(id)
            .await
            .map_err(|error| Failure::call(format!("cannot respond to #{id}"), &error))?,
        None => match pick(app, client).await? {
            Some(notification) => notification,
            None => return Ok(None),
        },
    };
    if outcome::is_closed(&notification) {
        return Err(closed(&notification));
    }
    Ok(picker::answer(&notification)?.map(|answer| (notification.id, answer)))
}

/// Why nobody need think about an answer any more.
fn closed(notification: &Notification) -> Failure {
    let id = notification.id;
    let by = match text::line(&notification.closed_by).as_str() {
        "" => String::new(),
        closed_by => format!(" by {closed_by}"),
    };
    let why = match &notification.response {
        Some(response) if response.is_default => {
            format!(
                "it has expired, with the default \"{}\"",
                text::line(&response.text)
            )
        }
        Some(response) => format!(
            "it was already answered \"{}\"{by}",
            text::line(&response.text)
        ),
        None => format!("it is already {}{by}", words::state(notification)),
    };
    Failure::new(Exit::Conflict, format!("cannot respond to #{id}"), why)
        .next(format!("barista show {id}"))
}

async fn pick(app: &App, client: &Client) -> Result<Option<Notification>> {
    let filter = NotificationFilter {
        states: listing::OPEN.map(i32::from).to_vec(),
        ..Default::default()
    };
    let open = listing::most_urgent(client, filter, OFFERED)
        .await?
        .notifications;
    if open.is_empty() {
        app.output.note("The inbox is empty.");
        return Err(Failure::Reported(Exit::NotFound));
    }
    picker::notification(open, &Clock::system())
}

async fn send(
    app: &App,
    client: &Client,
    id: i64,
    answer: Answer,
    responder: String,
) -> Result<Exit> {
    let (text, options) = match answer {
        Answer::Text(text) => (text, Vec::new()),
        Answer::Options(options) => (String::new(), options),
    };
    let surface = SURFACE.to_owned();
    let request = RespondNotificationRequest {
        id,
        text,
        options,
        responder,
        surface,
        ..Default::default()
    };
    let typed = (request.text.clone(), request.options.clone());
    let answered = match waiting::for_lock(app, client, client.respond_notification(request)).await
    {
        Ok(answered) => answered,
        Err(error) => return Err(refused(client, id, &typed, &error).await),
    };
    if app.output.json {
        app.output.message(&answered)?;
    } else if let Some(answer) = inbox::answer(&answered) {
        app.output.note(&format!("#{id} → {answer}"));
    }
    if !words::is_question(&answered) {
        let kind = words::kind_of_notification(&answered);
        app.output.note(&format!(
            "#{id} is no question ({kind}), so nobody asked; the response is on record."
        ));
    }
    Ok(Exit::Done)
}

/// The failure, with the command that was probably meant.
async fn refused(
    client: &Client,
    id: i64,
    typed: &(String, Vec<String>),
    error: &Error,
) -> Failure {
    let failure = Failure::call(format!("cannot respond to #{id}"), error);
    if error.reason() != ErrorReason::ResponseNotAllowed {
        return failure;
    }
    let meant = match client.get_notification(id).await {
        Ok(notification) => meant(&notification, typed),
        Err(_) => None,
    };
    match meant {
        Some(command) => failure.next(command),
        None => failure,
    }
}

/// The command for what was typed in another way than `notification` takes it: options as a list with commas, or text as an option.
fn meant(notification: &Notification, (text, options): &(String, Vec<String>)) -> Option<String> {
    let id = notification.id;
    if notification.options.is_empty() {
        let text = options.join(", ");
        return (!text.is_empty()).then(|| format!("barista respond {id} {}", shell::word(&text)));
    }
    let known = |name: &&str| notification.options.iter().any(|o| o.name == **name);
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if !notification.allow_multiple || names.len() < 2 || !names.iter().all(known) {
        return None;
    }
    let options = names
        .iter()
        .map(|name| format!(" -o {}", shell::word(name)));
    Some(format!(
        "barista respond {id}{}",
        options.collect::<String>()
    ))
}
