//! Looking for damage while the daemon works, and before it starts.

use std::os::unix::fs::FileExt;
use std::process::Output;
use std::time::Duration;

use barista_client::ErrorReason;
use barista_client::pb::admin::v1::{CheckIntegrityRequest, IntegrityDepth, IntegrityFindingKind};
use barista_client::pb::consumer::v1::CreateConsumerRequest;

use crate::support::{Home, TestDaemon, question, soon};

fn full() -> CheckIntegrityRequest {
    CheckIntegrityRequest {
        depth: IntegrityDepth::Full.into(),
        ..Default::default()
    }
}

/// Runs `baristad --check` in `home`; returns its exit code and what it printed.
fn check(home: &Home) -> (Option<i32>, String) {
    let output: Output = home.command().arg("--check").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

#[tokio::test]
async fn a_sound_database_has_no_findings_and_one_that_refers_to_nothing_has() {
    let daemon = TestDaemon::start().await;
    daemon.ask("Deploy?").await;
    let sound = soon(daemon.client().check_integrity(full()))
        .await
        .expect("a check");
    assert!(sound.complete && sound.findings.is_empty(), "{sound:?}");
    assert_eq!(sound.databases, ["notifications.db"]);
    let foreign = daemon.foreign();
    foreign.run("PRAGMA foreign_keys = OFF");
    foreign.run("CREATE TABLE mine (id REFERENCES notifications(id))");
    foreign.run("INSERT INTO mine VALUES (98), (99)");
    let found = soon(daemon.client().check_integrity(full()))
        .await
        .expect("a check");
    let kinds: Vec<_> = found
        .findings
        .iter()
        .map(|finding| finding.kind())
        .collect();
    assert_eq!(kinds, [IntegrityFindingKind::ForeignKey; 2], "{found:?}");
    let first = CheckIntegrityRequest {
        max_findings: 1,
        ..full()
    };
    let found = soon(daemon.client().check_integrity(first))
        .await
        .expect("a check");
    assert_eq!((found.findings.len(), found.complete), (1, false));
    foreign.run("DROP TABLE mine");
}

/// A tool has rebuilt a table of ours: what can be put back is, what cannot is told, and nobody else is harmed.
///
/// Fails when `Expected::of` learns the columns of the shared table alone, and when a column that cannot be put back keeps the daemon from starting.
#[tokio::test]
async fn a_table_of_ours_that_lost_columns_is_told_and_the_rest_is_served() {
    let mut daemon = TestDaemon::start().await;
    let asked = daemon.ask("Before").await;
    let new = CreateConsumerRequest {
        name: "bell".to_owned(),
        ..CreateConsumerRequest::default()
    };
    soon(daemon.client().create_consumer(new))
        .await
        .expect("created");
    daemon
        .foreign()
        .run("ALTER TABLE consumers DROP COLUMN epoch; ALTER TABLE consumers DROP COLUMN watch");
    for _ in 0..2 {
        daemon.ask("Going on").await;
        let found = soon(daemon.client().check_integrity(full()))
            .await
            .expect("a check");
        let [finding] = found.findings.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(finding.kind(), IntegrityFindingKind::Damage);
        assert!(
            finding.text.contains("column consumers.epoch"),
            "{finding:?}"
        );
        let refused = soon(daemon.client().get_consumer("bell")).await;
        assert_eq!(
            refused.expect_err("it has no place").reason(),
            ErrorReason::Internal
        );
        assert!(daemon.terminate().await.success());
        daemon.restart().await;
    }
    assert_eq!(daemon.get(asked.id).await, asked);
    let said = daemon.process().said();
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let daemon = TestDaemon::start().await;
    let elsewhere = CheckIntegrityRequest {
        database: "../other.db".to_owned(),
        ..Default::default()
    };
    let negative = CheckIntegrityRequest {
        max_findings: -1,
        ..Default::default()
    };
    let unknown = CheckIntegrityRequest {
        depth: 77,
        ..Default::default()
    };
    for request in [elsewhere, negative, unknown] {
        let refused = soon(daemon.client().check_integrity(request)).await;
        let reason = refused.expect_err("refused").reason();
        assert_eq!(reason, ErrorReason::InvalidField);
    }
}

/// Checks that run into their deadline end with it, keep no writer waiting, and leave the readers free.
#[tokio::test]
async fn checks_that_are_given_up_stop_nobody() {
    let daemon = TestDaemon::start().await;
    daemon.foreign().run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO notifications (type, title, message, created_at, updated_at)
         SELECT 'info', 'title ' || i, 'm', '2025-01-01', '2025-01-01' FROM n",
    );
    let hasty = daemon.hasty(Duration::from_millis(20)).await;
    for _ in 0..10 {
        if let Ok(found) = soon(hasty.check_integrity(full())).await {
            assert!(found.findings.is_empty(), "{found:?}");
        }
    }
    let patient = daemon.connect().await;
    let checks = tokio::spawn(async move { patient.check_integrity(full()).await });
    let asked = daemon.ask("While it is checked").await;
    assert_eq!(daemon.get(asked.id).await, asked);
    let found = soon(checks).await.expect("a task").expect("a check");
    assert!(found.complete && found.findings.is_empty(), "{found:?}");
    soon(daemon.client().create_notification(question("After")))
        .await
        .expect("created");
}

#[tokio::test]
async fn the_check_of_the_program_changes_nothing_and_tells_by_its_exit_code() {
    let home = Home::new();
    assert_eq!(check(&home).0, Some(0));
    assert!(!home.data_dir().exists(), "nothing was made");
    let daemon = TestDaemon::start_in(home).await;
    daemon.ask("Deploy?").await;
    let (code, said) = check(daemon.home());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is sound"), "beside a daemon: {said}");
    daemon.ask("Still at work").await;
    assert!(daemon.terminate().await.success());

    let config = daemon.home().data_dir().join("barista.toml");
    std::fs::write(&config, "[log]\nkep = 1").expect("a configuration");
    let (code, said) = check(daemon.home());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("barista.toml:2:1: log.kep"), "{said}");
    std::fs::remove_file(&config).expect("removed");

    let copy = daemon.home().path().join("copy.db");
    std::fs::copy(daemon.home().database(), &copy).expect("a copy");
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'change_contents'";
    let page = u64::try_from(daemon.foreign().number(root)).expect("a page");
    let file = std::fs::File::options()
        .write(true)
        .open(daemon.home().database());
    let file = file.expect("the database");
    file.write_all_at(&[0xff; 64], (page - 1) * 4096)
        .expect("damaged");
    let (code, said) = check(daemon.home());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("problem  integrity: "), "{said}");
    std::fs::rename(&copy, daemon.home().database()).expect("put back");
}
