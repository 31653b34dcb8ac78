//! `bench stack`: what a request costs in the network stack alone.
//!
//! ```text
//!   client: another stack        cable: frames change hands        server
//!   send request, poll    ---->                           ---->    stack_server_turn: poll, application, poll
//!   poll, read answer     <----                           <----
//! ```
//!
//! Both are the kernel's own stack, in one process, with a clock that the measurement moves. Counted are the server's
//! turns: the stack and the application's calls of it. Not counted are the interface (its model hands buffers over; what
//! a driver costs is another table) and the client. Nor is HTTP: a request is 64 bytes, an answer as many as the case
//! says, from a buffer of the application.
//!
//! # How it is counted
//!
//! Each figure is the difference of two runs in callgrind, by the difference in requests. Copies are told apart, by the
//! names of the C library's functions: vector moves for short ones and the iterations of `rep movsb` for long ones, which
//! callgrind counts like instructions.
//!
//! The kernel itself is built for a target without vector registers, this program for one with them. What is left without
//! copies has little use for them.

mod cable;
mod world;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

pub use self::cable::Interface;
use self::world::{Case, Kind, World};
use crate::callgrind::{collected, collected_in};
use crate::options::{heading, rerun_optimised};
use crate::scratch::Scratch;
use crate::table::Table;

/// What is measured.
#[derive(Args)]
#[command(after_long_help = "\
Ir: instructions of the server's stack and its calls for one request, copies left out; counted by callgrind.
copies: those of memcpy besides; each iteration of rep movsb counts.
frames: received and sent for one request.")]
pub struct Options {
    /// Only requests on one connection, not thousands of connections
    #[arg(long)]
    quick: bool,
    /// Only run one case: for callgrind, perf, a debugger
    #[arg(long, value_enum, hide = true)]
    only: Option<Kind>,
    #[arg(long, value_enum, hide = true, default_value = "full")]
    interface: Interface,
    #[arg(long, hide = true, default_value_t = 64)]
    answer: usize,
    #[arg(long, hide = true, default_value_t = 1)]
    connections: usize,
    #[arg(long, hide = true, default_value_t = 256)]
    requests: u32,
}

/// The arguments that make this program run one case.
fn one_arguments(case: Case, requests: u32) -> Vec<String> {
    let name =
        |value: Option<clap::builder::PossibleValue>| value.map_or_else(String::new, |it| it.get_name().to_owned());
    let words = [
        ("--only", name(case.kind.to_possible_value())),
        ("--interface", name(case.interface.to_possible_value())),
        ("--answer", case.answer.to_string()),
        ("--connections", case.connections.to_string()),
        ("--requests", requests.to_string()),
    ];
    std::iter::once("stack".to_owned())
        .chain(words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]))
        .collect()
}

fn cases(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for interface in [Interface::Full, Interface::Plain] {
        for answer in [64, 4 << 10, 64 << 10, 1 << 20] {
            cases.push(Case { kind: Kind::KeepAlive, interface, answer, connections: 1 });
        }
        cases.push(Case { kind: Kind::Fresh, interface, answer: 64, connections: 1 });
        cases.push(Case { kind: Kind::Upload, interface, answer: 1 << 20, connections: 1 });
    }
    if !quick {
        for connections in [64, 1_024, 10_000] {
            cases.push(Case { kind: Kind::KeepAlive, interface: Interface::Full, answer: 64, connections });
        }
    }
    cases
}

/// Measures and prints.
///
/// # Errors
///
/// A request is not answered; no cargo, no valgrind.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    if let Some(kind) = options.only {
        let Options { interface, answer, connections, requests, .. } = *options;
        let mut world = World::new(Case { kind, interface, answer, connections })?;
        return world.go(requests);
    }
    println!("{}", heading());
    let scratch = Scratch::new()?;
    let mut table =
        Table::new("The stack, for one request", ["case", "interface", "connections", "Ir", "copies", "in", "out"]);
    for case in cases(options.quick) {
        let cost = cost(case, &scratch)?;
        let mut world = World::new(case)?;
        let (received, sent) = world.frames_for_one()?;
        table.row([
            case.to_string(),
            format!("{:?}", case.interface).to_lowercase(),
            case.connections.to_string(),
            format!("{:.0}", cost.own),
            format!("{:.0}", cost.copies),
            format!("{received:.1}"),
            format!("{sent:.1}"),
        ]);
    }
    println!("{table}");
    Ok(())
}

struct Cost {
    own: f64,
    copies: f64,
}

fn cost(case: Case, scratch: &Scratch) -> Result<Cost> {
    // Enough for the timers to have come up, and each connection to have had its turn.
    let few = (if case.answer > 100_000 { 64 } else { 512 }).max(case.connections as u32);
    let many = few + few.min(1_024);
    let count = |requests: u32| -> Result<[f64; 2]> {
        let all =
            collected(&["*stack_server_turn*", "*stack_device_*"], one_arguments(case, requests), scratch.path())?;
        let copies = collected_in(|name| name.contains("memcpy") || name.contains("memmove"), scratch.path())?;
        Ok([(all - copies) as f64, copies as f64])
    };
    let (less, more) = (count(few)?, count(many)?);
    ensure!(more[0] > less[0], "nothing was counted: was a measured function inlined?");
    let [own, copies] = [0, 1].map(|at| (more[at] - less[at]) / f64::from(many - few));
    Ok(Cost { own, copies })
}
