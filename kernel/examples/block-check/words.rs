//! Words of the command line that are sizes.

use alloc::format;
use alloc::string::String;

/// A number of bytes on the command line, with K, M or G behind it or not; `None` without the word.
pub fn bytes(name: &str) -> Result<Option<u64>, String> {
    let Some(text) = toro::env::option(name) else { return Ok(None) };
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) if text.ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1),
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes.map(Some).ok_or_else(|| format!("{name}={text}: expected a number of bytes, such as 64M"))
}
