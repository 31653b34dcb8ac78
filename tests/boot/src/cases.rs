//! The list of cases, by subject.
//!
//! | module | subject |
//! |---|---|
//! | [`cuts`] | power cuts: what was flushed is there |
//! | [`disks`] | disks on every interface, and disks that fail |
//! | [`examples`] | messages between cores, scheduling, faults, a server on all cores |
//! | [`fat`] | FAT file systems, with the host's tools on the other side |
//! | [`files`] | files of a share on all cores |
//! | [`hello`] | the smallest application on every machine, optimised and not |
//! | [`image`] | disk images: what is in them, and that they boot with a BIOS and with UEFI |
//! | [`net`] | the network: an interface of the host with every card, and with what it does for a stack on and off |
//! | [`net_soak`] | the network: many connections and bad clients leave nothing behind |
//! | [`net_trouble`] | the network: frames that are lost, links that go down, nobody who takes what is sent |
//! | [`net_wire`] | the network: frames as others see them |
//! | [`net6`] | IPv6: addresses from the command line and from routers |
//! | [`partitions`] | partitions of both kinds of table, raw and with file systems |
//! | [`power`] | the ends of machines without a debug exit, and a new start |
//! | [`refusals`] | wrong input: one clear line, and nothing is started |
//! | [`shares`] | shares that guests change, and servers of theirs that die |
//! | [`sockets`] | sockets of a guest against each other and against clients of the host |
//! | [`stopping`] | Ctrl-C and other ends leave nothing behind |
//! | [`talk`] | examples that talk to the host: echo, iperf3, ping, http, names |
//! | [`kernel`] | the kernel's own tests, and its reports of panics and faults |
//! | [`machines`] | every machine by every boot protocol, with every number of cores, with little memory and much |
//! | [`matrix`] | virtqueues on every interface, with every choice of ring features, at several sizes |
//! | [`ata`] | disks and a CD-ROM drive of an IDE controller, by DMA and PIO |
//! | [`debugger`] | gdb in a guest |
//! | [`queues`] | a card whose queue pairs belong to different cores |
//! | [`resizing`] | a disk that grows and shrinks while a guest uses it |
//! | [`other_os`] | another operating system with our drivers |
//! | [`outside`] | an application in a repository of its own |
//! | [`initrd`] | archives that come with the kernel, served |
//! | [`web`] | the static web server, with curl and files of the host ([`tree`]) |

pub mod ata;
pub mod cuts;
pub mod debugger;
pub mod disks;
pub mod examples;
pub mod fat;
pub mod files;
pub mod hello;
pub mod image;
pub mod initrd;
pub mod kernel;
pub mod machines;
pub mod matrix;
pub mod net;
pub mod net6;
pub mod net_soak;
pub mod net_trouble;
pub mod net_wire;
pub mod other_os;
pub mod outside;
pub mod partitions;
pub mod power;
pub mod queues;
pub mod refusals;
pub mod resizing;
pub mod shares;
pub mod small;
pub mod sockets;
pub mod stopping;
pub mod talk;
pub mod tree;
pub mod web;

use crate::case::Case;

/// The machines that every image must boot on.
pub const MACHINES: [&str; 3] = ["microvm", "pc", "q35"];

/// Every case, quick subjects first.
pub fn all() -> Vec<Case> {
    [
        refusals::cases(),
        hello::cases(),
        power::cases(),
        kernel::cases(),
        examples::cases(),
        talk::cases(),
        files::cases(),
        machines::cases(),
        matrix::cases(),
        ata::cases(),
        queues::cases(),
        net::cases(),
        net_wire::cases(),
        net_soak::cases(),
        sockets::cases(),
        net6::cases(),
        net_trouble::cases(),
        resizing::cases(),
        disks::cases(),
        cuts::cases(),
        fat::cases(),
        partitions::cases(),
        shares::cases(),
        stopping::cases(),
        debugger::cases(),
        other_os::cases(),
        outside::cases(),
        web::cases(),
        image::cases(),
        initrd::cases(),
        small::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().into_iter().map(|case| case.name).collect();
        names.sort();
        let number = names.len();
        names.dedup();
        assert_eq!(names.len(), number);
    }
}
