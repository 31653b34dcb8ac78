//! Applications and their images: what can be built, building it, and how large it is.
//!
//! An application is either an example of the package `toro` in this workspace, known by name, or a directory with a
//! `Cargo.toml` and a `.cargo/config.toml` of its own, built where it is. Either way the image is the executable that
//! cargo reports: an ELF file that QEMU, Firecracker and Cloud Hypervisor load as it is.
//!
//! An application says in its Cargo.toml that it serves HTTP, and on which port; `cargo xtask run` then forwards a port
//! of the host to it:
//!
//! ```toml
//! [package.metadata.toro]                                     # an application of its own
//! http-port = 80
//!
//! [package.metadata.toro.applications.static-web-server]      # one of several examples
//! http-port = 80
//! ```
//!
//! [`features`] says what of the kernel is in an image, [`Sizes`] how large it is.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::child;
use crate::cli::{BuildArgs, ParentEnd, RunArgs};
use crate::exit::Failure;

mod features;
mod sizes;

pub use sizes::Sizes;

/// The Rust target of every image.
pub const TARGET: &str = "x86_64-unknown-none";

/// The top directory of the workspace that this tool was built in.
pub fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.to_owned(), Path::to_owned)
}

/// Where an application's source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An example of the package `toro`.
    Example,
    /// A directory with a `Cargo.toml`.
    Directory(PathBuf),
}

/// An application that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its name: the example's, or the package's.
    pub name: String,
    /// Where its source is.
    pub place: Place,
    /// The port on which it says that it serves HTTP.
    pub http_port: Option<u16>,
    /// The cargo features of `toro` that it is built with, if they are not for its own manifest to say.
    pub features: Option<Vec<String>>,
    /// More flags for the compiler.
    pub rustflags: Option<&'static str>,
}

impl Application {
    /// Finds the application that `args` names, and checks that the drivers it lists exist, and what it leaves out can be.
    ///
    /// # Errors
    ///
    /// An input failure: no such application (the message lists those there are), no such driver, nothing to leave out.
    pub fn find(args: &BuildArgs) -> Result<Self, Failure> {
        let toro = toro_package()?;
        if let Some(drivers) = &args.drivers {
            features::check_drivers(drivers, &toro)?;
        }
        let known = examples(&toro);
        if known.contains(&args.app) {
            let table = &toro["metadata"]["toro"]["applications"][&args.app];
            let mut features = features::choose(table, args.drivers.as_deref());
            if !args.without.is_empty() {
                features = Some(features::leave_out(&args.app, features, &args.without, &toro)?);
            }
            return Ok(Self {
                name: args.app.clone(),
                place: Place::Example,
                http_port: http_port(table),
                features,
                rustflags: None,
            });
        }
        let directory = Path::new(&args.app);
        if directory.join("Cargo.toml").is_file() {
            if !args.without.is_empty() {
                let message = format!(
                    "--without is for the applications of this workspace: what {} is built with says its Cargo.toml",
                    args.app
                );
                return Err(Failure::input(message));
            }
            let directory = directory
                .canonicalize()
                .map_err(|error| Failure::input(format!("cannot use {}: {error}", directory.display())))?;
            let metadata = metadata(&directory)?;
            let manifest = directory.join("Cargo.toml");
            let package = packages(&metadata)
                .find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
                .ok_or_else(|| Failure::input(format!("{} describes no package", manifest.display())))?;
            let name = package["name"].as_str().unwrap_or_default().to_owned();
            let http_port = http_port(&package["metadata"]["toro"]);
            let features = features::choose(&Value::Null, args.drivers.as_deref());
            return Ok(Self { name, place: Place::Directory(directory), http_port, features, rustflags: None });
        }
        Err(Failure::input(format!(
            "unknown application `{}`: there are {}, or give the directory of one with a Cargo.toml",
            args.app,
            known.join(", ")
        )))
    }

    /// The names of all applications of this workspace.
    ///
    /// # Errors
    ///
    /// An input failure if cargo cannot say.
    pub fn names() -> Result<Vec<String>, Failure> {
        Ok(examples(&toro_package()?))
    }

    /// The directory in which cargo builds it, which also decides the toolchain.
    pub fn directory(&self) -> PathBuf {
        match &self.place {
            Place::Example => workspace(),
            Place::Directory(directory) => directory.clone(),
        }
    }

    /// What to tell a user who gives the guest devices that the image has no drivers for. What an application of its own is
    /// built with is not known here.
    pub fn warning(&self, args: &RunArgs) -> Option<String> {
        features::warning(&self.name, self.features.as_ref()?, args)
    }

    /// Builds the image and gives its path.
    ///
    /// # Errors
    ///
    /// A preparation failure where cargo fails or builds no single executable.
    pub fn build(&self, args: &BuildArgs) -> Result<PathBuf, Failure> {
        let mut cargo = child::bound("cargo", ParentEnd::Kill);
        cargo.args(["build", "--message-format=json-render-diagnostics", "--target", TARGET]);
        cargo.args(["--profile", args.profile()]);
        if let Some(flags) = self.rustflags {
            // Added to those in configuration files.
            cargo.args(["--config", &format!("target.{TARGET}.rustflags=[\"{flags}\"]")]);
        }
        if args.small {
            cargo.args(["--config", SMALL_FLAGS]);
        }
        let prefix = match &self.place {
            Place::Example => {
                cargo.args(["--package", "toro", "--example", &self.name]);
                ""
            }
            Place::Directory(directory) => {
                outside_environment(&mut cargo);
                if args.small && !names_small(directory)? {
                    cargo.args(SMALL_PROFILE.iter().flat_map(|setting| ["--config", setting]));
                }
                "toro/"
            }
        };
        if let Some(features) = &self.features {
            let features: Vec<_> = features.iter().map(|feature| format!("{prefix}{feature}")).collect();
            cargo.args(["--no-default-features", "--features", &features.join(",")]);
        }
        if args.small {
            cargo.args(["--features", &format!("{prefix}log-info")]);
        }
        let output = cargo
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::preparation(format!("cannot run cargo: {error}")))?;
        if !output.status.success() {
            return Err(Failure::preparation(format!("building {} failed", self.name)));
        }
        let mut images = executables(&String::from_utf8_lossy(&output.stdout));
        match (images.pop(), images.is_empty()) {
            (Some(image), true) => Ok(image),
            (None, _) => Err(Failure::preparation(format!("building {} made no executable", self.name))),
            (Some(_), false) => Err(Failure::preparation(format!("{} has more than one executable", self.name))),
        }
    }

    /// Builds the image and opens it.
    ///
    /// Cargo gives images of the same application with other drivers the same path. So whoever starts one waits for others who
    /// build in the same directory, and goes on with the file that was there when cargo was done, whatever comes after it.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build), and where the image cannot be opened.
    pub fn build_and_open(&self, args: &BuildArgs) -> Result<(PathBuf, File), Failure> {
        let directory = File::open(self.directory()).ok();
        // Where there are no locks, there is nobody to wait for either.
        let _ = directory.as_ref().map(File::lock);
        let path = self.build(args)?;
        match File::open(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(Failure::preparation(format!("cannot open {}: {error}", path.display()))),
        }
    }
}

/// The path of an open file, for this process and those that inherit it.
pub fn path_of(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Removes what cargo and rustup set for *this* tool, so that a directory elsewhere is built with its own settings.
fn outside_environment(cargo: &mut Command) {
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
}

/// What an image for size is compiled with besides, added to the flags of `.cargo/config.toml`: sequences of instructions
/// that occur several times become functions, functions that are the same but for their constants become one, panics do not
/// say why, and the compiler's choices between speed and size that the profile does not make for it are made: a jump table has
/// eight bytes for each case, values are computed where they are needed rather than kept, and loads are not done twice on
/// different paths.
const SMALL_FLAGS: &str = "target.x86_64-unknown-none.rustflags=[\
    '--cfg=toro_small','-Clink-arg=--icf=all','-Cllvm-args=-enable-machine-outliner=always \
    -enable-global-merge-func -min-jump-table-entries=16 -sink-insts-to-avoid-spills -split-spill-mode=size \
    -enable-load-pre=false -disable-machine-licm \
    -disable-constant-hoisting -disable-lsr -disable-early-taildup -disable-tail-duplicate -pre-RA-sched=list-burr']";

/// The profile `small` for an application elsewhere, whose `Cargo.toml` need not have one.
const SMALL_PROFILE: [&str; 4] = [
    "profile.small.inherits=\"release\"",
    "profile.small.opt-level=\"z\"",
    "profile.small.lto=\"fat\"",
    "profile.small.codegen-units=1",
];

/// Whether the workspace of the package in `directory` has a profile `small` of its own.
fn names_small(directory: &Path) -> Result<bool, Failure> {
    let metadata = metadata(directory)?;
    let root = metadata["workspace_root"].as_str().map_or(directory, Path::new);
    let manifest = fs::read_to_string(root.join("Cargo.toml"))
        .map_err(|error| Failure::preparation(format!("cannot read {}/Cargo.toml: {error}", root.display())))?;
    Ok(manifest.lines().any(|line| line.trim() == "[profile.small]"))
}

/// Paths of the executables in cargo's messages.
fn executables(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

/// What `cargo metadata` says about the workspace in `directory`.
fn metadata(directory: &Path) -> Result<Value, Failure> {
    let mut cargo = Command::new("cargo");
    if directory != workspace() {
        outside_environment(&mut cargo);
    }
    let output = cargo
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::preparation(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ");
        return Err(Failure::input(format!("{} cannot be built: {reason}", directory.display())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::preparation(format!("cannot read cargo metadata: {error}")))
}

/// The packages in `metadata`.
fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// What cargo says about the package `toro`.
fn toro_package() -> Result<Value, Failure> {
    let metadata = metadata(&workspace())?;
    packages(&metadata)
        .find(|package| package["name"] == "toro")
        .cloned()
        .ok_or_else(|| Failure::preparation("the workspace has no package `toro`"))
}

/// Where cargo builds in this workspace; the place for what the tool remembers.
pub fn target_directory() -> PathBuf {
    let reported = metadata(&workspace()).ok();
    reported
        .as_ref()
        .and_then(|metadata| metadata["target_directory"].as_str())
        .map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Names of the examples of `package`.
fn examples(package: &Value) -> Vec<String> {
    package["targets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "example")))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// The `http-port` in a table of cargo metadata.
fn http_port(table: &Value) -> Option<u16> {
    table["http-port"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(app: &str, drivers: Option<&[&str]>) -> BuildArgs {
        BuildArgs {
            app: app.to_owned(),
            dev: false,
            small: false,
            drivers: drivers.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            without: Vec::new(),
        }
    }

    #[test]
    fn an_open_image_stays_what_it_was_when_another_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        fs::write(&path, "with a driver").unwrap();
        let file = File::open(&path).unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "without").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(fs::read_to_string(path_of(&file)).unwrap(), "with a driver");
    }

    #[test]
    fn examples_of_the_kernel_are_applications() {
        let hello = Application::find(&arguments("hello", None)).unwrap();
        let features = Some(Vec::new());
        assert_eq!(
            hello,
            Application { name: "hello".to_owned(), place: Place::Example, http_port: None, features, rustflags: None }
        );
    }

    #[test]
    fn every_example_says_what_it_uses() {
        let toro = toro_package().unwrap();
        for name in examples(&toro) {
            let application = Application::find(&arguments(&name, None)).unwrap();
            let features = application.features.unwrap_or_else(|| panic!("{name} names no features"));
            assert!(features.iter().all(|feature| !toro["features"][feature].is_null()), "{name}: {features:?}");
        }
    }

    #[test]
    fn the_web_server_says_that_it_serves_http() {
        assert_eq!(Application::find(&arguments("static-web-server", None)).unwrap().http_port, Some(80));
    }

    #[test]
    fn unknown_application_is_refused_with_the_list_of_known_ones() {
        let message = Application::find(&arguments("helo", None)).unwrap_err().to_string();
        assert!(message.contains("`helo`") && message.contains("hello"), "{message}");
        assert!(!message.contains('\n'));
    }

    #[test]
    fn unknown_driver_is_refused_with_the_list_of_known_ones() {
        let message = Application::find(&arguments("hello", Some(&["virtio-net", "ne2k"]))).unwrap_err().to_string();
        assert!(message.contains("`ne2k`") && message.contains("virtio-net"), "{message}");
    }

    #[test]
    fn what_an_application_has_can_be_left_out_unless_it_is_needed() {
        let without = |app: &str, drivers: Option<&[&str]>, parts: &[&str]| {
            let without = parts.iter().map(|part| (*part).to_owned()).collect();
            Application::find(&BuildArgs { without, ..arguments(app, drivers) }).map(|found| found.features.unwrap())
        };
        let small = without("static-web-server", Some(&["virtio-net", "virtio-fs"]), &["ipv6"]).unwrap();
        assert_eq!(small, ["fs", "net", "virtio-fs", "virtio-net"]);
        for (app, part, words) in [
            ("static-web-server", "ipv7", ["`ipv7`", "ipv6"]),
            ("hello", "ipv6", ["`ipv6`", "nothing"]),
            ("static-web-server", "fs", ["`fs`", "static-web-server needs it"]),
            ("kernel-tests", "block", ["`block`", "kernel-tests needs it"]),
        ] {
            let message = without(app, None, &[part]).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)) && !message.contains('\n'), "{message}");
        }
        let message = without("tcp-echo", None, &["loopback", "e1000", "ipv6", "loopback"]).unwrap();
        assert_eq!(message, ["dns", "multicast", "net", "ping", "virtio-legacy", "virtio-net"]);
    }

    #[test]
    fn directory_with_a_manifest_is_an_application() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        fs::write(directory.path().join("src/main.rs"), "fn main() {}").unwrap();
        let manifest = "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [package.metadata.toro]\nhttp-port = 8000\n";
        fs::write(directory.path().join("Cargo.toml"), manifest).unwrap();
        let found = Application::find(&arguments(directory.path().to_str().unwrap(), None)).unwrap();
        assert_eq!((found.name.as_str(), found.http_port), ("mine", Some(8000)));
        assert_eq!(found.directory(), directory.path().canonicalize().unwrap());
        let mut args = arguments(directory.path().to_str().unwrap(), None);
        args.without = vec!["ipv6".to_owned()];
        assert!(Application::find(&args).unwrap_err().to_string().contains("--without"));
    }

    #[test]
    fn executables_are_found_among_the_messages_of_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","executable":null,"target":{"name":"toro"}}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","executable":"/t/hello","target":{"name":"hello"}}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#
        );
        assert_eq!(executables(messages), [PathBuf::from("/t/hello")]);
    }
}
