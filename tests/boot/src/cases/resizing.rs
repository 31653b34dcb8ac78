//! A disk that is grown and then shrunk, through QEMU's control socket, while a guest uses it.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::disks::{new_directory, new_image};
use crate::case::Case;
use crate::tool::{DEADLINE, Tool};

/// The sizes that the disk has in turn, in sectors.
const SIZES: [u64; 3] = [2048, 6144, 1024];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![
        // By a line that says what for.
        Case::new("resizing::a_guest_is_told_that_its_disk_has_changed", |tool| {
            resize(tool, &["--machine", "microvm"], "notice=told")
        }),
        // With a message for the queue alone.
        Case::new("resizing::a_guest_finds_that_its_disk_has_changed", |tool| {
            resize(tool, &["--machine", "q35"], "notice=asked")
        }),
    ]
}

fn resize(tool: &Tool, options: &[&str], words: &str) -> Result<(), String> {
    let directory = new_directory()?;
    let disk = new_image(&directory, SIZES[0] * 512)?.to_string_lossy().into_owned();
    let socket = directory.path().join("control");
    let control = format!("unix:{},server=on,wait=off", socket.display());
    let words = format!("test=disk-resize {words}");
    let run = ["run", "kernel-tests", "--nics", "0", "--cpus", "2", "--timeout", "300", "--disk", &disk];
    let rest = ["--append", &words, "--", "-qmp", &control];
    let arguments = run.iter().chain(options).chain(&rest);
    let mut running = tool.start(arguments.copied(), &[])?;
    for (index, size) in SIZES.iter().enumerate() {
        let line = format!("disk has {size} sectors");
        running.await_line(|seen| (seen == line).then_some(()))?;
        if let Some(next) = SIZES.get(index + 1) {
            set_size(&socket, next * 512)?;
        }
    }
    running.finish()?.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

/// Lets QEMU change the size of the first disk.
fn set_size(socket: &Path, bytes: u64) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("QEMU's control socket: {error}");
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(DEADLINE)).map_err(failed)?;
    let mut answers = BufReader::new(stream.try_clone().map_err(failed)?);
    let resize = format!(r#"{{"execute":"block_resize","arguments":{{"node-name":"disk0","size":{bytes}}}}}"#);
    for command in [r#"{"execute":"qmp_capabilities"}"#, &resize] {
        stream.write_all(command.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        // A greeting and news of events may come before it.
        while !answer.starts_with(r#"{"return""#) {
            answer.clear();
            let length = answers.read_line(&mut answer).map_err(failed)?;
            if length == 0 || answer.starts_with(r#"{"error""#) {
                return Err(format!("QEMU answers {command} with {answer:?}"));
            }
        }
    }
    Ok(())
}
