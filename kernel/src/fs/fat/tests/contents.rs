//! Reads and writes of more than is moved in one turn, at any place.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::fs::tests::writing::options;

#[test]
fn long_reads_and_writes_are_those_of_one_piece() {
    let namespace = mounted(&Memory::formatted());
    let new = options(|options| options.read(true).write(true).create(true));
    let file = namespace.open_with(b"f", &new).expect("there is room");
    // Longer than two pieces, and no two parts of it are the same.
    let bytes: Vec<u8> = (0..700_001_u32).map(|number| (number ^ number >> 8 ^ number >> 13) as u8).collect();
    assert_eq!(file.write_at(&bytes, 333), Ok(bytes.len()));
    let mut found = vec![0xA5; 333 + bytes.len() + 1];
    assert_eq!(file.read_at(&mut found, 0), Ok(333 + bytes.len()));
    assert!(found[..333].iter().all(|&byte| byte == 0) && found[333..333 + bytes.len()] == bytes[..]);
    for (offset, length) in [(1, 262_144), (262_143, 262_146), (500_000, 1_000_000), (700_333, 10), (700_334, 1)] {
        let mut found = vec![0; length];
        let expected = length.min((333 + bytes.len()).saturating_sub(offset));
        assert_eq!(file.read_at(&mut found, offset as u64), Ok(expected), "{length} at {offset}");
        let first = offset.max(333);
        assert!(
            found[first - offset..expected.max(first - offset)]
                == bytes[first - 333..][..expected.saturating_sub(first - offset)]
        );
    }
    assert_eq!(namespace.read(b"f").map(|found| found[333..] == bytes[..]), Ok(true));
}
