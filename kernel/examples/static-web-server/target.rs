//! From a request target to a path inside the share (RFC 9112 §3.2, RFC 3986).
//!
//! ```text
//!   /a%20b/./c/../d?x=1     ->  path "/a b/d", query "x=1", a file is meant
//!   http://host/a/          ->  path "/a",     no query,    a directory is meant
//!   /../etc                 ->  refused: climbs above the root
//! ```
//!
//! The target is split at slashes *before* its percent escapes are decoded, so an escaped slash is part
//! of a name, and as no file's name can hold a slash, such a target does not exist (404). Dots count
//! whether they are escaped or not. Empty segments vanish, so the path never begins with two slashes,
//! which a browser would take for the name of another host when the path comes back in a redirect. A
//! backslash is an ordinary character of a name, as it is on the host's file systems.
//!
//! The result has no `.`, `..`, empty component or NUL: it names something below the root, and the file
//! system behind it is a jail besides. Names are bytes; whether they are UTF-8 is nobody's business here.

use alloc::vec::Vec;

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Not an origin-form or absolute-form target, a bad percent escape, a NUL, or a climb above the
    /// root: 400.
    Malformed,
    /// Well formed, but no file can have this name: 404.
    Unnameable,
}

/// Whether the target ended with a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slash {
    /// It did: a directory is meant.
    Trailing,
    /// It did not: a file is meant.
    Absent,
}

/// A target that was understood; its path is in the buffer that [`parse`] was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Whether a directory is asked for.
    pub slash: Slash,
    /// What followed the question mark, as it was sent.
    pub query: Option<&'a str>,
}

/// Decodes `target` into `path`, which is cleared first and holds `/`, or `/` before every component.
///
/// # Errors
/// [`TargetError`]; `path` is then unspecified.
pub fn parse<'a>(target: &'a str, path: &mut Vec<u8>) -> Result<Target<'a>, TargetError> {
    path.clear();
    let local = origin_form(target)?;
    if local.contains('#') {
        return Err(TargetError::Malformed);
    }
    let (encoded, query) = match local.split_once('?') {
        Some((encoded, query)) => (encoded, Some(query)),
        None => (local, None),
    };
    let mut slash = Slash::Trailing;
    for segment in encoded.as_bytes().split(|byte| *byte == b'/') {
        slash = Slash::Trailing;
        let before = path.len();
        path.push(b'/');
        decode(segment, path)?;
        match path.get(before + 1..).unwrap_or_default() {
            b"" | b"." => path.truncate(before),
            b".." => {
                path.truncate(before);
                if path.is_empty() {
                    return Err(TargetError::Malformed);
                }
                let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path.truncate(parent);
            }
            name if name.contains(&b'/') => return Err(TargetError::Unnameable),
            _ => slash = Slash::Absent,
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
    Ok(Target { slash, query })
}

/// The path and query of a target; the authority of an absolute-form target is checked by its shape only,
/// as this server is the same for every host name.
fn origin_form(target: &str) -> Result<&str, TargetError> {
    if target.starts_with('/') {
        return Ok(target);
    }
    let scheme = "http://";
    let (start, rest) = target.split_at_checked(scheme.len()).ok_or(TargetError::Malformed)?;
    if !start.eq_ignore_ascii_case(scheme) {
        return Err(TargetError::Malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, local) = rest.split_at(end);
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(TargetError::Malformed);
    }
    // "http://host" and "http://host?x" mean "/" and "/?x"; the empty path decodes to the root.
    Ok(local)
}

/// Whether `text` could be `host` or `host:port`; user names do not belong into HTTP requests.
pub fn is_authority(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), TargetError> {
    let mut bytes = segment.iter().copied();
    while let Some(byte) = bytes.next() {
        let decoded = if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or(TargetError::Malformed)?;
            let low = bytes.next().and_then(hex_digit).ok_or(TargetError::Malformed)?;
            high << 4 | low
        } else {
            byte
        };
        if decoded == 0 {
            return Err(TargetError::Malformed);
        }
        out.push(decoded);
    }
    Ok(())
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `text` to `out` with everything escaped that is not a letter, a digit or one of `-._~` and `keep`.
pub fn encode(text: &[u8], keep: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
