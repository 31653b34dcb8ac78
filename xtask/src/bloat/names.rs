//! From a symbol to whom its bytes are for.
//!
//! ```text
//!   toro::mm::stack::Stack::allocate                                          toro, mm
//!   <toro::bus::pci::Function as toro::bus::device::Found>::resources         toro, bus
//!   <spin::once::Once<toro::acpi::Tables>>::call_once                         toro, acpi
//!   core::ptr::drop_in_place::<alloc::vec::Vec<smoltcp::iface::Route>>        smoltcp, iface
//!   core::fmt::write                                                          core, fmt
//! ```
//!
//! A function belongs to the crate that it is there for. A name is read from left to right, and the first path counts that
//! does not lead into a [library](LIBRARIES) whose generic code others instantiate; where there is none, the first path. What
//! has none is the work of assembly and compiler.

use std::fmt::Write as _;

/// Crates that exist to be instantiated.
const LIBRARIES: [&str; 5] = ["alloc", "compiler_builtins", "core", "spin", "std"];

/// Words that are no crates where a path could begin.
const WORDS: [&str; 6] = ["as", "const", "dyn", "for", "impl", "mut"];

/// A crate, and a module at its top; empty for what is in the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The crate.
    pub name: String,
    /// The module.
    pub module: String,
}

impl Place {
    /// Whom a function or constant with this readable name is for.
    pub fn of(name: &str) -> Self {
        let paths = paths(name);
        let own = paths.iter().find(|path| path.first().is_some_and(|first| !LIBRARIES.contains(first)));
        match own.or(paths.first()).map(Vec::as_slice) {
            // The last part is the thing itself.
            Some([first, module, _, ..]) if is_module(module) => {
                Self { name: (*first).to_owned(), module: (*module).to_owned() }
            }
            Some([first, ..]) => Self { name: (*first).to_owned(), module: String::new() },
            _ => Self { name: "(without a crate)".to_owned(), module: String::new() },
        }
    }
}

fn is_module(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

/// The symbol as people read it, without a hash.
pub fn readable(symbol: &str) -> String {
    let mut name = String::new();
    // Writing to a string does not fail.
    let _ = write!(name, "{:#}", rustc_demangle::demangle(symbol));
    name
}

/// Paths of at least two parts in `name`, in order: `a::b` in `<a::b<c::d> as e::f>::g`, then `c::d` and `e::f`.
fn paths(name: &str) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    let mut rest = name;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        // `::g` behind a type goes on with that type; `'a` is a lifetime.
        let goes_on = before.ends_with("::") || before.ends_with('\'');
        let mut path = Vec::new();
        let mut tail = from;
        loop {
            let end = tail.find(|character| !is_word(character)).unwrap_or(tail.len());
            let (word, behind) = tail.split_at(end);
            path.push(word);
            tail = behind;
            match behind.strip_prefix("::") {
                Some(next) if next.starts_with(is_word) => tail = next,
                _ => break,
            }
        }
        if path.len() > 1 && !goes_on && !WORDS.contains(&path[0]) {
            paths.push(path);
        }
        rest = tail;
    }
    paths
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> (String, String) {
        let Place { name, module } = Place::of(name);
        (name, module)
    }

    #[test]
    fn functions_belong_to_the_crate_and_module_that_they_are_for() {
        for (name, wanted, module) in [
            ("toro::mm::stack::Stack::allocate", "toro", "mm"),
            ("<toro::bus::pci::Function as toro::bus::device::Found>::resources", "toro", "bus"),
            ("<spin::once::Once<toro::acpi::Tables>>::call_once::<toro::acpi::f::{closure#0}>", "toro", "acpi"),
            ("core::ptr::drop_in_place::<alloc::vec::Vec<smoltcp::iface::Route>>", "smoltcp", "iface"),
            (
                "<&mut toro::drivers::attach_all::{closure#0} as core::ops::FnMut<(&dyn toro::bus::Found,)>>::call_mut",
                "toro",
                "drivers",
            ),
            ("<[u8] as virtio_net::header::Bytes>::get", "virtio_net", "header"),
            ("<u32 as core::fmt::Display>::fmt", "core", "fmt"),
            ("core::fmt::write", "core", "fmt"),
            ("log::max_level", "log", ""),
            ("hello::main", "hello", ""),
            ("<talc::Talc<talc::ErrOnOom>>::malloc", "talc", ""),
            ("__rustc::__rust_realloc", "__rustc", ""),
            ("memcpy", "(without a crate)", ""),
            ("", "(without a crate)", ""),
        ] {
            assert_eq!(place(name), (wanted.to_owned(), module.to_owned()), "{name}");
        }
    }

    #[test]
    fn symbols_of_both_kinds_are_readable() {
        assert_eq!(readable("_RNvCskwGfYPst2Cb_3foo16example_function"), "foo::example_function");
        assert_eq!(readable("_ZN4toro2mm5stack3map17h0123456789abcdefE"), "toro::mm::stack::map");
        assert_eq!(readable("toro_pvh_entry"), "toro_pvh_entry");
    }

    #[test]
    fn no_name_is_too_strange_to_be_read() {
        for name in
            ["<", "::", "a::", "::a::b", "<::a>", "{closure#0}", "\u{e9}::\u{e8}::x", "'a::b", "for<'a> fn(&'a u8)"]
        {
            let _ = Place::of(name);
        }
    }
}
