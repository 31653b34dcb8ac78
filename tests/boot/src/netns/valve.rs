//! A network that can be stopped: while the valve is shut, nobody takes what the guest sends.
//!
//! ```text
//!   guest --- QEMU --- stream, frames with their lengths --- valve --- another stream --- a cable's QEMU --- tap0, 10.9.0.1/24
//! ```
//!
//! QEMU writes frames into a stream. Where nobody reads it, its buffers fill up, QEMU takes no more frames from the card, and the
//! card's ring fills up: the guest sees a card that has no room, for as long as the valve is shut. The buffers of the stream are
//! made small, so that does not take much. No frame is lost on the way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::cable::Cable;
use super::{add_addresses, ip};
use crate::tool::Tool;

/// Ports of the namespace's own loopback interface.
const GUEST_PORT: u16 = 7011;
const CABLE_PORT: u16 = 7012;
/// The largest frame.
const FRAME: usize = 1 << 16;
/// Bytes of the stream that the host keeps for a reader that does not come.
const BUFFER: usize = 32 << 10;
/// How often a thread looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    shut: AtomicBool,
    ended: AtomicBool,
    passed: AtomicU64,
}

/// A network that can be stopped. It ends with this.
pub struct Valve {
    _cable: Cable,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Valve {
    /// Makes the interface `name` with the usual addresses at one end of such a network, which is open.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn to_interface(tool: &Tool, name: &str) -> Result<Self, String> {
        let trouble = |error: std::io::Error| format!("a valve: {error}");
        // What QEMU may have on its way.
        std::fs::write("/proc/sys/net/ipv4/tcp_wmem", format!("4096 16384 {BUFFER}")).map_err(trouble)?;
        let listen = |port| TcpListener::bind(("127.0.0.1", port)).map_err(trouble);
        let (for_guest, for_cable) = (listen(GUEST_PORT)?, listen(CABLE_PORT)?);
        set_socket_recv_buffer_size(&for_guest, BUFFER).map_err(|error| error.to_string())?;
        let cable = Cable::to_stream(tool, name, CABLE_PORT)?;
        ip(&["link", "set", "dev", name, "up"])?;
        add_addresses(name)?;
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve(&for_guest, &for_cable, &serving));
        Ok(Self { _cable: cable, state, thread: Some(thread) })
    }

    /// QEMU's words for the guest's end, a `-netdev` without its `id`.
    pub fn guest_end(&self) -> String {
        format!("socket,connect=127.0.0.1:{GUEST_PORT}")
    }

    /// Nobody takes any more what the guest sends.
    pub fn shut(&self) {
        self.state.shut.store(true, Ordering::Relaxed);
    }

    /// All goes on.
    pub fn open(&self) {
        self.state.shut.store(false, Ordering::Relaxed);
    }

    /// How many frames of the guest have been waited for.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // A thread that waits for a QEMU ends with that.
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

/// Connects the guest's QEMU, when it comes, with the cable's.
fn serve(for_guest: &TcpListener, for_cable: &TcpListener, state: &State) {
    let (Ok((cable, _)), Ok((guest, _))) = (for_cable.accept(), for_guest.accept()) else { return };
    let _ = (guest.set_nodelay(true), cable.set_nodelay(true));
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&guest, &cable, || state.take_from_guest()));
        pump(&cable, &guest, || !state.ended.load(Ordering::Relaxed));
    });
}

impl State {
    /// Waits until the next frame of the guest may be taken; false if none will be.
    fn take_from_guest(&self) -> bool {
        while self.shut.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        self.passed.fetch_add(1, Ordering::Relaxed);
        !self.ended.load(Ordering::Relaxed)
    }
}

/// Hands frames on from one stream to the other, for as long as `goes_on` says so before each of them.
fn pump(mut from: &TcpStream, mut to: &TcpStream, goes_on: impl Fn() -> bool) {
    let mut buffer = vec![0; FRAME + 4];
    while goes_on() {
        let Ok(()) = from.read_exact(&mut buffer[..4]) else { return };
        let end = 4 + u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
        let Some(Ok(())) = buffer.get_mut(4..end).map(|frame| from.read_exact(frame)) else { return };
        let Ok(()) = to.write_all(&buffer[..end]) else { return };
    }
}
