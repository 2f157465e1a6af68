//! A daemon for one test.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;

use barista_client::pb::notification::v1::{Notification, StartAt, WatchNotificationsRequest};
use barista_client::{Autostart, Client, ConnectOptions, Error, SessionKey};
use rustix::process::Signal;

use super::journal::Journal;
use super::recorder::SharedHistory;
use super::{Foreign, Home, Process, Raw, Recorder, answer, from, question, soon};

/// The real daemon in a process of its own, on a temporary data directory, and a client of it.
///
/// At the end of every test it is stopped in an orderly way, and must have left a sound database with a journal without gaps. Then all that
/// its watchers were told is checked against that journal.
pub(crate) struct TestDaemon {
    // Dropped in this order: the client before the process, the directory last.
    client: Client,
    process: Process,
    /// The first sequence that the journal must still have at the end.
    oldest: i64,
    /// What each watcher was told.
    histories: Mutex<Vec<SharedHistory>>,
    home: Home,
}

impl TestDaemon {
    /// Starts a daemon; it answers calls when this returns.
    pub(crate) async fn start() -> Self {
        Self::start_in(Home::new()).await
    }

    /// Starts a daemon with `config` as its `barista.toml`.
    pub(crate) async fn configured(config: &str) -> Self {
        Self::start_in(Home::configured(config)).await
    }

    /// Starts a daemon in a directory that was prepared.
    pub(crate) async fn start_in(home: Home) -> Self {
        let process = home.spawn();
        ready(&process).await;
        let client = connect(home.data_dir()).await;
        Self {
            client,
            process,
            oldest: 1,
            histories: Mutex::default(),
            home,
        }
    }

    /// A client, which outlasts restarts.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Another client, with a connection of its own.
    pub(crate) async fn connect(&self) -> Client {
        connect(self.home.data_dir()).await
    }

    /// Where agents connect.
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.home.data_dir().join("run/agent/agent.sock")
    }

    /// A client that has only the agent socket, with the secret `key`.
    pub(crate) async fn agent(&self, key: &str) -> Client {
        let options = ConnectOptions::new()
            .socket(self.agent_socket())
            .session_key(SessionKey::Given(key.to_owned()))
            .connect_timeout(super::HANG)
            .call_timeout(super::HANG);
        soon(Client::connect(options)).await.expect("connected")
    }

    /// A client whose calls give up after `limit`.
    pub(crate) async fn hasty(&self, limit: Duration) -> Client {
        let options = options(self.home.data_dir()).call_timeout(limit);
        soon(Client::connect(options)).await.expect("connected")
    }

    /// The generated stubs, for what the client library would not do.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(&self.client.socket()).await
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Direct tooling: a connection to the live database from this process.
    pub(crate) fn foreign(&self) -> Foreign {
        self.home.foreign()
    }

    /// Asks a question to which any text is an answer.
    pub(crate) async fn ask(&self, title: &str) -> Notification {
        soon(self.client.create_notification(question(title)))
            .await
            .expect("created")
    }

    /// Answers a question.
    pub(crate) async fn respond(&self, id: i64, text: &str) -> Result<Notification, Error> {
        soon(self.client.respond_notification(answer(id, text))).await
    }

    /// The notification as it is.
    pub(crate) async fn get(&self, id: i64) -> Notification {
        soon(self.client.get_notification(id))
            .await
            .expect("it exists")
    }

    /// Follows all changes from `start_at` on, and has begun when this returns.
    pub(crate) async fn watch(&self, start_at: StartAt) -> Recorder {
        self.follow(from(start_at)).await
    }

    /// Follows as `request` says, and has begun when this returns.
    pub(crate) async fn follow(&self, request: WatchNotificationsRequest) -> Recorder {
        let recorder = Recorder::start(&self.client, request).await;
        let mut histories = self.histories.lock().expect("no panic");
        histories.push(recorder.history());
        recorder
    }

    /// Follows as `request` says, which is refused.
    pub(crate) async fn follow_refused(&self, request: WatchNotificationsRequest) -> Error {
        let mut watch = self.client.watch(request);
        soon(watch.next()).await.expect_err("refused")
    }

    /// Ends the process where it is, as a crash does.
    pub(crate) async fn kill(&self) {
        self.process.signal(Signal::KILL);
        self.process.exit().await;
    }

    /// Asks the daemon to stop, and waits until it has.
    pub(crate) async fn terminate(&self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.exit().await
    }

    /// Starts a daemon again where one has ended.
    pub(crate) async fn restart(&mut self) {
        self.process = self.home.spawn();
        ready(&self.process).await;
    }

    /// Starts a daemon again where one has ended, in another time zone.
    pub(crate) async fn restart_in_zone(&mut self, zone: &str) {
        let mut command = self.home.command();
        command.env("TZ", zone);
        self.process = Process::spawn(command, self.home.path());
        ready(&self.process).await;
    }

    /// Starts a daemon where one has ended, and kills it after `time`, be it ready or not.
    pub(crate) async fn kill_after(&mut self, time: Duration) {
        self.process = self.home.spawn();
        // Any moment is a good one: nothing is waited for here.
        tokio::time::sleep(time).await;
        self.kill().await;
    }

    /// Starts a daemon where one has ended, which will end at `point`: see [`Home::spawn_armed`].
    #[cfg(feature = "failpoints")]
    pub(crate) fn spawn_armed(&mut self, point: &str, time: u64) {
        self.process = self.home.spawn_armed(point, time);
    }

    /// Says that this test removes the changes before `sequence`; the journal must begin there at the end.
    pub(crate) fn expect_journal_from(&mut self, sequence: i64) {
        self.oldest = sequence;
    }

    /// Says that this test gives the database another epoch: what watchers were told so far cannot be checked against its journal.
    pub(crate) fn expect_another_epoch(&mut self) {
        self.histories.get_mut().expect("no panic").clear();
    }
}

/// How tests connect: a daemon is never started behind their back.
fn options(data_dir: &Path) -> ConnectOptions {
    ConnectOptions::new()
        .data_dir(data_dir.to_owned())
        .autostart(Autostart::Never)
        .connect_timeout(super::HANG)
        .call_timeout(super::HANG)
}

async fn connect(data_dir: &Path) -> Client {
    soon(Client::connect(options(data_dir)))
        .await
        .expect("connected")
}

async fn ready(process: &Process) {
    if let Err(status) = process.ready().await {
        panic!("the daemon ended with {status}: {}", process.said());
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}---", self.process.said());
            return;
        }
        self.process.signal(Signal::TERM);
        let status = self.process.exit_blocking().expect("the daemon stops");
        assert!(
            // None where the test has killed it.
            status.code().is_none_or(|code| code == 0),
            "the daemon ended with {status}: {}",
            self.process.said()
        );
        let foreign = self.home.foreign();
        foreign.check_soundness(self.oldest);
        let journal = Journal::read(&foreign);
        for history in self.histories.get_mut().expect("no panic") {
            let verdict = history.lock().check(&journal);
            verdict.unwrap_or_else(|fault| panic!("a watch broke its promise: {fault:?}"));
        }
    }
}
