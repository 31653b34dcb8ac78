//! Times: seconds since 1970 to the outside, packed dates on the disk.
//!
//! ```text
//!   date  15..9 year since 1980   8..5 month   4..0 day
//!   time  15..11 hour             10..5 minute 4..0 second / 2
//! ```
//!
//! FAT has no time zone; everything here is UTC. Years end in 2107.

/// A point in time, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since the beginning of 1970.
    pub seconds: u64,
    /// Nanoseconds of the second.
    pub nanoseconds: u32,
}

/// The first second of 1980, the earliest that the disk can say.
const EARLIEST: u64 = 315_532_800;
/// The last even second of 2107.
const LATEST: u64 = 4_354_819_198;

/// A date, a time, and how far the time is into its two seconds, in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    pub date: u16,
    pub time: u16,
    pub hundredths: u8,
}

impl Timestamp {
    pub(crate) fn pack(self) -> Packed {
        let seconds = self.seconds.clamp(EARLIEST, LATEST);
        let (days, second) = (seconds / 86_400, (seconds % 86_400) as u32);
        let (year, month, day) = civil(days as u32);
        let date = (year - 1980) << 9 | month << 5 | day;
        let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
        let hundredths = second % 2 * 100 + self.nanoseconds.min(999_999_999) / 10_000_000;
        Packed { date: date as u16, time: time as u16, hundredths: hundredths as u8 }
    }
}

impl Timestamp {
    /// What is left of it as the time of a change.
    pub(crate) fn as_modified(self) -> Self {
        Packed { hundredths: 0, ..self.pack() }.unpack()
    }

    /// What is left of it as the day of an access.
    pub(crate) fn as_accessed(self) -> Self {
        Packed { time: 0, hundredths: 0, ..self.pack() }.unpack()
    }
}

impl Packed {
    /// The point in time, whatever the bits are: a month 0 or 15 or a second 62 is moved to the next that exists.
    pub(crate) fn unpack(self) -> Timestamp {
        let (date, time) = (u32::from(self.date), u32::from(self.time));
        let days = days_since_1970(1980 + (date >> 9), (date >> 5 & 15).clamp(1, 12), (date & 31).max(1));
        let second = (time >> 11).min(23) * 3600 + (time >> 5 & 63).min(59) * 60 + (time & 31).min(29) * 2;
        let hundredths = u32::from(self.hundredths.min(199));
        Timestamp {
            seconds: u64::from(days) * 86_400 + u64::from(second + hundredths / 100),
            nanoseconds: hundredths % 100 * 10_000_000,
        }
    }
}

/// Year, month and day of a day since 1970. Years begin in March here, so that a leap day is the last of its year.
fn civil(days: u32) -> (u32, u32, u32) {
    let day = days + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

/// The reverse of [`civil`].
fn days_since_1970(year: u32, month: u32, day: u32) -> u32 {
    let year = year - u32::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_disk_to_ten_milliseconds() {
        // 29 February 2024, 23:59:59.98 UTC.
        let time = Timestamp { seconds: 1_709_251_199, nanoseconds: 980_000_000 };
        let packed = time.pack();
        assert_eq!(packed.date, (2024 - 1980) << 9 | 2 << 5 | 29);
        assert_eq!(packed.time, 23 << 11 | 59 << 5 | 29);
        assert_eq!(packed.hundredths, 198);
        assert_eq!(packed.unpack(), time);
    }

    #[test]
    fn every_day_that_the_disk_can_say_survives() {
        for day in EARLIEST / 86_400..=LATEST / 86_400 {
            let time = Timestamp { seconds: day * 86_400, nanoseconds: 0 };
            assert_eq!(time.pack().unpack(), time);
        }
    }

    #[test]
    fn times_outside_are_moved_to_the_nearest() {
        assert_eq!(Timestamp::default().pack().unpack().seconds, EARLIEST);
        assert_eq!(Timestamp { seconds: u64::MAX, nanoseconds: u32::MAX }.pack().unpack().seconds, LATEST);
    }

    #[test]
    fn any_bits_are_a_time() {
        for bits in 0..=u16::MAX {
            let _ = Packed { date: bits, time: !bits, hundredths: 255 }.unpack();
        }
    }
}
