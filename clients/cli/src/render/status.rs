//! How the daemon is doing.

use barista_client::pb::admin::v1::{
    DatabaseStatus, ServerInfo, ServerStatus, WalLock, WalLockKind,
};
use barista_client::pb::consumer::v1::Consumer;

use crate::render::consumer::troubles;
use crate::style::{self, paint};
use crate::text;
use crate::time::{self, Clock};

/// How wide the names of the fields are.
const LABEL: usize = 10;

/// Who keeps changes that would be removed otherwise.
fn held_back(status: &ServerStatus) -> impl Iterator<Item = String> {
    let holds = status.last_retention.iter().flat_map(|last| &last.holds);
    holds.map(|hold| {
        let changes = count(hold.held_changes, "change");
        format!("{} holds back {changes}", text::line(&hold.consumer))
    })
}

/// Who the daemon is, what it has to do, and how each database is.
pub(crate) fn render(
    info: &ServerInfo,
    status: &ServerStatus,
    consumers: &[Consumer],
    clock: &Clock,
) -> String {
    let mut lines = Vec::new();
    let up = info
        .start_time
        .as_ref()
        .and_then(time::convert)
        .map_or_else(String::new, |start| {
            format!(
                ", up {}",
                crate::span::long(std::time::Duration::from_secs(clock.since(start)))
            )
        });
    let version = text::line(&info.version);
    lines.push(format!(
        "{} (process {}){up}",
        paint(style::HEADING, &format!("baristad {version}")),
        info.pid
    ));
    if status.shutting_down {
        lines.push(paint(style::WARNING, "is stopping"));
    }
    let mut field = |name: &str, value: String| {
        lines.push(format!(
            "{}  {value}",
            paint(style::DIM, &text::column(name, LABEL))
        ));
    };
    field("data", text::line(&info.data_dir));
    field("socket", text::line(&info.socket));
    if !info.agent_socket.is_empty() {
        field("for agents", text::line(&info.agent_socket));
    }
    field(
        "storage",
        format!(
            "{}, epoch {}",
            text::line(&info.backend),
            text::line(&info.epoch)
        ),
    );
    field("open", open(status));
    for hold in held_back(status) {
        field("retention", hold);
    }
    for trouble in troubles(consumers) {
        let text = format!("{}: {}", trouble.text, trouble.remedy);
        field("consumer", paint(style::WARNING, &text));
    }
    field(
        "clients",
        format!(
            "{}, {} watching, {} waiting",
            count(status.connections.into(), "connection"),
            status.watchers,
            status.waiters
        ),
    );
    let mut text = lines.join("\n");
    text.push('\n');
    for database in &status.databases {
        text.push('\n');
        text.push_str(&render_database(database, clock));
    }
    text
}

/// How many notifications wait for somebody.
fn open(status: &ServerStatus) -> String {
    let more = if status.open_notifications_truncated {
        " or more"
    } else {
        ""
    };
    format!("{}{more}", count(status.open_notifications, "notification"))
}

fn render_database(database: &DatabaseStatus, clock: &Clock) -> String {
    let mut text = format!(
        "{}  {}, schema {}\n",
        paint(style::HEADING, &text::line(&database.name)),
        bytes(database.size_bytes),
        database.schema_version
    );
    let mut field = |name: &str, value: &str| {
        text.push_str(&format!(
            "{}  {value}\n",
            paint(style::DIM, &text::column(name, LABEL))
        ));
    };
    if !database.writable {
        let why = text::line(&database.unwritable_reason);
        field("writes", &paint(style::ALARM, &format!("refused: {why}")));
    }
    field("journal", &journal(database));
    let checkpoint = match &database.last_checkpoint_time {
        Some(time) => format!("last checkpoint {} ago", clock.age(Some(time))),
        None => "no checkpoint yet".to_owned(),
    };
    field(
        "WAL",
        &format!(
            "{} of {} checkpointed, {}, {checkpoint}",
            database.wal_checkpointed_frames,
            count(database.wal_frames, "frame"),
            bytes(database.wal_bytes)
        ),
    );
    for lock in database.wal_locks.iter().filter(|lock| !lock.is_daemon) {
        field(
            "",
            &format!("{} holds a {} lock", holder(lock), lock_word(lock.kind())),
        );
    }
    field(
        "queue",
        &format!("{} of {}", database.queue_depth, database.queue_capacity),
    );
    field(
        "commits",
        &format!(
            "{} with {}; {} by others; {} on a busy database",
            database.commits,
            count(database.writes, "write"),
            database.foreign_commits,
            count(database.busy_retries, "retry"),
        ),
    );
    field(
        "disk",
        &format!("{} available", bytes(database.disk_available_bytes)),
    );
    text
}

fn journal(database: &DatabaseStatus) -> String {
    if database.oldest_sequence > database.head_sequence {
        return format!("empty, at sequence {}", database.head_sequence);
    }
    format!(
        "sequences {} to {}",
        database.oldest_sequence, database.head_sequence
    )
}

/// Who holds a lock: `python3 (process 12)`.
pub(crate) fn holder(lock: &WalLock) -> String {
    let command = match text::line(&lock.command).as_str() {
        "" => "a program".to_owned(),
        command => command.to_owned(),
    };
    match lock.pid {
        0 => format!("{command} out of the daemon's view"),
        pid => format!("{command} (process {pid})"),
    }
}

/// The word before "lock".
pub(crate) fn lock_word(kind: WalLockKind) -> &'static str {
    match kind {
        WalLockKind::Read => "read",
        WalLockKind::Write => "write",
        WalLockKind::Checkpoint => "checkpoint",
        WalLockKind::Recover => "recovery",
        WalLockKind::Unspecified => "nameless",
    }
}

fn count(number: i64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// A number of bytes in the unit that leaves one to three digits before the point.
pub(crate) fn bytes(bytes: i64) -> String {
    let unsigned = u64::try_from(bytes).unwrap_or(0);
    if unsigned < 1 << 10 {
        return format!("{unsigned} B");
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut tenths = unsigned.saturating_mul(10) >> 10;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths >>= 10;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::time::tests::{at, noon};

    #[test]
    fn sizes_are_readable() {
        let texts = [0, 1_023, 1_024, 1_536, 1 << 20, 5 << 30, -1].map(bytes);
        assert_eq!(
            texts,
            [
                "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "0 B"
            ]
        );
        assert!(bytes(i64::MAX).ends_with("EiB") || bytes(i64::MAX).ends_with("PiB"));
    }

    #[test]
    fn a_status_of_eighty_columns() {
        let info = ServerInfo {
            version: "0.1.0".to_owned(),
            data_dir: "/home/ann/shop/data".to_owned(),
            socket: "/home/ann/shop/data/run/barista.sock".to_owned(),
            epoch: "7f3a".to_owned(),
            pid: 4_242,
            backend: "SQLite 3.53.0".to_owned(),
            start_time: Some(at(-11_100)),
            ..Default::default()
        };
        let status = ServerStatus {
            databases: vec![DatabaseStatus {
                name: "notifications.db".to_owned(),
                size_bytes: 1 << 20,
                wal_bytes: 40 << 10,
                wal_frames: 12,
                wal_checkpointed_frames: 10,
                wal_locks: vec![WalLock {
                    pid: 77,
                    command: "python3".to_owned(),
                    kind: WalLockKind::Read.into(),
                    is_daemon: false,
                }],
                queue_capacity: 1_024,
                head_sequence: 41,
                oldest_sequence: 1,
                commits: 30,
                writes: 40,
                foreign_commits: 1,
                writable: true,
                disk_available_bytes: 5 << 30,
                last_checkpoint_time: Some(at(-60)),
                schema_version: 1,
                ..Default::default()
            }],
            watchers: 2,
            waiters: 1,
            open_notifications: 1,
            connections: 4,
            ..Default::default()
        };
        let bell = Consumer {
            name: "bell".to_owned(),
            holds_journal: true,
            set_aside_count: 1,
            ..Default::default()
        };
        let expected = "\
baristad 0.1.0 (process 4242), up 3h 5m
data        /home/ann/shop/data
socket      /home/ann/shop/data/run/barista.sock
storage     SQLite 3.53.0, epoch 7f3a
open        1 notification
consumer    bell has set 1 change aside: barista consumer show bell says why; then barista consumer retry or discard
clients     4 connections, 2 watching, 1 waiting

notifications.db  1.0 MiB, schema 1
journal     sequences 1 to 41
WAL         10 of 12 frames checkpointed, 40.0 KiB, last checkpoint 1m ago
            python3 (process 77) holds a read lock
queue       0 of 1024
commits     30 with 40 writes; 1 by others; 0 retries on a busy database
disk        5.0 GiB available
";
        let rendered = render(&info, &status, &[bell], &noon());
        assert_eq!(strip_str(&rendered).to_string(), expected);
    }

    #[test]
    fn a_refusal_to_write_stands_out() {
        let database = DatabaseStatus {
            unwritable_reason: "its file was replaced".to_owned(),
            ..Default::default()
        };
        let rendered = render_database(&database, &noon());
        assert!(rendered.contains("refused: its file was replaced"));
    }
}
