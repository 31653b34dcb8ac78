//! From the start of QEMU to the first line of `hello` and to the end of QEMU, beside the [empty kernel](super::empty).
//!
//! Both are booted in turn on each machine type, so that whatever else the host does hits both alike: what Toro adds is the
//! difference, and the ratio is worth more than either time. Processor time is QEMU's, all its threads, from its start to its
//! end; other load of the host changes it less than times by the clock.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{BOOT_LIMIT, HELLO_LINE, Options};
use crate::guest::{Echo, Guest};
use crate::machine::{ANY_CPU, Card, Machine, Pace, Setup};
use crate::stats::{Samples, ratio};
use crate::table::Table;
use crate::toro;

/// What a run took, in milliseconds.
#[derive(Default)]
struct Times {
    line: Samples,
    end: Samples,
    /// The sum: single ones are read in steps of 10 ms.
    processor: f64,
}

/// Boots `hello` and `empty` on each machine type in turn.
///
/// # Errors
///
/// One of them does not boot.
pub fn table(options: &Options, hello: &Path, empty: &Path, echo: Echo) -> Result<Table> {
    let subjects = [("empty kernel", empty), ("toro hello", hello)];
    let mut machines = vec![(Machine::Microvm, <[Times; 2]>::default()), (Machine::Pc, <[Times; 2]>::default())];
    if options.guest.machine == Machine::Q35 {
        machines.push((Machine::Q35, <[Times; 2]>::default()));
    }
    for run in 1..=options.runs {
        eprintln!("bench: start {run} of {}", options.runs);
        for (machine, times) in &mut machines {
            for (times, (name, image)) in times.iter_mut().zip(subjects) {
                boot(options, *machine, image, times, echo).with_context(|| format!("{name} on {}", machine.name()))?;
            }
        }
    }
    let title = format!(
        "milliseconds from the start of QEMU, {} boots each in turn, -m {} -smp {}",
        options.runs, options.guest.memory, options.cores
    );
    let mut table =
        Table::new(title, ["machine", "to the first line", "to the end", "of empty", "QEMU CPU", "of empty"]);
    for (machine, times) in &machines {
        let [empty, _] = times;
        for (times, (name, _)) in times.iter().zip(subjects) {
            let processor = times.processor / f64::from(options.runs);
            table.row([
                format!("{}, {name}", machine.name()),
                times.line.show(|ms| format!("{ms:.1}")),
                times.end.show(|ms| format!("{ms:.1}")),
                ratio(times.end.median(), empty.end.median()),
                format!("{processor:.1}"),
                ratio(times.processor, empty.processor),
            ]);
        }
    }
    Ok(table)
}

fn boot(options: &Options, machine: Machine, image: &Path, times: &mut Times, echo: Echo) -> Result<()> {
    let setup = Setup {
        machine,
        accel: options.guest.accel,
        cpu: ANY_CPU,
        vcpus: options.cores,
        pace: Pace::Host,
        memory: options.guest.memory,
        links: &[],
        card: Card::Virtio,
        share: None,
        disk: None,
        counters: None,
    };
    let system = toro::system(image, machine, None, &options.guest.append);
    let before = processor_time_of_children()?;
    let mut guest = Guest::start("guest", &system, &setup, echo)?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    times.line.push(milliseconds(guest.wait_line(HELLO_LINE, BOOT_LIMIT)?));
    times.end.push(milliseconds(guest.wait_end(BOOT_LIMIT)?));
    times.processor += milliseconds(processor_time_of_children()? - before);
    Ok(())
}

/// Processor time of all children of this process that have ended and been waited for.
fn processor_time_of_children() -> Result<Duration> {
    /// Ticks per second of the times in /proc, fixed by the kernel's interface to user space.
    const TICKS: u32 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    // cutime and cstime are fields 16 and 17; the name (field 2) may contain spaces but ends at the last ')'.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Option<u32> = after_name.split_whitespace().skip(13).take(2).map(|word| word.parse::<u32>().ok()).sum();
    Ok(Duration::from_secs(1) * ticks.context("/proc/self/stat: not understood")? / TICKS)
}
