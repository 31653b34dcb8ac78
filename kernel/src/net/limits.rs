//! [`Limits`]: how many sockets a stack may have.
//!
//! Memory is bounded by [`Config::memory`](super::Config::memory) anyway. These bounds are for those who want to know
//! beforehand how many there can be, and for a peer that opens connections only to keep others out.
//!
//! | word of the command line | limit | if there is no such word |
//! |---|---|---|
//! | `net.sockets=N` | TCP connections of a core, whoever opened them and whoever holds them | 65536 |
//! | `net.udp-sockets=N` | UDP sockets of a core | 1024 |
//! | `net.half-open=N` | handshakes under way, for each listener | 1024 |
//! | `net.backlog=N` | the largest backlog: handshakes, and connections that nobody has accepted, of a listener | 4096 |
//! | `net.memory=MIB` | mebibytes for the buffers of all sockets of a core | a quarter of the core's share of the memory |
//!
//! `net.descriptors=N` belongs to [`crate::socket`]. An application has its say through `net::set_limits`;
//! the command line goes before it.
//!
//! # Failure
//!
//! What the application asks for beyond a limit is refused with [`NetError::LimitReached`](super::NetError). What a peer
//! asks for is met with silence and counted ([`Counters::limit_reached`](super::stack::Counters),
//! [`Counters::backlog_full`](super::stack::Counters)): it tries again a second later. A backlog above the limit is the
//! limit, as with `somaxconn` elsewhere.

use core::fmt;

/// How many sockets a stack may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections, whoever opened them and whoever holds them.
    pub tcp_sockets: usize,
    /// UDP sockets.
    pub udp_sockets: usize,
    /// Handshakes under way, for each listener.
    pub half_open: usize,
    /// The largest backlog of a listener.
    pub backlog: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tcp_sockets: 65_536, udp_sockets: 1_024, half_open: 1_024, backlog: 4_096 }
    }
}

/// A word of the command line that is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// The word's name.
    pub word: &'static str,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}= wants a number from 1", self.word)
    }
}

impl core::error::Error for LimitError {}

impl Limits {
    /// Changes what words of the command line say, which `word` looks up.
    ///
    /// # Errors
    ///
    /// The first word that is not a number from 1. The others count all the same.
    pub fn read<'a>(&mut self, word: impl Fn(&str) -> Option<&'a str>) -> Result<(), LimitError> {
        let mut result = Ok(());
        for (name, limit) in [
            ("net.sockets", &mut self.tcp_sockets),
            ("net.udp-sockets", &mut self.udp_sockets),
            ("net.half-open", &mut self.half_open),
            ("net.backlog", &mut self.backlog),
        ] {
            match number(name, &word) {
                Ok(Some(number)) => *limit = number,
                Ok(None) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

/// The number that a word of the command line says, if it is there.
pub(crate) fn number<'a>(
    name: &'static str,
    word: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<usize>, LimitError> {
    let Some(text) = word(name) else { return Ok(None) };
    match text.parse() {
        Ok(number @ 1..) => Ok(Some(number)),
        _ => Err(LimitError { word: name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line;

    fn read(line: &str) -> (Limits, Result<(), LimitError>) {
        let mut limits = Limits::default();
        let result = limits.read(|word| command_line::option(line, word));
        (limits, result)
    }

    #[test]
    fn words_set_the_limits_that_they_name() {
        let (limits, result) = read("net.sockets=7 net.udp-sockets=3 net.half-open=2 net.backlog=5 net.other=9");
        assert_eq!(limits, Limits { tcp_sockets: 7, udp_sockets: 3, half_open: 2, backlog: 5 });
        assert_eq!(result, Ok(()));
        assert_eq!(read(""), (Limits::default(), Ok(())));
    }

    #[test]
    fn a_word_that_is_no_number_is_named_and_the_others_count() {
        for line in [
            "net.udp-sockets=many net.backlog=5",
            "net.udp-sockets=0 net.backlog=5",
            "net.udp-sockets=-1 net.backlog=5",
        ] {
            let (limits, result) = read(line);
            assert_eq!(limits, Limits { backlog: 5, ..Limits::default() });
            assert_eq!(result, Err(LimitError { word: "net.udp-sockets" }));
        }
    }
}
