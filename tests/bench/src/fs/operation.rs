//! What is done with files, in the words that both guests understand.

use super::files::{LISTED, MANY_FILES, SMALL_FILES};

/// How often something that changes files is done.
const CHANGES: u64 = 200;
/// Bytes that are written in all.
const WRITTEN: u64 = 16 << 20;
/// How often one small file is read.
const AGAIN: u64 = 500;
/// Reads at random places.
const RANDOM: u64 = 2000;
/// How often a directory is listed.
const LISTINGS: u64 = 10;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// Which file systems an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Everywhere,
    /// Those over virtio-fs: the disk is for reading, and has fewer files.
    Shares,
}

/// What is done many times.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What tables call it.
    pub title: &'static str,
    /// What a guest calls it in its result.
    pub name: String,
    /// What it is for.
    pub scope: Scope,
    /// How much of the unit that tables show is in one of what the guest counts.
    pub units: f64,
    /// The most of Linux's instructions that we allow ourselves.
    pub aim: Option<f64>,
    verb: &'static str,
    path: String,
    numbers: String,
}

impl Operation {
    /// What a guest is told that has the files at `root`, which is empty or ends without a slash.
    pub fn word(&self, root: &str) -> String {
        let Self { verb, path, numbers, .. } = self;
        if path.is_empty() { format!("{verb}:{numbers}") } else { format!("{verb}:{root}{path}:{numbers}") }
    }

    /// In blocks; tables show it per MiB.
    fn blocks(title: &'static str, verb: &'static str, path: &str, bytes: u64, total: u64) -> Self {
        Self {
            title,
            name: format!("{verb} bs={bytes}"),
            scope: Scope::Everywhere,
            units: bytes as f64 / MIB as f64,
            aim: None,
            verb,
            path: path.to_owned(),
            numbers: format!("{bytes}:{total}"),
        }
    }

    /// One by one.
    fn single(title: &'static str, verb: &'static str, path: &str, times: u64) -> Self {
        Self {
            title,
            name: verb.to_owned(),
            scope: Scope::Everywhere,
            units: 1.0,
            aim: None,
            verb,
            path: path.to_owned(),
            numbers: times.to_string(),
        }
    }

    fn on(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    fn each(self) -> Self {
        Self { units: 1.0, ..self }
    }

    fn at_most(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }
}

/// All of them, in the order in which a guest does them. What is read for the first time is read from files of its own;
/// `mib` is the length of a large one.
pub fn all(mib: u64) -> Vec<Operation> {
    let total = mib * MIB;
    let random = |operation: Operation| Operation { numbers: format!("{}:{RANDOM}", 4 * KIB), ..operation };
    vec![
        Operation::blocks("in order, 1 MiB at a time, per MiB", "fsseq", "/big0", MIB, total),
        Operation::blocks("in order, 128 KiB at a time, per MiB", "fsseq", "/big1", 128 * KIB, total),
        Operation::blocks("past all caches, 1 MiB, per MiB", "fsdirect", "/big2", MIB, total).at_most(0.25),
        Operation::blocks("past all caches, 128 KiB, per MiB", "fsdirect", "/big3", 128 * KIB, total),
        random(Operation::blocks("4 KiB at a random place", "fsrand", "/big4", 4 * KIB, total)).each(),
        Operation::single("a file of 4 KiB opened, read, closed, the first time", "fssmall", "/d", SMALL_FILES)
            .at_most(0.25),
        Operation::single("one of 10,000 such files", "fssmall", "/many", MANY_FILES).on(Scope::Shares).at_most(0.25),
        Operation::single("the same file of 4 KiB again", "fsagain", "/once", AGAIN).at_most(0.25),
        Operation::single("attributes of a file", "fsstat", "/names", LISTED),
        Operation::single("1,000 names of a directory", "fslist", "/names", LISTINGS),
        Operation::single("a file created and removed", "fscreate", "/new", CHANGES).on(Scope::Shares),
        Operation::blocks("4 KiB written", "fswrite", "/new/written0", 4 * KIB, WRITTEN / 8).each().on(Scope::Shares),
        Operation::blocks("1 MiB written", "fswrite", "/new/written1", MIB, WRITTEN).on(Scope::Shares),
        Operation::blocks("memory to memory, per MiB", "copy", "", MIB, total),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_files_that_no_other_has_read() {
        let operations = all(64);
        let paths: Vec<_> = operations.iter().map(|operation| operation.path.as_str()).collect();
        for (number, operation) in operations.iter().enumerate() {
            // Names are listed after each has been looked at.
            let is_second = operation.verb == "fslist";
            assert!(is_second || !paths[..number].contains(&paths[number]), "{}", operation.word(""));
        }
    }

    #[test]
    fn words_name_the_files_where_the_guest_has_them() {
        let words: Vec<_> = all(2).iter().map(|operation| operation.word("/mnt")).collect();
        assert!(words.contains(&"fsseq:/mnt/big0:1048576:2097152".to_owned()), "{words:?}");
        assert!(words.contains(&"fsstat:/mnt/names:1000".to_owned()), "{words:?}");
        assert!(words.iter().any(|word| word.starts_with("copy:1048576:")), "{words:?}");
    }
}
