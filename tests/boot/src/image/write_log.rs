//! The log of QEMU's block driver `blklogwrites`: what was written to a disk, in order, and where it was flushed.
//!
//! ```text
//!   sector 0: magic, version, number of entries, bytes in a sector
//!   then:     [ sector, sectors, flags, 0 | padded to a sector ] [ data: as many sectors as the entry says ] ...
//! ```
//!
//! An entry comes after the write that it is for, and a guest asks for a flush when the writes before it have completed: so
//! the writes before the entry of a flush are all that a disk has to remember if the power goes just then. Applying them, and
//! nothing behind, is the worst that can happen to a guest that was told of that flush and of no later one.
//!
//! The format is that of Linux' dm-log-writes; all numbers are little-endian.

use super::stamps::SECTOR;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1 << 0;
const DISCARD: u64 = 1 << 2;

/// What happened to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes were written, from this sector on.
    Write(u64, &'a [u8]),
    /// The disk was flushed.
    Flush,
}

/// The events in a log.
///
/// # Errors
///
/// What is not understood.
pub fn events(log: &[u8]) -> Result<Vec<Event<'_>>, String> {
    let word = |offset: usize| {
        let bytes = log.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(|| format!("the log ends before byte {offset}"))
    };
    if word(0)? != MAGIC || word(8)? != 1 || word(24)? as u32 != SECTOR as u32 {
        return Err("no log of writes in sectors of 512 bytes".to_owned());
    }
    let mut events = Vec::new();
    let mut offset = SECTOR;
    for _ in 0..word(16)? {
        let (sector, sectors, flags) = (word(offset)?, word(offset + 8)?, word(offset + 16)?);
        offset += SECTOR;
        if flags & FLUSH != 0 {
            events.push(Event::Flush);
        }
        if flags & DISCARD == 0 && sectors != 0 {
            let end = offset + sectors as usize * SECTOR;
            let data = log.get(offset..end).ok_or_else(|| format!("the log ends before byte {end}"))?;
            events.push(Event::Write(sector, data));
            offset = end;
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(words: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes
    }

    #[test]
    fn writes_and_flushes_are_in_order() {
        let mut log = sector(&[MAGIC, 1, 3, SECTOR as u64]);
        log.extend(sector(&[5, 2, 0]));
        log.extend([7; 2 * SECTOR]);
        log.extend(sector(&[0, 0, FLUSH]));
        log.extend(sector(&[1, 1, 0]));
        log.extend([8; SECTOR]);
        let expected = [Event::Write(5, &[7; 2 * SECTOR]), Event::Flush, Event::Write(1, &[8; SECTOR])];
        assert_eq!(events(&log).unwrap(), expected);
        assert!(events(&log[..log.len() - 1]).is_err());
        assert!(events(&sector(&[1, 1, 0, 512])).is_err());
    }
}
