//! A server on every core that has a network interface.

use alloc::format;
use alloc::string::String;

use toro::sync::mpsc;
use toro::thread::Builder;

use crate::address::await_address;
use crate::homes::homes;

/// Runs `server` on every core that has a network interface, once that has an address. Returns when one of them does.
///
/// # Errors
///
/// Why the first one has ended.
pub fn serve_everywhere<F>(server: F) -> Result<(), String>
where
    F: FnOnce() -> Result<(), String> + Clone + Send + 'static,
{
    let (ends, mut ended) = mpsc::channel(1);
    for core in homes() {
        let (server, ends) = (server.clone(), ends.clone());
        let thread = Builder::new().name(String::from("server")).spawn_on(core, move || {
            // Nobody listens any more if another one has ended already.
            let _ = ends.send(await_address().and_then(|()| server()));
        });
        thread.map_err(|error| format!("cannot start a server: {error}"))?;
    }
    drop(ends);
    ended.recv().unwrap_or(Ok(()))
}
