//! The other end of a guest's network card.
//!
//! ```text
//!   user    guest 10.0.2.15 -- slirp inside QEMU -- 127.0.0.1:PORT      no rights needed; slirp copies and has no offloads
//!   tap     guest 10.7.N.15 -- tapN 10.7.N.2                            the host's own TCP; needs a network namespace
//! ```
//!
//! Tap devices are made in a network namespace that belongs to this program alone: [`enter_namespace`] starts the
//! program again inside one, so nothing on the host changes and nothing is left behind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// Environment variable that says "already inside".
const INSIDE: &str = "TORO_BENCH_NAMESPACE";

/// Kinds of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Netdev {
    /// QEMU user networking (slirp), port forwarded
    User,
    /// Tap device in a network namespace of its own
    Tap,
}

impl Netdev {
    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Tap => "tap",
        }
    }
}

/// A network for one guest.
#[derive(Debug)]
pub struct Link {
    kind: Netdev,
    /// Number of the tap device, or the forwarded port.
    number: u16,
}

impl Link {
    /// Makes a network of the given kind; `index` tells networks that exist at the same time apart.
    ///
    /// # Errors
    ///
    /// No free port, or the tap device cannot be created.
    pub fn create(kind: Netdev, index: u8) -> Result<Self> {
        match kind {
            Netdev::User => {
                let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
                Ok(Self { kind, number: probe.local_addr()?.port() })
            }
            Netdev::Tap => {
                let name = format!("tap{index}");
                ip(&["tuntap", "add", &name, "mode", "tap"])?;
                ip(&["addr", "add", &format!("10.7.{index}.2/24"), "dev", &name])?;
                ip(&["link", "set", &name, "up"])?;
                Ok(Self { kind, number: index.into() })
            }
        }
    }

    /// The argument of `-netdev`; the card refers to it as `net` and its number among the guest's cards.
    pub fn netdev(&self, card: usize) -> String {
        match self.kind {
            Netdev::User => format!("user,id=net{card},hostfwd=tcp:127.0.0.1:{}-:80", self.number),
            Netdev::Tap => format!("tap,id=net{card},ifname=tap{},script=no,downscript=no", self.number),
        }
    }

    /// Where the guest's port 80 is reached.
    pub fn server(&self) -> SocketAddr {
        match self.kind {
            Netdev::User => (Ipv4Addr::LOCALHOST, self.number).into(),
            Netdev::Tap => (self.guest(), 80).into(),
        }
    }

    /// Kind of this network.
    pub fn kind(&self) -> Netdev {
        self.kind
    }

    /// Address that the guest has (slirp) or must give itself (tap), in a network of 24 bits.
    pub fn guest(&self) -> Ipv4Addr {
        self.address(15)
    }

    /// The host's address as the guest sees it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(2)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        match (self.kind, u8::try_from(self.number)) {
            (Netdev::Tap, Ok(index)) => Ipv4Addr::new(10, 7, index, host),
            _ => Ipv4Addr::new(10, 0, 2, host),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.kind == Netdev::Tap {
            // The namespace would take it along at the end; the next guest may want the name before that.
            let _ = ip(&["link", "delete", &format!("tap{}", self.number)]);
        }
    }
}

/// Starts this program again in a network namespace of its own, unless it runs in one already. Returns only inside.
///
/// # Errors
///
/// The namespace cannot be made: it takes root, or a kernel that lets users make namespaces.
pub fn enter_namespace() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return ip(&["link", "set", "lo", "up"]);
    }
    let program = std::env::current_exe().context("own path")?;
    let error =
        Command::new("unshare").arg("--net").arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    Err(error).context("cannot run unshare (Debian: apt install util-linux)")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("cannot run ip (Debian: apt install iproute2)")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {} (tap needs root)", arguments.join(" "), reason.trim());
    }
    Ok(())
}
