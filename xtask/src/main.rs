//! `cargo xtask`: builds, runs and tests Toro.
//!
//! ```text
//!   cli        what the user wants                 exit       how commands end
//!   setup      install what is missing             child      processes that cannot outlive the tool
//!   image      find and build applications         signals    Ctrl-C as an event
//!   bloat      what takes the space in images
//!   run        one guest, start to end             symbolize  names for a guest's backtrace
//!     guest      followed until it ends            test, ci   everything, for people and for machines
//!     qemu       its command line
//!     firecracker  the other monitor
//!     virtiofsd  the share's server                  tally      what passed
//!     rust_virtiofsd  the other one, built
//!     initrd     an archive in its memory
//!     disk       images of disks                     supervise  no test hangs for ever
//!     firmware   OVMF                                disk_image  disks that boot an application
//!     accel      whether KVM works                   bench      the benchmarks, which are a program of their own
//!     backlog    many connections at once          conformance  which test holds which requirement
//!     ports      free ones                           fuzz       lying devices made of random bytes
//!   container  the Dockerfile, without an engine
//! ```
//!
//! Each command prints progress and trouble to standard error, one line each; standard output carries the result: the
//! guest's console, an image's path, the tests' summary.

#![forbid(unsafe_code)]

mod accel;
mod backlog;
mod bench;
mod bloat;
mod child;
mod ci;
mod cli;
mod conformance;
mod container;
mod disk;
mod disk_image;
mod exit;
mod firecracker;
mod firmware;
mod fuzz;
mod guest;
mod image;
mod initrd;
mod network;
mod ports;
mod qemu;
mod run;
mod rust_virtiofsd;
mod setup;
mod signals;
mod supervise;
mod symbolize;
mod tally;
mod test;
mod virtiofsd;

use std::process::ExitCode;

use cli::{BuildArgs, BuildCommand, Command, Extra, Purpose};
use exit::Failure;
use setup::Needs;

fn main() -> ExitCode {
    let outcome = cli::parse(std::env::args_os()).and_then(|cli| cli.map_or(Ok(0), |cli| dispatch(&cli.command)));
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

/// Runs one command; gives the exit status.
fn dispatch(command: &Command) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Build(args) => build(args),
        Command::Image(args) => disk_image::run(args),
        Command::Test(args) => test::run(args),
        Command::Ci => ci::run(),
        Command::Bench(args) => bench::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Container(args) => container::run(args),
        Command::Setup(args) => {
            match args.purpose {
                Some(Purpose::Run) => run::set_up()?,
                Some(Purpose::Test) | None => test::set_up()?,
            }
            if args.with.contains(&Extra::RustVirtiofsd) {
                rust_virtiofsd::ensure()?;
            }
            eprintln!("xtask: everything that Toro needs is installed");
            Ok(0)
        }
        Command::Bound(args) => Err(child::become_bound(args)),
    }
}

/// `cargo xtask build`: one application, or all of them.
fn build(args: &BuildCommand) -> Result<u8, Failure> {
    let names = match args.build.app.as_str() {
        _ if args.all => image::Application::names()?,
        "" => return Err(Failure::input("no application given: name one, or say --all")),
        name => vec![name.to_owned()],
    };
    names.into_iter().try_for_each(|app| build_one(&BuildArgs { app, ..args.build.clone() }, args.bloat))?;
    Ok(0)
}

/// Builds an application, and prints the image's path, then its sizes.
fn build_one(args: &BuildArgs, bloat: bool) -> Result<(), Failure> {
    let mut application = image::Application::find(args)?;
    setup::ensure(&Needs { target_for: Some(application.directory()), programs: Vec::new() })?;
    if bloat {
        application.rustflags = Some(bloat::RUSTFLAGS);
    }
    let image = application.build(args)?;
    let sizes = image::Sizes::of(&image)?;
    println!("{}", image.display());
    println!("{} bytes, {} stripped, {} loaded, {} in memory", sizes.file, sizes.stripped, sizes.loaded, sizes.memory);
    if bloat {
        print!("\n{}", bloat::Bloat::of(&image)?);
    }
    Ok(())
}
