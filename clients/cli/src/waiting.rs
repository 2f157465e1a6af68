//! What a command that waits for a response tells meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barista_client::pb::admin::v1::{ServerStatus, WalLockKind};
use barista_client::pb::error::v1::ErrorReason;
use barista_client::pb::notification::v1::Notification;
use barista_client::{Client, Error, WaitNotice};
use tokio::time::timeout;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::{render, shell, text, words};

/// Says what is waited for, and how to bring it about. Nobody is asked by a notice, so its wait may take for ever.
pub(crate) fn announcement(notification: &Notification) -> String {
    let id = notification.id;
    if !words::is_question(notification) {
        return format!(
            "Waiting until #{id} is closed: it is no question, so nobody is asked for a response. Close it with: barista dismiss {id}"
        );
    }
    let answer = notification.options.first().map_or_else(
        || "TEXT".to_owned(),
        |option| shell::word(&text::line(&option.name)),
    );
    format!("Waiting for a response to #{id}. Answer with: barista respond {id} {answer}")
}

/// Why the wait for a notification that was there has failed.
pub(crate) fn failure(id: i64, error: &Error) -> Failure {
    let what = format!("cannot wait for #{id}");
    if error.reason() != ErrorReason::NotificationNotFound {
        return Failure::call(what, error);
    }
    let why = "somebody deleted it from the database, so no response can come any more";
    Failure::new(Exit::NotFound, what, why)
        .next("barista ask asks again, if it still matters".to_owned())
}

/// How long a write may take before whoever waits is told what for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for `write`, and says who keeps the database locked where it takes long because of that.
pub(crate) async fn for_lock<T>(app: &App, client: &Client, write: impl Future<Output = T>) -> T {
    let mut write = pin!(write);
    if let Ok(written) = timeout(PATIENCE, &mut write).await {
        return written;
    }
    let explained = async {
        if let Ok(status) = client.get_status().await
            && let Some(holder) = foreign_writer(&status)
        {
            app.output.note(&format!(
                "Waiting for the database, which {holder} keeps locked."
            ));
        }
        std::future::pending().await
    };
    tokio::select! {
        written = write => written,
        never = explained => never,
    }
}

/// Who else holds the write lock of a database.
fn foreign_writer(status: &ServerStatus) -> Option<String> {
    let locks = status
        .databases
        .iter()
        .flat_map(|database| &database.wal_locks);
    let mut others = locks.filter(|lock| !lock.is_daemon && lock.kind() == WalLockKind::Write);
    others.next().map(render::status::holder)
}

/// Tells about a daemon that is stopped during waits, once for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    output: Output,
    stopped: Arc<AtomicBool>,
}

impl Teller {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            output: output.clone(),
            stopped: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(crate) fn tell(&self, notice: WaitNotice) {
        let stopped = notice == WaitNotice::Stopped;
        if self.stopped.swap(stopped, Ordering::Relaxed) == stopped {
            return;
        }
        self.output.note(if stopped {
            "The daemon was stopped. Waiting until it runs again; start it with: barista daemon start"
        } else {
            "Connected again."
        });
    }
}

#[cfg(test)]
mod tests {
    use barista_client::pb::notification::v1::{NotificationType, Option as Choice};

    use super::*;

    fn question(options: &[&str]) -> Notification {
        let choice = |name: &&str| Choice {
            name: (*name).to_owned(),
            ..Default::default()
        };
        Notification {
            id: 12,
            r#type: NotificationType::Question.into(),
            options: options.iter().map(choice).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_hint_can_be_pasted_into_a_shell() {
        assert_eq!(
            announcement(&question(&["approve"])),
            "Waiting for a response to #12. Answer with: barista respond 12 approve"
        );
        assert!(announcement(&question(&["don't; rm"])).ends_with(r"12 'don'\''t; rm'"));
        assert!(announcement(&question(&[])).ends_with("respond 12 TEXT"));
    }

    #[test]
    fn a_notice_asks_nobody() {
        let notice = Notification {
            r#type: NotificationType::Info.into(),
            ..question(&[])
        };
        let said = announcement(&notice);
        assert!(
            said.contains("no question") && said.ends_with("barista dismiss 12"),
            "{said}"
        );
    }
}
