//! Cables: from one interface to another, as a wire leads from one card to another.
//!
//! ```text
//!   near interface === QEMU without a machine === far interface           (two tap interfaces without virtio headers)
//!                       |
//!                       +-- a recording of every frame
//! ```
//!
//! Between interfaces of one host, Linux hands frames on as they are: of up to 64 KiB, with checksums still to be filled in.
//! Only before a card that can do neither does it cut them and sum them up. A tap interface without virtio headers is such a
//! card. So what is recorded here is what a real network would see, and what is wrong in it would have been wrong there.
//!
//! QEMU's hub joins the two, and its `filter-dump` records; it is here anyway, and loses no frame as a capture may.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::succeed;
use crate::tool::Tool;

/// How long QEMU may take to make its interfaces.
const PATIENCE: Duration = Duration::from_secs(60);

/// A QEMU that does nothing but hand frames from one of its networks to the other. It ends with this.
#[derive(Debug)]
pub struct Cable {
    qemu: Child,
    recording: Option<PathBuf>,
}

impl Cable {
    /// A cable between two new interfaces of these names, which are down, recorded in a file.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn between(tool: &Tool, near: &str, far: &str, recording: &Path) -> Result<Self, String> {
        let tap = |name: &str| format!("tap,ifname={name},script=no,downscript=no,vhost=off,vnet_hdr=off");
        let cable = Self::join(tool, [&tap(near), &tap(far)], Some(recording))?;
        cable.await_interfaces(&[near, far])
    }

    /// A cable between a new interface of this name, which is down, and UDP datagrams of one frame each: sent to `to` and
    /// received at `at`, both ports of this host.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn to_datagrams(tool: &Tool, interface: &str, at: u16, to: u16) -> Result<Self, String> {
        let tap = format!("tap,ifname={interface},script=no,downscript=no,vhost=off,vnet_hdr=off");
        let cable = Self::join(tool, [&tap, &datagrams(at, to)], None)?;
        cable.await_interfaces(&[interface])
    }

    /// A cable between a new interface of this name, which is down, and a stream to a port of this host, of frames with their
    /// lengths in front.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn to_stream(tool: &Tool, interface: &str, port: u16) -> Result<Self, String> {
        let tap = format!("tap,ifname={interface},script=no,downscript=no,vhost=off,vnet_hdr=off");
        let cable = Self::join(tool, [&tap, &format!("socket,connect=127.0.0.1:{port}")], None)?;
        cable.await_interfaces(&[interface])
    }

    fn join(tool: &Tool, ends: [&str; 2], recording: Option<&Path>) -> Result<Self, String> {
        let mut command = Command::new(tool.program());
        command.args(["bound", &std::process::id().to_string(), "kill", "--", "qemu-system-x86_64"]);
        command.args(["-machine", "none", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"]);
        for (number, end) in ends.iter().enumerate() {
            command.args(["-netdev", &format!("{end},id=end{number}")]);
            command.args(["-netdev", &format!("hubport,id=port{number},hubid=0,netdev=end{number}")]);
        }
        if let Some(file) = recording {
            command.args(["-object", &format!("filter-dump,id=dump,netdev=port0,file={}", file.display())]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let qemu = command.spawn().map_err(|error| format!("a cable: {error}"))?;
        Ok(Self { qemu, recording: recording.map(Into::into) })
    }

    fn await_interfaces(mut self, names: &[&str]) -> Result<Self, String> {
        let deadline = Instant::now() + PATIENCE;
        let exists = |name: &&str| {
            let mut ip = Command::new("ip");
            ip.args(["link", "show", "dev", name]).output().is_ok_and(|output| output.status.success())
        };
        while !names.iter().all(exists) {
            if let Ok(Some(status)) = self.qemu.try_wait() {
                return Err(format!("a cable: QEMU ended, {status}"));
            }
            if Instant::now() >= deadline {
                return Err("a cable: QEMU makes no interface".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self)
    }

    /// Ends the cable; gives what was recorded, if it was.
    pub fn end(mut self) -> Option<Recording> {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        self.recording.take().map(|file| Recording { file })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// QEMU's words for a network of datagrams: one frame each, sent to the port `to` and received at `at`.
pub fn datagrams(at: u16, to: u16) -> String {
    format!("socket,udp=127.0.0.1:{to},localaddr=127.0.0.1:{at}")
}

/// A segment of TCP that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who has sent it.
    pub source: IpAddr,
    /// Bytes of its frame.
    pub frame: usize,
    /// Bytes of data.
    pub data: usize,
    /// What tshark thinks of its checksum.
    pub checksum: Checksum,
}

/// What is thought of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Good,
    /// It is wrong, or yet to be filled in.
    Other,
}

/// Frames in a file.
#[derive(Clone, Debug)]
pub struct Recording {
    file: PathBuf,
}

/// What no frame on a network may be: cut short, not understood, or with a checksum that is wrong. A sum of zero may also be
/// written as its complement, as Linux does for TCP, too: one segment in 65,536 (RFC 1624 §3).
pub const WRONG: &str = "_ws.malformed || ip.checksum.status == \"Bad\" || \
                         (tcp.checksum.status == \"Bad\" && !tcp.checksum.ffff) || \
                         udp.checksum.status == \"Bad\" || icmpv6.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\"";

impl Recording {
    /// What was recorded in `file` before.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The frames that match a display filter of tshark's, a line each. Checksums of all protocols are checked.
    ///
    /// # Errors
    ///
    /// What tshark says.
    pub fn frames(&self, filter: &str) -> Result<Vec<String>, String> {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file).args(["-Y", filter]);
        for protocol in ["ip", "tcp", "udp"] {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        Ok(succeed(&mut command)?.lines().map(str::to_owned).collect())
    }

    /// All segments of TCP.
    ///
    /// # Errors
    ///
    /// What tshark says.
    pub fn segments(&self) -> Result<Vec<Segment>, String> {
        let fields = ["frame.len", "ip.src", "ipv6.src", "tcp.len", "tcp.checksum.ffff", "tcp.checksum.status"];
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file).args([
            "-Y",
            "tcp",
            "-T",
            "fields",
            "-o",
            "tcp.check_checksum:TRUE",
        ]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let text = succeed(&mut command)?;
        let segment = |line: &str| {
            let words: Vec<_> = line.split('\t').collect();
            let &[frame, v4, v6, data, is_other_zero, checksum] = &words[..] else { return None };
            let is_good = checksum == "1" || !is_other_zero.is_empty();
            let checksum = if is_good { Checksum::Good } else { Checksum::Other };
            let source = format!("{v4}{v6}").parse().ok()?;
            Some(Segment { source, frame: frame.parse().ok()?, data: data.parse().ok()?, checksum })
        };
        text.lines().map(|line| segment(line).ok_or_else(|| format!("tshark says {line:?}"))).collect()
    }

    /// Checks that a recording holds frames, and nothing that is [`WRONG`].
    ///
    /// # Errors
    ///
    /// The frames.
    pub fn expect_right(&self) -> Result<(), String> {
        let wrong = self.frames(WRONG)?;
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{} wrong frames: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]))
        }
    }
}
