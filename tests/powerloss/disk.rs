//! A disk that loses power: what was synced is there, of the rest any part may be.

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::recording::Step;

/// What a disk writes at once. A write that the power cut interrupts ends at such a border; what it had reached before is there.
const SECTOR: usize = 512;

/// The files of a directory, by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How much of what was not synced reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Luck {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// Each sector, each change of a size, and each name, or not: this many of ten.
    Some(u64),
}

impl Luck {
    fn has(self, chance: &mut Chance) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(of_ten) => chance.below(10) < of_ten,
        }
    }
}

#[derive(Debug, Default)]
struct File {
    /// What is on the disk.
    synced: Vec<u8>,
    /// What may be, with the number of the step.
    pending: Vec<(usize, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Size(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Add(String, usize),
    Remove(String),
}

/// The disk, and what is on its way to it.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    steps: usize,
    files: BTreeMap<usize, File>,
    names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
}

impl Disk {
    /// Takes the next step.
    pub(crate) fn take(&mut self, step: &Step) {
        let number = self.steps;
        self.steps += 1;
        match step {
            Step::Created { file, name } => {
                self.pending_names.push(Naming::Add(name.clone(), *file));
            }
            Step::Written { file, offset, data } => self.change(
                *file,
                number,
                Change::Write {
                    offset: *offset,
                    data: data.clone(),
                },
            ),
            Step::Truncated { file, size } => self.change(*file, number, Change::Size(*size)),
            Step::Synced { file, begun } => self.sync(*file, *begun),
            Step::SyncFailed { file, begun } => {
                let file = self.files.entry(*file).or_default();
                file.pending.retain(|(number, _)| *number >= *begun);
            }
            Step::Deleted { name } => self.pending_names.push(Naming::Remove(name.clone())),
            Step::DirectorySynced => {
                for naming in std::mem::take(&mut self.pending_names) {
                    rename(&mut self.names, naming);
                }
            }
            Step::Promised(_) => {}
        }
    }

    fn change(&mut self, file: usize, number: usize, change: Change) {
        let file = self.files.entry(file).or_default();
        file.pending.push((number, change));
    }

    fn sync(&mut self, file: usize, begun: usize) {
        let File { synced, pending } = self.files.entry(file).or_default();
        pending.retain(|(number, change)| {
            let late = *number >= begun;
            if !late {
                match change {
                    Change::Write { offset, data } => put(synced, *offset, data),
                    Change::Size(size) => synced.resize(*size, 0),
                }
            }
            late
        });
    }

    /// What is there when the power is back.
    pub(crate) fn cut(&self, luck: Luck, chance: &mut Chance) -> Files {
        let mut names = self.names.clone();
        for naming in &self.pending_names {
            if luck.has(chance) {
                rename(&mut names, naming.clone());
            }
        }
        let read = |(name, file): (String, usize)| {
            let content = self.files.get(&file);
            let content = content.map_or(Vec::new(), |file| file.after_cut(luck, chance));
            (name, content)
        };
        names.into_iter().map(read).collect()
    }
}

impl File {
    fn after_cut(&self, luck: Luck, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.synced.clone();
        for (_, change) in &self.pending {
            match change {
                Change::Size(size) => {
                    if luck.has(chance) {
                        content.resize(*size, 0);
                    }
                }
                Change::Write { offset, data } => {
                    let mut from = 0;
                    while from < data.len() {
                        let border = (offset + from) / SECTOR * SECTOR + SECTOR;
                        let to = data.len().min(border - offset);
                        if luck.has(chance) {
                            put(&mut content, offset + from, &data[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        content
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: Naming) {
    match naming {
        Naming::Add(name, file) => drop(names.insert(name, file)),
        Naming::Remove(name) => drop(names.remove(&name)),
    }
}

/// Writes `data` into `content`; a hole before it reads as zeros.
fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(file: usize, name: &str) -> Step {
        let name = name.to_owned();
        Step::Created { file, name }
    }

    fn written(offset: usize, data: &[u8]) -> Step {
        Step::Written {
            file: 0,
            offset,
            data: data.to_vec(),
        }
    }

    fn after(steps: &[Step], luck: Luck) -> Files {
        let mut disk = Disk::default();
        steps.iter().for_each(|step| disk.take(step));
        disk.cut(luck, &mut Chance::of(1))
    }

    #[test]
    fn what_was_not_synced_may_be_lost_and_what_was_is_not() {
        let steps = [
            created(0, "a"),
            Step::DirectorySynced,
            written(0, b"one"),
            Step::Synced { file: 0, begun: 3 },
            written(3, b"two"),
        ];
        assert_eq!(after(&steps, Luck::None)["a"], b"one");
        assert_eq!(after(&steps, Luck::All)["a"], b"onetwo");
        let too_late = Step::Synced { file: 0, begun: 2 };
        let steps = [&steps[..3], &[too_late]].concat();
        assert_eq!(after(&steps, Luck::None)["a"], b"");
    }

    #[test]
    fn what_a_failed_sync_was_to_save_is_lost_whatever_is_synced_later() {
        let steps = [
            created(0, "a"),
            Step::DirectorySynced,
            written(0, b"one"),
            Step::SyncFailed { file: 0, begun: 3 },
            written(3, b"two"),
            Step::Synced { file: 0, begun: 5 },
        ];
        assert_eq!(after(&steps, Luck::All)["a"], b"\0\0\0two");
    }

    #[test]
    fn a_name_in_a_directory_that_was_not_synced_may_be_lost() {
        let steps = [
            created(0, "a"),
            written(0, b"one"),
            Step::Synced { file: 0, begun: 2 },
        ];
        assert!(after(&steps, Luck::None).is_empty());
        let steps = [&steps[..], &[Step::DirectorySynced]].concat();
        let gone = Step::Deleted { name: "a".into() };
        let steps = [&steps[..], &[gone]].concat();
        assert_eq!(after(&steps, Luck::None)["a"], b"one");
        assert!(after(&steps, Luck::All).is_empty());
    }

    #[test]
    fn a_write_is_torn_at_the_borders_of_sectors() {
        let steps = [
            created(0, "a"),
            Step::DirectorySynced,
            written(500, &[7; 1000]),
        ];
        let mut torn = 0;
        for seed in 0..100 {
            let mut disk = Disk::default();
            steps.iter().for_each(|step| disk.take(step));
            let files = disk.cut(Luck::Some(5), &mut Chance::of(seed));
            let content = &files["a"];
            let sectors = [500..512, 512..1024, 1024..1500];
            let written = sectors.map(|range| {
                content.get(range.start) == Some(&7) && content[range].iter().all(|byte| *byte == 7)
            });
            let count = written.iter().filter(|whole| **whole).count();
            let bytes = content.iter().filter(|byte| **byte == 7).count();
            let whole = [12, 512, 476];
            let expected: usize = whole
                .iter()
                .zip(written)
                .filter(|(_, there)| *there)
                .map(|(size, _)| size)
                .sum();
            assert_eq!(bytes, expected, "a sector is there or not");
            torn += usize::from(count == 1 || count == 2);
        }
        assert!(torn > 20, "{torn}");
    }
}
