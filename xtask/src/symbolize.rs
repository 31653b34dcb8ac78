//! Function names and source lines for the addresses in a guest's backtrace.
//!
//! The guest prints addresses only, one frame per line; names would cost it memory, and the host has the debug
//! information anyway:
//!
//! ```text
//!     #3 0x0000000000212345                                         what the guest prints
//!     #3 0x0000000000212345 app::main at examples/app.rs:17:5       what the user sees
//! ```
//!
//! A call that the compiler inlined is named first, and the function that it was inlined into on a line below. The
//! addresses are return addresses, so the instruction that matters is the one before; only frame 0 of a fault report
//! is the faulting instruction itself.

use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::image;

/// Adds names to backtrace lines. The debug information is loaded when the first such line comes.
pub struct Symbolizer {
    image: PathBuf,
    state: State,
    report: Report,
}

/// Which kind of report the current backtrace belongs to, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// A panic: every frame is a return address.
    Panic,
    /// A processor exception: frame 0 is the instruction that caused it.
    Fault,
}

enum State {
    NotLoaded,
    Loaded(Box<Loader>),
    /// The image has no usable debug information; said once.
    Unusable,
}

/// A frame of a backtrace as the guest prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    number: u32,
    address: u64,
}

impl Frame {
    /// Reads `  #3 0x0000000000212345`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let number = words.next()?.strip_prefix('#')?.parse().ok()?;
        let address = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        // Anything after the address means that it is some other line, or already has a name.
        words.next().is_none().then_some(Self { number, address })
    }

    /// The address to look up: the call, not the instruction after it.
    fn probe(self, report: Report) -> u64 {
        match (report, self.number) {
            (Report::Fault, 0) => self.address,
            _ => self.address.saturating_sub(1),
        }
    }
}

impl Symbolizer {
    /// For the addresses of `image`.
    pub fn new(image: &Path) -> Self {
        Self { image: image.to_owned(), state: State::NotLoaded, report: Report::Panic }
    }

    /// `line` with function and place added where it is a frame of a backtrace; `None` where it is to be shown as is.
    pub fn annotate(&mut self, line: &str) -> Option<String> {
        if line.starts_with("panic in thread ") {
            self.report = Report::Panic;
        } else if line.starts_with("fault in thread ") {
            self.report = Report::Fault;
        }
        let frame = Frame::parse(line)?;
        let names = self.names(frame.probe(self.report))?;
        let mut text = line.trim_end().to_owned();
        for (depth, name) in names.iter().enumerate() {
            if depth > 0 {
                text.push_str("\n     inlined into");
            }
            text.push(' ');
            text.push_str(name);
        }
        Some(text)
    }

    /// `function at file:line:column` for the code at `address`, innermost inlined call first.
    fn names(&mut self, address: u64) -> Option<Vec<String>> {
        if let State::NotLoaded = self.state {
            self.state = match Loader::new(&self.image) {
                Ok(loader) => State::Loaded(Box::new(loader)),
                Err(error) => {
                    eprintln!("xtask: no function names in backtraces: {error}");
                    State::Unusable
                }
            };
        }
        let State::Loaded(loader) = &self.state else {
            return None;
        };
        let mut names = Vec::new();
        if let Ok(mut frames) = loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let function =
                    frame.function.as_ref().and_then(|name| name.demangle().ok()).map(|name| without_hash(&name));
                let place = frame.location.as_ref().and_then(|location| {
                    let file = short(location.file?);
                    Some(format!("{file}:{}:{}", location.line.unwrap_or(0), location.column.unwrap_or(0)))
                });
                match (function, place) {
                    (Some(function), Some(place)) => names.push(format!("{function} at {place}")),
                    (Some(function), None) => names.push(function),
                    (None, Some(place)) => names.push(format!("at {place}")),
                    (None, None) => {}
                }
            }
        }
        if names.is_empty()
            && let Some(symbol) = loader.find_symbol(address)
        {
            // Assembly has symbols but no debug information.
            names.push(addr2line::demangle_auto(symbol.into(), None).into_owned());
        }
        (!names.is_empty()).then_some(names)
    }
}

/// `name` without the `::h0123456789abcdef` that the legacy mangling ends with.
fn without_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path.to_owned(),
        _ => name.to_owned(),
    }
}

/// `file` without the directories that only say where it happens to be: the workspace's, the standard library's build,
/// cargo's registry.
fn short(file: &str) -> &str {
    let inside_workspace = || Path::new(file).strip_prefix(image::workspace()).ok()?.to_str();
    let inside_std = || file.strip_prefix("/rustc/")?.split_once('/').map(|(_, path)| path);
    let inside_registry = || file.split_once("/registry/src/")?.1.split_once('/').map(|(_, path)| path);
    inside_workspace().or_else(inside_std).or_else(inside_registry).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_line_is_recognised() {
        let frame = Frame { number: 3, address: 0x21_2345 };
        assert_eq!(Frame::parse("  #3 0x0000000000212345"), Some(frame));
        assert_eq!(Frame::parse("#3 0x212345 "), Some(frame));
    }

    #[test]
    fn only_the_first_frame_of_a_fault_is_looked_up_as_it_is() {
        let frame = |number| Frame { number, address: 0x21_2345 };
        assert_eq!(frame(0).probe(Report::Fault), 0x21_2345);
        assert_eq!(frame(1).probe(Report::Fault), 0x21_2344);
        assert_eq!(frame(0).probe(Report::Panic), 0x21_2344);
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in ["", "#3", "#x 0x10", "3 0x10", "#3 10", "#3 0x10 main", "GET /#3 0x10"] {
            assert_eq!(Frame::parse(line), None, "{line}");
        }
    }

    #[test]
    fn own_function_is_found_by_its_address() {
        // This test's executable, at the address where it was linked.
        let executable = std::env::current_exe().unwrap();
        let base = {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let line = maps.lines().find(|line| line.ends_with(executable.to_str().unwrap())).unwrap();
            u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
        };
        let address = own_function_is_found_by_its_address as fn() as usize as u64 - base;
        let mut symbolizer = Symbolizer::new(&executable);
        assert_eq!(symbolizer.annotate("fault in thread `main`: page fault"), None);
        let text = symbolizer.annotate(&format!("  #0 {address:#018x}")).unwrap();
        assert!(text.contains("own_function_is_found_by_its_address"), "{text}");
        assert!(text.contains("xtask/src/symbolize.rs:"), "{text}");
    }

    #[test]
    fn image_without_debug_information_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image");
        std::fs::write(&file, "no ELF").unwrap();
        assert_eq!(Symbolizer::new(&file).annotate("  #1 0x0000000000100000"), None);
    }

    #[test]
    fn file_names_lose_what_only_says_where_they_are() {
        assert_eq!(short("/rustc/0123abc/library/core/src/option.rs"), "library/core/src/option.rs");
        assert_eq!(short("/home/me/.cargo/registry/src/index-12/spin-0.9/src/lib.rs"), "spin-0.9/src/lib.rs");
        assert_eq!(short("/somewhere/main.rs"), "/somewhere/main.rs");
        let own = image::workspace().join("kernel/src/lib.rs");
        assert_eq!(short(own.to_str().unwrap()), "kernel/src/lib.rs");
    }

    #[test]
    fn hash_of_a_mangled_name_is_dropped() {
        assert_eq!(without_hash("toro::main::h0123456789abcdef"), "toro::main");
        assert_eq!(without_hash("toro::help"), "toro::help");
    }
}
