//! Headers as they cross the wire -> the fields of a [`Packet`].
//!
//! IP is taken apart by etherparse, whose lax slices accept packets of which only the beginning was
//! kept.

use etherparse::{Ipv6ExtensionSlice, LaxIpSlice};

use super::packet::{Packet, TCP, UDP, known_header};

// IP protocol numbers.
const ICMP: u8 = 1;
const DCCP: u8 = 33;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Why there is no digest of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends before its link header does.
    #[error("link header cut short")]
    LinkCut,
    /// It ends before its IP header does.
    #[error("IP header cut short")]
    IpCut,
    /// Its IP header cannot be one.
    #[error("IP header damaged")]
    IpDamaged,
    /// It is of another protocol.
    #[error("not IP")]
    NotIp,
}

impl Packet {
    /// Fills in what the headers say. `bytes` begin with IP, of which `on_wire` bytes were there;
    /// of the payload so many bytes are kept as are asked for, and a known header always.
    ///
    /// # Errors
    /// [`HeaderError`] if there is no whole IP header.
    pub fn read_ip(
        &mut self,
        bytes: &[u8],
        on_wire: u32,
        payload: usize,
    ) -> Result<(), HeaderError> {
        let (ip, _cut) = LaxIpSlice::from_slice(bytes).map_err(|e| {
            use etherparse::err::ip::LaxHeaderSliceError as E;
            match e {
                E::Len(_) => HeaderError::IpCut,
                E::Content(_) => HeaderError::IpDamaged,
            }
        })?;
        self.src_addr = ip.source_addr();
        self.dst_addr = ip.destination_addr();
        self.protocol = ip.payload_ip_number().0;
        // The length field is 0 where the host leaves cutting to the interface and the packet is
        // longer than the field can say.
        match &ip {
            LaxIpSlice::Ipv4(v4) => {
                let h = v4.header();
                self.ttl = h.ttl();
                self.tos = bytes[1];
                self.ip_id = Some(u32::from(h.identification()));
                self.fragment_offset = h.fragments_offset().value();
                self.more_fragments = h.more_fragments();
                self.ip_len = match h.total_len() {
                    0 => on_wire,
                    n => u32::from(n),
                };
            }
            LaxIpSlice::Ipv6(v6) => {
                let h = v6.header();
                self.ttl = h.hop_limit();
                self.tos = h.traffic_class();
                self.flow_label = Some(h.flow_label().value());
                self.ip_len = match h.payload_length() {
                    0 => on_wire,
                    n => u32::from(n) + 40,
                };
                for extension in v6.extensions().clone() {
                    if let Ipv6ExtensionSlice::Fragment(f) = extension {
                        self.ip_id = Some(f.identification());
                        self.fragment_offset = f.fragment_offset().value();
                        self.more_fragments = f.more_fragments();
                    }
                }
            }
        }
        let rest = ip.payload().payload;
        let before = (rest.as_ptr() as usize - bytes.as_ptr() as usize) as u32;
        self.read_transport(rest, before, payload);
        Ok(())
    }

    /// Fills in what the transport header says; `before` bytes of IP stand before it.
    fn read_transport(&mut self, rest: &[u8], before: u32, payload: usize) {
        let after_ip = self.ip_len.saturating_sub(before);
        self.payload_len = after_ip;
        if self.fragment_offset > 0 {
            return;
        }
        let header = match self.protocol {
            TCP => rest.get(12).map_or(20, |b| usize::from(b >> 4) * 4).max(20),
            UDP | UDP_LITE | ICMP | ICMPV6 => 8,
            // At least.
            SCTP | DCCP => 12,
            _ => 0,
        };
        if matches!(self.protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
            && let [a, b, c, d, ..] = *rest
        {
            self.src_port = Some(u16::from_be_bytes([a, b]));
            self.dst_port = Some(u16::from_be_bytes([c, d]));
        }
        self.payload_len = after_ip.saturating_sub(header as u32);
        // What pads a short frame is not the packet's.
        let rest = &rest[..rest.len().min(after_ip as usize)];
        let (head, body) = rest.split_at(rest.len().min(header));
        head.clone_into(&mut self.header);
        let ports = self.src_port.zip(self.dst_port);
        let kept = known_header(self.protocol, ports, body.first().copied()).max(payload);
        body[..body.len().min(kept)].clone_into(&mut self.payload);
    }
}
