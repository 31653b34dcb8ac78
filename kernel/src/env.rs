//! What the machine was started with: the guest command line.

use crate::command_line;

/// The command line, set once at boot.
static COMMAND_LINE: spin::Once<&'static str> = spin::Once::new();

/// Keeps `line` for the rest of the machine's life; only the first call counts.
#[cfg(target_os = "none")]
pub(crate) fn initialise(line: &'static str) {
    COMMAND_LINE.call_once(|| line);
}

/// The whole guest command line; empty where the monitor passed none.
pub fn command_line() -> &'static str {
    COMMAND_LINE.get().copied().unwrap_or_default()
}

/// The value of the last command line word `key=value`.
pub fn option(key: &str) -> Option<&'static str> {
    command_line::option(command_line(), key)
}

/// Every value of the command line words `key=value`, in order: for options that may be given several times.
pub fn options(key: &str) -> impl Iterator<Item = &'static str> {
    command_line::options(command_line(), key)
}

/// Whether the word `name` stands on the command line by itself.
pub fn flag(name: &str) -> bool {
    command_line::flag(command_line(), name)
}
