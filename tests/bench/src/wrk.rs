//! Load from `wrk`.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What one run of `wrk` reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Requests that were answered.
    pub requests: u64,
    /// The same per second.
    pub per_second: f64,
    /// Longest wait of the fastest 99 %, as `wrk` prints it.
    pub p99: String,
    /// Connect, read, write and timeout errors together.
    pub socket_errors: u64,
    /// Answers other than 2xx and 3xx.
    pub wrong_status: u64,
}

/// Whether `wrk` can be run.
///
/// # Errors
///
/// It cannot; with the way to install it.
pub fn check() -> Result<()> {
    // Without arguments it prints its usage and fails, which is fine: it is there.
    Command::new("wrk").output().map(drop).context("cannot run wrk (Debian: apt install wrk)")
}

/// One thread, `connections` connections, `seconds` seconds.
///
/// # Errors
///
/// `wrk` cannot be executed, cannot connect at all, or prints something unknown.
pub fn run(address: SocketAddr, path: &str, connections: usize, seconds: u32) -> Result<Report> {
    let url = format!("http://{address}{path}");
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency", "--timeout", "10s", &url])
        .output()
        .context("cannot run wrk (Debian: apt install wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse(&text) {
        Some(report) => Ok(report),
        None => bail!("wrk {url}: {text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn parse(text: &str) -> Option<Report> {
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let socket_errors = match after("Socket errors:") {
        Some(list) => {
            list.split(',').map(|item| item.split_whitespace().last()?.parse::<u64>().ok()).sum::<Option<u64>>()?
        }
        None => 0,
    };
    let wrong_status = match after("Non-2xx or 3xx responses:") {
        Some(count) => count.parse().ok()?,
        None => 0,
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    Some(Report {
        requests,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p99: after("99%")?.to_owned(),
        socket_errors,
        wrong_status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "Running 1s test @ http://127.0.0.1:1/x\n  1 threads and 1 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.04ms  117.46us   3.77ms   92.61%\n    \
        Req/Sec     0.96k    30.24     1.01k    81.82%\n  Latency Distribution\n     50%    1.02ms\n     75%    1.05ms\n     \
        90%    1.10ms\n     99%    1.44ms\n  1051 requests in 1.10s, 4.32MB read\nRequests/sec:    955.29\nTransfer/sec:      3.93MB\n";

    #[test]
    fn clean_report_has_no_errors() {
        let report = parse(CLEAN).expect("a report");
        let expected =
            Report { requests: 1051, per_second: 955.29, p99: "1.44ms".into(), socket_errors: 0, wrong_status: 0 };
        assert_eq!(report, expected);
    }

    #[test]
    fn every_kind_of_socket_error_counts() {
        let lines = "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 7\n";
        let report = parse(&CLEAN.replace("Requests/sec", &format!("{lines}Requests/sec"))).expect("a report");
        assert_eq!((report.socket_errors, report.wrong_status), (4321, 7));
    }

    #[test]
    fn output_without_figures_is_no_report() {
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }
}
