//! [`Acknowledgement`]: a frame with a TCP segment that does nothing but acknowledge, for where smoltcp writes none.

use core::net::SocketAddr;

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use super::offload::checksums;
use super::wire;

/// What a bare acknowledgement says, and between whom.
#[derive(Clone, Copy)]
pub(super) struct Acknowledgement {
    pub(super) source: SocketAddr,
    /// Of the source's family.
    pub(super) destination: SocketAddr,
    pub(super) sequence: TcpSeqNumber,
    pub(super) acknowledged: TcpSeqNumber,
    pub(super) window: u16,
}

impl Acknowledgement {
    /// Lets `write` make room for a frame of so many bytes, and fills it. The checksum of TCP is left to whoever sends it.
    pub(super) fn emit<R>(
        &self,
        from: EthernetAddress,
        to: EthernetAddress,
        write: impl FnOnce(usize, &dyn Fn(&mut [u8])) -> R,
    ) -> R {
        let tcp = TcpRepr {
            src_port: self.source.port(),
            dst_port: self.destination.port(),
            control: TcpControl::None,
            seq_number: self.sequence,
            ack_number: Some(self.acknowledged),
            window_len: self.window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (source, destination) = (wire::address(self.source.ip()), wire::address(self.destination.ip()));
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let ethertype = if self.source.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        let ethernet = EthernetRepr { src_addr: from, dst_addr: to, ethertype };
        let (ip_at, tcp_at) = (ethernet.buffer_len(), ethernet.buffer_len() + ip.header_len());
        let checksums = checksums();
        write(tcp_at + tcp.buffer_len(), &|bytes| {
            ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *bytes));
            ip.emit(&mut bytes[ip_at..], &checksums);
            tcp.emit(&mut TcpPacket::new_unchecked(&mut bytes[tcp_at..]), &source, &destination, &checksums);
        })
    }
}
