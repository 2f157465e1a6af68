//! `barista run`: runs a command, then tells how it ended.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationType, Priority};
use clap::Args;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::identity::{self, AgentArgs, SURFACE};
use crate::{span, text, words};

/// The most of a command line that a title shows, in columns.
const TITLE_COLUMNS: usize = 100;

/// Run a command, then tell how it ended and how long it took.
///
/// Passes on the command's exit status: 128 plus the signal's number when a signal ended it.
#[derive(Debug, Args)]
#[command(after_help = "Example: barista run -- cargo test --all")]
pub(crate) struct Run {
    /// What it is about [default: the command]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How urgent the news is
    #[arg(long, short, default_value = "normal", value_parser = words::parser(words::PRIORITIES))]
    priority: Priority,
    /// A label; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Run {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        if self
            .title
            .as_deref()
            .is_some_and(|title| title.trim().is_empty())
        {
            let failure = Failure::usage("cannot run the command", "--title: must not be empty");
            return Err(failure.next("leave it out, and the command is the title".to_owned()));
        }
        let line = command_line(&self.command);
        let began = Instant::now();
        let status = match execute(&self.command).await {
            Ok(status) => status,
            Err(error) => return Err(cannot_run(&line, &error)),
        };
        let end = End {
            status,
            took: began.elapsed(),
        };
        if let Err(failure) = self.tell(app, &line, &end).await {
            // The command's own status matters more to a script than that nobody could be told.
            if let Some(report) = failure.report() {
                app.output.complain(&report);
            }
        }
        Ok(Exit::Command(end.code()))
    }

    async fn tell(self, app: &App, line: &str, end: &End) -> Result<()> {
        let agent = self.agent.resolve(&identity::system);
        let what = self
            .title
            .unwrap_or_else(|| text::fit(&text::line(line), TITLE_COLUMNS));
        let request = CreateNotificationRequest {
            r#type: end.kind().into(),
            priority: self.priority.into(),
            title: format!("{what} {}", end.words()),
            message: format!("$ {line}\n{} after {}", end.words(), span::long(end.took)),
            context: end.context(&self.command).to_string(),
            agent: agent.agent,
            session: agent.session,
            project: agent.project,
            tags: self.tags,
            surface: SURFACE.to_owned(),
            ..Default::default()
        };
        let client = app.client().await?;
        client
            .create_notification(request)
            .await
            .map_err(|error| Failure::call("the command has ended, but cannot tell so", &error))?;
        Ok(())
    }
}

/// How a command ended.
struct End {
    status: ExitStatus,
    took: Duration,
}

impl End {
    /// As a shell reports it.
    fn code(&self) -> u8 {
        let signal = self.status.signal().map(|signal| 128 + signal);
        self.status
            .code()
            .or(signal)
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX)
    }

    fn kind(&self) -> NotificationType {
        if self.status.success() {
            NotificationType::Completion
        } else {
            NotificationType::Error
        }
    }

    fn words(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => "succeeded".to_owned(),
            (Some(code), _) => format!("failed with status {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or(0)),
        }
    }

    fn context(&self, command: &[OsString]) -> serde_json::Value {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        let directory = std::env::current_dir()
            .ok()
            .map(|path| path.display().to_string());
        serde_json::json!({
            "command": words,
            "directory": directory,
            "exitStatus": self.status.code(),
            "signal": self.status.signal(),
            "durationMs": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// The command as one line.
fn command_line(command: &[OsString]) -> String {
    command
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs the command on this process's own stdin, stdout and stderr until it has ended.
async fn execute(command: &[OsString]) -> io::Result<ExitStatus> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    // Ctrl-C reaches the command directly, as it belongs to the same terminal; this process only has to outlive it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = Command::new(program).args(arguments).spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(&child),
        }
    }
}

/// Passes SIGTERM on to the command; it may have ended just now, so an error means nothing.
fn pass_on(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// As shells do: 127 where there is no such command, 126 where it cannot be executed.
fn cannot_run(line: &str, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    Failure::io(format!("cannot run {}", text::line(line)), error).with(Exit::Command(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(wait_status: i32) -> End {
        End {
            status: ExitStatus::from_raw(wait_status),
            took: Duration::from_millis(1_250),
        }
    }

    #[test]
    fn the_status_is_passed_on_as_a_shell_would() {
        assert_eq!(end(0).code(), 0);
        assert_eq!(end(3 << 8).code(), 3);
        assert_eq!(end(255 << 8).code(), 255);
        assert_eq!(end(15).code(), 143);
    }

    #[test]
    fn the_news_says_how_it_ended() {
        assert_eq!(end(0).words(), "succeeded");
        assert_eq!(end(0).kind(), NotificationType::Completion);
        assert_eq!(end(3 << 8).words(), "failed with status 3");
        assert_eq!(end(9).words(), "was ended by signal 9");
        assert_eq!(end(9).kind(), NotificationType::Error);
        let context = end(3 << 8).context(&["false".into()]);
        assert_eq!(context["exitStatus"], 3);
        assert_eq!(context["durationMs"], 1_250);
        assert_eq!(context["command"][0], "false");
    }

    #[tokio::test]
    async fn a_command_that_does_not_exist_is_told_apart() {
        let error = execute(&["/no/such/command".into()])
            .await
            .expect_err("no such command");
        assert_eq!(cannot_run("x", &error).exit().code(), 127);
        let error = execute(&["/".into()]).await.expect_err("a directory");
        assert_eq!(cannot_run("x", &error).exit().code(), 126);
    }
}
