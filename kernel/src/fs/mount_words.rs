//! Words of the command line: `mount=NAME:/PATH`, where what has that name shall be mounted, and `fs.cache=BYTES|off`, how
//! much of files may be remembered.

use alloc::string::String;
use alloc::vec::Vec;

/// The path for what is called `name`.
pub fn path_for<'w>(words: impl IntoIterator<Item = &'w str>, name: &[u8]) -> Option<&'w str> {
    let mut pairs = words.into_iter().filter_map(|word| word.split_once(':'));
    pairs.find(|(named, _)| named.as_bytes() == name).map(|(_, path)| path)
}

/// The words that are for none of `names`, or that say no path.
pub fn useless<'w>(words: impl IntoIterator<Item = &'w str>, names: &[String]) -> Vec<&'w str> {
    let is_useless = |word: &&str| word.split_once(':').is_none_or(|(named, _)| names.iter().all(|name| name != named));
    words.into_iter().filter(is_useless).collect()
}

/// How many bytes a cache may take, as a word says it: a number, perhaps with `K` or `M` behind it, or `off`. `None` for a word
/// that says nothing of the kind.
pub fn cache_bytes(word: &str) -> Option<usize> {
    if word == "off" {
        return Some(0);
    }
    let (digits, unit) = match word.strip_suffix(['K', 'M']) {
        Some(digits) => (digits, if word.ends_with('K') { 1 << 10 } else { 1 << 20 }),
        None => (word, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 4] = ["data:/data", "virtio-blk0p1:/a:b", "virtio-blk0", "virtio-blk01:/c"];

    #[test]
    fn the_first_word_with_a_name_says_its_path() {
        assert_eq!(path_for(WORDS, b"data"), Some("/data"));
        assert_eq!(path_for(WORDS, b"virtio-blk0p1"), Some("/a:b"));
        assert_eq!(path_for(WORDS, b"virtio-blk0"), None);
        assert_eq!(path_for(["x:/1", "x:/2"], b"x"), Some("/1"));
    }

    #[test]
    fn a_cache_has_a_size_or_is_off() {
        assert_eq!(["off", "0", "4096", "64K", "8M"].map(cache_bytes), [0, 0, 4096, 65_536, 8 << 20].map(Some));
        let wrong = ["", "K", "on", "-1", "1G", "1 M", "99999999999999999999", "99999999999999M"];
        assert_eq!(wrong.map(cache_bytes), [None; 8]);
    }

    #[test]
    fn words_for_what_is_not_there_or_to_nowhere_are_useless() {
        let names = ["data", "virtio-blk0", "virtio-blk0p1"].map(String::from);
        assert_eq!(useless(WORDS, &names), ["virtio-blk0", "virtio-blk01:/c"]);
        assert_eq!(useless(WORDS, &[]), WORDS);
    }
}
