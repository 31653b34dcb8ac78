//! What open files can do beyond reading and writing, and copying.

use alloc::vec;
use alloc::vec::Vec;

use super::kind;
use super::writing::{everywhere, on_models, options};
use crate::fs::{Allocation, File};
use crate::io::{ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

fn errno<T>(result: crate::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn all_rights() -> crate::fs::OpenOptions {
    options(|options| options.read(true).write(true).create(true))
}

#[test]
fn exact_reads_and_writes_say_when_there_is_too_little() {
    everywhere(|namespace| {
        let file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        assert_eq!(file.write_all_at(b"0123456789", 2), Ok(()));
        let mut bytes = [0xFF; 6];
        assert_eq!((file.read_exact_at(&mut bytes, 1), &bytes), (Ok(()), b"\x0001234"));
        assert_eq!(kind(file.read_exact_at(&mut bytes, 7)), Some(ErrorKind::UnexpectedEof));
        assert_eq!((file.read_exact_at(&mut [], 100), file.write_all_at(b"", 100)), (Ok(()), Ok(())));
        assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(12));
        assert_eq!((&file).stream_position(), Ok(0));
    });
}

#[test]
fn several_pieces_are_read_and_written_at_once() {
    everywhere(|namespace| {
        let mut file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        let pieces = [b"one, ", &b""[..], b"two, ", b"three"].map(IoSlice::new);
        assert_eq!((file.write_vectored(&pieces), file.stream_position()), (Ok(15), Ok(15)));
        assert_eq!(file.seek(SeekFrom::Start(3)), Ok(3));
        let (mut first, mut none, mut second, mut third) = ([0; 4], [0; 0], [0; 6], [0; 4]);
        let mut pieces = [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut none),
            IoSliceMut::new(&mut second),
            IoSliceMut::new(&mut third),
        ];
        assert_eq!((file.read_vectored(&mut pieces), file.stream_position()), (Ok(12), Ok(15)));
        assert_eq!((&first, &second, &third), (b", tw", b"o, thr", b"ee\0\0"));
        assert_eq!((file.read_vectored(&mut []), file.write_vectored(&[])), (Ok(0), Ok(0)));
        let append = options(|options| options.append(true));
        let mut log = namespace.open_with(b"f", &append).expect("it exists");
        assert_eq!(log.write_vectored(&[b"!", &b"?"[..]].map(IoSlice::new)), Ok(2));
        assert_eq!(namespace.read(b"f"), Ok(b"one, two, three!?".to_vec()));
        assert_eq!(errno(log.read_vectored(&mut [IoSliceMut::new(&mut [0; 2])])), Some(9));
    });
}

#[test]
fn a_clone_shares_the_position_and_outlives_the_original() {
    everywhere(|namespace| {
        let mut file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        let mut clone = file.try_clone().expect("nothing is in the way");
        file.write_all(b"abc").expect("there is room");
        clone.write_all(b"def").expect("there is room");
        assert_eq!(file.rewind(), Ok(()));
        drop(file);
        let mut text = Vec::new();
        assert_eq!(clone.read_to_end(&mut text), Ok(6));
        assert_eq!((&text[..], clone.close()), (&b"abcdef"[..], Ok(())));
    });
}

#[test]
fn closing_says_what_went_wrong() {
    on_models(|namespace, model| {
        let file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        assert_eq!(file.close(), Ok(()));
        assert_eq!(*model.synced.borrow(), ["flush"]);
        let file = namespace.open_with(b"f", &all_rights()).expect("it is there");
        model.fault.set(Some(fuse_proto::Errno::EIO));
        assert_eq!(errno(file.close()), Some(5));
    });
}

#[test]
fn space_is_reserved_and_zeroed_everywhere() {
    everywhere(|namespace| {
        let file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        let len = || file.metadata().map(|metadata| metadata.len());
        assert_eq!((file.allocate(100, 900, Allocation::Extend), len()), (Ok(()), Ok(1000)));
        assert_eq!((file.allocate(0, 10, Allocation::Extend), len()), (Ok(()), Ok(1000)), "nothing is cut off");
        file.write_all_at(&[7; 1000], 0).expect("there is room");
        assert_eq!((file.allocate(500, 1000, Allocation::Zero), len()), (Ok(()), Ok(1500)));
        assert_eq!(namespace.read(b"f"), Ok([vec![7; 500], vec![0; 1000]].concat()));
        assert_eq!(kind(file.allocate(0, 0, Allocation::Extend)), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(file.allocate(u64::MAX, 1, Allocation::Extend)), Some(ErrorKind::InvalidInput));
        let huge = file.allocate(i64::MAX as u64, 1, Allocation::Extend);
        assert_eq!(kind(huge), Some(ErrorKind::FileTooLarge));
        let reader = namespace.open(b"f").expect("it exists");
        assert_eq!(errno(reader.allocate(0, 1, Allocation::Extend)), Some(9));
        assert_eq!((file.seek_data(700), file.seek_data(1500)), (Ok(Some(700)), Ok(None)));
        assert_eq!((file.seek_hole(700), file.seek_hole(1500)), (Ok(Some(1500)), Ok(None)));
    });
}

#[test]
fn holes_are_made_and_found() {
    on_models(|namespace, _| {
        let file = namespace.open_with(b"f", &all_rights()).expect("it is created");
        file.write_all_at(&[7; 20_000], 0).expect("there is room");
        assert_eq!(file.allocate(4096, 4096, Allocation::PunchHole), Ok(()));
        assert_eq!(file.allocate(16_384, 100_000, Allocation::KeepSize), Ok(()));
        assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(20_000));
        let found = [0, 4096, 5000, 19_999, 20_000].map(|offset| (file.seek_data(offset), file.seek_hole(offset)));
        let expected = [
            (Some(0), Some(4096)),
            (Some(8192), Some(4096)),
            (Some(8192), Some(5000)),
            (Some(19_999), Some(20_000)),
            (None, None),
        ];
        assert_eq!(found, expected.map(|(data, hole)| (Ok(data), Ok(hole))));
        assert_eq!(file.set_len(32_768), Ok(()));
        assert_eq!(file.seek_data(24_576), Ok(None), "no data behind the last");
    });
}

#[test]
fn a_copy_is_made_by_the_file_system_where_that_is_possible() {
    on_models(|namespace, model| {
        let bytes: Vec<u8> = (0..450_000_u32).map(|index| (index / 3) as u8).collect();
        namespace.write(b"f", &bytes).expect("there is room");
        namespace.write(b"g", &[1; 500_000]).expect("there is room");
        let mode = |path: &[u8]| namespace.metadata(path).map(|metadata| metadata.mode());
        namespace.set_permissions(b"f", &crate::fs::Permissions::from_mode(0o4555)).expect("it exists");
        assert_eq!(namespace.copy(b"f", b"g"), Ok(450_000));
        assert!(namespace.read(b"g") == Ok(bytes.clone()));
        assert_eq!((model.copied.get(), mode(b"g")), (450_000, Ok(0o104_555)));
        assert_eq!(namespace.copy(b"g", b"h"), Ok(450_000));
        assert!((namespace.read(b"h"), mode(b"h")) == (Ok(bytes), Ok(0o104_555)));
        assert_eq!((namespace.copy(b"h", b"h"), namespace.read(b"h")), (Ok(0), Ok(Vec::new())), "as in std");
        namespace.create_dir(b"d").expect("it is new");
        assert_eq!(kind(namespace.copy(b"d", b"e")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(namespace.copy(b"g", b"d")), Some(ErrorKind::IsADirectory));
        assert_eq!(kind(namespace.copy(b"none", b"e")), Some(ErrorKind::NotFound));
        assert_eq!(namespace.exists(b"e"), Ok(false));
    });
}

#[test]
fn a_read_only_file_is_copied_and_so_is_the_copy() {
    everywhere(|namespace| {
        let new = options(|options| options.write(true).create_new(true).mode(0o444));
        let file: File = namespace.open_with(b"f", &new).expect("it is new");
        file.write_all_at(b"contents", 0).expect("there is room");
        for (from, to) in [(b"f", b"g"), (b"g", b"h")] {
            assert_eq!(namespace.copy(from, to), Ok(8));
            assert_eq!(namespace.read(to), Ok(b"contents".to_vec()));
            assert!(namespace.metadata(to).expect("it exists").permissions().readonly());
        }
    });
}
