//! Instructions, counted by callgrind.
//!
//! Each count is a run of this program in valgrind that does one case and nothing else ([`collected`]). Counting is
//! switched on where `ring_driver_send` or `ring_driver_reap` is entered and off where it is left, or the same for
//! `ring_device_serve`, so that driver and device are told apart to the instruction. Two runs of different length
//! are made, and their difference is divided by the difference in operations: what happens once, such as the first
//! lap through a ring, cancels out.

use std::path::Path;

use anyhow::{Result, ensure};

use super::contender::Who;
use super::measure::Case;
use super::one_arguments;
use crate::callgrind::collected;

/// Operations in the short run, after which all is settled; and in the long one.
const SHORT: u32 = 4096;
const LONG: u32 = 3 * SHORT;

/// Whose instructions.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// What the driver executes.
    Driver,
    /// What the device executes.
    Device,
}

/// Instructions per operation.
///
/// # Errors
///
/// There is no valgrind, or it says something else than how much it counted.
pub fn count(who: Who, case: Case, side: Side, scratch: &Path) -> Result<f64> {
    let short = run(who, case, side, SHORT, scratch)?;
    let long = run(who, case, side, LONG, scratch)?;
    Ok((long as f64 - short as f64) / f64::from(LONG - SHORT))
}

fn run(who: Who, case: Case, side: Side, operations: u32, scratch: &Path) -> Result<u64> {
    let pattern = match side {
        Side::Driver => "*ring_driver_*",
        Side::Device => "*ring_device_*",
    };
    let collected = collected(&[pattern], one_arguments(who, case, operations), scratch)?;
    ensure!(collected > u64::from(operations), "nothing matched {pattern}: was a measured function inlined?");
    Ok(collected)
}
