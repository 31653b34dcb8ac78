//! An application in a repository of its own: the set-up that the documentation describes, in a fresh directory.
//!
//! ```text
//!   Cargo.toml            a dependency on `toro`, panic = "abort"
//!   .cargo/config.toml    how an image is linked: the lines of this workspace's own
//!   src/main.rs           the application
//! ```

use std::fs;
use std::path::Path;

use crate::case::Case;
use crate::tool::Tool;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![Case::new("outside::application_in_its_own_directory_builds_and_boots", builds_and_boots).slow()]
}

const MAIN: &str = r#"//! An application outside Toro's repository.
#![no_std]
#![no_main]

toro::entry!(main);

fn main() {
    toro::println!("outside: {}", toro::env::option("greeting").unwrap_or("none"));
    toro::process::exit(7);
}
"#;

fn builds_and_boots(tool: &Tool) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    write_project(directory.path(), &tool.workspace())?;
    let place = directory.path().to_string_lossy().into_owned();
    for machine in ["microvm", "q35"] {
        let arguments = ["run", &place, "--machine", machine, "--timeout", "120", "--append", "greeting=hello"];
        let finished = tool.run(arguments)?;
        finished.expect_status(7)?.expect_output("outside: hello")?;
    }
    Ok(())
}

/// Writes the project's files into `directory`.
fn write_project(directory: &Path, workspace: &Path) -> Result<(), String> {
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\ntoro = {{ path = \"{}\" }}\n\n\
         [profile.dev]\npanic = \"abort\"\n\n[profile.release]\npanic = \"abort\"\n",
        workspace.join("kernel").display()
    );
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(file, text)
    };
    let config = fs::read_to_string(workspace.join(".cargo/config.toml"))
        .map_err(|error| format!("the workspace's .cargo/config.toml: {error}"))?;
    let linking = image_section(&config).ok_or("the workspace's .cargo/config.toml does not say how to link")?;
    let written = write("Cargo.toml", &manifest)
        .and_then(|()| write(".cargo/config.toml", linking))
        .and_then(|()| write("src/main.rs", MAIN))
        // The versions that the workspace was tested with, also where a registry has newer ones.
        .and_then(|()| fs::copy(workspace.join("Cargo.lock"), directory.join("Cargo.lock")).map(drop));
    written.map_err(|error| format!("cannot write the project: {error}"))
}

/// The table of the bare-metal target in a cargo configuration, up to the next table.
fn image_section(config: &str) -> Option<&str> {
    let start = config.find("[target.x86_64-unknown-none]")?;
    let rest = config.get(start..)?;
    Some(rest.find("\n[").and_then(|end| rest.get(..=end)).unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_ends_where_the_next_begins() {
        let config = "[alias]\nx = 1\n[target.x86_64-unknown-none]\nrustflags = []\n[other]\ny = 2\n";
        assert_eq!(image_section(config), Some("[target.x86_64-unknown-none]\nrustflags = []\n"));
        assert_eq!(image_section("[alias]\n"), None);
    }
}
