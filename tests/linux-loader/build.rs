//! Tells the linker where the parts of the loader lie.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    println!("cargo::rustc-link-arg-bins=-T{directory}/linux-loader.ld");
    // The compiler would make an executable that can lie anywhere; nobody here could move it.
    println!("cargo::rustc-link-arg-bins=--no-pie");
    println!("cargo::rerun-if-changed=linux-loader.ld");
}
