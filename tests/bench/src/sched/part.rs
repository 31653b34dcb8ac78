//! The parts of the measurement: one operation each, done many times, by a program on Toro and one on Linux.

use clap::ValueEnum;

/// An operation that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Two threads of a core yield to each other
    Yield,
    /// A thread is made on this core, and joined
    Spawn,
    /// A thread is made on another core, and joined
    SpawnOther,
    /// A message to another core and back, both poll
    PingPoll,
    /// A message to another core and back, both sleep while they wait
    PingSleep,
    /// A message to a core that halts, until the thread runs that gets it
    Wake,
    /// 64 bytes are allocated and freed
    Alloc,
    /// 64 bytes are allocated on one core and freed on another
    AllocOther,
    /// A message is sent and received while nobody waits
    Message,
    /// A message of many that go to another core one after another
    Stream,
    /// A thread sleeps for 10 ms while nothing else happens
    Sleep,
}

impl Part {
    /// What the guests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yield => "yield",
            Self::Spawn => "spawn",
            Self::SpawnOther => "spawn-other",
            Self::PingPoll => "ping-poll",
            Self::PingSleep => "ping-sleep",
            Self::Wake => "wake",
            Self::Alloc => "alloc",
            Self::AllocOther => "alloc-other",
            Self::Message => "message",
            Self::Stream => "stream",
            Self::Sleep => "sleep",
        }
    }

    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Yield => "switch to the other thread of a core",
            Self::Spawn => "spawn and join",
            Self::SpawnOther => "spawn on another core and join",
            Self::PingPoll => "round trip between cores, polling",
            Self::PingSleep => "round trip between cores, sleeping",
            Self::Wake => "wake-up of a halted core",
            Self::Alloc => "allocate and free",
            Self::AllocOther => "allocate, free on another core",
            Self::Message => "message sent and received, nobody waits",
            Self::Stream => "message to another core, streaming",
            Self::Sleep => "sleep for 10 ms",
        }
    }

    /// The vCPUs that do the work; what the others execute meanwhile is not part of it.
    ///
    /// Who wakes a halted core sleeps for two milliseconds in between, so only the core that is woken counts there.
    pub fn vcpus(self) -> &'static [usize] {
        match self {
            Self::Yield | Self::Spawn | Self::Alloc | Self::Message | Self::Sleep => &[0],
            Self::Wake => &[1],
            Self::SpawnOther | Self::PingPoll | Self::PingSleep | Self::AllocOther | Self::Stream => &[0, 1],
        }
    }

    /// Whether its time is a latency, of which the greatest matter as much as the median.
    pub fn is_latency(self) -> bool {
        matches!(self, Self::Wake | Self::Sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_for_linux_knows_every_part() {
        for part in Part::value_variants() {
            assert!(super::super::pthreads::SOURCE.contains(&format!("{{\"{}\", part_", part.name())), "{part:?}");
        }
    }

    #[test]
    fn a_part_has_one_name_in_options_and_in_guests() {
        for part in Part::value_variants() {
            assert_eq!(part.to_possible_value().expect("none is hidden").get_name(), part.name());
        }
    }
}
