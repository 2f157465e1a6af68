//! Ending a daemon that is older than this client, so that one of the client's own release can take its place.
//!
//! Only a daemon that nobody needs right now is ended. Any other is reported, with what it is doing: whether its clients can spare it
//! is for a person to say.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::pb::admin::v1::admin_service_client::AdminServiceClient;
use crate::pb::admin::v1::{GetStatusRequest, GetStatusResponse, ServerStatus};
use crate::session::{MAX_REPLY_BYTES, Session};
use crate::target::Target;

/// How long a connection or a queued write of somebody else is given to go away: it may be a client that looks, as this one does, or one
/// that has gone and whose end the daemon has yet to notice.
const PASSING: Duration = Duration::from_millis(500);

/// Ends the daemon `older` if it is the one that answers and is idle; whoever answers then is the caller's next question. The caller
/// holds the start lock, so that a daemon that another client has just started is never taken for `older`.
///
/// # Errors
///
/// [`Error::ProtocolMismatch`] with the reason why it must stay, and all of [`Session::open_any`].
pub(crate) async fn retire(target: &Target, older: i32) -> Result<(), Error> {
    let patience_ends = Instant::now() + PASSING;
    let mut backoff = Backoff::polling();
    loop {
        let session = match Session::open_any(target).await {
            Ok(session) if session.info.pid == older => session,
            Ok(_) => return Ok(()),
            Err(error) if error.is_absence() => return Ok(()),
            Err(error) => return Err(error),
        };
        let pid = match process(&session) {
            Ok(pid) => pid,
            Err(reason) => return Err(session.mismatch(Some(reason))),
        };
        match activity(target, &session).await {
            Activity::Leaving => return Ok(()),
            Activity::None => return end(pid, &session),
            Activity::Passing(_) if Instant::now() < patience_ends => {}
            Activity::Passing(reason) | Activity::Lasting(reason) => {
                return Err(session.mismatch(Some(reason)));
            }
        }
        drop(session);
        sleep(backoff.pause()).await;
    }
}

/// Why a daemon stays whose process might be another one.
const UNSURE: &str = "cannot be replaced from here (its process is not known for sure)";

/// The process to end: the one that the daemon says it is, if the system says so, too. They differ where a service manager opened the
/// socket, which would open it again for the same old program, and where the daemon counts its processes in a container of its own.
fn process(session: &Session) -> Result<Pid, String> {
    let pid = session.info.pid;
    let own = i32::try_from(std::process::id()).ok();
    // 0 and below address groups of processes, and 1 the system itself.
    if pid <= 1 || Some(pid) == own || session.peer != Some(pid) {
        return Err(UNSURE.to_owned());
    }
    Pid::from_raw(pid).ok_or_else(|| UNSURE.to_owned())
}

/// Asks the daemon to end. The session is open still, so the process is the one that answered a moment ago.
fn end(pid: Pid, session: &Session) -> Result<(), Error> {
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(session.mismatch(Some(format!("cannot be ended ({error})")))),
    }
}

/// What a daemon is doing, in words that follow "the daemon is older and".
#[derive(Debug, PartialEq, Eq)]
enum Activity {
    /// Nothing: it is idle.
    None,
    /// It ends already.
    Leaving,
    /// Something that may be over in a moment.
    Passing(String),
    /// Something that somebody waits for.
    Lasting(String),
}

async fn activity(target: &Target, session: &Session) -> Activity {
    let mut stub =
        AdminServiceClient::new(session.channel.clone()).max_decoding_message_size(MAX_REPLY_BYTES);
    match timeout(target.connect_timeout, stub.get_status(GetStatusRequest {})).await {
        Ok(Ok(reply)) => activity_of(reply.into_inner()),
        Ok(Err(status)) if left(target, &status) => Activity::Leaving,
        // A daemon that does not know the call, or cannot answer it, may be busy for all one knows.
        Ok(Err(_)) | Err(_) => unknown(),
    }
}

fn left(target: &Target, status: &Status) -> bool {
    Error::from_status(status, &target.socket(), target.connect_timeout).is_absence()
}

fn unknown() -> Activity {
    Activity::Lasting("cannot say whether it is idle".to_owned())
}

fn activity_of(reply: GetStatusResponse) -> Activity {
    let Some(status) = reply.status else {
        return unknown();
    };
    if status.shutting_down {
        return Activity::Leaving;
    }
    let ServerStatus {
        watchers,
        waiters,
        connections,
        ..
    } = status;
    let queued: i64 = status
        .databases
        .iter()
        .map(|database| database.queue_depth.max(0))
        .fold(0, i64::saturating_add);
    let others = connections.saturating_sub(1);
    let words = format!(
        "busy (watching: {watchers}, waiting: {waiters}, connected: {others}, queued writes: {queued})"
    );
    if watchers > 0 || waiters > 0 {
        Activity::Lasting(words)
    } else if others > 0 || queued > 0 {
        Activity::Passing(words)
    } else {
        Activity::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::admin::v1::DatabaseStatus;

    fn seen(status: ServerStatus) -> Activity {
        activity_of(GetStatusResponse {
            status: Some(status),
        })
    }

    /// A daemon that only we are connected to.
    fn alone() -> ServerStatus {
        ServerStatus {
            connections: 1,
            open_notifications: 7,
            ..ServerStatus::default()
        }
    }

    #[test]
    fn open_questions_keep_no_daemon_but_those_who_wait_do() {
        assert_eq!(seen(alone()), Activity::None);
        for status in [
            ServerStatus {
                watchers: 1,
                ..alone()
            },
            ServerStatus {
                waiters: 1,
                ..alone()
            },
        ] {
            assert!(matches!(seen(status), Activity::Lasting(_)));
        }
    }

    #[test]
    fn connections_and_queued_writes_of_others_may_pass() {
        let connected = ServerStatus {
            connections: 3,
            ..alone()
        };
        let words = "busy (watching: 0, waiting: 0, connected: 2, queued writes: 0)";
        assert_eq!(seen(connected), Activity::Passing(words.to_owned()));
        let database = DatabaseStatus {
            queue_depth: 4,
            ..DatabaseStatus::default()
        };
        let writing = ServerStatus {
            databases: vec![DatabaseStatus::default(), database],
            ..alone()
        };
        assert!(
            matches!(seen(writing), Activity::Passing(words) if words.contains("queued writes: 4"))
        );
    }

    #[test]
    fn a_daemon_that_ends_already_is_not_asked_again() {
        let status = ServerStatus {
            shutting_down: true,
            watchers: 1,
            ..alone()
        };
        assert_eq!(seen(status), Activity::Leaving);
    }

    #[test]
    fn a_daemon_that_gives_no_status_counts_as_busy() {
        let activity = activity_of(GetStatusResponse { status: None });
        assert!(matches!(activity, Activity::Lasting(_)));
    }
}
