//! The whole table, as connections see it: ways to all shards.

use alloc::{boxed::Box, string::ToString, vec::Vec};

use toro::{
    core as cores, io,
    sync::mpsc::{self, Receiver, Sender},
    thread::Builder,
};

use crate::{
    limits,
    protocol::Refusal,
    shard::{Answer, Mail, Question, Shard},
};

/// One way to each shard. Clones of it lead to the same shards, from any core.
#[derive(Clone)]
pub struct Table {
    shards: Vec<Sender<Mail>>,
}

impl Table {
    /// Starts a shard on every core, whose entries may take `limit` bytes each.
    ///
    /// # Errors
    ///
    /// If there is no memory for a thread.
    pub fn start(limit: usize) -> io::Result<Self> {
        let start = |core| {
            let (sender, receiver) = mpsc::channel(limits::QUESTIONS);
            let shard = Builder::new().name("shard".to_string());
            shard.spawn_on(core, move || Shard::new(limit).serve(receiver)).map(|_| sender)
        };
        Ok(Self { shards: cores::all().map(start).collect::<io::Result<_>>()? })
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The number of the shard that has `key`.
    pub fn shard_of(&self, key: &[u8]) -> usize {
        (hash(key) % self.shards.len() as u64) as usize
    }
}

/// One connection's way to the table and back.
pub struct Asker<'a> {
    table: &'a Table,
    reply_to: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl<'a> Asker<'a> {
    pub fn new(table: &'a Table) -> Self {
        let (reply_to, answers) = mpsc::channel(1);
        Self { table, reply_to, answers }
    }

    /// Asks the shard that has the key.
    pub fn get(&mut self, key: &[u8]) -> Answer {
        self.ask(self.table.shard_of(key), Question::Get(key.into()))
    }

    /// As [`get`](Self::get).
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Answer {
        self.ask(self.table.shard_of(key), Question::Set(key.into(), value.into()))
    }

    /// As [`get`](Self::get).
    pub fn delete(&mut self, key: &[u8]) -> Answer {
        self.ask(self.table.shard_of(key), Question::Delete(key.into()))
    }

    /// Asks all shards, one after the other: keys and bytes of each.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    pub fn stats(&mut self) -> Result<Box<[(usize, usize)]>, Refusal> {
        let mut stats = Vec::with_capacity(self.table.shards());
        for shard in 0..self.table.shards() {
            match self.ask(shard, Question::Stats) {
                Answer::Stats { keys, bytes } => stats.push((keys, bytes)),
                _ => return Err(Refusal::Unavailable),
            }
        }
        Ok(stats.into())
    }

    fn ask(&mut self, shard: usize, question: Question) -> Answer {
        let mail = Mail { question, reply_to: self.reply_to.clone() };
        let is_sent = self.table.shards[shard].send(mail).is_ok();
        let answer = is_sent.then(|| self.answers.recv_timeout(limits::ANSWER_TIMEOUT).ok()).flatten();
        if answer.is_none() {
            // An answer that comes too late must not be taken for that to the next question.
            (self.reply_to, self.answers) = mpsc::channel(1);
        }
        answer.unwrap_or(Answer::Refused(Refusal::Unavailable))
    }
}

/// FNV-1a, its bits mixed once more, since the remainder looks at the lowest only.
fn hash(key: &[u8]) -> u64 {
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
