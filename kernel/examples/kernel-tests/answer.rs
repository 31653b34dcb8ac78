//! A server on every core that has a network interface: says which core it is, and ends after so many connections.

use alloc::format;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, Ordering};

use toro::core as cores;
use toro::io::Write;
use toro::net::{self, TcpListener};
use toro::thread;
use toro::time::Duration;

/// Connections that have been answered, on all cores.
static ANSWERED: AtomicU32 = AtomicU32::new(0);

/// Serves port 80 until the word `connections=N` is satisfied.
pub fn run() {
    let wanted: u32 = toro::env::option("connections").and_then(|word| word.parse().ok()).unwrap_or(1);
    let homes: Vec<_> = cores::all().filter(|&core| cores::run_on(core, net::is_attached)).collect();
    for &core in &homes {
        let Ok(()) = thread::spawn_on(core, || {
            net::wait_until_configured(Duration::from_secs(60)).expect("an address");
        })
        .join();
        thread::spawn_on(core, serve);
    }
    toro::println!("answering on {} cores", homes.len());
    while ANSWERED.load(Ordering::Relaxed) < wanted {
        thread::sleep(Duration::from_millis(20));
    }
    // The last answer is on its way.
    thread::sleep(Duration::from_millis(500));
}

fn serve() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).expect("port 80 is free");
    loop {
        let (mut stream, _) = listener.accept().expect("the network is there");
        let body = format!("core {}\n", cores::current());
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        // A client that has gone counts as well: it is the client's test that fails then.
        let _ = sent;
        ANSWERED.fetch_add(1, Ordering::Relaxed);
    }
}
