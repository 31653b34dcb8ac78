//! The smallest application: it boots on every machine, optimised and with little memory, and not, prints, and ends with
//! status 0.

use super::MACHINES;
use crate::case::Case;
use crate::tool::Tool;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for machine in MACHINES {
        let memory = least_memory(machine);
        let name = format!("hello::image_prints_and_returns_in_{memory}_mib_on_{machine}");
        cases.push(Case::new(name, move |tool| prints_and_returns(tool, machine, &["--memory", memory])));
        let name = format!("hello::dev_image_prints_and_returns_on_{machine}");
        cases.push(Case::new(name, move |tool| prints_and_returns(tool, machine, &["--dev"])));
    }
    cases.push(Case::new("hello::build_prints_path_and_sizes", build_prints_path_and_sizes));
    cases
}

/// Mebibytes that are enough. Firmware and its tables want some of them on machines that have any.
fn least_memory(machine: &str) -> &'static str {
    if machine == "microvm" { "4" } else { "8" }
}

fn prints_and_returns(tool: &Tool, machine: &str, options: &[&str]) -> Result<(), String> {
    let common = ["run", "hello", "--machine", machine, "--timeout", "120"];
    let finished = tool.run(common.iter().chain(options).copied())?;
    finished.expect_status(0)?;
    finished.expect_line("a greeting", |line| line.to_lowercase().contains("hello"))?;
    Ok(())
}

fn build_prints_path_and_sizes(tool: &Tool) -> Result<(), String> {
    let finished = tool.run(["build", "hello"])?;
    finished.expect_status(0)?;
    let mut lines = finished.stdout.lines();
    let path = lines.next().unwrap_or_default();
    let size = std::fs::metadata(path).map_err(|error| format!("{path:?}: {error}"))?.len();
    finished.expect_line("the sizes", |line| {
        line.starts_with(&format!("{size} bytes, ")) && line.contains(" stripped, ")
    })?;
    Ok(())
}
