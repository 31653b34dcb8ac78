//! The drawing of the floors in ARCHITECTURE.md, held against what cargo says.
//!
//! A crate may depend on crates of lower floors, never on its own floor or a higher one, and below floor 3 on few
//! third-party crates. `tests/*` and `xtask` may depend on anything; nothing depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate with its floor and the lower crates that it may name.
const FLOORS: &[(&str, u8, &[&str])] = &[
    ("toro-core", 0, &[]),
    ("fuse-proto", 0, &[]),
    ("toro-sync", 0, &[]),
    ("toro-fat", 0, &[]),
    ("toro-partitions", 0, &[]),
    ("virtio-queue-rt", 1, &["toro-core"]),
    ("virtio-net", 2, &["toro-core", "virtio-queue-rt"]),
    ("virtio-blk", 2, &["toro-core", "virtio-queue-rt"]),
    ("virtio-fs", 2, &["toro-core", "virtio-queue-rt", "fuse-proto"]),
    ("virtio-vhost-user", 2, &["toro-core", "virtio-queue-rt"]),
    ("ata", 2, &["toro-core"]),
    ("e1000", 2, &["toro-core"]),
    (
        "toro",
        3,
        &[
            "toro-core",
            "fuse-proto",
            "toro-sync",
            "toro-fat",
            "toro-partitions",
            "virtio-queue-rt",
            "virtio-blk",
            "virtio-net",
            "virtio-fs",
            "ata",
            "e1000",
        ],
    ),
];

/// What crates below floor 3 may take from others.
const THIRD_PARTY: &[&str] = &["zerocopy", "bitflags", "volatile", "log"];

/// What one crate alone may take: the lock of an optional feature, and Linux's system calls where Linux is the platform.
const THIRD_PARTY_OF_ONE: &[(&str, &str)] = &[("virtio-queue-rt", "spin"), ("virtio-vhost-user", "rustix")];

/// For a host with an operating system; what goes into an image must do without.
const HOST_ONLY: &[&str] = &["virtio-vhost-user"];

/// Crates in which unsafe code is forbidden as a whole.
const NO_UNSAFE: &[&str] = &[
    "fuse-proto",
    "toro-fat",
    "toro-partitions",
    "virtio-queue-rt",
    "virtio-blk",
    "virtio-net",
    "virtio-fs",
    "ata",
    "e1000",
];

/// What matters of a package: its dependencies, and where its manifest is.
struct Package {
    dependencies: BTreeSet<String>,
    all_dependencies: BTreeSet<String>,
    /// From the root of the workspace on.
    manifest: String,
}

fn workspace() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let root = text(&metadata["workspace_root"]);
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list");
            let names = |all: bool| {
                // Development dependencies have kind "dev"; ordinary ones have none.
                dependencies.iter().filter(|d| all || d["kind"].is_null()).map(|d| text(&d["name"])).collect()
            };
            // Relative to the workspace, so that where the checkout lies does not matter.
            let manifest = text(&package["manifest_path"]).replacen(&root, "", 1);
            (text(&package["name"]), Package { dependencies: names(false), all_dependencies: names(true), manifest })
        })
        .collect()
}

/// The rules that a workspace breaks, one sentence each.
fn violations(packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut broken = Vec::new();
    let floors: BTreeMap<&str, (u8, &[&str])> = FLOORS.iter().map(|&(name, floor, may)| (name, (floor, may))).collect();
    for (name, package) in packages {
        let is_test_or_tool = package.manifest.starts_with("/tests/") || package.manifest.starts_with("/xtask/");
        for dependency in &package.all_dependencies {
            let target = packages.get(dependency);
            if target.is_some_and(|p| p.manifest.starts_with("/tests/") || p.manifest.starts_with("/xtask/"))
                && !is_test_or_tool
            {
                broken.push(format!("{name} depends on {dependency}, which is a test or a tool"));
            }
        }
        if is_test_or_tool {
            continue;
        }
        let Some(&(floor, may)) = floors.get(name.as_str()) else {
            broken.push(format!("{name} is on no floor of the drawing"));
            continue;
        };
        for dependency in &package.dependencies {
            if floors.contains_key(dependency.as_str()) {
                if !may.contains(&dependency.as_str()) {
                    broken.push(format!("{name} (floor {floor}) depends on {dependency}"));
                }
            } else if floor < 3
                && !THIRD_PARTY.contains(&dependency.as_str())
                && !THIRD_PARTY_OF_ONE.contains(&(name, dependency))
            {
                broken.push(format!("{name} (floor {floor}) depends on {dependency} from outside"));
            }
        }
    }
    broken
}

#[test]
fn every_crate_depends_on_lower_floors_only() {
    let broken = violations(&workspace());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_drawing_names_every_crate_and_no_other() {
    let packages = workspace();
    for (name, ..) in FLOORS {
        assert!(packages.contains_key(*name), "{name} is drawn but does not exist");
    }
}

#[test]
fn what_is_for_hosts_only_is_used_by_tests_and_tools_only() {
    for (name, package) in workspace() {
        let is_test_or_tool = package.manifest.starts_with("/tests/") || package.manifest.starts_with("/xtask/");
        let needed = HOST_ONLY.iter().find(|host| package.dependencies.contains(**host));
        assert!(is_test_or_tool || needed.is_none(), "{name} depends on {needed:?}");
    }
}

#[test]
fn a_dependency_upwards_is_noticed() {
    let mut packages = workspace();
    let core = packages.get_mut("toro-core").expect("it is there");
    core.dependencies.insert("virtio-queue-rt".into());
    core.dependencies.insert("spin".into());
    core.all_dependencies.insert("virtio-sim".into());
    let broken = violations(&packages);
    assert_eq!(broken.len(), 3, "{broken:?}");
}

#[test]
fn crates_without_unsafe_code_say_so_to_the_compiler() {
    let packages = workspace();
    for name in NO_UNSAFE {
        let here = env!("CARGO_MANIFEST_DIR").trim_end_matches("/tests/floors");
        let root = format!("{here}{}", packages[*name].manifest.replace("Cargo.toml", "src/lib.rs"));
        let source = std::fs::read_to_string(&root).expect("a library has a root");
        assert!(source.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}
