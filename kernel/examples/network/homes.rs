//! Which cores have a network interface.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toro::core::{self as cores, CoreId};
use toro::net;
use toro::time::Duration;

/// How long a DHCP server may take to give us an address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// The cores that have a network interface; the boot core if none has, which will say what is missing.
pub fn homes() -> Vec<CoreId> {
    let mut homes: Vec<_> = cores::all().filter(|&core| cores::run_on(core, net::is_attached)).collect();
    if homes.is_empty() {
        homes.push(CoreId::BOOT);
    }
    homes
}

/// Waits until the calling core's interface has an address.
///
/// # Errors
///
/// Why it has none.
pub fn await_address() -> Result<(), String> {
    net::wait_until_configured(ADDRESS_TIMEOUT).map(drop).map_err(|error| format!("no network address: {error}"))
}
