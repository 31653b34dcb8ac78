//! The PHY, on the other side of a serial bus (manual §8.10; IEEE 802.3 clause 22).
//!
//! It negotiates speed and duplex by itself, and the device shows the outcome as the state of the link. All that is done
//! here is to wake one that was left asleep, or was told not to negotiate. A PHY that is content is not touched: to start
//! negotiating takes the link down for seconds.
//!
//! A bus that does not answer in time, or with an error, is left alone. Whether frames can pass is known without it.

use core::time::Duration;

use toro_core::{Clock, Deadline, Registers};

use crate::registers::{self, PHY};

/// The one PHY that a controller has.
const ADDRESS: u32 = 1 << 21;
const WRITE: u32 = 1 << 26;
const READ: u32 = 2 << 26;
const READY: u32 = 1 << 28;
const ERROR: u32 = 1 << 30;
/// The PHY's control register, number 0.
const CONTROL: u32 = 0 << 16;
/// In it: negotiation is on.
const NEGOTIATES: u16 = 1 << 12;
/// In it: asleep.
const POWER_DOWN: u16 = 1 << 11;
/// In it: start negotiating.
const RESTART: u16 = 1 << 9;
/// For one exchange, which takes 64 microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

/// Makes the PHY negotiate, if it does not.
pub(crate) fn wake<R: Registers>(registers: &R, clock: &'static dyn Clock) {
    let Some(control) = exchange(registers, READ | ADDRESS | CONTROL, clock) else {
        return log::debug!("the PHY does not answer; left as it is");
    };
    if control & NEGOTIATES == 0 || control & POWER_DOWN != 0 {
        let control = control & !POWER_DOWN | NEGOTIATES | RESTART;
        if exchange(registers, WRITE | ADDRESS | CONTROL | u32::from(control), clock).is_none() {
            log::debug!("the PHY does not take orders");
        }
    }
}

/// One exchange; the data it ends with.
fn exchange<R: Registers>(registers: &R, command: u32, clock: &'static dyn Clock) -> Option<u16> {
    PHY.write(registers, command);
    let mut value = 0;
    let done = Deadline::after(clock, PATIENCE).wait_until(|| {
        value = PHY.read(registers);
        value & READY != 0
    });
    let is_good = done.is_ok() && value != registers::NOBODY && value & ERROR == 0;
    is_good.then_some(value as u16)
}
