//! Images that are built for size: how large they are, and that they do what others do.
//!
//! The limits are promises; whoever makes an image larger gets to know of it.

use super::web;
use crate::case::Case;
use crate::tool::Tool;

/// An application with the options that it is built with, and the most bytes that its image may have, stripped.
const LIMITS: [(&str, &[&str], u64); 2] =
    [("hello", &[], 96 << 10), ("static-web-server", &SMALLEST_SERVER, 384 << 10)];

/// The options of the smallest web server.
const SMALLEST_SERVER: [&str; 4] = ["--drivers", "virtio-net,virtio-fs", "--without", "ipv6"];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = LIMITS
        .into_iter()
        .map(|(name, drivers, most)| {
            let title = format!("small::{}_has_at_most_{}_kib", name.replace('-', "_"), most >> 10);
            Case::new(title, move |tool| is_within(tool, name, drivers, most)).slow()
        })
        .collect();
    let serves = |tool: &Tool| {
        let options: Vec<_> = ["--small"].iter().chain(&SMALLEST_SERVER).copied().collect();
        web::sixteen_connections(tool, &options)
    };
    cases.push(Case::new("small::web_server_has_sixteen_connections_in_16_mib", serves).slow());
    cases.push(Case::new("small::a_panic_says_where_by_its_backtrace", panics).slow());
    cases
}

fn is_within(tool: &Tool, name: &str, drivers: &[&str], most: u64) -> Result<(), String> {
    let finished = tool.run(["build", name, "--small"].iter().chain(drivers).copied())?;
    finished.expect_status(0)?;
    let stripped =
        finished.stdout.lines().find_map(stripped).ok_or_else(|| format!("no size in {}", finished.stdout))?;
    if stripped <= most { Ok(()) } else { Err(format!("{name} has {stripped} bytes, {} too many", stripped - most)) }
}

/// The size that `build` prints.
fn stripped(line: &str) -> Option<u64> {
    line.split(", ").find_map(|part| part.strip_suffix(" stripped"))?.parse().ok()
}

/// The panic's text is not in the image, but the tool finds the place.
fn panics(tool: &Tool) -> Result<(), String> {
    let finished = tool.run(["run", "exceptions", "--small", "--timeout", "120", "--append", "fault=panic"])?;
    finished.expect_status(101)?;
    finished.expect_line("the report", |line| line == "panic in thread `victim` on core 0")?;
    finished.expect_line("the place", |line| line.contains("  #") && line.contains("exceptions.rs:"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_found_among_the_others() {
        let line = "5579976 bytes, 510264 stripped, 509326 loaded, 847582 in memory";
        assert_eq!(stripped(line), Some(510_264));
        assert_eq!(stripped("target/static-web-server"), None);
    }
}
