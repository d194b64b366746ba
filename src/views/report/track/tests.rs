// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use super::*;
use crate::schema::{Direction, Hook};
use crate::wire::Packet;

#[test]
fn a_stretch_keeps_its_extremes_in_their_order() {
    let mut track = Track::new(0, 100_000, 10);
    for (ns, value) in [(1_000, 5), (2_000, 9), (4_000, 2), (4_500, 4), (12_000, 7)] {
        let stretch = ns / 10_000;
        if track.open.is_none_or(|open| open.0 != stretch) {
            track.flush();
            track.open = Some((stretch, ns as i64 / 1_000, 0));
        }
        track.open = track.open.map(|(s, first, _)| (s, first, ns as i64 / 1_000));
        track.see(0, Some(value));
    }
    track.see(1, Some(-3));
    let data = track.finish();
    assert_eq!(data.t, [1, 3, 8]);
    // 9 came before 2; then 7.
    assert_eq!(data.series["cwnd"], [Some(9), Some(-7), Some(5)]);
    assert_eq!(data.series["flight"], [None, None, Some(-3)]);
    assert!(!data.series.contains_key("rtt"));
}

#[test]
fn a_snapshot_leaves_no_hole_in_the_lines_of_records() {
    let mut track = Track::new(0, 100_000, 10);
    let mut at = |ns, series, value, is_record| {
        track.at(ns);
        track.has_record |= is_record;
        track.see(series, Some(value));
    };
    at(1_000, 0, 5, true);
    at(11_000, POLLED, 700, false);
    at(21_000, 1, 3, true);
    let data = track.finish();
    assert_eq!(data.series["cwnd"], [Some(5), Some(0), None]);
    assert_eq!(data.series["pacing"], [None, Some(700), None]);
    assert_eq!(data.series["flight"], [None, None, Some(3)]);
}

#[test]
fn sequence_numbers_do_not_wrap_on_the_page() {
    let mut position = Position::default();
    assert_eq!(position.to(0xffff_fff0, Some(0xffff_ff00)), 0xf0);
    assert_eq!(position.to(0x10, None), 0x110);
    assert_eq!(position.to(0x8000_0000, None), 0x8000_0100);
}

/// A segment with these SACK blocks.
fn segment(us: u64, seq: u32, payload: u32, sack: &[(u32, u32)]) -> Segment {
    let mut header = vec![0; 4];
    header.extend(seq.to_be_bytes());
    header.extend(1000_u32.to_be_bytes());
    let length = 20 + if sack.is_empty() { 0 } else { 4 + 8 * sack.len() };
    header.extend([(length as u8 / 4) << 4, 0x10, 1, 0, 0, 0, 0, 0]);
    if !sack.is_empty() {
        header.extend([1, 1, 5, 2 + 8 * sack.len() as u8]);
        for (left, right) in sack {
            header.extend(left.to_be_bytes());
            header.extend(right.to_be_bytes());
        }
    }
    let packet = Packet::unread(us * 1000, Hook::InterfaceIn, Direction::In);
    Segment::of(&Packet { protocol: 6, header, payload_len: payload, ..packet }).expect("a segment")
}

/// Octets count from the connection's first; of packets it is known which were sent again, and which SACK
/// reported, across the place where sequence numbers wrap.
#[test]
fn packets_show_the_octets_that_were_sent_again_and_reported() {
    let mut track = Track::new(0, 100_000_000, 10);
    // SND.UNA is 900 octets behind the first.
    track.una.to(0xffff_ff00, Some(0xffff_ff00));
    track.una.to(0x284, None);
    assert_eq!(track.una.value, 900);
    track.packet(&segment(1_000, 0x284, 1000, &[]), false);
    track.packet(&segment(2_000, 0x284 + 1000, 1000, &[]), false);
    track.packet(&segment(3_000, 7, 0, &[(0x284 + 1000, 0x284 + 2000)]), true);
    track.packet(&segment(21_000, 0x284, 1000, &[]), false);
    // A pure ACK of this end sends no octet again, and SACK of its own is about what it received.
    track.packet(&segment(22_000, 0x284, 0, &[(1, 2)]), false);
    let data = track.finish();
    assert_eq!(data.sack_blocks, [(3_000, 1900, 2900)]);
    assert_eq!(data.sent_again, [(21_000, 900, 1900)]);
}
