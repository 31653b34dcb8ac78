//! The directory that guests serve, and the virtio-fs daemon that lends it to one guest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// Where distributions put the daemon: the one in Rust first, then the one in C that QEMU 7.2 still had.
const DAEMONS: [&str; 3] = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// Name of the file that is fetched.
pub const FILE_NAME: &str = "page";

/// What the guest may keep of what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cache {
    /// Nothing
    None,
    /// Attributes and names for a second, data until the file is opened again
    Auto,
    /// Everything for ever
    Always,
}

impl Cache {
    /// Its name, the same for every daemon.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

/// A directory with one file of `size` bytes that compress badly and differ everywhere.
pub fn create(directory: &Path, size: usize) -> Result<(PathBuf, Vec<u8>)> {
    let share = directory.join("share");
    std::fs::create_dir(&share).with_context(|| format!("cannot create {}", share.display()))?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(size)
    .collect();
    std::fs::write(share.join(FILE_NAME), &body).context("cannot write the file to serve")?;
    Ok((share, body))
}

/// One daemon for one guest. It ends by itself when QEMU closes the socket; dropping it makes sure.
pub struct Virtiofsd {
    process: Child,
    socket: PathBuf,
}

impl Virtiofsd {
    /// Starts a daemon that lends `share`, with its socket in `directory` under `name`.
    ///
    /// # Errors
    ///
    /// There is no daemon, or it ends or is silent instead of opening its socket.
    pub fn start(directory: &Path, name: &str, share: &Path, cache: Cache) -> Result<Self> {
        let Some(daemon) = DAEMONS.iter().find(|path| Path::new(path).exists()) else {
            bail!("no virtiofsd (Debian 12: apt install qemu-system-common; later releases: apt install virtiofsd)");
        };
        let socket = directory.join(format!("{name}.sock"));
        // A socket that an earlier run with this name left would pass for the new one.
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(daemon);
        command.arg(joined("--socket-path=", &socket));
        if daemon.contains("/qemu/") {
            command.arg("-o").arg(joined("source=", share));
            command.args(["-o", &format!("cache={}", cache.name()), "-o", "log_level=err", "-f"]);
        } else {
            command.arg(joined("--shared-dir=", share));
            command.args([&format!("--cache={}", cache.name()), "--log-level=error"]);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {daemon}"))?;
        let mut daemon_process = Self { process, socket };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !daemon_process.socket.exists() {
            if let Some(status) = daemon_process.process.try_wait()? {
                bail!("{daemon} ended at once ({status}); does it need root here?");
            }
            if Instant::now() > deadline {
                bail!("{daemon} does not open its socket");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(daemon_process)
    }

    /// The socket to hand to QEMU.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Virtiofsd {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Nobody ever connected, or the guest still runs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}
