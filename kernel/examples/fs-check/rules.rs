//! Rules that every file system has to keep, in the spirit of pjdfstest: each is checked once, in a directory of its own.
//!
//! What is expected is what Linux does with its own file systems, by name of the error.

use alloc::format;
use alloc::string::String;

use toro::fs;
use toro::println;

use crate::features::Features;
use crate::outcome::{Checked, worked};

#[path = "rules/attributes.rs"]
mod attributes;
#[path = "rules/contents.rs"]
mod contents;
#[path = "rules/links.rs"]
mod links;
#[path = "rules/locks.rs"]
mod locks;
#[path = "rules/names.rs"]
mod names;
#[path = "rules/renames.rs"]
mod renames;

/// One rule.
pub struct Rule {
    /// What it says.
    name: &'static str,
    /// Whether it is one for a file system that can this.
    applies: fn(&Features) -> bool,
    /// Checks it in this directory, which is empty and whose path ends without a slash.
    check: fn(&str) -> Checked,
}

impl Rule {
    /// A rule for every file system.
    const fn new(name: &'static str, check: fn(&str) -> Checked) -> Self {
        Self { name, applies: |_| true, check }
    }

    /// The same rule, for those that can this.
    const fn with(mut self, applies: fn(&Features) -> bool) -> Self {
        self.applies = applies;
        self
    }
}

/// How the rules were kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// Rules that were checked.
    pub checked: usize,
    /// Of these, those that do not hold.
    pub broken: usize,
    /// Rules for other file systems.
    pub skipped: usize,
}

/// Checks all rules below `place`, and says which are broken.
///
/// # Errors
///
/// A directory to check in cannot be made or removed.
pub fn check_all(place: &str, features: &Features) -> Checked<Verdict> {
    let groups = [names::RULES, links::RULES, renames::RULES, attributes::RULES, contents::RULES, locks::RULES];
    let mut verdict = Verdict::default();
    for (number, rule) in groups.into_iter().flatten().enumerate() {
        if !(rule.applies)(features) {
            verdict.skipped += 1;
            continue;
        }
        let directory = format!("{place}/rule{number}");
        worked("a directory for a rule", fs::create_dir(&directory))?;
        verdict.checked += 1;
        if let Err(reason) = (rule.check)(&directory) {
            verdict.broken += 1;
            println!("broken: {}: {reason}", rule.name);
        }
        worked(&format!("removing what \"{}\" has left", rule.name), fs::remove_dir_all(&directory))?;
    }
    Ok(verdict)
}

/// A name of so many bytes.
fn long_name(length: usize) -> String {
    core::iter::repeat_n('n', length).collect()
}
