//! The locks that keep other processes from removing the log under the daemon. A process that opens and closes one of SQLite's files by
//! itself loses them without a word, and acknowledged commits are lost with the log.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use barista_client::Client;
use barista_client::pb::admin::v1::{
    ApplyRetentionRequest, CheckIntegrityRequest, CheckpointMode, CheckpointRequest,
    CreateBackupRequest,
};
use barista_client::pb::consumer::v1::{
    AcknowledgeConsumerRequest, CreateConsumerRequest, ResetConsumerRequest, SetAsideEvent,
    SetEventAsideRequest,
};
use barista_client::pb::notification::v1::{
    CancelNotificationRequest, Cursor, DismissNotificationRequest, ListNotificationsRequest,
    StartAt,
};
use barista_client::pb::trace::v1::{
    ListObservationsRequest, ListTracesRequest, WatchObservationsRequest, WatchStart,
};
use prost::Message;

use crate::support::{TestDaemon, move_to, question, soon};

/// A lock in `/proc/locks`: the end of the file's name, and the range.
type Lock = (&'static str, String);

/// How often the list is read. The kernel hands it out in pieces, and a line may be missed while other processes lock and unlock.
const READINGS: usize = 10;

/// The POSIX locks of the daemon on the files of its database: those in any of several readings, as a lock that was lost never returns.
fn locks(daemon: &TestDaemon) -> BTreeSet<Lock> {
    let database = daemon.home().database();
    let inode = |end: &str| {
        let path = format!("{}{end}", database.display());
        std::fs::symlink_metadata(path)
            .expect("a file of the database")
            .ino()
    };
    let files = [("-shm", inode("-shm")), ("", inode(""))];
    let read = |_| {
        let text = std::fs::read_to_string("/proc/locks").expect("the list of locks");
        held_by(&text, daemon.process().pid(), &files)
    };
    (0..READINGS).flat_map(read).collect()
}

/// Reads lines such as `1: POSIX  ADVISORY  READ 4711 fe:00:1234 128 128`.
fn held_by(text: &str, pid: i32, files: &[(&'static str, u64)]) -> BTreeSet<Lock> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, "POSIX", _, _, holder, file, start, end] = words[..] else {
                return None;
            };
            let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
            let (name, _) = files.iter().find(|(_, known)| *known == inode)?;
            (holder.parse() == Ok(pid)).then(|| (*name, format!("{start}-{end}")))
        })
        .collect()
}

/// The locks that must never vanish: "somebody uses this log" on the shared memory, and "somebody reads this file" on the database.
fn lasting(locks: &BTreeSet<Lock>) -> BTreeSet<Lock> {
    let is_lasting = |(name, range): &&Lock| match *name {
        "-shm" => range == "128-128",
        _ => true,
    };
    locks.iter().filter(is_lasting).cloned().collect()
}

#[test]
fn the_list_of_locks_is_read_as_it_is_written() {
    let text = "1: POSIX  ADVISORY  READ 7 fe:00:42 128 128\n2: FLOCK  ADVISORY  WRITE 7 fe:00:42 0 EOF\n\
                3: POSIX  ADVISORY  READ 8 fe:00:42 128 128\n4: POSIX  ADVISORY  READ 7 fe:00:43 9 10\n\
                5: -> POSIX  ADVISORY  WRITE 7 fe:00:42 120 120\n";
    let found = held_by(text, 7, &[("-shm", 42)]);
    assert_eq!(found, BTreeSet::from([("-shm", "128-128".to_owned())]));
    assert!(lasting(&held_by("", 7, &[("-shm", 42)])).is_empty());
}

/// The calls that keep, forget and move what is stored, each followed by `check`.
async fn keep_and_forget(client: &Client, check: &mut impl FnMut(&str)) {
    let backup = client.create_backup(CreateBackupRequest::default(), |_| {});
    soon(backup).await.expect("a backup");
    check("CreateBackup");
    for dry_run in [true, false] {
        let request = ApplyRetentionRequest { dry_run };
        soon(client.apply_retention(request))
            .await
            .expect("applied");
    }
    check("ApplyRetention");
    for mode in [CheckpointMode::Passive, CheckpointMode::Truncate] {
        let request = CheckpointRequest {
            mode: mode.into(),
            ..CheckpointRequest::default()
        };
        soon(client.checkpoint(request)).await.expect("done");
        check("Checkpoint");
    }
}

#[tokio::test]
async fn no_call_makes_the_daemon_lose_its_locks() {
    let daemon = TestDaemon::start().await;
    let expected = lasting(&locks(&daemon));
    let on = |name| expected.iter().any(|(file, _)| *file == name);
    assert!(on("-shm") && on(""), "{expected:?}");
    let mut tried = BTreeSet::new();
    let mut check = |method: &str| {
        assert_eq!(lasting(&locks(&daemon)), expected, "after {method}");
        tried.insert(method.to_owned());
    };
    let client = daemon.client();
    let id = daemon.ask("a").await.id;
    check("CreateNotification");
    let batch = vec![question("b"), question("c"), question("d")];
    soon(client.batch_create_notifications(batch))
        .await
        .expect("created");
    check("BatchCreateNotifications");
    daemon.get(id).await;
    check("GetNotification");
    let all = ListNotificationsRequest::default();
    soon(client.list_notifications(all)).await.expect("a page");
    check("ListNotifications");
    soon(client.list_notification_events(id))
        .await
        .expect("a history");
    check("ListNotificationEvents");
    soon(client.mark_notification_read(move_to(id)))
        .await
        .expect("read");
    check("MarkNotificationRead");
    daemon.respond(id, "yes").await.expect("answered");
    check("RespondNotification");
    let dismissal = DismissNotificationRequest {
        id: 2,
        ..Default::default()
    };
    soon(client.dismiss_notification(dismissal))
        .await
        .expect("dismissed");
    check("DismissNotification");
    let cancellation = CancelNotificationRequest {
        id: 3,
        ..Default::default()
    };
    soon(client.cancel_notification(cancellation))
        .await
        .expect("cancelled");
    check("CancelNotification");
    soon(client.wait(id, None)).await.expect("waited");
    check("WaitNotification");
    daemon.watch(StartAt::Oldest).await.event().await;
    daemon.watch(StartAt::Snapshot).await.snapshot().await;
    check("WatchNotifications");
    daemon.connect().await;
    check("GetServerInfo");
    soon(client.get_status()).await.expect("a status");
    check("GetStatus");
    soon(client.get_metrics()).await.expect("a page");
    check("GetMetrics");
    let thorough = CheckIntegrityRequest::default();
    soon(client.check_integrity(thorough)).await.expect("sound");
    check("CheckIntegrity");
    keep_and_forget(client, &mut check).await;
    try_consumers(&daemon, &mut check).await;
    try_traces(&daemon, &mut check).await;
    try_analytics(&daemon, &mut check).await;
    crate::otlp::try_exports(&daemon, &mut check).await;
    assert_eq!(tried, methods(), "every method must be tried here");
}

/// Makes each call of `ConsumerService`, with a `check` after it.
async fn try_consumers(daemon: &TestDaemon, check: &mut impl FnMut(&str)) {
    let client = daemon.client();
    let name = || "bell".to_owned();
    let new = CreateConsumerRequest {
        name: name(),
        ..CreateConsumerRequest::default()
    };
    soon(client.create_consumer(new)).await.expect("created");
    check("CreateConsumer");
    soon(client.get_consumer("bell")).await.expect("there");
    check("GetConsumer");
    soon(client.list_consumers()).await.expect("a list");
    check("ListConsumers");
    let acknowledge = AcknowledgeConsumerRequest {
        name: name(),
        through: Some(Cursor::default()),
        ..AcknowledgeConsumerRequest::default()
    };
    soon(client.acknowledge_consumer(acknowledge))
        .await
        .expect("acknowledged");
    check("AcknowledgeConsumer");
    let reset = ResetConsumerRequest {
        name: name(),
        ..ResetConsumerRequest::default()
    };
    soon(client.reset_consumer(reset)).await.expect("moved");
    check("ResetConsumer");
    let event = SetAsideEvent {
        sequence: 1,
        ..SetAsideEvent::default()
    };
    let aside = SetEventAsideRequest {
        name: name(),
        event: Some(event.clone()),
        ..SetEventAsideRequest::default()
    };
    soon(client.set_event_aside(aside))
        .await
        .expect("set aside");
    check("SetEventAside");
    soon(client.list_set_aside_events("bell"))
        .await
        .expect("a list");
    check("ListSetAsideEvents");
    soon(client.update_set_aside_event("bell", event))
        .await
        .expect("updated");
    check("UpdateSetAsideEvent");
    soon(client.discard_set_aside_event("bell", 1))
        .await
        .expect("discarded");
    check("DiscardSetAsideEvent");
    soon(client.delete_consumer("bell")).await.expect("deleted");
    check("DeleteConsumer");
}

/// Makes each call of `TraceService`, with a `check` after it.
async fn try_traces(daemon: &TestDaemon, check: &mut impl FnMut(&str)) {
    let client = daemon.client();
    let span = crate::telemetry::span("00f067aa0ba902b7");
    let trace = span.trace_id.clone();
    let recorded = soon(client.record_observations(vec![span])).await;
    let id = recorded.expect("recorded")[0].id;
    check("RecordObservations");
    soon(client.get_observation(id)).await.expect("there");
    check("GetObservation");
    soon(client.get_trace(&trace)).await.expect("there");
    check("GetTrace");
    let all = ListTracesRequest::default();
    soon(client.list_traces(all)).await.expect("a page");
    check("ListTraces");
    let all = ListObservationsRequest::default();
    soon(client.list_observations(all)).await.expect("a page");
    check("ListObservations");
    let oldest = WatchObservationsRequest {
        start: WatchStart::Oldest.into(),
        ..WatchObservationsRequest::default()
    };
    let mut watch = client.watch_observations(oldest);
    soon(watch.next()).await.expect("an event");
    check("WatchObservations");
}

/// Makes each call of `AnalyticsService`, with a `check` after it.
async fn try_analytics(daemon: &TestDaemon, check: &mut impl FnMut(&str)) {
    let client = daemon.client();
    let answer = soon(client.get_usage(Default::default())).await;
    answer.expect("an answer");
    check("GetUsage");
    let answer = soon(client.get_latency(Default::default())).await;
    answer.expect("an answer");
    check("GetLatency");
    let answer = soon(client.compare_models(Default::default())).await;
    answer.expect("an answer");
    check("CompareModels");
    let answer = soon(client.get_errors(Default::default())).await;
    answer.expect("an answer");
    check("GetErrors");
    let answer = soon(client.list_expensive_observations(Default::default())).await;
    answer.expect("an answer");
    check("ListExpensiveObservations");
    let answer = soon(client.get_heatmap(Default::default())).await;
    answer.expect("an answer");
    check("GetHeatmap");
    let answer = soon(client.list_unknown_models(Default::default())).await;
    answer.expect("an answer");
    check("ListUnknownModels");
    soon(client.get_ingestion()).await.expect("an answer");
    check("GetIngestion");
}

/// All methods of the API.
fn methods() -> BTreeSet<String> {
    let set = barista::grpc::pb::DESCRIPTOR_SET;
    let set = prost_types::FileDescriptorSet::decode(set).expect("descriptors");
    let services = set.file.into_iter().flat_map(|file| file.service);
    services
        .flat_map(|service| service.method)
        .filter_map(|method| method.name)
        .collect()
}

/// What the locks are for: the last foreign connection that closes would otherwise move the log into the file and delete it.
#[tokio::test]
async fn the_log_survives_foreign_connections_that_close() {
    let daemon = TestDaemon::start().await;
    daemon.ask("Deploy?").await;
    let log = format!("{}-wal", daemon.home().database().display());
    let inode = || std::fs::symlink_metadata(&log).expect("the log").ino();
    let before = inode();
    for _ in 0..3 {
        let foreign = daemon.foreign();
        foreign.insert("one more");
        drop(foreign);
        assert_eq!(inode(), before);
    }
}
