// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Removes parts of a packet, beyond its addresses, that reveal these or the content.

use crate::wire::protocol::{DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use crate::wire::{Packet, known_header};

/// Options of TCP whose content is numbers of the connection alone: end, no-operation, MSS, window
/// scale, SACK permitted, SACK, timestamps, and the counters of accurate ECN.
const KEPT_OPTIONS: [u8; 9] = [0, 1, 2, 3, 4, 5, 8, 172, 174];

/// Takes out the payload but for headers of known protocols, the checksums, which with the rest of the
/// header give the sum of the addresses, and all in the transport header that may hold an address, a
/// key or a cookie.
pub(super) fn scrub(packet: &mut Packet) {
    let first = packet.payload.first().copied();
    let ports = packet.src_port.zip(packet.dst_port);
    packet.payload.truncate(known_header(packet.protocol, ports, first));
    let header = &mut packet.header;
    if packet.fragment_offset > 0 {
        header.clear();
        return;
    }
    match packet.protocol {
        TCP => {
            zero(header, 16, 18);
            options(header.get_mut(20..).unwrap_or_default());
        }
        UDP | UDP_LITE => {
            header.truncate(8);
            zero(header, 6, 8);
        }
        SCTP => {
            header.truncate(12);
            zero(header, 8, 12);
        }
        DCCP => {
            header.truncate(12);
            zero(header, 6, 8);
        }
        ICMP | ICMPV6 => {
            header.truncate(8);
            zero(header, 2, 4);
            // Identifier and number of an echo; in others a gateway, or a pointer.
            let echo: &[u8] = if packet.protocol == ICMP { &[0, 8] } else { &[128, 129] };
            if header.first().is_none_or(|kind| !echo.contains(kind)) {
                header.truncate(4);
            }
        }
        // May be IP again.
        _ => header.clear(),
    }
}

fn zero(header: &mut [u8], from: usize, to: usize) {
    let to = to.min(header.len());
    if let Some(octets) = header.get_mut(from..to) {
        octets.fill(0);
    }
}

/// The content of all options that are not known to be harmless: zeros. Kind and length stay.
fn options(mut rest: &mut [u8]) {
    while let Some(kind) = rest.first().copied() {
        if kind <= 1 {
            rest = &mut rest[1..];
            continue;
        }
        let len = rest.get(1).map_or(0, |len| usize::from(*len));
        if len < 2 || len > rest.len() {
            // Damaged, or cut: the rest is not known.
            rest[1..].fill(0);
            return;
        }
        let (option, behind) = rest.split_at_mut(len);
        if !KEPT_OPTIONS.contains(&kind) {
            option[2..].fill(0);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::schema::Hook;
    use crate::wire::Direction;

    fn packet(protocol: u8, header: &[u8], payload: &[u8]) -> Packet {
        let addr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = |at: usize| {
            let has_ports = [TCP, UDP].contains(&protocol);
            has_ports.then(|| u16::from_be_bytes([header[at], header[at + 1]]))
        };
        Packet {
            ts_ns: 0,
            seq: 0,
            cpu: 0,
            hook: Hook::Capture,
            direction: Direction::In,
            interface: None,
            netns: None,
            cookie: None,
            src_mac: None,
            dst_mac: None,
            vlan: None,
            wire_len: 0,
            captured_len: 0,
            src_addr: addr,
            dst_addr: addr,
            ttl: 0,
            tos: 0,
            ip_id: None,
            fragment_offset: 0,
            more_fragments: false,
            flow_label: None,
            ip_len: 0,
            protocol,
            src_port: port(0),
            dst_port: port(2),
            payload_len: 0,
            segments: 1,
            wrong_checksum: None,
            is_copy: false,
            header: header.to_vec(),
            payload: payload.to_vec(),
        }
    }

    fn scrubbed(protocol: u8, header: &[u8], payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut p = packet(protocol, header, payload);
        scrub(&mut p);
        (p.header, p.payload)
    }

    #[test]
    fn tcp_loses_checksum_payload_and_revealing_options() {
        let fixed = [0, 80, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4, 0xf0, 16, 5, 5, 0xaa, 0xaa, 6, 6];
        // Timestamps, Fast Open with a cookie, Multipath's ADD_ADDR, one that is cut.
        let times = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let cookie = [34, 6, 9, 9, 9, 9];
        let add_addr = [30, 8, 0x30, 1, 192, 0, 2, 1];
        let header = [&fixed[..], &times, &cookie, &[1], &add_addr, &[253, 9, 7]].concat();
        let (found, payload) = scrubbed(TCP, &header, b"GET /secret");
        assert!(payload.is_empty());
        let mut clean = fixed;
        clean[16..18].fill(0);
        let expected =
            [&clean[..], &times, &[34, 6, 0, 0, 0, 0, 1, 30, 8, 0, 0, 0, 0, 0, 0, 253, 0, 0]]
                .concat();
        assert_eq!(found, expected);
        // Cut in the middle: no panic, and no octet of the checksum.
        for len in 0..header.len() {
            let mut p = packet(TCP, &header, b"");
            p.header.truncate(len);
            scrub(&mut p);
            assert_eq!(p.header.len(), len);
            assert!(p.header.get(16..).is_none_or(|rest| rest.iter().take(2).all(|b| *b == 0)));
        }
    }

    #[test]
    fn dns_headers_and_echo_numbers_stay_and_other_content_goes() {
        // DNS keeps its header, not the name that is asked for.
        let dns = [0x30, 0, 0, 53, 0, 40, 0xaa, 0xaa];
        let (header, payload) = scrubbed(UDP, &dns, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example");
        assert_eq!((&header[6..], payload.len()), (&[0, 0][..], 12));
        // An echo keeps its number; an error, a redirect and a neighbour's address go.
        assert_eq!(scrubbed(ICMP, &[8, 0, 9, 9, 0, 1, 0, 2, 7], b"").0, [8, 0, 0, 0, 0, 1, 0, 2]);
        assert_eq!(scrubbed(ICMP, &[5, 1, 9, 9, 192, 0, 2, 1], b"").0, [5, 1, 0, 0]);
        assert_eq!(
            scrubbed(ICMPV6, &[135, 0, 9, 9, 0, 0, 0, 0, 0xfe, 0x80], b"").0,
            [135, 0, 0, 0]
        );
        assert!(scrubbed(4, &[0x45, 0, 0, 40], b"").0.is_empty());
    }
}
