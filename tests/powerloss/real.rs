//! The daemon's own store, and work for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barista::data_dir::{self, DataDir};
use barista::domain::clock::{Clock, Timestamp};
use barista::domain::error::Error;
use barista::domain::notification::draft::Draft;
use barista::domain::notification::response::Actor;
use barista::domain::notification::store::{Call, NotificationStore, Respond};
use barista::domain::notification::{Notification, NotificationType, Priority};
use barista::store::sqlite::{NOTIFICATIONS_FILE, OpenError, Options, SqliteStore, Surroundings};
use barista_locate::{Located, Source};

use crate::ledger::Promise;
use crate::recording::Recording;

pub(crate) use barista::store::sqlite::NOTIFICATIONS_FILE as DATABASE;

/// Few enough that every history has several checkpoints, and logs that begin anew.
const CHECKPOINT_FRAMES: i64 = 30;
const TRUNCATE_FRAMES: i64 = 90;
/// Writers that share commits.
const WRITERS: usize = 4;

pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_760_000_000_000_000).expect("in range")
    }
}

pub(crate) fn call() -> Call {
    Call {
        now: Still.now(),
        deadline: None,
    }
}

/// Opens the store in `directory`.
pub(crate) fn open(directory: &Path) -> Result<SqliteStore, OpenError> {
    let located = Located {
        path: directory.to_owned(),
        source: Source::Flag,
    };
    let data_dir = DataDir::open(&located, data_dir::Options::default()).expect("a directory");
    let surroundings = Surroundings {
        disk_available: Box::new(|| Ok(u64::MAX)),
        wal_locks: Box::new(Vec::new),
    };
    SqliteStore::open(Options {
        path: data_dir.database(NOTIFICATIONS_FILE).expect("a path"),
        data_dir,
        clock: Arc::new(Still),
        surroundings: Arc::new(surroundings),
        queue_capacity: 256,
        batch_writes: 64,
        batch_bytes: 1024 * 1024,
        readers: 2,
        cache_kib: 1024,
        busy_timeout: Duration::from_secs(30),
        busy_attempts: 3,
        followed_poll: Duration::from_millis(5),
        idle_poll: Duration::from_millis(250),
        look_interval: Duration::from_secs(2),
        checkpoint_frames: CHECKPOINT_FRAMES,
        truncate_frames: TRUNCATE_FRAMES,
        min_free_disk: 0,
    })
}

/// Creates a question whose text has `size` bytes.
pub(crate) async fn create(
    store: &dyn NotificationStore,
    title: &str,
    size: usize,
) -> Result<Notification, String> {
    let created = create_as(store, uuid::Uuid::new_v4(), title, size).await;
    created.map_err(|error| error.to_string())
}

/// Creates a question under a request id, so that it may be repeated.
pub(crate) async fn create_as(
    store: &dyn NotificationStore,
    request_id: uuid::Uuid,
    title: &str,
    size: usize,
) -> Result<Notification, Error> {
    let draft = Draft {
        request_id: Some(request_id),
        kind: NotificationType::Question,
        priority: Priority::Normal,
        title: title.to_owned(),
        message: "m".repeat(size),
        context: String::new(),
        agent: "agent".to_owned(),
        session: String::new(),
        project: String::new(),
        tags: Vec::new(),
        options: Vec::new(),
        allow_multiple: false,
        allow_text: false,
        expiration: None,
        default_response: String::new(),
        surface: "test".to_owned(),
        owner: None,
    };
    let new = draft.validate(Still.now())?;
    let mut created = store.create(vec![new], call()).await?;
    let nothing = || Error::Internal("nothing created".to_owned());
    created.pop().ok_or_else(nothing)
}

pub(crate) async fn respond(store: &dyn NotificationStore, id: i64, text: &str) -> Notification {
    let respond = Respond {
        id,
        text: text.to_owned(),
        options: Vec::new(),
        actor: Actor {
            name: "ann".to_owned(),
            surface: "test".to_owned(),
        },
        request_id: None,
    };
    store.respond(respond, call()).await.expect("answered")
}

/// Writes down that somebody was told of `notification`.
pub(crate) fn stored(recording: &Recording, notification: Notification) {
    recording.promised(Promise::Stored(Box::new(notification)));
}

/// Opens the store, writes, one caller after the other and several at once, and closes it; writing down each promise when it is made.
pub(crate) async fn work(directory: &Path, recording: &Arc<Recording>, rounds: usize) {
    let store = Arc::new(open(directory).expect("a store"));
    recording.promised(Promise::Opened {
        epoch: store.epoch().to_owned(),
    });
    for round in 0..rounds {
        let title = format!("alone {round}");
        let asked = create(&*store, &title, round % 7 * 1500).await;
        let asked = asked.expect("created");
        let id = asked.id;
        stored(recording, asked);
        stored(recording, respond(&*store, id, "yes").await);
        let together = (0..WRITERS).map(|writer| {
            let (store, recording) = (Arc::clone(&store), Arc::clone(recording));
            tokio::spawn(async move {
                let title = format!("writer {writer} round {round}");
                let created = create(&*store, &title, writer * 300).await;
                stored(&recording, created.expect("created"));
            })
        });
        for writer in together.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
    }
    tokio::task::spawn_blocking(move || store.close())
        .await
        .expect("no panic");
}
