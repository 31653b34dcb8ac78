//! A bad network: frames on their way between QEMU and a tap interface are lost, overtaken and repeated.
//!
//! ```text
//!   guest --- QEMU --- datagrams --- relay --- datagrams --- a cable's QEMU --- tap0, 10.9.0.1/24
//!                                    two threads, one for each direction
//! ```
//!
//! What happens to a frame is drawn from a generator with a seed, one for each direction, so what a relay does to the n-th
//! frame of a direction is the same in every run. A frame that is overtaken is held until some later frame has passed, or for
//! a moment if none comes.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cable::{Cable, datagrams};
use super::{add_addresses, ip};
use crate::tool::Tool;

/// Ports of the namespace's own loopback interface: QEMU's, and the relay's two.
const GUEST_PORT: u16 = 7001;
const CABLE_PORT: u16 = 7002;
const TO_GUEST: u16 = 7003;
const TO_CABLE: u16 = 7004;
/// The largest frame.
const FRAME: usize = 1 << 16;
/// How long a frame is held if nothing overtakes it.
const HOLD: Duration = Duration::from_millis(20);
/// How many frames at most overtake a frame.
const OVERTAKING: u64 = 4;

/// How bad the network is, in thousandths of all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Badness {
    /// Frames that are lost.
    pub lost: u64,
    /// Frames that are overtaken by up to four others.
    pub overtaken: u64,
    /// Frames that arrive twice.
    pub repeated: u64,
    /// Where the dice begin.
    pub seed: u64,
}

/// What happened to frames, in both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that came.
    pub frames: u64,
    /// Of them, lost.
    pub lost: u64,
    /// Of them, overtaken.
    pub overtaken: u64,
    /// Of them, repeated.
    pub repeated: u64,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    lost: AtomicU64,
    overtaken: AtomicU64,
    repeated: AtomicU64,
}

/// A network that loses, swaps and repeats frames. It ends with this.
pub struct Relay {
    _cable: Cable,
    counts: Arc<Counts>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Makes the interface `name` with the usual addresses at one end of such a network.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn to_interface(tool: &Tool, name: &str, badness: Badness) -> Result<Self, String> {
        let cable = Cable::to_datagrams(tool, name, CABLE_PORT, TO_GUEST)?;
        ip(&["link", "set", "dev", name, "up"])?;
        add_addresses(name)?;
        let (counts, ended) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let mut relay = Self { _cable: cable, counts, ended, threads: Vec::new() };
        for (at, to, seed) in [(TO_GUEST, GUEST_PORT, badness.seed), (TO_CABLE, CABLE_PORT, !badness.seed)] {
            let trouble = |error| format!("a relay at port {at}: {error}");
            let socket = UdpSocket::bind(("127.0.0.1", at)).map_err(trouble)?;
            let (counts, ended) = (Arc::clone(&relay.counts), Arc::clone(&relay.ended));
            let badness = Badness { seed, ..badness };
            relay.threads.push(std::thread::spawn(move || forward(&socket, to, badness, &counts, &ended)));
        }
        Ok(relay)
    }

    /// QEMU's words for the guest's end, a `-netdev` without its `id`.
    pub fn guest_end(&self) -> String {
        datagrams(GUEST_PORT, TO_CABLE)
    }

    /// What has happened so far.
    pub fn tally(&self) -> Tally {
        let Counts { frames, lost, overtaken, repeated } = &*self.counts;
        let [frames, lost, overtaken, repeated] =
            [frames, lost, overtaken, repeated].map(|count| count.load(Ordering::Relaxed));
        Tally { frames, lost, overtaken, repeated }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Lost,
    /// So many others go first.
    Overtaken(u64),
    Repeated,
}

/// Where chance comes from: splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn fate(&mut self, badness: Badness) -> Fate {
        let (throw, second) = (self.next() % 1000, self.next());
        let Badness { lost, overtaken, repeated, .. } = badness;
        if throw < lost {
            Fate::Lost
        } else if throw < lost + overtaken {
            Fate::Overtaken(1 + second % OVERTAKING)
        } else if throw < lost + overtaken + repeated {
            Fate::Repeated
        } else {
            Fate::Passes
        }
    }
}

/// A frame that others overtake.
struct Held {
    frame: Vec<u8>,
    others: u64,
    until: Instant,
}

/// Hands the datagrams that arrive at `socket` on to the port `to`.
fn forward(socket: &UdpSocket, to: u16, badness: Badness, counts: &Counts, ended: &AtomicBool) {
    let mut dice = Dice(badness.seed);
    let mut held: Vec<Held> = Vec::new();
    let mut buffer = vec![0; FRAME];
    // Nobody may be there yet, or any more: a frame that is lost as well.
    let send = |frame: &[u8]| drop(socket.send_to(frame, ("127.0.0.1", to)));
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let _ = socket.set_read_timeout(Some(HOLD / 2));
    while !ended.load(Ordering::Relaxed) {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let frame = &buffer[..length];
                count(&counts.frames);
                match dice.fate(badness) {
                    Fate::Passes => send(frame),
                    Fate::Lost => count(&counts.lost),
                    Fate::Repeated => {
                        count(&counts.repeated);
                        send(frame);
                        send(frame);
                    }
                    Fate::Overtaken(others) => {
                        count(&counts.overtaken);
                        // The loop below counts this frame too.
                        let others = others + 1;
                        held.push(Held { frame: frame.to_vec(), others, until: Instant::now() + HOLD });
                    }
                }
                held.iter_mut().for_each(|held| held.others -= 1);
            }
            // Also what a port that nobody has open yet answers.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => {}
        }
        let now = Instant::now();
        held.retain(|held| {
            let stays = held.others > 0 && held.until > now;
            if !stays {
                send(&held.frame);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_as_frequent_as_asked_and_the_same_in_every_run() {
        let badness = Badness { lost: 10, overtaken: 50, repeated: 5, seed: 1 };
        let fates = || {
            let mut dice = Dice(badness.seed);
            std::iter::repeat_with(move || dice.fate(badness)).take(100_000).collect::<Vec<_>>()
        };
        let all = fates();
        assert_eq!(all, fates());
        let share = |wanted: fn(&Fate) -> bool| all.iter().filter(|fate| wanted(fate)).count();
        assert!((800..1200).contains(&share(|fate| *fate == Fate::Lost)));
        assert!((4500..5500).contains(&share(|fate| matches!(fate, Fate::Overtaken(1..=OVERTAKING)))));
        assert!((350..650).contains(&share(|fate| *fate == Fate::Repeated)));
    }

    #[test]
    fn a_frame_is_overtaken_and_arrives() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (at, to) = (socket.local_addr().unwrap(), receiver.local_addr().unwrap().port());
        let (counts, ended) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let badness = Badness { lost: 0, overtaken: 500, repeated: 0, seed: 7 };
        let thread = {
            let (counts, ended) = (Arc::clone(&counts), Arc::clone(&ended));
            std::thread::spawn(move || forward(&socket, to, badness, &counts, &ended))
        };
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..100_u8 {
            sender.send_to(&[number], at).unwrap();
        }
        let arrived: Vec<u8> = (0..100)
            .map(|_| {
                let mut frame = [0];
                receiver.recv(&mut frame).unwrap();
                frame[0]
            })
            .collect();
        ended.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(arrived, sorted);
    }
}
