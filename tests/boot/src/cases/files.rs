//! Files of a share on all cores: kernel tests that compare what the cores find, and with what is there on the host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::case::Case;
use crate::tool::{Finished, Tool};

/// Drivers of the image. There is none for the network, so that nothing but calls and the share wakes the share's
/// owner; the watchdog, which would, is off for the same reason.
const DRIVERS: [&str; 2] = ["--drivers", "virtio-fs,virtio-legacy"];
/// Machines with devices on either bus.
const MACHINES: [&str; 2] = ["microvm", "q35"];
const CORES: [usize; 3] = [1, 2, 4];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for machine in MACHINES {
        for cores in CORES {
            let name = format!("files::all_of_{cores}_cores_find_the_same_on_{machine}");
            cases.push(Case::new(name, move |tool| {
                let options = ["--machine", machine];
                finds_everything(tool, cores, "", &options)
            }));
        }
        let name = format!("files::the_end_comes_in_the_middle_of_calls_between_cores_on_{machine}");
        cases.push(Case::new(name, move |tool| {
            let share = Share::new()?;
            boot(tool, &share, "remote-files-exit", 4, "", &["--machine", machine])?.expect_status(42).map(drop)
        }));
    }
    cases.push(Case::new("files::a_share_may_belong_to_another_core_than_the_first", |tool| {
        finds_everything(tool, 4, " owner=virtio-fs0:2", &[])
    }));
    cases.push(Case::new("files::all_cores_find_the_same_in_a_dev_image", |tool| {
        finds_everything(tool, 2, "", &["--dev"])
    }));
    cases
}

/// A directory to share, and what is in it.
struct Share {
    directory: tempfile::TempDir,
    files: usize,
    bytes: usize,
    sum: u64,
    objects: usize,
}

impl Share {
    /// Files of many sizes, empty ones and one of a megabyte among them; more names in a directory than fit one answer,
    /// of the server or between cores; links that lead somewhere, nowhere and round in a circle.
    fn new() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        // The directory itself.
        let mut share = Self { directory, files: 0, bytes: 0, sum: 0, objects: 1 };
        share.fill().map_err(|error| format!("cannot write the share: {error}"))?;
        Ok(share)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn fill(&mut self) -> std::io::Result<()> {
        for (number, size) in [0, 1, 4095, 4096, 65_537, 1_048_579].into_iter().enumerate() {
            self.file(&format!("sizes/{number}/file"), size)?;
        }
        for number in 0..150 {
            self.file(&format!("many/name with a space and the number {number}"), number)?;
        }
        for (name, target) in [("link", "sizes/3/file"), ("dangling", "none"), ("circle", "circle"), ("up", "../../..")]
        {
            symlink(target, self.path().join(name))?;
            self.objects += 1;
        }
        Ok(())
    }

    fn file(&mut self, name: &str, size: usize) -> std::io::Result<()> {
        let path = self.path().join(name);
        for directory in path.ancestors().skip(1).take_while(|directory| !directory.exists()) {
            debug_assert!(directory.starts_with(self.path()));
            self.objects += 1;
        }
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let contents: Vec<u8> = (0..size).map(|i| (i % 251 + size % 7) as u8).collect();
        self.files += 1;
        self.objects += 1;
        self.bytes += size;
        self.sum += contents.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        fs::write(path, contents)
    }
}

fn finds_everything(tool: &Tool, cores: usize, words: &str, options: &[&str]) -> Result<(), String> {
    let share = Share::new()?;
    let finished = boot(tool, &share, "remote-files", cores, words, options)?;
    let Share { files, bytes, sum, objects, .. } = share;
    let found = format!("{files} files, {bytes} bytes with the sum {sum}, {objects} objects");
    finished.expect_status(0)?.expect_output(&found)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

fn boot(
    tool: &Tool,
    share: &Share,
    test: &str,
    cores: usize,
    words: &str,
    options: &[&str],
) -> Result<Finished, String> {
    let (path, cpus) = (share.path().to_string_lossy(), cores.to_string());
    let words = format!("test={test} cores={cores} watchdog=off{words}");
    let common = ["run", "kernel-tests", "--share", &path, "--cpus", &cpus, "--timeout", "300", "--append", &words];
    tool.run(common.iter().chain(&DRIVERS).chain(options).copied())
}
