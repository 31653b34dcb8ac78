//! A debugger in a guest: what the tool prints attaches gdb, and gdb finds its way.
//!
//! gdb is run without its user's settings and without questions. When it has seen enough it lets the guest go, which then
//! has to end as if nobody had looked.

use crate::case::Case;
use crate::tool::{Finished, Tool};

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("debugger::a_release_guest_stops_in_its_main_on_microvm", |tool| stops_in_main(tool, &[])),
        Case::new("debugger::a_release_guest_stops_in_its_main_on_pc", |tool| {
            stops_in_main(tool, &["--machine", "pc"])
        }),
        Case::new("debugger::a_dev_guest_shows_its_variables", shows_variables),
    ]
}

fn stops_in_main(tool: &Tool, options: &[&str]) -> Result<(), String> {
    let seen = debug(tool, options, &["hbreak hello::main", "continue", "backtrace", "info threads"])?;
    seen.expect_line("the application's main on top", |line| {
        line.starts_with("#0") && line.contains("hello::main ()")
    })?;
    seen.expect_line("the kernel below it", |line| line.contains("toro::boot::start::main_thread ()"))?;
    seen.expect_line("the core that runs it", |line| line.contains("CPU#0") && line.contains("hello::main ()"))?;
    seen.expect_line("another core", |line| line.contains("CPU#1"))?;
    Ok(())
}

fn shows_variables(tool: &Tool) -> Result<(), String> {
    let level = "log::MAX_LOG_LEVEL_FILTER.v.value";
    let watch = format!("watch {level}");
    let print = format!("print {level}");
    let seen = debug(tool, &["--dev"], &[&watch, "continue", "backtrace", &print])?;
    seen.expect_output("Old value = 0\n")?.expect_output("New value = 3\n")?.expect_output("$1 = 3\n")?;
    seen.expect_line("who wrote it", |line| line.contains("in log::set_max_level (level=log::LevelFilter::Info)"))?;
    Ok(())
}

/// Runs `hello` on two cores and gdb with `commands` beside it; gives what gdb said.
fn debug(tool: &Tool, options: &[&str], commands: &[&str]) -> Result<Finished, String> {
    let common = ["run", "hello", "--gdb=0", "--cpus", "2", "--timeout", "600"];
    let mut guest = tool.start(common.iter().chain(options).copied(), &[])?;
    let attach = guest.await_line(|line| line.starts_with("gdb ").then(|| line.to_owned()))?;
    let commands: String = commands.iter().chain(&["detach"]).map(|command| format!(" -ex '{command}'")).collect();
    let line = format!("exec {attach} -nx -batch{commands}");
    // The tool's own means tie gdb to this process, too.
    let bound = ["bound", &std::process::id().to_string(), "kill", "--", "sh", "-c", &line].map(str::to_owned);
    let seen = tool.run(bound)?;
    seen.expect_status(0)?;
    guest.finish()?.expect_status(0)?.expect_output("hello, world\n")?;
    Ok(seen)
}
