use std::os::unix::fs::{MetadataExt, symlink};

use barista_locate::Source;

use super::*;

fn located(path: &Path) -> Located {
    Located {
        path: path.to_owned(),
        source: Source::Environment,
    }
}

fn open(path: &Path) -> Result<DataDir, DataDirError> {
    DataDir::open(&located(path), Options::default())
}

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("it exists").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_missing_directory_is_created_for_its_user_alone() {
    let parent = temporary();
    let data = parent.path().join("share/barista");
    let opened = open(&data).expect("opened");
    assert_eq!(opened.path(), data.canonicalize().expect("it exists"));
    for path in [
        &data,
        &data.join("run"),
        &data.join("log"),
        &parent.path().join("share"),
    ] {
        assert_eq!(mode_of(path), 0o700, "{}", path.display());
    }
    assert_eq!(
        std::fs::read_dir(opened.run_dir()).expect("run").count(),
        0,
        "the probe is gone"
    );
    assert_eq!(open(&data).expect("opened again"), opened);
}

#[test]
fn a_link_to_the_data_directory_is_resolved() {
    let parent = temporary();
    let data = parent.path().join("data");
    open(&data).expect("opened");
    let link = parent.path().join("link");
    symlink(&data, &link).expect("a link");
    assert_eq!(
        open(&link).expect("opened").path(),
        data.canonicalize().expect("it exists")
    );
}

#[test]
fn a_file_in_its_place_is_refused() {
    let parent = temporary();
    let path = parent.path().join("data");
    std::fs::write(&path, "").expect("a file");
    assert_eq!(
        open(&path).expect_err("a file").rule(),
        Some(&Rule::Directory)
    );
    let below = open(&path.join("below")).expect_err("below a file");
    assert!(
        matches!(below, DataDirError::CannotCreate { .. }),
        "{below}"
    );
}

#[test]
fn a_directory_that_everybody_can_write_to_is_refused_with_the_remedy() {
    let data = temporary();
    set_mode(data.path(), 0o777);
    let error = open(data.path()).expect_err("writable by others");
    assert_eq!(error.rule(), Some(&Rule::NotWritableByOthers));
    assert!(
        error
            .to_string()
            .contains(&format!("chmod o-w {}", data.path().display())),
        "{error}"
    );
}

#[test]
fn an_open_run_directory_is_closed_and_a_link_is_refused() {
    let data = temporary();
    std::fs::create_dir(data.path().join("run")).expect("run");
    set_mode(&data.path().join("run"), 0o777);
    open(data.path()).expect("corrected");
    assert_eq!(mode_of(&data.path().join("run")), 0o700);
    std::fs::remove_dir(data.path().join("run")).expect("empty");
    let elsewhere = temporary();
    symlink(elsewhere.path(), data.path().join("run")).expect("a link");
    let error = open(data.path()).expect_err("a link");
    assert_eq!(error.rule(), Some(&Rule::Directory));
}

#[test]
fn proc_shows_that_a_directory_without_room_for_files_is_refused() {
    let error = DataDir::open(
        &located(Path::new("/proc/self/nothing")),
        Options::default(),
    );
    assert!(
        matches!(error, Err(DataDirError::CannotCreate { .. })),
        "{error:?}"
    );
}

#[test]
fn a_database_lies_inside_and_is_a_plain_file() {
    let parent = temporary();
    let data = open(&parent.path().join("data")).expect("opened");
    let evil = parent.path().join("data-evil");
    std::fs::create_dir(&evil).expect("a directory");
    std::fs::write(evil.join("x.db"), "").expect("a file");
    assert_eq!(
        data.database("new.db").expect("may be missing").path(),
        data.path().join("new.db")
    );
    for name in ["../data-evil/x.db", "/etc/passwd", "", "..", "run/x.db"] {
        assert_eq!(
            data.database(name).expect_err(name).rule(),
            Some(&Rule::PlainName),
            "{name}"
        );
    }
    symlink(evil.join("x.db"), data.path().join("link.db")).expect("a link");
    symlink(data.path().join("missing"), data.path().join("dangling.db")).expect("a link");
    std::fs::create_dir(data.path().join("directory.db")).expect("a directory");
    for name in ["link.db", "dangling.db", "directory.db"] {
        assert_eq!(
            data.database(name).expect_err(name).rule(),
            Some(&Rule::RegularFile),
            "{name}"
        );
    }
}

#[test]
fn the_files_beside_a_database_are_checked_too() {
    let parent = temporary();
    let data = open(&parent.path().join("data")).expect("opened");
    std::fs::write(data.path().join("x.db"), "").expect("a file");
    for end in ["-wal", "-shm"] {
        let beside = data.path().join(format!("x.db{end}"));
        symlink("/etc/passwd", &beside).expect("a link");
        let error = data.database("x.db").expect_err("a link beside it");
        assert_eq!(error.rule(), Some(&Rule::RegularFile));
        std::fs::remove_file(&beside).expect("removed");
        std::fs::write(&beside, "").expect("a file");
        set_mode(&beside, 0o666);
        let error = data.database("x.db").expect_err("an open file beside it");
        assert!(
            error
                .to_string()
                .ends_with(&format!("chmod o-w {}", beside.display())),
            "{error}"
        );
        set_mode(&beside, 0o600);
    }
    assert_eq!(data.database("x.db").expect("sound").name(), "x.db");
}

#[test]
fn a_moved_or_replaced_database_is_noticed() {
    let parent = temporary();
    let data = open(&parent.path().join("data")).expect("opened");
    let database = data.database("x.db").expect("named");
    assert!(matches!(
        database.identity(),
        Err(DataDirError::Missing { .. })
    ));
    for file in [
        DatabaseFile::Main,
        DatabaseFile::Wal,
        DatabaseFile::SharedMemory,
    ] {
        let path = database.path_of(file);
        std::fs::write(&path, "one").expect("a file");
        let opened = database.identity_of(file).expect("it exists");
        std::fs::write(&path, "still the same, longer").expect("written");
        database
            .still_the_same_file(file, &opened)
            .expect("the same");
        let aside = parent.path().join("aside");
        std::fs::rename(&path, &aside).expect("moved");
        let gone = database
            .still_the_same_file(file, &opened)
            .expect_err("moved");
        assert!(matches!(gone, DataDirError::Missing { .. }), "{gone}");
        std::fs::write(&path, "another").expect("a file");
        let other = database
            .still_the_same_file(file, &opened)
            .expect_err("replaced");
        assert!(matches!(other, DataDirError::Replaced { .. }), "{other}");
        std::fs::rename(&aside, &path).expect("put back");
        database
            .still_the_same_file(file, &opened)
            .expect("the same again");
    }
    let opened = database.identity().expect("it exists");
    database.still_the_same(&opened).expect("the same");
}

#[test]
fn a_data_directory_that_was_swapped_names_no_database() {
    let parent = temporary();
    let path = parent.path().join("data");
    let data = open(&path).expect("opened");
    std::fs::rename(&path, parent.path().join("old")).expect("moved");
    assert!(matches!(
        data.database("x.db"),
        Err(DataDirError::Missing { .. })
    ));
    std::fs::create_dir(&path).expect("another");
    assert!(matches!(
        data.database("x.db"),
        Err(DataDirError::Replaced { .. })
    ));
    std::fs::remove_dir(&path).expect("empty");
    std::fs::rename(parent.path().join("old"), &path).expect("put back");
    set_mode(&path, 0o707);
    let error = data.database("x.db").expect_err("opened to others");
    assert_eq!(error.rule(), Some(&Rule::NotWritableByOthers));
}

/// Only root can give files away; `rules.rs` tests the same with made-up owners for everybody else.
#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let give_away =
        |path: &Path| std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("chown");
    let parent = temporary();
    let data = open(&parent.path().join("data")).expect("opened");
    std::fs::write(data.path().join("x.db"), "").expect("a file");
    give_away(&data.path().join("x.db"));
    let owner = Rule::Owner {
        found: 65534,
        expected: 0,
    };
    assert_eq!(
        data.database("x.db").expect_err("foreign").rule(),
        Some(&owner)
    );
    give_away(&data.run_dir());
    assert_eq!(
        open(data.path()).expect_err("foreign run").rule(),
        Some(&owner)
    );
    give_away(data.path());
    assert_eq!(open(data.path()).expect_err("foreign").rule(), Some(&owner));
    assert_eq!(
        data.database("y.db").expect_err("foreign directory").rule(),
        Some(&owner)
    );
}
