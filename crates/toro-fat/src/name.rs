//! Names: long ones in UTF-16, short ones of eight and three characters, and how they go together.
//!
//! ```text
//!   "Read me.txt"  ->  R E A D M E ~ 1 T X T      and slots with the long name before it
//!   "README.TXT"   ->  R E A D M E _ _ T X T      nothing else
//!   "readme.txt"   ->  R E A D M E _ _ T X T      and two bits that say: in lower case
//! ```
//!
//! Every entry has a short name, for systems that know no others; one that does not fit gets an alias, unique in its
//! directory. To the outside, names are UTF-8 and have no aliases: an entry is listed under its long name if it has one.
//! It can be found under either, whatever the case, as on every other system.
//!
//! Short names on a disk are in the code page of whoever wrote them, which is nowhere said; 437 is assumed, and what is
//! written here is plain ASCII. What a long name on a disk may not be is not believed, and the short one is used: a name
//! with a slash in it, for instance, would be a path to whoever gets it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;

/// The longest name, in UTF-16 units.
pub(crate) const LONGEST: usize = 255;
/// The longest short name, in UTF-16 units.
pub(crate) const LONGEST_SHORT: usize = 12;
/// UTF-16 units in a slot of a long name.
pub(crate) const UNITS_PER_SLOT: usize = 13;

/// Bits of the byte that says which part of a short name is in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// Upper half of code page 437.
const CODE_PAGE: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                         αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A name in UTF-16.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    units: [u16; LONGEST],
    len: usize,
}

/// A short name in UTF-16.
pub(crate) struct ShortUnits {
    units: [u16; LONGEST_SHORT],
    len: usize,
}

impl ShortUnits {
    /// Appends a part but the spaces at its end.
    fn append(&mut self, part: &[u8], change: impl Fn(&u8) -> u8) {
        let len = part.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        for (unit, byte) in self.units[self.len..].iter_mut().zip(&part[..len]) {
            // All of the code page are single units.
            *unit = match change(byte) {
                byte @ 0x80.. => CODE_PAGE.chars().nth(usize::from(byte - 0x80)).unwrap_or('_') as u16,
                byte if is_allowed(u16::from(byte)) => u16::from(byte),
                _ => u16::from(b'_'),
            };
        }
        self.len += len;
    }

    pub fn units(&self) -> &[u16] {
        &self.units[..self.len]
    }
}

/// A short name as an entry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// Eight and three characters, padded with spaces.
    pub bytes: [u8; 11],
    /// Which of them are meant in lower case.
    pub case: u8,
}

impl Name {
    /// A name that may be given to an entry.
    pub fn parse(name: &[u8]) -> Result<Self, Error> {
        let name = str::from_utf8(name).map_err(|_| Error::InvalidName)?;
        let mut parsed = Self { units: [0; LONGEST], len: 0 };
        for character in name.chars() {
            let mut pair = [0; 2];
            for &unit in character.encode_utf16(&mut pair).iter() {
                if !is_allowed(unit) {
                    return Err(Error::InvalidName);
                }
                *parsed.units.get_mut(parsed.len).ok_or(Error::NameTooLong)? = unit;
                parsed.len += 1;
            }
        }
        // A dot or a space at the end is lost on other systems, which then cannot find the entry; "." and ".." are among
        // these.
        if matches!(name.chars().next_back(), None | Some('.' | ' ')) {
            return Err(Error::InvalidName);
        }
        Ok(parsed)
    }

    /// The name of these units, which are [`checked`].
    pub fn of(units: &[u16]) -> Self {
        let len = units.len().min(LONGEST);
        let mut name = Self { units: [0; LONGEST], len };
        name.units[..len].copy_from_slice(&units[..len]);
        name
    }

    pub fn units(&self) -> &[u16] {
        &self.units[..self.len]
    }

    /// Slots for the long name.
    pub fn slots(&self) -> usize {
        self.len.div_ceil(UNITS_PER_SLOT)
    }

    /// Base and extension, divided at the last dot.
    fn parts(&self) -> (&[u16], &[u16]) {
        match self.units().iter().rposition(|&unit| unit == u16::from(b'.')) {
            Some(dot) if dot > 0 => (&self.units()[..dot], &self.units()[dot + 1..]),
            _ => (self.units(), &[]),
        }
    }

    /// The short name that says everything about this name, if there is one.
    pub fn as_short(&self) -> Option<Short> {
        let (base, extension) = self.parts();
        let has_dot = self.units().contains(&u16::from(b'.'));
        if base.len() > 8 || extension.len() > 3 || (has_dot && extension.is_empty()) {
            return None;
        }
        let mut short = Short { bytes: [b' '; 11], case: 0 };
        let (to_base, to_extension) = short.bytes.split_at_mut(8);
        let base = uniform(base, to_base)?;
        let extension = uniform(extension, to_extension)?;
        short.case = if base { LOWER_BASE } else { 0 } | if extension { LOWER_EXTENSION } else { 0 };
        Some(short)
    }

    /// What an alias is made of, and whether it can be the alias as it is, as no character was lost.
    pub fn basis(&self) -> ([u8; 11], bool) {
        let (base, extension) = self.parts();
        let mut bytes = [b' '; 11];
        let (to_base, to_extension) = bytes.split_at_mut(8);
        let is_whole = squeeze(base, to_base) & squeeze(extension, to_extension);
        if bytes[0] == b' ' {
            bytes[0] = b'_';
        }
        let has_dot = self.units().contains(&u16::from(b'.'));
        (bytes, is_whole && !(has_dot && extension.is_empty()))
    }
}

/// Alias number `number` for a basis, 1 to 999,999: the end of the name gives way to it.
pub(crate) fn numbered(basis: [u8; 11], number: u32) -> [u8; 11] {
    let mut digits = [0; 7];
    let mut rest = number.min(999_999);
    let mut at = digits.len();
    while rest > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at -= 1;
    digits[at] = b'~';
    let tail = &digits[at..];
    let len = basis[..8].iter().position(|&byte| byte == b' ').unwrap_or(8).min(8 - tail.len());
    let mut alias = basis;
    alias[len..8].fill(b' ');
    alias[len..len + tail.len()].copy_from_slice(tail);
    alias
}

/// The alias for a name of which many in the directory have the same basis: two of its characters, four digits that
/// depend on the whole name and on `attempt`, and a number.
pub(crate) fn hashed(basis: [u8; 11], name: &Name, attempt: u32) -> [u8; 11] {
    let units = name.units().iter().copied().map(u32::from);
    let hash = units.chain([attempt]).fold(0x811c_9dc5u32, |hash, unit| (hash ^ unit).wrapping_mul(0x0100_0193));
    let mut alias = basis;
    if alias[1] == b' ' {
        alias[1] = b'_';
    }
    for (index, byte) in alias[2..6].iter_mut().enumerate() {
        *byte = b"0123456789ABCDEF"[(hash >> (4 * index + 8) & 15) as usize];
    }
    alias[6..8].copy_from_slice(b"~1");
    alias
}

impl Short {
    /// The checksum that the slots of the long name have.
    pub fn checksum(&self) -> u8 {
        self.bytes.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
    }

    /// The name as it is read, if it can be one.
    pub fn units(&self) -> Option<ShortUnits> {
        let small = |bit: u8| if self.case & bit != 0 { u8::to_ascii_lowercase } else { u8::clone };
        let mut short = ShortUnits { units: [0; LONGEST_SHORT], len: 0 };
        let mut bytes = self.bytes;
        // 0xe5 as a first byte would mean a free slot.
        if bytes[0] == 0x05 {
            bytes[0] = 0xe5;
        }
        let (base, extension) = bytes.split_at(8);
        short.append(base, small(LOWER_BASE));
        if extension != b"   " {
            short.append(b".", u8::clone);
            short.append(extension, small(LOWER_EXTENSION));
        }
        (!is_path(short.units())).then_some(short)
    }
}

/// The name that units from a disk are, up to their end, if they can be one.
pub(crate) fn checked(units: &[u16]) -> Option<&[u16]> {
    let len = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    let units = &units[..len];
    (!is_path(units) && len <= LONGEST && units.iter().all(|&unit| is_allowed(unit))).then_some(units)
}

/// Whether this means a directory instead of naming something in it.
fn is_path(units: &[u16]) -> bool {
    const DOT: u16 = b'.' as u16;
    matches!(units, [] | [DOT] | [DOT, DOT])
}

/// The characters of a name; what is none is �.
fn characters(units: &[u16]) -> impl Iterator<Item = char> {
    char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// A name in UTF-8.
pub(crate) fn text(units: &[u16]) -> String {
    characters(units).collect()
}

/// Appends a name in UTF-8.
pub(crate) fn append_text(units: &[u16], text: &mut Vec<u8>) {
    if units.iter().all(|&unit| unit < 0x80) {
        text.extend(units.iter().map(|&unit| unit as u8));
        return;
    }
    for character in characters(units) {
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Whether two names are the same but for their case.
pub(crate) fn are_same(one: &[u16], other: &[u16]) -> bool {
    one == other || characters(one).map(fold).eq(characters(other).map(fold))
}

/// A number that is the same for names that are the same but for their case (FNV-1a).
pub(crate) fn hash(units: &[u16]) -> u32 {
    let add = |hash: u32, character: char| (hash ^ u32::from(character)).wrapping_mul(0x0100_0193);
    characters(units).map(fold).fold(0x811c_9dc5, add)
}

/// A bit for each ASCII character that may not be in a name.
const FORBIDDEN: [u64; 2] = {
    let mut bits = [0xffff_ffff, 1 << 63];
    let mut at = 0;
    let others = b"\"*/:<>?\\|";
    while at < others.len() {
        bits[others[at] as usize / 64] |= 1 << (others[at] % 64);
        at += 1;
    }
    bits
};

/// Whether a unit may be in a name.
fn is_allowed(unit: u16) -> bool {
    FORBIDDEN.get(usize::from(unit / 64)).is_none_or(|bits| bits >> (unit % 64) & 1 == 0)
}

/// Whether a character may be in a short name; it is ASCII then.
fn is_short(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(character)
}

/// Copies a part of a short name, if it can be one as it is; whether it is in lower case.
fn uniform(units: &[u16], to: &mut [u8]) -> Option<bool> {
    let (mut lower, mut upper) = (false, false);
    for (&unit, byte) in units.iter().zip(to) {
        let character = char::from(u8::try_from(unit).ok()?);
        if !is_short(character) {
            return None;
        }
        lower |= character.is_ascii_lowercase();
        upper |= character.is_ascii_uppercase();
        *byte = character.to_ascii_uppercase() as u8;
    }
    (!(lower && upper)).then_some(lower)
}

/// Copies what fits of a part into a short name; whether that is all of it, but for the case.
fn squeeze(units: &[u16], to: &mut [u8]) -> bool {
    let mut len = 0;
    let mut is_whole = true;
    for character in char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or('_')) {
        if matches!(character, ' ' | '.') {
            is_whole = false;
            continue;
        }
        let Some(byte) = to.get_mut(len) else { return false };
        is_whole &= is_short(character);
        *byte = if is_short(character) { character.to_ascii_uppercase() as u8 } else { b'_' };
        len += 1;
    }
    is_whole
}

/// Makes characters equal that differ in case alone.
fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_uppercase();
    }
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    fn text_of(short: Short) -> Option<String> {
        short.units().map(|units| text(units.units()))
    }

    fn short(text: &str) -> Option<(&'static str, u8)> {
        let short = name(text).as_short()?;
        Some((alloc::boxed::Box::leak(String::from_utf8_lossy(&short.bytes).into_owned().into_boxed_str()), short.case))
    }

    #[test]
    fn names_that_are_short_need_nothing_else() {
        assert_eq!(short("README.TXT"), Some(("README  TXT", 0)));
        assert_eq!(short("readme.TXT"), Some(("README  TXT", LOWER_BASE)));
        assert_eq!(short("README.txt"), Some(("README  TXT", LOWER_EXTENSION)));
        assert_eq!(short("a"), Some(("A          ", LOWER_BASE)));
        for long in ["Readme.txt", "a b", "a.text", "longer-than-eight", "two.dots.txt", ".profile", "ä", "a+b"] {
            assert_eq!(short(long), None, "{long}");
        }
    }

    #[test]
    fn short_names_survive() {
        for text in ["README.TXT", "readme.TXT", "README.txt", "a", "~1", "{A}.B"] {
            assert_eq!(text_of(name(text).as_short().unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn aliases_are_made_of_what_fits() {
        assert_eq!(numbered(name("Read me.text").basis().0, 1), *b"README~1TEX");
        assert_eq!(numbered(name("longer-than-eight").basis().0, 12), *b"LONGE~12   ");
        assert_eq!(numbered(name("äöü").basis().0, 999_999), *b"_~999999   ");
        assert_eq!(numbered(name(".profile").basis().0, 1), *b"PROFIL~1   ");
        assert_eq!(name("Readme.txt").basis(), (*b"README  TXT", true));
        assert_eq!(&hashed(name("x").basis().0, &name("x"), 0)[..2], b"X_");
    }

    #[test]
    fn names_that_other_systems_could_not_use_are_refused() {
        for text in ["", ".", "..", "a.", "a ", "a/b", "a:b", "a\\b", "\n", "\0"] {
            assert_eq!(Name::parse(text.as_bytes()).err(), Some(Error::InvalidName), "{text:?}");
        }
        assert_eq!(Name::parse(&[0xff]).err(), Some(Error::InvalidName));
        assert!(Name::parse(&[b'a'; 255]).is_ok());
        assert_eq!(Name::parse(&[b'a'; 256]).err(), Some(Error::NameTooLong));
        // Two units each.
        assert_eq!(Name::parse("😀".repeat(128).as_bytes()).err(), Some(Error::NameTooLong));
    }

    #[test]
    fn names_on_the_disk_that_would_be_paths_are_not_believed() {
        let is_name = |text: &str| checked(&text.encode_utf16().collect::<Vec<_>>()).is_some();
        for text in ["", ".", "..", "a/b", "a\nb"] {
            assert!(!is_name(text), "{text:?}");
        }
        assert!(is_name("a."));
        assert!(checked(&[0xd800]).is_some_and(|units| text(units) == "\u{fffd}"));
        assert_eq!(checked(&[0x61, 0, 0x2f]), Some(&[0x61][..]));
        assert!(checked(&[0x61; LONGEST]).is_some() && checked(&[0x61; LONGEST + 1]).is_none());
    }

    #[test]
    fn case_makes_no_difference() {
        let [upper, lower] = ["Straße Ä.TXT", "straße ä.txt"].map(name);
        assert!(are_same(upper.units(), lower.units()));
        assert_eq!(hash(upper.units()), hash(lower.units()));
        let [one, other] = ["a", "b"].map(name);
        assert!(!are_same(one.units(), other.units()));
        assert_ne!(hash(one.units()), hash(other.units()));
    }

    #[test]
    fn any_short_name_decodes_to_a_name_or_none() {
        for byte in 0..=255 {
            let _ = Short { bytes: [byte; 11], case: 0xff }.units();
        }
        assert_eq!(text_of(Short { bytes: *b"\x05\x80      \x9a  ", case: 0 }).unwrap(), "σÇ.Ü");
        assert_eq!(text_of(Short { bytes: [b' '; 11], case: 0 }), None);
    }

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(Short { bytes: *b"FILENAMETXT", case: 0 }.checksum(), {
            let mut sum = 0u8;
            for &byte in b"FILENAMETXT" {
                sum = ((sum & 1) << 7).wrapping_add(sum >> 1).wrapping_add(byte);
            }
            sum
        });
    }
}
