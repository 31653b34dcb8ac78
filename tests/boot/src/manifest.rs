//! What a guest says that is in a directory, against what the host's own tools find there.
//!
//! The guest's manifest is described in `kernel/examples/fs-check/manifest.rs`. Here `find`, `sha256sum` and `getfattr` say
//! the same in their words, and both are made lines of one form, sorted, and compared.

use std::path::Path;
use std::process::Command;

/// Compares the manifest in the file `manifest` with what is below `directory`.
///
/// # Errors
///
/// The first lines that only one of the two has.
pub fn compare(manifest: &Path, directory: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let theirs: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let has_xattrs = theirs.iter().any(|line| line.starts_with("x "));
    differ(theirs, of_host(directory, has_xattrs)?)
}

/// Compares a manifest with what tools without permissions have copied to `directory`: names, kinds, lengths and contents.
///
/// # Errors
///
/// The first lines that only one of the two has.
pub fn compare_contents(manifest: &str, directory: &Path) -> Result<usize, String> {
    let theirs = manifest.lines().map(without_permissions).collect();
    differ(theirs, of_host(directory, false)?.iter().map(|line| without_permissions(line)).collect())
}

/// A line without its mode and its number of links.
fn without_permissions(line: &str) -> String {
    let words = line.split(' ').enumerate().filter(|(place, _)| !matches!(place, 1 | 3));
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// Sorts and compares; the number of lines that are the same.
fn differ(mut guest: Vec<String>, mut host: Vec<String>) -> Result<usize, String> {
    // What the host's security modules attach is theirs.
    guest.retain(|line| !line.starts_with("x security."));
    guest.sort();
    host.sort();
    if guest == host {
        return Ok(guest.len());
    }
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| those.binary_search(line).is_err()).take(5).cloned().collect()
    };
    Err(format!(
        "the guest has {} lines, the host {}; only the guest says {:#?}, only the host {:#?}",
        guest.len(),
        host.len(),
        only(&guest, &host),
        only(&host, &guest)
    ))
}

/// The lines that the host's tools make.
fn of_host(directory: &Path, has_xattrs: bool) -> Result<Vec<String>, String> {
    let found = run(Command::new("find").arg(directory).args(["-mindepth", "1", "-printf", r"%y %m %s %n %l\0%P\0"]))?;
    let mut fields = found.split(|&byte| byte == 0);
    let (mut lines, mut files) = (Vec::new(), Vec::new());
    while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
        let head = String::from_utf8_lossy(head).into_owned();
        let words: Vec<&str> = head.splitn(5, ' ').collect();
        let [kind, mode, length, links, target] = words[..] else { return Err(format!("find: {head:?}")) };
        let mode = u32::from_str_radix(mode, 8).map_err(|error| format!("find: {mode}: {error}"))?;
        let (name, target) = (encoded(path), encoded(target.as_bytes()));
        lines.push(match kind {
            "f" => {
                files.push((path.to_vec(), format!("f {:o} {length} {links}", 0o100_000 | mode)));
                continue;
            }
            "d" => format!("d {:o} - {links} - {name}", 0o040_000 | mode),
            "l" => format!("l {:o} {length} {links} {target} {name}", 0o120_000 | mode),
            "p" => format!("p {:o} - {links} - {name}", 0o010_000 | mode),
            "s" => format!("p {:o} - {links} - {name}", 0o140_000 | mode),
            other => return Err(format!("find: there is a {other} at {name}")),
        });
    }
    for part in files.chunks(100) {
        let mut command = Command::new("sha256sum");
        command.args(["--zero", "--"]).current_dir(directory);
        command.args(part.iter().map(|(path, _)| <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path)));
        let sums = run(&mut command)?;
        for ((path, start), line) in part.iter().zip(sums.split(|&byte| byte == 0)) {
            let sum = line.get(..64).map(String::from_utf8_lossy).ok_or("sha256sum: a line without a sum")?;
            lines.push(format!("{start} {sum} {}", encoded(path)));
        }
    }
    if has_xattrs {
        lines.extend(xattrs(directory)?);
    }
    Ok(lines)
}

/// The lines for extended attributes: `getfattr` prints a path behind `# file: `, then `name=0x...` for each.
fn xattrs(directory: &Path) -> Result<Vec<String>, String> {
    let mut command = Command::new("getfattr");
    command.args(["--recursive", "--physical", "--no-dereference", "--dump", "--match=^user", "--encoding=hex", "."]);
    let output = run(command.current_dir(directory))?;
    let (mut path, mut lines) = (String::new(), Vec::new());
    for line in output.split(|&byte| byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"# file: ") {
            path = encoded(&unquoted(name.strip_prefix(b"./").unwrap_or(name)));
        } else if let Some(place) = line.iter().position(|&byte| byte == b'=') {
            let (name, value) = line.split_at(place);
            let digits = value.strip_prefix(b"=0x").unwrap_or_default();
            let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).ok();
            let value: Vec<u8> = digits.chunks(2).filter_map(byte).collect();
            lines.push(format!("x {} {} {path}", encoded(&unquoted(name)), encoded(&value)));
        } else if !line.is_empty() {
            // A name without a value.
            lines.push(format!("x {} % {path}", encoded(&unquoted(line))));
        }
    }
    Ok(lines)
}

/// Undoes the backslashes of `getfattr`, which are followed by three octal digits.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..3).filter(|_| byte == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    bytes
}

/// Percent-encodes what is not plain, as the guest does.
fn encoded(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "%".to_owned();
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    bytes
        .iter()
        .map(|&byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.env("LC_ALL", "C").output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_host_say_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a directory")).unwrap();
        std::fs::write(directory.path().join("a directory/file"), "abc").unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("a directory/link")).unwrap();
        let mut lines = of_host(directory.path(), false).unwrap();
        lines.sort();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let is = |line: &str, start: &str, end: &str| line.starts_with(start) && line.ends_with(end);
        assert!(is(&lines[0], "d 40", " - 2 - a%20directory"), "{lines:?}");
        assert!(is(&lines[1], "f 100", &format!(" 3 1 {sum} a%20directory/file")), "{lines:?}");
        assert_eq!(lines[2], "l 120777 4 1 file a%20directory/link");
    }

    #[test]
    fn a_line_that_only_one_has_is_found() {
        let lines = |text: &str| text.split(',').map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(differ(lines("b,a,x security.selinux 1 a"), lines("a,b")), Ok(2));
        let wrong = differ(lines("a,b"), lines("a,c")).unwrap_err();
        assert!(wrong.contains("only the guest says [\n    \"b\",\n], only the host [\n    \"c\",\n]"), "{wrong}");
    }

    #[test]
    fn contents_are_compared_without_permissions() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("d/file"), "abc").unwrap();
        let of = |length: u32| {
            let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            compare_contents(&format!("d 40777 - 1 - d\nf 100666 {length} 1 {sum} d/file\n"), directory.path())
        };
        assert_eq!(of(3), Ok(2));
        assert!(of(4).unwrap_err().contains("only the host [\n    \"f 3 "));
    }

    #[test]
    fn octal_codes_of_getfattr_are_undone() {
        assert_eq!(unquoted(br"a\040b\134c\"), br"a b\c\");
    }
}
