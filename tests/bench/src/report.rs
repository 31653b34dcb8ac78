//! What a guest reports: lines on its console, and markers that the counting plugin has seen.
//!
//! ```text
//!   marker 1   the operation, n times   marker 2   "LB blkrand bs=4096 qd=1 n=<n> ns=<in all> [p50=<median>] ..."
//!   ...
//!   "LB-END", or "LB-ERR <why>"
//! ```
//!
//! Markers and lines come in the same order, so the first pair of markers belongs to the first line.

use anyhow::{Context, Result, bail, ensure};

use crate::counters::Mark;

/// Line that ends a run.
pub const END: &str = "LB-END";

/// A line of a guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The guest's name of the operation.
    pub name: String,
    /// How many times it was done.
    pub times: f64,
    /// How long they took, in nanoseconds, in all.
    pub nanoseconds: f64,
    /// The median of one, if the guest says it.
    pub median: Option<f64>,
}

/// What was executed between a pair of markers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Instructions.
    pub instructions: f64,
    /// Accesses to device registers in memory.
    pub accesses: f64,
    /// Port instructions.
    pub ports: f64,
}

impl Line {
    /// The results among the lines of a console.
    ///
    /// # Errors
    ///
    /// The guest says that it cannot, or a result is not understood.
    pub fn parse_all(console: &str) -> Result<Vec<Self>> {
        if let Some(line) = console.lines().find(|line| line.starts_with("LB-ERR")) {
            bail!("the guest says: {line}");
        }
        let results = console.lines().filter_map(|line| Some((line, line.strip_prefix("LB ")?)));
        results.map(|(line, rest)| Self::parse(rest).with_context(|| format!("not understood: {line}"))).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(" n=")?;
        let (times, rest) = rest.split_once(" ns=")?;
        let number = |text: &str| text.parse::<u64>().ok().map(|number| number as f64);
        let mut words = rest.split(' ');
        let nanoseconds = number(words.next()?)?;
        let median = words.find_map(|word| number(word.strip_prefix("p50=")?));
        let times = number(times).filter(|times| *times > 0.0)?;
        Some(Self { name: name.to_owned(), times, nanoseconds, median })
    }
}

impl Counts {
    /// Those between each pair of markers.
    ///
    /// # Errors
    ///
    /// The markers do not come in pairs.
    pub fn between(marks: &[Mark]) -> Result<Vec<Self>> {
        let (pairs, rest) = marks.as_chunks::<2>();
        ensure!(
            rest.is_empty() && pairs.iter().all(|[begin, end]| (begin.number, end.number) == (1, 2)),
            "the guest's markers do not come in pairs"
        );
        let difference = |[begin, end]: &[Mark; 2]| {
            let instructions = |mark: &Mark| mark.instructions.iter().sum::<u64>();
            Self {
                instructions: (instructions(end) - instructions(begin)) as f64,
                accesses: (end.accesses - begin.accesses) as f64,
                ports: (end.ports - begin.ports) as f64,
            }
        };
        Ok(pairs.iter().map(difference).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_both_guests_are_understood() {
        let console = "LB-UP\nLB-GO\nLB blkrand bs=4096 qd=32 n=10 ns=500 ns_per_op=50 MBps=1.0\n\
                       LB blkseq bs=1048576 n=2 ns=30 p50=14\nLB-END\n";
        let lines = Line::parse_all(console).expect("all are well formed");
        let expected = [("blkrand bs=4096 qd=32", 10.0, 500.0, None), ("blkseq bs=1048576", 2.0, 30.0, Some(14.0))];
        assert_eq!(lines.len(), expected.len());
        for (line, (name, times, nanoseconds, median)) in lines.iter().zip(expected) {
            assert_eq!(line, &Line { name: name.to_owned(), times, nanoseconds, median });
        }
    }

    #[test]
    fn what_is_no_result_is_an_error() {
        for console in ["LB blkrand n=0 ns=1", "LB blkrand ns=1", "LB-ERR /dev/vda"] {
            assert!(Line::parse_all(console).is_err(), "{console}");
        }
    }

    #[test]
    fn counts_are_differences_between_pairs_of_markers() {
        let mark = |number, count| Mark {
            number,
            instructions: [count, 1, 0, 0, 0, 0, 0],
            accesses: 2 * count,
            ports: 3 * count,
            ..Mark::default()
        };
        let counts = Counts::between(&[mark(1, 10), mark(2, 30)]).expect("a pair");
        assert_eq!(counts, [Counts { instructions: 20.0, accesses: 40.0, ports: 60.0 }]);
        assert!(Counts::between(&[mark(1, 10)]).is_err());
        assert!(Counts::between(&[mark(2, 10), mark(1, 11)]).is_err());
    }
}
