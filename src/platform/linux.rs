//! Linux: `/proc`, `statfs` types, resource limits.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::unix::AsyncFd;

use super::{FileSystem, FileUser, ProcessUsage, WalLockHolder, WalLockKind};

/// Types of local file systems by their `statfs` number (`linux/magic.h` and `statfs(2)`).
const LOCAL: &[(u32, &str)] = &[
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (BTRFS, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (OVERLAY, "overlay"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    (0xf15f, "ecryptfs"),
    (0x8584_58f6, "ramfs"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
];

/// Types whose files another kernel may change, or that a process serves.
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    // Every FUSE file system has this number: sshfs, s3fs, virtiofs, gcsfuse, the shared folders of container desktops.
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x564c, "ncpfs"),
    (0x0bd0_0bd0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x2003_0528, "orangefs"),
    (0xaad7_aaea, "panfs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x7c7c_6673, "prl_fs"),
];

const BTRFS: u32 = 0x9123_683e;
const OVERLAY: u32 = 0x794c_7630;

/// Tells the kind of file system that `path` lies on.
///
/// # Errors
///
/// What `statfs` says, such as "not found".
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    Ok(describe(type_number(path)?))
}

/// The number is 32 bits wide, and sign-extended or not depending on the machine.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the upper half holds nothing"
)]
fn type_number(path: &Path) -> io::Result<u32> {
    Ok(rustix::fs::statfs(path)?.f_type as u32)
}

fn describe(number: u32) -> FileSystem {
    let name_in = |list: &[(u32, &str)]| {
        list.iter()
            .find(|(n, _)| *n == number)
            .map(|(_, name)| (*name).to_owned())
    };
    if let Some(name) = name_in(NETWORK) {
        return FileSystem {
            name,
            is_network: true,
        };
    }
    let name = name_in(LOCAL).unwrap_or_else(|| format!("{number:#x}"));
    FileSystem {
        name,
        is_network: false,
    }
}

/// The name of the program that process `pid` runs, at most 15 characters; `None` when there is no such process.
#[must_use]
pub fn process_name(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()
        .map(|name| name.trim_end().to_owned())
}

/// What this process uses of the machine, from `/proc`.
#[must_use]
pub fn process_usage() -> ProcessUsage {
    let pages: Option<u64> = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    let page_size = rustix::param::page_size() as u64;
    // One of the descriptors is that of the listing.
    let listed = std::fs::read_dir("/proc/self/fd").map(|listing| listing.count() as u64);
    ProcessUsage {
        resident_bytes: pages.map(|pages| pages.saturating_mul(page_size)),
        open_files: listed.ok().map(|count| count.saturating_sub(1)),
        max_files: getrlimit(Resource::Nofile).current,
        cpu_time: std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| cpu_time(&text)),
    }
}

/// The processor time in the text of `/proc/PID/stat`. The name of the program stands in parentheses before, and may hold anything.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(
        (user + system).saturating_mul(1_000) / ticks_per_second,
    ))
}

/// Tells when a file is written to, by whoever. It opens no descriptor of the file itself.
#[derive(Debug)]
pub struct WriteWatch {
    inotify: AsyncFd<OwnedFd>,
}

impl WriteWatch {
    /// Begins to watch the file at `path`. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// What inotify says: the file is not there, or the user watches too many files already.
    pub fn new(path: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let ends = WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        inotify::add_watch(&inotify, path, WatchFlags::MODIFY | ends)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, as a type could name another descriptor than its own; OwnedFd does not"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(Self { inotify })
    }

    /// Waits until the file has been written to since this returned last.
    ///
    /// # Errors
    ///
    /// `NotFound` when the file may no longer be at its path: it was moved, or lost a name. One that somebody has open goes on existing after
    /// that, and nobody would write to it any more.
    pub async fn written(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.try_io(|inotify| drain(inotify.get_ref())) {
                Ok(outcome) => return outcome,
                // Woken for nothing.
                Err(_would_block) => {}
            }
        }
    }
}

/// Takes all events that wait. `WouldBlock` where there is none.
fn drain(inotify: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = Reader::new(inotify, &mut buffer);
    let mut any = false;
    loop {
        match events.next() {
            Ok(event) if !event.events().contains(ReadFlags::MODIFY) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(_) => any = true,
            Err(rustix::io::Errno::WOULDBLOCK) if any => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets the process open as many files as it is permitted to, and returns that number.
///
/// # Errors
///
/// What `setrlimit` says.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The processes that hold a `flock` lock on `path`, by their ids. The file is not opened.
///
/// # Errors
///
/// When `path` or `/proc/locks` cannot be read.
pub fn file_lock_holders(path: &Path) -> io::Result<Vec<u32>> {
    let locks = locks_on(path)?;
    Ok(locks
        .into_iter()
        .filter(|lock| lock.family == Family::Flock)
        .map(|lock| lock.pid)
        .collect())
}

/// The processes that hold locks on a write-ahead log, this one included, given its shared-memory file (`…-shm`). One entry for each process and kind.
///
/// The file is only looked up: opening and closing it would drop this process's own locks on it.
///
/// # Errors
///
/// When `/proc/locks` cannot be read. A missing file has no locks: that is no error.
pub fn wal_lock_holders(shared_memory: &Path) -> io::Result<Vec<WalLockHolder>> {
    let locks = match locks_on(shared_memory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut holders: Vec<WalLockHolder> = locks
        .iter()
        .filter(|lock| lock.family == Family::Posix)
        .flat_map(|lock| wal_kinds(lock).map(|kind| (lock.pid, kind)))
        .map(|(pid, kind)| WalLockHolder {
            pid,
            command: process_name(pid).unwrap_or_default(),
            kind,
        })
        .collect();
    holders.sort();
    holders.dedup();
    Ok(holders)
}

/// The processes that hold POSIX locks on a file, this one included: everybody who has a database open holds one on it, and in WAL mode one on its
/// shared-memory file, too.
///
/// # Errors
///
/// When `/proc/locks` cannot be read. A missing file has no users: that is no error.
pub fn file_users(path: &Path) -> io::Result<Vec<FileUser>> {
    let locks = match locks_on(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let posix = locks.iter().filter(|lock| lock.family == Family::Posix);
    let mut users: Vec<FileUser> = posix
        .map(|lock| FileUser {
            pid: lock.pid,
            is_alone: lock.exclusive,
        })
        .collect();
    users.sort();
    users.dedup();
    Ok(users)
}

/// What a range of locked bytes of the shared-memory file means: SQLite locks byte 120 to write, 121 to checkpoint, 122 to recover, and shares
/// one of 123 to 127 to read.
///
/// A read mark that is locked exclusively is one that is being moved, not a reader. The kernel merges neighbouring ranges, so one range can
/// mean several things.
fn wal_kinds(lock: &Lock) -> impl Iterator<Item = WalLockKind> + use<> {
    let covers = |first: u64, last: u64| lock.start <= last && first <= lock.end;
    let exclusive = lock.exclusive;
    [
        (WalLockKind::Write, exclusive && covers(120, 120)),
        (WalLockKind::Checkpoint, exclusive && covers(121, 121)),
        (WalLockKind::Recover, exclusive && covers(122, 122)),
        (WalLockKind::Read, !exclusive && covers(123, 127)),
    ]
    .into_iter()
    .filter_map(|(kind, held)| held.then_some(kind))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Posix,
    Flock,
}

/// One granted lock of `/proc/locks`; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lock {
    family: Family,
    exclusive: bool,
    pid: u32,
    device: (u32, u32),
    inode: u64,
    start: u64,
    end: u64,
}

fn locks_on(path: &Path) -> io::Result<Vec<Lock>> {
    let found = std::fs::symlink_metadata(path)?;
    let device = (
        rustix::fs::major(found.dev()),
        rustix::fs::minor(found.dev()),
    );
    // These two show a made-up device in stat(2), and the real one in /proc/locks.
    let device_differs = matches!(type_number(path)?, BTRFS | OVERLAY);
    let locks = std::fs::read_to_string("/proc/locks")?;
    Ok(locks
        .lines()
        .filter_map(parse_lock)
        .filter(|lock| lock.inode == found.ino() && (device_differs || lock.device == device))
        .collect())
}

/// Reads a line such as `3: POSIX  ADVISORY  READ 4711 08:01:131 124 124`.
///
/// `None` for a process that waits for a lock (an arrow in the second column), and for kinds of locks that SQLite does not use.
fn parse_lock(line: &str) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let family = match words.next()? {
        "POSIX" => Family::Posix,
        "FLOCK" => Family::Flock,
        _ => return None,
    };
    let exclusive = words.nth(1)? == "WRITE";
    // A holder outside the daemon's process namespace is shown as 0 or -1.
    let pid = u32::try_from(words.next()?.parse::<i64>().ok()?).unwrap_or(0);
    let mut file = words.next()?.split(':');
    let (major, minor) = (file.next()?, file.next()?);
    let device = (
        u32::from_str_radix(major, 16).ok()?,
        u32::from_str_radix(minor, 16).ok()?,
    );
    let inode = file.next()?.parse().ok()?;
    let start = words.next()?.parse().ok()?;
    let end = match words.next()? {
        "EOF" => u64::MAX,
        end => end.parse().ok()?,
    };
    Some(Lock {
        family,
        exclusive,
        pid,
        device,
        inode,
        start,
        end,
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn a_watched_file_tells_of_writes_and_of_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "").expect("a file");
        let mut watch = WriteWatch::new(&path).expect("a watch");
        std::fs::write(&path, "one").expect("written");
        watch.written().await.expect("told");
        let _somebody = std::fs::File::open(&path).expect("opened");
        std::fs::remove_file(&path).expect("removed");
        let ended = watch.written().await.expect_err("nothing is left to watch");
        assert_eq!(ended.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn file_systems_are_known_by_name() {
        assert_eq!(
            describe(0x6969),
            FileSystem {
                name: "nfs".into(),
                is_network: true
            }
        );
        assert_eq!(
            describe(0x6573_5546),
            FileSystem {
                name: "fuse".into(),
                is_network: true
            }
        );
        assert_eq!(
            describe(0xef53),
            FileSystem {
                name: "ext4".into(),
                is_network: false
            }
        );
        assert_eq!(
            describe(0x1234),
            FileSystem {
                name: "0x1234".into(),
                is_network: false
            }
        );
        let proc = file_system(Path::new("/proc")).expect("statfs");
        assert_eq!(proc.name, "0x9fa0");
        assert!(
            !file_system(&std::env::temp_dir())
                .expect("statfs")
                .is_network
        );
    }

    #[test]
    fn lines_of_proc_locks_are_read() {
        let lock = parse_lock("3: POSIX  ADVISORY  READ 4711 08:1f:131 124 127").expect("a lock");
        assert_eq!(
            lock,
            Lock {
                family: Family::Posix,
                exclusive: false,
                pid: 4711,
                device: (8, 0x1f),
                inode: 131,
                start: 124,
                end: 127
            }
        );
        let whole = parse_lock("1: FLOCK  ADVISORY  WRITE -1 fe:00:9 0 EOF").expect("a lock");
        assert_eq!((whole.pid, whole.start, whole.end), (0, 0, u64::MAX));
        assert_eq!(whole.family, Family::Flock);
        for line in [
            "",
            "2: -> POSIX  ADVISORY  WRITE 12 08:01:131 120 120",
            "1: LEASE  ACTIVE    READ 1 08:01:4 0 EOF",
            "1: POSIX  ADVISORY  READ 1 08:01 0 EOF",
            "1: POSIX  ADVISORY  READ",
        ] {
            assert_eq!(parse_lock(line), None, "{line}");
        }
    }

    #[test]
    fn locked_bytes_tell_what_a_process_does() {
        let kinds = |exclusive, start, end| {
            let lock = Lock {
                family: Family::Posix,
                exclusive,
                pid: 1,
                device: (0, 0),
                inode: 1,
                start,
                end,
            };
            wal_kinds(&lock).collect::<Vec<_>>()
        };
        assert_eq!(kinds(true, 120, 120), [WalLockKind::Write]);
        assert_eq!(
            kinds(true, 120, 121),
            [WalLockKind::Write, WalLockKind::Checkpoint]
        );
        assert_eq!(kinds(true, 122, 122), [WalLockKind::Recover]);
        assert_eq!(kinds(false, 124, 124), [WalLockKind::Read]);
        assert_eq!(kinds(true, 124, 127), [], "a read mark that is moved");
        assert_eq!(
            kinds(false, 128, 128),
            [],
            "held by everybody who has the file open"
        );
    }

    #[test]
    fn a_log_without_locks_has_no_holders() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.db-shm");
        assert_eq!(wal_lock_holders(&path).expect("no file"), []);
        std::fs::write(&path, [0; 256]).expect("a file");
        assert_eq!(wal_lock_holders(&path).expect("no lock"), []);
    }

    #[test]
    fn the_holder_of_a_file_lock_is_found() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(file_lock_holders(file.path()).expect("locks"), [0; 0]);
        rustix::fs::flock(
            file.as_file().as_fd(),
            rustix::fs::FlockOperation::LockExclusive,
        )
        .expect("a lock");
        assert_eq!(
            file_lock_holders(file.path()).expect("locks"),
            [std::process::id()]
        );
    }

    #[test]
    fn whoever_has_a_file_to_itself_is_found() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(file_users(file.path()).expect("locks"), []);
        rustix::fs::fcntl_lock(file.as_file(), rustix::fs::FlockOperation::LockExclusive)
            .expect("a lock");
        let user = FileUser {
            pid: std::process::id(),
            is_alone: true,
        };
        assert_eq!(file_users(file.path()).expect("locks"), [user]);
        let missing = file_users(Path::new("/nowhere/x.db"));
        assert_eq!(missing.expect("no file"), []);
    }

    #[test]
    fn this_process_has_a_name_and_room_for_files() {
        assert!(process_name(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(process_name(0), None);
        let raised = raise_open_files_limit().expect("raised");
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            raised
        );
        assert!(super::super::available_bytes(Path::new("/")).expect("statvfs") > 0);
    }
}
