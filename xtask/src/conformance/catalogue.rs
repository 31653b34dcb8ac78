//! The list of requirements: plain text, one line each.
//!
//! ```text
//!   # a comment
//!   ## FAMILY  title
//!   FAMILY-1 | 3.1.1 | What has to be so.
//!   FAMILY-2 | - | What no section of the specification says.
//!       reason: why no test can show it
//! ```

use std::collections::BTreeSet;

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name: family, dash, number.
    pub id: String,
    /// The sections of the specification that ask for it, if any do.
    pub section: Option<String>,
    /// What it asks for.
    pub text: String,
    /// Why no test can show it.
    pub reason: Option<String>,
}

/// Requirements on one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// What its ids begin with.
    pub name: String,
    /// The subject.
    pub title: String,
    /// In the order of the file.
    pub requirements: Vec<Requirement>,
}

/// All requirements of one crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// In the order of the file.
    pub families: Vec<Family>,
}

impl Catalogue {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// The number of the first line that makes no sense, and why.
    pub fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut catalogue = Self::default();
        let mut ids = BTreeSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            catalogue.add_line(line, &mut ids).map_err(|what| (number, what))?;
        }
        Ok(catalogue)
    }

    fn add_line(&mut self, line: &str, ids: &mut BTreeSet<String>) -> Result<(), &'static str> {
        if let Some(heading) = line.strip_prefix("## ") {
            let (name, title) = heading.split_once(' ').ok_or("a family has a title")?;
            if self.has_family(name) {
                return Err("this family is there already");
            }
            let (name, title) = (name.to_owned(), title.trim().to_owned());
            self.families.push(Family { name, title, requirements: Vec::new() });
        } else if let Some(reason) = line.trim_start().strip_prefix("reason: ") {
            let requirement = self.families.last_mut().and_then(|family| family.requirements.last_mut());
            let requirement = requirement.ok_or("a reason for what?")?;
            if requirement.reason.replace(reason.trim().to_owned()).is_some() {
                return Err("there is a reason already");
            }
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let family = self.families.last_mut().ok_or("a family comes first: `## NAME  title`")?;
            let requirement = Requirement::parse(line).ok_or("not of the form `ID | section | requirement`")?;
            let number = requirement.id.strip_prefix(&family.name).and_then(|rest| rest.strip_prefix('-'));
            if number.is_none_or(|number| number.parse::<u16>().is_err()) {
                return Err("the id is not of the family above");
            }
            if !ids.insert(requirement.id.clone()) {
                return Err("this id is there already");
            }
            family.requirements.push(requirement);
        }
        Ok(())
    }

    /// All requirements, in order.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.families.iter().flat_map(|family| &family.requirements)
    }

    /// Whether there is a family of this name.
    pub fn has_family(&self, name: &str) -> bool {
        self.families.iter().any(|family| family.name == name)
    }
}

impl Requirement {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(" | ").map(str::trim);
        let (id, section, text) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || text.is_empty() || text.contains('|') {
            return None;
        }
        let section = (section != "-").then(|| section.to_owned());
        Some(Self { id: id.to_owned(), section, text: text.to_owned(), reason: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_families_and_requirements() {
        let text =
            "# comment\n\n## A  The first\nA-1 | 1.2, 3 | One.\nA-2 | - | Two.\n    reason: not here\n## HD-A  x\n";
        let catalogue = Catalogue::parse(text).unwrap();
        let names: Vec<_> = catalogue.families.iter().map(|family| (&*family.name, &*family.title)).collect();
        assert_eq!(names, [("A", "The first"), ("HD-A", "x")]);
        let requirements: Vec<_> = catalogue.requirements().collect();
        assert_eq!((&*requirements[0].id, requirements[0].section.as_deref()), ("A-1", Some("1.2, 3")));
        assert_eq!((&requirements[1].section, requirements[1].reason.as_deref()), (&None, Some("not here")));
        assert!(catalogue.has_family("HD-A") && !catalogue.has_family("HD"));
    }

    #[test]
    fn lines_without_sense_are_named() {
        for (text, line) in [
            ("A-1 | - | no family", 1),
            ("## A\n", 1),
            ("## A  a\n## A  again", 2),
            ("## A  a\nA-1 | text", 2),
            ("## A  a\nA-1 | - | text | more", 2),
            ("## A  a\nA-1 | - |", 2),
            ("## A  a\nB-1 | - | another family", 2),
            ("## A  a\nA-x | - | no number", 2),
            ("## A  a\nA-1 | - | one\n\nA-1 | - | again", 4),
            ("## A  a\n  reason: for nothing", 2),
            ("## A  a\nA-1 | - | one\n  reason: x\n  reason: y", 4),
        ] {
            assert_eq!(Catalogue::parse(text).map_err(|(line, _)| line), Err(line), "{text}");
        }
    }
}
