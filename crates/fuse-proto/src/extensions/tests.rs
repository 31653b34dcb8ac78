//! The bytes of the extensions, and what they refuse.
//!
//! Lists of groups and empty lists of contexts are compared with those of Linux, in `golden_tests.rs`; a context needs
//! a security module, and is written down here from the layout.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::header::{Caller, REQUEST_HEADER_LEN, RequestHeader};
use crate::name::Name;
use crate::ops::MkDir;
use crate::testing::{UNIQUE, config};

fn mkdir(extensions: Extensions<'_>) -> Extended<'_, MkDir<'static>> {
    let name = Name::new(b"new").expect("a good name");
    Extended { operation: MkDir { parent: NodeId::ROOT, name, mode: 0o755, umask: 0 }, extensions }
}

/// The extensions as they are sent, with the lengths checked.
fn sent(extensions: Extensions<'_>) -> Vec<u8> {
    let request = mkdir(extensions);
    let mut buffer = vec![0xff; request.request_len().expect("it can be encoded")];
    assert_eq!(request.encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Ok(buffer.len()));
    let (header, rest) = RequestHeader::read_from_prefix(&buffer).expect("40 bytes");
    let sent = rest[size_of::<crate::ops::WireMkDir>() + 4..].to_vec();
    assert_eq!(usize::try_from(header.len.get()), Ok(buffer.len()));
    assert_eq!(usize::from(header.extension_len.get()) * 8, sent.len());
    sent
}

fn error(extensions: Extensions<'_>) -> EncodeError {
    let measured = mkdir(extensions).request_len().expect_err("refused");
    let mut buffer = vec![0; 1 << 20];
    assert_eq!(mkdir(extensions).encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Err(measured));
    measured
}

fn labels<'a>(security: &'a [SecurityContext<'a>]) -> Extensions<'a> {
    Extensions { groups: &[], security: Some(security) }
}

fn groups(groups: &[u32]) -> Extensions<'_> {
    Extensions { groups, security: None }
}

#[test]
fn nothing_is_no_byte_and_no_contexts_are_said_to_be_none() {
    assert_eq!(sent(Extensions::NONE), []);
    assert_eq!(sent(labels(&[])), [8, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_context_is_a_name_and_a_label_filled_up_with_zeros() {
    let label = SecurityContext { name: b"security.selinux", value: b"label_t\0" };
    let mut expected = vec![8 + 40, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    expected.extend(b"security.selinux\0label_t\0");
    expected.extend([0; 7]);
    assert_eq!(sent(labels(&[label])), expected);
}

#[test]
fn contexts_come_before_groups() {
    let label = SecurityContext { name: b"a", value: b"12345" };
    let both = Extensions { groups: &[1, 2], security: Some(&[label, label]) };
    let one = [5, 0, 0, 0, 0, 0, 0, 0, b'a', 0, b'1', b'2', b'3', b'4', b'5', 0];
    let mut expected = vec![40, 0, 0, 0, 2, 0, 0, 0];
    expected.extend(one);
    expected.extend(one);
    expected.extend([24, 0, 0, 0, 32, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sent(both), expected);
}

#[test]
fn what_a_server_could_not_read_is_refused() {
    let good = SecurityContext { name: b"a", value: b"b" };
    let long = [b'x'; 256];
    for bad in [
        SecurityContext { name: b"", ..good },
        SecurityContext { name: b"a\0", ..good },
        SecurityContext { name: &long, ..good },
        SecurityContext { value: b"", ..good },
    ] {
        assert_eq!(error(labels(&[good, bad])), EncodeError::SecurityContext);
    }
    assert_eq!(error(labels(&[good; 32])), EncodeError::SecurityContext);
    assert_eq!(sent(labels(&[good; 31])).len(), 8 + 31 * 16);
    assert_eq!(error(groups(&[1, u32::MAX])), EncodeError::InvalidId);
}

#[test]
fn they_are_at_most_as_long_as_the_header_can_say() {
    // 65535 units of 8 bytes, less 12 bytes of heads.
    let most = vec![7; (65_535 * 8 - 12) / 4];
    assert_eq!(sent(groups(&most)).len(), 65_535 * 8);
    let more = vec![7; most.len() + 1];
    assert_eq!(error(groups(&more)), EncodeError::ExtensionsTooLong);
    let value = vec![1; 65_535 * 8];
    let label = SecurityContext { name: b"a", value: &value };
    assert_eq!(error(labels(&[label])), EncodeError::ExtensionsTooLong);
}

#[test]
fn one_byte_less_is_too_small() {
    let request = mkdir(Extensions { groups: &[8], security: Some(&[]) });
    let mut buffer = vec![0; request.request_len().expect("it can be encoded")];
    for short in REQUEST_HEADER_LEN..buffer.len() {
        let result = request.encode(UNIQUE, Caller::SUPERUSER, &mut buffer[..short]);
        assert_eq!(result, Err(EncodeError::BufferTooSmall), "{short}");
    }
}

/// A label that was read: its name and its value.
type Label = (Vec<u8>, Vec<u8>);

/// What a server reads in extensions.
fn read(mut bytes: &[u8]) -> (Option<Vec<Label>>, Vec<u32>) {
    let (mut labels, mut groups) = (None, Vec::new());
    while !bytes.is_empty() {
        let (head, _) = WireExtension::read_from_prefix(bytes).expect("8 bytes");
        let size = usize::try_from(head.size.get()).expect("small");
        assert_eq!(size % 8, 0);
        let (extension, rest) = bytes.split_at(size);
        let mut inside = &extension[8..];
        if head.kind.get() == GROUPS_KIND {
            let (list, ids) = WireGroups::read_from_prefix(inside).expect("4 bytes");
            let ids = ids.chunks(4).map(|id| u32::from_le_bytes(id.try_into().expect("4 bytes")));
            groups = ids.take(usize::try_from(list.count.get()).expect("small")).collect();
        } else {
            let list = labels.insert(Vec::new());
            for _ in 0..head.kind.get() {
                let (context, text) = WireSecurityContext::read_from_prefix(inside).expect("8 bytes");
                let nul = text.iter().position(|&byte| byte == 0).expect("a terminator");
                let end = nul + 1 + usize::try_from(context.size.get()).expect("small");
                list.push((text[..nul].to_vec(), text[nul + 1..end].to_vec()));
                inside = &inside[(8 + end).next_multiple_of(8)..];
            }
            assert!(inside.is_empty());
        }
        bytes = rest;
    }
    (labels, groups)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn they_read_back_as_they_were_written(
        groups in prop::collection::vec(0..u32::MAX, 0..20),
        labels in prop::option::of(prop::collection::vec(
            (prop::collection::vec(1u8.., 1..=255), prop::collection::vec(any::<u8>(), 1..40)),
            0..=31,
        )),
    ) {
        let contexts: Option<Vec<_>> = labels
            .as_ref()
            .map(|labels| labels.iter().map(|(name, value)| SecurityContext { name, value }).collect());
        let bytes = sent(Extensions { groups: &groups, security: contexts.as_deref() });
        prop_assert_eq!(read(&bytes), (labels, groups));
    }
}
