//! `baristad --verify`, `--restore` and `--vacuum`: work on databases while no daemon serves them. `barista db` runs it, as the command line does not
//! know SQLite.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::Arguments;
use crate::config::Config;
use crate::daemon::{self, SystemClock};
use crate::data_dir::{BackupFile, DataDir, DatabaseFile, DatabasePath};
use crate::domain::clock::Clock;
use crate::instance::Instance;
use crate::platform;
use crate::store::sqlite::{
    BackupContents, GivenOut, NOTIFICATIONS_FILE, TELEMETRY_FILE, examine_backup, given_out,
    prepare_restored, rebuild,
};

/// Does what `arguments` ask for instead of serving; `None` where they ask for nothing of the kind.
#[must_use]
pub fn run(arguments: &Arguments) -> Option<ExitCode> {
    let outcome = if let Some(file) = &arguments.verify {
        verify(file)
    } else if let Some(file) = &arguments.restore {
        restore(arguments, file)
    } else if arguments.vacuum {
        vacuum(arguments)
    } else {
        return None;
    };
    let code = outcome
        .map(|told| told.print(arguments.json))
        .unwrap_or_else(|error| {
            eprintln!("baristad: {error:#}");
            if let Some(remedy) = daemon::remedy(&error) {
                eprintln!("next: {remedy}");
            }
            daemon::exit_code(&error)
        });
    Some(ExitCode::from(code))
}

/// What to say at the end, to people and to programs.
struct Told {
    text: String,
    json: Value,
    code: u8,
}

impl Told {
    fn print(&self, json: bool) -> u8 {
        let text = if json {
            format!("{}\n", self.json)
        } else {
            self.text.clone()
        };
        // Whoever closed the pipe has seen enough.
        drop(std::io::stdout().write_all(text.as_bytes()));
        self.code
    }
}

fn look(file: &Path) -> anyhow::Result<(BackupFile, BackupContents)> {
    let file = BackupFile::find(file).map_err(anyhow::Error::msg)?;
    let contents = examine_backup(&file, SystemClock.now())
        .with_context(|| format!("{} cannot be read", file.path().display()))?;
    Ok((file, contents))
}

fn verify(file: &Path) -> anyhow::Result<Told> {
    let (file, contents) = look(file)?;
    let shown = file.path().display();
    let is_sound = contents.problems.is_empty();
    let text = if is_sound {
        format!(
            "{shown} is sound: {}, changes up to {}, {} bytes\nsha256 {}\n",
            count(&contents),
            contents.sequence,
            contents.size,
            contents.sha256
        )
    } else {
        let problems = contents.problems.iter();
        problems
            .map(|problem| format!("{shown}: {problem}\n"))
            .collect()
    };
    Ok(Told {
        text,
        json: json!({
            "path": shown.to_string(), "sound": is_sound, "problems": contents.problems, "sizeBytes": contents.size,
            "sha256": contents.sha256, "schemaVersion": contents.schema_version, "sequence": contents.sequence,
            "epoch": contents.epoch, "database": contents.database, records(&contents): contents.records,
        }),
        code: u8::from(!is_sound),
    })
}

/// The data directory of `arguments`, held for this process.
fn hold(arguments: &Arguments) -> anyhow::Result<(DataDir, Arc<Instance>)> {
    let current_dir =
        std::env::current_dir().context("the current directory is gone; change to another one")?;
    let variable = |name: &str| std::env::var_os(name);
    let located = barista_locate::data_dir(arguments.data_dir.as_deref(), variable, &current_dir)?;
    let config = Config::load(arguments, variable, &located.path)?;
    platform::make_new_files_private();
    let data_dir = daemon::open_data_dir(&located, &config)?;
    let instance = Arc::new(Instance::acquire(&data_dir)?);
    Ok((data_dir, instance))
}

/// Refuses to go on while another program has the database open: it would go on writing into the file that is moved away.
fn refuse_users(path: &DatabasePath) -> anyhow::Result<()> {
    // Whoever has the file to itself needs no shared memory.
    let mut users = platform::file_users(&path.path_of(DatabaseFile::SharedMemory))?;
    users.extend(platform::file_users(path.path())?);
    let Some(user) = users.first() else {
        return Ok(());
    };
    let name = platform::process_name(user.pid).unwrap_or_else(|| "a program".to_owned());
    bail!(
        "{} is in use by {name}, process {}; end it first",
        path.path().display(),
        user.pid
    )
}

fn restore(arguments: &Arguments, file: &Path) -> anyhow::Result<Told> {
    let (data_dir, _instance) = hold(arguments)?;
    let (file, contents) = look(file)?;
    let database = data_dir.database(contents.database)?;
    data_dir
        .finish_replacing(&database)
        .context("an earlier restore cannot be finished")?;
    refuse_users(&database)?;
    if file.path() == database.path() {
        bail!(
            "{} is the database itself; name a backup",
            file.path().display()
        );
    }
    if let Some(problem) = contents.problems.first() {
        bail!(
            "{} is not restored: {problem}; choose another backup",
            file.path().display()
        );
    }
    // Nothing was given out where there was nothing.
    let given_out = match database.path().symlink_metadata() {
        Ok(_) => given_out(&database),
        Err(_) => Some(GivenOut::default()),
    };
    let stamp = stamp();
    let replacement = data_dir
        .begin_replacing(&database, &stamp)
        .with_context(|| {
            format!(
                "cannot prepare replaced-{stamp} in {}",
                data_dir.path().display()
            )
        })?;
    let epoch = prepare_restored(&file, &replacement.path(), given_out.unwrap_or_default())
        .map_err(|error| {
            anyhow::anyhow!("the backup cannot be copied, and nothing was changed: {error}")
        })?;
    replacement
        .decide()
        .context("the backup cannot be made durable, and nothing was changed")?;
    let aside = data_dir
        .finish_replacing(&database)
        .context("the backup is ready, but not in its place yet; the next start of the daemon puts it there, or the same command again")?;
    let aside = aside.context("the backup has vanished before it was in its place")?;
    // A directory that has nothing in it keeps nothing.
    let aside = std::fs::remove_dir(&aside).is_err().then_some(aside);
    Ok(told(&file, &contents, &epoch, aside.as_deref(), given_out))
}

fn told(
    file: &BackupFile,
    contents: &BackupContents,
    epoch: &str,
    aside: Option<&Path>,
    given_out: Option<GivenOut>,
) -> Told {
    let mut text = format!(
        "Restored {}: {}, changes up to {}.\n",
        file.path().display(),
        count(contents),
        contents.sequence
    );
    if let Some(aside) = aside {
        text.push_str(&format!(
            "What was there before is in {}.\n",
            aside.display()
        ));
    }
    for name in &contents.consumers {
        text.push_str(&format!(
            "Consumer {name} is of the old history; move it: barista consumer reset {name} --since now, or oldest\n"
        ));
    }
    if given_out.is_none() {
        let records = records(contents);
        text.push_str(&format!("The database before could not be read, so new {records} may get ids that it had given out.\n"));
    }
    Told {
        text,
        json: json!({
            "path": file.path().display().to_string(), "replaced": aside.map(|aside| aside.display().to_string()), "epoch": epoch,
            "sequence": contents.sequence, "database": contents.database, records(contents): contents.records, "consumers": contents.consumers,
            "idsContinue": given_out.is_some(),
        }),
        code: 0,
    }
}

/// What a backup has many of.
fn records(contents: &BackupContents) -> &'static str {
    match contents.database {
        TELEMETRY_FILE => "observations",
        _ => "notifications",
    }
}

fn count(contents: &BackupContents) -> String {
    let records = records(contents);
    match contents.records {
        1 => format!("1 {}", records.trim_end_matches('s')),
        several => format!("{several} {records}"),
    }
}

/// A name for this moment.
fn stamp() -> String {
    let now = jiff::Timestamp::from_microsecond(SystemClock.now().as_micros()).unwrap_or_default();
    now.strftime("%Y%m%dT%H%M%S.%6fZ").to_string()
}

fn vacuum(arguments: &Arguments) -> anyhow::Result<Told> {
    let (data_dir, _instance) = hold(arguments)?;
    let database = data_dir.database(NOTIFICATIONS_FILE)?;
    let mut told = vacuum_one(&data_dir, &database)?;
    let telemetry = data_dir.database(TELEMETRY_FILE)?;
    if telemetry.identity().is_ok() {
        let other = vacuum_one(&data_dir, &telemetry)?;
        told.text.push_str(&other.text);
        told.json["telemetry"] = other.json;
    }
    Ok(told)
}

fn vacuum_one(data_dir: &DataDir, database: &DatabasePath) -> anyhow::Result<Told> {
    data_dir
        .finish_replacing(database)
        .context("an earlier restore cannot be finished")?;
    refuse_users(database)?;
    let size = database
        .path()
        .symlink_metadata()
        .with_context(|| format!("there is no {}", database.path().display()))?
        .len();
    let available = platform::available_bytes(data_dir.path())?;
    // A temporary copy, and another one in the log.
    let needed = size.saturating_mul(2);
    if available < needed {
        bail!(
            "rebuilding needs {needed} bytes of free space, and there are {available}; free some"
        );
    }
    let (before, after) = rebuild(database)?;
    Ok(Told {
        text: format!(
            "Rebuilt {}: {before} bytes before, {after} now.\n",
            database.path().display()
        ),
        json: json!({ "path": database.path().display().to_string(), "bytesBefore": before, "bytesAfter": after }),
        code: 0,
    })
}
