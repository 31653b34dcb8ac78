//! What a PC's real-time clock shows, as Unix time.
//!
//! The clock has registers for second, minute, hour, day, month and year, in BCD or binary, with 12 or 24 hours, as its
//! status register B says; the century's place differs between machines and is not believed: years are 2000-2099.

use core::time::Duration;

/// The clock's registers, raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Registers {
    /// Register 0.
    pub second: u8,
    /// Register 2.
    pub minute: u8,
    /// Register 4; bit 7 is "afternoon" with 12 hours.
    pub hour: u8,
    /// Register 7.
    pub day: u8,
    /// Register 8.
    pub month: u8,
    /// Register 9, within the century.
    pub year: u8,
    /// Register 11: bit 1 says 24 hours, bit 2 binary.
    pub status_b: u8,
}

impl Registers {
    const STATUS_A: u8 = 10;
    const STATUS_B: u8 = 11;
    const UPDATE_IN_PROGRESS: u8 = 1 << 7;

    /// Reads the registers by their numbers outside an update, twice, until both readings agree; `None` when `is_time_left`
    /// says that it is over.
    pub fn read(mut register: impl FnMut(u8) -> u8, mut is_time_left: impl FnMut() -> bool) -> Option<Self> {
        let mut last = None;
        while is_time_left() {
            if register(Self::STATUS_A) & Self::UPDATE_IN_PROGRESS != 0 {
                last = None;
                core::hint::spin_loop();
                continue;
            }
            let now = Self {
                second: register(0),
                minute: register(2),
                hour: register(4),
                day: register(7),
                month: register(8),
                year: register(9),
                status_b: register(Self::STATUS_B),
            };
            if last == Some(now) {
                return last;
            }
            last = Some(now);
        }
        None
    }
}

const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
const AFTERNOON: u8 = 1 << 7;

/// Unix time, or `None` where the registers do not show a date: an absent clock reads as all ones or all zeroes.
pub fn unix_time(registers: &Registers) -> Option<Duration> {
    let number = |raw: u8| -> Option<u64> {
        let (tens, ones) = (raw >> 4, raw & 0xF);
        if registers.status_b & BINARY != 0 {
            Some(u64::from(raw))
        } else {
            (tens < 10 && ones < 10).then(|| u64::from(tens * 10 + ones))
        }
    };
    let is_24_hours = registers.status_b & HOURS_24 != 0;
    let hour = if is_24_hours {
        number(registers.hour)?
    } else {
        let half_day = if registers.hour & AFTERNOON != 0 { 12 } else { 0 };
        let hour = number(registers.hour & !AFTERNOON).filter(|hour| (1..=12).contains(hour))?;
        hour % 12 + half_day
    };
    let (second, minute) = (number(registers.second)?, number(registers.minute)?);
    let (day, month, year) = (number(registers.day)?, number(registers.month)?, 2000 + number(registers.year)?);
    if second > 59 || minute > 59 || hour > 23 || !(1..=12).contains(&month) || year > 2099 {
        return None;
    }
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let days = days_before_year(year) + (1..month).map(|month| days_in_month(year, month)).sum::<u64>() + day - 1;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from the beginning of 1970 to that of `year`.
fn days_before_year(year: u64) -> u64 {
    (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(registers: Registers) -> Option<u64> {
        unix_time(&registers).map(|time| time.as_secs())
    }

    const BCD: Registers =
        Registers { second: 0x56, minute: 0x34, hour: 0x12, day: 0x29, month: 0x02, year: 0x24, status_b: HOURS_24 };

    #[test]
    fn bcd_and_binary_show_the_same_time() {
        // date -u -d '2024-02-29 12:34:56' +%s
        assert_eq!(seconds(BCD), Some(1_709_210_096));
        let binary =
            Registers { second: 56, minute: 34, hour: 12, day: 29, month: 2, year: 24, status_b: HOURS_24 | BINARY };
        assert_eq!(seconds(binary), Some(1_709_210_096));
    }

    #[test]
    fn twelve_hour_clocks_begin_at_midnight_and_noon() {
        let at = |hour| seconds(Registers { hour, status_b: 0, ..BCD }).map(|time| time % 86_400 / 3600);
        assert_eq!(at(0x12), Some(0));
        assert_eq!(at(0x01), Some(1));
        assert_eq!(at(0x12 | AFTERNOON), Some(12));
        assert_eq!(at(0x11 | AFTERNOON), Some(23));
        assert_eq!(at(0x00), None);
        assert_eq!(at(0x13), None);
    }

    #[test]
    fn an_absent_clock_shows_no_date() {
        let all = |value| Registers {
            second: value,
            minute: value,
            hour: value,
            day: value,
            month: value,
            year: value,
            status_b: value,
        };
        assert_eq!(seconds(all(0xFF)), None);
        assert_eq!(seconds(all(0)), None);
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert_eq!(seconds(Registers { year: 0x23, ..BCD }), None);
        assert_eq!(seconds(Registers { day: 0x31, month: 0x04, ..BCD }), None);
        assert_eq!(seconds(Registers { minute: 0x60, ..BCD }), None);
        assert_eq!(seconds(Registers { month: 0x13, ..BCD }), None);
    }

    /// What a read of registers gives that are `register`, for at most ten looks.
    fn read(register: impl Fn(u8, u32) -> u8) -> Option<Registers> {
        let looks = core::cell::Cell::new(0);
        let is_time_left = || {
            looks.set(looks.get() + 1);
            looks.get() <= 10
        };
        Registers::read(|number| register(number, looks.get()), is_time_left)
    }

    #[test]
    fn a_clock_that_is_not_there_shows_no_time_and_keeps_nobody_waiting() {
        // Firecracker has none, and answers with zeroes; where a PC has none, it answers with ones: an update for ever.
        let zeroes = read(|_, _| 0).unwrap();
        assert_eq!(unix_time(&zeroes), None);
        assert_eq!(read(|_, _| u8::MAX), None);
    }

    #[test]
    fn a_reading_is_believed_when_the_next_one_is_the_same() {
        let seconds = |number, look| match (number, look) {
            (10, 1..=2) => 0x80,
            (0, 3) => 0x59,
            (0, _) => 0x00,
            _ => 1,
        };
        assert_eq!(read(seconds).unwrap().second, 0);
        assert_eq!(read(|number, look| if number == 0 { look as u8 } else { 1 }), None, "it never stands still");
    }
}
