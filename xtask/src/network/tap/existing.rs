//! Interfaces that the host has: what `ip` says of them.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::words::Subnet;
use crate::exit::Failure;

/// A tap interface that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Whether frames pass.
    pub state: State,
    /// How it was made.
    pub queues: Queues,
    /// Who may use it without capabilities.
    pub owner: Owner,
    /// The host's address in the network, if a guest can have one beside it.
    pub address: Option<Subnet>,
}

/// Whether frames pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do.
    Up,
    /// They do not.
    Down,
}

/// How many queues an interface was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queues {
    /// One only.
    One,
    /// As many as are opened, at least two.
    Several,
}

/// Who may use an interface without capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user or a group.
    Somebody,
    /// No one.
    Nobody,
}

impl Existing {
    /// From the description of one interface; none if it is no tap.
    pub fn read(description: &Value) -> Option<Self> {
        let interface = description.as_array()?.iter().find(|interface| interface["ifname"].is_string())?;
        let data = &interface["linkinfo"]["info_data"];
        if interface["linkinfo"]["info_kind"] != "tun" || data["type"] != "tap" {
            return None;
        }
        let is_up = interface["flags"].as_array()?.iter().any(|flag| flag == "UP");
        let is_owned = !data["user"].is_null() || !data["group"].is_null();
        Some(Self {
            state: if is_up { State::Up } else { State::Down },
            queues: if data["multi_queue"] == true { Queues::Several } else { Queues::One },
            owner: if is_owned { Owner::Somebody } else { Owner::Nobody },
            address: addresses(description).into_iter().find(|subnet| subnet.prefix <= 30),
        })
    }
}

/// Whether this network namespace has an interface of this name.
pub fn exists(name: &str) -> bool {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    table.lines().any(|line| line.split_once(':').is_some_and(|(known, _)| known.trim() == name))
}

/// What `ip` says, which is JSON.
pub fn ip(arguments: &[&str]) -> Result<Value, Failure> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::preparation(format!("cannot run ip: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::input(format!("ip {}: {}", arguments.join(" "), reason.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::preparation(format!("cannot read what ip says: {error}")))
}

/// The addresses of IPv4 in a description of interfaces.
pub fn addresses(description: &Value) -> Vec<Subnet> {
    let interfaces = description.as_array().into_iter().flatten();
    let infos = interfaces.filter_map(|interface| interface["addr_info"].as_array()).flatten();
    infos
        .filter(|info| info["family"] == "inet")
        .filter_map(|info| {
            let address = info["local"].as_str()?.parse().ok()?;
            let prefix = u8::try_from(info["prefixlen"].as_u64()?).ok().filter(|prefix| (1..=32).contains(prefix))?;
            Some(Subnet { address, prefix })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_described_by_ip() {
        let text = r#"[{}, {"ifname": "tap0", "flags": ["NO-CARRIER", "UP"], "linkinfo": {"info_kind": "tun",
            "info_data": {"type": "tap", "multi_queue": true, "user": "alice"}},
            "addr_info": [{"family": "inet6", "local": "fe80::1", "prefixlen": 64},
                          {"family": "inet", "local": "192.168.7.1", "prefixlen": 24}]}]"#;
        let description = serde_json::from_str(text).unwrap();
        let address = Some("192.168.7.1/24".parse().unwrap());
        let wanted = Existing { state: State::Up, queues: Queues::Several, owner: Owner::Somebody, address };
        assert_eq!(Existing::read(&description), Some(wanted));
        let other = r#"[{"ifname": "lo", "flags": ["UP"], "addr_info": []}]"#;
        assert_eq!(Existing::read(&serde_json::from_str(other).unwrap()), None);
        assert!(exists("lo") && !exists("no-such-one"));
    }
}
