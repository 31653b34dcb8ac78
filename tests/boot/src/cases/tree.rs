//! Trees of files, and fetching them all.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A file to make: its path below the root, and its length.
pub type Plan = (String, usize);

/// A thousand files from 0 bytes to 64 MiB, with spaces, non-ASCII letters and long paths in their names.
pub fn thousand() -> Vec<Plan> {
    const LARGE: [usize; 8] = [64 << 20, 16 << 20, 8 << 20, 4 << 20, (2 << 20) + 1, 1 << 20, (1 << 20) - 1, 300_001];
    const NAMES: [&str; 8] =
        ["plain", "with space", "ünïcödé", "日本語", "per%cent", "ques?tion#hash", "plus+and&amp;", "quote'\"<angle>"];
    let mut plans: Vec<Plan> = LARGE.iter().map(|&length| (format!("large/{length}.bin"), length)).collect();
    for number in plans.len()..1000 {
        let name = NAMES[number % NAMES.len()];
        let length = match number % 10 {
            0 => 0,
            1 => 1,
            2 => 4096,
            3 => 4095,
            4 => 4097,
            // Spread over 0 to 64 KiB.
            _ => number.wrapping_mul(2_654_435_761) % 65_536,
        };
        let directory = match number % 5 {
            0 => String::new(),
            1 => "sub directory/".to_owned(),
            2 => format!("{name}/{}/", number % 7),
            3 => "deep/".repeat(40),
            _ => format!("{}/", "long-".repeat(50)),
        };
        plans.push((format!("{directory}{name} {number}.dat"), length));
    }
    plans
}

/// A few files, small and not so small.
pub fn few() -> Vec<Plan> {
    vec![("empty".to_owned(), 0), ("small.txt".to_owned(), 4096), ("a b/ü.bin".to_owned(), 3_000_001)]
}

/// A tree on disk; removed when dropped.
pub struct Tree {
    directory: tempfile::TempDir,
    plans: Vec<Plan>,
}

impl Tree {
    /// Writes the files, each with bytes of its own.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn build(plans: &[Plan]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (number, (name, length)) in plans.iter().enumerate() {
            let path = directory.path().join(name);
            let parent = path.parent().ok_or("a file has a directory")?;
            fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
            fs::write(&path, contents(number as u64, *length)).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(Self { directory, plans: plans.to_vec() })
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fetches every file with one curl, which keeps its connection, and compares each with what was written.
    ///
    /// # Errors
    ///
    /// What curl says, or the first file that differs.
    pub fn fetch_and_compare(&self, url: &str) -> Result<(), String> {
        let fetched = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut config = String::new();
        for (number, (name, _)) in self.plans.iter().enumerate() {
            let output = fetched.path().join(number.to_string());
            config += &format!("url = \"{url}{}\"\noutput = \"{}\"\n", encode(name), output.display());
        }
        let config_file = fetched.path().join("config");
        fs::write(&config_file, config).map_err(|error| error.to_string())?;
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--path-as-is", "--max-time", "600", "--config"])
            .arg(&config_file)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("curl: {error}"))?;
        if !output.status.success() {
            return Err(format!("curl: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        for (number, (name, length)) in self.plans.iter().enumerate() {
            // Curl makes no file for an empty body in some versions.
            let got = fs::read(fetched.path().join(number.to_string())).unwrap_or_default();
            if got != contents(number as u64, *length) {
                return Err(format!("{name}: {} bytes came, {length} are there, or they differ", got.len()));
            }
        }
        Ok(())
    }
}

/// Bytes that belong to one file: no other has the same, and no part repeats soon.
fn contents(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A path with everything percent-encoded that is not plain.
fn encode(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_names_are_all_different() {
        let mut names: Vec<_> = thousand().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 1000);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn names_are_encoded_by_byte() {
        assert_eq!(encode("a b/ü%"), "a%20b/%C3%BC%25");
    }
}
