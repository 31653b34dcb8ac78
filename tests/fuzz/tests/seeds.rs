//! Each seed is in its corpus, and does what it is called after.

use std::path::Path;

use fuzz_targets::{
    archive, block_device, boot_information, config_space, e1000, fat, partitions, pci_capabilities, received_frames,
    registers, seeds, used_ring, virtio_fs, virtio_net,
};
use toro_core::driver::{AttachError, DeviceFault};
use toro_partitions::{GptCopy, Scheme};
use virtio_queue_rt::{InitError, TransportError};
use virtio_sim::SimMemory;

/// The seeds of a target.
fn seeds_of(target: &str) -> seeds::Seeds {
    let all = seeds::all();
    let found = all.into_iter().find(|(name, _)| *name == target);
    found.expect("the target has seeds").1
}

#[test]
fn the_corpora_hold_the_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in seeds::all() {
        for (name, input) in seeds {
            let found = std::fs::read(corpus.join(target).join(name)).ok();
            assert!(found.as_ref() == Some(&input), "{target}/{name}: cargo run -p fuzz-targets --bin write-seeds");
        }
    }
}

#[test]
fn each_lie_about_a_used_ring_is_the_fault_that_it_should_be() {
    for (name, input) in seeds_of("used_ring") {
        let fault = used_ring::body(&input, SimMemory::leak());
        let expected = match name {
            "hd_vq_1" => Some(DeviceFault::UsedIdOutOfRange { id: 0x1_0001 }),
            "hd_vq_2" => Some(DeviceFault::UsedIdNotInFlight { id: 5 }),
            "hd_vq_3" => Some(DeviceFault::UsedIdNotInFlight { id: 1 }),
            "hd_vq_6" => Some(DeviceFault::UsedIndexJump { advance: 4, in_flight: 3 }),
            "hd_vq_7" => Some(DeviceFault::UsedIndexJump { advance: 0xffff, in_flight: 2 }),
            // Shown before it was written: the same old element twice.
            "hd_vq_10" => Some(DeviceFault::UsedIdNotInFlight { id: 0 }),
            "hd_vq_12" => Some(DeviceFault::UsedIdOutOfOrder { id: 1 }),
            "hd_vq_15" => Some(DeviceFault::UsedIndexJump { advance: 4, in_flight: 3 }),
            _ => None,
        };
        assert_eq!(fault, expected, "{name}");
    }
}

#[test]
fn each_lie_of_a_controller_costs_it_what_it_should() {
    for (name, input) in seeds_of("e1000") {
        let outcome = e1000::body(&input, SimMemory::leak(), virtio_sim::ide::Clock::leak());
        let fault = (name == "hd_e1k_5").then_some(DeviceFault::Gone);
        assert_eq!(outcome.fault, fault, "{name}");
        assert_eq!(outcome.resets, u64::from(name == "hd_e1k_7"), "{name}");
        if name.starts_with("obedient") {
            // Out: twice a plain one, one with a checksum and one in four pieces. In: twice three. And one each in the end.
            assert_eq!((outcome.sent, outcome.received), (13, 7), "{name}");
        }
    }
}

#[test]
fn each_lie_of_a_function_costs_it_a_capability() {
    for (name, input) in seeds_of("pci_capabilities") {
        let refused = pci_capabilities::body(&input, SimMemory::leak());
        let is_refused = matches!(
            name,
            "hd_pci_2"
                | "hd_pci_3"
                | "hd_pci_4"
                | "hd_pci_5"
                | "hd_pci_6"
                | "hd_pci_7"
                | "hd_pci_8"
                | "hd_pci_9"
                | "hd_pci_10"
                | "table_beyond_its_bar"
        );
        match refused {
            None => assert!(!is_refused, "{name}"),
            Some(TransportError::Missing(_)) => assert!(is_refused, "{name}"),
            Some(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn a_disk_is_taken_whatever_it_says_unless_it_has_no_capacity() {
    for (name, input) in seeds_of("block_device") {
        let refused = block_device::body(&input, SimMemory::leak());
        assert_eq!(refused.is_some(), name == "hd_cfg_3", "{name}: {refused:?}");
    }
}

#[test]
fn a_card_is_taken_whatever_it_says() {
    for (name, input) in seeds_of("virtio_net") {
        assert_eq!(virtio_net::body(&input, SimMemory::leak()), None, "{name}");
    }
}

#[test]
fn a_share_is_taken_whatever_it_says_unless_it_has_no_name_or_no_queue() {
    for (name, input) in seeds_of("virtio_fs") {
        let refused = virtio_fs::body(&input, SimMemory::leak());
        let is_refused = matches!(name, "hd_cfg_3" | "hd_cfg_13" | "hd_cfg_14_none" | "hd_qs_1");
        assert_eq!(refused.is_some(), is_refused, "{name}: {refused:?}");
    }
}

#[test]
fn each_lie_of_a_configuration_is_refused_or_replaced() {
    for (name, input) in seeds_of("config_space") {
        let refused = config_space::body(&input, SimMemory::leak());
        let is_refused = matches!(name, "hd_cfg_1" | "hd_cfg_13" | "hd_cfg_14");
        assert_eq!(matches!(refused, Some(AttachError::Configuration(_))), is_refused, "{name}: {refused:?}");
    }
}

#[test]
fn obedient_devices_are_usable_over_every_interface_and_others_are_not() {
    for (name, input) in seeds_of("registers") {
        let refused = registers::body(&input, SimMemory::leak());
        let expected = match name {
            "hd_st_1" => Some(InitError::Transport(TransportError::TimedOut)),
            "hd_pci_14" => Some(InitError::Transport(TransportError::Gone)),
            _ => None,
        };
        assert_eq!(refused, expected, "{name}");
    }
}

#[test]
fn partition_tables_are_what_they_are_called() {
    for (name, input) in seeds_of("partitions") {
        let report = partitions::body(&input);
        let expected = match name {
            "mbr" => (Scheme::Mbr, 4, 0),
            "gpt" | "blocks_of_4096" => (Scheme::Gpt(GptCopy::Primary), 1, 0),
            "backup" => (Scheme::Gpt(GptCopy::Backup), 1, 1),
            _ => (Scheme::None, 0, 0),
        };
        assert_eq!((report.scheme, report.partitions, report.problems.count()), expected, "{name}: {report:?}");
    }
}

#[test]
fn archives_have_as_many_names_as_they_should_or_are_refused() {
    for (name, input) in seeds_of("archive") {
        let found = archive::body(&input, SimMemory::leak()).ok();
        let expected = match name {
            "tar" | "cpio" => Some(if name == "tar" { 4 } else { 3 }),
            "tar_links" | "tar_sparse" | "tar_pax" | "cpio_links" => Some(2),
            "tar_long" => Some(61),
            _ => None,
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn volumes_are_mounted_but_for_the_one_that_is_none() {
    for (name, input) in seeds_of("fat") {
        assert_eq!(fat::body(&input), name != "no_volume", "{name}");
    }
}

#[test]
fn the_frames_of_each_story_arrive_as_they_should() {
    for (name, input) in seeds_of("received_frames") {
        let counters = received_frames::body(&input, SimMemory::leak());
        let (merged, bad) = match name {
            "datagrams" | "merged_with_headroom" | "merged_without_headroom" => (1, 0),
            // The checksum that nobody has written is wrong.
            "merged_to_be_verified" | "a_changed_header" => (1, 0),
            _ => (0, 0),
        };
        assert_eq!((counters.merged, counters.bad_checksums), (merged, bad), "{name}");
        let lost = u64::from(["merged_to_be_verified", "a_changed_header"].contains(&name));
        assert_eq!(counters.merged_lost, lost, "{name}");
        // ARP is answered, a handshake too; then come the answer, in one frame or several, and the end.
        let least = match name {
            "datagrams" => 3,
            "any_bytes" => 1,
            _ if lost > 0 => 3,
            _ => 5,
        };
        assert!(counters.transmitted >= least, "{name}: {} frames", counters.transmitted);
    }
}

#[test]
fn loaders_are_believed_where_they_can_be() {
    use toro::boot::information::BootError;

    for (name, input) in seeds_of("boot_information") {
        let outcome =
            boot_information::body(&input).map(|outcome| (outcome.command_line, outcome.has_rsdp, outcome.modules));
        let expected = match name {
            "pvh" => Ok((&b"log=debug test=time"[..], true, (1, 0))),
            "pvh_module_of_no_size" => Ok((&b"log=debug test=time"[..], true, (1, 1))),
            "pvh_module_list_out_of_reach" => Ok((&b""[..], true, (0, u32::MAX as usize))),
            "linux" | "linux_more_entries_than_fit" => Ok((&b"log=debug test=time"[..], true, (1, 0))),
            "multiboot2" => Ok((&b"log=debug"[..], true, (1, 0))),
            _ => Err(BootError::MemoryMap),
        };
        let outcome =
            outcome.as_ref().map(|(line, rsdp, modules)| (line.as_slice(), *rsdp, *modules)).map_err(|error| *error);
        assert_eq!(outcome, expected, "{name}");
    }
}
