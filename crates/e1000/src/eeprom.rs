//! Where the interface's address comes from (manual §5.6.1, §13.4.4).
//!
//! ```text
//!   word 0   word 1   word 2   ...   word 0x3f
//!   02 52    12 00    56 34          makes the sum of all 64 words 0xbaba
//! ```
//!
//! The EEPROM is asked word by word, with a deadline for all of them together. An 82544 does not answer; other EEPROMs are
//! empty, or spoilt. The device has read its own by then and set its first exact address from it, which is the second
//! source; the third is the platform's choice.

use core::time::Duration;

use toro_core::driver::net::MacAddress;
use toro_core::{Clock, Deadline, Registers};

use crate::model::{EepromRead, Model};
use crate::registers::{self, EEPROM_READ};

const START: u32 = 1 << 0;
const DATA_SHIFT: u32 = 16;
/// Words under the checksum, which is the last of them.
const WORDS: u32 = 0x40;
const SUM: u16 = 0xbaba;
/// For one word; hardware takes microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

/// The address that the device says it has, if any.
pub(crate) fn address<R: Registers>(registers: &R, model: Model, clock: &'static dyn Clock) -> Option<MacAddress> {
    stored_address(registers, model.eeprom_read(), clock).or_else(|| loaded_address(registers)).filter(valid)
}

fn valid(mac: &MacAddress) -> bool {
    mac.is_unicast()
}

/// The address in the EEPROM, if the sum says that it is one.
fn stored_address<R: Registers>(registers: &R, how: EepromRead, clock: &'static dyn Clock) -> Option<MacAddress> {
    let mut mac = [0; 6];
    let mut sum = 0_u16;
    for number in 0..WORDS {
        let word = word(registers, how, number, clock)?;
        if let Some(place) = mac.as_chunks_mut::<2>().0.get_mut(number as usize) {
            *place = word.to_le_bytes();
        }
        sum = sum.wrapping_add(word);
    }
    (sum == SUM).then_some(MacAddress(mac)).filter(valid)
}

fn word<R: Registers>(registers: &R, how: EepromRead, number: u32, clock: &'static dyn Clock) -> Option<u16> {
    EEPROM_READ.write(registers, START | number << how.address_shift);
    let mut value = 0;
    let done = Deadline::after(clock, PATIENCE).wait_until(|| {
        value = EEPROM_READ.read(registers);
        value & how.done != 0
    });
    done.ok().filter(|()| value != registers::NOBODY).map(|()| (value >> DATA_SHIFT) as u16)
}

/// The address that the device compares with.
fn loaded_address<R: Registers>(registers: &R) -> Option<MacAddress> {
    let [low, high] = registers::exact_address(0).map(|half| half.read(registers));
    let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
    (high & registers::ADDRESS_VALID != 0 && low != registers::NOBODY).then_some(MacAddress([a, b, c, d, e, f]))
}
