//! Target `fuse_replies`: any reply to any operation of FUSE.
//!
//! The input is a sequence of exchanges: which operation, its parameters, and the reply.
//!
//! | reply | meaning |
//! |---|---|
//! | byte 0, modulo 4 | 0: success with a right header; 1: an error, four bytes; 2: a header of any 16 bytes; 3: any length, four bytes |
//! | 2 bytes | length of the payload, 0 for that of the smallest good one |
//! | bytes | the payload, zeros where the input ends |
//!
//! Held, for each exchange (`operations`, with their `parameters`), against a second `reading` of the protocol that shares
//! nothing with the first:
//!
//! - A request is as long as was measured, its header says so, and one byte less is too small.
//! - What becomes of the header: which defect, which error, or which payload.
//! - What a good reply means, as far as the protocol bounds it.
//! - Debts: a refused reply that names a node leaves exactly that one to forget, never the root, and a refused CREATE its
//!   handle to release; everything else leaves nothing.
//! - Nothing behind the length in the header has any influence.

use std::fmt::Debug;

use fuse_proto::{Defect, Operation, ReplyError, Unique};

use self::reading::{debts, request, told};
pub use self::seeds::seeds;

use crate::script::Script;

mod operations;
mod parameters;
mod reading;
mod seeds;

/// The most exchanges of one input.
const MOST_EXCHANGES: usize = 24;

const HEADER: usize = 16;

/// What a good reply can owe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    /// Nothing.
    Nothing,
    /// A reference: it begins with an entry.
    Entry,
    /// A reference and a handle: 128 bytes of entry, and then a handle.
    Created,
}

/// How the exchanges of an input ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Requests that could not be expressed.
    pub not_sent: u32,
    /// Good replies.
    pub good: u32,
    /// Errors of the server.
    pub remote: u32,
    /// The last reply that was refused, and how many were.
    pub malformed: (Option<Defect>, u32),
    /// References and handles that refused replies left to give back.
    pub owed: u32,
}

/// Runs an input.
pub fn body(input: &[u8]) -> Outcome {
    let mut table = Table { script: Script::new(input), outcome: Outcome::default() };
    for _ in 0..MOST_EXCHANGES {
        if table.script.is_over() {
            break;
        }
        table.any_operation();
    }
    table.outcome
}

/// Where client and server sit.
struct Table<'a> {
    script: Script<'a>,
    outcome: Outcome,
}

impl Table<'_> {
    /// Sends a request and takes its reply.
    fn exchange<O: Operation>(&mut self, operation: &O, owes: Owes, check: impl Fn(&O, O::Reply<'_>, &[u8]))
    where
        for<'r> O::Reply<'r>: Debug,
    {
        let unique = Unique::new(2 * (1 + u64::from(self.script.below(100)))).expect("even");
        let is_sent = request(operation, unique);
        let reply = self.reply(operation, unique);
        let told = told(operation, unique, &reply);
        let result = operation.decode(unique, &reply);
        let shown = format!("{result:?}");
        if let Ok(longer) = told {
            let behind = [&reply[..HEADER + longer.len()], &[0xa5; 40]].concat();
            assert_eq!(shown, format!("{:?}", operation.decode(unique, &behind)), "something behind it counted");
        }
        if !is_sent {
            // Whatever is made of a reply to a request that does not exist, it has to be made in peace.
            self.outcome.not_sent += 1;
            return;
        }
        match (result, told) {
            (Ok(reply), Ok(payload)) => {
                self.outcome.good += 1;
                check(operation, reply, payload);
            }
            (Err(ReplyError::Malformed { defect, forget, release }), Ok(payload)) => {
                let debts = debts(owes, payload);
                assert_eq!((forget, release), debts, "after {defect:?}");
                self.outcome.malformed = (Some(defect), self.outcome.malformed.1 + 1);
                self.outcome.owed += u32::from(debts.0.is_some()) + u32::from(debts.1.is_some());
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error, expected);
                match error {
                    ReplyError::Remote(_) => self.outcome.remote += 1,
                    ReplyError::Malformed { defect, .. } => {
                        self.outcome.malformed = (Some(defect), self.outcome.malformed.1 + 1);
                    }
                }
            }
            (result, told) => panic!("{result:?} where the header says {told:?}"),
        }
    }

    /// The server's reply.
    fn reply<O: Operation>(&self, operation: &O, unique: Unique) -> Vec<u8> {
        let manner = self.script.below(4);
        let mut header = [0; HEADER];
        header[8..].copy_from_slice(&unique.get().to_le_bytes());
        let mut claimed = None;
        match manner {
            0 => {}
            1 => {
                let error = i32::from_le_bytes(self.script.bytes());
                header[4..8].copy_from_slice(&error.to_le_bytes());
            }
            2 => header = self.script.bytes(),
            _ => claimed = Some(self.script.long()),
        }
        let lengths = operation.payload_len();
        let len = match usize::from(self.script.word()) {
            0 if manner != 1 => *lengths.start(),
            given => given.min(*lengths.end() + 8),
        };
        let mut reply = header.to_vec();
        reply.extend(self.script.take(len));
        reply.resize(HEADER + len, 0);
        if manner != 2 {
            let claimed = claimed.unwrap_or_else(|| u32::try_from(reply.len()).expect("less than a mebibyte"));
            reply[..4].copy_from_slice(&claimed.to_le_bytes());
        }
        reply
    }
}
