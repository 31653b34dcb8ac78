//! What a guest reports: lines on its console, and markers that the counting plugin has seen.
//!
//! ```text
//!   marker 1   the operation, n times   marker 2   "LB <part> n=<n> ns=<in all> [p50=<ns> p99=<ns> max=<ns>]"
//!   marker 1   ...
//!   "LB-END"
//! ```
//!
//! Markers and lines come in the same order, so the first pair of markers belongs to the first line.

use anyhow::{Context, Result, ensure};

use crate::counters::Mark;

/// Line that ends a run.
pub const END: &str = "LB-END";

/// Numbers of the markers before and after a measured part.
const BEGIN_MARK: u16 = 1;
const END_MARK: u16 = 2;

/// A line of a guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The guest's name of the part.
    pub part: String,
    /// How many operations.
    pub operations: f64,
    /// How long they took, in nanoseconds, in all.
    pub nanoseconds: f64,
    /// Median, 99th percentile and maximum in nanoseconds, of a part that measures latency.
    pub spread: Option<[f64; 3]>,
}

impl Line {
    /// The results among the lines of a console.
    ///
    /// # Errors
    ///
    /// A result is not understood, or is not one of anything.
    pub fn parse_all(console: &str) -> Result<Vec<Self>> {
        let results = console.lines().filter_map(|line| Some((line, line.strip_prefix("LB ")?)));
        results.map(|(line, rest)| Self::parse(rest).with_context(|| format!("not understood: {line}"))).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (part, rest) = text.split_once(' ')?;
        let value = |key: &str| {
            let word = rest.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
            word.parse::<u64>().ok().map(|value| value as f64)
        };
        let spread = value("p50").zip(value("p99")).zip(value("max")).map(|((p50, p99), max)| [p50, p99, max]);
        let operations = value("n").filter(|n| *n > 0.0)?;
        Some(Self { part: part.to_owned(), operations, nanoseconds: value("ns")?, spread })
    }
}

/// Instructions of each vCPU between each pair of markers.
///
/// # Errors
///
/// The markers do not come in pairs.
pub fn between(marks: &[Mark]) -> Result<Vec<Vec<u64>>> {
    let (pairs, rest) = marks.as_chunks::<2>();
    let paired = pairs.iter().all(|[begin, end]| begin.number == BEGIN_MARK && end.number == END_MARK);
    ensure!(paired && rest.is_empty(), "the guest's markers do not come in pairs");
    let difference = |[begin, end]: &[Mark; 2]| {
        end.instructions.iter().zip(begin.instructions).map(|(end, begin)| end.saturating_sub(begin)).collect()
    };
    Ok(pairs.iter().map(difference).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_among_other_lines() {
        let console = "hello\nLB yield n=10 ns=500\nLB-GO\nLB sleep n=2 ns=30 p50=10 p99=20 max=20\nLB-END\n";
        let lines = Line::parse_all(console).expect("all are well formed");
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].part.as_str(), lines[0].operations, lines[0].nanoseconds), ("yield", 10.0, 500.0));
        assert_eq!((lines[0].spread, lines[1].spread), (None, Some([10.0, 20.0, 20.0])));
    }

    #[test]
    fn a_result_without_operations_is_an_error() {
        assert!(Line::parse_all("LB yield n=0 ns=1").is_err());
        assert!(Line::parse_all("LB yield ns=1").is_err());
    }

    #[test]
    fn markers_that_do_not_pair_are_an_error() {
        let mark = |number, count| Mark { number, instructions: [count, 7, 0, 0, 0, 0, 0], ..Mark::default() };
        let counts = between(&[mark(1, 10), mark(2, 30), mark(1, 31), mark(2, 32)]).expect("two pairs");
        assert_eq!(counts, [[20, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]]);
        assert!(between(&[mark(1, 10)]).is_err());
        assert!(between(&[mark(2, 10), mark(2, 11)]).is_err());
        assert!(between(&[mark(1, 10), mark(1, 11)]).is_err());
    }
}
