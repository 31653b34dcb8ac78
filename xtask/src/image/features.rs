//! Which cargo features of `toro` an application is built with.
//!
//! An application in this workspace says in the `Cargo.toml` of `toro` what it uses, and its image holds no more:
//!
//! ```toml
//! [package.metadata.toro.applications.tcp-echo]
//! features = ["e1000", "virtio-net"]          # without this line: the default features
//! ```
//!
//! Some features are parts of the kernel ([`PARTS`]); an application that says them uses their functions, and `log-info` comes
//! with `--small`. The others are drivers, and what reads disks; these bring the parts that they need. `--drivers` replaces them
//! by others and leaves the parts. `--without` leaves out more, with all that needs it: whatever the application can be compiled
//! without. What it calls is not for its user to take away.
//!
//! An application in a directory of its own chooses in its own `Cargo.toml`.

use serde_json::Value;

use crate::cli::{Nic, RunArgs, VirtioInterface};
use crate::disk::DiskInterface;
use crate::exit::Failure;
use crate::network::NetworkOption;

/// Features that are no drivers.
const PARTS: [&str; 13] = [
    "block",
    "dns",
    "fs",
    "fs-mounts",
    "fs-notices",
    "fs-write",
    "ipv6",
    "log-info",
    "loopback",
    "multicast",
    "net",
    "ping",
    "segmentation",
];

/// The features for an application whose table in cargo's metadata is `table`; `None` for the default ones.
pub fn choose(table: &Value, drivers: Option<&[String]>) -> Option<Vec<String>> {
    let named = table["features"].as_array();
    let named = named.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
    let mut features = match (named, drivers) {
        (named, None) => named?,
        (named, Some(drivers)) => {
            let parts = named.into_iter().flatten().filter(|name| PARTS.contains(&name.as_str()));
            parts.chain(drivers.iter().cloned()).collect()
        }
    };
    // Cargo builds again what has other features, and only then.
    features.sort();
    features.dedup();
    Some(features)
}

/// Leaves `without`, and what needs it, out of the features of the application `name`, an example of the package `toro`.
pub fn leave_out(
    name: &str,
    features: Option<Vec<String>>,
    without: &[String],
    toro: &Value,
) -> Result<Vec<String>, Failure> {
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let has = features.unwrap_or_else(|| names(&toro["features"]["default"]));
    let target = toro["targets"].as_array().into_iter().flatten().find(|target| target["name"] == name);
    let needed = target.map(|target| names(&target["required-features"])).unwrap_or_default();
    for part in without {
        if !has.contains(part) {
            let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
            return Err(Failure::input(format!("cannot leave out `{part}`: {name} is built with {has}")));
        }
        if needed.contains(part) {
            return Err(Failure::input(format!("cannot leave out `{part}`: {name} needs it")));
        }
    }
    let (mut rest, mut gone) = (has, without.to_vec());
    while !gone.is_empty() {
        rest.retain(|feature| !gone.contains(feature));
        let needs_it =
            |feature: &&String| names(&toro["features"][feature.as_str()]).iter().any(|other| gone.contains(other));
        gone = rest.iter().filter(needs_it).cloned().collect();
    }
    Ok(rest)
}

/// Checks that every one of `drivers` is a feature of the package `toro`.
pub fn check_drivers(drivers: &[String], toro: &Value) -> Result<(), Failure> {
    let Some(features) = toro["features"].as_object() else {
        return Ok(());
    };
    for driver in drivers {
        if !features.contains_key(driver) {
            let is_driver = |name: &&str| *name != "default" && !PARTS.contains(name);
            let known: Vec<_> = features.keys().map(String::as_str).filter(is_driver).collect();
            return Err(Failure::input(format!("unknown driver `{driver}`: there are {}", known.join(", "))));
        }
    }
    Ok(())
}

/// What to tell a user who gives a guest devices that the application `name`, built with `features`, has no drivers for.
pub fn warning(name: &str, features: &[String], args: &RunArgs) -> Option<String> {
    let missing: Vec<_> =
        wanted(args).into_iter().filter(|driver| !features.iter().any(|name| name == driver)).collect();
    if missing.is_empty() {
        return None;
    }
    let has = features.iter().map(String::as_str).filter(|name| !PARTS.contains(name));
    let more = has.chain(missing.iter().copied()).collect::<Vec<_>>().join(",");
    Some(format!("{name} has no driver {}; with --drivers {more} it has", missing.join(", ")))
}

/// The drivers for the devices that were asked for by name. The network card that is there without a word is not.
fn wanted(args: &RunArgs) -> Vec<&'static str> {
    let mut drivers = Vec::new();
    let asks_for_cards = args.nic != Nic::Virtio
        || args.nics.is_some_and(|cards| cards > 0)
        || args.port.is_some()
        || args.pcap.is_some()
        || matches!(args.network, NetworkOption::Tap(_));
    if asks_for_cards {
        drivers.push(if args.nic.is_virtio() { "virtio-net" } else { "e1000" });
    }
    if args.share.is_some() {
        drivers.push("virtio-fs");
    }
    if args.initrd.is_some() {
        drivers.push("initrd");
    }
    for disk in &args.disks {
        let driver = match disk.interface {
            DiskInterface::Virtio | DiskInterface::VirtioLegacy => "virtio-blk",
            DiskInterface::Ata => "ata",
        };
        if !drivers.contains(&driver) {
            drivers.push(driver);
        }
    }
    let is_legacy = args.virtio == VirtioInterface::Legacy && drivers.iter().any(|name| name.starts_with("virtio-"))
        || asks_for_cards && args.nic == Nic::VirtioLegacy
        || args.disks.iter().any(|disk| disk.interface == DiskInterface::VirtioLegacy);
    if is_legacy {
        drivers.push("virtio-legacy");
    }
    drivers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::{self, Command};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn run_args(line: &str) -> RunArgs {
        match cli::parse(line.split(' ').map(Into::into)).unwrap().unwrap().command {
            Command::Run(args) => *args,
            other => panic!("not a run command: {other:?}"),
        }
    }

    #[test]
    fn an_application_has_the_features_that_it_names_or_the_default_ones() {
        assert_eq!(choose(&Value::Null, None), None);
        assert_eq!(choose(&json!({"http-port": 80}), None), None);
        assert_eq!(choose(&json!({"features": []}), None), Some(Vec::new()));
        assert_eq!(choose(&json!({"features": ["virtio-net", "e1000"]}), None), Some(words("e1000 virtio-net")));
    }

    #[test]
    fn drivers_are_replaced_and_parts_stay() {
        let table = json!({"features": ["ata", "block", "fs", "net", "virtio-net"]});
        assert_eq!(choose(&table, Some(&words("virtio-fs fat"))), Some(words("block fat fs net virtio-fs")));
        assert_eq!(choose(&Value::Null, Some(&words("virtio-fs"))), Some(words("virtio-fs")));
        assert_eq!(choose(&table, Some(&[])), Some(words("block fs net")));
    }

    #[test]
    fn what_needs_what_is_left_out_goes_with_it() {
        let toro = json!({"features": {"default": ["fat", "ipv6"], "fat": ["block", "fs"], "ipv6": ["net"]}});
        let left = |features: &str, without: &str| {
            leave_out("app", Some(words(features)), &words(without), &toro).map_err(|failure| failure.to_string())
        };
        assert_eq!(left("block fat ipv6", "fat"), Ok(words("block ipv6")));
        assert_eq!(left("block fat ipv6", "block"), Ok(words("ipv6")));
        assert_eq!(leave_out("app", None, &words("fat"), &toro).ok(), Some(words("ipv6")));
    }

    #[test]
    fn devices_without_a_driver_are_named_once() {
        let args = run_args("xtask run hello --share /srv --disk a --disk b --disk c,if=ata --nic e1000");
        let warning = |features| warning("hello", &words(features), &args);
        assert_eq!(
            warning("").unwrap(),
            "hello has no driver e1000, virtio-fs, virtio-blk, ata; \
             with --drivers e1000,virtio-fs,virtio-blk,ata it has"
        );
        assert_eq!(
            warning("ata net virtio-net virtio-fs virtio-blk").unwrap(),
            "hello has no driver e1000; with --drivers ata,virtio-net,virtio-fs,virtio-blk,e1000 it has"
        );
        assert_eq!(warning("ata e1000 virtio-blk virtio-fs"), None);
    }

    #[test]
    fn legacy_devices_have_drivers_of_their_own() {
        for option in ["--disk a,if=virtio-legacy", "--virtio legacy --disk a", "--nic virtio-legacy --disk a"] {
            let args = run_args(&format!("xtask run hello {option}"));
            let has = words("virtio-blk virtio-net");
            let said = warning("hello", &has, &args).unwrap();
            assert!(said.starts_with("hello has no driver virtio-legacy;"), "{said}");
        }
        assert_eq!(warning("hello", &words("virtio-blk"), &run_args("xtask run hello --disk a")), None);
    }

    #[test]
    fn the_card_that_nobody_asked_for_needs_no_driver() {
        assert_eq!(warning("hello", &[], &run_args("xtask run hello")), None);
        assert_eq!(warning("hello", &[], &run_args("xtask run hello --nics 0")), None);
        for option in ["--nics 1", "--port 0", "--net tap", "--pcap x"] {
            let said = warning("hello", &[], &run_args(&format!("xtask run hello {option}"))).unwrap();
            assert!(said.starts_with("hello has no driver virtio-net;"), "{said}");
        }
    }
}
