//! [`Run`]: random operations on a share and, the same ones, on a directory of the host; whatever differs is a mistake.
//!
//! ```text
//!   operation ---> toro::fs, server ---> served directory        what each answers: results, error numbers, attributes,
//!       |                                      |                 contents, names
//!       `--------> Linux -------------> twin directory           in the end: both directories, as the host sees them
//! ```
//!
//! So what is right is nobody's opinion: Linux' own answer is the expected one, number by number, also for names that are
//! too long, directories that are not empty, links that go in circles and files that are open and have no name any more.
//!
//! Operations follow from a seed. The names are few, so that they meet; a few files stay open while others are renamed,
//! replaced, cut off and removed. What a server decides by itself, and what depends on the time, is not compared: sizes of
//! directories, and times except right after they were set.
//!
//! # What is left out
//!
//! Nothing leads out of a share, but links and `..` lead out of a directory of the host: there are no such ones. Nobody opens
//! a pipe, which waits for its other end.

mod answer;
mod host;
mod operation;
mod ours;
mod trees;

use std::path::Path;

use toro::fs::Namespace;

pub use self::answer::{Answer, Outcome};
use self::host::Host;
pub use self::operation::{Operation, Random};
use self::ours::Ours;

/// Operations that are shown where a run ends early.
const SHOWN: usize = 12;

/// A random run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What the operations follow from.
    pub seed: u64,
    /// How many there are.
    pub operations: usize,
}

impl Run {
    /// Does it. `served` is what the server of `files` serves, `twin` an empty directory on the same file system of the
    /// host; so is `served`. Says how many operations succeeded.
    ///
    /// # Panics
    ///
    /// Where the two differ.
    pub fn compare(self, files: &Namespace, served: &Path, twin: &Path) -> usize {
        let mut random = Random::new(self.seed);
        let (mut ours, mut host) = (Ours::new(files), Host::new(twin));
        let mut recent = Vec::new();
        let mut succeeded = 0;
        for number in 0..self.operations {
            let operation = Operation::any(&mut random);
            recent.push(format!("{operation:?}"));
            let (our, expected) = (ours.perform(&operation), host.perform(&operation));
            if our != expected {
                let from = recent.len().saturating_sub(SHOWN);
                panic!(
                    "seed {}, operation {number}: {}\nis      {our:?}\nshall be {expected:?}\nafter {:#?}",
                    self.seed,
                    recent.last().expect("it was pushed just now"),
                    &recent[from..]
                );
            }
            succeeded += usize::from(our.is_ok());
        }
        drop((ours, host));
        trees::compare(served, twin);
        succeeded
    }
}
