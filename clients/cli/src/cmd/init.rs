//! `barista init`: makes a data directory for a project.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::{shell, text};

/// The documented defaults, the same file as in a checkout of Barista.
const CONFIG: &str = include_str!("../../../../data/barista.toml");
/// What of a data directory belongs into version control: the configuration.
const IGNORE: &str = "*\n!.gitignore\n!barista.toml\n";
/// The same beside files of somebody else, which are none of our business.
const IGNORE_OURS: &str = "/run/\n/log/\n/backups/\n/notifications.db*\n/langfuse_export.db*\n/analytics.db*\n/daemon.db*\n";
/// What Barista itself makes in a data directory; and its databases.
const OURS: [&str; 5] = [
    barista_locate::CONFIG_FILE,
    ".gitignore",
    barista_locate::RUN_DIR,
    "log",
    "backups",
];
const DATABASES: [&str; 4] = [
    "notifications.db",
    "langfuse_export.db",
    "analytics.db",
    "daemon.db",
];

/// Make a data directory for a project: DIR/data, with its configuration.
///
/// Every command in DIR or below then uses it, as git uses the nearest .git, unless --data-dir or BARISTA_DATA_DIR names another one. Nothing is
/// overwritten.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The project
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

impl Init {
    pub(crate) fn run(self, app: &App) -> Result<Exit> {
        if let Some(named) = &app.data_dir {
            let why = format!(
                "it makes the directory `data` of a project, and --data-dir names {}, which needs no init: the daemon makes it",
                named.display()
            );
            let next = format!(
                "barista init {}",
                shell::word(&self.dir.display().to_string())
            );
            return Err(Failure::usage("cannot init with --data-dir", why).next(next));
        }
        if self.dir.exists() && !self.dir.is_dir() {
            let what = format!("cannot make a data directory in {}", self.dir.display());
            let failure = Failure::usage(what, "it is not a directory");
            return Err(failure.next("barista init, in the directory of the project".to_owned()));
        }
        let is_new = !self.dir.exists();
        let data = self.dir.join("data");
        let others = others_in(&data);
        let config = data.join(barista_locate::CONFIG_FILE);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&data)
            .map_err(|error| Failure::io(format!("cannot create {}", data.display()), &error))?;
        write_new(&config, CONFIG).map_err(|error| {
            let what = format!("cannot create {}", config.display());
            let failure = Failure::io(what, &error);
            if error.kind() == io::ErrorKind::AlreadyExists {
                let next = "edit it, or remove it and try again; barista doctor checks the rest";
                return failure.next(next.to_owned());
            }
            failure
        })?;
        let ignore = data.join(".gitignore");
        let patterns = if others.is_empty() {
            IGNORE
        } else {
            IGNORE_OURS
        };
        let ignored = match write_new(&ignore, patterns) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::io(
                    format!("cannot create {}", ignore.display()),
                    &error,
                ));
            }
            // A project that ignores other files there already knows what it wants.
            Err(_) => format!(
                "data/{}; data/.gitignore was there and stays",
                barista_locate::CONFIG_FILE
            ),
            Ok(()) => format!("data/{} and data/.gitignore", barista_locate::CONFIG_FILE),
        };
        let project = self.dir.canonicalize().unwrap_or(self.dir);
        if is_new {
            app.output
                .note(&format!("Made the directory {}.", project.display()));
        }
        if let Some(other) = others.first() {
            app.output.note(&format!(
                "data holds other files ({other}, …), which are left alone: only what Barista makes there is ignored by git."
            ));
        }
        app.output.note(&format!(
            "Made {ignored}. {}",
            who_uses_it(&project, |name| std::env::var_os(name))
        ));
        Ok(Exit::Done)
    }
}

/// Which commands use the data directory of `project` from now on, and which they do not use any more.
fn who_uses_it(project: &Path, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let named = variable(barista_locate::DATA_DIR_VARIABLE).filter(|value| !value.is_empty());
    let mut text = match named {
        None => format!(
            "Every command in {} or below uses that data directory now.",
            project.display()
        ),
        Some(named) => format!(
            "But {variable} is set and wins: commands use {} until you unset {variable}.",
            named.display(),
            variable = barista_locate::DATA_DIR_VARIABLE
        ),
    };
    let outer = project.parent().and_then(barista_locate::project_data_dir);
    if let Some(outer) = outer {
        text.push_str(&format!(
            " It hides the data directory of the project around it, {}, from everything in {}.",
            outer.path.display(),
            project.display()
        ));
    }
    text
}

/// What is in a directory that Barista does not make, by name.
fn others_in(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_ours = |name: &String| {
        OURS.contains(&name.as_str()) || DATABASES.iter().any(|database| name.starts_with(database))
    };
    let mut others: Vec<String> = names.filter(|name| !is_ours(name)).collect();
    others.sort();
    others.iter().map(|name| text::line(name)).collect()
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    fn init(directory: &Path) -> Exit {
        let words = ["barista", "--quiet", "init"].map(OsString::from);
        let words = words.into_iter().chain([directory.as_os_str().to_owned()]);
        crate::app::run(Cli::parse_from(words))
    }

    #[test]
    fn a_project_gets_its_data_directory_once() {
        let project = tempfile::tempdir().expect("a directory");
        assert_eq!(init(project.path()), Exit::Done);
        let config = project.path().join("data/barista.toml");
        assert_eq!(fs::read_to_string(&config).expect("a file"), CONFIG);
        fs::write(&config, "mine").expect("written");
        assert_eq!(init(project.path()), Exit::Conflict);
        assert_eq!(fs::read_to_string(&config).expect("a file"), "mine");
    }

    #[test]
    fn files_of_somebody_else_are_not_ignored_and_another_directory_is_refused() {
        let project = tempfile::tempdir().expect("a directory");
        let data = project.path().join("data");
        fs::create_dir(&data).expect("a directory");
        fs::write(data.join("prices.csv"), "").expect("written");
        assert_eq!(init(project.path()), Exit::Done);
        let ignored = fs::read_to_string(data.join(".gitignore")).expect("a file");
        assert!(
            ignored
                .lines()
                .all(|line| line.starts_with('/') && line.len() > 2),
            "{ignored}"
        );
        let words = ["barista", "--quiet", "--data-dir", "/elsewhere", "init"];
        assert_eq!(crate::app::run(Cli::parse_from(words)), Exit::Usage);
    }

    #[test]
    fn what_wins_over_a_project_and_what_it_hides_is_said() {
        let outer = tempfile::tempdir().expect("a directory");
        assert_eq!(init(outer.path()), Exit::Done);
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).expect("a directory");
        let told = |value: &str| who_uses_it(&inner, |_| Some(value.into()));
        let hidden = outer.path().join("data").display().to_string();
        assert!(told("").starts_with("Every command in "), "{}", told(""));
        assert!(told("").contains(&hidden), "{}", told(""));
        assert!(told("/elsewhere").contains("commands use /elsewhere until"));
        let alone = who_uses_it(outer.path(), |_| None);
        assert!(!alone.contains("hides"), "{alone}");
    }

    #[test]
    fn what_a_project_ignores_already_stays() {
        let project = tempfile::tempdir().expect("a directory");
        fs::create_dir(project.path().join("data")).expect("a directory");
        let ignore = project.path().join("data/.gitignore");
        fs::write(&ignore, "own\n").expect("written");
        assert_eq!(init(project.path()), Exit::Done);
        assert_eq!(fs::read_to_string(&ignore).expect("a file"), "own\n");
    }
}
