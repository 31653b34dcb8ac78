//! Target `fuse_init`: any answer to any offer of a session.
//!
//! | input | meaning |
//! |---|---|
//! | 8 bytes | features that are offered, on top of the usual ones if bit 63 is clear |
//! | 4, 4, 2 bytes | the largest transfer, read-ahead, requests in the background |
//! | byte | bit 0: the reply's length is any, else 64; bit 1: its header is any, else right |
//! | rest | the reply: header if it is any, then length if it is any, then the payload |
//!
//! Held, against a second reading of the rules: whether there is a session at all, and every number in it.

use std::time::Duration;

use fuse_proto::init::{MAJOR, MIN_MINOR, MINOR};
use fuse_proto::ops::Init;
use fuse_proto::{Caller, Defect, InitFlags, Operation, ReplyError, Request, Session, Unique};

use crate::script::Script;

/// Runs an input; says what became of the session.
pub fn body(input: &[u8]) -> Result<Session, ReplyError> {
    let script = Script::new(input);
    let features = u64::from_le_bytes(script.bytes());
    let mut offered = InitFlags::from_bits_truncate(features);
    if features >> 63 == 0 {
        offered |= InitFlags::BASIC;
    }
    let (transfer, readahead, background) = (script.long(), script.long(), script.word());
    let init = Init::new(transfer).offer(offered).with_readahead(readahead).with_max_background(background);
    let unique = Unique::new(2).expect("even");
    request(&init, unique, readahead);

    let manner = script.byte();
    let mut header = [0; 16];
    let mut len = 64;
    if manner & 2 != 0 {
        header = script.bytes();
    }
    if manner & 1 != 0 {
        len = usize::from(script.byte());
    }
    let mut payload = script.take(len).to_vec();
    payload.resize(len, 0);
    if manner & 2 == 0 {
        header[0] = u8::try_from(16 + len.min(239)).expect("less than 256");
        header[8] = 2;
    }
    let reply = [&header[..], &payload].concat();
    let result = init.decode(unique, &reply);
    match &result {
        Ok(session) => agreed(&init, [transfer, readahead, background.into()], session, &payload, &header),
        Err(error) => {
            assert_eq!((error.forget(), error.release()), (None, None), "there is nothing yet to give back");
            refused(*error, &header, &payload);
        }
    }
    result
}

/// The request has the length that its features say.
fn request(init: &Init, unique: Unique, readahead: u32) {
    let mut buffer = [0xee; 128];
    let len = init.encode(unique, Caller::SUPERUSER, &mut buffer).expect("there is room");
    let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().expect("4 bytes"));
    let is_long = init.flags().bits() >> 32 != 0;
    assert_eq!(len, if is_long { 104 } else { 56 });
    assert_eq!(init.flags().contains(InitFlags::INIT_EXT), is_long);
    assert_eq!([word(0), word(40), word(44), word(48)], [u32::try_from(len).expect("small"), MAJOR, MINOR, readahead]);
    let upper = if is_long { u64::from(word(56)) << 32 } else { 0 };
    assert_eq!(u64::from(word(52)) | upper, init.flags().bits());
}

/// The payload as long as it can be.
fn padded(payload: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    let len = payload.len().min(64);
    bytes[..len].copy_from_slice(&payload[..len]);
    bytes
}

/// Every number of a session that was agreed on.
fn agreed(init: &Init, sent: [u32; 3], session: &Session, payload: &[u8], header: &[u8; 16]) {
    let claimed = usize::try_from(u32::from_le_bytes(header[..4].try_into().expect("4 bytes"))).expect("small") - 16;
    assert!([8, 24, 64].contains(&claimed) && claimed <= payload.len());
    let reply = padded(&payload[..claimed]);
    let word = |at: usize| u32::from_le_bytes(reply[at..at + 4].try_into().expect("4 bytes"));
    let half = |at: usize| u16::from_le_bytes(reply[at..at + 2].try_into().expect("2 bytes"));
    assert_eq!(word(0), MAJOR);
    assert_eq!(session.minor(), word(4).min(MINOR));
    assert!(session.minor() >= MIN_MINOR);

    let mut returned = u64::from(word(12));
    if returned & init.flags().bits() & InitFlags::INIT_EXT.bits() != 0 {
        returned |= u64::from(word(32)) << 32;
    }
    assert_eq!(session.flags().bits(), init.flags().bits() & returned);
    let has = |flag| session.flags().contains(flag);

    let pages = if has(InitFlags::MAX_PAGES) { half(28).clamp(1, 256) } else { 32 };
    let transfer = sent[0].clamp(4096, 1 << 20);
    assert_eq!(session.max_read(), (u32::from(pages) * 4096).min(transfer));
    let write = if has(InitFlags::BIG_WRITES) { word(20).clamp(4096, session.max_read()) } else { 4096 };
    assert_eq!(session.max_write(), write);
    assert_eq!(session.max_readahead(), sent[1].min(word(8)));
    let background = if half(16) == 0 { 12 } else { half(16) };
    assert_eq!(u32::from(session.max_background()), u32::from(background).min(sent[2].max(1)));
    assert!((1..=session.max_background()).contains(&session.congestion_threshold()));
    let granularity = if (1..=1_000_000_000).contains(&word(24)) { word(24) } else { 1 };
    assert_eq!(session.time_granularity(), granularity);
    let alignment = has(InitFlags::MAP_ALIGNMENT).then(|| 1 << half(30));
    assert_eq!(session.map_alignment(), alignment);
    assert!(alignment.is_none_or(|bytes: u32| bytes.is_power_of_two() && bytes <= 1 << 30));
    let timeout = (has(InitFlags::REQUEST_TIMEOUT) && half(40) != 0).then(|| Duration::from_secs(half(40).into()));
    assert_eq!(session.request_timeout(), timeout);
}

/// There was a reason.
fn refused(error: ReplyError, header: &[u8; 16], payload: &[u8]) {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let reply = padded(payload);
    let claimed = word(header, 0);
    let status = i32::from_le_bytes(header[4..8].try_into().expect("4 bytes"));
    let ReplyError::Malformed { defect, .. } = error else {
        assert!((-511..=-1).contains(&status));
        return;
    };
    match defect {
        Defect::HeaderLength => assert!(claimed < 16),
        Defect::Overlong => assert!(claimed > 80 || usize::try_from(claimed).expect("small") > 16 + payload.len()),
        Defect::WrongUnique => assert_ne!(header[8..], 2_u64.to_le_bytes()),
        Defect::ErrorRange => assert!(!(-511..=0).contains(&status)),
        Defect::PayloadLength => assert!(![24, 40, 80].contains(&claimed)),
        Defect::Version => assert!(word(&reply, 0) != MAJOR || word(&reply, 4) < MIN_MINOR),
        Defect::MapAlignment => assert!(u16::from_le_bytes([reply[30], reply[31]]) > 30),
        other => panic!("{other} is nothing that INIT can do wrong"),
    }
}

/// Servers of several ages, and the lies of the catalogue about sessions.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let reply = |minor: u8, change: &dyn Fn(&mut [u8; 64])| {
        let mut bytes = [0; 64];
        bytes[0] = 7;
        bytes[4] = minor;
        bytes[8..16].fill(0xff);
        bytes[16] = 64;
        bytes[18] = 48;
        bytes[20..24].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        bytes[24] = 1;
        bytes[29] = 1;
        bytes[30] = 21;
        change(&mut bytes);
        bytes
    };
    // Everything is offered, half a mebibyte moves, 128 KiB of read-ahead and 16 requests.
    let offer = [&[0xff; 7][..], &[0x7f], &[0, 0, 8, 0], &[0, 0, 2, 0], &[16, 0]].concat();
    let whole = |minor: u8, change: &dyn Fn(&mut [u8; 64])| [&offer[..], &[0], &reply(minor, change)].concat();
    let short = |len: u8| [&offer[..], &[1, len], &reply(31, &|_| ())[..len.into()]].concat();
    let few = [&[0; 7][..], &[0x80], &[0; 10], &[0], &reply(38, &|_| ())].concat();
    let numbers =
        |at: usize, bytes: &'static [u8]| whole(38, &move |reply| reply[at..at + bytes.len()].copy_from_slice(bytes));
    vec![
        ("minor_27", whole(27, &|_| ())),
        ("minor_31", whole(31, &|_| ())),
        ("minor_36", whole(36, &|_| ())),
        ("minor_38", whole(38, &|reply| reply[32..36].fill(0xff))),
        ("minor_45", whole(45, &|reply| reply[32..42].fill(0xff))),
        ("minor_255", whole(255, &|_| ())),
        ("nothing_offered", few),
        ("hd_fs_34_major", numbers(0, &[6])),
        ("hd_fs_34_minor", numbers(4, &[0])),
        ("hd_fs_34_max_write", numbers(20, &[0; 4])),
        ("hd_fs_34_max_write_large", numbers(20, &[0xff; 4])),
        ("hd_fs_34_max_pages", numbers(28, &[0; 2])),
        ("hd_fs_34_max_pages_large", numbers(28, &[0xff; 2])),
        ("hd_fs_34_alignment", numbers(30, &[31, 0])),
        ("hd_fs_34_alignment_large", numbers(30, &[0xff; 2])),
        ("hd_fs_34_granularity", numbers(24, &[0xff; 4])),
        ("hd_fs_34_background", numbers(16, &[0, 0, 0xff, 0xff])),
        ("hd_fs_35_8", short(8)),
        ("hd_fs_35_24", short(24)),
        ("hd_fs_35_no_length", short(40)),
        ("fu_ini_14", [&offer[..], &[3], &[16, 0, 0, 0, 0xea, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0]].concat()),
    ]
}
