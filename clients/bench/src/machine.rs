//! What the measurements were made on: numbers mean nothing without it.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::stats::Latencies;

/// How many syncs are measured.
const SYNCS: usize = 300;

/// Where a run was made. What the system does not tell is "unknown".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// How many cores this process may use.
    pub(crate) cores: usize,
    /// The machine's memory, in GiB. 0 where it is not known.
    #[serde(default)]
    pub(crate) memory_gib: f64,
    /// The operating system and its kernel.
    pub(crate) kernel: String,
    /// The file system under the data directories, with its device.
    pub(crate) file_system: String,
    /// The median time of appending 4 KiB and syncing it, in milliseconds.
    pub(crate) sync_p50_ms: f64,
    /// The time that one such sync in a hundred exceeds, in milliseconds.
    pub(crate) sync_p99_ms: f64,
    /// The compiler that is installed, most likely the one that built both programs.
    pub(crate) rust: String,
    /// The daemon's release, how it was built, and what it stores with.
    pub(crate) daemon: String,
    /// The opponent's interpreter and SQLite.
    pub(crate) legacy: String,
}

impl Machine {
    /// Looks at this machine, and at the disk under `directory`.
    ///
    /// # Errors
    ///
    /// `directory` cannot be written.
    pub(crate) fn look(directory: &Path) -> anyhow::Result<Self> {
        let syncs = measure_syncs(directory)
            .with_context(|| format!("cannot measure a sync in {}", directory.display()))?;
        Ok(Self {
            processor: processor().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_gib().unwrap_or_default(),
            kernel: kernel().unwrap_or_else(unknown),
            file_system: file_system(directory).unwrap_or_else(unknown),
            sync_p50_ms: syncs.p50().unwrap_or_default(),
            sync_p99_ms: syncs.p99().unwrap_or_default(),
            rust: first_line("rustc", "--version").unwrap_or_else(unknown),
            daemon: unknown(),
            legacy: unknown(),
        })
    }

    /// Whether the data is in memory, where a sync costs nothing and every number is too good.
    pub(crate) fn is_in_memory(&self) -> bool {
        ["tmpfs", "ramfs"]
            .iter()
            .any(|kind| self.file_system.starts_with(kind))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "* {} ({} cores, {:.0} GiB of memory), {}",
            self.processor, self.cores, self.memory_gib, self.kernel
        )?;
        writeln!(
            f,
            "* data on {}; appending 4 KiB and fdatasync: p50 {:.2} ms, p99 {:.2} ms",
            self.file_system, self.sync_p50_ms, self.sync_p99_ms
        )?;
        writeln!(f, "* {}; {}", self.daemon, self.rust)?;
        writeln!(f, "* the legacy way: {}", self.legacy)
    }
}

/// What the processors have done since the machine started, in ticks. Linux only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy {
    /// All processors, idle time included.
    all: u64,
    /// All processors, without idle time.
    busy: u64,
    /// This process and its children that have ended.
    own: u64,
}

impl Busy {
    /// Reads the counters. `None` where the system does not tell.
    pub(crate) fn now() -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> = fields(machine.lines().next()?, 1).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let (all, idle) = (ticks.iter().take(8).sum(), ticks.get(3)? + ticks.get(4)?);
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program stands in brackets and may hold anything; the state follows it.
        let own = fields(own.rsplit_once(')')?.1, 12).take(4).sum();
        let busy = idle.max(all) - idle;
        Some(Self { all, busy, own })
    }

    /// Says how much other programs did since `before`, where it was enough to disturb.
    pub(crate) fn disturbance_since(self, before: Self) -> Option<String> {
        let all = self.all.saturating_sub(before.all).max(1);
        let busy = self.busy.saturating_sub(before.busy);
        let others = busy.saturating_sub(self.own.saturating_sub(before.own));
        let percent = 100 * others / all;
        (percent >= 5).then(|| {
            format!(
                "PROVISIONAL: other programs used {percent} % of the processors during the run."
            )
        })
    }
}

/// The numbers of a line, after the first `skipped` fields.
fn fields(line: &str, skipped: usize) -> impl Iterator<Item = u64> {
    line.split_whitespace()
        .skip(skipped)
        .map(|field| field.parse().unwrap_or(0))
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Appends and syncs, as a write-ahead log does at each commit.
fn measure_syncs(directory: &Path) -> std::io::Result<Latencies> {
    let path = directory.join("sync-probe");
    let mut file = File::create(&path)?;
    let mut samples = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        samples.push(began.elapsed());
    }
    fs::remove_file(path)?;
    Ok(Latencies::new(samples))
}

fn processor() -> Option<String> {
    let Ok(text) = fs::read_to_string("/proc/cpuinfo") else {
        return first_line("sysctl", "-nmachdep.cpu.brand_string");
    };
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = fields(text.lines().next()?, 1).next()?;
    Some(kib as f64 / 1024.0 / 1024.0)
}

fn kernel() -> Option<String> {
    first_line("uname", "-sr")
}

/// The first line that a program prints.
fn first_line(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// The kind and device of the mount that `directory` lies on.
fn file_system(directory: &Path) -> Option<String> {
    let directory = fs::canonicalize(directory).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let (_, kind, device) = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
            directory
                .starts_with(point)
                .then_some((point.len(), kind, device))
        })
        // Of two mounts at one place the later one is seen.
        .max_by_key(|(length, ..)| *length)?;
    Some(format!("{kind} ({device})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_do_is_told_where_it_is_much() {
        let busy = |all, busy, own| Busy { all, busy, own };
        let start = busy(1000, 500, 100);
        let quiet = busy(2000, 800, 390);
        assert_eq!(quiet.disturbance_since(start), None);
        let text = busy(2000, 1100, 300).disturbance_since(start);
        assert!(text.is_some_and(|text| text.contains("40 %")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_counters_can_be_read() {
        let now = Busy::now().expect("the counters");
        assert!(now.all >= now.busy && now.busy >= now.own, "{now:?}");
    }

    #[test]
    fn a_disk_in_memory_is_recognised() {
        let on = |file_system: &str| Machine {
            file_system: file_system.to_owned(),
            ..Machine::default()
        };
        assert!(on("tmpfs (tmpfs)").is_in_memory());
        assert!(!on("ext4 (/dev/vda)").is_in_memory());
    }
}
