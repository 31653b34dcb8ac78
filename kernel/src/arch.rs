//! The processor and the chips that every PC has; the only place besides [`crate::mm`] with unsafe code.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub use self::x86_64::*;
