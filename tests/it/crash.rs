//! The daemon's sudden end: what it acknowledged is there, once, and everybody goes on where they were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationState, StartAt};
use barista_client::{Client, WaitOutcome};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{TestDaemon, answer, every, number, question, soon, uuid};

#[tokio::test]
async fn a_killed_daemon_keeps_its_questions_waits_and_watches() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let id = daemon.ask("Deploy?").await.id;
    let asker = daemon.connect().await;
    let waiting = tokio::spawn(async move { asker.wait(id, None).await });
    until_waiting(&daemon).await;
    watch.event().await;
    daemon.kill().await;
    daemon.restart().await;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    let outcome = soon(waiting).await.expect("a task").expect("waited");
    assert_eq!(outcome, WaitOutcome::Ended(answered.clone()));
    assert_eq!(watch.event().await.notification, Some(answered));
}

/// What was acknowledged, kept outside the daemon: titles and ids.
#[derive(Default)]
struct Ledger {
    entries: Mutex<BTreeMap<String, i64>>,
    count: watch::Sender<usize>,
}

impl Ledger {
    fn record(&self, title: String, id: i64) {
        let mut entries = self.entries.lock().expect("no panic");
        let before = entries.insert(title, id);
        assert_eq!(before, None, "acknowledged twice");
        self.count.send_replace(entries.len());
    }

    /// Waits until `more` entries have been added.
    async fn grow(&self, more: usize) {
        let wanted = *self.count.borrow() + more;
        let mut count = self.count.subscribe();
        soon(count.wait_for(|count| *count >= wanted))
            .await
            .expect("the ledger exists");
    }
}

/// Creates notifications until `stop`, each until it is acknowledged.
async fn write(client: Client, name: usize, ledger: Arc<Ledger>, stop: CancellationToken) {
    for round in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let request = CreateNotificationRequest {
            request_id: uuid(),
            ..question(&format!("writer {name} round {round}"))
        };
        // The daemon may be away for longer than the library tries; the request id makes trying again safe.
        let created = loop {
            match soon(client.create_notification(request.clone())).await {
                Ok(created) => break created,
                Err(error) => assert!(
                    error.is_unreachable(),
                    "{error}: only the daemon's absence is an excuse"
                ),
            }
        };
        ledger.record(request.title, created.id);
    }
}

#[tokio::test]
async fn ten_kills_at_random_moments_lose_nothing_and_double_nothing() {
    const KILLS: usize = 10;
    const WRITERS: usize = 4;
    let mut daemon = TestDaemon::start().await;
    let mut follower = daemon.watch(StartAt::Now).await;
    let asked = daemon.ask("The question that outlives them all").await;
    let asker = daemon.connect().await;
    let waiting = tokio::spawn(async move { asker.wait(asked.id, None).await });
    let (ledger, stop) = (Arc::new(Ledger::default()), CancellationToken::new());
    let mut writers = Vec::new();
    for name in 0..WRITERS {
        let client = daemon.connect().await;
        writers.push(tokio::spawn(write(
            client,
            name,
            Arc::clone(&ledger),
            stop.clone(),
        )));
    }
    for _ in 0..KILLS {
        let more = number(60);
        ledger.grow(usize::try_from(more).expect("small")).await;
        daemon.kill().await;
        daemon.restart().await;
    }
    ledger.grow(WRITERS).await;
    stop.cancel();
    for writer in writers {
        soon(writer).await.expect("the writer ends");
    }
    daemon.respond(asked.id, "yes").await.expect("answered");
    let outcome = soon(waiting).await.expect("a task").expect("waited");
    let answered = outcome.into_notification();
    assert_eq!(answered.state(), NotificationState::Responded);

    let stored = every(daemon.client()).await;
    let acknowledged = ledger.entries.lock().expect("no panic").clone();
    let found: BTreeMap<String, i64> = stored
        .iter()
        .filter(|notification| notification.id != asked.id)
        .map(|notification| (notification.title.clone(), notification.id))
        .collect();
    // Every title is there once: a map alone would hide doubles.
    assert_eq!(stored.len(), found.len() + 1);
    assert_eq!(found, acknowledged);
    let seen = follower.through(answered.sequence).await;
    assert_eq!(
        seen.len(),
        stored.len() + 1,
        "each creation, and one answer"
    );
}

#[tokio::test]
async fn an_answer_that_was_acknowledged_survives_and_still_wins() {
    let mut daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(daemon.get(id).await, answered);
    assert!(daemon.respond(id, "no").await.is_err());
    let again = soon(daemon.client().respond_notification(answer(id, "yes"))).await;
    assert_eq!(again.expect("the same again"), answered);
}

/// Waits until the daemon serves a wait.
async fn until_waiting(daemon: &TestDaemon) {
    let status = || daemon.client().get_status();
    soon(async { while status().await.expect("a status").waiters == 0 {} }).await;
}
