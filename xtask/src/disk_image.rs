//! `cargo xtask image`: a disk that boots an application on machines whose firmware reads disks.
//!
//! ```text
//!   MiB 0      1           2                            n                     end - 1
//!   +----------+-----------+----------------------------+---------------------+-----------+
//!   | MBR, GPT | GRUB for  | EFI system partition, FAT: | data, FAT, if asked | GPT again |
//!   |          | a BIOS    | GRUB, its words, kernel    | for                 |           |
//!   +----------+-----------+----------------------------+---------------------+-----------+
//!     |             ^                    ^
//!     +- BIOS ------+--------------------+-- UEFI: \EFI\BOOT\BOOTX64.EFI, then /toro/grub.cfg and /toro/kernel
//! ```
//!
//! Either firmware starts GRUB, and GRUB loads the kernel as its Multiboot2 header says. Nothing here needs root or a loop
//! device: partitions, file systems and boot code are written into a file.
//!
//! | module | what it makes |
//! |---|---|
//! | [`layout`] | the table: where each part is |
//! | [`grub`] | GRUB for both firmwares, and its configuration |
//! | [`kernel`] | the application's ELF file without what no boot loader needs |
//! | [`files`] | the files for the data partition, checked against what FAT can hold |
//! | [`volume`] | FAT file systems within the image |
//! | [`format`](mod@format) | what others than QEMU want the image to be |
//!
//! # Always the same
//!
//! The same input makes the same image: identifiers come from the application's name, times are fixed or those of the
//! files, and what `qemu-img` makes up is made to follow from the name as well.
//!
//! # Failure
//!
//! The image is made in a directory beside the place where it is to be, and moved there when it is complete. A
//! failure, or Ctrl-C, leaves what was there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use crate::cli::{ImageArgs, ImageFormat};
use crate::exit::{Failure, FailureKind};
use crate::image::{self, Application};
use crate::initrd::Initrd;
use crate::setup::{self, Needs, Program};
use crate::signals::StopSignals;

mod files;
mod format;
pub mod grub;
mod kernel;
mod layout;
mod volume;

use files::Tree;
use layout::{Layout, MIB};
use volume::Volume;

/// The time of what has no time of its own, in seconds since 1970: the first that FAT can say.
const EPOCH: u64 = 315_532_800;

/// No file of FAT is as large.
const LARGEST_FILE_MIB: u32 = 4096;

/// Makes the image and prints its path and sizes.
///
/// # Errors
///
/// An input failure where what is asked for cannot be; a preparation failure where something cannot be built or written; a
/// signal failure after Ctrl-C.
pub fn run(args: &ImageArgs) -> Result<u8, Failure> {
    let words = grub::words(args.append.as_deref().unwrap_or_default())?;
    let application = Application::find(&args.build)?;
    let tree = args.data.as_deref().map(Tree::read).transpose()?;
    let initrd = args.initrd.as_deref().map(Initrd::check).transpose()?;
    let output = place(args, &application)?;
    setup::ensure(&Needs { target_for: Some(application.directory()), programs: programs(args) })?;
    let (elf, _) = application.build_and_open(&args.build)?;

    let steps = Steps::begin()?;
    let kernel = kernel::without_sections(&elf)?;
    let boot = steps.take("GRUB for BIOS and UEFI", grub::Grub::make)?;
    let archive = initrd.map(|initrd| steps.take("the archive", || open_archive(&initrd))).transpose()?;
    let archive_bytes = archive.as_ref().map_or(0, |(_, bytes)| *bytes);
    let size = args.size.map(|mib| u64::from(mib) * MIB);
    let files = [kernel.len(), boot.efi().len(), grub::CONFIGURATION_BYTES].map(|bytes| bytes as u64);
    let esp_bytes = files.iter().sum::<u64>() + archive_bytes;
    let layout = Layout::plan(esp_bytes, tree.as_ref().map(Tree::room), size, args.format.unit())?;

    let directory = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
    let workshop = tempfile::Builder::new().prefix(".toro-image-").tempdir_in(directory);
    let workshop = workshop.map_err(|error| cannot_write(directory, &error))?;
    let raw = workshop.path().join("disk.raw");
    steps.take("the partition table", || {
        let file = File::create(&raw).and_then(|file| file.set_len(layout.bytes));
        file.map_err(|error| cannot_write(&raw, &error))?;
        layout.write_table(&raw, &application.name, workshop.path())
    })?;
    steps.take("the EFI system partition", || {
        let mut volume = Volume::make(&raw, layout.esp, "TORO-BOOT", layout::serial(&application.name, "esp"))?;
        let efi = volume.make_directory(volume.root(), "EFI")?;
        let removable = volume.make_directory(efi, "BOOT")?;
        let own = volume.make_directory(volume.root(), "toro")?;
        volume.write(removable, "BOOTX64.EFI", boot.efi())?;
        volume.write(own, "kernel", &kernel)?;
        if let Some((archive, _)) = &archive {
            volume.copy(archive, own, "initrd")?;
        }
        let configuration = grub::configuration(&application.name, &words, archive.is_some().then_some("initrd"));
        volume.write(own, "grub.cfg", configuration.as_bytes())?;
        volume.finish()
    })?;
    if let (Some(tree), Some(range)) = (&tree, layout.data) {
        let what = format!("the data partition: {} files, {} KiB", tree.number_of_files(), tree.bytes().div_ceil(1024));
        steps.take(&what, || {
            let mut volume = Volume::make(&raw, range, "TORO-DATA", layout::serial(&application.name, "data"))?;
            tree.copy_to(&mut volume)?;
            volume.finish()
        })?;
    }
    steps.take("the boot sector", || boot.install(&raw, layout.bios_boot))?;
    let made = match args.format {
        ImageFormat::Raw => raw,
        other => {
            let identity = layout::guid(&application.name, "disk");
            steps.take(other.description(), || format::convert(&raw, other, workshop.path(), identity))?
        }
    };
    steps.check()?;
    let stable = File::open(&made).and_then(|file| file.sync_all());
    stable.map_err(|error| cannot_write(&made, &error))?;
    fs::rename(&made, &output).map_err(|error| cannot_write(&output, &error))?;

    println!("{}", output.display());
    let length = output.metadata().map_err(|error| cannot_write(&output, &error))?.len();
    let data = layout.data.map_or(String::new(), |data| format!(", {} MiB for data", data.bytes() / MIB));
    println!("{length} bytes, a disk of {} MiB{data}, a kernel of {} bytes", layout.bytes / MIB, kernel.len());
    Ok(0)
}

/// Opens the archive, and says how long it is.
fn open_archive(initrd: &Initrd) -> Result<(File, u64), Failure> {
    let scratch = image::target_directory();
    // How much memory there will be nobody knows yet; FAT decides.
    let archive = initrd.open(&scratch, LARGEST_FILE_MIB)?;
    let bytes = archive.metadata().map_err(|error| cannot_read(&scratch, &error))?.len();
    Ok((archive, bytes))
}

/// Where the image goes: where the user says, or below cargo's target directory.
fn place(args: &ImageArgs, application: &Application) -> Result<PathBuf, Failure> {
    let output = args.output.clone().unwrap_or_else(|| {
        let name = format!("{}.{}", application.name, args.format.suffix());
        image::target_directory().join("images").join(name)
    });
    let output = std::path::absolute(&output).map_err(|error| cannot_write(&output, &error))?;
    match output.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            Err(Failure::input(format!("cannot write {}: it is there and not a file", output.display())))
        }
        _ if output.file_name().is_none() => Err(Failure::input(format!("{} names no file", output.display()))),
        _ => Ok(output),
    }
}

fn programs(args: &ImageArgs) -> Vec<Program> {
    let mut programs = vec![Program::Grub, Program::Fdisk, Program::Dosfstools];
    if matches!(args.format, ImageFormat::Qcow2 | ImageFormat::Vmdk | ImageFormat::Vhd) {
        programs.push(Program::QemuImg);
    }
    programs
}

/// The steps of making an image: each is announced, and none begins after a signal.
struct Steps {
    signals: Receiver<i32>,
    _forwarding: StopSignals,
}

impl Steps {
    fn begin() -> Result<Self, Failure> {
        let (sender, signals) = mpsc::channel();
        let forwarding = StopSignals::forward(sender, |signal| signal)
            .map_err(|error| Failure::preparation(format!("cannot catch signals: {error}")))?;
        Ok(Self { signals, _forwarding: forwarding })
    }

    /// Does one step.
    fn take<T>(&self, what: &str, step: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.check()?;
        eprintln!("xtask: {what}");
        let outcome = step();
        // Ctrl-C ends the program of the step as well, which is then no failure of its own.
        self.check()?;
        outcome
    }

    /// Fails where a signal asks to stop.
    fn check(&self) -> Result<(), Failure> {
        match self.signals.try_recv() {
            Ok(signal) => Err(Failure::new(FailureKind::Signal(signal), format!("stopped by signal {signal}"))),
            Err(_) => Ok(()),
        }
    }
}

/// Runs one of the programs that images are made with; gives its standard output. What it says is shown only where it fails,
/// in one line.
fn run_program(command: &mut Command) -> Result<Vec<u8>, Failure> {
    run_program_with(command, Stdio::null())
}

/// The same, with something to read.
fn run_program_with(command: &mut Command, input: Stdio) -> Result<Vec<u8>, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = Path::new(&name).file_name().map_or(name.clone(), |name| name.to_string_lossy().into_owned());
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    let output = command.stdin(input).output();
    let output = output.map_err(|error| Failure::preparation(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    Err(Failure::preparation(format!("{name} failed ({}): {said}", output.status)))
}

/// A program of this name, for a command.
fn program(name: &str) -> Command {
    Command::new(setup::find_program(name).unwrap_or_else(|| name.into()))
}

/// Writes a file whole.
fn write_file(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let written = File::create(path).and_then(|mut file| file.write_all(contents));
    written.map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preparation(format!("cannot write {}: {error}", path.display()))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preparation(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_named_with_what_it_said() {
        let failure = run_program(&mut crate::child::shell("echo one; echo two >&2; exit 3")).unwrap_err();
        let said = failure.to_string();
        assert!(said.starts_with("sh failed (") && said.ends_with("): two; one"), "{said}");
        assert_eq!(run_program(Command::new("echo").arg("out")).unwrap(), b"out\n");
    }
}
