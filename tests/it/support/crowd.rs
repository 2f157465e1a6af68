//! Those who must notice nothing of a crash: writers, watchers, and agents that wait for an answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use barista_client::pb::consumer::v1::create_consumer_request::Start;
use barista_client::pb::consumer::v1::{ConsumerPosition, CreateConsumerRequest};
use barista_client::pb::notification::v1::{
    ChangeKind, CreateNotificationRequest, Notification, NotificationState,
    RespondNotificationRequest, StartAt, WatchNotificationsRequest,
};
use barista_client::{Client, ConsumerWatch, Error, ErrorReason, WaitOutcome, WatchItem};
use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Recorder, TestDaemon, answer, every, from, question, soon, uuid};

const WRITERS: usize = 4;
const WAITING: i32 = 3;

/// What was acknowledged, in a file outside the daemon's directory: a line for each write.
struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
    count: watch::Sender<usize>,
}

impl Ledger {
    fn new(directory: &Path) -> Self {
        let path = directory.join("ledger");
        Self {
            file: Mutex::new(File::create(&path).expect("a ledger")),
            path,
            count: watch::Sender::new(0),
        }
    }

    /// Writes down that `notification` was acknowledged as it is.
    fn record(&self, notification: &Notification) {
        let line = format!(
            "{}\t{}\t{}\t{}\n",
            notification.sequence,
            notification.id,
            notification.title,
            response(notification),
        );
        let mut file = self.file.lock().expect("no panic");
        file.write_all(line.as_bytes()).expect("a line");
        self.count.send_modify(|count| *count += 1);
    }

    /// Waits until `more` lines have been added.
    async fn grow(&self, more: usize) {
        let wanted = *self.count.borrow() + more;
        let mut count = self.count.subscribe();
        soon(count.wait_for(|count| *count >= wanted))
            .await
            .expect("the ledger exists");
    }

    /// The last that was acknowledged of each title: the id and the response. A title with two ids was stored twice.
    fn read(&self) -> BTreeMap<String, (i64, String)> {
        let text = std::fs::read_to_string(&self.path).expect("the ledger");
        let mut found: BTreeMap<String, (i64, String)> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let [_, id, title, response] = words[..] else {
                panic!("not a line of the ledger: {line}");
            };
            let entry = (id.parse().expect("an id"), response.to_owned());
            let before = found.insert(title.to_owned(), entry);
            assert!(before.is_none_or(|(before, _)| before.to_string() == id));
        }
        found
    }
}

fn response(notification: &Notification) -> String {
    let response = notification.response.as_ref();
    response.map_or(String::new(), |response| response.text.clone())
}

/// Repeats `call`, with the request id that it has, until it is acknowledged. The daemon may be away for longer than the library tries.
async fn insist<T, F>(mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match soon(call()).await {
            Ok(value) => return value,
            Err(error) => assert!(
                error.is_unreachable(),
                "{error}: only the daemon's absence is an excuse"
            ),
        }
    }
}

/// Asks for two notifications at once, of which the second repeats the request id of `used` for something else: neither may be stored, and whoever
/// writes at the same time must not suffer from it.
async fn spoil(client: &Client, used: &CreateNotificationRequest) {
    let other = CreateNotificationRequest {
        title: "never stored".to_owned(),
        ..used.clone()
    };
    let batch = vec![question("never stored either"), other];
    loop {
        let refused = soon(client.batch_create_notifications(batch.clone())).await;
        let error = refused.expect_err("the request id was used before");
        if error.reason() == ErrorReason::RequestIdReused {
            return;
        }
        assert!(error.is_unreachable(), "{error}");
    }
}

/// Asks questions and answers every other one, until `stop`.
async fn write(client: Client, name: usize, ledger: Arc<Ledger>, stop: CancellationToken) {
    for round in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let request = CreateNotificationRequest {
            request_id: uuid(),
            ..question(&format!("writer {name} round {round}"))
        };
        let created = insist(|| client.create_notification(request.clone())).await;
        ledger.record(&created);
        if round % 5 == 0 {
            spoil(&client, &request).await;
        }
        if round % 2 == 0 {
            let request = RespondNotificationRequest {
                request_id: uuid(),
                ..answer(created.id, &format!("answer {round}"))
            };
            let answered = insist(|| client.respond_notification(request.clone())).await;
            ledger.record(&answered);
        }
    }
}

/// Reads what `recorder` is told until `stop`.
async fn follow(mut recorder: Recorder, stop: CancellationToken) -> Recorder {
    loop {
        tokio::select! {
            () = stop.cancelled() => return recorder,
            _ = recorder.next() => {}
        }
    }
}

/// The name of the durable watcher.
const CONSUMER: &str = "crowd";

/// A durable watcher that acknowledges each change.
struct Dealer {
    watch: ConsumerWatch,
    /// The last change that it was told.
    newest: i64,
    acknowledged: i64,
}

impl Dealer {
    async fn begin(daemon: &TestDaemon) -> Self {
        let request = CreateConsumerRequest {
            name: CONSUMER.to_owned(),
            start: Some(Start::Position(ConsumerPosition::Oldest.into())),
            ..CreateConsumerRequest::default()
        };
        let created = daemon.client().create_consumer(request);
        soon(created).await.expect("a consumer");
        let request = WatchNotificationsRequest {
            consumer: CONSUMER.to_owned(),
            ..WatchNotificationsRequest::default()
        };
        Self {
            watch: daemon.client().watch_consumer(request),
            newest: 0,
            acknowledged: 0,
        }
    }

    /// Takes the next item. No change may be left out, and none may come again that was acknowledged.
    async fn step(&mut self) {
        let Some(item) = self.watch.next().await.expect("it goes on") else {
            panic!("a watch ends with an error");
        };
        let WatchItem::Event(event) = item else {
            return;
        };
        let sequence = event.sequence;
        assert!(sequence > self.acknowledged, "{sequence} was acknowledged");
        assert!(sequence <= self.newest + 1, "{sequence} skips a change");
        self.newest = self.newest.max(sequence);
        self.watch.done(sequence);
        if sequence % 3 == 0 {
            soon(self.watch.acknowledge(sequence))
                .await
                .expect("it outlasts the daemon");
            self.acknowledged = sequence;
        }
    }

    /// Deals with what comes until `stop`.
    async fn deal(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.step() => {}
            }
        }
        self
    }

    /// Deals with everything up to `last`, and checks that the daemon keeps it.
    async fn end(mut self, daemon: &TestDaemon, last: i64) {
        while self.newest < last {
            Box::pin(soon(self.step())).await;
        }
        soon(self.watch.flush()).await.expect("durable");
        let kept = soon(daemon.client().get_consumer(CONSUMER)).await;
        let place = kept.expect("a consumer").acknowledged.expect("a place");
        assert!(place.sequence >= last, "{place:?} after {last}");
    }
}

/// Writers, watchers and waiting agents around a daemon.
pub(crate) struct Crowd {
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    writers: Vec<JoinHandle<()>>,
    watchers: Vec<JoinHandle<Recorder>>,
    dealer: JoinHandle<Dealer>,
    waiting: Vec<(i64, JoinHandle<Result<WaitOutcome, Error>>)>,
}

impl Crowd {
    /// Lets the watchers begin, and the agents ask and wait. Nobody writes yet.
    pub(crate) async fn gather(daemon: &TestDaemon) -> Self {
        let stop = CancellationToken::new();
        let answers = WatchNotificationsRequest {
            kinds: vec![ChangeKind::Responded.into()],
            ..from(StartAt::Now)
        };
        let mut watchers = Vec::new();
        for request in [from(StartAt::Now), answers, from(StartAt::Oldest)] {
            let recorder = daemon.follow(request).await;
            watchers.push(tokio::spawn(follow(recorder, stop.clone())));
        }
        let dealer = tokio::spawn(Dealer::begin(daemon).await.deal(stop.clone()));
        let mut waiting = Vec::new();
        for number in 0..WAITING {
            let id = daemon.ask(&format!("agent {number}")).await.id;
            let asker = daemon.connect().await;
            let wait = async move { asker.wait(id, None).await };
            waiting.push((id, tokio::spawn(wait)));
        }
        let served = || daemon.client().get_status();
        soon(async { while served().await.expect("a status").waiters < WAITING {} }).await;
        Self {
            ledger: Arc::new(Ledger::new(daemon.home().path())),
            stop,
            writers: Vec::new(),
            watchers,
            dealer,
            waiting,
        }
    }

    /// Lets the writers begin.
    pub(crate) fn write(&mut self, daemon: &TestDaemon) {
        for name in 0..WRITERS {
            let client = daemon.client().clone();
            let (ledger, stop) = (Arc::clone(&self.ledger), self.stop.clone());
            self.writers
                .push(tokio::spawn(write(client, name, ledger, stop)));
        }
    }

    /// Waits until `more` writes have been acknowledged.
    pub(crate) async fn grow(&mut self, more: u64) {
        let more = usize::try_from(more).expect("a small number");
        let writers = self.writers.iter_mut();
        tokio::select! {
            () = self.ledger.grow(more) => {}
            (ended, ..) = select_all(writers) => panic!("a writer has ended: {ended:?}"),
        }
    }

    /// Lets one of the agents have its answer, if one still waits.
    pub(crate) async fn answer_one(&mut self, daemon: &TestDaemon) {
        let Some((id, waiting)) = self.waiting.pop() else {
            return;
        };
        let request = RespondNotificationRequest {
            request_id: uuid(),
            ..answer(id, "go on")
        };
        let answered = insist(|| daemon.client().respond_notification(request.clone())).await;
        self.ledger.record(&answered);
        let outcome = soon(waiting).await.expect("a task").expect("waited");
        assert_eq!(outcome, WaitOutcome::Ended(answered));
    }

    /// Ends everybody's work, and checks that what was acknowledged is there once, and nothing else. What the watchers were told is
    /// checked when the daemon has ended.
    pub(crate) async fn disperse(mut self, daemon: &TestDaemon) {
        self.grow(WRITERS as u64).await;
        self.stop.cancel();
        for writer in self.writers.drain(..) {
            soon(writer).await.expect("the writer ends");
        }
        while !self.waiting.is_empty() {
            self.answer_one(daemon).await;
        }
        let stored = every(daemon.client()).await;
        let acknowledged = self.ledger.read();
        let found: BTreeMap<String, (i64, String)> = stored
            .iter()
            .map(|n| (n.title.clone(), (n.id, response(n))))
            .collect();
        // Every title is there once: a map alone would hide doubles.
        assert_eq!(stored.len(), found.len(), "something is stored twice");
        for (title, entry) in &acknowledged {
            assert_eq!(found.get(title), Some(entry), "{title} was acknowledged");
        }
        assert_eq!(found.len(), acknowledged.len(), "nobody asked for the rest");
        let is_answered = |n: &&Notification| n.state() == NotificationState::Responded;
        let answered = stored.iter().filter(is_answered).count();
        let last = stored.iter().map(|n| n.sequence).max().expect("a write");
        for watcher in self.watchers.drain(..) {
            let mut watcher = soon(watcher).await.expect("the watcher follows");
            watcher.through(last).await;
        }
        let dealer = soon(self.dealer).await.expect("it deals with each change");
        Box::pin(dealer.end(daemon, last)).await;
        let told = daemon.watch(StartAt::Oldest).await.through(last).await;
        assert_eq!(told.len(), stored.len() + answered, "each change once");
        daemon.watch(StartAt::Snapshot).await.snapshot().await;
    }
}
