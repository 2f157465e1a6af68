//! Starting: where a daemon may work, and where it must not. Every refusal says what to do.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::support::{Home, TestDaemon};

/// A user id that nobody has.
const STRANGER: u32 = 54_321;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("permissions");
}

#[tokio::test]
async fn a_missing_data_directory_is_created_for_its_user_alone() {
    let home = Home::named("not-yet-there");
    let daemon = TestDaemon::start_in(home).await;
    daemon.ask("Deploy?").await;
    let mode = |path: &Path| {
        let found = std::fs::symlink_metadata(path).expect("it exists");
        found.permissions().mode() & 0o777
    };
    let data_dir = daemon.home().data_dir();
    assert_eq!(mode(data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("run")), 0o700);
    assert_eq!(mode(&daemon.client().socket()), 0o600);
    assert_eq!(mode(&daemon.home().database()), 0o600);
}

#[tokio::test]
async fn a_data_directory_in_a_directory_that_is_missing_is_a_slip_of_the_finger() {
    let home = Home::named("not/there");
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("mkdir -p "), "{said}");
    assert!(!home.path().join("not").exists(), "nothing was made");
}

#[tokio::test]
async fn a_second_daemon_steps_back_and_names_the_first() {
    let daemon = TestDaemon::start().await;
    let (code, said) = daemon.home().refusal().await;
    assert_eq!(code, 75, "{said}");
    let pid = daemon.process().pid().to_string();
    assert!(said.contains(&pid), "{said}");
    daemon.ask("The first goes on").await;
}

#[tokio::test]
async fn of_daemons_that_start_together_one_wins() {
    let home = Home::new();
    home.create();
    let reports: Vec<_> = (0..4)
        .map(|_| tempfile::tempdir().expect("a temporary directory"))
        .collect();
    let started = reports
        .iter()
        .map(|reports| crate::support::Process::spawn(home.command(), reports.path()));
    let processes: Vec<_> = started.collect();
    let mut winners = 0;
    for process in &processes {
        match process.ready().await {
            Ok(()) => winners += 1,
            Err(status) => assert_eq!(status.code(), Some(75), "{}", process.said()),
        }
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_socket_that_a_dead_daemon_left_is_no_obstacle() {
    let mut daemon = TestDaemon::start().await;
    daemon.kill().await;
    assert!(daemon.client().socket().exists(), "nobody removed it");
    daemon.restart().await;
    daemon.ask("Deploy?").await;
}

#[tokio::test]
async fn a_data_directory_that_others_can_write_to_is_refused() {
    let home = Home::new();
    home.create();
    set_mode(home.data_dir(), 0o777);
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1);
    assert!(said.contains("chmod o-w"), "{said}");
}

#[tokio::test]
async fn a_data_directory_of_somebody_else_is_refused() {
    if !is_root() {
        return; // Only root can give a directory away.
    }
    let home = Home::new();
    home.create();
    chown(home.data_dir(), Some(STRANGER), None).expect("given away");
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1);
    assert!(said.contains(&STRANGER.to_string()), "{said}");
    assert!(!home.database().exists());
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_refused() {
    let home = Home::new();
    home.create();
    let mut command = home.command();
    if is_root() {
        // Root may write everywhere, so the daemon runs as somebody who may not.
        use std::os::unix::process::CommandExt;
        set_mode(home.path(), 0o755);
        chown(home.data_dir(), Some(STRANGER), Some(STRANGER)).expect("given away");
        command.uid(STRANGER).gid(STRANGER);
    }
    set_mode(home.data_dir(), 0o500);
    let (code, said) = home.refusal_of(command).await;
    set_mode(home.data_dir(), 0o700);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot write in"), "{said}");
}

#[tokio::test]
async fn a_file_in_place_of_the_data_directory_is_refused() {
    let home = Home::new();
    std::fs::write(home.data_dir(), "not a directory").expect("a file");
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1);
    assert!(said.contains("is not a directory"), "{said}");
}

/// A link to the data directory as a whole is the user's choice; a database file that leads elsewhere is not.
#[tokio::test]
async fn a_database_that_leads_out_of_the_directory_is_refused() {
    let home = Home::new();
    home.create();
    let evil = home.path().join("data-evil");
    std::fs::create_dir(&evil).expect("a directory beside");
    let target = evil.join("notifications.db");
    std::fs::write(&target, "").expect("a file outside");
    for end in ["", "-wal", "-shm"] {
        let link = format!("{}{end}", home.database().display());
        symlink(&target, &link).expect("a link");
        let (code, said) = home.refusal().await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("symbolic links are not followed"), "{said}");
        std::fs::remove_file(&link).expect("removed");
    }
    let untouched = std::fs::symlink_metadata(&target).expect("it is there");
    assert_eq!(untouched.len(), 0);
}

#[tokio::test]
async fn a_link_to_the_data_directory_leads_to_the_same_daemon() {
    let daemon = TestDaemon::start().await;
    let link = daemon.home().path().join("link");
    symlink(daemon.home().data_dir(), &link).expect("a link");
    let options = barista_client::ConnectOptions::new()
        .data_dir(link)
        .autostart(barista_client::Autostart::Never);
    let client = barista_client::Client::connect(options)
        .await
        .expect("connected");
    assert_eq!(
        client.server_info().pid,
        daemon.process().pid(),
        "the same daemon"
    );
    let info = client.server_info();
    assert_eq!(Path::new(&info.data_dir), daemon.home().data_dir());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let home = Home::new();
    home.create();
    let text = "this is not a database, but somebody's text\n".repeat(100);
    std::fs::write(home.database(), &text).expect("a file");
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1);
    assert!(said.contains("notifications.db"), "{said}");
    let kept = std::fs::read_to_string(home.database()).expect("it is there");
    assert_eq!(kept, text);
}

#[tokio::test]
async fn a_database_from_the_future_is_refused_and_left_alone() {
    let mut daemon = TestDaemon::start().await;
    daemon.ask("Deploy?").await;
    assert!(daemon.terminate().await.success());
    let version = "UPDATE barista_meta SET value = value + :more WHERE key = 'schema_version'";
    daemon.foreign().run(&version.replace(":more", "1000"));
    let (code, said) = daemon.home().refusal().await;
    assert_eq!(code, 1);
    assert!(said.contains("newer"), "{said}");
    daemon.foreign().run(&version.replace(":more", "-1000"));
    daemon.restart().await;
    assert_eq!(daemon.get(1).await.title, "Deploy?");
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_refused_with_its_place() {
    for config in [
        "[server]\nmax_conections = 5",
        "[storage]\nbusy_timeout = 'soon'",
        "[[",
    ] {
        let (code, said) = Home::configured(config).refusal().await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("barista.toml"), "{said}");
    }
}
