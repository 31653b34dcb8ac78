//! `cargo xtask build --bloat`: what takes the space in an image.
//!
//! ```text
//!   section .text  |symbol|symbol|  |symbol|   |      every byte belongs to one symbol, or to none: what the compiler
//!   section .rodata|  |symbol|             |          put between two, and constants, which have no names
//!          |
//!          v
//!   names: symbol --> crate, module
//!          |
//!          v
//!   sections, crates with their modules, and the largest functions; all add up to the file as `strip` leaves it
//! ```
//!
//! Symbols of instances of generic functions name what they are instances for only in the newer of the compiler's two ways
//! to make names, so the image is built with that one ([`RUSTFLAGS`]). An image with other names can be read, too: what is
//! generic then counts for the crate that defines it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::ops::Range;
use std::path::Path;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};

use crate::exit::Failure;
use crate::image::Sizes;

mod names;

use names::Place;

/// What has the compiler name the arguments of generic functions in symbols.
pub const RUSTFLAGS: &str = "-Csymbol-mangling-version=v0";

/// How many functions are listed.
const FUNCTIONS: usize = 30;
/// Modules of less than this part of the file are summed up.
const LEAST_SHARE: u64 = 500;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Code,
    Constants,
    Data,
}

/// A section that is in the file and in memory.
struct Section {
    name: String,
    kind: Kind,
    bytes: u64,
}

/// A symbol, and the bytes that no other has.
struct Symbol {
    /// For people.
    name: String,
    place: Place,
    kind: Kind,
    bytes: u64,
}

/// Bytes of code, constants and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes([u64; 3]);

impl Bytes {
    fn add(&mut self, kind: Kind, bytes: u64) {
        self.0[kind as usize] += bytes;
    }

    fn total(self) -> u64 {
        self.0.iter().sum()
    }
}

/// What takes the space in one image. Displayed as tables.
pub struct Bloat {
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
    /// In none of the sections: headers, names of sections, and what aligns them.
    headers: u64,
    /// Memory that is zeroed at boot, and not in the file.
    zeroed: u64,
}

impl Bloat {
    /// Looks at the ELF file `image`.
    ///
    /// # Errors
    ///
    /// A preparation failure where the file cannot be read or is no 64-bit ELF file.
    pub fn of(image: &Path) -> Result<Self, Failure> {
        let data = fs::read(image)
            .map_err(|error| Failure::preparation(format!("cannot read {}: {error}", image.display())))?;
        let sizes = Sizes::of(image)?;
        Self::of_elf(&data, sizes.stripped)
            .map_err(|error| Failure::preparation(format!("{}: {error}", image.display())))
    }

    fn of_elf(data: &[u8], stripped: u64) -> object::Result<Self> {
        let file = ElfFile64::<Endianness>::parse(data)?;
        let (mut sections, mut symbols, mut zeroed) = (Vec::new(), Vec::new(), 0);
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            if !sh_flags.contains(elf::SHF_ALLOC) {
                continue;
            }
            if section.file_range().is_none() {
                zeroed += section.size();
                continue;
            }
            let kind = if sh_flags.contains(elf::SHF_EXECINSTR) {
                Kind::Code
            } else if sh_flags.contains(elf::SHF_WRITE) && section.name()? == ".data" {
                Kind::Data
            } else {
                Kind::Constants
            };
            sections.push(Section { name: section.name()?.to_owned(), kind, bytes: section.size() });

            let (start, end) = (section.address(), section.address().saturating_add(section.size()));
            let mut here: Vec<_> = file
                .symbols()
                .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.size() > 0)
                .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data))
                .collect();
            here.sort_by_key(|symbol| (symbol.address(), std::cmp::Reverse(symbol.size())));
            let ranges: Vec<_> = here.iter().map(|symbol| (symbol.address(), symbol.size())).collect();
            for (symbol, bytes) in here.iter().zip(shares(start..end, &ranges)).filter(|&(_, bytes)| bytes > 0) {
                let name = names::readable(symbol.name()?);
                symbols.push(Symbol { place: Place::of(&name), name, kind, bytes });
            }
        }
        let in_sections: u64 = sections.iter().map(|section| section.bytes).sum();
        Ok(Self { sections, symbols, headers: stripped.saturating_sub(in_sections), zeroed })
    }

    /// Bytes of the file without symbols and debug information.
    fn total(&self) -> u64 {
        self.headers + self.sections.iter().map(|section| section.bytes).sum::<u64>()
    }

    /// Bytes of each crate and each of its modules.
    fn crates(&self) -> BTreeMap<&str, BTreeMap<&str, Bytes>> {
        let mut crates: BTreeMap<&str, BTreeMap<&str, Bytes>> = BTreeMap::new();
        for symbol in &self.symbols {
            let modules = crates.entry(&symbol.place.name).or_default();
            modules.entry(&symbol.place.module).or_default().add(symbol.kind, symbol.bytes);
        }
        crates
    }

    /// Bytes of sections that no symbol has.
    fn nameless(&self) -> Bytes {
        let mut bytes = Bytes::default();
        for section in &self.sections {
            bytes.add(section.kind, section.bytes);
        }
        for symbol in &self.symbols {
            bytes.0[symbol.kind as usize] -= symbol.bytes;
        }
        bytes
    }
}

/// How many bytes of `section` each symbol has, which are given by address and size and sorted by address: of several at the
/// same place the first has it all, and of those that overlap each has what is left.
fn shares(section: Range<u64>, symbols: &[(u64, u64)]) -> Vec<u64> {
    let mut covered = section.start;
    let mut share = |&(address, size): &(u64, u64)| {
        let (from, to) = (address.max(covered), address.saturating_add(size).min(section.end));
        covered = covered.max(to);
        to.saturating_sub(from)
    };
    symbols.iter().map(&mut share).collect()
}

/// Rows, the largest first.
fn by_size<T>(rows: impl IntoIterator<Item = (T, Bytes)>) -> Vec<(T, Bytes)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.total()));
    rows
}

fn sum<'b>(all: impl IntoIterator<Item = &'b Bytes>) -> Bytes {
    let mut sum = Bytes::default();
    for bytes in all {
        sum.0.iter_mut().zip(bytes.0).for_each(|(sum, more)| *sum += more);
    }
    sum
}

/// `1234567` as `1,234,567`.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One line of the table of crates.
fn line(name: &str, bytes: Bytes, of: u64) -> String {
    let [code, constants, data] = bytes.0.map(number);
    let share = bytes.total() as f64 * 100.0 / of.max(1) as f64;
    format!("{name:<40} {code:>10} {constants:>10} {data:>10} {:>10} {share:>6.1} %\n", number(bytes.total()))
}

impl fmt::Display for Bloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_sections(f)?;
        f.write_char('\n')?;
        self.show_crates(f)?;
        f.write_char('\n')?;
        self.show_functions(f)
    }
}

impl Bloat {
    fn show_sections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>10}", "section", "bytes")?;
        for section in &self.sections {
            writeln!(f, "{:<40} {:>10}", section.name, number(section.bytes))?;
        }
        writeln!(f, "{:<40} {:>10}", "headers, alignment", number(self.headers))?;
        writeln!(f, "{:<40} {:>10}", "the file, stripped", number(self.total()))?;
        writeln!(f, "{:<40} {:>10}", "zeroed memory, not in the file", number(self.zeroed))
    }

    fn show_crates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(f, "{:<40} {:>10} {:>10} {:>10} {:>10}", "crate, module", "code", "constants", "data", "all")?;
        let crates = self.crates();
        for (name, all) in by_size(crates.iter().map(|(name, modules)| (*name, sum(modules.values())))) {
            f.write_str(&line(name, all, total))?;
            let (large, small): (Vec<_>, Vec<_>) =
                by_size(crates[name].iter().map(|(module, bytes)| (*module, *bytes)))
                    .into_iter()
                    .partition(|(_, bytes)| bytes.total() * LEAST_SHARE >= total);
            if large.is_empty() || crates[name].len() == 1 {
                continue;
            }
            for (module, bytes) in large {
                let module = if module.is_empty() { "(the crate itself)" } else { module };
                f.write_str(&line(&format!("  {module}"), bytes, total))?;
            }
            if !small.is_empty() {
                let name = format!("  ({} more)", small.len());
                f.write_str(&line(&name, sum(small.iter().map(|(_, bytes)| bytes)), total))?;
            }
        }
        f.write_str(&line("(no symbol: most constants, stubs, gaps)", self.nameless(), total))?;
        let mut all = Bytes::default();
        self.sections.iter().for_each(|section| all.add(section.kind, section.bytes));
        f.write_str(&line("all sections", all, total))?;
        writeln!(f, "{:<40} {:>43}", "headers, alignment", number(self.headers))?;
        writeln!(f, "{:<40} {:>43}", "the file, stripped", number(total))
    }

    fn show_functions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut functions: Vec<_> = self.symbols.iter().filter(|symbol| symbol.kind == Kind::Code).collect();
        functions.sort_by_key(|symbol| std::cmp::Reverse(symbol.bytes));
        writeln!(f, "{:>10}  the largest functions", "bytes")?;
        for symbol in functions.iter().take(FUNCTIONS) {
            writeln!(f, "{:>10}  {}", number(symbol.bytes), symbol.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests' own program, which has everything that an image has.
    fn this() -> Bloat {
        Bloat::of(&std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn every_byte_that_a_symbol_names_counts_once() {
        let data = fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = ElfFile64::<Endianness>::parse(&*data).unwrap();
        let bloat = this();
        let of_crates = sum(bloat.crates().values().flat_map(|modules| modules.values()));
        let text = file.section_by_name(".text").unwrap();
        let mut is_named = vec![false; text.size() as usize];
        for symbol in file.symbols().filter(|symbol| symbol.section_index() == Some(text.index())) {
            let start = (symbol.address() - text.address()) as usize;
            let end = (start + symbol.size() as usize).min(is_named.len());
            is_named[start..end].fill(true);
        }
        // Other sections with code have next to nothing in them, and no names.
        let named = is_named.iter().filter(|&&is_named| is_named).count() as u64;
        assert!(of_crates.0[Kind::Code as usize].abs_diff(named) < 1024, "{of_crates:?} {named}");
        assert!(bloat.nameless().0[Kind::Code as usize] < text.size() / 10, "code has names");
    }

    #[test]
    fn of_symbols_that_overlap_each_has_what_is_left() {
        let symbols = [(90, 20), (110, 10), (110, 10), (115, 10), (118, 2), (190, 50), (300, 5)];
        assert_eq!(shares(100..200, &symbols), [10, 10, 0, 5, 0, 10, 0]);
        assert_eq!(shares(100..100, &symbols), [0; 7]);
        assert_eq!(shares(0..u64::MAX, &[(5, u64::MAX)]), [u64::MAX - 5]);
    }

    #[test]
    fn the_sum_of_the_tables_is_the_stripped_file() {
        let this = std::env::current_exe().unwrap();
        let bloat = Bloat::of(&this).unwrap();
        assert_eq!(bloat.total(), Sizes::of(&this).unwrap().stripped);
        let text = bloat.to_string();
        let totals = text.lines().filter(|line| line.starts_with("the file, stripped"));
        let wanted = number(bloat.total());
        assert_eq!(totals.filter(|line| line.ends_with(&format!(" {wanted}"))).count(), 2, "{text}");
    }

    #[test]
    fn functions_of_this_crate_are_in_its_modules_and_the_largest_come_first() {
        let bloat = this();
        assert!(bloat.crates()["xtask"].contains_key("bloat"));
        let text = bloat.to_string();
        let functions = text.lines().skip_while(|line| !line.ends_with("the largest functions")).skip(1);
        let bytes: Vec<u64> =
            functions.map(|line| line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()).collect();
        assert!(bytes.len() == FUNCTIONS && bytes.is_sorted_by(|a, b| a >= b), "{bytes:?}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
