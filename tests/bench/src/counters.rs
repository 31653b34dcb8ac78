//! Counts of executed guest instructions, from a plugin of QEMU.
//!
//! The plugin (`plugin/counters.c`) is compiled when it is needed and keeps its counters in a file that it maps
//! shared, so reading them is reading the file: at any moment, with nothing to be done in the guest. A guest that wants
//! a part of its work counted by itself executes a marker before and after it: the file has the counters of each vCPU
//! at each marker, and a reading is their difference.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::machine::QEMU;

/// The plugin's source.
const SOURCE: &str = include_str!("../plugin/counters.c");

/// Size of the file, and the places in it, in words; as the plugin's source has them.
const FILE_SIZE: usize = (LOG + LOG_ENTRIES * ENTRY_WORDS) * 8;
const LAYOUT: u64 = 0x746f_726f;
const WATCH: usize = 1;
const WATCHES: usize = 8;
const INSTRUCTIONS: usize = 16;
const ACCESSES: usize = 80;
const VCPUS: usize = 64;
const MARKS: usize = 144;
const PORTS: usize = 145;
const DEVICE: usize = 209;
const NOTIFICATIONS: usize = 273;
const LOG: usize = 512;
const LOG_ENTRIES: usize = 1024;
const ENTRY_WORDS: usize = 12;
const ENTRY_VCPUS: usize = 7;
/// Markers from this number on are the kernel's, those below are the application's.
const FIRST_MILESTONE: u16 = 0x100;

/// The compiled plugin.
pub struct Plugin {
    library: PathBuf,
    directory: PathBuf,
}

/// The counters of one guest.
pub struct Counters {
    argument: String,
    file: File,
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Instructions executed by all vCPUs.
    pub instructions: u64,
    /// Accesses to device registers in memory.
    pub accesses: u64,
    /// Port instructions, where they are counted.
    pub ports: u64,
    /// Of the accesses, those to the named device.
    pub device: u64,
    /// Of these, those that notify it of a queue.
    pub notifications: u64,
    /// For each watched address, the instructions executed before it was first reached.
    pub watched: [Option<u64>; WATCHES],
}

/// The counters when a guest executed a marker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The marker's number.
    pub number: u16,
    /// Instructions executed before by each of the first vCPUs.
    pub instructions: [u64; ENTRY_VCPUS],
    /// Accesses to device registers in memory before, of all vCPUs, where they are counted.
    pub accesses: u64,
    /// Port instructions before, likewise.
    pub ports: u64,
    /// Blocks that QEMU had translated, which is most of what code costs that is executed once.
    pub blocks: u64,
    /// Instructions in these blocks.
    pub translated: u64,
}

impl Mark {
    /// Instructions executed before by all vCPUs that are counted.
    pub fn executed(&self) -> u64 {
        self.instructions.iter().sum()
    }
}

impl Plugin {
    /// Compiles the plugin into `directory` for the QEMU that is installed.
    ///
    /// # Errors
    ///
    /// No C compiler or no QEMU, or they disagree with the source.
    pub fn build(directory: &Path) -> Result<Self> {
        let version = Command::new(QEMU)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {QEMU} (Debian: apt install qemu-system-x86)"))?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let major = version.split_once("version ").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
        let Some(major) = major else { bail!("{QEMU} --version: not understood: {version}") };
        let source = directory.join("counters.c");
        let library = directory.join("counters.so");
        std::fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
        let output = Command::new("cc")
            .args(["-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden"])
            .arg(format!("-DPLUGIN_API={}", if major < 9 { 1 } else { 2 }))
            .arg("-o")
            .args([&library, &source])
            .output()
            .context("cannot run cc to compile the counting plugin (Debian: apt install gcc libc6-dev)")?;
        ensure!(output.status.success(), "compiling the counting plugin:\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { library, directory: directory.to_owned() })
    }

    /// Counters for one guest; `name` tells guests apart that run at the same time. `watched` are virtual addresses
    /// of instructions (at most eight; more are not watched).
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn counters(&self, name: &str, watched: &[u64]) -> Result<Counters> {
        let mut counters = self.file(name)?;
        counters.argument += ",accesses=on";
        for address in watched.iter().take(WATCHES) {
            counters.argument += &format!(",watch={address:x}");
        }
        Ok(counters)
    }

    /// Counters for one guest of which accesses to one device are counted by themselves: that whose registers have
    /// names, among those that QEMU gives, that contain `device`.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn of_device(&self, name: &str, device: &str) -> Result<Counters> {
        let mut counters = self.file(name)?;
        counters.argument += &format!(",accesses=on,ports=on,device={device}");
        Ok(counters)
    }

    /// Counters for one guest that executes markers; accesses to device registers are not counted.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn marks(&self, name: &str) -> Result<Counters> {
        let mut counters = self.file(name)?;
        counters.argument += ",marks=on";
        Ok(counters)
    }

    /// Counters for one guest that executes markers; accesses to device registers, in memory and by ports, are counted
    /// as well.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn marks_and_accesses(&self, name: &str) -> Result<Counters> {
        let mut counters = self.marks(name)?;
        counters.argument += ",accesses=on,ports=on";
        Ok(counters)
    }

    /// The same, and as in [`counters`](Self::counters) addresses that are watched.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn milestones(&self, name: &str, watched: &[u64]) -> Result<Counters> {
        let mut counters = self.counters(name, watched)?;
        counters.argument += ",ports=on,marks=on";
        Ok(counters)
    }

    fn file(&self, name: &str) -> Result<Counters> {
        let path = self.directory.join(format!("{name}.counters"));
        std::fs::write(&path, [0; FILE_SIZE]).with_context(|| format!("cannot write {}", path.display()))?;
        let file = File::open(&path)?;
        Ok(Counters { argument: format!("file={},counters={}", self.library.display(), path.display()), file })
    }
}

impl Counters {
    /// The argument of `-plugin`.
    pub fn qemu_argument(&self) -> &str {
        &self.argument
    }

    /// The counters as they are.
    ///
    /// # Errors
    ///
    /// The plugin is not running: QEMU has not got that far, or was built without plugins.
    pub fn read(&self) -> Result<Reading> {
        let words = self.words()?;
        let mut watched = [None; WATCHES];
        for (out, word) in watched.iter_mut().zip(&words[WATCH..]) {
            *out = (*word != u64::MAX).then_some(*word);
        }
        let sum = |first: usize| words[first..first + VCPUS].iter().sum();
        Ok(Reading {
            instructions: sum(INSTRUCTIONS),
            accesses: sum(ACCESSES),
            ports: sum(PORTS),
            device: sum(DEVICE),
            notifications: sum(NOTIFICATIONS),
            watched,
        })
    }

    /// The counters at each marker of the application so far, in the order in which the markers were executed.
    ///
    /// # Errors
    ///
    /// As [`Counters::read`], or the guest has executed more markers than there is room for.
    pub fn read_marks(&self) -> Result<Vec<Mark>> {
        Ok(self.read_all_marks()?.into_iter().filter(|mark| mark.number < FIRST_MILESTONE).collect())
    }

    /// The counters at each of the kernel's milestones so far.
    ///
    /// # Errors
    ///
    /// As [`Counters::read_marks`].
    pub fn read_milestones(&self) -> Result<Vec<Mark>> {
        Ok(self.read_all_marks()?.into_iter().filter(|mark| mark.number >= FIRST_MILESTONE).collect())
    }

    fn read_all_marks(&self) -> Result<Vec<Mark>> {
        let words = self.words()?;
        let count = usize::try_from(words[MARKS])?;
        ensure!(count <= LOG_ENTRIES, "the guest executed {count} markers, and there is room for {LOG_ENTRIES}");
        let (entries, _) = words[LOG..].as_chunks::<ENTRY_WORDS>();
        let mark = |[head, counts @ .., accesses, ports, blocks, translated]: &[u64; ENTRY_WORDS]| Mark {
            // The low half of the word; it has 16 bits.
            number: *head as u16,
            instructions: *counts,
            accesses: *accesses,
            ports: *ports,
            blocks: *blocks,
            translated: *translated,
        };
        Ok(entries.iter().take(count).map(mark).collect())
    }

    fn words(&self) -> Result<Vec<u64>> {
        let mut bytes = vec![0; FILE_SIZE];
        self.file.read_exact_at(&mut bytes, 0).context("counter file")?;
        let (words, _) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        ensure!(words[0] == LAYOUT, "the counting plugin is not running; is this QEMU built with TCG plugins?");
        Ok(words)
    }

    /// The counters once the guest has come to rest: hardly anything executed in 30 ms, or after a second at the latest.
    ///
    /// # Errors
    ///
    /// As [`Counters::read`].
    pub fn read_at_rest(&self) -> Result<Reading> {
        /// What a timer tick or two may cost.
        const HARDLY_ANYTHING: u64 = 20_000;
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut before = self.read()?;
        loop {
            thread::sleep(Duration::from_millis(30));
            let now = self.read()?;
            if now.instructions - before.instructions < HARDLY_ANYTHING || Instant::now() > deadline {
                return Ok(now);
            }
            before = now;
        }
    }
}
