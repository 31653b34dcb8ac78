//! What a Dockerfile says, as far as ours goes: the instructions, one after the other.
//!
//! ```text
//!   RUN first \         one instruction: a line that ends in a backslash goes on in the next
//!       && second
//!   ENV NAME=VALUE      CMD ["a list", "in JSON"]      # a line that says nothing
//! ```
//!
//! What is not understood is an error: leaving out a line would be to check something else.

use std::str::FromStr;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Begins with this image.
    From(String),
    /// Sets a variable from here on.
    Env(String, String),
    /// Declares a parameter, with a default if it has one.
    Arg(String, Option<String>),
    /// Makes a directory that later instructions work in.
    Workdir(String),
    /// Copies this of the context to that place.
    Copy(String, String),
    /// Runs this in a shell.
    Run(String),
    /// What a container runs.
    Cmd(Vec<String>),
}

/// Reads a Dockerfile.
///
/// # Errors
///
/// The line that is not understood.
pub fn parse(text: &str) -> Result<Vec<Instruction>, String> {
    let mut instructions = Vec::new();
    let mut whole = String::new();
    for line in text.lines().map(str::trim) {
        // Between the lines of one instruction, too.
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            whole.push_str(begun.trim_end());
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        instructions.push(whole.parse()?);
        whole.clear();
    }
    if whole.is_empty() { Ok(instructions) } else { Err(format!("an instruction that does not end: {whole}")) }
}

impl FromStr for Instruction {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let unknown = || format!("not understood: {line}");
        let (name, rest) = line.split_once(char::is_whitespace).ok_or_else(unknown)?;
        let rest = rest.trim();
        let words: Vec<_> = rest.split_whitespace().collect();
        match (name, words.as_slice()) {
            ("FROM", [image]) => Ok(Self::From((*image).to_owned())),
            ("ENV", [pair]) => {
                let (name, value) = pair.split_once('=').ok_or_else(unknown)?;
                Ok(Self::Env(name.to_owned(), value.to_owned()))
            }
            ("ARG", [pair]) => match pair.split_once('=') {
                Some((name, value)) => Ok(Self::Arg(name.to_owned(), Some(value.to_owned()))),
                None => Ok(Self::Arg((*pair).to_owned(), None)),
            },
            ("WORKDIR", [path]) if path.starts_with('/') => Ok(Self::Workdir((*path).to_owned())),
            ("COPY", [from, to]) if !from.starts_with("--") => Ok(Self::Copy((*from).to_owned(), (*to).to_owned())),
            ("RUN", [first, ..]) if !first.starts_with("--") && !first.starts_with('[') => {
                Ok(Self::Run(rest.to_owned()))
            }
            ("CMD", [first, ..]) if first.starts_with('[') => {
                serde_json::from_str(rest).map(Self::Cmd).map_err(|_| unknown())
            }
            _ => Err(unknown()),
        }
    }
}

/// What of the context no `COPY` sees: the lines of a `.dockerignore`.
pub struct Ignored(Vec<String>);

impl Ignored {
    /// Reads the lines.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| line.trim_matches('/').to_owned()).collect())
    }

    /// Whether the file at `path` in the context is left out.
    pub fn has(&self, path: &str) -> bool {
        let names: Vec<_> = path.split('/').collect();
        self.0.iter().any(|pattern| {
            let pattern: Vec<_> = pattern.split('/').collect();
            match pattern.split_first() {
                Some((&"**", [name])) => names.last().is_some_and(|last| fits(name, last)),
                _ => {
                    pattern.len() == names.len()
                        && pattern.iter().zip(&names).all(|(pattern, name)| fits(pattern, name))
                }
            }
        })
    }
}

/// Whether a name fits a pattern with at most one star.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_with_their_continuations() {
        let text = "# head\nFROM a:1\nENV A=b=c\nARG X\nARG Y=--all\nWORKDIR /w\nCOPY . .\nRUN one \\\n  # within\n    && two\nCMD [\"a b\", \"c\"]\n";
        let expected = [
            Instruction::From("a:1".into()),
            Instruction::Env("A".into(), "b=c".into()),
            Instruction::Arg("X".into(), None),
            Instruction::Arg("Y".into(), Some("--all".into())),
            Instruction::Workdir("/w".into()),
            Instruction::Copy(".".into(), ".".into()),
            Instruction::Run("one && two".into()),
            Instruction::Cmd(vec!["a b".into(), "c".into()]),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in
            ["VOLUME /x", "RUN", "RUN --mount=type=cache a", "COPY --from=x a b", "CMD a b", "ENV A b", "RUN a \\"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_projects_own_files_are_understood() {
        let directory = crate::image::workspace();
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let instructions = parse(&read("Dockerfile")).unwrap();
        assert!(matches!(instructions.first(), Some(Instruction::From(_))));
        assert!(matches!(instructions.last(), Some(Instruction::Cmd(_))));
        let ignored = Ignored::parse(&read(".dockerignore"));
        for path in ["target", ".git", "tests/boot/target", "a/b.rs.bk", "b.rs.bk"] {
            assert!(ignored.has(path), "{path}");
        }
        for path in ["kernel", "kernel/src/target", "xtask/src/main.rs", "tests/boot", "tests/a/b/target"] {
            assert!(!ignored.has(path), "{path}");
        }
    }
}
