//! `cargo xtask conformance`: which test holds which requirement, as tables that a reader of the documentation sees.
//!
//! ```text
//!   crates/X/conformance/requirements.txt   [`catalogue`]  ids, in our own words  -+
//!                                                                                  +-> crates/X/CONFORMANCE.md
//!   crates/**.rs, kernel/**.rs, tests/**.rs [`scan`]       tests that name ids    -+
//! ```
//!
//! A requirement has a test or a reason why no test of this workspace can show it, and never both. With `--check`
//! nothing is written: the command fails, with the next step, where a requirement has neither or both, where a test
//! names an id that no catalogue has, or where a table is not what would be written now.

mod catalogue;
mod scan;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use catalogue::{Catalogue, Requirement};
use scan::Test;

use crate::cli::ConformanceArgs;
use crate::exit::{Failure, FailureKind};
use crate::image;

/// Where a crate has its catalogue, if it has one; the families of requirements are the catalogues' own.
const REQUIREMENTS: &str = "conformance/requirements.txt";

/// Tests by the id that they name.
type Index<'a> = BTreeMap<&'a str, Vec<&'a Test>>;

/// Writes the tables, or checks them.
///
/// # Errors
///
/// Checks that failed: requirements without a test, ids that do not exist, tables that are stale. A preparation failure
/// where files cannot be read or written.
pub fn run(args: &ConformanceArgs) -> Result<u8, Failure> {
    let root = image::workspace();
    let tests = scan::workspace(&root)?;
    let index = by_id(&tests);
    let mut catalogues = Vec::new();
    for package in crates(&root)? {
        let path = root.join("crates").join(&package).join(REQUIREMENTS);
        let text = read(&path)?;
        let catalogue = Catalogue::parse(&text)
            .map_err(|(line, what)| Failure::preparation(format!("{}:{line}: {what}", path.display())))?;
        catalogues.push((package, catalogue));
    }
    let mut trouble: Vec<_> = catalogues.iter().flat_map(|(_, catalogue)| gaps(catalogue, &index)).collect();
    trouble.extend(strangers(&catalogues.iter().map(|(_, catalogue)| catalogue).collect::<Vec<_>>(), &tests));
    for (package, catalogue) in &catalogues {
        let path = root.join("crates").join(package).join("CONFORMANCE.md");
        let page = page(package, catalogue, &index);
        if !args.check {
            fs::write(&path, page)
                .map_err(|error| Failure::preparation(format!("cannot write {}: {error}", path.display())))?;
            println!("{}", path.display());
        } else if read(&path).ok().as_ref() != Some(&page) {
            trouble.push(format!("crates/{package}/CONFORMANCE.md is stale: run `cargo xtask conformance`"));
        }
    }
    for line in &trouble {
        eprintln!("xtask: {line}");
    }
    if trouble.is_empty() || !args.check {
        return Ok(0);
    }
    Err(Failure::new(FailureKind::Checks, format!("{} conformance checks failed, see above", trouble.len())))
}

/// The crates with a catalogue, in order.
fn crates(root: &Path) -> Result<Vec<String>, Failure> {
    let trouble = |error| Failure::preparation(format!("cannot read crates: {error}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("crates")).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        if entry.path().join(REQUIREMENTS).is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::preparation(format!("cannot read {}: {error}", path.display())))
}

fn by_id(tests: &[Test]) -> Index<'_> {
    let mut index = Index::new();
    for test in tests {
        for id in &test.ids {
            index.entry(id).or_default().push(test);
        }
    }
    index
}

/// Requirements with neither test nor reason, and with both.
fn gaps(catalogue: &Catalogue, index: &Index<'_>) -> Vec<String> {
    let trouble = |requirement: &Requirement| {
        let id = &requirement.id;
        match (index.get(id.as_str()), &requirement.reason) {
            (None, None) => Some(format!(
                "{id} has no test: name one after it (`fn {}_...`), or say below it in requirements.txt why there is none",
                id.to_lowercase().replace('-', "_")
            )),
            (Some(tests), Some(_)) => {
                let Test { name, path, .. } = tests.first()?;
                Some(format!("{id} has a reason for having no test, and `{name}` in {path}: remove the reason"))
            }
            _ => None,
        }
    };
    catalogue.requirements().filter_map(trouble).collect()
}

/// Tests that name an id of a family that a catalogue has, and the catalogue does not have the id.
fn strangers(catalogues: &[&Catalogue], tests: &[Test]) -> Vec<String> {
    let is_unknown = |id: &str| {
        let Some((family, _)) = id.rsplit_once('-') else { return false };
        catalogues.iter().any(|catalogue| catalogue.has_family(family))
            && !catalogues.iter().flat_map(|catalogue| catalogue.requirements()).any(|known| known.id == id)
    };
    let mut trouble = Vec::new();
    for Test { name, path, ids } in tests {
        for id in ids.iter().filter(|id| is_unknown(id)) {
            trouble.push(format!("`{name}` in {path} names {id}, which no catalogue has: correct the test's name"));
        }
    }
    trouble
}

/// The whole page of a crate.
fn page(package: &str, catalogue: &Catalogue, index: &Index<'_>) -> String {
    let all = catalogue.requirements().count();
    let tested = catalogue.requirements().filter(|requirement| index.contains_key(requirement.id.as_str())).count();
    let reasons = catalogue.requirements().filter(|requirement| requirement.reason.is_some()).count();
    let mut page = format!(
        "# Conformance of {package}\n\n\
         What the specification asks of a driver and what a driver has to survive, and the tests that show it. A test is\n\
         named after the ids that it covers, or mentions them; where there is no test, the table says why.\n\n\
         {all} requirements: {tested} have tests, {reasons} a reason for having none.\n\n\
         This page is written by `cargo xtask conformance`, from `conformance/requirements.txt` and the tests.\n"
    );
    for family in &catalogue.families {
        let _ = write!(page, "\n## {}: {}\n\n", family.name, family.title);
        page.push_str("| id | section | requirement | tests |\n|---|---|---|---|\n");
        for requirement in &family.requirements {
            let Requirement { id, section, text, .. } = requirement;
            let section = section.as_deref().map_or_else(String::new, |section| format!("§{section}"));
            let _ = writeln!(page, "| {id} | {section} | {text} | {} |", evidence(requirement, index));
        }
    }
    page
}

/// What shows that a requirement is met: its tests by file, or the reason why there are none.
fn evidence(requirement: &Requirement, index: &Index<'_>) -> String {
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for test in index.get(requirement.id.as_str()).into_iter().flatten() {
        files.entry(&test.path).or_default().push(format!("`{}`", test.name));
    }
    if files.is_empty() {
        return requirement.reason.as_ref().map_or_else(|| "**none**".to_owned(), |reason| format!("none: {reason}"));
    }
    let cells: Vec<_> = files.into_iter().map(|(path, names)| format!("{path}: {}", names.join(", "))).collect();
    cells.join("<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOGUE: &str =
        "## A  First\nA-1 | 1.2 | One.\nA-2 | - | Two.\n    reason: no\n## HD-A  Second\nHD-A-1 | - | x\n";

    fn test(name: &str, path: &str, ids: &[&str]) -> Test {
        Test { name: name.to_owned(), path: path.to_owned(), ids: ids.iter().map(|id| (*id).to_owned()).collect() }
    }

    fn catalogue() -> Catalogue {
        Catalogue::parse(CATALOGUE).unwrap()
    }

    #[test]
    fn requirement_without_test_and_reason_is_a_gap() {
        let tests = [test("a_1_holds", "x.rs", &["A-1"])];
        let gaps = gaps(&catalogue(), &by_id(&tests));
        assert_eq!(gaps.len(), 1);
        assert!(gaps[0].starts_with("HD-A-1 has no test") && gaps[0].contains("fn hd_a_1_"), "{gaps:?}");
    }

    #[test]
    fn reason_beside_a_test_is_out_of_date() {
        let tests = [test("all", "x.rs", &["A-1", "A-2", "HD-A-1"])];
        let gaps = gaps(&catalogue(), &by_id(&tests));
        assert_eq!(gaps, ["A-2 has a reason for having no test, and `all` in x.rs: remove the reason"]);
    }

    #[test]
    fn only_ids_of_known_families_can_be_unknown() {
        let tests = [test("all", "x.rs", &["A-1", "A-3", "HD-A-2", "B-1", "FU-A-9"])];
        let trouble = strangers(&[&catalogue()], &tests);
        assert_eq!(trouble.len(), 2);
        assert!(trouble[0].contains("names A-3") && trouble[1].contains("names HD-A-2"), "{trouble:?}");
    }

    #[test]
    fn page_names_tests_by_file_reasons_and_what_is_missing() {
        let tests = [test("a_1_b", "y.rs", &["A-1"]), test("a_1_a", "x.rs", &["A-1"]), test("a_1_c", "x.rs", &["A-1"])];
        let page = page("some-crate", &catalogue(), &by_id(&tests));
        assert!(page.starts_with("# Conformance of some-crate\n"));
        assert!(page.contains("3 requirements: 1 have tests, 1 a reason"));
        assert!(page.contains("\n## A: First\n\n| id |"));
        assert!(page.contains("| A-1 | §1.2 | One. | x.rs: `a_1_a`, `a_1_c`<br>y.rs: `a_1_b` |\n"), "{page}");
        assert!(page.contains("| A-2 |  | Two. | none: no |\n"));
        assert!(page.contains("| HD-A-1 |  | x | **none** |\n"));
    }

    #[test]
    fn catalogues_of_this_workspace_can_be_read() {
        let crates = crates(&image::workspace()).unwrap();
        assert!(crates.iter().any(|package| package == "virtio-queue-rt"), "{crates:?}");
        for package in crates {
            let path = image::workspace().join("crates").join(&package).join(REQUIREMENTS);
            let catalogue = Catalogue::parse(&read(&path).unwrap()).unwrap();
            assert!(catalogue.requirements().count() > 0, "{package}");
        }
    }
}
