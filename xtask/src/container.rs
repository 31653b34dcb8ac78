//! `cargo xtask container`: carries out the Dockerfile without a container engine, to see that it works.
//!
//! ```text
//!   Dockerfile --parse--> FROM     a fresh Debian, by debootstrap, with this machine's Rust in the place of the image's
//!                         ENV, ARG, WORKDIR
//!                         COPY     the checkout, without what .dockerignore names
//!                         RUN, CMD a shell in there, in namespaces of its own
//! ```
//!
//! There is no second list of steps: the lines are those of the Dockerfile. Three things differ from what an engine does. The base
//! image is made here, of the packages that it consists of. The homes of rustup and cargo are this machine's, under an
//! overlay that takes what is written: toolchain and crates are not downloaded again. And apt uses the mirror and the
//! proxies of this machine.
//!
//! # What is left behind
//!
//! Each step has a mount namespace and a process namespace. Whatever ends it, also the end of this tool, ends all its
//! processes and all its mounts. The root file system is a directory in `target` that is removed at the end; the packages that
//! were downloaded for it stay there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child;
use crate::cli::{ContainerArgs, ParentEnd};
use crate::exit::Failure;
use crate::image;
use crate::qemu;
use crate::setup::User;

mod dockerfile;

use dockerfile::{Ignored, Instruction};

/// The image that the Dockerfile is expected to begin with: its name without the version of Rust, and what it is made of.
const BASE: (&str, &str, &str) = ("rust:", "-slim-bookworm", "bookworm");
/// What the image has beside the smallest Debian and Rust.
const PACKAGES: &str = "--include=ca-certificates,gcc,libc6-dev";
/// Where packages come from, if this machine says nothing else.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Where the image has Rust.
const HOMES: [(&str, &str); 2] = [("RUSTUP_HOME", "/usr/local/rustup"), ("CARGO_HOME", "/usr/local/cargo")];
/// Where programs are in the image.
const PATH: &str = "/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables of this machine that an engine passes on to what it builds.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Why the Dockerfile cannot be carried out here, if it cannot.
pub fn obstacle() -> Option<&'static str> {
    if User::current() != User::Root {
        return Some("the Dockerfile is carried out by root only");
    }
    if qemu::in_path("debootstrap").is_none() {
        return Some("there is no debootstrap, which makes the Dockerfile's base");
    }
    let mut try_it = Command::new("unshare");
    try_it.args(["--mount", "--pid", "--fork", "--kill-child", "true"]);
    (!crate::setup::quietly(&mut try_it)).then_some("there are no namespaces for what the Dockerfile runs")
}

/// Carries out the Dockerfile, and what a container of its image runs.
///
/// # Errors
///
/// A preparation failure that names the line which failed.
pub fn run(args: &ContainerArgs) -> Result<u8, Failure> {
    if let Some(obstacle) = obstacle() {
        return Err(Failure::preparation(obstacle));
    }
    let context = image::workspace();
    let read = |name: &str| {
        fs::read_to_string(context.join(name)).map_err(|error| Failure::input(format!("cannot read {name}: {error}")))
    };
    let instructions =
        dockerfile::parse(&read("Dockerfile")?).map_err(|error| Failure::input(format!("Dockerfile: {error}")))?;
    let ignored = Ignored::parse(&read(".dockerignore")?);
    let scratch = image::target_directory().join("container");
    let trouble = |error| Failure::preparation(format!("cannot use {}: {error}", scratch.display()));
    fs::create_dir_all(scratch.join("packages")).map_err(trouble)?;
    let place = tempfile::Builder::new().prefix("root-").tempdir_in(&scratch).map_err(trouble)?;
    let mut container = Container::new(place.path(), args);
    for instruction in &instructions {
        container.carry_out(instruction, &context, &ignored, &scratch)?;
    }
    println!("the Dockerfile was carried out");
    Ok(0)
}

/// The container that is being built.
struct Container<'a> {
    /// Its root file system, and beside it what overlays need.
    root: PathBuf,
    overlays: PathBuf,
    directory: String,
    variables: Vec<(String, String)>,
    args: &'a ContainerArgs,
}

impl<'a> Container<'a> {
    fn new(place: &Path, args: &'a ContainerArgs) -> Self {
        let mut variables = vec![("PATH".to_owned(), PATH.to_owned()), ("HOME".to_owned(), "/root".to_owned())];
        variables.extend(HOMES.map(|(name, home)| (name.to_owned(), home.to_owned())));
        let proxies = PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        variables.extend(proxies);
        let (root, overlays) = (place.join("root"), place.join("overlays"));
        Self { root, overlays, directory: "/".to_owned(), variables, args }
    }

    fn carry_out(
        &mut self,
        instruction: &Instruction,
        context: &Path,
        ignored: &Ignored,
        scratch: &Path,
    ) -> Result<(), Failure> {
        eprintln!("xtask: {instruction:?}");
        match instruction {
            Instruction::From(image) => self.make_base(image, scratch),
            Instruction::Env(name, value) => {
                self.set(name, value);
                Ok(())
            }
            Instruction::Arg(name, default) => {
                let given = self.args.build_args.iter().find_map(|pair| pair.split_once('=').filter(|it| it.0 == name));
                if let Some(value) = given.map(|(_, value)| value).or(default.as_deref()) {
                    self.set(name, value);
                }
                Ok(())
            }
            Instruction::Workdir(path) => {
                self.directory.clone_from(path);
                let made = fs::create_dir_all(self.inside(path));
                made.map_err(|error| Failure::preparation(format!("WORKDIR {path}: {error}")))
            }
            Instruction::Copy(from, to) => {
                let (from, to) = (context.join(from), self.inside(&format!("{}/{to}", self.directory)));
                copy(&from, &to, "", ignored).map_err(|error| Failure::preparation(format!("COPY: {error}")))
            }
            Instruction::Run(command) => self.step(&["/bin/sh", "-c", command]),
            Instruction::Cmd(words) => self.step(&words.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Where a path of the container is on this machine.
    fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Makes what the base image is: the distribution, and Rust of the version that it names.
    fn make_base(&self, image: &str, scratch: &Path) -> Result<(), Failure> {
        let (start, end, suite) = BASE;
        let version = image.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        let version = version.ok_or_else(|| Failure::input(format!("what {image} consists of is not known here")))?;
        let mut cache = OsString::from("--cache-dir=");
        cache.push(scratch.join("packages"));
        let mut debootstrap = child::bound("debootstrap", ParentEnd::Terminate);
        debootstrap.args(["--variant=minbase", PACKAGES]).arg(cache).arg(suite).arg(&self.root).arg(mirror());
        succeed(&mut debootstrap, "debootstrap")?;
        self.write_apt_configuration()?;
        for (name, _) in HOMES {
            for part in ["upper", "work"] {
                let directory = self.overlays.join(name).join(part);
                fs::create_dir_all(directory).map_err(|error| Failure::preparation(error.to_string()))?;
            }
        }
        // The toolchain that is in use here plays the one that the image has.
        let toolchains = self.overlays.join("RUSTUP_HOME/upper/toolchains");
        let name = format!("{version}.0-x86_64-unknown-linux-gnu");
        let active = active_toolchain()?;
        if active != name {
            let made = fs::create_dir_all(&toolchains).and_then(|()| {
                std::os::unix::fs::symlink(format!("/usr/local/rustup/toolchains/{active}"), toolchains.join(&name))
            });
            made.map_err(|error| Failure::preparation(format!("{name}: {error}")))?;
        }
        Ok(())
    }

    /// How apt of this machine reaches its mirrors.
    fn write_apt_configuration(&self) -> Result<(), Failure> {
        let output = Command::new("apt-config").arg("dump").stdin(Stdio::null()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let is_way = |line: &&str| {
            ["Acquire::http::", "Acquire::https::", "Acquire::Retries"].iter().any(|start| line.starts_with(start))
        };
        let lines: String = text.lines().filter(is_way).flat_map(|line| [line, "\n"]).collect();
        let file = self.inside("/etc/apt/apt.conf.d/99this-machine");
        fs::write(&file, lines).map_err(|error| Failure::preparation(format!("{}: {error}", file.display())))
    }

    /// Runs a program in the container.
    fn step(&self, words: &[&str]) -> Result<(), Failure> {
        // Mounts, in a namespace that is only this step's; then the program, with no other variables than the container's.
        const SCRIPT: &str = r#"set -e
root=$1 directory=$2; shift 2
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$root$2"
    shift 3
done
shift
exec chroot "$root" /usr/bin/env -i "$@"
"#;
        let mut step = child::bound("unshare", ParentEnd::Kill);
        step.args(["--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", SCRIPT, "step"]);
        step.arg(&self.root).arg(&self.directory);
        for (name, place) in HOMES {
            step.arg(home(name)).arg(place).arg(self.overlays.join(name));
        }
        step.arg("--");
        step.arg(format!("--chdir={}", self.directory));
        step.args(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        step.args(words);
        succeed(&mut step, &words.join(" "))
    }
}

/// Runs a command to its end.
fn succeed(command: &mut Command, what: &str) -> Result<(), Failure> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::preparation(format!("{status}: {what}"))),
        Err(error) => Err(Failure::preparation(format!("cannot run {what}: {error}"))),
    }
}

/// Copies what is not ignored. `path` is that of `from` in the context.
fn copy(from: &Path, to: &Path, path: &str, ignored: &Ignored) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = if path.is_empty() {
            name.to_string_lossy().into_owned()
        } else {
            format!("{path}/{}", name.to_string_lossy())
        };
        if ignored.has(&path) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&from, &to, &path, ignored)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// Where this machine gets Debian's packages from.
fn mirror() -> String {
    let lists = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let words = lists.iter().filter_map(|list| fs::read_to_string(list).ok()).flat_map(|text| {
        let lines = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
    });
    let is_mirror = |word: &String| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    words.into_iter().find(is_mirror).unwrap_or_else(|| MIRROR.to_owned())
}

/// The home of rustup or cargo on this machine.
fn home(variable: &str) -> PathBuf {
    let default = || {
        let name = if variable == "CARGO_HOME" { ".cargo" } else { ".rustup" };
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(name)
    };
    std::env::var_os(variable).map_or_else(default, PathBuf::from)
}

/// The name of the toolchain that runs this tool.
fn active_toolchain() -> Result<String, Failure> {
    let output = Command::new("rustup").args(["show", "active-toolchain"]).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let name = text.split_whitespace().next().map(str::to_owned);
    name.ok_or_else(|| Failure::preparation("rustup does not say which toolchain is in use"))
}
