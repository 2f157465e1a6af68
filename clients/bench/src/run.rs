//! A run: every scenario in turn, round after round.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::args::{Arguments, Command, Picture, Run};
use crate::chart;
use crate::lab::Lab;
use crate::machine::{Busy, Machine};
use crate::report::{Report, Round, Settings};
use crate::scenario::Scenario;
use crate::soak::soak;
use crate::table::{Rows, markdown};

/// Open files that a thousand watchers and their neighbours need.
const OPEN_FILES: u64 = 4096;

/// Does what was typed.
///
/// # Errors
///
/// What could not be done: a sentence for people.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Run(options) => measure(&options).await,
        Command::Soak(options) => {
            allow_open_files();
            soak(&options).await
        }
        Command::Table { file, targets } => {
            let rows = if targets {
                Rows::WithTargets
            } else {
                Rows::All
            };
            print(&markdown(&read(&file)?, rows))
        }
        Command::Chart { kind, file } => {
            let report = read(&file)?;
            let picture = match kind {
                Picture::Ratios => chart::ratios(&report),
                Picture::Callers => chart::callers(&report),
            };
            let none = || {
                format!(
                    "{} has nothing for this picture: run the scenarios create and callers, or postgres, redis or nats",
                    file.display()
                )
            };
            print(&picture.with_context(none)?)
        }
    }
}

async fn measure(options: &Run) -> anyhow::Result<()> {
    allow_open_files();
    let lab = Lab::new(options).await?;
    let mut report = Report {
        machine: machine(&lab).await?,
        settings: Settings {
            rounds: options.rounds,
            seconds: options.seconds,
            log_level: options.log_level.clone(),
        },
        records: Vec::new(),
        notes: vec![format!(
            "The daemon logged at {}, and is otherwise as it comes: synchronous=FULL on both sides.",
            options.log_level
        )],
    };
    if report.machine.is_in_memory() {
        report.notes.push(
            "THE DATA WAS IN MEMORY: nothing here is durable. Name a directory on a disk with --dir.".to_owned(),
        );
    }
    if cfg!(debug_assertions) || report.machine.daemon.contains(" debug)") {
        report
            .notes
            .push("PROVISIONAL: this was a debug build; build with --release.".to_owned());
    }
    let scenarios = match options.only.as_slice() {
        [] => Scenario::value_variants(),
        only => only,
    };
    let before = Busy::now();
    let mut failures = 0;
    for number in 1..=options.rounds {
        for scenario in scenarios {
            let began = Instant::now();
            let mut round = Round::new(number);
            // What was measured before stays worth something.
            if let Err(error) = scenario.measure(&lab, &mut round).await {
                let failure =
                    format!("The scenario {scenario:?} failed in round {number}: {error:#}");
                eprintln!("{failure}");
                round.note(failure);
                failures += 1;
            }
            report.add(round);
            eprintln!(
                "round {number}, {scenario:?}: {:.1} s",
                began.elapsed().as_secs_f64()
            );
        }
    }
    report.notes.extend(
        before
            .zip(Busy::now())
            .and_then(|(before, after)| after.disturbance_since(before)),
    );
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    print(&markdown(&report, Rows::All))?;
    ensure!(
        failures == 0,
        "{failures} of {} measurements failed; the notes say why",
        options.rounds as usize * scenarios.len()
    );
    Ok(())
}

/// Describes the machine, and the programs that are measured.
async fn machine(lab: &Lab) -> anyhow::Result<Machine> {
    let mut machine = Machine::look(lab.base())?;
    let experiment = lab.daemon().await?;
    let info = experiment.client.server_info();
    machine.daemon = format!(
        "baristad {} ({}) with {}",
        info.version, info.build, info.backend
    );
    machine.legacy = lab.legacy.version.clone();
    experiment.end().await?;
    Ok(machine)
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not what `barista-bench run --json` writes",
            file.display()
        )
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot print"),
    }
}

/// Raises the limit of this process; where that is not allowed, the scenario that needs it says so.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        let _refused = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        );
    }
}
