//! Whether KVM works here, found out by running a guest.
//!
//! That `/dev/kvm` exists, opens and answers says little: inside some virtual machines and containers it starts guests
//! and then cannot execute the ordinary instructions that every compiler emits. So the probe is a guest: the smallest
//! PVH image that enters long mode, adds with SSE2 as compiled code does, and reports the sum through the debug exit
//! device. The right sum means KVM; anything else means TCG.
//!
//! ```text
//!   32-bit PVH entry -> page tables, long mode -> SSE2 -> out 0xf4, sum -> QEMU's exit status
//! ```
//!
//! The answer is remembered in the target directory for this boot of the host, this QEMU and this user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::child;
use crate::cli::{Accel, ParentEnd};
use crate::exit::Failure;
use crate::qemu::{self, Executor};

/// A guest that works is done in a tenth of a second; one that KVM cannot execute never ends.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);
/// What the probe's code computes and writes to the debug exit device.
const PROBE_SUM: u8 = 0x15;
/// Where the probe image is loaded; its entry is at the start of its only segment.
const PROBE_BASE: u32 = 0x10_0000;

/// Decides what executes the guest.
///
/// # Errors
///
/// An input failure where `--accel kvm` asks for KVM and the probe fails.
pub fn decide(choice: Accel, qemu_version: &str, cache_directory: &Path) -> Result<Executor, Failure> {
    match choice {
        Accel::Tcg => Ok(Executor::Tcg),
        Accel::Auto | Accel::Kvm if kvm_works(qemu_version, cache_directory) => Ok(Executor::Kvm),
        Accel::Auto => Ok(Executor::Tcg),
        Accel::Kvm => Err(Failure::input("KVM cannot run guests here, use --accel tcg or auto")),
    }
}

/// The remembered answer, or a new one.
fn kvm_works(qemu_version: &str, cache_directory: &Path) -> bool {
    if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    let cache = cache_directory.join("xtask-kvm-probe");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let key = format!("{} {} {qemu_version}", boot.trim(), rustix::process::geteuid().as_raw());
    let remembered = fs::read_to_string(&cache).unwrap_or_default();
    if let Some((old_key, answer)) = remembered.split_once('\n')
        && old_key == key
    {
        return answer.trim() == "works";
    }
    let works = run_probe(Executor::Kvm).unwrap_or(false);
    // Without the file the next run probes again.
    let _ = fs::create_dir_all(cache_directory);
    let _ = fs::write(&cache, format!("{key}\n{}\n", if works { "works" } else { "fails" }));
    works
}

/// Boots the probe; `true` when the guest computed the sum.
fn run_probe(executor: Executor) -> Result<bool, Failure> {
    let trouble = |error: std::io::Error| Failure::machine(format!("cannot probe KVM: {error}"));
    let directory = tempfile::Builder::new().prefix("toro-probe-").tempdir().map_err(trouble)?;
    let image: PathBuf = directory.path().join("probe");
    fs::write(&image, probe_image()).map_err(trouble)?;
    let (accel, cpu) = match executor {
        Executor::Kvm => ("kvm", "host"),
        Executor::Tcg => ("tcg", "max"),
    };
    let mut guest = child::bound(qemu::PROGRAM, ParentEnd::Kill)
        .args(["-machine", "microvm", "-accel", accel, "-cpu", cpu, "-m", "16M", "-display", "none"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .arg("-kernel")
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(trouble)?;
    let status = child::wait_until(&mut guest, Instant::now() + PROBE_DEADLINE).map_err(trouble)?;
    if status.is_none() {
        child::stop(&mut guest, Duration::ZERO).map_err(trouble)?;
    }
    let expected = (i32::from(PROBE_SUM) << 1) | 1;
    Ok(status.and_then(|status| status.code()) == Some(expected))
}

/// The probe as an ELF file: header, one loadable segment, one note with the PVH entry.
fn probe_image() -> Vec<u8> {
    const HEADER: u64 = 64;
    const PROGRAM_HEADER: u64 = 56;
    const NOTE_AT: u64 = HEADER + 2 * PROGRAM_HEADER;
    const NOTE_SIZE: u64 = 20;
    // Page offset 0 in the file and in memory, after a page of headers.
    const CODE_AT: u64 = 4096;

    let code = probe_code();
    let mut image = Vec::new();
    let push16 = |image: &mut Vec<u8>, value: u16| image.extend(value.to_le_bytes());
    let push32 = |image: &mut Vec<u8>, value: u32| image.extend(value.to_le_bytes());
    let push64 = |image: &mut Vec<u8>, value: u64| image.extend(value.to_le_bytes());

    image.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    push16(&mut image, 2); // an executable
    push16(&mut image, 62); // for x86-64
    push32(&mut image, 1);
    push64(&mut image, u64::from(PROBE_BASE)); // entry
    push64(&mut image, HEADER); // program headers follow the header
    push64(&mut image, 0); // no section headers
    push32(&mut image, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        push16(&mut image, value);
    }

    let mut program_header = |kind: u32, flags: u32, offset: u64, address: u64, size: u64, memory: u64| {
        push32(&mut image, kind);
        push32(&mut image, flags);
        push64(&mut image, offset);
        push64(&mut image, address);
        push64(&mut image, address);
        push64(&mut image, size);
        push64(&mut image, memory);
        push64(&mut image, 4);
    };
    program_header(1, 7, CODE_AT, u64::from(PROBE_BASE), code.len() as u64, 0x1_0000);
    program_header(4, 4, NOTE_AT, 0, NOTE_SIZE, NOTE_SIZE);

    for value in [4, 4, 18] {
        push32(&mut image, value); // name size, payload size, XEN_ELFNOTE_PHYS32_ENTRY
    }
    image.extend(b"Xen\0");
    push32(&mut image, PROBE_BASE);
    image.resize(CODE_AT as usize, 0);
    image.extend(code);
    image
}

/// The probe's instructions. Tables are 4 to 12 KiB above the code, in memory that the loader zeroes.
fn probe_code() -> Vec<u8> {
    const TABLES: u32 = PROBE_BASE + 0x1000;
    const GDT_AT: usize = 0xc0;
    const LONG_MODE_AT: usize = 0x80;

    let mut code: Vec<u8> = Vec::new();
    let word = u32::to_le_bytes;
    // 32-bit: PML4[0] -> PDPT[0] -> PD[0], a 2 MiB page at address 0.
    for (address, entry) in
        [(TABLES, TABLES + 0x1003), (TABLES + 0x1000, TABLES + 0x2003), (TABLES + 0x2000, 0x0000_0083)]
    {
        code.extend([0xc7, 0x05]); // mov dword [address], entry
        code.extend(word(address));
        code.extend(word(entry));
    }
    code.push(0xb8); // mov eax, tables
    code.extend(word(TABLES));
    code.extend([0x0f, 0x22, 0xd8]); // mov cr3, eax
    code.extend([0x0f, 0x20, 0xe0]); // mov eax, cr4
    code.extend([0x0d, 0x20, 0x06, 0x00, 0x00]); // or eax, PAE | OSFXSR | OSXMMEXCPT
    code.extend([0x0f, 0x22, 0xe0]); // mov cr4, eax
    code.extend([0xb9, 0x80, 0x00, 0x00, 0xc0]); // mov ecx, EFER
    code.extend([0x0f, 0x32]); // rdmsr
    code.extend([0x0d, 0x00, 0x01, 0x00, 0x00]); // or eax, LME
    code.extend([0x0f, 0x30]); // wrmsr
    code.extend([0x0f, 0x20, 0xc0]); // mov eax, cr0
    code.extend([0x83, 0xe0, 0xfb]); // and eax, not EM
    code.extend([0x0d, 0x02, 0x00, 0x00, 0x80]); // or eax, PG | MP
    code.extend([0x0f, 0x22, 0xc0]); // mov cr0, eax
    code.extend([0x0f, 0x01, 0x15]); // lgdt
    code.extend(word(PROBE_BASE + GDT_AT as u32 + 16));
    code.push(0xea); // jmp far 8:long_mode
    code.extend(word(PROBE_BASE + LONG_MODE_AT as u32));
    code.extend([8, 0]);

    assert!(code.len() <= LONG_MODE_AT, "the 32-bit part overlaps the 64-bit part");
    code.resize(LONG_MODE_AT, 0x90);
    // 64-bit: the sum, through a vector register.
    code.push(0xb8); // mov eax, sum
    code.extend(word(u32::from(PROBE_SUM)));
    code.extend([0x66, 0x0f, 0x6e, 0xc8]); // movd xmm1, eax
    code.extend([0x66, 0x0f, 0xef, 0xc0]); // pxor xmm0, xmm0
    code.extend([0x66, 0x0f, 0xd4, 0xc1]); // paddq xmm0, xmm1
    code.extend([0x66, 0x0f, 0x7e, 0xc0]); // movd eax, xmm0
    code.extend([0x66, 0xba, 0xf4, 0x00]); // mov dx, 0xf4
    code.push(0xef); // out dx, eax
    code.extend([0xf4, 0xeb, 0xfd]); // 1: hlt; jmp 1b

    assert!(code.len() <= GDT_AT, "the 64-bit part overlaps the descriptor table");
    code.resize(GDT_AT, 0);
    code.extend(0u64.to_le_bytes());
    code.extend(0x00af_9b00_0000_ffff_u64.to_le_bytes()); // 64-bit code
    code.extend(15u16.to_le_bytes());
    code.extend(word(PROBE_BASE + GDT_AT as u32));
    code
}

#[cfg(test)]
mod tests {
    use object::read::elf::{FileHeader, ProgramHeader};

    use super::*;

    #[test]
    fn probe_is_an_elf_file_with_one_pvh_note() {
        let image = probe_image();
        let header = object::elf::FileHeader64::<object::LittleEndian>::parse(image.as_slice()).unwrap();
        let endian = header.endian().unwrap();
        let segments = header.program_headers(endian, image.as_slice()).unwrap();
        let mut notes =
            segments.iter().filter_map(|segment| segment.notes(endian, image.as_slice()).unwrap()).collect::<Vec<_>>();
        assert_eq!(notes.len(), 1);
        let note = notes[0].next().unwrap().unwrap();
        assert_eq!((note.name(), note.n_type(endian).0), (b"Xen".as_slice(), 18));
        assert_eq!(note.desc(), PROBE_BASE.to_le_bytes());
    }

    #[test]
    fn probe_computes_its_sum_where_everything_works() {
        if qemu::in_path(qemu::PROGRAM).is_some() {
            assert_eq!(run_probe(Executor::Tcg), Ok(true));
        }
    }

    #[test]
    fn tcg_needs_no_probe() {
        assert_eq!(decide(Accel::Tcg, "", Path::new("/nonexistent")), Ok(Executor::Tcg));
    }

    #[test]
    fn remembered_answer_holds_for_this_boot_and_this_qemu() {
        if !Path::new("/dev/kvm").exists() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let user = rustix::process::geteuid().as_raw();
        let file = directory.path().join("xtask-kvm-probe");
        fs::write(&file, format!("{} {user} some qemu\nfails\n", boot.trim())).unwrap();
        assert_eq!(decide(Accel::Auto, "some qemu", directory.path()), Ok(Executor::Tcg));
        assert!(decide(Accel::Kvm, "some qemu", directory.path()).is_err());
    }
}
