//! The secret that makes notifications an agent's own.
//!
//! Over the agent socket a notification belongs to whoever knows the key that it was created with. So the key must outlive the process that
//! asks, or nobody could wait for the answer later; and it is sent over no other socket.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

use crate::error::Error;
use crate::pb::admin::v1::{Authority, ServerInfo};
use crate::target::create_private;

/// The metadata that carries the key.
pub(crate) const KEY_HEADER: &str = "barista-session-key";
/// The environment variable that holds a key.
pub const SESSION_KEY_VARIABLE: &str = "BARISTA_SESSION_KEY";
/// Where a key is kept, in the user's directory for state.
const KEY_FILE: &str = "barista/session.key";

/// Where the secret for the agent socket comes from. It matters only there.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum SessionKey {
    /// From `BARISTA_SESSION_KEY`, else from `$XDG_STATE_HOME/barista/session.key` (by default in `~/.local/state`), which is made
    /// when it is missing: everything that this user runs in a sandbox shares it.
    #[default]
    Kept,
    /// This one: 32 to 128 characters of A to Z, a to z, 0 to 9, "-" and "_", made at random.
    Given(String),
    /// A new one for this client. What it has asked is out of reach when it ends.
    Fresh,
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "Kept",
            Self::Given(_) => "Given(…)",
            Self::Fresh => "Fresh",
        })
    }
}

/// A key that is looked for when it is needed first.
#[derive(Debug)]
pub(crate) struct LazyKey {
    source: SessionKey,
    value: OnceLock<MetadataValue<Ascii>>,
}

impl LazyKey {
    pub(crate) fn new(source: SessionKey) -> Self {
        Self {
            source,
            value: OnceLock::new(),
        }
    }

    /// The key for a connection to the daemon `info`: none where that serves us as a person.
    pub(crate) fn for_daemon(
        &self,
        info: &ServerInfo,
    ) -> Result<Option<MetadataValue<Ascii>>, Error> {
        if info.authority() != Authority::Agent {
            return Ok(None);
        }
        if let Some(value) = self.value.get() {
            return Ok(Some(value.clone()));
        }
        let key = match &self.source {
            SessionKey::Given(key) => key.clone(),
            SessionKey::Fresh => fresh(),
            SessionKey::Kept => match variable(SESSION_KEY_VARIABLE) {
                Some(key) => key,
                None => kept(&key_file()?)?,
            },
        };
        let mut value: MetadataValue<Ascii> = key
            .parse()
            .map_err(|_| problem("it has characters that no key has"))?;
        value.set_sensitive(true);
        Ok(Some(self.value.get_or_init(|| value).clone()))
    }
}

fn problem(reason: impl Into<String>) -> Error {
    Error::SessionKey {
        reason: reason.into(),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn fresh() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn key_file() -> Result<PathBuf, Error> {
    variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")))
        .map(|state| state.join(KEY_FILE))
        .ok_or_else(|| problem("neither XDG_STATE_HOME nor HOME says where to keep one"))
}

/// Reads the key in `path`, or makes one there. Of several processes that come at once, all get the same.
fn kept(path: &Path) -> Result<String, Error> {
    let failed =
        |error: io::Error| problem(format!("cannot keep one in {}: {error}", path.display()));
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map_err(failed),
    }
    if let Some(directory) = path.parent() {
        create_private(directory).map_err(|error| problem(format!("cannot keep one: {error}")))?;
    }
    let draft = path.with_extension(Uuid::new_v4().simple().to_string());
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| writeln!(file, "{}", fresh()))
        // Unlike a rename this fails where another process was first, and never shows half a file.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = fs::remove_file(&draft);
    written.and_then(|()| read(path)).map_err(failed)
}

/// Reads a key that nobody else can know.
fn read(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    let uid = rustix::process::geteuid().as_raw();
    if !metadata.is_file() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        let rule = "it is not a file that only you can read; remove it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, rule));
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_kept_key_stays_the_same_and_is_private() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("state/barista/session.key");
        let key = kept(&path).expect("made");
        assert_eq!(key.len(), 64);
        assert_eq!(kept(&path).expect("read"), key);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let directory = path.parent().expect("a directory");
        assert_eq!(fs::read_dir(directory).expect("readable").count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("session.key");
        kept(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("opened");
        let error = kept(&path).expect_err("refused").to_string();
        assert!(error.contains("remove it"), "{error}");
    }

    #[test]
    fn a_key_is_only_for_the_agent_socket_and_never_shown() {
        let key = LazyKey::new(SessionKey::Given("s".repeat(32)));
        let info = |authority: Authority| ServerInfo {
            authority: authority.into(),
            ..ServerInfo::default()
        };
        let of = |authority| key.for_daemon(&info(authority)).expect("a key or none");
        assert!(of(Authority::Unspecified).is_none());
        assert!(of(Authority::Person).is_none());
        assert!(of(Authority::Agent).is_some());
        let shown = format!("{key:?}");
        assert!(!shown.contains("ssss"), "{shown}");
    }
}
