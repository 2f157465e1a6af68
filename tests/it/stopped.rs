//! A process full of watchers that is stopped, clients that say nothing, and others that say nonsense: they cost neither memory nor time.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use barista_client::pb::notification::v1::{CreateNotificationRequest, StartAt};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Raw, Seed, TestDaemon, beside, every, from, info, is_long, soon};

/// Tells the child where the socket is.
const SOCKET: &str = "BARISTA_IT_SOCKET";
/// What the child says when all of its watchers have begun.
const WATCHING: &str = "all of them watch";
const CONNECTIONS: usize = 20;
const WATCHERS: usize = 100;
/// Writes of 20 KB before anybody watches, more than the daemon keeps at hand: half of the watchers are so far behind.
const BEFORE: usize = 600;
/// The same while nobody reads. Copied for each watcher, either would be a GB.
const WRITES: usize = 1_000;
const MESSAGE: usize = 20_000;
/// What the daemon may grow by. It keeps at most a batch of 1 MiB and what is on its way for each watcher.
const GROWTH_KIB: u64 = 512 * 1024;
/// How long the daemon may take to end, whoever does not read.
const PROMISED_END: Duration = Duration::from_secs(10);

/// Not a test: the process with the watchers. Alone it does nothing.
#[tokio::test]
#[ignore = "run by another test as a process of its own"]
async fn a_process_with_watchers() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::connect(Path::new(&socket)).await;
        for number in 0..WATCHERS / CONNECTIONS {
            let start = [StartAt::Now, StartAt::Oldest][number % 2];
            let watch = raw.notifications.watch_notifications(from(start));
            let mut stream = soon(watch).await.expect("a stream").into_inner();
            soon(stream.message()).await.expect("it has started");
            streams.push((raw.channel.clone(), stream));
        }
    }
    println!("{WATCHING}");
    // Until this process is killed.
    std::future::pending::<()>().await;
}

/// The process above. It is killed when this is dropped.
struct Watchers(Child);

impl Watchers {
    /// Starts it, and stops it when all of its watchers have begun.
    async fn stopped(socket: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "stopped::a_process_with_watchers"])
            .args(["--ignored", "--nocapture"])
            .env(SOCKET, socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let output = child.stdout.take().expect("a pipe");
        let watchers = Self(child);
        beside(move || {
            let mut lines = BufReader::new(output).lines();
            let said = lines.find(|line| matches!(line, Ok(line) if line.contains(WATCHING)));
            assert!(said.is_some(), "the watchers have not begun");
        })
        .await;
        let pid = Pid::from_child(&watchers.0);
        kill_process(pid, Signal::STOP).expect("a child of this process");
        watchers
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A line of `/proc/PID/status` in KiB.
fn memory(daemon: &TestDaemon, line: &str) -> u64 {
    let path = format!("/proc/{}/status", daemon.process().pid());
    let status = std::fs::read_to_string(path).expect("a status");
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let number = found.and_then(|rest| rest.trim().strip_suffix(" kB"));
    number.expect("a number of KiB").parse().expect("a number")
}

/// Clients that say nothing, and clients that say nonsense; the first half of a handshake before it makes the nonsense frames.
fn nuisances(socket: &Path) -> Vec<UnixStream> {
    let mut seed = Seed::new();
    let connect = |index: u64| {
        let mut stream = UnixStream::connect(socket).expect("connected");
        let mut bytes = match index % 3 {
            0 => return stream,
            1 => Vec::new(),
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        };
        for _ in 0..1 + seed.below(4_000) {
            bytes.push(u8::try_from(seed.below(256)).expect("a byte"));
        }
        // The daemon may hang up before everything is said.
        let _ = stream.write_all(&bytes);
        stream
    };
    (0..60).map(connect).collect()
}

/// Creates `count` notifications of 20 KB.
async fn make_noise(daemon: &TestDaemon, count: usize) {
    let loud = CreateNotificationRequest {
        message: "m".repeat(MESSAGE),
        ..info("Noise")
    };
    for _ in 0..count / 50 {
        let batch = vec![loud.clone(); 50];
        let batch = daemon.client().batch_create_notifications(batch);
        soon(batch).await.expect("acknowledged");
    }
}

/// Fails when `feed` in `grpc/stream.rs` gives each watcher a queue of its own, and when no bound in bytes is left: that of a read (`MAX_BYTES` in
/// `store/sqlite/journal.rs`), of what a follower takes (`domain/feed.rs`), and of a message (`grpc/stream.rs`). One of the three is enough to pass.
#[tokio::test]
async fn a_hundred_watchers_in_a_stopped_process_cost_neither_memory_nor_time() {
    // At its end the daemon gives those who do not read time to do so. That would be time lost, unless the time is what is looked at.
    let config = if is_long() {
        ""
    } else {
        "[server]\nshutdown_grace = '500ms'"
    };
    let daemon = TestDaemon::configured(config).await;
    make_noise(&daemon, BEFORE).await;
    let mut quick = daemon.watch(StartAt::Now).await;
    let socket = daemon.client().socket().to_owned();
    let before = memory(&daemon, "VmRSS:");
    let watchers = Watchers::stopped(&socket).await;
    let status = soon(daemon.client().get_status()).await.expect("a status");
    assert_eq!(status.watchers, i32::try_from(WATCHERS + 1).expect("few"));
    let open = nuisances(&socket);
    let (seen, ()) = tokio::join!(quick.events(WRITES), make_noise(&daemon, WRITES));
    assert_eq!(seen.len(), WRITES);
    assert_eq!(every(daemon.client()).await.len(), BEFORE + WRITES);
    let growth = memory(&daemon, "VmHWM:").saturating_sub(before);
    eprintln!("{WATCHERS} stopped watchers: {before} KiB before, {growth} KiB more at most");
    assert!(growth < GROWTH_KIB, "{growth} KiB");
    let asked = Instant::now();
    assert!(daemon.terminate().await.success());
    let taken = asked.elapsed();
    eprintln!("they kept the daemon from ending for {taken:?}");
    // A promise about time is measured in time; by itself nothing ends sooner on a machine that is busy.
    assert!(!is_long() || taken <= PROMISED_END, "{taken:?}");
    drop((open, watchers));
}
