//! What was done to the files of a directory, in order, and when somebody was told that something is safe.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use crate::ledger::Promise;

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A file came into being under this name.
    Created { file: usize, name: String },
    /// Bytes were written.
    Written {
        file: usize,
        offset: usize,
        data: Vec<u8>,
    },
    /// The file got this size.
    Truncated { file: usize, size: usize },
    /// What was done to the file before the step `begun` is on the disk.
    Synced { file: usize, begun: usize },
    /// A sync failed: what was done to the file before the step `begun` never reaches the disk, though it can still be read. That is what
    /// Linux does: it drops the pages that it could not write from those that it still has to.
    SyncFailed { file: usize, begun: usize },
    /// A name was taken away.
    Deleted { name: String },
    /// The names are on the disk.
    DirectorySynced,
    /// Somebody was told.
    Promised(Promise),
}

/// Whether the disk does what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// It does.
    Honest,
    /// It says that it has synced, and has not.
    Skipped,
    /// It syncs what files hold, and only says that it syncs their names.
    NamesSkipped,
}

/// What a disk may refuse to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Sync,
}

/// A defect of the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// What it refuses.
    pub(crate) operation: Operation,
    /// How many such calls still succeed.
    pub(crate) after: usize,
    /// How many fail then.
    pub(crate) times: usize,
    /// What SQLite's layer for the operating system says to them.
    pub(crate) code: i32,
}

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Recording {
    syncs: Syncs,
    fault: Mutex<Option<Fault>>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    steps: Vec<Step>,
    names: BTreeMap<String, usize>,
    files: usize,
}

impl Recording {
    pub(crate) fn new(syncs: Syncs) -> Self {
        Self {
            syncs,
            fault: Mutex::default(),
            taken: Mutex::default(),
        }
    }

    /// Gives the disk a defect, or mends it.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().expect("no panic") = fault;
    }

    /// Whether the disk refuses the next `operation`, and with which code.
    pub(crate) fn refuses(&self, operation: Operation) -> Option<i32> {
        let mut fault = self.fault.lock().expect("no panic");
        let fault = fault
            .as_mut()
            .filter(|fault| fault.operation == operation)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times = fault.times.checked_sub(1)?;
        Some(fault.code)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("no panic")
    }

    fn push(&self, step: Step) {
        self.lock().steps.push(step);
    }

    /// How many steps there are.
    pub(crate) fn position(&self) -> usize {
        self.lock().steps.len()
    }

    /// All steps.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.lock().steps.clone()
    }

    /// Numbers the file at `path`, which is there now.
    pub(crate) fn opened(&self, path: &Path) -> usize {
        let name = name_of(path);
        let mut taken = self.lock();
        if let Some(file) = taken.names.get(&name) {
            return *file;
        }
        let file = taken.files;
        taken.files += 1;
        taken.names.insert(name.clone(), file);
        taken.steps.push(Step::Created { file, name });
        file
    }

    pub(crate) fn written(&self, file: usize, offset: i64, data: &[u8]) {
        self.push(Step::Written {
            file,
            offset: usize::try_from(offset).expect("an offset"),
            data: data.to_vec(),
        });
    }

    pub(crate) fn truncated(&self, file: usize, size: i64) {
        let size = usize::try_from(size).expect("a size");
        self.push(Step::Truncated { file, size });
    }

    pub(crate) fn synced(&self, file: usize, begun: usize) {
        if self.syncs != Syncs::Skipped {
            self.push(Step::Synced { file, begun });
        }
    }

    pub(crate) fn sync_failed(&self, file: usize, begun: usize) {
        self.push(Step::SyncFailed { file, begun });
    }

    pub(crate) fn deleted(&self, path: &Path) {
        let name = name_of(path);
        let mut taken = self.lock();
        taken.names.remove(&name);
        taken.steps.push(Step::Deleted { name });
    }

    pub(crate) fn directory_synced(&self) {
        if self.syncs == Syncs::Honest {
            self.push(Step::DirectorySynced);
        }
    }

    pub(crate) fn promised(&self, promise: Promise) {
        self.push(Step::Promised(promise));
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str());
    name.expect("a name").to_owned()
}
