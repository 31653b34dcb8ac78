//! Measures Toro: the figures that its pages quote, and the commands that produce them.
//!
//! ```text
//!   bench web     requests per second and guest instructions per request of the static web server
//!   bench boot    time to the first line and the first answer, instructions to `main`, sizes, least memory
//!   bench sched   what threads, messages between cores, memory and timers cost ([`sched`])
//!   bench scale   parallel-sum and the web server on 1, 2 and more cores ([`scale`])
//!   bench block   instructions, register accesses and time per read of a disk ([`block`])
//!   bench net     instructions and register accesses per HTTP request over tap, streams, many connections ([`net`])
//!   bench fs      instructions and time of reading files, by virtio-fs and from a disk with FAT ([`fs`])
//!   bench opt     file-bench and the web server with each level of optimisation: instructions, sizes ([`opt`])
//!   bench ring    nanoseconds and instructions per operation of our virtqueue, beside two others ([`ring`])
//!   bench stack   instructions per request in the network stack alone ([`stack`])
//!   bench block-host   reads of a disk per second in an ordinary process, beside libblkio ([`block_host`])
//!   bench fs-host      reads of files in an ordinary process, beside the host's own ([`fs_host`])
//!   bench net-host     frames per second in ordinary processes, beside DPDK's driver ([`net_host`])
//!   bench litmus  no wake-up is lost in millions of round trips ([`litmus`])
//! ```
//!
//! Those that boot are measured from outside, in guests that this program builds, starts and ends: a serial console
//! that is read with a clock in hand, `wrk` against a forwarded port, and a plugin of QEMU that counts executed
//! instructions ([`counters`]). With `--linux-baseline DIR` the same is done in the same minutes to a Linux guest
//! ([`linux`]), under the same machine, memory, network and virtio-fs daemon, run by run in turn, so
//! that whatever else the host does hits both alike; the ratio is then worth more than either figure.
//!
//! Under emulation wall times say how well QEMU translates a guest. Instructions per request do not depend on the
//! host, its load or its clock: compare those first.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod block;
mod block_host;
mod boot;
mod callgrind;
mod client;
mod counters;
mod cpio;
mod elf;
mod fs;
mod fs_host;
mod guest;
mod heap;
mod image;
mod linux;
mod litmus;
mod machine;
mod memory;
mod net;
mod net_host;
mod network;
mod opt;
mod options;
mod processors;
mod program;
mod report;
mod ring;
mod scale;
mod sched;
mod scratch;
mod share;
mod stack;
mod stats;
mod table;
mod toro;
mod web;
mod wrk;

/// Measures Toro, and beside it a Linux guest where one is given.
#[derive(Parser)]
#[command(name = "bench", after_help = "Figures are medians; [a..b] behind one is the least and the greatest.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests per second and guest instructions per request of the static web server
    Web(web::Options),
    /// Time to the first line, beside an empty kernel, and to the first answer; instructions to main; sizes; least memory
    Boot(boot::Options),
    /// Guest instructions and time of a thread switch, a message to another core, a wake-up and the like
    Sched(sched::Options),
    /// What more cores are worth: parallel-sum and static-web-server on 1, 2 and more of them
    Scale(scale::Options),
    /// Guest instructions, accesses to registers and time per read of a disk, on every device that we have a driver for
    Block(block::Options),
    /// Guest instructions and accesses to registers per HTTP request, streams and many connections, on each network card
    Net(net::Options),
    /// Guest instructions and time of reading files: by virtio-fs, and from a disk with a FAT file system
    Fs(fs::Options),
    /// Instructions per read and per request, sizes and build times with each of the compiler's levels of optimisation
    Opt(opt::Options),
    /// Nanoseconds and instructions per operation of our virtqueue and two others, in this process
    Ring(ring::Options),
    /// Instructions per request in the network stack alone, in this process, at any number of connections
    Stack(stack::Options),
    /// Reads per second of our disk driver and libblkio, in this process, from the same vhost-user daemon
    BlockHost(block_host::Options),
    /// Reads of files in this process, through virtiofsd by vhost-user and by the host's own pread
    FsHost(fs_host::Options),
    /// Frames per second of our network driver and DPDK's, in ordinary processes, against the same vhost-user device
    NetHost(net_host::Options),
    /// Whether a wake-up is lost in millions of round trips between two sides that sleep; no figures, a verdict
    Litmus(litmus::Options),
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Web(options) => web::run(options),
        What::Boot(options) => boot::run(options),
        What::Sched(options) => sched::run(options),
        What::Scale(options) => scale::run(options),
        What::Block(options) => block::run(options),
        What::Net(options) => net::run(options),
        What::Fs(options) => fs::run(options),
        What::Opt(options) => opt::run(options),
        What::Ring(options) => ring::run(options),
        What::Stack(options) => stack::run(options),
        What::BlockHost(options) => block_host::run(options),
        What::FsHost(options) => fs_host::run(options),
        What::NetHost(options) => net_host::run(options),
        What::Litmus(options) => litmus::run(options),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
