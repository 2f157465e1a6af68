//! Backup and restore, as a person meets them.

use crate::home::Home;

fn backup(home: &Home) -> String {
    let made = home.run(["db", "backup", "--json"]).with(0).json();
    made["path"].as_str().expect("a path").to_owned()
}

#[test]
fn after_a_restore_old_places_are_refused_with_the_remedy() {
    let home = Home::new();
    home.run(["notify", "kept"]).with(0);
    home.consumer("bell");
    let file = backup(&home);
    home.run(["notify", "lost"]).with(0);
    let before = home.status()["info"]["epoch"].clone();
    home.run(["daemon", "stop"]).with(0);
    let restored = home
        .run(["db", "restore", "--yes", "--json", &file])
        .with(0)
        .json();
    assert_eq!(restored["consumers"], serde_json::json!(["bell"]));
    assert_eq!(restored["idsContinue"], true);
    home.run(["daemon", "start"]).with(0);
    // Nobody need watch to learn of it.
    let doctor = home.run(["doctor"]).with(0).stdout;
    assert!(
        doctor.contains("consumer bell is from before a restored backup"),
        "{doctor}"
    );
    let page = home.run(["status", "--metrics"]).with(0).stdout;
    let holds = "barista_consumer_holds_journal{consumer=\"bell\"} 0";
    assert!(page.contains(holds), "{page}");
    let after = home.status()["info"]["epoch"].clone();
    assert_ne!(after, before);
    assert_eq!(after, restored["epoch"]);
    let refused = home.run(["watch", "--consumer", "bell"]);
    assert_eq!(refused.code(), 6, "{refused}");
    assert!(
        refused.stderr.contains("next: barista consumer reset bell")
            && refused.stderr.contains("a backup was restored"),
        "{refused}"
    );
    home.run(["consumer", "reset", "bell", "--since", "now"])
        .with(0);
    let ids = home.run(["inbox", "--all", "--json"]).with(0).json();
    let notifications = ids["notifications"].as_array().map_or(0, Vec::len);
    assert_eq!(notifications, 1, "{ids}");
}

#[test]
fn a_restore_into_a_new_directory_keeps_nothing_of_what_was_not_there() {
    let home = Home::new();
    home.run(["notify", "kept"]).with(0);
    let file = backup(&home);
    let elsewhere = home.path().join("elsewhere");
    let place = elsewhere.to_str().expect("UTF-8");
    let restored = home
        .run([
            "--data-dir",
            place,
            "db",
            "restore",
            "--yes",
            "--json",
            &file,
        ])
        .with(0)
        .json();
    assert_eq!(restored["replaced"], serde_json::Value::Null);
    assert_eq!(restored["idsContinue"], true);
    let entries = std::fs::read_dir(&elsewhere).expect("a directory");
    let names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().starts_with("replaced-"))
        .collect();
    assert_eq!(names, [""; 0]);
    // What to type next is meant for the directory that was named.
    let refused = home.run(["--data-dir", place, "--no-autostart", "inbox"]);
    let next = format!("next: barista --data-dir {place} daemon start");
    assert!(refused.with(69).stderr.contains(&next), "{next}");
}

#[test]
fn nothing_is_restored_over_a_daemon_that_runs() {
    let home = Home::new();
    home.run(["notify", "kept"]).with(0);
    let file = backup(&home);
    let refused = home.run(["db", "restore", "--yes", &file]);
    assert_eq!(refused.code(), 75, "{refused}");
    assert!(
        refused.stderr.contains("is in use by baristad"),
        "{refused}"
    );
    assert_eq!(home.state("1"), "PENDING");
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let home = Home::new();
    home.run(["notify", "kept"]).with(0);
    let file = backup(&home);
    home.run(["daemon", "stop"]).with(0);
    let mut bytes = std::fs::read(&file).expect("a backup");
    bytes[4096 * 3..4096 * 3 + 100].fill(0xff);
    std::fs::write(&file, bytes).expect("a file");
    let verified = home.run(["db", "verify", "--json", &file]).with(1).json();
    assert_eq!(verified["sound"], false);
    let refused = home.run(["db", "restore", "--yes", &file]).with(1);
    assert!(refused.stderr.contains("is not restored"), "{refused}");
    let kept = |name: &str| name.starts_with("replaced-");
    let entries = std::fs::read_dir(home.data_dir()).expect("a directory");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    assert!(!names.any(|name| name.to_str().is_some_and(kept)));
    assert_eq!(home.state("1"), "PENDING");
}

#[test]
fn retention_as_configured_says_the_same_before_and_after() {
    let home = Home::new();
    std::fs::create_dir_all(home.data_dir()).expect("a directory");
    let config = "[retention]\njournal_max_events = 2\n";
    std::fs::write(home.data_dir().join("barista.toml"), config).expect("a file");
    for _ in 0..6 {
        home.run(["notify", "Something"]).with(0);
    }
    home.consumer("bell");
    let held = home
        .run(["db", "retain", "--dry-run", "--json"])
        .with(0)
        .json();
    assert_eq!(held["holds"][0]["consumer"], "bell");
    assert_eq!(held["holds"][0]["heldChanges"], "4");
    home.run(["consumer", "reset", "bell", "--since", "now"])
        .with(0);
    let dry = home
        .run(["db", "retain", "--dry-run", "--json"])
        .with(0)
        .json();
    let done = home.run(["db", "retain", "--json"]).with(0).json();
    assert_eq!(dry["amounts"], done["amounts"]);
    assert_eq!(done["amounts"][0]["rows"], "4", "{done}");
    let status = home.status();
    assert_eq!(status["status"]["databases"][0]["oldestSequence"], "5");
    assert_eq!(
        status["status"]["lastRetention"]["amounts"],
        done["amounts"]
    );
    let refused = home.run(["watch", "--since", "1"]);
    assert_eq!(refused.code(), 6, "{refused}");
    home.run(["daemon", "stop"]).with(0);
    let rebuilt = home
        .run(["db", "retain", "--vacuum", "--json"])
        .with(0)
        .json();
    assert!(rebuilt["bytesAfter"].as_i64() > Some(0), "{rebuilt}");
    assert_eq!(home.state("6"), "PENDING");
}
