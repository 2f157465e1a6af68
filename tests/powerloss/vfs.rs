//! The layer between SQLite and the operating system, which writes down what goes through it.
//!
//! It is SQLite's own for Unix, and stays that: the same file objects, locks and shared memory. Only four methods of a file (write, truncate,
//! sync, close) and two of the layer (open, delete) are replaced by ones that call the original and record what it did. The sync of a
//! directory has no method; SQLite opens the directory for it through a system call that can be replaced.
#![expect(
    unsafe_code,
    reason = "SQLite knows its files through tables of C functions; there is no safe way to stand in between"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock};

use rusqlite::ffi::{
    SQLITE_OK, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find,
    sqlite3_vfs_register,
};

use crate::recording::{Operation, Recording};

/// SQLite's word for the call that opens the directory of a file, to sync it.
const OPEN_DIRECTORY: &CStr = c"openDirectory";

/// Any system call, as SQLite's table has it.
type SystemCall = unsafe extern "C" fn();
type OpenDirectory = unsafe extern "C" fn(*const c_char, *mut c_int) -> c_int;

/// What lies below: set once, before anybody opens a file.
struct Below {
    vfs: *mut sqlite3_vfs,
    open_directory: OpenDirectory,
}

// SAFETY: the layer below is a static of SQLite that threads share; only its constant fields are read here.
unsafe impl Send for Below {}
// SAFETY: as above.
unsafe impl Sync for Below {}

static BELOW: OnceLock<Below> = OnceLock::new();

/// The directories that are recorded.
static RECORDINGS: Mutex<BTreeMap<PathBuf, Arc<Recording>>> = Mutex::new(BTreeMap::new());

fn below() -> &'static Below {
    BELOW
        .get()
        .expect("the layer is registered before it is used")
}

/// Records what SQLite does with the files of `directory` from now on, in any connection of this process.
pub(crate) fn record(directory: &Path, recording: Arc<Recording>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    let directory = directory.canonicalize().expect("a directory");
    let mut recordings = RECORDINGS.lock().expect("no panic");
    recordings.insert(directory, recording);
}

fn recording_of(path: &Path) -> Option<Arc<Recording>> {
    let recordings = RECORDINGS.lock().expect("no panic");
    recordings.get(path.parent()?).cloned()
}

/// What lies behind the file object of the layer below, in the memory that SQLite makes for both.
#[repr(C)]
#[derive(Clone, Copy)]
struct Trailer {
    original: *const sqlite3_io_methods,
    /// From `Arc::into_raw`; given back when the file is closed.
    recording: *const Recording,
    file: usize,
}

/// Makes this the layer that connections use unless they name another one.
fn register() {
    // SAFETY: a null name asks for the default layer, a static that lives as long as the process.
    let vfs = unsafe { sqlite3_vfs_find(std::ptr::null()) };
    // SAFETY: there is a default layer in every build but those that say otherwise.
    let original = unsafe { vfs.as_ref() }.expect("a default layer");
    let get = original.xGetSystemCall.expect("the layer for Unix");
    let set = original.xSetSystemCall.expect("the layer for Unix");
    // SAFETY: called as SQLite's documentation says, with a name from its table.
    let found = unsafe { get(vfs, OPEN_DIRECTORY.as_ptr()) }.expect("a system call");
    // SAFETY: this is the type that SQLite gives the function of this name.
    let open_directory = unsafe { std::mem::transmute::<SystemCall, OpenDirectory>(found) };
    let registered = BELOW.set(Below {
        vfs,
        open_directory,
    });
    assert!(registered.is_ok(), "registered twice");
    let replacement: OpenDirectory = open_directory_recorded;
    // SAFETY: a function pointer as SQLite keeps all of them, to be called with the type that it has.
    let replacement = unsafe { std::mem::transmute::<OpenDirectory, SystemCall>(replacement) };
    // SAFETY: as for `get` above.
    let outcome = unsafe { set(vfs, OPEN_DIRECTORY.as_ptr(), Some(replacement)) };
    assert_eq!(outcome, SQLITE_OK);
    let trailer = c_int::try_from(size_of::<Trailer>()).expect("small");
    let recorder = Box::leak(Box::new(sqlite3_vfs {
        szOsFile: original.szOsFile + trailer,
        pNext: std::ptr::null_mut(),
        zName: c"recording".as_ptr(),
        xOpen: Some(open),
        xDelete: Some(delete),
        // The methods below look at nothing of the layer but its longest path.
        ..*original
    }));
    // SAFETY: the structure is leaked, so it lives as long as SQLite may use it.
    let outcome = unsafe { sqlite3_vfs_register(recorder, 1) };
    assert_eq!(outcome, SQLITE_OK);
}

/// # Safety
///
/// `name` is null or a C string.
unsafe fn path(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    Some(OsStr::from_bytes(name.to_bytes()).into())
}

/// # Safety
///
/// `file` was opened by [`open`] and is not closed.
unsafe fn trailer(file: *mut sqlite3_file) -> *mut Trailer {
    // SAFETY: the layer below lives for ever.
    let size = unsafe { (*below().vfs).szOsFile };
    let size = usize::try_from(size).expect("a size");
    // SAFETY: SQLite has made as much memory as the registered layer says: the object of the layer below, and a trailer.
    unsafe { file.cast::<u8>().add(size).cast() }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let vfs = below().vfs;
    // SAFETY: SQLite calls with a C string, or null for a temporary file.
    let path = unsafe { path(name) };
    let recording = path.as_deref().and_then(recording_of);
    // SAFETY: the arguments are those of SQLite; the memory at `file` is larger than the layer below needs.
    let outcome = unsafe { ((*vfs).xOpen.expect("open"))(vfs, name, file, flags, out_flags) };
    // SAFETY: SQLite's contract: the methods are set where there is something to close.
    let original = unsafe { (*file).pMethods };
    if outcome != SQLITE_OK || original.is_null() {
        return outcome;
    }
    let number = match (&recording, &path) {
        (Some(recording), Some(path)) => recording.opened(path),
        _ => 0,
    };
    let behind = Trailer {
        original,
        recording: recording.map_or(std::ptr::null(), Arc::into_raw),
        file: number,
    };
    // SAFETY: the memory for the trailer is there, and nobody else uses it.
    unsafe { trailer(file).write_unaligned(behind) };
    // SAFETY: the file is open, and the methods are a valid table for objects of its layer.
    unsafe { (*file).pMethods = recording_methods(original) };
    outcome
}

/// The methods of the layer below, four of them replaced. There are few such tables, and each is made once.
///
/// # Safety
///
/// `original` is a table of methods that lives for ever.
unsafe fn recording_methods(original: *const sqlite3_io_methods) -> *const sqlite3_io_methods {
    static TABLES: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());
    let mut tables = TABLES.lock().expect("no panic");
    let table = tables
        .entry(original.expose_provenance())
        .or_insert_with(|| {
            let methods = Box::leak(Box::new(sqlite3_io_methods {
                xWrite: Some(write),
                xTruncate: Some(truncate),
                xSync: Some(sync),
                xClose: Some(close),
                // SAFETY: the caller's promise.
                ..unsafe { *original }
            }));
            std::ptr::from_mut(methods).expose_provenance()
        });
    std::ptr::with_exposed_provenance(*table)
}

/// What is recorded of an open file, and the methods below.
///
/// # Safety
///
/// `file` was opened by [`open`] and is not closed.
unsafe fn opened(
    file: *mut sqlite3_file,
) -> (
    &'static sqlite3_io_methods,
    Option<&'static Recording>,
    usize,
) {
    // SAFETY: the caller's promise.
    let behind = unsafe { trailer(file).read_unaligned() };
    // SAFETY: SQLite's tables are statics; the recording is kept alive by the trailer, and all of it is used before the file is closed.
    unsafe { (&*behind.original, behind.recording.as_ref(), behind.file) }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls with a file that is open.
    let (methods, recording, number) = unsafe { opened(file) };
    if let Some(code) = recording.and_then(|recording| recording.refuses(Operation::Write)) {
        return code;
    }
    // SAFETY: the arguments are those of SQLite.
    let outcome = unsafe { (methods.xWrite.expect("write"))(file, data, length, offset) };
    if let (SQLITE_OK, Some(recording)) = (outcome, recording) {
        let length = usize::try_from(length).expect("a length");
        // SAFETY: SQLite hands over as many bytes as it says.
        let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
        recording.written(number, offset, data);
    }
    outcome
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls with a file that is open.
    let (methods, recording, number) = unsafe { opened(file) };
    // SAFETY: the arguments are those of SQLite.
    let outcome = unsafe { (methods.xTruncate.expect("truncate"))(file, size) };
    if let (SQLITE_OK, Some(recording)) = (outcome, recording) {
        recording.truncated(number, size);
    }
    outcome
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that is open.
    let (methods, recording, number) = unsafe { opened(file) };
    // What is written while the sync goes on may be too late for it.
    let begun = recording.map(Recording::position);
    if let (Some(recording), Some(begun)) = (recording, begun)
        && let Some(code) = recording.refuses(Operation::Sync)
    {
        recording.sync_failed(number, begun);
        return code;
    }
    // SAFETY: the arguments are those of SQLite.
    let outcome = unsafe { (methods.xSync.expect("sync"))(file, flags) };
    if let (SQLITE_OK, Some(recording), Some(begun)) = (outcome, recording, begun) {
        recording.synced(number, begun);
    }
    outcome
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls with a file that is open.
    let behind = unsafe { trailer(file).read_unaligned() };
    // SAFETY: as above; the methods below find the object that they know.
    let outcome = unsafe { ((*behind.original).xClose.expect("close"))(file) };
    if !behind.recording.is_null() {
        // SAFETY: the pointer came from `Arc::into_raw` in `open`, and a file is closed once.
        drop(unsafe { Arc::from_raw(behind.recording) });
    }
    outcome
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let vfs = below().vfs;
    // SAFETY: SQLite calls with a C string.
    let path = unsafe { path(name) };
    let recording = path.as_deref().and_then(recording_of);
    // Before, as the layer below syncs the directory on the way where it is asked to.
    if let (Some(recording), Some(path)) = (&recording, &path)
        && path.exists()
    {
        recording.deleted(path);
    }
    // SAFETY: the arguments are those of SQLite.
    unsafe { ((*vfs).xDelete.expect("delete"))(vfs, name, sync) }
}

/// SQLite opens the directory of a file for nothing but to sync it, right after.
unsafe extern "C" fn open_directory_recorded(name: *const c_char, descriptor: *mut c_int) -> c_int {
    // SAFETY: SQLite calls with a C string.
    let path = unsafe { path(name) };
    // SAFETY: the arguments are those of SQLite.
    let outcome = unsafe { (below().open_directory)(name, descriptor) };
    if let (SQLITE_OK, Some(recording)) = (outcome, path.as_deref().and_then(recording_of)) {
        recording.directory_synced();
    }
    outcome
}
