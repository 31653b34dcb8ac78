//! A shard: the part of the table that one core has, and the thread that has it.
//!
//! The map is an ordered one: a client may choose its keys as it likes, none makes the map slow. The hash only says which
//! shard has a key (see `table`).

use alloc::{boxed::Box, collections::BTreeMap};

use toro::sync::mpsc::{Receiver, Sender};

use crate::{limits, protocol::Refusal};

/// What a shard is asked.
pub enum Question {
    Get(Box<[u8]>),
    Set(Box<[u8]>, Box<[u8]>),
    Delete(Box<[u8]>),
    Stats,
}

/// What it answers.
pub enum Answer {
    Value(Box<[u8]>),
    /// The key is not there.
    None,
    /// What was asked for has been done.
    Done,
    Stats {
        keys: usize,
        bytes: usize,
    },
    Refused(Refusal),
}

/// A question, and the way back.
pub struct Mail {
    pub question: Question,
    pub reply_to: Sender<Answer>,
}

/// The entries of one core.
pub struct Shard {
    entries: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// What they take.
    bytes: usize,
    limit: usize,
}

impl Shard {
    /// A shard whose entries may take `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, limit }
    }

    /// Answers questions until nobody is left who could ask.
    pub fn serve(mut self, mut mail: Receiver<Mail>) {
        while let Ok(Mail { question, reply_to }) = mail.recv() {
            let answer = self.answer(question);
            // Who asks waits for one answer at a time and has room for it; or it has gone.
            let _ = reply_to.try_send(answer);
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Get(key) => self.entries.get(&key).map_or(Answer::None, |value| Answer::Value(value.clone())),
            Question::Set(key, value) => self.set(key, value),
            Question::Delete(key) => match self.entries.remove_entry(&key) {
                Some((key, value)) => {
                    self.bytes -= cost(&key, &value);
                    Answer::Done
                }
                None => Answer::None,
            },
            Question::Stats => Answer::Stats { keys: self.entries.len(), bytes: self.bytes },
        }
    }

    fn set(&mut self, key: Box<[u8]>, value: Box<[u8]>) -> Answer {
        let before = self.entries.get(&key).map_or(0, |old| cost(&key, old));
        let bytes = self.bytes - before + cost(&key, &value);
        if bytes > self.limit {
            return Answer::Refused(Refusal::Full);
        }
        self.bytes = bytes;
        self.entries.insert(key, value);
        Answer::Done
    }
}

/// What an entry takes of the limit.
fn cost(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + limits::ENTRY
}
