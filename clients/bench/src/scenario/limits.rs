//! What a durable create cannot do without on this machine: a call that asks for nothing, and a sync of what its commit writes.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::load::closed_loop;
use crate::report::Round;
use crate::stats::Latencies;

/// How many callers there are at a time.
const CALLERS: [usize; 3] = [1, 16, 64];

/// A page with its header in the write-ahead log.
const FRAME: usize = 4096 + 24;

/// The pages that one create on its own changes: the row, its three indexes, the journal, the journal's index, and the sequence of ids.
const FRAMES: u64 = 7;

/// How much of the file is written before the writes begin anew, as the log does after a checkpoint.
const LOG: u64 = 1000;

/// Measures both.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for callers in CALLERS {
        let experiment = lab.daemon().await?;
        let clients = vec![experiment.client.clone(); callers];
        let before = experiment.daemon.processor_time()?;
        let load = closed_loop(clients, lab.window, |client, _| async move {
            client.get_server_info().await?;
            Ok(())
        })
        .await?;
        let used = experiment.daemon.processor_time()?.saturating_sub(before);
        experiment.end().await?;
        let row = format!("limits/call/{callers}");
        round.load(&row, &load, 1);
        round.processor_time(&row, used, load.operations);
    }
    let scratch = lab.scratch()?;
    let (file, window) = (scratch.0.join("log"), lab.window);
    let syncs = tokio::task::spawn_blocking(move || syncs(&file, window)).await??;
    round.latencies("limits/sync", &syncs);
    Ok(())
}

/// Overwrites the frames of one create after the other in a file that has its size already, and syncs each time.
fn syncs(path: &std::path::Path, window: Duration) -> std::io::Result<Latencies> {
    let frame = vec![0x5a; FRAME];
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    for number in 0..LOG {
        file.write_all_at(&frame, number * FRAME as u64)?;
    }
    file.sync_all()?;
    let mut took = Vec::new();
    let began = Instant::now();
    let mut place = 0;
    while began.elapsed() < window {
        let started = Instant::now();
        for _ in 0..FRAMES {
            file.write_all_at(&frame, place * FRAME as u64)?;
            place = (place + 1) % LOG;
        }
        file.sync_all()?;
        took.push(started.elapsed());
    }
    Ok(Latencies::new(took))
}
