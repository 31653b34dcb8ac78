//! Options of the server, from the guest's command line.
//!
//! | option | meaning | default |
//! |---|---|---|
//! | `port=` | TCP port to listen on, 1 to 65535 | 80 |
//! | `root=` | directory that is served | `/`, or the bundled site where nothing is mounted |
//! | `preload=` | `on` or `off`: read all files into memory at the start, and serve them from there | `off` |
//! | `max-connections=` | connections served at once, 1 to 65536; one more is answered 503 | 128 |
//! | `access-log=` | `on` or `off`: a line on the console per request | `on` |
//! | `header-timeout=` | seconds in which the whole head of a request must arrive | 10 |
//! | `idle-timeout=` | seconds that an open connection may wait for its next request | 15 |
//! | `write-timeout=` | seconds in which the client must take each 64 KiB of a response | 30 |
//!
//! A word that is not in the table belongs to somebody else, usually the kernel. A value that does not
//! parse stops the server before it starts: a server that quietly ignores an option is worse.

use core::{error, fmt, time::Duration};

/// Whether requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One line per request.
    On,
    /// Silence.
    Off,
}

/// Where files are when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preload {
    /// In memory, all of them, as they were at the start.
    On,
    /// Where they have been.
    Off,
}

/// All options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// TCP port to listen on.
    pub port: u16,
    /// Directory that is served, absolute, if one is named.
    pub root: Option<&'static str>,
    /// Whether files are served from memory.
    pub preload: Preload,
    /// Connections served at once.
    pub max_connections: usize,
    /// Whether requests are logged.
    pub access_log: AccessLog,
    /// In what time a whole head must arrive.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// In what time each buffer of a response must be taken.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 80,
            root: None,
            preload: Preload::Off,
            max_connections: 128,
            access_log: AccessLog::On,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// An option whose value was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The option.
    pub option: &'static str,
    /// Its value.
    pub value: &'static str,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, value, expected } = self;
        write!(formatter, "{option}={value}: expected {expected}")
    }
}

impl error::Error for ConfigError {}

impl Config {
    /// Reads every option through `lookup`, which returns the value of `option=value`.
    ///
    /// # Errors
    /// The first option whose value is not in the table above.
    pub fn from_options(lookup: impl Fn(&str) -> Option<&'static str>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let number = |option, default, range: core::ops::RangeInclusive<u64>, expected| {
            let Some(value) = lookup(option) else {
                return Ok(default);
            };
            let parsed = value.parse().ok().filter(|number| range.contains(number));
            parsed.ok_or(ConfigError { option, value, expected })
        };
        let seconds = |option, default: Duration| {
            number(option, default.as_secs(), 1..=86_400, "seconds from 1 to 86400").map(Duration::from_secs)
        };
        config.port = number("port", u64::from(config.port), 1..=65_535, "a port from 1 to 65535")? as u16;
        config.max_connections =
            number("max-connections", config.max_connections as u64, 1..=65_536, "a number from 1 to 65536")? as usize;
        config.header_timeout = seconds("header-timeout", config.header_timeout)?;
        config.idle_timeout = seconds("idle-timeout", config.idle_timeout)?;
        config.write_timeout = seconds("write-timeout", config.write_timeout)?;
        config.access_log =
            choose("access-log", lookup("access-log"), config.access_log, AccessLog::On, AccessLog::Off)?;
        config.preload = choose("preload", lookup("preload"), config.preload, Preload::On, Preload::Off)?;
        if let Some(value) = lookup("root") {
            if !value.starts_with('/') {
                let expected = "a path that begins with a slash";
                return Err(ConfigError { option: "root", value, expected });
            }
            config.root = Some(value);
        }
        Ok(config)
    }
}

/// What `word` says, the value of an option that is on or off.
fn choose<T>(option: &'static str, word: Option<&'static str>, default: T, on: T, off: T) -> Result<T, ConfigError> {
    match word {
        None => Ok(default),
        Some("on") => Ok(on),
        Some("off") => Ok(off),
        Some(value) => Err(ConfigError { option, value, expected: "on or off" }),
    }
}
