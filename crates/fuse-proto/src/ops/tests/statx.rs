//! STATX: what is given is what was asked for and claimed, and nothing else.

use super::*;

fn statx(mask: StatxMask) -> StatX {
    StatX { node: node(9), handle: None, expected: None, flags: StatxFlags::empty(), mask }
}

fn time(seconds: i64, nanos: u32) -> WireStatxTime {
    WireStatxTime { seconds: U64::from_bytes(seconds.to_le_bytes()), nanos: U32::new(nanos), reserved: U32::MAX_VALUE }
}

/// A reply without a flaw, with everything in it.
fn full() -> WireStatxReply {
    let mut wire = WireStatxReply::new_zeroed();
    wire.lifetime = U64::new(7);
    wire.lifetime_nanos = U32::new(8);
    wire.stat = WireStatx {
        mask: U32::new(StatxMask::all().bits()),
        block_size: U32::new(512),
        attributes: U64::new(0x30),
        links: U32::new(2),
        uid: U32::new(1000),
        gid: U32::new(100),
        mode: 0o104_755.into(),
        spare0: 0.into(),
        inode: U64::new(4711),
        size: U64::new(12),
        blocks: U64::new(8),
        attributes_mask: U64::new(0x10),
        accessed: time(-1, 1),
        born: time(2, 2),
        changed: time(3, 3),
        modified: time(4, 4),
        rdev_major: U32::new(8),
        rdev_minor: U32::new(0x123),
        dev_major: U32::new(9),
        dev_minor: U32::new(10),
        spare2: [0xff; 112],
    };
    wire
}

fn answer(request: &StatX, wire: &WireStatxReply) -> Result<ExtendedAttributes, ReplyError> {
    request.decode(UNIQUE, &reply(0, wire.as_bytes()))
}

#[test]
fn statx_says_what_it_would_like_and_always_the_kind() {
    let (header, body) = encode(&statx(StatxMask::BORN));
    assert_eq!((header.opcode.get(), header.node.get()), (52, 9));
    let mut expected = [0; 24];
    expected[20..22].copy_from_slice(&[1, 8]);
    assert_eq!(body, expected);
    let request = StatX { handle: Some(FileHandle(0)), flags: StatxFlags::FORCE_SYNC, ..statx(StatxMask::BASIC) };
    let body = super::body(&request);
    assert_eq!((body[0], &body[16..]), (1, &[0, 0x20, 0, 0, 0xff, 7, 0, 0][..]));
}

#[test]
fn everything_that_is_given_is_there() {
    let attributes = answer(&statx(StatxMask::all()), &full()).expect("good");
    assert_eq!(attributes.lifetime, Duration::new(7, 8));
    assert_eq!(attributes.file_type, FileType::Regular);
    assert_eq!((attributes.permissions, attributes.links), (Some(0o4755), Some(2)));
    assert_eq!((attributes.uid, attributes.gid, attributes.inode), (Some(1000), Some(100), Some(4711)));
    assert_eq!((attributes.size, attributes.blocks), (Some(12), Some(8)));
    let at = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
    assert_eq!((attributes.accessed, attributes.modified), (at(-1, 1), at(4, 4)));
    assert_eq!((attributes.changed, attributes.born), (at(3, 3), at(2, 2)));
    assert_eq!(attributes.known_attributes, StatxAttributes::IMMUTABLE);
    assert_eq!(attributes.attributes, StatxAttributes::IMMUTABLE, "nothing that the server does not know of");
    assert_eq!(attributes.file_system, DeviceNumber { major: 9, minor: 10 });

    let basic = attributes.to_attributes().expect("complete");
    assert_eq!(basic.lifetime, Duration::new(7, 8));
    assert_eq!(basic.attributes.mode(), 0o104_755);
    assert_eq!(basic.attributes.device, 0x0010_0823);
    assert_eq!((basic.attributes.size, basic.attributes.block_size), (12, 512));
}

#[test]
fn hd_fs_42_a_reply_without_a_kind_is_malformed() {
    let mut wire = full();
    wire.stat.mask = U32::new(StatxMask::all().difference(StatxMask::TYPE).bits());
    assert_eq!(answer(&statx(StatxMask::all()), &wire), Err(Defect::FileType.into()));
    wire.stat.mask = U32::ZERO;
    assert_eq!(answer(&statx(StatxMask::all()), &wire), Err(Defect::FileType.into()));
    let mut wire = full();
    wire.stat.mode = 0o644.into();
    assert_eq!(answer(&statx(StatxMask::all()), &wire), Err(Defect::FileType.into()));
}

#[test]
fn hd_fs_42_what_the_mask_does_not_claim_is_not_read() {
    let mut wire = full();
    wire.stat.mask = U32::new((StatxMask::TYPE | StatxMask::UID).bits());
    wire.stat.size = U64::MAX_VALUE;
    let attributes = answer(&statx(StatxMask::all()), &wire).expect("a size that is not given is not wrong");
    assert_eq!((attributes.uid, attributes.size, attributes.born), (Some(1000), None, None));
    assert_eq!(attributes.to_attributes(), None, "GETATTR is to be asked");
    // Each of the basic ones is needed.
    for missing in StatxMask::BASIC.difference(StatxMask::TYPE).iter() {
        wire = full();
        wire.stat.mask = U32::new(StatxMask::all().difference(missing).bits());
        let attributes = answer(&statx(StatxMask::all()), &wire).expect("good");
        assert_eq!(attributes.to_attributes(), None, "{missing:?}");
    }
}

#[test]
fn hd_fs_42_what_was_not_asked_for_is_dropped() {
    let mut wire = full();
    wire.stat.mask = U32::MAX_VALUE;
    wire.stat.size = U64::MAX_VALUE;
    let attributes = answer(&statx(StatxMask::BORN), &wire).expect("the size was not asked for");
    assert_eq!((attributes.size, attributes.uid), (None, None));
    assert!(attributes.born.is_some());
}

#[test]
fn hd_fs_17_18_19_20_statx_is_checked_like_getattr() {
    let request = StatX { expected: Some(FileType::Directory), ..statx(StatxMask::all()) };
    assert_eq!(answer(&request, &full()), Err(Defect::FileType.into()));
    let request = StatX { expected: Some(FileType::Regular), ..statx(StatxMask::all()) };
    assert!(answer(&request, &full()).is_ok());

    let mut wire = full();
    wire.stat.size = U64::new(1 << 63);
    assert_eq!(answer(&request, &wire), Err(Defect::Size.into()));
    wire = full();
    wire.stat.blocks = U64::new(1 << 54);
    assert_eq!(answer(&request, &wire), Err(Defect::Size.into()));

    wire = full();
    wire.stat.born = time(1, u32::MAX);
    wire.lifetime = U64::MAX_VALUE;
    wire.lifetime_nanos = U32::MAX_VALUE;
    wire.stat.block_size = U32::ZERO;
    let attributes = answer(&request, &wire).expect("harmless");
    assert_eq!(attributes.born, Some(Timestamp { seconds: 1, nanoseconds: 999_999_999 }));
    assert_eq!(attributes.lifetime, Duration::MAX);
    assert_eq!(attributes.block_size, 4096);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_statx_reply_gives_no_more_than_asked_for(
        payload in prop::collection::vec(any::<u8>(), 288),
        mask: u32,
        plausible: bool,
    ) {
        let mut payload = payload;
        if plausible {
            payload[32] |= 1;
            payload[32 + 29] = 0x80 | payload[32 + 29] & 0xf;
        }
        let request = statx(StatxMask::from_bits_truncate(mask));
        if let Ok(attributes) = request.parse(&payload) {
            let given = [
                (StatxMask::MODE, attributes.permissions.is_some()),
                (StatxMask::LINKS, attributes.links.is_some()),
                (StatxMask::UID, attributes.uid.is_some()),
                (StatxMask::GID, attributes.gid.is_some()),
                (StatxMask::INODE, attributes.inode.is_some()),
                (StatxMask::SIZE, attributes.size.is_some()),
                (StatxMask::BLOCKS, attributes.blocks.is_some()),
                (StatxMask::ACCESSED, attributes.accessed.is_some()),
                (StatxMask::MODIFIED, attributes.modified.is_some()),
                (StatxMask::CHANGED, attributes.changed.is_some()),
                (StatxMask::BORN, attributes.born.is_some()),
            ];
            let wire = WireStatxReply::read_from_bytes(&payload).expect("288 bytes");
            let expected = StatxMask::from_bits_truncate(wire.stat.mask.get()) & request.mask;
            for (bit, is_given) in given {
                prop_assert_eq!(expected.contains(bit), is_given);
            }
            prop_assert!(attributes.size.is_none_or(|size| size <= i64::MAX as u64));
        }
    }
}
