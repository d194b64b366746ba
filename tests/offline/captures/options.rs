// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! TCP options: unknown ones, and those that a capture has cut.

use super::*;
use common::capture::*;

const A: (&str, u16) = ("192.0.2.1", 40_000);
const B: (&str, u16) = ("198.51.100.2", 80);
const A6: (&str, u16) = ("2001:db8::1", 40_000);
const B6: (&str, u16) = ("2001:db8:1::2", 443);

const MSS: &[u8] = &[2, 4, 5, 0xb4];
const SACK_PERMITTED: &[u8] = &[4, 2];
const WINDOW_SCALE: &[u8] = &[3, 3, 7];

/// A segment of the script: who sends it, offsets of its numbers from the initial ones, flags,
/// payload, SACK blocks.
type Step = (bool, u32, u32, u8, usize, &'static [(u32, u32)]);

/// Four segments of which the first is lost on the way, and comes again; the third came twice. Then
/// both ends close.
const SCRIPT: [Step; 16] = [
    (true, 0, 0, SYN, 0, &[]),
    (false, 0, 1, SYN | ACK, 0, &[]),
    (true, 1, 1, ACK, 0, &[]),
    (true, 1, 1, ACK, 1000, &[]),
    (true, 1001, 1, ACK, 1000, &[]),
    (true, 2001, 1, ACK, 1000, &[]),
    (true, 3001, 1, ACK, 1000, &[]),
    (false, 1, 1, ACK, 0, &[(1001, 2001)]),
    (false, 1, 1, ACK, 0, &[(1001, 3001)]),
    (false, 1, 1, ACK, 0, &[(2001, 3001), (1001, 4001)]),
    (true, 1, 1, ACK, 1000, &[]),
    (false, 1, 4001, ACK, 0, &[]),
    (false, 1, 4001, ACK | FIN, 0, &[]),
    (true, 4001, 2, ACK, 0, &[]),
    (true, 4001, 2, ACK | FIN, 0, &[]),
    (false, 2, 4002, ACK, 0, &[]),
];

/// The options of a segment, each by itself.
fn options(step: &Step, number: u32) -> Vec<Vec<u8>> {
    let (_, _, _, flags, _, blocks) = *step;
    let stamp = [&[8, 10][..], &number.to_be_bytes(), &(number - 1).to_be_bytes()].concat();
    if flags & SYN != 0 {
        return vec![MSS.to_vec(), SACK_PERMITTED.to_vec(), stamp, WINDOW_SCALE.to_vec()];
    }
    let mut all = vec![stamp];
    if !blocks.is_empty() {
        let mut sack = vec![5, (2 + 8 * blocks.len()) as u8];
        for (start, end) in blocks {
            sack.extend((7000 + start).to_be_bytes());
            sack.extend((7000 + end).to_be_bytes());
        }
        all.push(sack);
    }
    all
}

/// The frames of the script, each segment with its list of options.
fn frames(v6: bool, list: impl Fn(&Step, Vec<Vec<u8>>) -> Vec<u8>) -> Vec<Frame> {
    let (a, b) = if v6 { (A6, B6) } else { (A, B) };
    let frame = |(i, step): (usize, &Step)| {
        let (ours, seq, ack, flags, payload, _) = *step;
        let (src, dst) = if ours { (a, b) } else { (b, a) };
        let (mine, theirs) = if ours { (7000, 9000) } else { (9000, 7000) };
        let mut bytes = list(step, options(step, 100 + i as u32));
        // No operation: as the kernel pads.
        bytes.resize(bytes.len().next_multiple_of(4), 1);
        let tcp = Tcp {
            seq: mine + seq,
            ack: if flags & ACK == 0 { 0 } else { theirs + ack },
            flags,
            payload,
            options: bytes,
            ttl: if ours { 64 } else { 55 },
            id: 100 + i as u16,
            ..Tcp::new(src, dst)
        };
        Frame::new(T + i as u64 * 10_000_000, tcp.ethernet())
    };
    SCRIPT.iter().enumerate().map(frame).collect()
}

#[test]
fn an_unknown_option_changes_nothing_wherever_it_stands() {
    let plain = imported(&simple(&frames(false, |_, list| list.concat())));
    let expected = plain.variables();
    let columns = ["SegsIn", "DupAcksIn", "MSSRcvd", "WinScaleRcvd", "SACKsRcvd", "WillUseSACK"];
    assert_eq!(values(&expected, &columns), ["7", "4", "1460", "7", "3", "enabled"]);
    assert_eq!(plain.connection()["completeness"], "complete");
    // An experiment (RFC 6994), authentication (RFC 5925), Multipath TCP, one of no kind known.
    for option in [&[254, 4, 0xde, 0xad][..], &[29, 4, 1, 1], &[30, 3, 0], &[200, 2]] {
        for at in 0..3 {
            let frames = frames(false, |_, mut list| {
                list.insert(at.min(list.len()), option.to_vec());
                list.concat()
            });
            let with = imported(&simple(&frames));
            let row = with.variables();
            for (name, value) in &row {
                let same = ["recording", "CurRetranTime"].contains(&name.as_str());
                assert!(same || *value == expected[name], "{option:?} at {at}: {name} {value}");
            }
            assert_eq!(with.table("rtt").len(), plain.table("rtt").len());
        }
    }
    // A signature (RFC 2385) leaves no room for timestamps, and nothing else behind it is lost.
    let signature = [&[19, 18][..], &[7; 16]].concat();
    let signed = imported(&simple(&frames(false, |step, mut list| {
        list.retain(|option| option[0] != 8);
        if step.5.len() < 2 {
            list.insert(0, signature.clone());
        }
        list.concat()
    })));
    assert_eq!(values(&signed.variables(), &columns), ["7", "4", "1460", "7", "3", "enabled"]);
}

#[test]
fn a_cut_option_is_unknown_and_changes_nothing_else() {
    for v6 in [false, true] {
        let frames = frames(v6, |_, list| list.concat());
        let whole = imported(&simple(&frames));
        let expected = whole.variables();
        let tcp = if v6 { 54 } else { 34 };
        let mut nulls = BTreeMap::new();
        for snap in (tcp + 20..=tcp + 60).step_by(if v6 { 1 } else { 5 }) {
            let mut cut = frames.clone();
            cut.iter_mut().for_each(|f| f.kept = f.kept.min(snap));
            let import = imported(&simple(&cut));
            let row = import.variables();
            let completeness = &import.connection()["completeness"];
            let mut unknown = Vec::new();
            for (name, value) in &row {
                let identity = ["recording", "completeness", "lost_records"];
                if !identity.contains(&name.as_str()) && *value != expected[name] {
                    assert_eq!(value, "NULL", "{snap}: {name}");
                    unknown.push(name.clone());
                }
            }
            let cut = ["header of TCP is cut inside its", "headers of TCP are cut inside their"];
            let said = cut.iter().any(|words| import.said.contains(words));
            // Whole options: 28 octets at most here.
            let is_cut = snap < tcp + 20 + 28;
            assert_eq!(said, is_cut, "{snap}: {}", import.said);
            let expected = if unknown.is_empty() { "complete" } else { "lossy" };
            assert_eq!(completeness, expected, "{snap}");
            let code = if unknown.is_empty() { 0 } else { 3 };
            assert_eq!(import.codes[1], Some(code), "{snap}: {}", import.said);
            assert_eq!(values(&row, &["SegsIn", "DupAcksIn", "SegsRetrans"]), ["7", "4", "1"]);
            nulls.insert(snap - tcp - 20, unknown);
            // RTTs whose answered packet is not known are missing, the others are the same.
            let all = whole.table("rtt");
            for sample in import.table("rtt") {
                let same = |s: &&Row| {
                    values(s, &["ts", "method", "rtt_ns"])
                        == values(&sample, &["ts", "method", "rtt_ns"])
                };
                assert!(all.iter().any(|s| same(&s)), "{snap}: {sample:?}");
            }
        }
        if v6 {
            let unknown = |kept: usize, name: &str| nulls[&kept].iter().any(|n| n == name);
            // By the octets of options that are there: the SYN has MSS, SACK, timestamps, window scale.
            for (name, needs) in [
                ("MSSRcvd", 4),
                ("WillUseSACK", 6),
                ("TimeStamps", 16),
                ("WinScaleRcvd", 19),
                ("SACKsRcvd", 28),
            ] {
                assert!(unknown(needs - 1, name) && !unknown(needs + 3, name), "{name} {nulls:?}");
            }
            trust::says(
                "a capture cut inside the options of TCP (`tcpdump -s 96` of IPv6)",
                &format!(
                    "segments are counted as usual; {} are NULL where a SACK option may have been cut, with \
                     one sentence on stderr, and the row is lossy",
                    nulls[&(96 - tcp - 20)]
                        .iter()
                        .filter(|name| name.contains("SACK"))
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            );
        }
    }
}
