//! [`Inquiry`]: what to ask which server when, and which answers count.
//!
//! ```text
//!   question A     -- server 1, 1 s -- server 2, 1 s -- server 1, 2 s -- server 2, 2 s -- ... -- given up
//!   question AAAA  -- server 1 -- "I cannot" -- server 2 -- answered
//! ```
//!
//! Each sending has a number of its own, and the answer to any of them counts, also when the next server has been asked
//! already. A server that says that it cannot answer is followed by the next one at once. If one kind of address has been
//! found, the other is waited for until its next server would be asked, and no longer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use toro_core::Instant;

use super::message::{Answer, Kind, Name, question, read};
use crate::net::flow::mix;
use crate::net::ipv6::KINDS;

/// How many aliases are followed, if each has to be asked for.
pub(super) const MOST_ALIASES: u32 = 8;
/// How long each server is waited for when it is asked for the first time, the second, and so on.
const ROUNDS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many servers are asked.
const MOST_SERVERS: usize = 4;

/// Why a name has no address for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such name, or it has no address.
    NotFound,
    /// No server has answered in time.
    TimedOut,
    /// No server could answer, or the aliases have no end.
    ServerFailed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this to a server.
    Send(SocketAddr, Vec<u8>),
    /// Wait for answers until then.
    Wait(Instant),
    /// It is over.
    Done(Result<(Vec<IpAddr>, u32), Failure>),
}

/// The search for the addresses of a name.
pub(super) struct Inquiry {
    servers: Vec<SocketAddr>,
    questions: [Asked; KINDS.len()],
    random: u64,
    deadline: Instant,
}

/// A question and what has become of it.
struct Asked {
    name: Name,
    kind: Kind,
    aliases: u32,
    /// How long the aliases so far are good, in seconds.
    ttl: u32,
    /// How often it has been sent, and where and with which numbers.
    turn: usize,
    sent: Vec<(SocketAddr, u16)>,
    /// When the next server is due.
    due: Instant,
    outcome: Option<Result<(Vec<IpAddr>, u32), Failure>>,
    /// A server has said that it cannot answer.
    failed: bool,
}

impl Inquiry {
    /// About `name`, to these servers. `seed` is what the numbers of messages come from.
    pub(super) fn new(now: Instant, name: &Name, servers: &[SocketAddr], seed: u64) -> Self {
        let ask = |kind| Asked {
            name: name.clone(),
            kind,
            aliases: 0,
            ttl: u32::MAX,
            turn: 0,
            sent: Vec::new(),
            due: now,
            outcome: None,
            failed: false,
        };
        let servers = servers.iter().copied().take(MOST_SERVERS).collect();
        Self { servers, questions: KINDS.map(ask), random: seed, deadline: now.saturating_add(PATIENCE) }
    }

    /// What to do next.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        let has_found = self.questions.iter().any(|asked| matches!(asked.outcome, Some(Ok(_))));
        let turns = self.servers.len() * ROUNDS.len();
        for asked in self.questions.iter_mut().filter(|asked| asked.outcome.is_none() && asked.due <= now) {
            if now >= self.deadline || asked.turn >= turns || (has_found && asked.turn > 0) {
                let failure = if asked.failed { Failure::ServerFailed } else { Failure::TimedOut };
                asked.outcome = Some(Err(failure));
                continue;
            }
            let server = self.servers[asked.turn % self.servers.len()];
            asked.due = now.saturating_add(ROUNDS[asked.turn / self.servers.len()]).min(self.deadline);
            asked.turn += 1;
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let id = (mix(self.random) >> 32) as u16;
            asked.sent.push((server, id));
            return Step::Send(server, question(id, &asked.name, asked.kind));
        }
        let next = self.questions.iter().filter(|asked| asked.outcome.is_none()).map(|asked| asked.due).min();
        next.map_or_else(|| Step::Done(self.conclude()), Step::Wait)
    }

    /// A question could not be sent to a server.
    pub(super) fn cannot_ask(&mut self, now: Instant, server: SocketAddr) {
        let waiting = self.questions.iter_mut().filter(|asked| asked.outcome.is_none());
        for asked in waiting.filter(|asked| asked.sent.last().is_some_and(|(last, _)| *last == server)) {
            asked.due = now;
        }
    }

    /// Takes in a message. One that is no answer to anything that was asked changes nothing.
    pub(super) fn take(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        for asked in self.questions.iter_mut().filter(|asked| asked.outcome.is_none()) {
            let mut sent = asked.sent.iter().filter(|(server, _)| *server == from);
            let answer = sent.find_map(|&(_, id)| Some((id, read(bytes, id, &asked.name, asked.kind)?)));
            if let Some((id, answer)) = answer {
                asked.sent.retain(|sent| *sent != (from, id));
                return asked.answered(now, answer);
            }
        }
    }

    /// The addresses of both kinds, those of IPv4 first, and how long all of them are good; else the failure that says most.
    fn conclude(&self) -> Result<(Vec<IpAddr>, u32), Failure> {
        let outcomes = self.questions.iter().filter_map(|asked| asked.outcome.as_ref());
        let (mut addresses, mut seconds) = (Vec::new(), u32::MAX);
        for (found, ttl) in outcomes.clone().flatten() {
            addresses.extend_from_slice(found);
            seconds = seconds.min(*ttl);
        }
        if !addresses.is_empty() {
            return Ok((addresses, seconds));
        }
        let mut failures = outcomes.filter_map(|outcome| outcome.as_ref().err());
        Err(failures.find(|failure| **failure != Failure::NotFound).copied().unwrap_or(Failure::NotFound))
    }
}

impl Asked {
    fn answered(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Found(addresses, ttl) => self.outcome = Some(Ok((addresses, ttl.min(self.ttl)))),
            Answer::Nothing => self.outcome = Some(Err(Failure::NotFound)),
            Answer::Alias(..) if self.aliases == MOST_ALIASES => self.outcome = Some(Err(Failure::ServerFailed)),
            Answer::Alias(name, ttl) => {
                self.name = name;
                self.aliases += 1;
                self.ttl = self.ttl.min(ttl);
                self.turn = 0;
                self.sent.clear();
                self.due = now;
            }
            Answer::Failure => {
                self.failed = true;
                self.due = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::super::message::tests::{add_a, add_alias, name, reply};
    use super::*;

    const ONE: SocketAddr = server(1);
    const TWO: SocketAddr = server(2);

    const fn server(n: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, n)), 53)
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    fn inquiry(servers: &[SocketAddr]) -> Inquiry {
        Inquiry::new(at(0), &name("www.example.org"), servers, 7)
    }

    /// What is sent now.
    fn sent(inquiry: &mut Inquiry, now: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        while let Step::Send(server, bytes) = inquiry.step(at(now)) {
            all.push((server, bytes));
        }
        all
    }

    /// An answer with an address for a question of IPv4, an empty one for others.
    fn answer(question: &[u8], n: u8) -> Vec<u8> {
        let mut message = reply(question, 0);
        if question[question.len() - 3] == 1 {
            add_a(&mut message, 60, [192, 0, 2, n]);
        }
        message
    }

    fn found(n: u8) -> Step {
        Step::Done(Ok((alloc::vec![Ipv4Addr::new(192, 0, 2, n).into()], 60)))
    }

    #[test]
    fn both_kinds_are_asked_for_at_once_with_numbers_of_their_own() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        let all = sent(&mut inquiry, 0);
        assert_eq!(all.iter().map(|(server, _)| *server).collect::<Vec<_>>(), [ONE, ONE]);
        assert_ne!(all[0].1[..2], all[1].1[..2]);
        for (server, question) in &all {
            inquiry.take(at(5), *server, &answer(question, 1));
        }
        assert_eq!(inquiry.step(at(5)), found(1));
    }

    #[test]
    fn silent_servers_are_asked_in_turn_and_given_up_in_the_end() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        let mut asked = Vec::new();
        let mut now = 0;
        let end = loop {
            asked.extend(sent(&mut inquiry, now).into_iter().map(|(server, _)| (now, server)));
            match inquiry.step(at(now)) {
                Step::Wait(until) => now = until.as_nanos() / 1_000_000,
                other => break other,
            }
        };
        let expected = [(0, ONE), (1000, TWO), (2000, ONE), (4000, TWO), (6000, ONE), (10_000, TWO)];
        assert_eq!(asked, expected.into_iter().flat_map(|one| [one, one]).collect::<Vec<_>>());
        assert_eq!((end, now), (Step::Done(Err(Failure::TimedOut)), 14_000));
    }

    #[test]
    fn a_late_answer_of_the_first_server_counts() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        let first = sent(&mut inquiry, 0);
        let second = sent(&mut inquiry, 1000);
        assert_eq!(second[0].0, TWO);
        first.iter().for_each(|(_, question)| inquiry.take(at(1500), ONE, &answer(question, 1)));
        assert_eq!(inquiry.step(at(1500)), found(1));
    }

    #[test]
    fn a_server_that_cannot_answer_is_followed_by_the_next_at_once() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        for (server, question) in sent(&mut inquiry, 0) {
            inquiry.take(at(10), server, &reply(&question, 2));
        }
        let second = sent(&mut inquiry, 10);
        assert_eq!(second.iter().map(|(server, _)| *server).collect::<Vec<_>>(), [TWO, TWO]);
        second.iter().for_each(|(server, question)| inquiry.take(at(20), *server, &answer(question, 2)));
        assert_eq!(inquiry.step(at(20)), found(2));
    }

    #[test]
    fn servers_that_all_cannot_answer_end_it_before_the_time() {
        let mut inquiry = inquiry(&[ONE]);
        for _ in 0..ROUNDS.len() {
            for (server, question) in sent(&mut inquiry, 10) {
                inquiry.take(at(10), server, &reply(&question, 5));
            }
        }
        assert_eq!(inquiry.step(at(10)), Step::Done(Err(Failure::ServerFailed)));
    }

    #[test]
    fn answers_from_elsewhere_or_with_other_numbers_change_nothing() {
        let mut inquiry = inquiry(&[ONE]);
        let all = sent(&mut inquiry, 0);
        for (_, question) in &all {
            let forged = answer(question, 66);
            inquiry.take(at(1), TWO, &forged);
            inquiry.take(at(1), SocketAddr::new(ONE.ip(), 54), &forged);
            let mut other_number = forged.clone();
            other_number[1] ^= 1;
            inquiry.take(at(1), ONE, &other_number);
            inquiry.take(at(1), ONE, &forged[..forged.len() - 1]);
            inquiry.take(at(1), ONE, question);
        }
        assert!(matches!(inquiry.step(at(1)), Step::Wait(_)));
        all.iter().for_each(|(_, question)| inquiry.take(at(2), ONE, &answer(question, 1)));
        assert_eq!(inquiry.step(at(2)), found(1));
    }

    #[test]
    fn one_kind_is_not_waited_for_long_when_the_other_is_there() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        let all = sent(&mut inquiry, 0);
        inquiry.take(at(1), ONE, &answer(&all[0].1, 1));
        assert_eq!(inquiry.step(at(1)), Step::Wait(at(1000)));
        assert_eq!(inquiry.step(at(1000)), found(1));
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_passed_over() {
        let mut inquiry = inquiry(&[ONE, TWO]);
        let mut asked = Vec::new();
        while let Step::Send(server, question) = inquiry.step(at(0)) {
            if server == ONE {
                inquiry.cannot_ask(at(0), ONE);
            } else {
                asked.push(question);
            }
        }
        assert_eq!(asked.len(), 2);
        asked.iter().for_each(|question| inquiry.take(at(1), TWO, &answer(question, 1)));
        assert_eq!(inquiry.step(at(1)), found(1));
    }

    #[test]
    fn it_ends_in_time_whatever_comes() {
        let mut inquiry = inquiry(&[ONE]);
        let mut now = 0;
        let end = loop {
            for (server, question) in sent(&mut inquiry, now) {
                let mut message = reply(&question, 0);
                add_alias(&mut message, 60, "a.example.org");
                now += 4000;
                inquiry.take(at(now), server, &message);
            }
            match inquiry.step(at(now)) {
                Step::Wait(until) => now = until.as_nanos() / 1_000_000,
                Step::Send(..) => {}
                other => break other,
            }
        };
        assert!(now <= 36_000 && matches!(end, Step::Done(Err(_))), "{end:?} after {now} ms");
    }

    #[test]
    fn names_that_are_not_there_are_not_found() {
        let mut inquiry = inquiry(&[ONE]);
        for (server, question) in sent(&mut inquiry, 0) {
            inquiry.take(at(1), server, &reply(&question, 3));
        }
        assert_eq!(inquiry.step(at(1)), Step::Done(Err(Failure::NotFound)));
    }

    #[test]
    fn aliases_are_asked_for_but_not_for_ever() {
        let mut inquiry = inquiry(&[ONE]);
        let mut steps = 0;
        loop {
            let all = sent(&mut inquiry, steps);
            if all.is_empty() {
                break;
            }
            steps += 1;
            for (server, question) in all {
                let mut message = reply(&question, 0);
                add_alias(&mut message, 60, &alloc::format!("n{steps}.example.org"));
                inquiry.take(at(steps), server, &message);
            }
        }
        assert_eq!(steps, u64::from(MOST_ALIASES) + 1);
        assert_eq!(inquiry.step(at(steps)), Step::Done(Err(Failure::ServerFailed)));
    }

    #[test]
    fn an_alias_limits_how_long_the_addresses_are_good() {
        let mut inquiry = inquiry(&[ONE]);
        for (server, question) in sent(&mut inquiry, 0) {
            let mut message = reply(&question, 0);
            add_alias(&mut message, 9, "other.example.org");
            inquiry.take(at(1), server, &message);
        }
        for (server, question) in sent(&mut inquiry, 1) {
            inquiry.take(at(2), server, &answer(&question, 4));
        }
        let Step::Done(Ok((addresses, seconds))) = inquiry.step(at(2)) else { panic!("it is not over") };
        assert_eq!((addresses.len(), seconds), (1, 9));
    }
}
