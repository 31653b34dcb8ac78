//! Extended attributes: both layouts, both questions, and lists that do not end.

use super::*;
use crate::xattr::{MAX_XATTR_LIST_LEN, MAX_XATTR_NAME_LEN, MAX_XATTR_VALUE_LEN, XattrName};

fn xattr(bytes: &[u8]) -> XattrName<'_> {
    XattrName::new(bytes).expect("a good name")
}

fn set(form: SetXattrForm, mode: XattrMode) -> SetXattr<'static> {
    SetXattr { node: node(9), name: xattr(b"user.a"), value: b"xyz", mode, form }
}

#[test]
fn setxattr_has_the_layout_that_was_agreed_on() {
    assert_eq!(SetXattrForm::of(&session(InitFlags::MAX_PAGES)), SetXattrForm::Short);
    let extended = SetXattrForm::of(&session(InitFlags::SETXATTR_EXT));
    assert_eq!(extended, SetXattrForm::Extended(SetXattrFlags::empty()));

    let (header, body) = encode(&set(SetXattrForm::Short, XattrMode::Replace));
    assert_eq!((header.opcode.get(), header.node.get()), (21, 9));
    assert_eq!(body, b"\x03\0\0\0\x02\0\0\0user.a\0xyz");
    let body = super::body(&set(extended, XattrMode::Create));
    assert_eq!(body, b"\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0user.a\0xyz");
    let flags = SetXattrForm::Extended(SetXattrFlags::REMOVE_SET_GROUP_ID);
    let body = super::body(&set(flags, XattrMode::Any));
    assert_eq!(body, b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0user.a\0xyz");
}

#[test]
fn a_value_is_at_most_64_kib() {
    let bytes = vec![7; 65537];
    let mut set = set(SetXattrForm::Short, XattrMode::Any);
    set.value = &bytes;
    assert_eq!(encode_error(&set), EncodeError::ValueTooLarge);
    set.value = &bytes[1..];
    assert_eq!(set.request_len(), Ok(40 + 8 + 7 + 65536));
    set.value = &[];
    assert_eq!(body(&set)[..4], [0; 4], "an empty value is one");
}

#[test]
fn reading_says_what_and_how_much() {
    let (header, body) = encode(&GetXattr { node: node(9), name: xattr(b"b"), capacity: 0x0102 });
    assert_eq!((header.opcode.get(), header.node.get()), (22, 9));
    assert_eq!(body, b"\x02\x01\0\0\0\0\0\0b\0");
    let (header, body) = encode(&GetXattrLen { node: node(9), name: xattr(b"b") });
    assert_eq!(header.opcode.get(), 22);
    assert_eq!(body, b"\0\0\0\0\0\0\0\0b\0");
    let (header, body) = encode(&ListXattr { node: node(9), capacity: 16 });
    assert_eq!(header.opcode.get(), 23);
    assert_eq!(body, [16, 0, 0, 0, 0, 0, 0, 0]);
    let (header, body) = encode(&ListXattrLen { node: node(9) });
    assert_eq!((header.opcode.get(), body), (23, vec![0; 8]));
    let (header, body) = encode(&RemoveXattr { node: node(9), name: xattr(b"b/c") });
    assert_eq!((header.opcode.get(), &body[..]), (24, &b"b/c\0"[..]));
}

#[test]
fn a_capacity_is_neither_the_other_question_nor_more_than_there_can_be() {
    for capacity in [0, 65537, u32::MAX] {
        let get = GetXattr { node: node(9), name: xattr(b"b"), capacity };
        assert_eq!(encode_error(&get), EncodeError::CapacityOutOfRange);
        assert_eq!(encode_error(&ListXattr { node: node(9), capacity }), EncodeError::CapacityOutOfRange);
    }
    let get = GetXattr { node: node(9), name: xattr(b"b"), capacity: MAX_XATTR_VALUE_LEN };
    assert_eq!(get.reply_capacity(), 16 + 65536);
    assert!(get.request_len().is_ok());
    assert!(ListXattr { node: node(9), capacity: MAX_XATTR_LIST_LEN }.request_len().is_ok());
}

#[test]
fn a_value_is_what_the_server_sent_and_no_more_than_asked_for() {
    let get = GetXattr { node: node(9), name: xattr(b"b"), capacity: 4 };
    let bytes = reply(0, b"a\0b");
    assert_eq!(get.decode(UNIQUE, &bytes), Ok(&b"a\0b"[..]));
    assert_eq!(get.decode(UNIQUE, &reply(0, b"")), Ok(&b""[..]));
    assert_eq!(get.decode(UNIQUE, &reply(0, b"abcde")), Err(Defect::Overlong.into()));
    assert_eq!(get.parse(b"abcde"), Err(Defect::PayloadLength.into()));
    for errno in [Errno::ERANGE, Errno::ENODATA] {
        let bytes = reply(-i32::from(errno.get()), b"");
        assert_eq!(get.decode(UNIQUE, &bytes), Err(ReplyError::Remote(errno)));
    }
}

#[test]
fn hd_fs_32_a_length_is_cut_to_what_a_value_can_have() {
    let len = |size: u32| {
        let wire = WireXattrLen { size: U32::new(size), padding: U32::MAX_VALUE };
        let bytes = reply(0, wire.as_bytes());
        let value = GetXattrLen { node: node(9), name: xattr(b"b") }.decode(UNIQUE, &bytes);
        let list = ListXattrLen { node: node(9) }.decode(UNIQUE, &bytes);
        assert_eq!(value, list);
        value
    };
    assert_eq!(len(0), Ok(0));
    assert_eq!(len(65536), Ok(65536));
    assert_eq!(len(65537), Ok(65536));
    assert_eq!(len(u32::MAX), Ok(65536));
    let short = reply(0, &[0; 4]);
    assert_eq!(ListXattrLen { node: node(9) }.decode(UNIQUE, &short), Err(Defect::PayloadLength.into()));
}

#[test]
fn hd_fs_31_a_list_ends_inside_its_reply() {
    let list = ListXattr { node: node(9), capacity: 16 };
    let names = |payload: &[u8]| {
        let bytes = reply(0, payload);
        list.decode(UNIQUE, &bytes).map(|names| names.map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>())
    };
    assert_eq!(names(b""), Ok(vec![]));
    assert_eq!(names(b"user.a\0user.b\0"), Ok(vec![b"user.a".to_vec(), b"user.b".to_vec()]));
    // The terminator lies behind the length in the header, where the buffer still goes on.
    let bytes = reply_claiming(16 + 6, 0, b"user.a\0user.b\0");
    assert_eq!(list.decode(UNIQUE, &bytes), Err(Defect::XattrList.into()));
    assert_eq!(names(b"user.a\0\0"), Err(Defect::XattrList.into()));
    assert_eq!(names(&[b'x'; 17]), Err(Defect::Overlong.into()));
    assert_eq!(list.parse(&[0; 17]), Err(Defect::PayloadLength.into()));
}

fn xattr_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 1..=MAX_XATTR_NAME_LEN)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn setting_reads_back_as_it_was_written(
        node in any_node(),
        name in xattr_name(),
        value in prop::collection::vec(any::<u8>(), 0..300),
        which in 0usize..3,
        extra: Option<bool>,
    ) {
        let mode = [XattrMode::Any, XattrMode::Create, XattrMode::Replace][which];
        let form = match extra {
            None => SetXattrForm::Short,
            Some(flag) => SetXattrForm::Extended(SetXattrFlags::from_bits_truncate(flag.into())),
        };
        let set = SetXattr { node, name: xattr(&name), value: &value, mode, form };
        let (header, body) = encode(&set);
        let (size, flags, form, rest) = if extra.is_some() {
            let (wire, rest) = WireSetXattr::read_from_prefix(&body).expect("16 bytes");
            prop_assert_eq!(wire.padding.get(), 0);
            let extra = SetXattrFlags::from_bits_retain(wire.extra_flags.get());
            (wire.size, wire.flags.get(), SetXattrForm::Extended(extra), rest)
        } else {
            let (wire, rest) = WireSetXattrShort::read_from_prefix(&body).expect("8 bytes");
            (wire.size, wire.flags.get(), SetXattrForm::Short, rest)
        };
        let end = rest.iter().position(|&byte| byte == 0).expect("a terminator");
        prop_assert_eq!(usize::try_from(size.get()).expect("small"), rest.len() - end - 1);
        let read_back = SetXattr {
            node: NodeId::new(header.node.get()).expect("not zero"),
            name: xattr(&rest[..end]),
            value: &rest[end + 1..],
            mode: [XattrMode::Any, XattrMode::Create, XattrMode::Replace][usize::try_from(flags).expect("small")],
            form,
        };
        prop_assert_eq!(read_back, set);
    }

    #[test]
    fn hd_fs_31_a_list_is_accepted_exactly_if_its_names_say_it_again(
        payload in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..600),
        terminated: bool,
    ) {
        let mut payload = payload;
        if terminated {
            payload.push(0);
        }
        let list = ListXattr { node: node(9), capacity: 4096 };
        let pieces: Vec<_> = payload.split_inclusive(|&byte| byte == 0).collect();
        let good = pieces.iter().all(|piece| matches!(piece.split_last(), Some((0, name)) if (1..=255).contains(&name.len())));
        match list.parse(&payload) {
            Ok(names) => {
                prop_assert!(good);
                let again: Vec<u8> = names.flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
                prop_assert_eq!(again, payload);
            }
            Err(error) => {
                prop_assert!(!good);
                prop_assert_eq!(error, Defect::XattrList.into());
            }
        }
    }
}
