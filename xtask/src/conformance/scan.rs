//! Tests that name requirements, found in the sources.
//!
//! A test names an id in its own name, which begins with ids, or in full in a comment or a message, within the function
//! or in the comment above it:
//!
//! ```text
//!   ini_1_the_first_write_is_a_reset           INI-1
//!   ftr_1_3_4_hd_ft_1_...                      FTR-1, FTR-3, FTR-4, HD-FT-1
//!   hd_fs_1_to_3_..., hd_fs_17_and_18_...      HD-FS-1, HD-FS-2, HD-FS-3; HD-FS-17, HD-FS-18
//!   // HD-G-5: a second try works.             HD-G-5
//! ```
//!
//! Sources are read as lines, not as Rust: `cargo fmt` sees to it that a function ends with a brace as far to the right
//! as it began. The boot tests are no functions; their names are the strings with a `::` in `tests/boot/src/cases`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::exit::Failure;

/// Where tests are.
const DIRECTORIES: [&str; 3] = ["crates", "kernel", "tests"];
/// Where those are whose names are strings.
const BOOT_CASES: &str = "tests/boot/src/cases/";

/// A test that names requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The function's name, or the boot test's.
    pub name: String,
    /// Its file, from the workspace's root.
    pub path: String,
    /// What it names: at least one.
    pub ids: BTreeSet<String>,
}

/// All tests of the workspace that name requirements, in the order of their files.
///
/// # Errors
///
/// A preparation failure where a source cannot be read.
pub fn workspace(root: &Path) -> Result<Vec<Test>, Failure> {
    let mut tests = Vec::new();
    for directory in DIRECTORIES {
        visit(root, directory, &mut tests)?;
    }
    Ok(tests)
}

/// Adds the tests below `directory`, which is named from `root`.
fn visit(root: &Path, directory: &str, tests: &mut Vec<Test>) -> Result<(), Failure> {
    let trouble = |error| Failure::preparation(format!("cannot read {directory}: {error}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(directory)).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        names.push((name, entry.file_type().map_err(trouble)?.is_dir()));
    }
    names.sort();
    for (name, is_directory) in names {
        let path = format!("{directory}/{name}");
        if is_directory {
            if name != "target" && !name.starts_with('.') {
                visit(root, &path, tests)?;
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path)).map_err(trouble)?;
            let mut found = functions(&text);
            if path.starts_with(BOOT_CASES) {
                found.extend(boot_cases(&text));
            }
            let with_ids = found.into_iter().filter(|(_, ids)| !ids.is_empty());
            tests.extend(with_ids.map(|(name, ids)| Test { name, path: path.clone(), ids }));
        }
    }
    Ok(())
}

/// The `#[test]` functions of a source, and the ids that each names.
fn functions(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.trim() != "#[test]" {
            continue;
        }
        let above = lines[..number].iter().rev().take_while(|line| is_comment_or_attribute(line));
        let below = &lines[number + 1..];
        let Some(start) = below.iter().position(|line| !is_comment_or_attribute(line)) else { continue };
        let Some(name) = function_name(below[start]) else { continue };
        let mut ids = in_name(name);
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let body = below.iter().take(start + 1).chain(below[start + 1..].iter().take_while(|line| **line != end));
        above.chain(body).for_each(|line| ids.extend(in_text(line)));
        found.push((name.to_owned(), ids));
    }
    found
}

fn is_comment_or_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("#[")
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0).then(|| &rest[..end])
}

/// The names of boot tests in a source, `subject::claim`, and the ids that each claim begins with.
fn boot_cases(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let strings = text.split('"').skip(1).step_by(2);
    let names = strings.filter(|string| !string.contains(|c: char| c.is_whitespace()));
    names.filter_map(|name| Some((name.to_owned(), in_name(name.split_once("::")?.1)))).collect()
}

/// The ids that a function's name begins with.
fn in_name(name: &str) -> BTreeSet<String> {
    let words: Vec<_> = name.split('_').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u16>().ok());
    let mut ids = BTreeSet::new();
    let mut at = 0;
    // A family of one word or two, then its numbers.
    while let Some(len) = (1..=2).find(|len| number(at + len).is_some() && number(at).is_none()) {
        let Some(family) = words.get(at..at + len) else { break };
        let family = family.join("-").to_uppercase();
        at += len;
        let mut last = 0;
        loop {
            let step = if matches!(words.get(at), Some(&"to" | &"and")) { 2 } else { 1 };
            let Some(next) = number(at + step - 1) else { break };
            let is_range = words.get(at) == Some(&"to") && last < next;
            let from = if is_range { last + 1 } else { next };
            ids.extend((from..=next).map(|number| format!("{family}-{number}")));
            last = next;
            at += step;
        }
    }
    ids
}

/// The ids that a line of text mentions: `INI-1`, `HD-FT-3`.
fn in_text(line: &str) -> BTreeSet<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    words.filter(|word| is_id(word)).map(str::to_owned).collect()
}

fn is_id(word: &str) -> bool {
    let Some((family, number)) = word.rsplit_once('-') else { return false };
    let mut parts = family.split('-');
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && parts.clone().count() <= 2
        && parts.all(|part| {
            part.starts_with(|c: char| c.is_ascii_uppercase())
                && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(name: &str) -> Vec<String> {
        in_name(name).into_iter().collect()
    }

    #[test]
    fn names_begin_with_families_and_numbers() {
        assert_eq!(ids("ini_1_the_first_write_is_a_reset"), ["INI-1"]);
        assert_eq!(ids("pci_1_pci_2_device_ids_name_device_types"), ["PCI-1", "PCI-2"]);
        assert_eq!(ids("ftr_1_3_4_hd_ft_1_only_known_bits"), ["FTR-1", "FTR-3", "FTR-4", "HD-FT-1"]);
        assert_eq!(ids("hd_e1k_1_odd_lengths"), ["HD-E1K-1"]);
        assert_eq!(ids("vq_18"), ["VQ-18"]);
    }

    #[test]
    fn names_may_have_ranges_and_lists() {
        assert_eq!(ids("hd_fs_1_to_4_headers"), ["HD-FS-1", "HD-FS-2", "HD-FS-3", "HD-FS-4"]);
        assert_eq!(ids("hd_fs_17_and_18_entries"), ["HD-FS-17", "HD-FS-18"]);
        assert_eq!(ids("hd_fs_3_to_the_end"), ["HD-FS-3"]);
        assert_eq!(ids("hd_fs_3_and_nothing_else"), ["HD-FS-3"]);
        assert_eq!(ids("hd_fs_9_to_3_is_no_range"), ["HD-FS-3", "HD-FS-9"]);
    }

    #[test]
    fn family_is_not_found_in_a_longer_one_or_in_a_sentence() {
        assert_eq!(ids("fu_ini_14_a_refused_session"), ["FU-INI-14"]);
        assert_eq!(ids("every_byte_of_hd_vq_1_counts"), [""; 0]);
        assert_eq!(ids("hd_qs_queues_that_do_not_come_up"), [""; 0]);
        assert_eq!(ids("17_is_a_number"), [""; 0]);
        assert_eq!(ids(""), [""; 0]);
    }

    #[test]
    fn text_mentions_ids_in_full() {
        let found = |line| in_text(line).into_iter().collect::<Vec<_>>();
        assert_eq!(found(r#"assert!(x, "FTR-14: both words"); // HD-G-5, PCI-1"#), ["FTR-14", "HD-G-5", "PCI-1"]);
        assert_eq!(found("A-B-C-1 x-1 INI- INI-1a hd-g-1 2-1 MSI-X COMMON-_1 -7"), [""; 0]);
        assert_eq!(found("FU-INI-14"), ["FU-INI-14"]);
    }

    #[test]
    fn functions_are_scanned_from_comment_to_brace() {
        let source = "\
// HD-G-9 is about something else.

// VQ-1 belongs to it.
#[cfg(loom)]
#[test]
#[should_panic] // VQ-2
fn ini_1_2_first() {
    if x { // VQ-3
    }
}
// VQ-4 is outside.
fn helper() {}

mod inner {
    proptest! {
        #[test]
        fn second(x in 0..5) { assert!(x, \"VQ-5\");
            {
            }
            // VQ-6
        }
        // VQ-7
    }
    #[test]
    fn $name() {}
}
";
        let found = functions(source);
        let text = |ids: &BTreeSet<String>| ids.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((&*found[0].0, &*text(&found[0].1)), ("ini_1_2_first", "INI-1 INI-2 VQ-1 VQ-2 VQ-3"));
        assert_eq!((&*found[1].0, &*text(&found[1].1)), ("second", "VQ-5 VQ-6"));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn boot_tests_are_named_by_strings() {
        let source =
            "Case::new(\"virtio::vq_18_it_runs_on_pc\", f), \"vq_19_no_subject\", \"a::b with space\", \"x::y\"";
        let found = boot_cases(source);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ("virtio::vq_18_it_runs_on_pc".to_owned(), BTreeSet::from(["VQ-18".to_owned()])));
        assert!(found[1].1.is_empty());
    }

    #[test]
    fn tests_of_this_workspace_are_found() {
        let tests = workspace(&crate::image::workspace()).unwrap();
        let found =
            |path: &str, id: &str| tests.iter().any(|test| test.path.starts_with(path) && test.ids.contains(id));
        assert!(found("crates/toro-core/src/pci/", "HD-PCI-1"));
        assert!(found("kernel/src/fs/", "HD-FS-22"));
        assert!(found("tests/sim/tests/", "HD-VQ-3"));
        assert!(tests.iter().all(|test| !test.path.contains("/target/")));
    }
}
