//! What the tests of `toro-fat` share: disks in memory, other people's tools, a model of a tree of files, random numbers.
//!
//! ```text
//!   script   random operations ---+--> Volume over Memory  --image--> fsck.fat, mtools
//!                                 +--> Model               --tree---> compared with both
//! ```

pub mod memory;
pub mod model;
pub mod random;
pub mod script;
pub mod skeleton;
pub mod tools;

use toro_fat::{Options, Timestamp};

/// What the tests mount with: a time in 2027, and little memory, so that sectors do get written early, and that what is known of
/// directories is forgotten and found out again.
pub const OPTIONS: Options = Options {
    now: || Timestamp { seconds: 1_800_000_000, nanoseconds: 120_000_000 },
    cached_sectors: 16,
    index_bytes: 2_000,
};

/// How many times as long the tests take as usual: `FAT_TESTS_EFFORT`, or 1.
pub fn effort() -> u64 {
    std::env::var("FAT_TESTS_EFFORT").ok().and_then(|value| value.parse().ok()).unwrap_or(1)
}
