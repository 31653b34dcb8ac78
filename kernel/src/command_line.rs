//! The guest command line: words separated by blanks, options as `key=value`.
//!
//! A word may be quoted, or have a quoted value, with double quotes as in Linux: `root="a b"` is the option `root` with
//! the value `a b`. Of an option given twice the last one counts, so that a user can append to what a script wrote.
//!
//! # Words for Linux
//!
//! Monitors append words of their own. Firecracker's `virtio_mmio.device=` and `pci=off` are read by the buses. With a root
//! drive it also says `root=/dev/vda` and `ro` or `rw`, which name Linux' device files, of which there are none here: as an
//! option, `root=/dev/...` is passed over, so that an application may have one called `root`.

/// The words of `line` in order, quotes removed.
pub fn words(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = line;
    core::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = rest
            .find(|character: char| {
                quoted ^= character == '"';
                character.is_ascii_whitespace() && !quoted
            })
            .unwrap_or(rest.len());
        // What was found is between two characters, but to panic where it is not takes as much room as all of this file.
        let (word, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = tail;
        Some(match word.split_once('=') {
            Some((key, value)) => (unquote(key), Some(unquote(value))),
            None => (unquote(word), None),
        })
    })
}

/// Every value of the words `key=value`, in order, but for those that are for Linux.
pub fn options<'a>(line: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let is_for_linux = |name: &str, value: &str| name == "root" && value.starts_with("/dev/");
    words(line)
        .filter(move |&(name, _)| name == key)
        .filter_map(move |(name, value)| value.filter(|value| !is_for_linux(name, value)))
}

/// The value of the last word `key=value`, but for those that are for Linux.
pub fn option<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    options(line, key).last()
}

/// Whether the word `name` stands on the line by itself.
pub fn flag(line: &str, name: &str) -> bool {
    words(line).any(|(word, value)| word == name && value.is_none())
}

/// A number: decimal, or hexadecimal with `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // `from_str_radix` would take a sign.
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

fn unquote(text: &str) -> &str {
    let text = text.strip_prefix('"').unwrap_or(text);
    text.strip_suffix('"').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_blanks_and_options_at_the_first_equals_sign() {
        let words: Vec<_> = words("  quiet\tlog=info virtio_mmio.device=4K@0xc0001000:5 expr=a=b \n").collect();
        let expected = [
            ("quiet", None),
            ("log", Some("info")),
            ("virtio_mmio.device", Some("4K@0xc0001000:5")),
            ("expr", Some("a=b")),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn quotes_hold_blanks_together_and_go_away() {
        let line = r#"root="a b" "two words" empty="" open="x y"#;
        assert_eq!(option(line, "root"), Some("a b"));
        assert!(flag(line, "two words"));
        assert_eq!(option(line, "empty"), Some(""));
        assert_eq!(option(line, "open"), Some("x y"));
    }

    #[test]
    fn the_last_of_several_options_counts() {
        assert_eq!(option("log=off a log=debug log", "log"), Some("debug"));
        assert_eq!(option("xlog=off", "log"), None);
        assert!(flag("log=off log", "log") && !flag("log=off", "log"));
    }

    #[test]
    fn a_root_device_for_linux_is_no_option() {
        assert_eq!(option("root=/www pci=off root=/dev/vda rw", "root"), Some("/www"));
        assert_eq!(option("root=/dev/vda ro", "root"), None);
        assert_eq!(option("root=/devices x=/dev/vda", "root"), Some("/devices"));
        assert_eq!(option("root=/devices x=/dev/vda", "x"), Some("/dev/vda"));
    }

    #[test]
    fn an_empty_line_has_no_words() {
        assert_eq!(words(" \t ").count(), 0);
    }
}
