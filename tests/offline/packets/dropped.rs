// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that arrive and that Linux drops: for their timestamps, and for their checksums.

use super::*;

/// The peer's last timestamp in sequence.
const NOW: u32 = 100_000;

/// A segment with a timestamp that is `ticks` older, and a SACK block.
fn old(ticks: u32, seq: u32, ack: u32, window: u16, payload: usize) -> Tcp {
    let mut options = vec![1, 1, 8, 10];
    options.extend(NOW.wrapping_sub(ticks).to_be_bytes());
    options.extend([0, 0, 0, 2, 1, 1, 5, 10]);
    options.extend(1101_u32.to_be_bytes());
    options.extend(1201_u32.to_be_bytes());
    Tcp { seq, ack, window, payload, options, ..Tcp::new(B, A) }
}

/// A connection on which we have sent 300 octets, and that has 100 of the peer's.
fn connection() -> Script {
    let mut s = Script::default();
    s.connect();
    for i in 0..3 {
        s.out(1001 + 100 * i, 5001, ACK, 100);
    }
    let stamped = |seq, payload| Tcp {
        options: old(0, 0, 0, 0, 0).options[..12].to_vec(),
        ..old(0, seq, 1001, 500, payload)
    };
    s.add(stamped(5001, 100));
    s.out(1301, 5101, ACK, 0);
    // Now the window has this segment's number: the same again changes nothing.
    s.add(stamped(5101, 0));
    s
}

#[test]
fn sack_blocks_of_segments_that_paws_drops_are_not_received() {
    // tcp_disordered_ack_check(): only a duplicate ACK in sequence, which changes no window and is not
    // older than an RTO, comes through.
    let cases: [(&str, Tcp, Option<u64>); 10] = [
        ("of now", old(0, 5101, 1001, 500, 0), Some(1)),
        ("a tick old", old(1, 5101, 1001, 500, 0), Some(1)),
        ("two ticks old", old(2, 5101, 1001, 500, 0), Some(1)),
        ("of the last 200 ms", old(204, 5101, 1001, 500, 0), Some(1)),
        ("with another window", old(2, 5101, 1001, 501, 0), Some(0)),
        ("not in sequence", old(2, 5001, 1001, 500, 0), Some(0)),
        ("that acknowledges more", old(2, 5101, 1101, 500, 0), Some(0)),
        ("with data", old(2, 5101, 1001, 500, 10), Some(0)),
        ("older than the longest RTO", old(120_000_001, 5101, 1001, 500, 0), Some(0)),
        ("perhaps older than the RTO", old(205, 5101, 1001, 500, 0), None),
    ];
    for (what, segment, sacks) in cases {
        let mut s = connection();
        s.add(segment);
        let (rows, counts) = s.rows();
        let row = &rows[0];
        assert_eq!(row.get(Var::SACKsRcvd), sacks, "{what}");
        assert_eq!(row.get(Var::SACKBlocksRcvd), sacks, "{what}");
        assert_eq!(row.completeness == "lossy", sacks.is_none(), "{what}");
        assert_eq!(counts.lacking(), u64::from(sacks.is_none()), "{what}");
        // It still arrived.
        row.has(&[(Var::SegsIn, 4), (Var::SndUna, 1001), (Var::HCThruOctetsReceived, 100)]);
    }
}

#[test]
fn a_handshake_is_not_completed_by_an_older_timestamp() {
    for (stamp, rows) in [(0xffff_ffff_u32, 0), (1, 1), (2, 1)] {
        let mut s = Script::default();
        s.input(5000, 0, SYN, 0);
        s.out(1000, 5001, SYN | ACK, 0);
        let options = [&[1, 1, 8, 10][..], &stamp.to_be_bytes(), &[0, 0, 0, 1]].concat();
        s.add(Tcp { seq: 5001, ack: 1001, options, ..Tcp::new(B, A) });
        assert_eq!(s.rows().0.len(), rows, "{stamp}");
    }
}

#[test]
fn timestamps_that_refuse_nothing() {
    // The peer's first one was 0, or the last is more than 35 minutes old.
    let mut zero = Script::default();
    zero.out(1000, 0, SYN, 0);
    let mut options = OPTIONS.to_vec();
    options[11] = 0;
    zero.add(Tcp { seq: 5000, ack: 1001, flags: SYN | ACK, options, ..Tcp::new(B, A) });
    zero.add(old(NOW + 5, 5001, 1001, 500, 100));
    zero.one().has(&[(Var::HCThruOctetsReceived, 100), (Var::SACKsRcvd, 1)]);

    for (seconds, received) in [(2_146, 100), (2_148, 200)] {
        let mut idle = connection();
        idle.ns += seconds * 1_000_000_000;
        idle.add(old(1000, 5101, 1001, 500, 100));
        idle.one().has(&[(Var::HCThruOctetsReceived, received)]);
    }
}

#[test]
fn a_segment_dropped_for_its_acknowledgment_sets_no_timestamp() {
    // tcp_ack() keeps the timestamp of no segment with an old acknowledgment.
    let mut s = connection();
    s.add(Tcp { options: Vec::new(), ..old(0, 5101, 1201, 500, 0) });
    s.add(old(0_u32.wrapping_sub(1000), 5101, 1001, 500, 0));
    s.add(old(0, 5101, 1201, 500, 100));
    s.one().has(&[(Var::HCThruOctetsReceived, 200)]);
}

#[test]
fn sack_that_was_not_agreed_on_is_not_received() {
    let mut s = Script::default();
    s.add(Tcp { flags: SYN, options: vec![2, 4, 5, 0xb4], ..Tcp::new(A, B) });
    s.input(5000, 1001, SYN | ACK, 0);
    s.out(1001, 5001, ACK, 300);
    s.add(old(0, 5001, 1001, 500, 0));
    s.one().has(&[(Var::SACKsRcvd, 0), (Var::DSACKDups, 0), (Var::DupAcksIn, 1)]);
}

#[test]
fn a_window_of_zero_counts_without_anything_new() {
    let mut s = Script::default();
    s.connect();
    for window in [500, 0, 0, 300, 200] {
        s.add(Tcp { seq: 5001, ack: 1001, window, ..Tcp::new(B, A) });
    }
    s.one().has(&[(Var::ZeroRwinRcvd, 1), (Var::CurRwinRcvd, 300 << 7)]);
}

#[test]
fn wrong_checksums() {
    let damaged = |which, payload| {
        let mut s = Script::default();
        s.connect();
        s.input(5001, 1001, ACK, payload);
        s.packets.last_mut().expect("added").wrong_checksum = Some(which);
        s
    };
    // Header and payload: 76 octets are looked at before the socket is, more of them after it has
    // counted the segment.
    for (which, payload, [segs, data, octets]) in [
        (Checksum::Ip, 500, [1, 0, 0]),
        (Checksum::Tcp, 44, [1, 0, 0]),
        (Checksum::Tcp, 45, [2, 1, 45]),
    ] {
        let (rows, counts) = damaged(which, payload).rows();
        assert_eq!((rows.len(), counts.wrong_checksum, counts.lacking()), (1, 1, 0));
        assert_eq!(rows[0].completeness, "ended_after");
        rows[0].has(&[
            (Var::SegsIn, segs),
            (Var::DataSegsIn, data),
            (Var::HCDataOctetsIn, octets),
            (Var::HCThruOctetsReceived, 0),
            (Var::RcvNxt, 5001),
            (Var::DupAcksIn, 0),
        ]);
    }
    // Our own segment was sent.
    let mut sent = Script::default();
    sent.connect();
    sent.out(1001, 5001, ACK, 500);
    sent.packets.last_mut().expect("added").wrong_checksum = Some(Checksum::Tcp);
    sent.one().has(&[(Var::SegsOut, 3), (Var::HCDataOctetsOut, 500)]);
    // A handshake does not begin or end with it.
    let mut scan = Script::default();
    scan.input(5000, 0, SYN, 0);
    scan.packets[0].wrong_checksum = Some(Checksum::Tcp);
    let (rows, counts) = scan.rows();
    assert_eq!((rows.len(), counts.wrong_checksum), (0, 1));
    let mut accepted = Script::default();
    accepted.input(5000, 0, SYN, 0);
    accepted.out(1000, 5001, SYN | ACK, 0);
    accepted.input(5001, 1001, ACK, 100);
    accepted.packets[2].wrong_checksum = Some(Checksum::Tcp);
    assert!(accepted.rows().0.is_empty(), "tcp_v4_rcv() looks at it before it asks for a child");
}

/// A capture that begins in the middle of a connection has no window to compare with.
#[test]
fn whether_paws_drops_an_ack_is_not_known_where_the_window_is_not() {
    let whole = connection();
    let mut s = Script { packets: whole.packets[3..].to_vec(), ns: whole.ns };
    s.add(old(2, 5101, 1001, 500, 0));
    let (rows, _) = s.rows();
    assert_eq!(rows[0].get(Var::SACKsRcvd), None);
    assert_eq!(rows[0].completeness, "lossy");
    // One that is not in sequence is dropped, whatever the window.
    let mut s = Script { packets: whole.packets[3..].to_vec(), ns: whole.ns };
    s.add(old(2, 5001, 1001, 500, 0));
    assert_eq!(s.rows().0[0].completeness, "begun_before");
}
