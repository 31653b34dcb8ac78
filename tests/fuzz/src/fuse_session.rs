//! Target `fuse_session`: a session in which anything may not be implemented, and anything be said.
//!
//! | input | meaning |
//! |---|---|
//! | 8, 1 bytes | features that the server agrees to, and its minor version |
//! | steps | what is planned, what turns out not to be implemented, numbers of requests, notifications |
//!
//! | step | meaning |
//! |---|---|
//! | 0 | plan an operation, one byte, and follow the plan to its end |
//! | 1 | an operation, one byte, is answered with ENOSYS |
//! | 2 | a rename with flags, one byte |
//! | 3 | numbers for this many requests |
//! | 4 | a notification of this code, one byte, with a payload of this length |
//! | 5 | a notification of this length, header and all |
//!
//! Held: what was learnt stays so, is said again, and changes nothing else; a plan ends after a few steps, with an
//! operation that can be sent; what was opened with a handle can be released at any time; a rename with flags never becomes
//! one without; numbers differ and are even; a notification is refused, or is what a second reading says.

use std::collections::BTreeSet;

use fuse_proto::notify::{StaleData, Staleness};
use fuse_proto::ops::{Init, NotifyReply, RenameFlags};
use fuse_proto::{Caller, Errno, InitFlags, NodeId, Notification, Opcode, Operation, Plan, Session, UniqueAllocator};

use crate::script::Script;

/// The largest code of an operation.
const LAST_OPCODE: u32 = 63;

/// What a server made of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The operations that are known not to work, with what stands in for them.
    pub learnt: Vec<Opcode>,
    /// Good notifications, unknown ones, and those that were refused.
    pub notifications: [u32; 3],
    /// Questions that were answered.
    pub answers: u32,
}

/// Runs an input.
pub fn body(input: &[u8]) -> Outcome {
    let script = Script::new(input);
    let agreed = u64::from_le_bytes(script.bytes());
    let minor = script.byte();
    let mut reply = [0; 64];
    reply[0] = 7;
    reply[4] = minor.max(12);
    reply[12..16].copy_from_slice(&agreed.to_le_bytes()[..4]);
    reply[32..36].copy_from_slice(&agreed.to_le_bytes()[4..]);
    let offer = Init::new(1 << 20).offer(InitFlags::all().difference(InitFlags::MAP_ALIGNMENT));
    let session = offer.parse(&reply).expect("nothing is wrong with it");

    let mut client = Client { session, learnt: BTreeSet::new(), numbers: UniqueAllocator::new(), last: 0 };
    let mut outcome = Outcome::default();
    while !script.is_over() {
        match script.below(6) {
            0 => client.plans(opcode(script.byte())),
            1 => client.is_told(opcode(script.byte())),
            2 => client.renames(script.byte()),
            3 => client.numbers(script.byte()),
            4 => {
                let (code, len) = (script.byte(), script.byte());
                let mut bytes = vec![0; 16];
                bytes[..4].copy_from_slice(&(16 + u32::from(len)).to_le_bytes());
                bytes[4] = code;
                bytes.extend(script.take(len.into()));
                bytes.resize(16 + usize::from(len), 0);
                hears(&bytes, &mut outcome);
            }
            _ => hears(script.take(script.byte().into()), &mut outcome),
        }
    }
    outcome.learnt = client.learnt.iter().filter_map(|&raw| Opcode::from_raw(raw)).collect();
    outcome
}

/// An operation by its code, the most usual one for those that do not exist.
fn opcode(raw: u8) -> Opcode {
    Opcode::from_raw(u32::from(raw) % (LAST_OPCODE + 1)).unwrap_or(Opcode::Lookup)
}

fn all() -> impl Iterator<Item = Opcode> {
    (0..=LAST_OPCODE).filter_map(Opcode::from_raw)
}

/// A client with what it knows.
struct Client {
    session: Session,
    /// Codes of operations that are not to be sent any more, since they were answered with ENOSYS.
    learnt: BTreeSet<u32>,
    numbers: UniqueAllocator,
    last: u64,
}

impl Client {
    /// Follows a plan.
    fn plans(&self, wanted: Opcode) {
        let mut next = wanted;
        for _ in 0..4 {
            match self.session.plan(next) {
                Plan::UseInstead(other) => {
                    assert_ne!(other, next);
                    next = other;
                }
                Plan::Send => {
                    assert!(!self.learnt.contains(&next.raw()), "{next} does not work");
                    return;
                }
                Plan::Skip | Plan::Emulate => return,
                Plan::Refuse(errno) => {
                    assert_ne!(errno, Errno::ENOSYS, "a caller has no use for that");
                    return;
                }
                other => panic!("{other:?} is a plan that nobody knows"),
            }
        }
        panic!("a plan for {wanted} that does not end");
    }

    /// ENOSYS.
    fn is_told(&mut self, opcode: Opcode) {
        let before: Vec<_> = all().map(|other| self.session.plan(other)).collect();
        let known = self.session.clone();
        let plan = self.session.learn_unsupported(opcode);
        let Some(plan) = plan else {
            assert_eq!(self.session, known, "nothing was learnt");
            return;
        };
        assert_ne!(plan, Plan::Send);
        assert_eq!(self.session.plan(opcode), plan);
        assert_eq!(self.session.clone().learn_unsupported(opcode), Some(plan), "once more, and nothing new");
        for (other, before) in all().zip(before) {
            let after = self.session.plan(other);
            if after != before {
                assert!(before == Plan::Send && speaks_for(opcode, other), "{opcode} taught {other}");
                self.learnt.insert(other.raw());
            }
        }
        self.learnt.insert(opcode.raw());
        for family in FAMILIES.iter().filter(|family| family.contains(&opcode)) {
            assert!(
                family.iter().all(|&other| self.session.plan(other) != Plan::Send),
                "{opcode} stands for all of them"
            );
        }
        for end in
            [Opcode::Release, Opcode::ReleaseDir, Opcode::Forget, Opcode::Destroy, Opcode::GetAttr, Opcode::Lookup]
        {
            assert_eq!(self.session.plan(end), Plan::Send, "there is nothing instead of {end}");
        }
    }

    fn renames(&self, flags: u8) {
        let flags = RenameFlags::from_bits_truncate(flags.into());
        match self.session.plan_rename(flags) {
            Plan::Send => assert!(!flags.is_empty() && !self.learnt.contains(&Opcode::Rename2.raw())),
            Plan::UseInstead(other) => assert!(flags.is_empty() && other == Opcode::Rename),
            Plan::Refuse(errno) => assert!(!flags.is_empty() && errno == Errno::EINVAL),
            other => panic!("{other:?}"),
        }
    }

    fn numbers(&mut self, count: u8) {
        for _ in 0..count {
            let number = self.numbers.allocate().get();
            assert!(number > self.last && number.is_multiple_of(2) && number >> 63 == 0);
            self.last = number;
        }
    }
}

/// Operations of which a server has all or none.
const FAMILIES: [&[Opcode]; 2] =
    [&[Opcode::GetLk, Opcode::SetLk, Opcode::SetLkW], &[Opcode::SetupMapping, Opcode::RemoveMapping]];

/// Whether one operation that does not work says the same of another: locks and mappings are there or not.
fn speaks_for(told: Opcode, other: Opcode) -> bool {
    told == other || FAMILIES.iter().any(|family| family.contains(&told) && family.contains(&other))
}

/// Takes a notification.
fn hears(bytes: &[u8], outcome: &mut Outcome) {
    let heard = Notification::parse(bytes);
    let shown = format!("{heard:?}");
    if let Some(len) = bytes.first_chunk().map(|len| u32::from_le_bytes(*len)) {
        // What lies behind it has no influence.
        let longer = [bytes, &[0x5a; 9]].concat();
        if usize::try_from(len).is_ok_and(|len| len <= bytes.len()) && bytes.len() >= 16 {
            assert_eq!(shown, format!("{:?}", Notification::parse(&longer)));
        }
    }
    let Ok(notification) = heard else {
        outcome.notifications[2] += 1;
        return;
    };
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let end = usize::try_from(word(0)).expect("it was bounded");
    let limit = i64::MAX.unsigned_abs();
    assert_eq!(number(8), 0);
    assert!(end <= bytes.len());
    let code = word(4);
    if matches!(notification, Notification::Unknown { .. }) {
        outcome.notifications[1] += 1;
    } else {
        outcome.notifications[0] += 1;
        assert!((1..=9).contains(&code));
    }
    match notification {
        Notification::Poll { wake_up } => assert_eq!((code, end, wake_up.0), (1, 24, number(16))),
        Notification::InvalidateNode { node, data } => {
            assert_eq!((code, end, node.get()), (2, 40, number(16)));
            match data {
                StaleData::None => assert!(number(24) > limit),
                StaleData::From(offset) => assert!(offset == number(24) && (number(32) > limit || number(32) == 0)),
                StaleData::Range { offset, length } => assert!(length > 0 && offset <= limit - length),
            }
        }
        Notification::InvalidateEntry { parent, name, staleness } => {
            assert_eq!((code, parent.get()), (3, number(16)));
            assert_eq!(staleness == Staleness::Expire, word(28) & 1 == 1);
            assert_eq!((end, bytes[end - 1]), (32 + name.as_bytes().len() + 1, 0));
            assert_eq!(u64::from(word(24)), name.as_bytes().len() as u64);
            assert_eq!(bytes[32..end - 1], *name.as_bytes());
        }
        Notification::Store { node, offset, data } => {
            assert_eq!((code, node.get(), offset), (4, number(16), number(24)));
            assert!(data.len() as u64 <= limit - offset && *data == bytes[40..end]);
            assert_eq!(u64::from(word(32)), data.len() as u64);
        }
        Notification::Retrieve { question, node, offset, size } => {
            assert_eq!((code, end, question.0, node.get()), (5, 48, number(16), number(24)));
            assert!(u64::from(size) <= limit - offset);
            let data = vec![7; usize::try_from(size.min(100)).expect("small")];
            let answer = NotifyReply { question, node, offset, data: &data };
            let mut buffer = [0xee; 200];
            let len = answer.encode(Caller::SUPERUSER, &mut buffer).expect("no more than was asked for");
            assert_eq!((len, &buffer[8..16]), (80 + data.len(), &question.0.to_le_bytes()[..]));
            outcome.answers += 1;
        }
        Notification::Delete { parent, child, name } => {
            assert_eq!((code, parent.get(), child.get()), (6, number(16), number(24)));
            assert!(!child.is_root() && parent != child);
            assert_eq!((&bytes[40..end - 1], bytes[end - 1]), (name.as_bytes(), 0));
            assert_eq!(u64::from(word(32)), name.as_bytes().len() as u64);
        }
        Notification::Resend => assert_eq!((code, end), (7, 16)),
        Notification::NextEpoch => assert_eq!((code, end), (8, 16)),
        Notification::Prune(nodes) => {
            assert_eq!((code, u64::from(word(16))), (9, nodes.iter().len() as u64));
            let again: Vec<u8> = nodes.iter().map(NodeId::get).flat_map(u64::to_le_bytes).collect();
            assert_eq!(again, bytes[32..end]);
        }
        Notification::Unknown { code: kept, payload } => {
            assert!(kept == code && code > 9 && code <= i32::MAX.unsigned_abs());
            assert_eq!(payload, &bytes[16..end]);
        }
        other => panic!("{other:?} is a notification that nobody knows"),
    }
}

/// Sessions with everything and nothing, every operation that does not work, and notifications good and bad.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let session = |minor: u8, steps: &[Vec<u8>]| [&[0xff; 8][..], &[minor], &steps.concat()].concat();
    let plain = |minor: u8, steps: &[Vec<u8>]| [&[0; 8][..], &[minor], &steps.concat()].concat();
    let plan_all = || (0..64).map(|raw| vec![0, raw]);
    let tell_all = || (0..64).map(|raw| vec![1, raw]);
    let refused: Vec<_> =
        plan_all().chain(tell_all()).chain(plan_all()).chain((0..8).map(|flags| vec![2, flags])).collect();
    let notify = |code: u8, numbers: &[u64], rest: &[u8]| {
        let payload: Vec<u8> =
            numbers.iter().flat_map(|number| number.to_le_bytes()).chain(rest.iter().copied()).collect();
        [&[4, code, u8::try_from(payload.len()).expect("short")][..], &payload].concat()
    };
    let good = [
        notify(1, &[7], b""),
        notify(2, &[9, 0, 0], b""),
        notify(2, &[9, 100, 5], b""),
        notify(2, &[9, u64::MAX, 0], b""),
        notify(3, &[9, 4], b"file\0"),
        notify(3, &[9, 4 | 1 << 32], b"file\0"),
        notify(4, &[9, 100, 3], b"abc"),
        notify(5, &[5, 9, 100, 4096], b""),
        notify(6, &[1, 9, 4], b"file\0"),
        notify(7, &[], b""),
        notify(8, &[], b""),
        notify(9, &[2, 0, 3, 4], b""),
    ];
    let lies = [
        notify(3, &[9, 5], b"file\0"),
        notify(3, &[9, 4], b"file"),
        notify(3, &[9, u64::from(u32::MAX)], b"file\0"),
        notify(3, &[0, 4], b"file\0"),
        notify(3, &[9, 3], b"a/b\0"),
        notify(4, &[9, u64::MAX, 3], b"abc"),
        notify(4, &[9, 0, 4], b"abc"),
        notify(5, &[5, 9, u64::MAX, 4096], b""),
        notify(6, &[9, 1, 4], b"file\0"),
        notify(6, &[9, 9, 4], b"file\0"),
        notify(7, &[1], b""),
        notify(9, &[u64::from(u32::MAX), 0, 3], b""),
        notify(9, &[1, 0, 0], b""),
        [&[5, 16][..], &[16, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat(),
        [&[5, 16][..], &[15, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        [&[5, 16][..], &[17, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
    ];
    vec![
        ("everything_works", session(45, &plan_all().chain([vec![3, 100]]).collect::<Vec<_>>())),
        ("old", session(12, &plan_all().collect::<Vec<_>>())),
        ("hd_fs_46", session(38, &refused)),
        ("hd_fs_46_nothing_agreed", plain(12, &refused)),
        ("notifications", session(38, &good)),
        ("hd_fs_43", session(38, &lies)),
        ("hd_fs_43_unknown", session(38, &[notify(10, &[1, 2], b"any"), notify(255, &[], b"")])),
    ]
}
