//! Words of the command line that servers and clients have in common.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use core::ops::RangeInclusive;
use core::str::FromStr;

use toro::env;

/// Prints `usage` where the word `help` asks for it; whether it did.
pub fn asks_for_help(usage: &str) -> bool {
    let asked = env::flag("help");
    if asked {
        toro::print!("{usage}");
    }
    asked
}

/// A number on the command line, or the usual one without the word.
///
/// # Errors
///
/// What is wrong with the word, and what was expected.
pub fn number<T: FromStr + PartialOrd + Display>(
    name: &str,
    allowed: RangeInclusive<T>,
    usual: T,
) -> Result<T, String> {
    let Some(text) = env::option(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("{name}={text}: expected a number from {} to {}", allowed.start(), allowed.end()))
}
