//! The rules, as functions of what was found: whoever runs the tests, they can be tried on every owner and mode.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path};

use super::{FileIdentity, Rule};

/// What lies at a path; a symbolic link counts as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Socket,
    /// A symbolic link, a device, a pipe.
    Other,
}

/// What `lstat` says about a path, as far as a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The permission bits, without the type.
    pub(crate) mode: u32,
    pub(crate) identity: FileIdentity,
}

impl Facts {
    /// Looks `path` up. Neither follows a symbolic link nor opens anything.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        let kind = match found.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_socket() => Kind::Socket,
            _ => Kind::Other,
        };
        Ok(Self {
            kind,
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            identity: FileIdentity {
                device: found.dev(),
                inode: found.ino(),
            },
        })
    }
}

/// The identity of this process, as far as a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Us {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Us {
    pub(crate) fn of_this_process() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// The data directory: ours, and not writable by others.
pub(super) fn data_directory(facts: &Facts, us: Us) -> Result<(), Rule> {
    directory(facts, us)?;
    not_writable_by_others(facts, us)
}

/// A directory of ours. Its mode is not looked at: the caller corrects it, or asks [`private`].
pub(crate) fn directory(facts: &Facts, us: Us) -> Result<(), Rule> {
    if facts.kind != Kind::Directory {
        return Err(Rule::Directory);
    }
    owned(facts, us)
}

/// Nobody but its owner may do anything with it.
pub(crate) fn private(facts: &Facts) -> Result<(), Rule> {
    if facts.mode & 0o777 == 0o700 {
        Ok(())
    } else {
        Err(Rule::Private { mode: facts.mode })
    }
}

/// A database file, or one of the two beside it.
pub(super) fn database_file(facts: &Facts, us: Us) -> Result<(), Rule> {
    if facts.kind != Kind::File {
        return Err(Rule::RegularFile);
    }
    owned(facts, us)?;
    not_writable_by_others(facts, us)
}

fn owned(facts: &Facts, us: Us) -> Result<(), Rule> {
    if facts.uid == us.uid {
        return Ok(());
    }
    Err(Rule::Owner {
        found: facts.uid,
        expected: us.uid,
    })
}

/// The primary group is let in because on many systems it is the user's own (`umask 002`), and a directory or file made there has 0775 or 0664
/// without anybody's intent.
fn not_writable_by_others(facts: &Facts, us: Us) -> Result<(), Rule> {
    if facts.mode & 0o002 != 0 {
        return Err(Rule::NotWritableByOthers);
    }
    if facts.mode & 0o020 != 0 && facts.gid != us.gid {
        return Err(Rule::NotWritableByGroup);
    }
    Ok(())
}

/// A plain name: one component, nothing that a path means specially, and not the name of a file that SQLite keeps beside a database.
pub(super) fn file_name(name: &str) -> Result<(), Rule> {
    let mut components = Path::new(name).components();
    let single = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    );
    let beside = ["-wal", "-shm", "-journal"]
        .iter()
        .any(|end| name.ends_with(end));
    if single && !beside && !name.contains('\0') {
        Ok(())
    } else {
        Err(Rule::PlainName)
    }
}

/// Whether `path` lies below `directory`, compared by whole components: `/srv/data-evil/x` is not below `/srv/data`.
///
/// Both must be free of symbolic links; a path with `..` in it is never inside.
pub(super) fn is_inside(directory: &Path, path: &Path) -> bool {
    path.strip_prefix(directory).is_ok_and(|below| {
        below.components().next().is_some()
            && below
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Us = Us {
        uid: 1000,
        gid: 100,
    };

    fn facts(kind: Kind, mode: u32) -> Facts {
        let identity = FileIdentity {
            device: 1,
            inode: 2,
        };
        Facts {
            kind,
            uid: US.uid,
            gid: US.gid,
            mode,
            identity,
        }
    }

    #[test]
    fn the_data_directory_is_ours_and_closed_to_others() {
        let directory = |mode| facts(Kind::Directory, mode);
        for mode in [0o700, 0o750, 0o755, 0o775, 0o2775] {
            assert_eq!(data_directory(&directory(mode), US), Ok(()), "{mode:o}");
        }
        assert_eq!(
            data_directory(&directory(0o777), US),
            Err(Rule::NotWritableByOthers)
        );
        assert_eq!(
            data_directory(&directory(0o1777), US),
            Err(Rule::NotWritableByOthers),
            "the sticky bit keeps nobody from adding a -wal file"
        );
        let foreign_group = Facts {
            gid: 7,
            ..directory(0o770)
        };
        assert_eq!(
            data_directory(&foreign_group, US),
            Err(Rule::NotWritableByGroup)
        );
        assert_eq!(
            data_directory(
                &Facts {
                    gid: 7,
                    ..directory(0o750)
                },
                US
            ),
            Ok(())
        );
        assert_eq!(
            data_directory(&facts(Kind::Other, 0o700), US),
            Err(Rule::Directory)
        );
    }

    #[test]
    fn a_foreign_owner_is_refused_even_for_root() {
        let foreign = Facts {
            uid: 65534,
            ..facts(Kind::Directory, 0o700)
        };
        let root = Us { uid: 0, gid: 0 };
        for us in [US, root] {
            let expected = Rule::Owner {
                found: 65534,
                expected: us.uid,
            };
            assert_eq!(data_directory(&foreign, us), Err(expected.clone()));
            assert_eq!(directory(&foreign, us), Err(expected.clone()));
            assert_eq!(
                database_file(
                    &Facts {
                        kind: Kind::File,
                        ..foreign
                    },
                    us
                ),
                Err(expected)
            );
        }
    }

    #[test]
    fn a_database_is_a_regular_file() {
        assert_eq!(database_file(&facts(Kind::File, 0o644), US), Ok(()));
        for kind in [Kind::Directory, Kind::Socket, Kind::Other] {
            assert_eq!(
                database_file(&facts(kind, 0o600), US),
                Err(Rule::RegularFile)
            );
        }
        assert_eq!(
            database_file(&facts(Kind::File, 0o646), US),
            Err(Rule::NotWritableByOthers)
        );
    }

    #[test]
    fn private_means_0700() {
        assert_eq!(private(&facts(Kind::Directory, 0o700)), Ok(()));
        for mode in [0o755, 0o710, 0o500] {
            assert_eq!(
                private(&facts(Kind::Directory, mode)),
                Err(Rule::Private { mode })
            );
        }
    }

    #[test]
    fn only_plain_names_name_a_database() {
        for name in [
            "notifications.db",
            "a",
            ".hidden",
            "with space.db",
            "ümlaut.db",
        ] {
            assert_eq!(file_name(name), Ok(()), "{name}");
        }
        let wrong = [
            "", ".", "..", "/", "a/b", "a/", "/a", "./a", "../a", "a/..", "a\0b", "x.db-wal",
            "x.db-shm",
        ];
        for name in wrong {
            assert_eq!(file_name(name), Err(Rule::PlainName), "{name:?}");
        }
    }

    #[test]
    fn inside_is_judged_by_components() {
        let inside = |path: &str| is_inside(Path::new("/srv/data"), Path::new(path));
        assert!(inside("/srv/data/x.db") && inside("/srv/data/a/b"));
        for path in [
            "/srv/data-evil/x.db",
            "/srv/data",
            "/srv/data/..",
            "/srv/data/../x",
            "/srv",
            "srv/data/x",
            "/srv/data/a/../../x",
        ] {
            assert!(!inside(path), "{path}");
        }
    }
}
