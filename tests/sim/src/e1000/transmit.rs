//! Sending: contexts, checksums, segmentation.

use super::registers::Chip;
use super::registers::causes;
use super::registers::offsets::*;
use super::{Nature, Pace};

const ENABLE: u32 = 1 << 1;
const DEXT: u64 = 1 << 29;
const DTYP_DATA: u64 = 1 << 20;
const EOP: u64 = 1 << 24;
const IFCS: u64 = 1 << 25;
const TSE: u64 = 1 << 26;
const RS: u64 = 1 << 27;
const DD: u64 = 1 << 32;
const IXSM: u64 = 1 << 40;
const TXSM: u64 = 1 << 41;
/// The longest piece that hardware takes.
const PIECE: usize = 16 * 1024;

/// A context, taken apart.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    ip_start: usize,
    ip_sum: usize,
    ip_end: usize,
    sum_start: usize,
    sum_field: usize,
    payload: usize,
    header: usize,
    segment: usize,
    is_ipv4: bool,
    is_tcp: bool,
    cuts: bool,
}

impl Context {
    fn parse([low, high]: [u64; 2]) -> Self {
        let byte = |word: u64, shift: u32| (word >> shift & 0xff) as usize;
        Self {
            ip_start: byte(low, 0),
            ip_sum: byte(low, 8),
            ip_end: (low >> 16 & 0xffff) as usize,
            sum_start: byte(low, 32),
            sum_field: byte(low, 40),
            payload: (high & 0xf_ffff) as usize,
            header: byte(high, 40),
            segment: (high >> 48) as usize,
            is_tcp: high >> 24 & 1 != 0,
            is_ipv4: high >> 25 & 1 != 0,
            cuts: high & TSE != 0,
        }
    }
}

/// What the transmitter is in the middle of.
#[derive(Debug, Default)]
pub(super) struct Transmitter {
    /// For checksums, and for segments; hardware has one.
    contexts: [Option<Context>; 2],
    last: Option<bool>,
    bytes: Vec<u8>,
    /// The first data descriptor's options.
    options: Option<u64>,
}

/// Adds 16-bit words.
pub(super) fn sum(pieces: &[&[u8]]) -> u16 {
    let bytes = pieces.concat();
    let mut sum: u64 = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |&b| b.into())).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn put_sum(frame: &mut [u8], start: usize, end: usize, field: usize) {
    let sum = !sum(&[&frame[start..end]]);
    frame[field..field + 2].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
}

impl Chip {
    /// The last descriptor before a new tail reports, so that its frame comes back.
    pub(super) fn check_reports(&self, tail: u32) {
        let size = self.ring_size(TDLEN);
        if !self.is_strict || size == 0 || tail == self.peek(TDT) {
            return;
        }
        let last = (tail + size - 1) % size;
        let [_, word] = self.fetch(self.base(TDBAL) + u64::from(last) * 16);
        assert_eq!(word & (RS | EOP), RS | EOP, "E1-15: the end of a burst is not reported");
    }

    pub(super) fn transmit_now(&mut self) {
        if self.pace == Pace::Quick {
            self.transmit();
        }
    }

    /// Sends everything from head to tail.
    pub(super) fn transmit(&mut self) {
        let size = self.ring_size(TDLEN);
        if self.peek(TCTL) & ENABLE == 0 || !self.is_master() || size == 0 || self.lies.is_mute || self.lies.is_gone {
            return;
        }
        let mut raised = 0;
        for _ in 0..size {
            let head = self.peek(TDH);
            if head == self.peek(TDT) {
                break;
            }
            let at = self.base(TDBAL) + u64::from(head) * 16;
            let words = self.fetch(at);
            self.process(words);
            if words[1] & RS != 0 {
                self.write_back(at, words[1] | DD);
                self.reports += 1;
                raised |= causes::TXDW;
            }
            self.set(TDH, (head + 1) % size);
            raised |= causes::TXQE;
        }
        self.raise(raised);
    }

    fn process(&mut self, words: [u64; 2]) {
        let [address, word] = words;
        self.require(word & DEXT != 0, "E1-17: legacy descriptors do not insert checksums everywhere");
        self.require(word & DD == 0, "E1-15: a descriptor whose status is left from before");
        if word & DTYP_DATA == 0 {
            let context = Context::parse(words);
            self.require(self.transmitter.bytes.is_empty(), "E1-18: a context in the middle of a frame");
            self.transmitter.contexts[usize::from(context.cuts)] = Some(context);
            self.transmitter.last = Some(context.cuts);
            self.contexts += 1;
            return;
        }
        let len = (word & 0xffff) as usize;
        self.require(word & 0xf_ffff == len as u64 && len <= PIECE && len > 0, "E1-20: the length of a piece");
        self.require(address != 0, "E1-13: bytes at 0");
        self.require(word & IFCS != 0, "E1-16: a frame without a check sequence");
        let piece = self.fetch_bytes(address, len);
        let options = *self.transmitter.options.get_or_insert(word);
        self.require(
            (options ^ word) & (TSE | IXSM | TXSM) == 0,
            "E1-18: the options are those of the first descriptor",
        );
        self.transmitter.bytes.extend(piece);
        if word & EOP != 0 {
            let bytes = std::mem::take(&mut self.transmitter.bytes);
            self.transmitter.options = None;
            self.finish(bytes, options);
        }
    }

    fn finish(&mut self, mut bytes: Vec<u8>, options: u64) {
        // Of what is cut, the last piece may be short in any case.
        self.require(bytes.len() >= 60 || options & TSE != 0, "E1-16: a short frame is not padded");
        if options & (TSE | TXSM) == 0 {
            self.sent.push(bytes);
            return;
        }
        let cuts = options & TSE != 0;
        self.require(self.transmitter.last == Some(cuts), "E1-19: the context in force is one of the other kind");
        if self.nature == Nature::Hardware && self.transmitter.last != Some(cuts) {
            return;
        }
        let Some(context) = self.transmitter.contexts[usize::from(cuts)] else { return };
        let fits = context.sum_field + 2 <= bytes.len() && context.sum_start < bytes.len();
        self.require(fits, "E1-18: a checksum outside of its frame");
        if !fits {
            return;
        }
        if cuts {
            return self.cut(&bytes, &context);
        }
        let end = bytes.len();
        put_sum(&mut bytes, context.sum_start, end, context.sum_field);
        self.sent.push(bytes);
    }

    fn cut(&mut self, bytes: &[u8], context: &Context) {
        let Context { header, segment, ip_start, sum_start, sum_field, .. } = *context;
        self.require(context.is_tcp && segment > 0 && header >= sum_start + 20, "E1-19: how segments are cut");
        self.require(bytes.len() == header + context.payload, "E1-19: PAYLEN is what is behind the headers");
        if header > bytes.len() || segment == 0 || header < sum_start + 20 || header < ip_start + 20 {
            return;
        }
        if context.is_ipv4 {
            let fields = [&bytes[ip_start + 2..ip_start + 4], &bytes[context.ip_sum..context.ip_sum + 2]].concat();
            self.require(fields == [0; 4], "E1-19: length and checksum of the header are not zero");
        } else {
            self.require(bytes[ip_start + 4..ip_start + 6] == [0; 2], "E1-19: the length of the header is not zero");
        }
        let pieces: Vec<_> = bytes[header..].chunks(segment).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let mut frame = [&bytes[..header], piece].concat();
            let end = frame.len();
            let add = |field: &mut [u8], more: usize| {
                let value = u16::from_be_bytes([field[0], field[1]]).wrapping_add(more as u16);
                field.copy_from_slice(&value.to_be_bytes());
            };
            if context.is_ipv4 {
                add(&mut frame[ip_start + 2..ip_start + 4], end - ip_start);
                add(&mut frame[ip_start + 4..ip_start + 6], number);
                put_sum(&mut frame, ip_start, context.ip_end + 1, context.ip_sum);
            } else {
                add(&mut frame[ip_start + 4..ip_start + 6], end - ip_start - 40);
            }
            let place = &mut frame[sum_start + 4..sum_start + 8];
            let sequence = u32::from_be_bytes(place.try_into().expect("four bytes"));
            place.copy_from_slice(&sequence.wrapping_add((number * segment) as u32).to_be_bytes());
            if number + 1 < pieces.len() {
                // FIN and PSH are for the last.
                frame[sum_start + 13] &= !9;
            }
            let pseudo = u16::from_be_bytes([frame[sum_field], frame[sum_field + 1]]);
            let pseudo = sum(&[&pseudo.to_be_bytes(), &((end - sum_start) as u16).to_be_bytes()]);
            frame[sum_field..sum_field + 2].copy_from_slice(&pseudo.to_be_bytes());
            put_sum(&mut frame, sum_start, end, sum_field);
            self.sent.push(frame);
        }
    }
}
