// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Headers of IP, which anybody on the network can write: each is read as another reader reads it,
//! or refused, and nothing is read that is not the packet's.
//!
//! `ESTATS_FUZZ_CASES` is how many random packets are tried; a few thousand without it.

use crate::common::hostile;
use estats::schema::Hook;
use estats::wire::{Direction, HEADER_MAX, HeaderError, Packet, is_extension};
use etherparse::{IpNumber, Ipv6ExtensionSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

fn cases(otherwise: u32) -> u32 {
    std::env::var("ESTATS_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Reads exactly these bytes: an allocation of their length, so that no other byte is near.
fn read(bytes: &[u8], on_wire: usize, payload: usize) -> Result<Packet, HeaderError> {
    let bytes: Box<[u8]> = bytes.into();
    let mut packet = Packet::unread(0, Hook::Capture, Direction::Unknown);
    packet.read_ip(&bytes, on_wire as u32, payload).map(|()| packet)
}

#[test]
fn hostile_packets_are_malformed() {
    for (what, bytes) in hostile::packets() {
        assert_eq!(read(&bytes, bytes.len(), 0), Err(HeaderError::Malformed), "{what}");
        for len in 0..bytes.len() {
            // Less of it, as sent: malformed still. As captured: not a whole header, or the same.
            assert_eq!(read(&bytes[..len], len, 0), Err(HeaderError::Malformed), "{what}: {len}");
            match read(&bytes[..len], bytes.len(), 0) {
                Err(HeaderError::IpCut | HeaderError::Malformed) => {}
                Ok(packet) => assert!(is_extension(packet.protocol), "{what}: {len}"),
                other => panic!("{what}: {len}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_chain_of_headers_that_the_capture_has_cut_names_no_protocol() {
    let whole = [
        &[0x60, 0, 0, 0, 0, 36, 60, 64][..],
        &[1; 32],
        &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1f, 0x90, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 1, 0, 0, 0, 0],
    ]
    .concat();
    let packet = read(&whole, whole.len(), 0).expect("a packet");
    assert_eq!((packet.protocol, packet.dst_port, packet.payload_len), (6, Some(80), 0));
    for kept in 40..whole.len() {
        let packet = read(&whole[..kept], whole.len(), 0).expect("a packet");
        // If the beginning of a header is there, the number of the next one is known.
        assert_eq!(packet.protocol, if kept < 48 { 60 } else { 6 }, "{kept}");
        assert_eq!(packet.dst_port, (kept >= 60).then_some(80), "{kept}");
        assert_eq!(packet.header.len(), kept.saturating_sub(56), "{kept}");
    }
}

#[test]
fn the_payload_of_a_later_fragment_is_not_a_header() {
    // Its data look like destination options that are longer than the packet.
    let later = [
        &[0x60, 0, 0, 0, 0, 16, 44, 64][..],
        &[1; 32],
        &[60, 0, 0, 8, 0, 0, 0, 9],
        &[6, 255, 0, 0, 0, 0, 0, 0],
    ];
    let packet = read(&later.concat(), 56, 0).expect("a packet");
    assert_eq!((packet.protocol, packet.fragment_offset, packet.payload_len), (60, 1, 8));
    let later =
        [&[0x45, 0, 0, 28, 0, 9, 0, 1, 64, 51, 0, 0][..], &[1; 8], &[6, 255, 0, 0, 0, 0, 0, 0]];
    let packet = read(&later.concat(), 28, 0).expect("a packet");
    assert_eq!((packet.protocol, packet.fragment_offset, packet.payload_len), (51, 1, 8));
}

/// Bytes like those of a packet: headers that mostly fit each other, and are mostly whole.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let kinds =
        prop::sample::select(vec![0_u8, 43, 44, 51, 60, 135, 6, 17, 58, 1, 59, 33, 132, 136]);
    let extension =
        (kinds.clone(), prop::sample::select(vec![0_u8, 0, 0, 1, 2, 4, 255]), any::<[u8; 6]>());
    let body = prop::collection::vec(any::<u8>(), 0..80);
    let v6 = (
        any::<[u8; 4]>(),
        kinds.clone(),
        any::<[u8; 33]>(),
        prop::collection::vec(extension, 0..9),
        body.clone(),
    )
        .prop_map(|(first, next, rest, chain, body)| {
            let mut b = first.to_vec();
            b[0] = 0x60 | first[0] & 15;
            b.extend([0, 0, next]);
            b.extend(rest);
            for (next, units, data) in chain {
                b.extend([next, units]);
                b.extend(data);
                b.resize(b.len() + 8 * usize::from(units.min(4)), 0);
            }
            b.extend(body);
            let length = (b.len() - 40) as u16;
            b[4..6].copy_from_slice(&length.to_be_bytes());
            b
        });
    let v4 = (
        prop::sample::select(vec![5_u8, 5, 6, 15]),
        any::<[u8; 20]>(),
        kinds,
        prop::collection::vec(any::<u8>(), 0..120),
    )
        .prop_map(|(words, mut h, protocol, rest)| {
            (h[0], h[9]) = (0x40 | words, protocol);
            let mut b = [&h[..], &rest].concat();
            let length = (b.len() as u16).to_be_bytes();
            b[2..4].copy_from_slice(&length);
            // Mostly whole packets.
            if b[6] & 7 != 0 {
                (b[6], b[7]) = (b[6] & 0xe0, 0);
            }
            b
        });
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop_oneof![3 => v6, 2 => v4, 1 => body], flips).prop_map(|(mut bytes, flips)| {
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len().min(100));
                bytes[at] = value;
            }
        }
        bytes
    })
}

/// Offset, whether more follow, identification.
type Fragment = (u16, bool, u32);

/// etherparse's strict reading of a whole packet: addresses, protocol, where it begins.
fn other(bytes: &[u8]) -> Option<(u8, usize, Option<Fragment>)> {
    let ip = etherparse::IpSlice::from_slice(bytes).ok()?;
    let payload = ip.payload();
    let at = payload.payload.as_ptr() as usize - bytes.as_ptr() as usize;
    let fragment = match &ip {
        etherparse::IpSlice::Ipv4(v4) => {
            let h = v4.header();
            Some((h.fragments_offset().value(), h.more_fragments(), h.identification().into()))
        }
        etherparse::IpSlice::Ipv6(v6) => {
            let fragments = v6.extensions().clone().into_iter().filter_map(|e| match e {
                Ipv6ExtensionSlice::Fragment(f) => {
                    Some((f.fragment_offset().value(), f.more_fragments(), f.identification()))
                }
                _ => None,
            });
            fragments.last()
        }
    };
    Some((payload.ip_number.0, at, fragment))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(4096)) })]

    /// Ours and etherparse's agree on every packet that is whole and that both follow to its end.
    #[test]
    fn headers_are_read_as_by_another_reader(bytes in packets()) {
        let ours = read(&bytes, bytes.len(), 0);
        if let Ok(ours) = &ours {
            // A length of 0 is that of a super-packet, which the other reader does not know.
            let length = if bytes[0] >> 4 == 4 { &bytes[2..4] } else { &bytes[4..6] };
            let fits = ours.ip_len as usize <= bytes.len() && length != [0, 0];
            prop_assert!(ours.header.len() <= HEADER_MAX);
            // Etherparse reads on in a later fragment's data; see also differs().
            if ours.fragment_offset == 0 && fits && !is_extension(ours.protocol) && !differs(&bytes) {
                let (protocol, at, fragment) = other(&bytes).expect("etherparse reads it too");
                prop_assert_eq!(ours.protocol, protocol);
                if let Some(fragment) = fragment {
                    prop_assert_eq!((ours.fragment_offset, ours.more_fragments, ours.ip_id), (fragment.0, fragment.1, Some(fragment.2)));
                }
                let head = &bytes[at..][..ours.header.len()];
                prop_assert_eq!(&ours.header[..], head);
                prop_assert_eq!(ours.payload_len as usize, (ours.ip_len as usize - at).saturating_sub(header_of(ours, head)));
            }
        } else if let Some((_, _, fragment)) = other(&bytes) {
            // Nothing that is whole is refused, but for a chain that goes on in a fragment.
            prop_assert!(fragment.is_some_and(|(offset, ..)| offset > 0) || differs(&bytes), "{:?}", ours);
        }
        if let Ok(sliced) = SlicedPacket::from_ip(&bytes)
            && let (Some(TransportSlice::Tcp(tcp)), Ok(ours)) = (sliced.transport, &ours)
            && ours.fragment_offset == 0
        {
            prop_assert_eq!((ours.src_port, ours.dst_port), (Some(tcp.source_port()), Some(tcp.destination_port())));
            prop_assert_eq!(ours.payload_len as usize, tcp.payload().len());
        }
    }

    /// A packet of which less was captured has fewer fields, but no other values.
    #[test]
    fn a_cut_header_gives_only_fewer_fields(bytes in packets(), kept in any::<prop::sample::Index>(), payload in 0..40_usize) {
        let kept = kept.index(bytes.len() + 1);
        let whole = read(&bytes, bytes.len(), payload);
        match (whole, read(&bytes[..kept], bytes.len(), payload)) {
            (Ok(whole), Ok(cut)) => {
                prop_assert_eq!((whole.src_addr, whole.dst_addr, whole.ip_len), (cut.src_addr, cut.dst_addr, cut.ip_len));
                prop_assert!(whole.protocol == cut.protocol || is_extension(cut.protocol));
                prop_assert!(is_extension(cut.protocol) || whole.header.starts_with(&cut.header));
                prop_assert!(cut.src_port.is_none() || cut.src_port == whole.src_port);
                prop_assert!(cut.header.len() + cut.payload.len() <= kept);
            }
            (Ok(_), Err(e)) => prop_assert_eq!(e, HeaderError::IpCut),
            // The fault may be in the part that was cut.
            (Err(HeaderError::Malformed), Ok(cut)) => prop_assert!(is_extension(cut.protocol) || kept < bytes.len()),
            (Err(_), Err(e)) => prop_assert!(matches!(e, HeaderError::IpCut | HeaderError::Malformed)),
            (Err(e), Ok(_)) => prop_assert!(false, "{:?}", e),
        }
    }
}

/// Length of the transport header as we take it.
fn header_of(packet: &Packet, head: &[u8]) -> usize {
    match IpNumber(packet.protocol) {
        IpNumber::TCP => head.get(12).map_or(20, |b| usize::from(b >> 4) * 4).max(20),
        IpNumber::UDP | IpNumber::ICMP | IpNumber::IPV6_ICMP | IpNumber::UDP_LITE => 8,
        IpNumber::SCTP | IpNumber::DCCP => 12,
        _ => 0,
    }
}

/// Whether there may be what etherparse does not walk: a mobility header (135) in the chain, or a
/// second authentication header (51) behind IPv4.
fn differs(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(first) if first >> 4 == 6 => bytes[6..].contains(&135),
        Some(first) => {
            let next = bytes.get(usize::from(first & 15) * 4);
            bytes.get(9) == Some(&51) && next == Some(&51)
        }
        None => false,
    }
}
