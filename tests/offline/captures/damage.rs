// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that are in the capture and that no end received: with wrong checksums, and longer than
//! their frame.

use super::*;
use common::capture::*;
use layers::packets;

const STEP: u64 = 20_000_000;
/// Where IP begins in a frame of Ethernet, TCP in IPv4 and the checksums in both.
const IP: usize = 14;
const TCP: usize = IP + 20;

/// RFC 1071: the ones' complement sum of 16-bit words.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

/// The sum over addresses, protocol and length (RFC 9293, 3.1).
fn pseudo(frame: &[u8]) -> u16 {
    sum(&[&frame[IP + 12..TCP], &[0, 6], &((frame.len() - TCP) as u16).to_be_bytes()])
}

/// A frame with right checksums.
fn checked(tcp: &Tcp) -> Vec<u8> {
    let mut frame = tcp.ethernet();
    let tcp = !sum(&[&pseudo(&frame).to_be_bytes(), &frame[TCP..]]);
    frame[TCP + 16..TCP + 18].copy_from_slice(&tcp.to_be_bytes());
    let ip = !sum(&[&frame[IP..TCP]]);
    frame[IP + 10..IP + 12].copy_from_slice(&ip.to_be_bytes());
    frame
}

/// A checksum that the interface still has to finish: the sum of the pseudo-header in the place of
/// TCP's.
fn unfinished(tcp: &Tcp) -> Vec<u8> {
    let mut frame = checked(tcp);
    let pseudo = pseudo(&frame);
    frame[TCP + 16..TCP + 18].copy_from_slice(&pseudo.to_be_bytes());
    frame
}

/// The connection of [`packets`], and what is added behind each.
fn capture(frame: impl Fn(&Tcp) -> Vec<u8>, more: impl Fn(&Tcp) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut frames = Vec::new();
    for (i, tcp) in packets().iter().enumerate() {
        let at = T + i as u64 * STEP;
        frames.push(Frame::new(at, frame(tcp)));
        frames.extend(more(tcp).into_iter().map(|bytes| Frame::new(at + 3_000_000, bytes)));
    }
    simple(&frames)
}

const COLUMNS: [&str; 8] = [
    "SegsIn",
    "DataSegsIn",
    "HCDataOctetsIn",
    "HCThruOctetsReceived",
    "DupAcksIn",
    "SegsOut",
    "SegsRetrans",
    "IpTtl",
];

/// The end of 192.0.2.1.
fn of(bytes: &[u8]) -> (Vec<String>, Imported) {
    let import = imported_with(bytes, &["--local", "192.0.2.1"]);
    let row = import.variables();
    let all = values(&row, &COLUMNS).into_iter().map(str::to_owned).collect();
    assert_eq!(import.connection()["completeness"], "complete", "{}", import.said);
    (all, import)
}

/// Repeats `payload` octets of the peer's data, damaged by `damage`.
fn again(tcp: &Tcp, payload: usize, damage: impl Fn(&mut Vec<u8>)) -> Vec<Vec<u8>> {
    if tcp.payload != 900 {
        return Vec::new();
    }
    let mut frame = checked(&Tcp { payload, id: 6000, ..tcp.clone() });
    damage(&mut frame);
    vec![frame]
}

#[test]
fn segments_with_wrong_checksums_are_not_received() {
    let (expected, plain) = of(&capture(checked, |_| Vec::new()));
    assert_eq!(plain.said, "");
    // TCP's, of a segment that is looked at before the socket is.
    let (short, import) =
        of(&capture(checked, |tcp| again(tcp, 10, |f| *f.last_mut().expect("octets") ^= 1)));
    assert_eq!(short, expected);
    let said = "1 packet of TCP has a wrong checksum: its receiver has dropped it";
    assert!(import.said.contains(said), "{}", import.said);
    assert_eq!(import.codes, [Some(0); 2]);
    trust::says(
        "a captured packet with a wrong checksum among many with right ones",
        &format!(
            "\"{said}\"; it is in flows; of the receiver's row at most SegsIn, DataSegsIn and HCDataOctetsIn count it (more than 76 octets of TCP)"
        ),
    );
    // A longer one: the socket has counted it before it is checked, and it has no other effect.
    let (long, _) =
        of(&capture(checked, |tcp| again(tcp, 100, |f| *f.last_mut().expect("octets") ^= 1)));
    assert_eq!(long[..3], ["4", "2", "1000"]);
    assert_eq!(long[3..], expected[3..]);
    // That of IP.
    let (ip, _) = of(&capture(checked, |tcp| again(tcp, 100, |f| f[IP + 8] = 77)));
    assert_eq!(ip, expected);
    // A packet that was not captured whole cannot be checked.
    let cut = |tcp: &Tcp| again(tcp, 100, |f| *f.last_mut().expect("octets") ^= 1);
    let mut frames: Vec<_> = packets()
        .iter()
        .flat_map(|tcp| [vec![checked(tcp)], cut(tcp)].concat())
        .enumerate()
        .map(|(i, bytes)| Frame::new(T + i as u64 * STEP, bytes))
        .collect();
    frames.iter_mut().for_each(|frame| frame.kept = frame.kept.min(96));
    assert_eq!(of(&simple(&frames)).0[..4], ["4", "2", "1000", "901"]);
}

#[test]
fn checksums_left_to_the_device_are_not_wrong() {
    let (expected, _) = of(&capture(checked, |_| Vec::new()));
    // On loopback, veth and virtual machines the receiver's are not finished either.
    let (both, import) = of(&capture(unfinished, |_| Vec::new()));
    assert_eq!((both, import.said.as_str()), (expected.clone(), ""));
    // One value alone means that.
    let (off, _) = of(&capture(unfinished, |tcp| again(tcp, 10, |f| f[TCP + 17] ^= 1)));
    assert_eq!(off, expected);
    // Other systems leave 0 or anything, tools that rewrite addresses leave what was there.
    let rewritten = |tcp: &Tcp| {
        let mut frame = checked(tcp);
        frame[TCP + 16] ^= 0x55;
        frame[IP + 10] ^= 0x55;
        frame
    };
    for frame in [Tcp::ethernet, rewritten] {
        let (all, import) = of(&capture(frame, |_| Vec::new()));
        assert_eq!((all, import.said.as_str()), (expected.clone(), ""));
    }
}

#[test]
fn a_packet_longer_than_its_frame_is_not_received() {
    let (expected, _) = of(&capture(checked, |_| Vec::new()));
    let short = |tcp: &Tcp| again(tcp, 100, |f| f.truncate(f.len() - 1));
    let (all, import) = of(&capture(checked, short));
    assert_eq!(all, expected);
    let said = "1 packet left out: malformed IP header";
    assert!(import.said.contains(said), "{}", import.said);
    trust::says(
        "a captured frame shorter than its IP length",
        &format!("\"{said}\": the kernel drops it (InTruncatedPkts)"),
    );
    // A capture that was cut has the length of the whole frame beside it.
    let frames: Vec<_> = packets()
        .iter()
        .enumerate()
        .map(|(i, tcp)| {
            let frame = Frame::new(T + i as u64 * STEP, checked(tcp));
            Frame { kept: frame.kept.min(80), ..frame }
        })
        .collect();
    assert_eq!(of(&simple(&frames)).0, expected);
    // IPv6 has the length of what follows its header.
    let six = |payload, cut: usize| {
        let end = |host: &str| (host.parse().expect("an address"), 5000);
        let mut frame = Tcp {
            payload,
            src: end("2001:db8::1"),
            dst: end("2001:db8::2"),
            ..packets()[3].clone()
        }
        .ethernet();
        frame.truncate(frame.len() - cut);
        Frame::new(T, frame)
    };
    let import = imported(&simple(&[six(100, 0), six(100, 1)]));
    assert_eq!(import.manifest()["import"]["left_out"]["malformed IP header"], 1);
    assert_eq!(import.table("flows")[0]["packets"], "1");
}

#[test]
fn the_inner_packet_of_a_first_fragment_goes_on_in_the_next() {
    let inner = packets()[3].ip();
    let piece = |from: usize, to: usize, fragment: [u8; 2]| {
        let [high, low] = (20 + (to - from) as u16).to_be_bytes();
        let [more, offset] = fragment;
        let head =
            [0x45, 0, high, low, 0, 9, more, offset, 60, 4, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2];
        [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &head, &inner[from..to]].concat()
    };
    let frames = [piece(0, 400, [0x20, 0]), piece(400, inner.len(), [0, 50])];
    let bytes = simple(&frames.map(|bytes| Frame::new(T, bytes)));
    let import = imported_with(&bytes, &["--inner"]);
    let flow = &import.table("flows");
    assert!(flow.iter().any(|f| f["protocol"] == "TCP" && f["payload_bytes"] == "500"), "{flow:?}");
}
