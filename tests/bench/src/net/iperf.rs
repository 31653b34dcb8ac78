//! The client of bulk streams: the host's iperf3.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

/// Where servers listen.
pub const PORT: u16 = 5201;

/// Which way a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// From the host to the guest.
    ToGuest,
    /// From the guest to the host.
    FromGuest,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToGuest, Self::FromGuest];

    /// How it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::ToGuest => "to the guest",
            Self::FromGuest => "from the guest",
        }
    }
}

/// How long a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As much as goes through in this time.
    Seconds(u32),
    /// So many MiB.
    Mebibytes(u32),
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Bytes that arrived.
    pub bytes: f64,
    /// Bits that arrived per second.
    pub bits_per_second: f64,
}

/// Whether the client can be run.
///
/// # Errors
///
/// It cannot; with the way to install it.
pub fn check() -> Result<()> {
    Command::new("iperf3").arg("--version").output().map(drop).context("cannot run iperf3 (Debian: apt install iperf3)")
}

/// One stream with the server at `guest`.
///
/// # Errors
///
/// The client cannot be executed, or it reports an error.
pub fn run(guest: Ipv4Addr, direction: Direction, length: Length) -> Result<Report> {
    let (option, value) = match length {
        Length::Seconds(seconds) => ("-t", seconds.to_string()),
        Length::Mebibytes(count) => ("-n", format!("{count}M")),
    };
    let mut command = Command::new("iperf3");
    command.args(["-c", &guest.to_string(), "-J", "--connect-timeout", "5000", option, &value]);
    if direction == Direction::FromGuest {
        command.arg("-R");
    }
    let output = command.output().context("cannot run iperf3 (Debian: apt install iperf3)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).with_context(|| format!("iperf3 -c {guest}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn parse(text: &str) -> Result<Report> {
    let report: Value = serde_json::from_str(text).context("no report")?;
    if let Some(error) = report.get("error") {
        bail!("{error}");
    }
    let end = report.pointer("/end/sum_received").context("a report without an end")?;
    let number = |name: &str| end.get(name).and_then(Value::as_f64).with_context(|| format!("no {name}"));
    Ok(Report { bytes: number("bytes")?, bits_per_second: number("bits_per_second")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_read_from_the_report() {
        let text = r#"{"end": {"sum_sent": {"bytes": 5, "bits_per_second": 6},
            "sum_received": {"bytes": 1048576, "bits_per_second": 8.5e6}}}"#;
        assert_eq!(parse(text).expect("a report"), Report { bytes: 1_048_576.0, bits_per_second: 8.5e6 });
    }

    #[test]
    fn an_error_is_none() {
        assert!(parse(r#"{"end": {}, "error": "unable to connect to server"}"#).is_err());
        assert!(parse(r#"{"end": {}}"#).is_err());
        assert!(parse("").is_err());
    }
}
