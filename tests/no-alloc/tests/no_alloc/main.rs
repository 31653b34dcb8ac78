//! A driver without an allocator, in a program that has none either.
//!
//! ```text
//!   examples/staticlib of virtio-queue-rt  --cargo, x86_64-unknown-none-->  libentropy.a --+
//!   platform.c: memory, clock, registers, and a device that lies            --cc-----------+--> a process of this host
//! ```
//!
//! That it links is the proof that no allocator is needed: nothing in a C program answers to `__rust_alloc`. The
//! target has no standard library that could, and the object file is what a kernel would link.
//!
//! The register block is plain memory. That is enough of a virtio-mmio device for one queue: what the driver
//! writes it can read back, and the word of offered features, which is the same in both halves, says `VERSION_1` in
//! the upper one.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "x86_64-unknown-none";

/// Where this test builds; nobody else does.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-alloc")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/virtio-queue-rt/examples/staticlib")
}

/// Runs a program to its end; `missing` says what to do if it is not installed.
fn run(command: &mut Command, missing: &str) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{command:?}: not found: {missing}"),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn succeed(command: &mut Command, missing: &str) -> String {
    let output = run(command, missing);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Builds the library. Not from inside the workspace, whose flags are those of its kernel.
fn library() -> PathBuf {
    let target_dir = scratch();
    std::fs::create_dir_all(&target_dir).expect("cargo made the directory above");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--target", TARGET, "--manifest-path"]);
    cargo.arg(example().join("Cargo.toml")).arg("--target-dir").arg(&target_dir).current_dir(&target_dir);
    // Flags for the tests of this workspace mean nothing to a kernel.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    succeed(&mut cargo, "it is cargo that runs this test");
    target_dir.join(TARGET).join("release/libentropy.a")
}

#[test]
fn a_driver_without_an_allocator_works_in_a_c_program() {
    let library = library();
    let bytes = std::fs::read(&library).expect("cargo built it");
    // Names of symbols, defined or not, stand in an archive as they are.
    let names = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(names("entropy_init"), "the symbols are not where they are looked for");
    for symbol in ["__rust_alloc", "__rust_dealloc", "__rust_realloc", "__rust_no_alloc_shim"] {
        assert!(!names(symbol), "{symbol} is referred to");
    }
    let program = scratch().join("platform");
    let mut cc = Command::new("cc");
    // A kernel's code model has its addresses in one piece of 2 GiB: the last one there, the first one here.
    cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-no-pie"]).arg("-I").arg(example().join("include"));
    cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/no_alloc/platform.c")).arg(&library);
    cc.arg("-o").arg(&program);
    succeed(&mut cc, "install a C compiler, which Rust needs as well (apt-get install gcc)");
    let said = succeed(&mut Command::new(&program), "cc said that it made it");
    assert_eq!(said, "obedient: 80000 requests\nlying: fault, reset, back in service\n");
}
