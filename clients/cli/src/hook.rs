//! The command that `watch --exec` runs for each change.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use barista_client::pb::notification::v1::{Notification, NotificationEvent};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::App;
use crate::failure::{Failure, Result};
use crate::{json, span, words};

/// The most of one value in a command's environment, in bytes. The systems limit a variable (128 KiB on Linux) and the whole
/// (1 MiB on macOS); past either limit no command starts. The JSON on stdin has everything.
const MAX_VALUE: usize = 32 << 10;

/// What to run for each change.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// For `sh -c`.
    pub(crate) command: String,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl Hook {
    /// Runs the command for `event` to its end, with `variables` beside the event's own. The inner error says why the command failed.
    pub(crate) async fn run(
        &self,
        event: &NotificationEvent,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Result<(), String>> {
        let input = format!("{}\n", json::value(event)?);
        let mut command = self.command(event);
        command.envs(variables);
        Ok(execute(command, input, self.limit).await)
    }

    fn command(&self, event: &NotificationEvent) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(&self.command)
            .envs(environment(event));
        command
    }
}

/// The commands that run now.
#[derive(Debug)]
pub(crate) struct Hooks {
    hook: Hook,
    parallel: usize,
    /// Each gives its change's sequence when it has ended.
    running: JoinSet<i64>,
    /// The sequences of the changes whose commands have not ended.
    unfinished: BTreeSet<i64>,
}

impl Hooks {
    /// Runs `parallel` commands at once at most; one at least.
    pub(crate) fn new(hook: Hook, parallel: usize) -> Self {
        Self {
            hook,
            parallel,
            running: JoinSet::new(),
            unfinished: BTreeSet::new(),
        }
    }

    /// Starts the command for `event`, and returns when there is room for the next: with room for one, when it has ended. A command that
    /// fails is told on stderr and stops nothing.
    pub(crate) async fn run(&mut self, app: &App, event: &NotificationEvent) -> Result<()> {
        let input = format!("{}\n", json::value(event)?);
        let command = self.hook.command(event);
        let (sequence, limit, output) = (event.sequence, self.hook.limit, app.output.clone());
        self.unfinished.insert(sequence);
        self.running.spawn(async move {
            if let Err(why) = execute(command, input, limit).await {
                output.complain(&format!(
                    "barista: the command for change {sequence} failed: {why}"
                ));
            }
            sequence
        });
        while self.running.len() >= self.parallel {
            let Some(ended) = self.running.join_next().await else {
                break;
            };
            let ended = ended.map_err(|error| Failure::unexpected("cannot run commands", error))?;
            self.unfinished.remove(&ended);
        }
        Ok(())
    }

    /// Kills the commands that still run. Returns the first change whose command had not ended; `None` where all had.
    pub(crate) async fn end(mut self) -> Option<i64> {
        while let Some(Ok(ended)) = self.running.try_join_next() {
            self.unfinished.remove(&ended);
        }
        self.running.shutdown().await;
        self.unfinished.first().copied()
    }
}

/// Runs one command with `input` on its stdin; says why it failed.
async fn execute(mut command: Command, input: String, limit: Duration) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start sh: {error}"))?;
    let group = Group::of(&child);
    let stdin = child.stdin.take();
    let ended = timeout(limit, async {
        // The command may read all, some or none of its input, before or after it writes: feeding it must not hold up the wait.
        tokio::select! {
            status = child.wait() => status,
            never = feed(stdin, input) => match never {},
        }
    });
    match ended.await {
        Ok(Ok(status)) if status.success() => {
            group.forget();
            Ok(())
        }
        Ok(Ok(status)) => {
            group.forget();
            Err(status.to_string())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => {
            drop(group);
            let _reaped = child.wait().await;
            Err(format!("it took longer than {}", span::long(limit)))
        }
    }
}

/// Writes `input`, closes the pipe, and never returns. A command that does not read it is no failure.
async fn feed(stdin: Option<ChildStdin>, input: String) -> Infallible {
    if let Some(mut stdin) = stdin {
        let _unread = stdin.write_all(input.as_bytes()).await;
    }
    pending().await
}

/// A command with all processes it started. They are killed when this is dropped, as when the watch ends.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    /// Leaves alone what the command left running in the background.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The fields of a change as variables.
fn environment(event: &NotificationEvent) -> Vec<(&'static str, String)> {
    let nothing = Notification::default();
    let notification = event.notification.as_ref().unwrap_or(&nothing);
    let response = notification.response.as_ref();
    let response_text = response.map_or("", |response| response.text.as_str());
    let responder = response.map_or("", |response| response.responder.as_str());
    vec![
        ("BARISTA_SEQUENCE", event.sequence.to_string()),
        ("BARISTA_KIND", words::change(event.kind()).to_owned()),
        ("BARISTA_ID", notification.id.to_string()),
        (
            "BARISTA_TYPE",
            variable(&words::kind_of_notification(notification)),
        ),
        ("BARISTA_PRIORITY", variable(&words::priority(notification))),
        ("BARISTA_STATE", variable(&words::state(notification))),
        ("BARISTA_TITLE", variable(&notification.title)),
        ("BARISTA_MESSAGE", variable(&notification.message)),
        ("BARISTA_AGENT", variable(&notification.agent)),
        ("BARISTA_SESSION", variable(&notification.session)),
        ("BARISTA_PROJECT", variable(&notification.project)),
        ("BARISTA_RESPONSE", variable(response_text)),
        ("BARISTA_RESPONDER", variable(responder)),
    ]
}

/// The value as far as an environment can hold it: without NUL, and not too long.
fn variable(value: &str) -> String {
    let mut value = value.replace('\0', "");
    value.truncate(value.floor_char_boundary(MAX_VALUE));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> NotificationEvent {
        NotificationEvent {
            sequence: 41,
            notification: Some(Notification {
                id: 12,
                title: "Deploy\0?".to_owned(),
                message: message.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn sh(script: &str, event: &NotificationEvent) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).envs(environment(event));
        command
    }

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_value_fits_the_environment() {
        assert_eq!(variable("a\0b"), "ab");
        assert_eq!(variable(&"x".repeat(MAX_VALUE + 1)).len(), MAX_VALUE);
        let cut = variable(&"ä".repeat(MAX_VALUE));
        assert!(cut.len() <= MAX_VALUE && cut.ends_with('ä'));
    }

    #[tokio::test]
    async fn a_command_sees_the_fields_and_the_json() {
        let check = r#"test "$BARISTA_ID $BARISTA_SEQUENCE $BARISTA_TITLE" = "12 41 Deploy?" && grep -q hello"#;
        let result = execute(sh(check, &event("")), "hello\n".to_owned(), LIMIT).await;
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn values_of_any_size_start_a_command_that_reads_nothing() {
        let event = event(&"m".repeat(4 << 20));
        let result = execute(sh("exit 0", &event), "j".repeat(4 << 20), LIMIT).await;
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_status() {
        let result = execute(sh("exit 3", &event("")), String::new(), LIMIT).await;
        assert!(result.is_err_and(|why| why.contains('3')));
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_ends_with_all_it_started() {
        let endless = sh("cat /dev/zero | cat >/dev/null", &event(""));
        let result = execute(endless, String::new(), Duration::from_millis(50)).await;
        assert!(result.is_err_and(|why| why.contains("longer than")));
    }
}
