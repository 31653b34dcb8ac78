//! Which cores have a network interface.

use alloc::vec::Vec;

use toro::core::{self as cores, CoreId};
use toro::net;

/// The cores that have a network interface; the boot core if none has, which will say what is missing.
pub fn homes() -> Vec<CoreId> {
    let mut homes: Vec<_> = cores::all().filter(|&core| cores::run_on(core, net::is_attached)).collect();
    if homes.is_empty() {
        homes.push(CoreId::BOOT);
    }
    homes
}
