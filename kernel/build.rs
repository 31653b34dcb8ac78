//! Installs the kernel's linker script where the linker of any dependent application finds it.
//!
//! The script is copied to `OUT_DIR` as `toro.ld` and that directory becomes part of the native link search path,
//! which cargo hands on to every binary that links this crate. An application then needs only `-Clink-arg=-Ttoro.ld`
//! in its rustflags and no build script of its own.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    fs::copy("linker.ld", out.join("toro.ld"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
