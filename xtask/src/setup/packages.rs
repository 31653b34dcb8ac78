//! Installing packages: with apt as root or through sudo, else the commands for somebody to type.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use super::{Program, User};
use crate::exit::Failure;
use crate::qemu;

/// How this process can use the package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privilege {
    Root,
    Sudo,
    None,
}

impl Privilege {
    fn find() -> Self {
        if User::current() == User::Root {
            return Self::Root;
        }
        if qemu::in_path("sudo").is_none() {
            return Self::None;
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let without_password = sudo.status().is_ok_and(|status| status.success());
        if without_password || std::io::stdin().is_terminal() { Self::Sudo } else { Self::None }
    }

    fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            Self::Sudo | Self::None => &["sudo"],
        }
    }
}

/// Installs `missing` with apt, or prints how to.
pub fn install(missing: &[Program]) -> Result<(), Failure> {
    let names = missing.iter().map(|program| program.name()).collect::<Vec<_>>().join(", ");
    if qemu::in_path("apt-get").is_none() {
        eprintln!("xtask: {names} missing, and there is no apt-get here; type the one for this system:");
        for command in other_systems(missing) {
            eprintln!("    {command}");
        }
        return Err(Failure::preparation(format!("{names} missing")));
    }
    let privilege = Privilege::find();
    let mut packages = packages(missing);
    let mut refreshed = false;
    if privilege != Privilege::None && !packages.iter().all(|package| has_candidate(package)) {
        // A fresh system has no package lists, and cannot tell yet which packages exist.
        apt(privilege, &["update"])?;
        refreshed = true;
        packages = self::packages(missing);
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&packages);
    if privilege == Privilege::None {
        let prefix = privilege.prefix().join(" ");
        eprintln!("xtask: {names} missing, and apt-get needs root; type:");
        eprintln!("    {prefix} apt-get update");
        eprintln!("    {prefix} apt-get {}", arguments.join(" "));
        return Err(Failure::preparation(format!("{names} missing")));
    }
    eprintln!("xtask: {names} missing, installing {}", packages.join(", "));
    match apt(privilege, &arguments) {
        Err(_) if !refreshed => {
            // Old lists name files that the mirrors no longer have.
            apt(privilege, &["update"])?;
            apt(privilege, &arguments)
        }
        done => done,
    }
}

/// Debian's packages for `programs`, each once.
fn packages(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs.iter().flat_map(|program| program.packages(has_candidate)).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether apt knows a version of `package` to install.
fn has_candidate(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
    })
}

/// Runs `apt-get`, saying so.
fn apt(privilege: Privilege, arguments: &[&str]) -> Result<(), Failure> {
    let mut words = privilege.prefix().to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
    words.extend(arguments);
    let shown = words.join(" ");
    eprintln!("xtask: {shown}");
    let (program, rest) = words.split_first().expect("the words of the command were just put in");
    let status = Command::new(program).args(rest).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::preparation(format!("this failed: {shown}"))),
    }
}

/// What to type on systems without apt.
fn other_systems(missing: &[Program]) -> Vec<String> {
    let commands = ["dnf install", "pacman -S", "zypper install", "apk add"];
    let with_packages = commands.iter().enumerate().map(|(system, command)| {
        let packages: Vec<_> = missing.iter().map(|program| program.packages_elsewhere()[system]).collect();
        format!("sudo {command} {}", packages.join(" "))
    });
    with_packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_systems_are_told_only_what_is_missing() {
        let commands = other_systems(&[Program::Virtiofsd]);
        assert!(commands.contains(&"sudo pacman -S virtiofsd".to_owned()));
        assert!(commands.iter().all(|command| !command.contains("qemu") && !command.contains("curl")));
    }
}
