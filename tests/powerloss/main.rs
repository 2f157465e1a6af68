//! The power goes: what the daemon's store has acknowledged is on the disk, whatever part of the rest is.
//!
//! The real store works on a layer that records each write, change of size, sync and name. Then, for many moments, a disk is made that
//! has what was synced by then and some of what was not, sector by sector; the real store opens it, and everything that was
//! acknowledged by that moment must be there.

mod chance;
mod consumers;
mod disk;
mod faults;
mod ledger;
mod real;
mod recording;
mod vfs;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use self::chance::Chance;
use self::disk::{Disk, Luck};
use self::ledger::{Promise, check};
use self::recording::{Recording, Step, Syncs};

/// What happens to that which was not synced.
const LUCKS: [Luck; 5] = [
    Luck::None,
    Luck::Some(2),
    Luck::Some(5),
    Luck::Some(9),
    Luck::All,
];

fn is_long() -> bool {
    std::env::var_os("BARISTA_LONG").is_some()
}

/// A directory whose files are recorded.
struct Bench {
    _home: TempDir,
    directory: PathBuf,
    recording: Arc<Recording>,
}

impl Bench {
    fn new(syncs: Syncs) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = home.path().join("data");
        std::fs::create_dir(&directory).expect("a directory");
        let recording = Arc::new(Recording::new(syncs));
        vfs::record(&directory, Arc::clone(&recording));
        Self {
            directory: directory.canonicalize().expect("a path"),
            _home: home,
            recording,
        }
    }
}

/// The moments at which the power goes: around each sync and each promise, and some at random.
fn moments(steps: &[Step], random: usize, chance: &mut Chance) -> BTreeSet<usize> {
    let mut moments = BTreeSet::from([steps.len()]);
    for (at, step) in steps.iter().enumerate() {
        let telling = matches!(
            step,
            Step::Synced { .. } | Step::DirectorySynced | Step::Promised(_)
        );
        if telling {
            moments.extend([at, at + 1]);
        }
    }
    let all = u64::try_from(steps.len()).expect("a length");
    for _ in 0..random {
        moments.insert(usize::try_from(chance.below(all)).expect("a number"));
    }
    moments
}

/// Cuts the power at `moments`, and returns how often something was lost, and the first loss.
async fn losses(
    steps: &[Step],
    moments: &BTreeSet<usize>,
    seed: u64,
    lucks: impl Fn(&mut Chance) -> Vec<Luck>,
) -> (usize, Option<String>) {
    let mut chance = Chance::of(seed);
    let (mut disk, mut taken) = (Disk::default(), 0);
    let (mut count, mut first) = (0, None);
    let mut promises: Vec<&Promise> = Vec::new();
    for moment in moments {
        for step in &steps[taken..*moment] {
            disk.take(step);
            if let Step::Promised(promise) = step {
                promises.push(promise);
            }
        }
        taken = *moment;
        for luck in lucks(&mut chance) {
            let files = disk.cut(luck, &mut chance);
            if let Err(loss) = check(&files, &promises).await {
                count += 1;
                let of = steps.len();
                first.get_or_insert(format!("at step {moment} of {of}, {luck:?}: {loss}"));
            }
        }
    }
    (count, first)
}

/// One way of losing for each moment, chosen at random.
fn one(chance: &mut Chance) -> Vec<Luck> {
    let choice = usize::try_from(chance.below(LUCKS.len() as u64)).expect("small");
    vec![LUCKS[choice]]
}

fn all(_: &mut Chance) -> Vec<Luck> {
    LUCKS.to_vec()
}

/// Fails when `store/sqlite/connection.rs` asks for `synchronous = NORMAL`, or when `store/sqlite/thread.rs` answers before the
/// commit; the controls below show what a loss looks like.
#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    let (rounds, random) = if is_long() { (24, 1000) } else { (6, 60) };
    let seed = Chance::seed();
    let bench = Bench::new(Syncs::Honest);
    // A second life of the store: it finds a log, or the end of one, and begins another.
    for _ in 0..2 {
        real::work(&bench.directory, &bench.recording, rounds).await;
    }
    let steps = bench.recording.steps();
    let moments = moments(&steps, random, &mut Chance::of(seed));
    eprintln!(
        "{} steps, cut at {} of them; to repeat the cuts: BARISTA_TEST_SEED={seed}",
        steps.len(),
        moments.len()
    );
    let lucks = if is_long() { all } else { one };
    let (count, first) = losses(&steps, &moments, seed, lucks).await;
    assert_eq!(first, None, "{count} losses; BARISTA_TEST_SEED={seed}");
    assert_has_everything(&steps);
}

/// A recording without checkpoints, truncations or deletions would prove little.
fn assert_has_everything(steps: &[Step]) {
    let names: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Created { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let expected = [
        "notifications.db",
        "notifications.db-journal",
        "notifications.db-wal",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let has = |wanted: fn(&Step) -> bool| steps.iter().any(wanted);
    assert!(has(|step| matches!(step, Step::DirectorySynced)));
    assert!(has(|step| matches!(step, Step::Deleted { .. })));
    assert!(has(|step| matches!(step, Step::Truncated { size: 0, .. })));
    let synced = |name: &str| {
        let created = steps.iter().filter_map(|step| match step {
            Step::Created { file, name: found } if found == name => Some(*file),
            _ => None,
        });
        let files: Vec<usize> = created.collect();
        let is_sync =
            |step: &&Step| matches!(step, Step::Synced { file, .. } if files.contains(file));
        steps.iter().filter(is_sync).count()
    };
    // One sync for the start, and one for each checkpoint.
    assert!(synced("notifications.db") > 3, "no checkpoints");
    assert!(synced("notifications.db-wal") > 20, "no commits");
}

/// A control: the same work on a disk that only says that it syncs must be found to lose what was acknowledged.
#[tokio::test]
async fn skipped_syncs_are_found_to_lose_what_was_acknowledged() {
    let bench = Bench::new(Syncs::Skipped);
    real::work(&bench.directory, &bench.recording, 3).await;
    let steps = bench.recording.steps();
    let end = BTreeSet::from([steps.len()]);
    for (luck, lossy) in [
        (Luck::None, true),
        (Luck::Some(5), true),
        (Luck::All, false),
    ] {
        let (count, first) = losses(&steps, &end, 1, |_| vec![luck]).await;
        assert_eq!(count > 0, lossy, "{luck:?}: {first:?}");
    }
}

/// A control: a database whose directory was never synced may vanish as a whole, however well its files were synced.
#[tokio::test]
async fn names_that_are_never_synced_are_found_to_lose_everything() {
    let bench = Bench::new(Syncs::NamesSkipped);
    real::work(&bench.directory, &bench.recording, 1).await;
    let steps = bench.recording.steps();
    let end = BTreeSet::from([steps.len()]);
    for (luck, lossy) in [(Luck::None, true), (Luck::All, false)] {
        let (count, first) = losses(&steps, &end, 1, |_| vec![luck]).await;
        assert_eq!(count > 0, lossy, "{luck:?}: {first:?}");
    }
}

/// A control: a writer with `synchronous = NORMAL`, which does not sync the log with each commit, must be found to lose what it
/// acknowledged; with FULL it must not. So the check can tell the two apart, and the store uses the right one.
#[tokio::test]
async fn a_writer_that_does_not_sync_each_commit_is_found_to_lose_some() {
    for (level, lossy) in [("NORMAL", true), ("FULL", false)] {
        let bench = Bench::new(Syncs::Honest);
        real::work(&bench.directory, &bench.recording, 1).await;
        let direct = Connection::open(bench.directory.join(real::DATABASE)).expect("open");
        direct
            .execute_batch(&format!("PRAGMA synchronous = {level}"))
            .expect("a setting");
        let started = bench.recording.position();
        for number in 0..20 {
            bench.recording.promised(insert(&direct, number));
        }
        let steps = bench.recording.steps();
        let moments: BTreeSet<usize> = (started..=steps.len()).collect();
        let (count, first) = losses(&steps, &moments, 1, |_| vec![Luck::None]).await;
        assert_eq!(count > 0, lossy, "{level}: {first:?}");
    }
}

/// Inserts a row as direct tooling does.
fn insert(direct: &Connection, number: usize) -> Promise {
    let title = format!("direct {number}");
    let insert = "INSERT INTO notifications (type, title, message, created_at, updated_at) VALUES ('info', ?1, 'm', '', '')";
    direct.execute(insert, [&title]).expect("inserted");
    let head = "SELECT max(seq) FROM changes";
    let sequence = direct.query_row(head, [], |row| row.get(0));
    Promise::Inserted {
        sequence: sequence.expect("a change"),
        title,
    }
}
