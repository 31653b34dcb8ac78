//! The backend of the `log` crate: records go to the console as `[seconds] LEVEL target: message`.
//!
//! The level comes from the command line, `log=off|error|warn|info|debug|trace`, and is `info` without it. The kernel
//! itself says nothing at `info` while everything is well.

use log::{LevelFilter, Log, Metadata, Record};

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let uptime = crate::time::uptime();
        crate::println!(
            "[{:3}.{:06}] {:5} {}: {}",
            uptime.as_secs(),
            uptime.subsec_micros(),
            record.level(),
            record.target(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// Installs the backend with the level that the command line asks for.
pub(crate) fn initialise() {
    let level = crate::env::option("log").and_then(|word| word.parse().ok()).unwrap_or(LevelFilter::Info);
    // An error means that a logger is installed already, which then keeps working.
    let _ = log::set_logger(&Logger);
    log::set_max_level(level);
}
