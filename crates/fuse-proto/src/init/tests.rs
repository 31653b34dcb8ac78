//! INIT: FU-INI, HD-FS-34 and HD-FS-35, and the matrix of FU-T-6.

use core::time::Duration;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use zerocopy::FromZeros;

use super::*;
use crate::errno::Errno;
use crate::header::Caller;
use crate::id::NodeId;
use crate::ops::{Open, OpenFlags};
use crate::session::Plan;
use crate::testing::{UNIQUE, config, reply};

const MIB: u32 = 1 << 20;

/// The reply of a server that agrees to everything and is generous.
fn agreeing(init: &Init) -> WireInitReply {
    let (flags, flags2) = init.flags.halves();
    let mut reply = WireInitReply::new_zeroed();
    reply.major = U32::new(7);
    reply.minor = U32::new(38);
    reply.flags = flags;
    reply.flags2 = flags2;
    reply.max_write = U32::new(MIB);
    reply.max_pages = U16::new(256);
    reply.max_readahead = U32::new(MIB);
    reply.time_granularity = U32::new(1);
    reply
}

fn settle(init: &Init, wire: &WireInitReply) -> Result<Session, ReplyError> {
    init.decode(UNIQUE, &reply(0, wire.as_bytes()))
}

/// The session after a reply that `spoil` made out of a good one.
fn session(init: &Init, spoil: impl FnOnce(&mut WireInitReply)) -> Session {
    let mut wire = agreeing(init);
    spoil(&mut wire);
    settle(init, &wire).expect("a session")
}

fn body(init: &Init) -> Vec<u8> {
    let mut buffer = vec![0xff; 128];
    let len = init.encode(UNIQUE, Caller::SUPERUSER, &mut buffer).expect("it fits");
    buffer.truncate(len);
    buffer.split_off(40)
}

#[test]
fn fu_ini_1_init_is_about_no_node() {
    let mut buffer = [0xff; 128];
    let init = Init::new(MIB);
    assert_eq!(init.encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Ok(56));
    assert_eq!(buffer[4..8], [26, 0, 0, 0]);
    assert_eq!(buffer[16..24], [0; 8]);
}

#[test]
fn fu_ini_2_the_body_is_16_bytes_without_init_ext() {
    let init = Init::new(MIB).with_readahead(0x0001_0203);
    let flags = u32::try_from(InitFlags::BASIC.bits()).expect("lower half only");
    let mut expected = vec![7, 0, 0, 0, 45, 0, 0, 0, 3, 2, 1, 0];
    expected.extend(flags.to_le_bytes());
    assert_eq!(body(&init), expected);
    assert_eq!(flags & 1 << 30, 0);
}

#[test]
fn fu_ini_2_the_body_is_64_bytes_with_init_ext() {
    let init = Init::new(MIB).offer(InitFlags::MAX_PAGES | InitFlags::CREATE_SUPP_GROUP);
    let body = body(&init);
    assert_eq!(body.len(), 64);
    assert_eq!(body[12..16], (1u32 << 22 | 1 << 30).to_le_bytes());
    assert_eq!(body[16..20], 4u32.to_le_bytes());
    assert!(body[20..].iter().all(|&byte| byte == 0));
}

#[test]
fn fu_ini_2_init_ext_follows_the_flags_that_need_it() {
    let alone = Init::new(MIB).offer(InitFlags::INIT_EXT | InitFlags::MAX_PAGES);
    assert_eq!(alone.flags(), InitFlags::MAX_PAGES);
    // Bit 31 is reserved and never sent.
    let all = Init::new(MIB).offer(InitFlags::from_bits_retain(u64::MAX));
    assert_eq!(all.flags().bits() & 1 << 31, 0);
    assert!(all.flags().contains(InitFlags::INIT_EXT));
}

#[test]
fn fu_ini_3_the_minor_sent_satisfies_the_pickiest_server() {
    const { assert!(MINOR >= 31) };
    assert_eq!(body(&Init::new(MIB))[4..8], MINOR.to_le_bytes());
}

#[test]
fn fu_ini_4_hd_fs_34_another_major_fails() {
    let init = Init::new(MIB);
    for major in [0, 6, 8, u32::MAX] {
        let mut wire = agreeing(&init);
        wire.major = U32::new(major);
        assert_eq!(settle(&init, &wire), Err(Defect::Version.into()), "{major}");
    }
}

#[test]
fn fu_ini_5_fu_t_6_the_smaller_minor_counts() {
    let init = Init::new(MIB);
    for (theirs, effective) in [(12, 12), (27, 27), (31, 31), (36, 36), (38, 38), (45, 45), (u32::MAX, 45)] {
        let session = session(&init, |wire| wire.minor = U32::new(theirs));
        assert_eq!(session.minor(), effective);
    }
}

#[test]
fn hd_fs_34_a_minor_with_other_structures_fails() {
    let init = Init::new(MIB);
    for minor in [0, 4, 11] {
        let mut wire = agreeing(&init);
        wire.minor = U32::new(minor);
        assert_eq!(settle(&init, &wire), Err(Defect::Version.into()), "{minor}");
    }
}

#[test]
fn fu_ini_6_hd_fs_35_short_replies_are_filled_with_zeros() {
    let init = Init::new(MIB).with_readahead(MIB);
    let wire = agreeing(&init);

    let oldest = init.decode(UNIQUE, &reply(0, &wire.as_bytes()[..8]));
    let oldest = oldest.expect("8 bytes are a reply");
    assert_eq!(oldest.flags(), InitFlags::empty());
    assert_eq!((oldest.max_read(), oldest.max_write()), (128 << 10, 4096));
    assert_eq!(oldest.max_readahead(), 0);

    let old = init.decode(UNIQUE, &reply(0, &wire.as_bytes()[..24]));
    let old = old.expect("24 bytes are a reply");
    assert_eq!(old.flags(), InitFlags::BASIC);
    // MAX_PAGES was returned, its number was not: one page.
    assert_eq!((old.max_read(), old.max_write()), (4096, 4096));
    assert_eq!(old.max_readahead(), MIB);
}

#[test]
fn hd_fs_3_no_other_length_is_a_reply() {
    let init = Init::new(MIB);
    let wire = agreeing(&init);
    for len in (0..64).filter(|len| ![8, 24].contains(len)) {
        let bytes = reply(0, &wire.as_bytes()[..len]);
        assert_eq!(init.decode(UNIQUE, &bytes), Err(Defect::PayloadLength.into()), "{len}");
    }
    let long = [wire.as_bytes(), &[0; 8]].concat();
    let result = init.decode(UNIQUE, &reply(0, &long));
    assert_eq!(result, Err(Defect::Overlong.into()));
}

#[test]
fn fu_ini_7_fu_t_6_each_flag_counts_only_if_sent_and_returned() {
    let sent = InitFlags::BASIC | InitFlags::CREATE_SUPP_GROUP | InitFlags::HAS_INODE_DAX;
    let init = Init::new(MIB).offer(sent);
    let all = session(&init, |wire| {
        wire.flags = U32::MAX_VALUE;
        wire.flags2 = U32::MAX_VALUE;
    });
    assert_eq!(all.flags(), init.flags(), "nothing that was not sent");
    for dropped in init.flags().iter() {
        if dropped == InitFlags::INIT_EXT {
            continue;
        }
        let (lower, upper) = init.flags().difference(dropped).halves();
        let session = session(&init, |wire| {
            wire.flags = lower;
            wire.flags2 = upper;
        });
        assert_eq!(session.flags(), init.flags().difference(dropped));
    }
}

/// What a session is to be like, worked out from the rules and not from the code.
struct Expected {
    minor: u32,
    flags: InitFlags,
    max_read: u32,
    max_write: u32,
    map_alignment: Option<u32>,
    request_timeout: Option<Duration>,
}

impl Expected {
    /// For a server that speaks `minor`, agrees to `flags` and answers with `length` bytes of a generous reply.
    fn of(minor: u32, flags: InitFlags, length: usize) -> Self {
        let whole = length == 64;
        let flags = match length {
            8 => InitFlags::empty(),
            24 => InitFlags::from_bits_truncate(flags.bits() & u64::from(u32::MAX)),
            _ if !flags.contains(InitFlags::INIT_EXT) => {
                InitFlags::from_bits_truncate(flags.bits() & u64::from(u32::MAX))
            }
            _ => flags,
        };
        let max_read = match (flags.contains(InitFlags::MAX_PAGES), whole) {
            (true, true) => MIB,
            (true, false) => 4096,
            (false, _) => 128 << 10,
        };
        Self {
            minor: minor.min(45),
            flags,
            max_read,
            max_write: if flags.contains(InitFlags::BIG_WRITES) { max_read } else { 4096 },
            map_alignment: flags.contains(InitFlags::MAP_ALIGNMENT).then_some(if whole { 1 << 21 } else { 1 }),
            request_timeout: (whole && flags.contains(InitFlags::REQUEST_TIMEOUT)).then_some(Duration::from_secs(30)),
        }
    }
}

#[test]
fn fu_t_6_every_minor_every_length_and_every_flag_dropped() {
    let init = Init::new(MIB).offer(InitFlags::all());
    let drops = init.flags().iter().chain([InitFlags::empty()]);
    let mut sessions = 0;
    for dropped in drops {
        let returned = init.flags().difference(dropped);
        for minor in [27, 31, 36, 38, 45, 46] {
            for length in REPLY_LENGTHS {
                let mut wire = agreeing(&init);
                (wire.flags, wire.flags2) = returned.halves();
                wire.minor = U32::new(minor);
                wire.map_alignment = U16::new(21);
                wire.request_timeout = U16::new(30);
                let expected = Expected::of(minor, returned, length);
                let session = init.decode(UNIQUE, &reply(0, &wire.as_bytes()[..length])).expect("a session");
                let case = std::format!("{minor} {length} without {dropped:?}");
                assert_eq!(session.minor(), expected.minor, "{case}");
                assert_eq!(session.flags(), expected.flags, "{case}");
                assert_eq!(
                    (session.max_read(), session.max_write()),
                    (expected.max_read, expected.max_write),
                    "{case}"
                );
                assert_eq!(session.map_alignment(), expected.map_alignment, "{case}");
                assert_eq!(session.request_timeout(), expected.request_timeout, "{case}");
                obeys(session, &case);
                sessions += 1;
            }
        }
    }
    assert_eq!(sessions, (init.flags().iter().count() + 1) * 6 * 3);
}

/// What is sent in the session fits what was agreed.
fn obeys(session: Session, case: &str) {
    let flags = session.flags();
    let has = |flag| flags.contains(flag);
    let truncates = Open::new(NodeId::ROOT, OpenFlags::TRUNCATE, &session).flags().contains(OpenFlags::TRUNCATE);
    assert_eq!(truncates, has(InitFlags::ATOMIC_O_TRUNC), "{case}");
    let plus = if has(InitFlags::DO_READDIRPLUS) { Plan::Send } else { Plan::UseInstead(Opcode::ReadDir) };
    assert_eq!(session.plan(Opcode::ReadDirPlus), plus, "{case}");
    assert_eq!(session.masked(0o777, 0o022), if has(InitFlags::DONT_MASK) { 0o777 } else { 0o755 }, "{case}");
    for (opcode, flag) in [(Opcode::Open, InitFlags::NO_OPEN_SUPPORT), (Opcode::OpenDir, InitFlags::NO_OPENDIR_SUPPORT)]
    {
        let learnt = session.clone().learn_unsupported(opcode);
        assert_eq!(learnt, has(flag).then_some(Plan::Skip), "{case}");
    }
}

#[test]
fn a_client_promises_only_what_it_can_keep() {
    let mut advised = InitFlags::ASYNC_READ | InitFlags::ATOMIC_O_TRUNC | InitFlags::BIG_WRITES;
    advised |= InitFlags::AUTO_INVAL_DATA | InitFlags::DO_READDIRPLUS | InitFlags::READDIRPLUS_AUTO;
    advised |= InitFlags::ASYNC_DIO | InitFlags::NO_OPEN_SUPPORT | InitFlags::PARALLEL_DIROPS;
    advised |= InitFlags::MAX_PAGES | InitFlags::NO_OPENDIR_SUPPORT | InitFlags::SETXATTR_EXT;
    assert_eq!(InitFlags::BASIC, advised);
    assert_eq!(Init::new(MIB).flags(), advised);
    assert_eq!(Init::new(MIB).request_len(), Ok(40 + 16), "nothing in it needs INIT_EXT");
}

#[test]
fn fu_ini_7_the_upper_half_counts_only_with_init_ext() {
    let init = Init::new(MIB).offer(InitFlags::MAX_PAGES | InitFlags::CREATE_SUPP_GROUP);
    let session = session(&init, |wire| {
        wire.flags = U32::new(1 << 22);
        wire.flags2 = U32::MAX_VALUE;
    });
    assert_eq!(session.flags(), InitFlags::MAX_PAGES);
}

#[test]
fn fu_ini_8_hd_fs_34_max_write_is_clamped_from_both_sides() {
    let init = Init::new(MIB);
    for (theirs, ours) in [(0, 4096), (4095, 4096), (65_536, 65_536), (MIB, MIB), (u32::MAX, MIB)] {
        let session = session(&init, |wire| wire.max_write = U32::new(theirs));
        assert_eq!(session.max_write(), ours, "{theirs}");
    }
}

#[test]
fn fu_ini_8_our_own_limit_counts() {
    let session = session(&Init::new(64 << 10), |_| ());
    assert_eq!(session.max_read(), 64 << 10);
    assert_eq!(session.max_write(), 64 << 10);
    // A limit below a page is no limit to work with, one above 1 MiB none a server keeps.
    assert_eq!(Init::new(0).max_transfer, 4096);
    assert_eq!(Init::new(u32::MAX).max_transfer, MIB);
}

#[test]
fn fu_ini_8_a_queue_carries_a_page_per_descriptor_less_four() {
    for (queue, bytes) in [(0, 4096), (4, 4096), (8, 4 * 4096), (128, 124 * 4096), (1024, MIB), (u16::MAX, MIB)] {
        assert_eq!(Init::max_transfer_for_queue(queue), bytes, "{queue}");
    }
}

#[test]
fn fu_ini_9_hd_fs_34_max_pages_is_clamped() {
    let init = Init::new(MIB);
    for (pages, bytes) in [(0, 4096), (1, 4096), (32, 128 << 10), (256, MIB), (u16::MAX, MIB)] {
        let session = session(&init, |wire| wire.max_pages = U16::new(pages));
        assert_eq!(session.max_read(), bytes, "{pages}");
        assert_eq!(session.max_write(), bytes, "{pages}");
    }
}

#[test]
fn fu_ini_9_without_max_pages_requests_stop_at_128_kib() {
    let init = Init::new(MIB).offer(InitFlags::BASIC.difference(InitFlags::MAX_PAGES));
    let session = session(&init, |_| ());
    assert_eq!(session.max_read(), 128 << 10);
    assert_eq!(session.max_write(), 128 << 10);
}

#[test]
fn fu_ini_9_without_big_writes_a_write_is_4_kib() {
    let init = Init::new(MIB).offer(InitFlags::BASIC.difference(InitFlags::BIG_WRITES));
    let session = session(&init, |_| ());
    assert_eq!((session.max_read(), session.max_write()), (MIB, 4096));
}

#[test]
fn fu_ini_10_readahead_and_background_are_the_smaller_ones() {
    let init = Init::new(MIB).with_readahead(8192).with_max_background(20);
    let defaults = session(&init, |_| ());
    assert_eq!(defaults.max_readahead(), 8192);
    assert_eq!(defaults.max_background(), 12);
    assert_eq!(defaults.congestion_threshold(), 9);

    let large = session(&init, |wire| {
        wire.max_readahead = U32::new(4096);
        wire.max_background = U16::MAX_VALUE;
        wire.congestion_threshold = U16::MAX_VALUE;
    });
    assert_eq!(large.max_readahead(), 4096);
    assert_eq!(large.max_background(), 20);
    assert_eq!(large.congestion_threshold(), 20);
}

#[test]
fn fu_ini_11_hd_fs_34_time_granularity_is_at_most_a_second() {
    let init = Init::new(MIB);
    for (theirs, ours) in [(0, 1), (1, 1), (1_000_000_000, 1_000_000_000), (1_000_000_001, 1), (u32::MAX, 1)] {
        let session = session(&init, |wire| wire.time_granularity = U32::new(theirs));
        assert_eq!(session.time_granularity(), ours, "{theirs}");
    }
}

#[test]
fn fu_ini_12_hd_fs_34_the_alignment_is_a_bounded_shift() {
    let init = Init::new(MIB).offer(InitFlags::BASIC | InitFlags::MAP_ALIGNMENT);
    for (log2, bytes) in [(0, 1), (12, 4096), (30, 1 << 30)] {
        let session = session(&init, |wire| wire.map_alignment = U16::new(log2));
        assert_eq!(session.map_alignment(), Some(bytes));
    }
    for log2 in [31, 32, 63, 64, u16::MAX] {
        let mut wire = agreeing(&init);
        wire.map_alignment = U16::new(log2);
        assert_eq!(settle(&init, &wire), Err(Defect::MapAlignment.into()));
    }
    let unasked = session(&Init::new(MIB), |wire| wire.map_alignment = U16::new(63));
    assert_eq!(unasked.map_alignment(), None);
}

#[test]
fn fu_ini_13_the_timeout_is_there_if_negotiated() {
    let init = Init::new(MIB).offer(InitFlags::REQUEST_TIMEOUT);
    let asked = session(&init, |wire| wire.request_timeout = U16::new(30));
    assert_eq!(asked.request_timeout(), Some(Duration::from_secs(30)));
    let none = session(&init, |wire| wire.request_timeout = U16::ZERO);
    assert_eq!(none.request_timeout(), None);
    let unasked = session(&Init::new(MIB), |wire| wire.request_timeout = U16::new(30));
    assert_eq!(unasked.request_timeout(), None);
}

#[test]
fn fu_ini_14_an_error_fails_the_mount_with_that_error() {
    let init = Init::new(MIB);
    for (error, errno) in [(-71, Errno::EPROTO), (-22, Errno::EINVAL), (-12, Errno::ENOMEM)] {
        let result = init.decode(UNIQUE, &reply(error, &[]));
        assert_eq!(result, Err(ReplyError::Remote(errno)));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_reply_gives_a_session_within_limits_or_none(
        mut payload in prop::collection::vec(any::<u8>(), 64),
        len in prop::sample::select(vec![8, 24, 64]),
        any_major: bool,
        offered: u64,
        transfer: u32,
    ) {
        if !any_major {
            payload[..4].copy_from_slice(&7u32.to_le_bytes());
        }
        let init = Init::new(transfer).offer(InitFlags::from_bits_retain(offered));
        if let Ok(session) = init.decode(UNIQUE, &reply(0, &payload[..len])) {
            prop_assert!(init.flags().contains(session.flags()));
            prop_assert!((MIN_MINOR..=MINOR).contains(&session.minor()));
            prop_assert!((4096..=MIB).contains(&session.max_read()));
            prop_assert!((4096..=session.max_read()).contains(&session.max_write()));
            prop_assert!(session.max_background() >= 1);
            prop_assert!(session.congestion_threshold() <= session.max_background());
            prop_assert!((1..=1_000_000_000).contains(&session.time_granularity()));
            prop_assert!(session.map_alignment().is_none_or(u32::is_power_of_two));
        }
    }

    #[test]
    fn the_request_carries_what_was_offered(offered: u64, readahead: u32) {
        let init = Init::new(MIB)
            .offer(InitFlags::from_bits_retain(offered))
            .with_readahead(readahead);
        let body = body(&init);
        let (head, tail) = WireInit::read_from_prefix(&body).expect("at least 16 bytes");
        let flags2 = if tail.is_empty() {
            U32::ZERO
        } else {
            WireInitExt::read_from_bytes(tail).expect("48 more bytes").flags2
        };
        prop_assert_eq!(head.major.get(), 7);
        prop_assert_eq!(head.max_readahead.get(), readahead);
        prop_assert_eq!(InitFlags::from_halves(head.flags, flags2), init.flags());
        prop_assert_eq!(tail.is_empty(), head.flags.get() & 1 << 30 == 0);
    }
}
