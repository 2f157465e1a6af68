//! A long run: bounded load for a while, then rest, and what the daemon holds meanwhile.
//!
//! What grows without an end shows here and nowhere else: memory, descriptors, the write-ahead log.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use barista_client::Client;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, NotificationType, RespondNotificationRequest,
};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::lab::{beside_this_program, passable_directory, private_directory};
use crate::load::notice;
use crate::scenario::watch::{event, started};

/// How often the daemon is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// How many agents ask and wait at the same time.
const AGENTS: usize = 8;
/// How many watch.
const WATCHERS: usize = 20;
/// How often a program other than the daemon comes and goes: a connection, a few calls, and away.
const VISITOR_EVERY: Duration = Duration::from_millis(200);

/// How long, and how much.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long to work, in minutes
    #[arg(long, default_value_t = 50.0, value_name = "MINUTES")]
    pub(crate) load: f64,
    /// How long to rest afterwards, in minutes
    #[arg(long, default_value_t = 10.0, value_name = "MINUTES")]
    pub(crate) rest: f64,
    /// Notices per second, beside the questions
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// Write every sample to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where to put the data directory [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where baristad and barista are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) bin: Option<PathBuf>,
}

/// What the daemon held at one moment.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    /// Since the start.
    seconds: f64,
    /// Whether it was under load.
    loaded: bool,
    resident_mib: f64,
    descriptors: usize,
    threads: usize,
    /// Since the sample before, of one core.
    processor_percent: f64,
    wal_frames: i64,
    wal_mib: f64,
    database_mib: f64,
    head_sequence: i64,
}

/// Works, rests, and prints what the daemon held.
///
/// # Errors
///
/// A call failed, or the system does not tell.
pub(crate) async fn soak(options: &Soak) -> anyhow::Result<()> {
    let programs = match &options.bin {
        Some(directory) => directory.clone(),
        None => beside_this_program()?,
    };
    let base = options.dir.clone().unwrap_or_else(|| "target/bench".into());
    let name = format!("soak-{}", std::process::id());
    let directory = private_directory(&passable_directory(&base)?.join(name))?;
    let daemon = Daemon::start(&programs.join("baristad"), &directory, "warn").await?;
    let samples = work_and_rest(options, &daemon).await?;
    daemon.stop().await?;
    fs::remove_dir_all(&directory).context("cannot remove the data directory")?;
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&samples)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    print(&samples);
    Ok(())
}

async fn work_and_rest(options: &Soak, daemon: &Daemon) -> anyhow::Result<Vec<Sample>> {
    let began = Instant::now();
    let client = daemon.client().await?;
    let mut load = JoinSet::new();
    for client in daemon.clients(WATCHERS).await? {
        let mut watch = started(&client).await?;
        load.spawn(async move {
            loop {
                event(&mut watch).await?;
            }
        });
    }
    for client in daemon.clients(AGENTS).await? {
        load.spawn(ask_for_ever(client));
    }
    load.spawn(notify(client.clone(), options.rate));
    load.spawn(visit(daemon.directory().to_owned()));
    let mut samples = Vec::new();
    let look = Look {
        daemon,
        client,
        began,
    };
    let until = began + Duration::from_secs_f64(options.load * 60.0);
    tokio::select! {
        sampled = look.until(until, true, &mut samples) => sampled?,
        // None of them ends but with an error.
        ended = load.join_next() => ended.context("there is no load")???,
    }
    load.shutdown().await;
    let until = until + Duration::from_secs_f64(options.rest * 60.0);
    look.until(until, false, &mut samples).await?;
    Ok(samples)
}

async fn notify(client: Client, rate: u32) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        client.create_notification(notice(number)).await?;
    }
    Ok(())
}

/// Asks, answers half a second later as a person would, waits for the answer, and begins anew.
async fn ask_for_ever(client: Client) -> anyhow::Result<()> {
    loop {
        let question = CreateNotificationRequest {
            r#type: NotificationType::Question.into(),
            ..notice(0)
        };
        let id = client.create_notification(question).await?.id;
        let answer = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let response = RespondNotificationRequest {
                id,
                text: "yes".to_owned(),
                responder: "soak".to_owned(),
                ..RespondNotificationRequest::default()
            };
            client.respond_notification(response).await
        };
        let (answered, waited) =
            tokio::join!(answer, client.wait(id, Some(Duration::from_secs(60))));
        answered?;
        waited?;
    }
}

/// Connects, looks, and goes away, again and again, as commands do.
async fn visit(directory: PathBuf) -> anyhow::Result<()> {
    let mut ticks = interval(VISITOR_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let client = Daemon::connect(&directory).await?;
        client.get_status().await?;
    }
}

/// Who looks at the daemon.
struct Look<'a> {
    daemon: &'a Daemon,
    client: Client,
    began: Instant,
}

impl Look<'_> {
    async fn until(
        &self,
        end: Instant,
        loaded: bool,
        samples: &mut Vec<Sample>,
    ) -> anyhow::Result<()> {
        let daemon = self.daemon;
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.tick().await;
        while Instant::now() < end {
            let (before, since) = (daemon.processor_time()?, Instant::now());
            ticks.tick().await;
            let used = daemon.processor_time()?.saturating_sub(before);
            let status = self.client.get_status().await?;
            let database = status.databases.first().context("there is no database")?;
            samples.push(Sample {
                seconds: self.began.elapsed().as_secs_f64(),
                loaded,
                resident_mib: daemon.memory_mib("VmRSS")?,
                descriptors: daemon.entries("fd")?,
                threads: daemon.entries("task")?,
                processor_percent: used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0,
                wal_frames: database.wal_frames,
                wal_mib: mib(database.wal_bytes),
                database_mib: mib(database.size_bytes),
                head_sequence: database.head_sequence,
            });
        }
        Ok(())
    }
}

fn mib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Prints a line for about each twentieth of the samples: a table for people, who look for what grows.
fn print(samples: &[Sample]) {
    println!(
        "| minutes | load | memory, MiB | descriptors | threads | of a core | WAL frames | WAL, MiB | database, MiB | changes |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let step = (samples.len() / 20).max(1);
    let shown = samples
        .iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0 || index + 1 == samples.len());
    for (_, sample) in shown {
        println!(
            "| {:.1} | {} | {:.1} | {} | {} | {:.1} % | {} | {:.1} | {:.1} | {} |",
            sample.seconds / 60.0,
            if sample.loaded { "yes" } else { "no" },
            sample.resident_mib,
            sample.descriptors,
            sample.threads,
            sample.processor_percent,
            sample.wal_frames,
            sample.wal_mib,
            sample.database_mib,
            sample.head_sequence,
        );
    }
}
