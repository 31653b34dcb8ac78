//! The word `boot-timer`: how long a boot takes, measured by who started it.
//!
//! Firecracker, started with `--boot-timer`, has a register at 0xC0000000 and logs the time since its start when 123 is
//! written there. The kernel does that when the application's `main` is about to be called, all devices being in service.
//! `boot-timer=ADDRESS` names another register, in decimal, or hexadecimal with `0x`.

use crate::command_line;

/// Where Firecracker's register is.
const DEFAULT: u64 = 0xC000_0000;
/// What is written.
const BOOTED: u8 = 123;

/// Why the timer cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The word does not name an address.
    Word,
    /// Nothing can be mapped there.
    #[cfg(target_os = "none")]
    Registers(crate::mm::MapMmioError),
}

/// The register that `line` asks for, if it does.
fn register(line: &str) -> Option<Result<u64, Trouble>> {
    if let Some(address) = command_line::option(line, "boot-timer") {
        return Some(command_line::number(address).ok_or(Trouble::Word));
    }
    command_line::flag(line, "boot-timer").then_some(Ok(DEFAULT))
}

/// Tells the timer, if the command line asks for it.
#[cfg(target_os = "none")]
pub(super) fn ring() {
    use toro_core::Registers;

    let write = |address| {
        let registers = crate::mm::device_registers(address, 8).map_err(Trouble::Registers)?;
        registers.write8(0, BOOTED);
        Ok(())
    };
    match register(crate::env::command_line()).map(|address| address.and_then(write)) {
        None | Some(Ok(())) => {}
        Some(Err(Trouble::Word)) => log::warn!("boot-timer on the command line names no address"),
        Some(Err(Trouble::Registers(error))) => log::warn!("boot-timer: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_names_firecrackers_register_or_another() {
        assert_eq!(register("log=debug boot-timer"), Some(Ok(0xC000_0000)));
        assert_eq!(register("boot-timer=0xfe000008"), Some(Ok(0xFE00_0008)));
        assert_eq!(register("boot-timer=4096 boot-timer"), Some(Ok(4096)));
        assert_eq!(register("boot-timer=now"), Some(Err(Trouble::Word)));
        assert_eq!(register("no-boot-timer"), None);
    }
}
