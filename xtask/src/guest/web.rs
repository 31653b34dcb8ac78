//! The guest's web server: whether it answers already.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::Event;

/// Asks the guest's web server until it answers, then says so. Ends when something that is no web server answers, when
/// nobody listens to events any more, or with the process.
///
/// It asks when the guest says that it listens, or after a while: QEMU accepts connections before there is anybody to
/// answer, and delivers their requests late.
pub fn announce(address: SocketAddr, serving: &AtomicBool, sender: &Sender<Event>) {
    const SILENCE: Duration = Duration::from_secs(5);
    let started = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let is_time = serving.load(Ordering::Relaxed) || started.elapsed() > SILENCE;
        match is_time.then(|| ask(address)).flatten() {
            None => {}
            Some(Server::Web) => {
                let _ = sender.send(Event::WebAnswer(address));
                return;
            }
            Some(Server::Other) => return,
        }
    }
}

/// What has answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// It speaks HTTP.
    Web,
    /// It speaks something else, and need not be asked again.
    Other,
}

/// Who answers at `address` within a moment. QEMU accepts a connection to a port of ours even before the guest has a network,
/// so only an answer counts.
fn ask(address: SocketAddr) -> Option<Server> {
    let patience = Duration::from_secs(1);
    let attempt = || -> std::io::Result<Server> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let request = "HEAD / HTTP/1.1\r\nHost: toro\r\nUser-Agent: cargo-xtask\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(if start == *b"HTTP/" { Server::Web } else { Server::Other })
    };
    attempt().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_an_answer_in_http_is_a_web_servers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            for answer in ["ERR unknown command\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!([ask(address), ask(address), ask(address)], [None, Some(Server::Other), Some(Server::Web)]);
        answer.join().unwrap();
    }
}
