// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Arbitrary bytes, through everything that reads them: captures that were mutated, and records of
//! packets. Whatever comes, the recording verifies, its totals add up, and replay makes its tables.
//!
//! `ESTATS_FUZZ_CASES` is how many are tried; without it a few dozen, since each makes all tables.

use crate::common;

use std::path::Path;

use crate::common::capture::*;
use estats::log::Recording;
use estats::recordings::import::{ImportOptions, import};
use estats::wire::{Decoded, HEADER_MAX, decode_packet};
use proptest::prelude::*;
use proptest::sample::Index;

const T: u64 = 1_767_225_600_000_000_000;
const A: (&str, u16) = ("192.0.2.1", 40_000);
const B: (&str, u16) = ("198.51.100.2", 80);
const A6: (&str, u16) = ("2001:db8::1", 40_000);
const B6: (&str, u16) = ("2001:db8:1::2", 443);

fn cases(otherwise: u32) -> u32 {
    std::env::var("ESTATS_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// IP packets of many kinds, with all that is looked into.
fn packets() -> Vec<Vec<u8>> {
    let options = vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let sack = vec![1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 1, 1, 1, 5, 10, 0, 0, 3, 0xf0, 0, 0, 3, 0xff];
    let mut all = Vec::new();
    for (a, b) in [(A, B), (A6, B6)] {
        let syn = Tcp { flags: SYN, options: options.clone(), ..Tcp::new(a, b) };
        let answer =
            Tcp { flags: SYN | ACK, options: options.clone(), ack: 1001, ..Tcp::new(b, a) };
        let data = Tcp { seq: 1001, ack: 1001, payload: 40, ..Tcp::new(a, b) };
        let dup = Tcp { seq: 1001, ack: 1001, options: sack.clone(), ..Tcp::new(b, a) };
        let fin = Tcp { seq: 1041, ack: 1001, flags: FIN | ACK, ..Tcp::new(a, b) };
        let reset = Tcp { seq: 1001, flags: RST, ..Tcp::new(b, a) };
        all.extend([syn, answer, data, dup, fin, reset].map(|t| t.ip()));
    }
    let chain = [44, 0, 1, 4, 0, 0, 0, 0, 60, 0, 0, 1, 0, 0, 0, 9, 6, 0, 1, 4, 0, 0, 0, 0];
    all.push(Tcp { payload: 30, ..Tcp::new(A6, B6) }.ip_with((0, &chain)));
    let inner = all[2].clone();
    let outer = |protocol: u8, payload: &[u8]| {
        let [high, low] = (20 + payload.len() as u16).to_be_bytes();
        let head =
            [0x45, 0, high, low, 0, 9, 0, 0, 60, protocol, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2];
        [&head[..], payload].concat()
    };
    let udp = |port: u16, payload: &[u8]| {
        let [high, low] = (8 + payload.len() as u16).to_be_bytes();
        let [a, b] = port.to_be_bytes();
        outer(17, &[&[a, b, a, b, high, low, 0, 0], payload].concat())
    };
    let frame = [&[2; 12][..], &[8, 0], &inner].concat();
    all.push(outer(4, &inner));
    all.push(outer(
        47,
        &[&[0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8], &inner[..]].concat(),
    ));
    all.push(outer(
        47,
        &[&[0, 0, 0x22, 0xeb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8][..], &frame].concat(),
    ));
    all.push(udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()));
    all.push(udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 0x80, 0], &frame[..]].concat()));
    // A question to a name server, an echo, a spinning short header of QUIC.
    all.push(udp(53, &[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1]));
    all.push(udp(443, &[0x60, 1, 2, 3, 4, 5, 6, 7, 8]));
    all.push(outer(1, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9]));
    all
}

/// A frame of a link type around an IP packet.
fn frame(link_type: u32, ip: &[u8]) -> Vec<u8> {
    let kind: &[u8] = if ip[0] >> 4 == 4 { &[8, 0] } else { &[0x86, 0xdd] };
    let length = (ip.len() as u16 + 8).to_be_bytes();
    let head: Vec<u8> = match link_type {
        0 => vec![2, 0, 0, 0],
        9 => vec![0xff, 3, 0, 0x21],
        113 => [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], kind].concat(),
        276 => [kind, &[0, 0, 0, 0, 0, 7, 3, 4, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat(),
        101 => Vec::new(),
        // Ethernet, by turns with what may stand in it.
        _ => {
            let middle: Vec<u8> = match ip.len() % 5 {
                0 => [&[0x81, 0, 0, 7][..], kind].concat(),
                1 => vec![0x88, 0x47, 0, 1, 0x40, 9, 0, 1, 0x41, 9],
                2 => [&[0x88, 0x64, 0x11, 0, 0, 7][..], &length, &[0, 0x21]].concat(),
                3 => [&length[..], &[0xaa, 0xaa, 3, 0, 0, 0], kind].concat(),
                _ => kind.to_vec(),
            };
            [&[2; 12][..], &middle].concat()
        }
    };
    [&head[..], ip].concat()
}

fn capture(container: usize, link_type: u32, choice: &[(usize, u64)]) -> Vec<u8> {
    let all = packets();
    let mut at = T;
    let frames: Vec<_> = choice
        .iter()
        .map(|(i, gap)| {
            at += gap;
            Frame::new(at, frame(link_type, &all[i % all.len()]))
        })
        .collect();
    let order = Order { big: container % 2 == 1 };
    match container / 2 {
        0 => pcap(order, container == 1, link_type, &frames),
        1 => [pcapng(order, link_type as u16, &frames), statistics(order, 0, 1)].concat(),
        // Two interfaces, obsolete blocks, a second section.
        _ => {
            let link = link_type as u16;
            let mut b =
                [section(order), interface(order, link, "a", 9), interface(order, link, "b", 0x94)]
                    .concat();
            for (i, f) in frames.iter().enumerate() {
                match i % 4 {
                    0 => b.extend(enhanced(order, 0, f.ns, f, i as u32)),
                    1 => b.extend(enhanced(order, 1, f.ns >> 10, f, 0)),
                    2 => b.extend(obsolete(order, 0, i as u16, f.ns, f)),
                    _ => b.extend(
                        [
                            section(order),
                            interface(order, link, "a", 9),
                            enhanced(order, 0, f.ns, f, 0),
                        ]
                        .concat(),
                    ),
                }
            }
            b
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, flips: &[(Index, u8)], cut: Option<Index>) {
    for (at, value) in flips {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
}

fn check(bytes: &[u8], options: &ImportOptions, dir: &Path) -> Result<(), TestCaseError> {
    let file = dir.join("capture");
    std::fs::write(&file, bytes).expect("the capture");
    // A file that is not a capture is refused.
    let Ok(report) = import(&file, &dir.join("run"), options) else { return Ok(()) };
    let run = dir.join("run");
    let verified = Recording::open(&run).expect("a recording").verify().expect("verify");
    prop_assert!(verified.ok(), "{verified}");
    let left_out: u64 = report.import.left_out.values().sum();
    prop_assert_eq!(report.imported + left_out, report.import.packets);
    common::replay(&run, &common::options(1, &run.join("t")));
    Ok(())
}

const LINKS: [u32; 8] = [1, 1, 1, 0, 9, 101, 113, 276];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(48)) })]

    #[test]
    fn a_mutated_capture_becomes_a_recording_that_replays(
        container in 0..6_usize,
        link in prop::sample::select(LINKS.to_vec()),
        choice in prop::collection::vec((any::<usize>(), prop::sample::select(vec![0, 1_000, 3_000_000, 2_000_000_000])), 1..30),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..16),
        cut in prop::option::weighted(0.2, any::<Index>()),
        payload in prop::sample::select(vec![0_usize, 3, 5000]),
        inner in any::<bool>(),
    ) {
        let mut bytes = capture(container, link, &choice);
        mutate(&mut bytes, &flips, cut);
        let dir = tempfile::tempdir().expect("a temporary directory");
        check(&bytes, &ImportOptions { payload, inner, ..ImportOptions::default() }, dir.path())?;
    }
}

/// struct packet_record of bpf/records.h around these bytes of a frame.
fn record(head: &[u8; 56], data: &[u8], offset: u16, hook: u8) -> Vec<u8> {
    let mut b = head.to_vec();
    (b[28], b[29]) = (4, hook);
    b[30..32].copy_from_slice(&(data.len() as u16).to_ne_bytes());
    b[48..50].copy_from_slice(&offset.to_ne_bytes());
    b.extend(data);
    b
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(20_000)) })]

    /// A record that the programs may have made is a digest or a malformed packet, and no error:
    /// those end a recording.
    #[test]
    fn no_packet_makes_a_record_an_error(
        head in prop::collection::vec(any::<u8>(), 56),
        kind in 0..2_usize,
        packet in any::<Index>(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..12),
        cut in prop::option::weighted(0.3, any::<Index>()),
        place in any::<bool>(),
    ) {
        let all = packets();
        let ip = &all[packet.index(all.len())];
        let (mut data, offset) = if kind == 0 { (ip.clone(), 0) } else { (frame(113, ip), 16) };
        mutate(&mut data, &flips, cut);
        let head: [u8; 56] = head.try_into().expect("56 bytes");
        let hook = estats::schema::Hook::ALL.iter().position(|h| {
            *h == if place { estats::schema::Hook::InterfaceIn } else { estats::schema::Hook::SocketOut }
        });
        let bytes = record(&head, &data, offset, hook.expect("a hook") as u8 + 1);
        match decode_packet(&bytes) {
            Ok(Decoded::Packet(packet)) => {
                prop_assert!(packet.header.len() <= HEADER_MAX);
                prop_assert!(packet.header.len() + packet.payload.len() <= data.len());
            }
            Ok(Decoded::Malformed { .. }) => {}
            Err(e) => prop_assert!(false, "{}", e),
        }
        // A record that is none of ours is an error, and never a panic.
        let bytes = &bytes[..bytes.len().min(usize::from(head[0]))];
        let _ = decode_packet(bytes);
    }
}
