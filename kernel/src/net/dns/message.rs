//! Bytes of DNS messages (RFC 1035 §4): questions as we ask them, and what of an answer concerns us.

use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::wire::{
    DnsFlags as Flags, DnsOpcode as Opcode, DnsPacket as Packet, DnsQueryType as Type, DnsQuestion as Question,
    DnsRcode as Rcode, DnsRecord as Record, DnsRecordData as RecordData, DnsRepr as Repr,
};

/// Longest message over UDP (RFC 1035 §2.3.4).
pub(super) const LONGEST: usize = 512;
/// Longest name on the wire (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;
/// Longest label.
const LONGEST_LABEL: usize = 63;
/// How many times an answer may point from one name to another.
const MOST_STEPS: usize = 16;

/// A domain name: its labels as on the wire, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// Understands a name as people write it, with or without a dot at its end.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || [b'-', b'_'].contains(byte);
        let labels = text.split('.').map(str::as_bytes);
        Self::of(labels.map(|label| Some(label).filter(|label| !label.is_empty() && label.iter().all(is_allowed))))
    }

    /// The name with these labels, if all are there.
    fn of<'a>(labels: impl Iterator<Item = Option<&'a [u8]>>) -> Option<Self> {
        let mut wire = Vec::new();
        for label in labels {
            let label = label?;
            if label.len() > LONGEST_LABEL || wire.len() + label.len() + 2 > LONGEST_NAME {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        wire.push(0);
        Some(Self(wire))
    }

    /// The name at the beginning of `bytes`, in a message.
    fn read(packet: &Packet<&[u8]>, bytes: &[u8]) -> Option<Self> {
        Self::of(packet.parse_name(bytes).map(Result::ok))
    }
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Kind {
    /// Those of IPv4.
    A,
    /// Those of IPv6 (RFC 3596).
    #[cfg_attr(not(feature = "ipv6"), expect(dead_code, reason = "nobody could use them"))]
    Aaaa,
}

impl Kind {
    fn wire(self) -> Type {
        match self {
            Self::A => Type::A,
            Self::Aaaa => Type::Aaaa,
        }
    }
}

/// A question, as it is sent.
pub(super) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let question = Question { name: &name.0, type_: kind.wire() };
    let flags = Flags::RECURSION_DESIRED;
    let repr = Repr { transaction_id: id, opcode: Opcode::Query, flags, question };
    let mut bytes = alloc::vec![0; repr.buffer_len()];
    repr.emit(&mut Packet::new_unchecked(&mut bytes[..]));
    bytes
}

/// What a server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses, at least one, and for how many seconds they are good.
    Found(Vec<IpAddr>, u32),
    /// The name is another one for this name, which has to be asked for; good for so many seconds.
    Alias(Name, u32),
    /// There is no such name, or it has no such address.
    Nothing,
    /// The server cannot say, or not over UDP.
    Failure,
}

/// Reads the answer to a question; `None` if it is none.
pub(super) fn read(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Answer> {
    let packet = Packet::new_checked(bytes).ok()?;
    let flags = packet.flags();
    let is_answer = flags.contains(Flags::RESPONSE) && packet.opcode() == Opcode::Query;
    if !is_answer || packet.transaction_id() != id || packet.question_count() != 1 {
        return None;
    }
    let (rest, question) = Question::parse(packet.payload()).ok()?;
    if question.type_ != kind.wire() || Name::read(&packet, question.name)? != *name {
        return None;
    }
    match packet.rcode() {
        Rcode::NoError => {}
        Rcode::NXDomain => return Some(Answer::Nothing),
        _ => return Some(Answer::Failure),
    }
    let records = read_records(&packet, rest)?;
    let (name, ttl) = follow_aliases(&records, name)?;
    let fitting = records.iter().filter(|record| record.name == name);
    let found: Vec<_> = fitting
        .filter_map(|record| match (&record.data, kind) {
            (Data::Address(address @ IpAddr::V4(_)), Kind::A)
            | (Data::Address(address @ IpAddr::V6(_)), Kind::Aaaa) => Some((*address, record.ttl)),
            _ => None,
        })
        .collect();
    Some(match (found.iter().map(|(_, ttl)| *ttl).min(), ttl) {
        (Some(least), _) => {
            let least = ttl.map_or(least, |ttl| ttl.min(least));
            Answer::Found(found.into_iter().map(|(address, _)| address).collect(), least)
        }
        (None, _) if flags.contains(Flags::TRUNCATED) => Answer::Failure,
        (None, Some(ttl)) => Answer::Alias(name, ttl),
        (None, None) => Answer::Nothing,
    })
}

/// What of a resource record matters.
struct Item {
    name: Name,
    ttl: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    Alias(Name),
}

/// Reads the records of the answer. In a truncated message the last ones may be missing; anything else that is not as it
/// should be makes the whole message one that does not count.
fn read_records(packet: &Packet<&[u8]>, mut rest: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    for _ in 0..packet.answer_record_count() {
        // Each takes some bytes, so there are not more of them than bytes.
        let Ok((after, record)) = Record::parse(rest) else {
            return packet.flags().contains(Flags::TRUNCATED).then_some(items);
        };
        rest = after;
        let data = match record.data {
            RecordData::A(address) => Data::Address(address.into()),
            #[cfg(feature = "ipv6")]
            RecordData::Aaaa(address) => Data::Address(address.into()),
            RecordData::Cname(name) => Data::Alias(Name::read(packet, name)?),
            RecordData::Other(..) => continue,
        };
        items.push(Item { name: Name::read(packet, record.name)?, ttl: record.ttl, data });
    }
    Some(items)
}

/// The name at the end of the aliases that begin with `name`, and how long all of them are good, if there is any.
fn follow_aliases(records: &[Item], name: &Name) -> Option<(Name, Option<u32>)> {
    let (mut name, mut ttl) = (name.clone(), None::<u32>);
    for _ in 0..MOST_STEPS {
        let alias = records.iter().find_map(|record| match &record.data {
            Data::Alias(to) if record.name == name => Some((to, record.ttl)),
            _ => None,
        });
        let Some((to, good_for)) = alias else { return Some((name, ttl)) };
        ttl = Some(ttl.map_or(good_for, |ttl| ttl.min(good_for)));
        name = to.clone();
    }
    // They go in circles.
    None
}

#[cfg(test)]
pub(super) mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Appends a record whose name is where `name` points.
    fn record(message: &mut Vec<u8>, name: &[u8], kind: u16, ttl: u32, data: &[u8]) {
        message.extend_from_slice(name);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&1_u16.to_be_bytes());
        message.extend_from_slice(&ttl.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
        let count = u16::from_be_bytes([message[6], message[7]]) + 1;
        message[6..8].copy_from_slice(&count.to_be_bytes());
    }

    /// The name of the question.
    const ASKED: [u8; 2] = [0xc0, 12];

    /// An answer without records to a question, with this code.
    pub(in super::super) fn reply(question: &[u8], code: u8) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] |= 0x80;
        message[3] |= 0x80 | code;
        message
    }

    pub(in super::super) fn add_a(message: &mut Vec<u8>, ttl: u32, address: [u8; 4]) {
        record(message, &ASKED, 1, ttl, &address);
    }

    pub(in super::super) fn add_alias(message: &mut Vec<u8>, ttl: u32, to: &str) {
        record(message, &ASKED, 5, ttl, &name(to).0);
    }

    pub(in super::super) fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn ask(kind: Kind) -> (Name, Vec<u8>) {
        let name = name("www.Example.org");
        let question = question(0x1234, &name, kind);
        (name, question)
    }

    #[test]
    fn names_are_understood_and_compared_without_regard_to_case() {
        assert_eq!(name("WWW.example.ORG").0, b"\x03www\x07example\x03org\0");
        assert_eq!(name("a_b-1."), name("A_B-1"));
        let longest_label = "x".repeat(63);
        assert!(Name::parse(&longest_label).is_some());
        // 4 * 62 + 3 dots: 251 characters, 253 bytes; and then exactly 255.
        let long = ["x".repeat(62), "x".repeat(62), "x".repeat(62), "x".repeat(62)].join(".");
        assert!(Name::parse(&long).is_some() && Name::parse(&alloc::format!("x{long}x")).is_some());
        for bad in ["", ".", "a..b", ".a", "a b", "ä.de", "a/b", &"x".repeat(64), &alloc::format!("{long}.x.y")] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_question_looks_as_it_should() {
        let (_, bytes) = ask(Kind::Aaaa);
        let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x1c\0\x01";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn addresses_of_the_right_kind_and_name_are_found() {
        let (www, asked) = ask(Kind::A);
        let mut message = reply(&asked, 0);
        add_a(&mut message, 300, [192, 0, 2, 1]);
        record(&mut message, &ASKED, 28, 9, &[1; 16]);
        record(&mut message, &name("other.example.org").0, 1, 9, &[192, 0, 2, 99]);
        record(&mut message, &ASKED, 16, 9, b"text");
        add_a(&mut message, 200, [192, 0, 2, 2]);
        let found = alloc::vec![Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into()];
        assert_eq!(read(&message, 0x1234, &www, Kind::A), Some(Answer::Found(found, 200)));

        let (www, asked) = ask(Kind::Aaaa);
        let mut message = reply(&asked, 0);
        record(&mut message, &ASKED, 28, 60, &Ipv6Addr::LOCALHOST.octets());
        let found = alloc::vec![Ipv6Addr::LOCALHOST.into()];
        assert_eq!(read(&message, 0x1234, &www, Kind::Aaaa), Some(Answer::Found(found, 60)));
    }

    #[test]
    fn aliases_lead_to_addresses_in_any_order_or_to_another_question() {
        let (www, asked) = ask(Kind::A);
        let mut message = reply(&asked, 0);
        record(&mut message, &name("c.net").0, 1, 500, &[192, 0, 2, 3]);
        record(&mut message, &name("b.net").0, 5, 40, &name("c.net").0);
        add_alias(&mut message, 600, "B.net");
        let found = alloc::vec![Ipv4Addr::new(192, 0, 2, 3).into()];
        assert_eq!(read(&message, 0x1234, &www, Kind::A), Some(Answer::Found(found, 40)));

        let mut message = reply(&asked, 0);
        add_alias(&mut message, 70, "elsewhere.net");
        assert_eq!(read(&message, 0x1234, &www, Kind::A), Some(Answer::Alias(name("elsewhere.net"), 70)));

        let mut message = reply(&asked, 0);
        add_alias(&mut message, 70, "elsewhere.net");
        record(&mut message, &name("elsewhere.net").0, 5, 40, &www.0);
        assert_eq!(read(&message, 0x1234, &www, Kind::A), None, "in circles");
    }

    #[test]
    fn refusals_and_emptiness_are_told_apart() {
        let (www, asked) = ask(Kind::A);
        let answer = |code| read(&reply(&asked, code), 0x1234, &www, Kind::A);
        assert_eq!(answer(0), Some(Answer::Nothing));
        assert_eq!(answer(3), Some(Answer::Nothing));
        for code in [1, 2, 4, 5, 9, 15] {
            assert_eq!(answer(code), Some(Answer::Failure), "{code}");
        }
    }

    #[test]
    fn a_truncated_answer_is_used_as_far_as_it_goes() {
        let (www, asked) = ask(Kind::A);
        let mut message = reply(&asked, 0);
        message[2] |= 2;
        assert_eq!(read(&message, 0x1234, &www, Kind::A), Some(Answer::Failure));
        add_a(&mut message, 300, [192, 0, 2, 1]);
        add_a(&mut message, 300, [192, 0, 2, 2]);
        message.truncate(message.len() - 3);
        let found = alloc::vec![Ipv4Addr::new(192, 0, 2, 1).into()];
        assert_eq!(read(&message, 0x1234, &www, Kind::A), Some(Answer::Found(found, 300)));
        message[2] &= !2;
        assert_eq!(read(&message, 0x1234, &www, Kind::A), None, "without saying so it is malformed");
    }

    #[test]
    fn what_does_not_repeat_the_question_is_no_answer() {
        let (www, asked) = ask(Kind::A);
        let mut good = reply(&asked, 0);
        add_a(&mut good, 300, [192, 0, 2, 1]);
        assert!(read(&good, 0x1234, &www, Kind::A).is_some());
        assert_eq!(read(&good, 0x1235, &www, Kind::A), None, "another number");
        assert_eq!(read(&good, 0x1234, &www, Kind::Aaaa), None, "another type");
        assert_eq!(read(&good, 0x1234, &name("www.example.com"), Kind::A), None, "another name");
        assert_eq!(read(&asked, 0x1234, &www, Kind::A), None, "a question");
        for (place, value) in [(5, 0), (5, 2), (2, good[2] | 0x10), (asked.len() - 1, 3)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(read(&bad, 0x1234, &www, Kind::A), None, "byte {place}");
        }
        for len in 0..good.len() {
            assert_eq!(read(&good[..len], 0x1234, &www, Kind::A), None, "{len} bytes");
        }
    }

    #[test]
    fn pointers_in_circles_and_names_without_end_are_malformed() {
        let (www, asked) = ask(Kind::A);
        let here = asked.len() as u8;
        for pointer in [[0xc0, here], [0xff, 0xff], [0x80, 0]] {
            let mut message = reply(&asked, 0);
            record(&mut message, &pointer, 1, 1, &[1, 2, 3, 4]);
            assert_eq!(read(&message, 0x1234, &www, Kind::A), None, "{pointer:?}");
        }
        // A label in front of a pointer to itself.
        let mut message = reply(&asked, 0);
        record(&mut message, &[1, b'a', 0xc0, here], 1, 1, &[1, 2, 3, 4]);
        assert_eq!(read(&message, 0x1234, &www, Kind::A), None);
        // Five labels of 63 bytes.
        let mut long = Vec::new();
        (0..5).for_each(|_| long.extend_from_slice(&[63; 64]));
        long.push(0);
        let mut message = reply(&asked, 0);
        record(&mut message, &ASKED, 5, 1, &long);
        assert_eq!(read(&message, 0x1234, &www, Kind::A), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_stumble(
            mut bytes: Vec<u8>,
            changes in proptest::collection::vec((0_usize..120, any::<u8>()), 0..6),
        ) {
            let (www, asked) = ask(Kind::A);
            let _ = read(&bytes, 0x1234, &www, Kind::A);
            let mut message = reply(&asked, 0);
            add_alias(&mut message, 70, "elsewhere.net");
            add_a(&mut message, 300, [192, 0, 2, 1]);
            message.append(&mut bytes);
            for (place, value) in changes {
                if let Some(byte) = message.get_mut(place) {
                    *byte = value;
                }
            }
            let _ = read(&message, 0x1234, &www, Kind::A);
        }
    }
}
