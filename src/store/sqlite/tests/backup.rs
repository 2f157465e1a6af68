//! Backups: what is in them, where they may lie, and that nothing is left of those that fail.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::sync::watch;

use super::*;
use crate::data_dir::BackupFile;
use crate::domain::backup::{Backup, BackupProgress, BackupRequest, BackupStore};
use crate::store::sqlite::{BackupContents, GivenOut, examine_backup, given_out, prepare_restored};

impl Bench {
    async fn back_up(&self, path: &str) -> Result<Backup, Error> {
        let request = BackupRequest {
            database: String::new(),
            path: path.to_owned(),
            now: Still.now(),
        };
        let (progress, _) = watch::channel(BackupProgress::default());
        self.store.create_backup(request, progress).await
    }

    fn backups(&self) -> Vec<PathBuf> {
        let directory = self.directory.path().join("data/backups");
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }
}

fn examine(path: &Path) -> BackupContents {
    let file = BackupFile::find(path).expect("a backup");
    examine_backup(&file, Still.now()).expect("it can be read")
}

/// Fails when the sequence, or the pages, are not those of one read transaction.
#[tokio::test]
async fn everything_acknowledged_before_is_in_it_while_others_write() {
    let bench = Arc::new(Bench::open());
    for number in 0..50 {
        bench.create(&number.to_string()).await.expect("created");
    }
    let stop = CancellationToken::new();
    let (writing, stopped) = (Arc::clone(&bench), stop.clone());
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while !stopped.is_cancelled() {
            writing.create("meanwhile").await.expect("created");
            written += 1;
        }
        written
    });
    let mut last = 0;
    for round in 0..5 {
        let acknowledged = bench.create("before").await.expect("created");
        let path = bench.directory.path().join(format!("{round}.db"));
        let backup = bench
            .back_up(path.to_str().expect("UTF-8"))
            .await
            .expect("a backup");
        assert!(backup.sequence >= acknowledged.sequence && backup.sequence > last);
        last = backup.sequence;
        let contents = examine(&path);
        assert_eq!(contents.problems, [""; 0]);
        assert_eq!(
            (contents.sequence, contents.records),
            (backup.sequence, backup.sequence)
        );
        assert_eq!(
            (contents.size, &contents.sha256),
            (backup.size, &backup.sha256)
        );
        assert_eq!(contents.epoch, bench.store.epoch());
        assert!(!path.with_extension("db-wal").exists());
    }
    stop.cancel();
    assert!(writer.await.expect("a writer") > 0);
}

#[tokio::test]
async fn the_usual_place_is_private_and_each_backup_gets_a_name() {
    let bench = Bench::open();
    let backup = bench.back_up("").await.expect("a backup");
    assert!(
        backup
            .path
            .ends_with("/data/backups/notifications-20251009T085320Z.db"),
        "{}",
        backup.path
    );
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(Path::new(&backup.path)), 0o600);
    assert_eq!(
        mode(Path::new(&backup.path).parent().expect("a directory")),
        0o700
    );
    assert_eq!(bench.backups().len(), 1);
    let refused = bench.back_up("").await.expect_err("the same second");
    assert!(
        matches!(&refused, Error::InvalidField { rule, .. } if rule.contains("exists")),
        "{refused}"
    );
}

/// Fails when `DataDir::new_backup` does not ask `backup_target`.
#[tokio::test]
async fn places_that_are_not_ours_or_a_databases_are_refused() {
    let bench = Bench::open();
    let data = bench
        .directory
        .path()
        .join("data")
        .canonicalize()
        .expect("there");
    let open = bench.directory.path().join("open");
    std::fs::create_dir(&open).expect("a directory");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    let link = bench.directory.path().join("link");
    std::os::unix::fs::symlink(&data, &link).expect("a link");
    let existing = bench.directory.path().join("existing.db");
    std::fs::write(&existing, "mine").expect("a file");
    for path in [
        "backup.db".into(),
        "./backups/a.db".into(),
        data.join("a.db"),
        data.join("run/a.db"),
        data.join(NOTIFICATIONS_FILE),
        link.join("a.db"),
        open.join("a.db"),
        existing.clone(),
        bench.directory.path().join("missing/a.db"),
        bench.directory.path().join("a.db-wal"),
    ] {
        let refused = bench.back_up(path.to_str().expect("UTF-8")).await;
        assert!(
            matches!(&refused, Err(Error::InvalidField { field, .. }) if field == "path"),
            "{path:?}: {refused:?}"
        );
    }
    assert_eq!(std::fs::read(&existing).expect("there"), b"mine");
    let inside = data.join("backups/mine.db");
    bench.back_up("").await.expect("the directory");
    bench
        .back_up(inside.to_str().expect("UTF-8"))
        .await
        .expect("a backup");
}

/// Fails when a second backup does not ask for the guard of the first, and when a dropped `NewBackup` leaves its file.
#[tokio::test]
async fn one_backup_is_made_at_a_time_and_a_dropped_one_leaves_nothing() {
    let bench = Bench::open();
    bench
        .foreign()
        .execute_batch("CREATE TABLE big (a); INSERT INTO big SELECT zeroblob(30000000)")
        .expect("a large database");
    {
        let mut first = Box::pin(bench.back_up(""));
        // Until it has made its file.
        while bench.backups().is_empty() {
            assert!(futures_util::poll!(&mut first).is_pending());
            tokio::task::yield_now().await;
        }
        assert!(matches!(bench.back_up("").await, Err(Error::BackupRunning)));
    }
    // The next one waits for nobody, and the thread of the first one ends by itself.
    let path = bench.directory.path().join("next.db");
    let made = loop {
        match bench.back_up(path.to_str().expect("UTF-8")).await {
            Err(Error::BackupRunning) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    made.expect("a backup");
    assert!(bench.backups().is_empty());
}

#[tokio::test]
async fn what_a_killed_daemon_left_has_no_good_name_and_goes() {
    let bench = Bench::open();
    let made = bench.back_up("").await.expect("a backup");
    let left = format!("{}-killed.db.partial", made.path);
    std::fs::write(&left, "half").expect("a file");
    assert!(matches!(
        bench.back_up("").await,
        Err(Error::InvalidField { .. })
    ));
    assert!(!Path::new(&left).exists());
}

/// Fails when `check_room` is not asked, and when a dropped `NewBackup` leaves its file.
#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_left() {
    let bench = Bench::open();
    bench.disk.store(20_000, Ordering::SeqCst);
    let refused = bench.back_up("").await;
    assert!(
        matches!(refused, Err(Error::DiskFull { available: 20_000 })),
        "{refused:?}"
    );
    assert!(bench.backups().is_empty());
}

/// Fails when `look_into` keeps the findings of `examine` to itself.
#[tokio::test]
async fn a_damaged_backup_is_found() {
    let bench = Bench::open();
    for number in 0..200 {
        bench.create(&number.to_string()).await.expect("created");
    }
    let backup = bench.back_up("").await.expect("a backup");
    let sound = std::fs::read(&backup.path).expect("a file");
    let path = bench.directory.path().join("damaged.db");
    let mut damaged = sound.clone();
    damaged[5 * 4096..5 * 4096 + 64].fill(0xff);
    let cases = [
        damaged,
        sound[..sound.len() / 2].to_vec(),
        b"no database".to_vec(),
        Vec::new(),
    ];
    for (number, bytes) in cases.iter().enumerate() {
        std::fs::write(&path, bytes).expect("a file");
        assert!(!examine(&path).problems.is_empty(), "case {number}");
    }
    std::fs::write(&path, &sound).expect("a file");
    assert_eq!(examine(&path).problems, [""; 0]);
    std::fs::write(path.with_extension("db-wal"), "log").expect("a file");
    assert!(BackupFile::find(&path).is_err());
}

/// Fails when `prepare_restored` keeps the epoch, or does not go on after the ids that were given out.
#[tokio::test]
async fn a_restored_database_begins_another_history_after_the_numbers_given_out() {
    let bench = Bench::open();
    bench.create("kept").await.expect("created");
    let backup = bench.back_up("").await.expect("a backup");
    bench.create("lost").await.expect("created");
    let epoch = bench.store.epoch().to_owned();
    let database = bench.database.clone();
    let directory = bench.close();
    let given_out = given_out(&database).expect("readable");
    assert_eq!(
        given_out,
        GivenOut {
            record: 2,
            generation: 0
        }
    );
    let target = directory.path().join("restored.db");
    std::fs::write(&target, "").expect("an empty file");
    let file = BackupFile::find(Path::new(&backup.path)).expect("a backup");
    let fresh = prepare_restored(&file, &target, given_out).expect("prepared");
    assert_ne!(fresh, epoch);
    std::fs::rename(&target, database.path()).expect("in its place");
    let bench = Bench::open_in(directory);
    assert_eq!(bench.store.epoch(), fresh);
    assert!(matches!(
        bench.store.get(2).await,
        Err(Error::NotificationNotFound { .. })
    ));
    let next = bench.create("next").await.expect("created");
    assert_eq!((next.id, next.sequence), (3, 2));
}
