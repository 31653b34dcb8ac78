use std::vec::Vec;

use super::*;

/// The words that a disk needs at least: LBA, and 1,000 sectors.
fn words(changes: &[(usize, u16)]) -> [u8; DESCRIPTION_BYTES] {
    let mut bytes = [0; DESCRIPTION_BYTES];
    for (index, word) in [(49, 1 << 9), (60, 1000)].iter().chain(changes) {
        bytes[2 * index..2 * index + 2].copy_from_slice(&u16::to_le_bytes(*word));
    }
    bytes
}

fn disk(changes: &[(usize, u16)]) -> Result<Geometry, IdentityError> {
    match Identity::of_disk(&Words(&words(changes)))?.kind {
        Kind::Disk(geometry) => Ok(geometry),
        Kind::Packet => unreachable!("a disk was asked"),
    }
}

#[test]
fn at_8_words_mean_what_the_standard_says() {
    const VALID: u16 = 1 << 14;
    let plain = disk(&[]).expect("a disk");
    assert_eq!((plain.blocks, plain.addressing, plain.flush), (1000, Addressing::Lba28, None));
    assert!(!plain.has_dma && !plain.has_cache);
    let modern = disk(&[
        (49, 1 << 9 | 1 << 8),
        (82, 1 << 5),
        (83, VALID | 1 << 10 | 1 << 12 | 1 << 13),
        (85, 1 << 5),
        (102, 1),
        (106, VALID | 1 << 13 | 3),
    ])
    .expect("a disk");
    assert_eq!((modern.blocks, modern.addressing, modern.flush), (1 << 32, Addressing::Lba48, Some(Flush::Long)));
    assert_eq!((modern.block_size, modern.physical_block_size), (512, 4096));
    assert!(modern.has_dma && modern.has_cache);
    // Bits of a word that is not valid mean nothing.
    let invalid = disk(&[(83, 1 << 10 | 1 << 13), (106, 1 << 12)]).expect("a disk");
    assert_eq!((invalid.addressing, invalid.flush, invalid.block_size), (Addressing::Lba28, None, 512));
    // A cache that is switched off, and one that nobody has.
    assert!(!disk(&[(82, 1 << 5)]).expect("a disk").has_cache && !disk(&[(85, 1 << 5)]).expect("a disk").has_cache);
    assert_eq!(disk(&[(0, 0x8000)]), Err(IdentityError::Kind));
}

#[test]
fn at_8_text_has_its_bytes_swapped_and_blanks_around_it() {
    let pairs: Vec<_> = (10..20).zip(b"  QM00001           ".as_chunks::<2>().0).collect();
    let changes: Vec<_> = pairs.into_iter().map(|(index, pair)| (index, u16::from_be_bytes(*pair))).collect();
    let identity = Identity::of_disk(&Words(&words(&changes))).expect("a disk");
    assert_eq!(&identity.serial, b"QM00001\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn at_9_short_capacity_ends_at_the_last_address() {
    let short = disk(&[(60, 0xffff), (61, 0xffff)]).expect("a disk");
    assert_eq!(short.blocks, SHORT_END);
    // With long addresses the long capacity counts; where it is missing, the short one.
    assert_eq!(disk(&[(83, 1 << 14 | 1 << 10), (101, 7)]).expect("a disk").blocks, 7 << 16);
    assert_eq!(disk(&[(83, 1 << 14 | 1 << 10)]).expect("a disk").blocks, 1000);
    assert_eq!(disk(&[(83, 1 << 14 | 1 << 10), (103, 1), (100, 1)]), Err(IdentityError::Capacity));
}

#[test]
fn hd_ata_3_every_description_is_accepted_or_refused() {
    // Any bytes at all, with what makes them pass the first checks.
    let mut seed = 7_u64;
    for _ in 0..2000 {
        let mut bytes: [u8; DESCRIPTION_BYTES] = core::array::from_fn(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        });
        bytes[1] &= 0x7f;
        bytes[99] |= 2;
        bytes[510] = 0;
        if let Ok(Identity { kind: Kind::Disk(geometry), .. }) = Identity::of_disk(&Words(&bytes)) {
            assert!((1..=LONG_END).contains(&geometry.blocks));
            assert!(geometry.block_size.is_power_of_two() && (512..=4096).contains(&geometry.block_size));
            assert!(geometry.physical_block_size.is_multiple_of(geometry.block_size));
            assert!(geometry.multiple == 0 || geometry.multiple.is_power_of_two());
            assert!(usize::from(geometry.multiple) * geometry.block_size as usize <= LONGEST_BLOCK);
        }
        let _ = Identity::of_packet_device(&Words(&bytes));
    }
}

#[test]
fn hd_ata_7_what_cannot_be_printed_becomes_a_question_mark() {
    let identity = Identity::of_disk(&Words(&words(&[(27, 0x4107), (28, 0xff42)]))).expect("a disk");
    assert_eq!(identity.model(), "A??B");
}
