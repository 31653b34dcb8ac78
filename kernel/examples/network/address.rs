//! Waiting for an address.

use alloc::format;
use alloc::string::String;

use toro::net;
use toro::time::Duration;

/// How long one of IPv4 is waited for by itself: most of the world has no other.
const FIRST: Duration = Duration::from_secs(5);
/// How long one of either family is waited for then.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the calling core's interface has an address.
///
/// # Errors
///
/// Why it has none.
pub fn await_address() -> Result<(), String> {
    let address = net::wait_until_configured(FIRST).map(drop);
    let address = address.or_else(|_| net::wait_until_configured_any(ADDRESS_TIMEOUT).map(drop));
    address.map_err(|error| format!("no network address: {error}"))
}
