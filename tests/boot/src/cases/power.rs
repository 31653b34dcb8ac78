//! How a machine ends that has no debug exit device, and how it is started again.
//!
//! QEMU is started by itself here, as the tool always adds that device. Without `-no-reboot` a guest that resets its machine
//! boots again: a power-off that were a reset would go on for ever.

use std::path::PathBuf;

use crate::case::Case;
use crate::tool::Tool;

/// Each machine, and whether it can be powered off; one that cannot is reset, which `-no-reboot` makes an end.
const MACHINES: [(&str, &str, bool); 4] = [
    ("pc", "pc", true),
    ("q35", "q35", true),
    ("microvm_with_acpi", "microvm,acpi=on", true),
    ("microvm_without_acpi", "microvm,acpi=off", false),
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = MACHINES
        .into_iter()
        .map(|(name, machine, can_power_off)| {
            Case::new(format!("power::{name}_goes_off_without_a_debug_exit"), move |tool| {
                let restart: &[&str] = if can_power_off { &[] } else { &["-no-reboot"] };
                goes_off(tool, machine, restart)
            })
        })
        .collect();
    cases.push(Case::new("power::q35_is_started_again_by_a_reboot", is_started_again));
    cases.push(Case::new("power::devices_of_a_microvm_with_acpi_are_found", devices_are_found));
    cases.push(Case::new("power::the_boot_timer_is_told", the_boot_timer_is_told));
    cases
}

/// The image of an application.
fn image(tool: &Tool, arguments: &[&str]) -> Result<PathBuf, String> {
    let built = tool.run(["build"].iter().chain(arguments).copied())?;
    built.expect_status(0)?;
    Ok(built.stdout.lines().next().unwrap_or_default().into())
}

fn qemu(machine: &str, image: &std::path::Path, words: &str, more: &[&str]) -> Vec<String> {
    let common = ["-machine", machine, "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "64", "-display", "none"];
    let image = image.to_string_lossy();
    let rest = ["-serial", "stdio", "-nodefaults", "-no-user-config", "-append", words, "-kernel", &image];
    common.into_iter().chain(rest).chain(more.iter().copied()).map(str::to_owned).collect()
}

fn goes_off(tool: &Tool, machine: &str, more: &[&str]) -> Result<(), String> {
    let image = image(tool, &["hello"])?;
    let finished = tool.run_program("qemu-system-x86_64", qemu(machine, &image, "exit=print", more), &[])?;
    finished.expect_status(0)?;
    let greetings = finished.stdout.matches("hello, world").count();
    let last = finished.stdout.lines().last().map(str::trim);
    match (greetings, last) {
        (1, Some("[toro] exit status 0")) => Ok(()),
        _ => Err(format!("{greetings} greetings, and at last {last:?}:\n{}", finished.stdout)),
    }
}

fn is_started_again(tool: &Tool) -> Result<(), String> {
    let image = image(tool, &["kernel-tests"])?;
    let mut running = tool.start_program("qemu-system-x86_64", qemu("q35", &image, "test=reboot", &[]), &[])?;
    // It goes on for ever, and is ended after the third boot.
    for _ in 0..3 {
        running.await_line(|line| line.contains("test reboot ...").then_some(()))?;
    }
    Ok(())
}

fn devices_are_found(tool: &Tool) -> Result<(), String> {
    let image = image(tool, &["kernel-tests"])?;
    let device =
        ["-global", "virtio-mmio.force-legacy=false", "-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n"];
    let arguments = qemu("microvm,acpi=on", &image, "log=debug test=exit", &device);
    let finished = tool.run_program("qemu-system-x86_64", arguments, &[])?;
    finished.expect_status(0)?.expect_output("[toro] exit status 42")?;
    finished.expect_line("the card", |line| line.contains("virtio-mmio at 0x") && line.contains("virtio-net0, "))?;
    Ok(())
}

/// Nothing is at the address of Firecracker's register in QEMU, which notes what it has to refuse.
fn the_boot_timer_is_told(tool: &Tool) -> Result<(), String> {
    let notes = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let path = notes.path().to_string_lossy().into_owned();
    let arguments = ["run", "hello", "--append", "boot-timer", "--", "-d", "guest_errors,unimp", "-D", &path];
    tool.run(arguments)?.expect_status(0)?;
    let notes = std::fs::read_to_string(notes.path()).map_err(|error| error.to_string())?;
    let is_told = |line: &&str| line.to_lowercase().contains("0xc0000000") && line.contains("size 1");
    match notes.lines().filter(is_told).count() {
        1 => Ok(()),
        count => Err(format!("{count} writes to the register:\n{notes}")),
    }
}
