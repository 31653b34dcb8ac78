//! One test, and running many of them.
//!
//! Cases run one after the other: each virtual machine wants a processor for itself, and the builds of the images wait
//! for each other anyway. Those in namespaces of their own meet no others: they may be run by a second process. The report is libtest's, so that whoever counts results needs to know one format only.

use std::time::Instant;

use crate::netns;
use crate::tool::Tool;

/// What a case does: `Err` says what was expected and what came instead.
pub type Body = Box<dyn Fn(&Tool) -> Result<(), String>>;

/// How long a case takes, compilation included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Seconds.
    Low,
    /// So long that `--quick` leaves it out.
    High,
    /// Many minutes: run by `--long` alone, which runs nothing else.
    Long,
}

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// In a network namespace of its own, and so in a process of its own; see [`netns`].
    Namespace,
}

/// One test.
pub struct Case {
    /// Subject and claim, `subject::claim_as_a_sentence`.
    pub name: String,
    /// How long it takes.
    pub cost: Cost,
    /// Where it runs.
    pub place: Place,
    /// What it does.
    pub body: Body,
}

impl Case {
    /// A case that takes seconds.
    pub fn new(name: impl Into<String>, body: impl Fn(&Tool) -> Result<(), String> + 'static) -> Self {
        Self { name: name.into(), cost: Cost::Low, place: Place::Here, body: Box::new(body) }
    }

    /// The same case, in a network namespace of its own.
    pub fn isolated(mut self) -> Self {
        self.place = Place::Namespace;
        self
    }

    /// The same case, left out by `--quick`.
    pub fn slow(mut self) -> Self {
        self.cost = Cost::High;
        self
    }

    /// The same case, run by `--long` alone.
    pub fn long(mut self) -> Self {
        self.cost = Cost::Long;
        self
    }
}

/// Which cases to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Leave out the cases of high cost.
    pub quick: bool,
    /// Run the cases that take many minutes, and no others.
    pub long: bool,
    /// Run only cases whose name contains this.
    pub filter: Option<String>,
    /// Run only cases that run there.
    pub place: Option<Place>,
    /// Run only cases of this part.
    pub part: Option<Part>,
}

/// Two parts of the cases, which may run beside each other. Those of the second one take no ports of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is in no other.
    First,
    /// Files and disks, machines and their ends.
    Second,
}

/// The subjects of the second part: about as much work as the first one has left when Miri is done.
const SECOND: [&str; 11] = [
    "ata::",
    "cuts::",
    "disks::",
    "fat::",
    "files::",
    "machines::",
    "other_os::",
    "partitions::",
    "power::",
    "resizing::",
    "shares::",
];

impl Part {
    fn of(case: &Case) -> Self {
        let is_second = SECOND.iter().any(|subject| case.name.starts_with(subject));
        if is_second { Self::Second } else { Self::First }
    }
}

impl Selection {
    fn includes(&self, case: &Case) -> bool {
        let is_named = self.filter.as_ref().is_none_or(|text| case.name.contains(text));
        let is_there = self.place.is_none_or(|place| place == case.place);
        let is_of_part = self.part.is_none_or(|part| part == Part::of(case));
        is_named && is_there && is_of_part && self.long == (case.cost == Cost::Long)
    }
}

/// Runs the selected ones of `cases`, prints the report, and gives the number of failures.
pub fn run_all(cases: &[Case], tool: &Tool, selection: &Selection) -> usize {
    let started = Instant::now();
    let selected: Vec<_> = cases.iter().filter(|case| selection.includes(case)).collect();
    println!("\nrunning {} tests", selected.len());
    let (mut passed, mut ignored) = (0, 0);
    let mut failures = Vec::new();
    for case in &selected {
        if selection.quick && case.cost == Cost::High {
            println!("test {} ... ignored, takes long", case.name);
            ignored += 1;
            continue;
        }
        let outcome = match case.place {
            Place::Here => (case.body)(tool),
            Place::Namespace => netns::run_case(tool, case),
        };
        match outcome {
            Ok(()) => {
                println!("test {} ... ok", case.name);
                passed += 1;
            }
            Err(reason) => {
                println!("test {} ... FAILED", case.name);
                failures.push((&case.name, reason));
            }
        }
    }
    for (name, reason) in &failures {
        println!("\n---- {name} ----\n{reason}");
    }
    println!(
        "\ntest result: {}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        failures.len(),
        cases.len() - selected.len(),
        started.elapsed().as_secs_f64()
    );
    failures.len()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    fn counting(name: &str, count: &Rc<Cell<u32>>, result: Result<(), String>) -> Case {
        let count = count.clone();
        Case::new(name, move |_| {
            count.set(count.get() + 1);
            result.clone()
        })
    }

    #[test]
    fn failures_are_counted_and_stop_nothing() {
        let count = Rc::new(Cell::new(0));
        let cases = [
            counting("a::fails", &count, Err("reason".to_owned())),
            counting("a::holds", &count, Ok(())),
            counting("b::holds_slowly", &count, Ok(())).slow(),
            counting("b::holds_very_slowly", &count, Ok(())).long(),
            counting("b::fails_very_slowly", &count, Err("reason".to_owned())).long(),
        ];
        let tool = Tool::new("/nonexistent");
        assert_eq!(run_all(&cases, &tool, &Selection::default()), 1);
        assert_eq!(count.take(), 3);
        let quick = Selection { quick: true, ..Selection::default() };
        assert_eq!(run_all(&cases, &tool, &quick), 1);
        assert_eq!(count.take(), 2);
        let some = Selection { filter: Some("b::".to_owned()), ..Selection::default() };
        assert_eq!(run_all(&cases, &tool, &some), 0);
        assert_eq!(count.take(), 1);
        assert_eq!(run_all(&cases, &tool, &Selection { long: true, ..some }), 1);
        assert_eq!(count.take(), 2);
        let apart = Selection { place: Some(Place::Namespace), ..Selection::default() };
        assert_eq!(run_all(&cases, &tool, &apart), 0);
        assert_eq!(count.take(), 0);
        assert_eq!(run_all(&cases, &tool, &Selection { place: Some(Place::Here), ..apart }), 1);
        let parts = |name| Part::of(&Case::new(name, |_| Ok(())));
        assert_eq!((parts("files::a"), parts("hello::files")), (Part::Second, Part::First));
        assert_eq!(count.take(), 3);
    }
}
