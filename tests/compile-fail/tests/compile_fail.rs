//! What belongs to a core does not leave it, and a thread borrows nothing that may be gone before it: by the compiler.
//!
//! ```text
//!   what belongs to a core           x   the ways to another core             E0277, and the type named
//!   TcpStream, File, Rc, ...             spawn_on, run_on, scoped, channels
//!   the same                         x   a thread of the same core            compiles
//!   a Vec                            x   the ways to another core             compiles
//! ```
//!
//! So each program is refused for what it sends and not for anything else. All of them are programs of one package, which is
//! written here and checked by one call of cargo, for the kernel's target: on a host there is no such API.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const TARGET: &str = "x86_64-unknown-none";

/// What belongs to a core: a name for programs, the type, and how the compiler names what keeps it there.
const BOUND: [(&str, &str, &[&str]); 9] = [
    ("stream", "toro::net::TcpStream", &["TcpStream"]),
    ("listener", "toro::net::TcpListener", &["TcpListener"]),
    ("datagrams", "toro::net::UdpSocket", &["UdpSocket"]),
    ("file", "toro::fs::File", &["File"]),
    ("directory", "toro::fs::ReadDir", &["ReadDir"]),
    ("entry", "toro::fs::DirEntry", &["DirEntry"]),
    ("counted", "alloc::rc::Rc<u8>", &["Rc<u8>"]),
    // A queue may go where nobody waits in it; what refers to one may not.
    ("queue", "&'static toro::sched::WaitQueue", &["WaitQueue"]),
    ("counted_queue", "alloc::rc::Rc<toro::sched::WaitQueue>", &["Rc<", "WaitQueue"]),
];

/// Ways to another core for a `value` of the type `Value`.
const WAYS: [(&str, &str); 7] = [
    ("spawn_on", "drop(toro::thread::spawn_on(toro::core::CoreId::BOOT, move || drop(value)));"),
    ("builder", "drop(toro::thread::Builder::new().spawn_on(toro::core::CoreId::BOOT, move || drop(value)));"),
    ("run_on", "toro::core::run_on(toro::core::CoreId::BOOT, move || drop(value));"),
    ("scoped", "toro::thread::scope(|scope| { let _ = scope.spawn_on(toro::core::CoreId::BOOT, || drop(value)); });"),
    ("result", "drop(value); let _ = toro::core::run_on(toro::core::CoreId::BOOT, || -> Value { unreachable!() });"),
    (
        "ring",
        "let (mut sender, receiver) = toro::sync::spsc::channel(1); let _ = sender.send(value); \
         toro::core::run_on(toro::core::CoreId::BOOT, move || drop(receiver));",
    ),
    ("channel", "let (sender, _receiver) = toro::sync::mpsc::channel(1); let _ = sender.send(value);"),
];

/// Borrowing from a function's frame: a name, what the compiler refuses with which code, and what it accepts.
const BORROWING: [(&str, &str, &str, &str); 3] = [
    (
        "spawn",
        "E0597",
        "let local = 1_u8; let reference = &local; drop(toro::thread::spawn(move || drop(*reference)));",
        "let local = 1_u8; drop(toro::thread::spawn(move || drop(local)));",
    ),
    (
        "spawn_by_capture",
        "E0373",
        "let local = [1_u8]; drop(toro::thread::spawn(|| local.len()));",
        "let local = [1_u8]; toro::thread::scope(|scope| drop(scope.spawn(|| local.len())));",
    ),
    (
        "spawn_on",
        "E0597",
        "let local = 1_u8; let reference = &local; \
         drop(toro::thread::spawn_on(toro::core::CoreId::BOOT, move || drop(*reference)));",
        "static STATIC: u8 = 1; let reference = &STATIC; \
         drop(toro::thread::spawn_on(toro::core::CoreId::BOOT, move || drop(*reference)));",
    ),
];

/// What the compiler has to say of a program.
#[derive(Debug)]
enum Verdict {
    Compiles,
    /// An error with this code, and all of these words.
    Refused(&'static str, &'static [&'static str]),
}

struct Program {
    name: String,
    text: String,
    verdict: Verdict,
}

impl Program {
    fn new(name: String, ty: &str, body: &str, verdict: Verdict) -> Self {
        let text = format!(
            "#![no_std]\n#![no_main]\n#![allow(dead_code, unused_variables)]\nextern crate alloc;\ntoro::entry!(main);\n\
             fn main() {{}}\ntype Value = {ty};\nfn program(value: Value) {{ {body} }}\n"
        );
        Self { name, text, verdict }
    }
}

fn programs() -> Vec<Program> {
    let mut programs = Vec::new();
    for (name, ty, words) in BOUND {
        for (way, body) in WAYS {
            programs.push(Program::new(format!("{name}_{way}"), ty, body, Verdict::Refused("E0277", words)));
        }
        let here = "drop(toro::thread::spawn(move || drop(value)));";
        programs.push(Program::new(format!("{name}_stays"), ty, here, Verdict::Compiles));
    }
    for (way, body) in WAYS {
        programs.push(Program::new(format!("vec_{way}"), "alloc::vec::Vec<u8>", body, Verdict::Compiles));
    }
    for (name, code, wrong, right) in BORROWING {
        let words = &["local"];
        programs.push(Program::new(format!("borrow_{name}"), "()", wrong, Verdict::Refused(code, words)));
        programs.push(Program::new(format!("borrow_{name}_right"), "()", right, Verdict::Compiles));
    }
    programs
}

/// Writes the package with all programs.
fn write_package(directory: &Path, programs: &[Program]) -> std::io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let manifest = format!(
        "[package]\nname = \"programs\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ntoro = {{ path = {:?} }}\n\n[profile.dev]\npanic = \"abort\"\n",
        workspace.join("kernel")
    );
    let _ = fs::remove_dir_all(directory.join("src"));
    fs::create_dir_all(directory.join("src/bin"))?;
    fs::write(directory.join("Cargo.toml"), manifest)?;
    // The versions that the workspace was tested with, also where a registry has newer ones.
    fs::copy(workspace.join("Cargo.lock"), directory.join("Cargo.lock"))?;
    programs.iter().try_for_each(|program| {
        fs::write(directory.join("src/bin").join(&program.name).with_extension("rs"), &program.text)
    })
}

/// The errors of each program, as codes with what they say. A program that was looked at has an entry.
fn check(directory: &Path) -> BTreeMap<String, Vec<(String, String)>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--bins", "--keep-going", "--message-format=json", "--target", TARGET]);
    cargo.arg("--target-dir").arg(directory.join("target")).current_dir(directory);
    // Flags for the tests of this workspace mean nothing to a kernel.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().expect("it is cargo that runs this test");
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    for message in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let target = &message["target"];
        let (Some(name), true) = (target["name"].as_str(), target["kind"] == serde_json::json!(["bin"])) else {
            continue;
        };
        let errors = found.entry(name.to_owned()).or_default();
        let message = &message["message"];
        if let (Some("error"), Some(code)) = (message["level"].as_str(), message["code"]["code"].as_str()) {
            errors.push((code.to_owned(), message["rendered"].as_str().unwrap_or_default().to_owned()));
        }
    }
    assert!(!found.is_empty(), "nothing was checked:\n{}", String::from_utf8_lossy(&output.stderr));
    found
}

#[test]
fn what_belongs_to_a_core_cannot_leave_it_and_threads_borrow_nothing_that_goes() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile-fail");
    let programs = programs();
    write_package(&directory, &programs).expect("cargo made the directory above");
    let found = check(&directory);
    let mut complaints = String::new();
    for Program { name, verdict, .. } in &programs {
        let errors = found.get(name);
        let is_right = errors.is_some_and(|errors| match verdict {
            Verdict::Compiles => errors.is_empty(),
            Verdict::Refused(code, words) => {
                let is_expected =
                    |(other, text): &(String, String)| other == code && words.iter().all(|word| text.contains(word));
                !errors.is_empty() && errors.iter().all(is_expected)
            }
        });
        if !is_right {
            complaints += &format!("{name}: expected {verdict:?}, got {errors:#?}\n");
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}
