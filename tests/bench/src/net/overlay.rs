//! What a Linux guest lacks for bulk streams: the host's iperf3, with its libraries, in a directory of its own.
//!
//! The kernel unpacks it over the guest's initial file system, and is told to begin with a script that starts the server
//! and then becomes the init that was there.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cpio;

/// For the kernel's command line.
pub const WORDS: &str = "rdinit=/bench/init";
/// Starts the server, through the loader that its libraries need. What a shell starts in the background reads /dev/null.
const INIT: &str =
    "#!/bin/sh\n/bin/mount -t devtmpfs dev /dev\n/bench/loader --library-path /bench /bench/iperf3 -s &\nexec /init\n";

/// An archive with the server.
///
/// # Errors
///
/// There is no iperf3 here, or it is not linked dynamically.
pub fn with_iperf3() -> Result<Vec<u8>> {
    let path = which("iperf3").context("cannot find iperf3 (Debian: apt install iperf3)")?;
    let output = Command::new("ldd").arg(&path).output().context("cannot run ldd")?;
    ensure!(output.status.success(), "ldd {path}: {}", String::from_utf8_lossy(&output.stderr));
    let mut files = vec![("bench/init".to_owned(), INIT.as_bytes().to_vec()), file("bench/iperf3", &path)?];
    for library in libraries(&String::from_utf8_lossy(&output.stdout)) {
        let name = library.rsplit('/').next().unwrap_or(library);
        let name = if name.starts_with("ld-") { "loader" } else { name };
        files.push(file(&format!("bench/{name}"), library)?);
    }
    Ok(cpio::of_programs(&files))
}

fn file(name: &str, path: &str) -> Result<(String, Vec<u8>)> {
    Ok((name.to_owned(), std::fs::read(path).with_context(|| format!("cannot read {path}"))?))
}

/// Where the shell would find a program.
fn which(program: &str) -> Option<String> {
    let path = std::env::var("PATH").ok()?;
    path.split(':')
        .map(|directory| format!("{directory}/{program}"))
        .find(|path| std::fs::exists(path).unwrap_or(false))
}

/// The paths in what ldd prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader.
fn libraries(listing: &str) -> Vec<&str> {
    let names = listing.lines().filter_map(|line| Some(line.rsplit_once(" (")?.0));
    let paths = names.map(|name| name.rsplit_once("=> ").map_or(name, |(_, path)| path).trim());
    paths.filter(|path| path.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_prints() {
        let listing = "\tlinux-vdso.so.1 (0x00007f)\n\tlibm.so.6 => /lib/libm.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlibgone.so => not found\n";
        assert_eq!(libraries(listing), ["/lib/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
