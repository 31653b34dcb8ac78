//! The two structures of KVM's paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst), decoded.
//!
//! ```text
//!   time information, 32 bytes               wall clock, 12 bytes
//!    0 version (odd while being written)      0 version
//!    8 counter when it was written            4 seconds      } of the Unix time
//!   16 nanoseconds at that moment             8 nanoseconds  } at which the machine's clock was 0
//!   24 multiplier   28 shift (i8)   29 flags
//! ```

use core::time::Duration;

use crate::mm::physical::{read_u32, read_u64};

/// The time-stamp counter's frequency in Hz that the time information implies, if it is complete.
///
/// The multiplier converts shifted ticks to nanoseconds: `ns = ((ticks << shift) * multiplier) >> 32`.
pub fn counter_frequency(information: &[u8; 32]) -> Option<u64> {
    let version = read_u32(information, 0)?;
    let multiplier = read_u32(information, 24)?;
    let shift = i32::from(information[28] as i8);
    if version == 0 || version % 2 == 1 || multiplier == 0 || !(-31..=31).contains(&shift) {
        return None;
    }
    let frequency = (1_000_000_000u128 << 32) / u128::from(multiplier);
    u64::try_from(if shift < 0 { frequency << -shift } else { frequency >> shift }).ok()
}

/// Whether the time-stamp counters of all processors are kept together (PVCLOCK_TSC_STABLE_BIT of the flags).
pub fn is_counter_common(information: &[u8; 32]) -> bool {
    const IS_STABLE: u8 = 1 << 0;
    information[29] & IS_STABLE != 0
}

/// Unix time now: when the clock was 0, and how far it has come.
pub fn unix_time(wall_clock: &[u8; 12], information: &[u8; 32], counter: u64) -> Option<Duration> {
    if read_u32(wall_clock, 0)? % 2 == 1 {
        return None;
    }
    let origin = Duration::new(u64::from(read_u32(wall_clock, 4)?), 0)
        + Duration::from_nanos(u64::from(read_u32(wall_clock, 8)?));
    let frequency = counter_frequency(information)?;
    let ticks = counter.saturating_sub(read_u64(information, 8)?);
    let since = u128::from(ticks) * 1_000_000_000 / u128::from(frequency.max(1));
    let elapsed = u128::from(read_u64(information, 16)?) + since;
    (!origin.is_zero()).then_some(origin + Duration::from_nanos(u64::try_from(elapsed).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn information(version: u32, counter: u64, nanoseconds: u64, multiplier: u32, shift: i8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&version.to_le_bytes());
        bytes[8..16].copy_from_slice(&counter.to_le_bytes());
        bytes[16..24].copy_from_slice(&nanoseconds.to_le_bytes());
        bytes[24..28].copy_from_slice(&multiplier.to_le_bytes());
        bytes[28] = shift as u8;
        bytes
    }

    #[test]
    fn only_the_lowest_flag_says_that_counters_are_kept_together() {
        let mut time = information(2, 0, 0, 1, 0);
        for (flags, is_common) in [(0, false), (1, true), (2, false), (3, true)] {
            time[29] = flags;
            assert_eq!(is_counter_common(&time), is_common);
        }
    }

    #[test]
    fn the_frequency_follows_from_multiplier_and_shift() {
        // 3 GHz as KVM expresses it: 2^32 / 3 * 2, shift -1.
        let frequency = counter_frequency(&information(2, 0, 0, 2_863_311_531, -1)).unwrap();
        assert!(frequency.abs_diff(3_000_000_000) < 10, "{frequency}");
        // 500 MHz: the multiplier would not fit, so the ticks are shifted up.
        let frequency = counter_frequency(&information(2, 0, 0, 1 << 31, 2)).unwrap();
        assert_eq!(frequency, 500_000_000);
    }

    #[test]
    fn incomplete_or_absurd_information_is_refused() {
        assert_eq!(counter_frequency(&information(0, 0, 0, 1, 0)), None);
        assert_eq!(counter_frequency(&information(3, 0, 0, 1, 0)), None);
        assert_eq!(counter_frequency(&information(2, 0, 0, 0, 0)), None);
        assert_eq!(counter_frequency(&information(2, 0, 0, 1, 100)), None);
    }

    #[test]
    fn unix_time_is_origin_plus_what_the_clock_says_plus_ticks_since() {
        let mut wall_clock = [0; 12];
        wall_clock[0] = 2;
        wall_clock[4..8].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        let information = information(2, 1000, 5_000_000_000, 1 << 31, 2);
        let time = unix_time(&wall_clock, &information, 1000 + 500_000_000).unwrap();
        assert_eq!(time, Duration::from_secs(1_700_000_006));
        assert_eq!(unix_time(&[0; 12], &information, 1000), None);
    }
}
