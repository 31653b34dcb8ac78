//! What drives say about themselves.

/// The 256 words of a description.
pub type Words = [u16; 256];

/// Puts text into words, the first character of each pair in the upper half, padded with blanks.
fn put_text(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
    for word in words {
        let (high, low) = (bytes.next().unwrap_or(b' '), bytes.next().unwrap_or(b' '));
        *word = u16::from_be_bytes([high, low]);
    }
}

/// A disk as QEMU's describes itself.
pub fn disk(sectors: u64) -> Words {
    let mut words = [0; 256];
    words[0] = 0x0040;
    put_text(&mut words[10..20], "SIM00001");
    put_text(&mut words[23..27], "1.0");
    put_text(&mut words[27..47], "SIMULATED DISK");
    words[47] = 0x8000 | 16;
    words[49] = 1 << 8 | 1 << 9 | 1 << 11;
    words[53] = 0b110;
    words[59] = 0x0100 | 16;
    words[60] = sectors as u16;
    words[61] = (sectors >> 16) as u16;
    words[63] = 7;
    words[80] = 0xf0;
    words[82] = 1 << 14 | 1 << 5;
    words[83] = 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10;
    words[84] = 1 << 14;
    words[85] = 1 << 14 | 1 << 5;
    words[86] = 1 << 13 | 1 << 12 | 1 << 10;
    words[87] = 1 << 14;
    words[88] = 0x203f;
    words[93] = 1 << 14 | 1;
    for (index, word) in words[100..104].iter_mut().enumerate() {
        *word = (sectors >> (16 * index)) as u16;
    }
    words
}

/// A CD-ROM drive as QEMU's describes itself.
pub fn packet_device() -> Words {
    let mut words = [0; 256];
    words[0] = 2 << 14 | 5 << 8 | 1 << 7 | 2 << 5;
    put_text(&mut words[10..20], "SIM00002");
    put_text(&mut words[27..47], "SIMULATED DVD-ROM");
    words[49] = 1 << 9 | 1 << 8;
    words[80] = 0x1e;
    words
}

/// Adds the checksum of word 255.
pub fn checksum(words: &mut Words) {
    words[255] = 0xa5;
    let sum = words.iter().flat_map(|word| word.to_le_bytes()).fold(0_u8, u8::wrapping_add);
    words[255] |= u16::from(sum.wrapping_neg()) << 8;
}
