//! Ports of 127.0.0.1 that QEMU is to listen on.
//!
//! QEMU reports a busy port when everything has been built already, and does not choose a free one. So the tool takes
//! every port first, as QEMU will, and holds it until QEMU starts: what is free then belongs to nobody else, and no two
//! uses get the same.

use std::net::{Ipv4Addr, TcpListener};

use crate::exit::Failure;

/// Ports that are held until this is dropped.
#[derive(Debug, Default)]
pub struct HeldPorts {
    listeners: Vec<TcpListener>,
}

impl HeldPorts {
    /// Takes `port`, or any free one for 0; gives its number.
    ///
    /// # Errors
    ///
    /// An input failure where somebody has it, this tool included.
    pub fn take(&mut self, port: u16) -> Result<u16, Failure> {
        let trouble = |error| Failure::input(format!("port {port} of 127.0.0.1 is not available: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(trouble)?;
        let taken = listener.local_addr().map_err(trouble)?.port();
        self.listeners.push(listener);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::FailureKind;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = HeldPorts::default();
        let taken = ports.take(0).unwrap();
        assert_ne!(taken, ports.take(0).unwrap());
        let failure = ports.take(taken).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
        assert!(failure.to_string().contains(&taken.to_string()));
    }

    #[test]
    fn a_port_is_free_again_for_qemu() {
        let mut ports = HeldPorts::default();
        let taken = ports.take(0).unwrap();
        drop(ports);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).is_ok());
    }
}
