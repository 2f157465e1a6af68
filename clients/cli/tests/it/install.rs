//! What is set up once: a project's data directory, and the manual.

use std::process::Command;

use crate::home::Home;

#[test]
fn a_project_has_its_own_inbox_below_its_directory() {
    let home = Home::new();
    let project =
        r#"unset BARISTA_DATA_DIR; mkdir -p project/src && barista init project && cd project/src"#;
    home.sh(&format!("{project} && barista notify Hello"))
        .with(0);
    let data = home.path().join("project/data");
    let mut files: Vec<_> = std::fs::read_dir(&data)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.starts_with("notifications.db-"))
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            ".gitignore",
            "barista.toml",
            "log",
            "notifications.db",
            "run"
        ]
    );
    let again = home.sh("barista init project").with(6);
    assert!(
        again.stderr.contains("\nnext: edit it, or remove it"),
        "{again}"
    );
    home.sh("cd project/src; unset BARISTA_DATA_DIR; barista inbox && barista daemon stop")
        .with(0);
}

#[test]
fn what_a_daemon_keeps_is_not_for_version_control() {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("left out: there is no git here");
        return;
    }
    let home = Home::new();
    let script = "unset BARISTA_DATA_DIR; git init -q project && barista init project && cd project \
                  && barista notify Hello >/dev/null && barista daemon stop && git add . && git ls-files";
    let listed = home.sh(script).with(0);
    assert_eq!(listed.stdout, "data/.gitignore\ndata/barista.toml\n");
}

#[test]
fn each_command_has_a_manual_page() {
    let home = Home::new();
    home.run(["man", "pages"]).with(0);
    let page =
        |name: &str| std::fs::read_to_string(home.path().join("pages").join(name)).expect("a page");
    let main = page("barista.1");
    assert!(
        main.contains(".TH barista 1") && main.contains("Exit codes"),
        "{main}"
    );
    for command in ["ask", "inbox", "respond", "watch", "daemon-logs"] {
        assert!(
            page(&format!("barista-{command}.1")).contains(".SH OPTIONS"),
            "{command}"
        );
    }
}
