//! A network that can be stopped: while the valve is shut, nobody takes what the guest sends.
//!
//! ```text
//!   guest --- QEMU --- stream, frames with their lengths --- valve --- datagrams --- a cable's QEMU --- tap0, 10.9.0.1/24
//! ```
//!
//! QEMU writes frames into a stream. Where nobody reads it, its buffers fill up, QEMU takes no more frames from the card, and the
//! card's ring fills up: the guest sees a card that has no room, for as long as the valve is shut. The buffers of the stream are
//! made small, so that does not take much.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
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
const TO_GUEST: u16 = 7013;
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
    threads: Vec<JoinHandle<()>>,
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
        let cable = Cable::to_datagrams(tool, name, CABLE_PORT, TO_GUEST)?;
        ip(&["link", "set", "dev", name, "up"])?;
        add_addresses(name)?;
        let listener = TcpListener::bind(("127.0.0.1", GUEST_PORT)).map_err(trouble)?;
        set_socket_recv_buffer_size(&listener, BUFFER).map_err(|error| error.to_string())?;
        let socket = UdpSocket::bind(("127.0.0.1", TO_GUEST)).map_err(trouble)?;
        socket.set_read_timeout(Some(LOOK)).map_err(trouble)?;
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve(&listener, &socket, &accepting));
        Ok(Self { _cable: cable, state, threads: vec![thread] })
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

    /// How many frames of the guest have passed.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // A thread that waits for QEMU ends with QEMU.
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// Connects QEMU, when it comes, with the cable.
fn serve(listener: &TcpListener, socket: &UdpSocket, state: &State) {
    let Ok((guest, _)) = listener.accept() else { return };
    let _ = guest.set_nodelay(true);
    std::thread::scope(|scope| {
        scope.spawn(|| from_guest(&guest, socket, state));
        to_guest(&guest, socket, state);
    });
}

fn from_guest(mut guest: &TcpStream, socket: &UdpSocket, state: &State) {
    let mut buffer = vec![0; FRAME];
    while !state.ended.load(Ordering::Relaxed) {
        if state.shut.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            continue;
        }
        let mut length = [0; 4];
        let Ok(()) = guest.read_exact(&mut length) else { return };
        let Some(frame) = buffer.get_mut(..u32::from_be_bytes(length) as usize) else { return };
        let Ok(()) = guest.read_exact(frame) else { return };
        state.passed.fetch_add(1, Ordering::Relaxed);
        let _ = socket.send_to(frame, ("127.0.0.1", CABLE_PORT));
    }
}

fn to_guest(mut guest: &TcpStream, socket: &UdpSocket, state: &State) {
    let mut buffer = vec![0; FRAME];
    while !state.ended.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let prefix = u32::try_from(length).unwrap_or_default().to_be_bytes();
        let Ok(()) = guest.write_all(&[&prefix, &buffer[..length]].concat()) else { return };
    }
}
