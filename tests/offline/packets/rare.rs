// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that come seldom: Fast Open, resets, both ends opening at once, ends used again, and what
//! Linux drops.

use super::*;

/// A SYN with data, for Fast Open (RFC 7413).
fn fast(src: (&str, u16), dst: (&str, u16), seq: u32, payload: usize) -> Tcp {
    Tcp { seq, flags: SYN, payload, options: OPTIONS.to_vec(), ..Tcp::new(src, dst) }
}

#[test]
fn fast_open_by_us() {
    // Refused: the SYN alone is acknowledged, its data goes out again.
    let mut refused = Script::default();
    refused.add(fast(A, B, 1000, 500));
    refused.input(5000, 1001, SYN | ACK, 0);
    refused.out(1001, 5001, ACK, 500);
    refused.input(5001, 1501, ACK, 100);
    let (rows, counts) = refused.rows();
    assert_eq!(
        (rows[0].completeness, rows[0].end_state, counts.missed),
        ("ended_after", Some("established"), 0)
    );
    rows[0].has(&[
        (Var::State, 5),
        (Var::SegsOut, 2),
        (Var::DataSegsOut, 2),
        (Var::HCDataOctetsOut, 1000),
        (Var::SegsRetrans, 1),
        (Var::OctetsRetrans, 500),
        (Var::SegsIn, 2),
        (Var::DataSegsIn, 1),
        (Var::HCThruOctetsAcked, 501),
    ]);

    // Accepted, in part; data comes with the SYN-ACK.
    let mut accepted = Script::default();
    accepted.add(fast(A, B, 1000, 500));
    accepted.add(Tcp {
        seq: 5000,
        ack: 1401,
        flags: SYN | ACK,
        payload: 50,
        options: OPTIONS.to_vec(),
        ..Tcp::new(B, A)
    });
    accepted.out(1401, 5051, ACK, 100);
    let (rows, counts) = accepted.rows();
    assert_eq!((rows.len(), counts.missed), (1, 0));
    rows[0].has(&[
        (Var::State, 5),
        (Var::HCThruOctetsAcked, 401),
        (Var::HCThruOctetsReceived, 50),
        (Var::SegsRetrans, 1),
        (Var::RcvNxt, 5051),
    ]);
}

#[test]
fn fast_open_by_the_peer() {
    let mut accepted = Script::default();
    accepted.add(fast(B, A, 5000, 500));
    accepted.out(1000, 5501, SYN | ACK, 0);
    // Before the handshake is over, data goes out, and the SYN-ACK once more.
    accepted.out(1001, 5501, ACK, 700);
    accepted.out(1000, 5501, SYN | ACK, 0);
    accepted.input(5501, 1001, ACK, 0);
    accepted.input(5501, 1701, ACK, 300);
    let (rows, counts) = accepted.rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.opened_by, row.begin_ns, counts.missed), ("remote", 1_000, 0));
    row.has(&[
        (Var::State, 5),
        (Var::SegsIn, 3),
        (Var::DataSegsIn, 2),
        (Var::HCDataOctetsIn, 800),
        (Var::HCThruOctetsReceived, 800),
        (Var::SegsOut, 1),
        (Var::DataSegsOut, 1),
        (Var::SegsRetrans, 1),
        (Var::HCThruOctetsAcked, 700),
        (Var::RecInitial, 5001),
        (Var::RcvNxt, 5801),
    ]);

    // Refused: the listener got the SYN's data, which no socket has.
    let mut refused = Script::default();
    refused.add(fast(B, A, 5000, 500));
    refused.out(1000, 5001, SYN | ACK, 0);
    refused.input(5001, 1001, ACK, 500);
    refused.one().has(&[
        (Var::SegsIn, 2),
        (Var::DataSegsIn, 1),
        (Var::HCDataOctetsIn, 500),
        (Var::HCThruOctetsReceived, 500),
    ]);
}

#[test]
fn segments_of_others_in_the_handshake() {
    // Half-open recovery (RFC 9293, figure 9): the reset answers the peer's old connection.
    let mut recovery = Script::default();
    recovery.out(1000, 0, SYN, 0);
    recovery.input(7000, 333_000, ACK, 0);
    recovery.out(333_000, 0, RST, 0);
    recovery.out(1000, 0, SYN, 0);
    recovery.input(5000, 1001, SYN | ACK, 0);
    recovery.out(1001, 5001, ACK, 500);
    let row = recovery.one();
    row.has(&[(Var::State, 5), (Var::SegsRetrans, 1), (Var::SegsIn, 2), (Var::SegsOut, 3)]);

    // A scanner: its kernel resets what answers a SYN that it did not send.
    let mut scanned = Script::default();
    scanned.input(5000, 0, SYN, 0);
    scanned.out(1000, 5001, SYN | ACK, 0);
    scanned.input(5001, 0, RST, 0);
    scanned.input(5001, 1001, ACK, 50);
    scanned.out(1001, 0, RST, 0);
    let (rows, counts) = scanned.rows();
    assert_eq!((rows.len(), counts.after_end), (0, 3), "{rows:?}");

    // A segment that does not answer our SYN-ACK leaves the handshake unchanged: reset, not
    // acknowledged, or out of the window.
    let mut wrong = Script::default();
    wrong.input(5000, 0, SYN, 0);
    wrong.out(1000, 5001, SYN | ACK, 0);
    wrong.input(5001, 900, ACK, 0);
    wrong.out(900, 0, RST, 0);
    wrong.input(9_999_999, 0, RST, 0);
    wrong.input(9_999_999, 1001, ACK, 10);
    wrong.input(5001, 1001, ACK, 10);
    let row = wrong.one();
    assert_eq!((row.opened_by, row.completeness), ("remote", "ended_after"));
    row.has(&[(Var::SegsIn, 2), (Var::HCThruOctetsReceived, 10)]);

    // Our SYN comes again after its answer, which it crossed.
    let mut late = Script::default();
    late.out(1000, 0, SYN, 0);
    late.input(5000, 1001, SYN | ACK, 0);
    late.out(1000, 0, SYN, 0);
    late.out(1001, 5001, ACK, 0);
    late.one().has(&[(Var::SegsRetrans, 1), (Var::CurRwinSent, 500 << 7)]);
}

#[test]
fn simultaneous_open() {
    let mut s = Script::default();
    s.out(1000, 0, SYN, 0);
    s.input(5000, 0, SYN, 0);
    s.out(1000, 5001, SYN | ACK, 0);
    s.input(5000, 1001, SYN | ACK, 0);
    s.out(1001, 5001, ACK, 100);
    s.input(5001, 1101, ACK, 0);
    let row = s.one();
    assert_eq!(row.opened_by, "local");
    row.has(&[
        (Var::State, 5),
        (Var::SegsOut, 3),
        (Var::SegsIn, 3),
        (Var::SegsRetrans, 0),
        (Var::HCThruOctetsAcked, 101),
    ]);
    // The SYN-ACK once more is one.
    let mut again = Script::default();
    again.out(1000, 0, SYN, 0);
    again.input(5000, 0, SYN, 0);
    again.out(1000, 5001, SYN | ACK, 0);
    again.out(1000, 5001, SYN | ACK, 0);
    again.one().has(&[(Var::State, 4), (Var::SegsRetrans, 1)]);
}

#[test]
fn a_socket_connected_to_itself() {
    let mut s = Script::default();
    let own = |seq, ack, flags, payload| Tcp {
        seq,
        ack,
        flags,
        payload,
        options: options(flags),
        ..Tcp::new(A, A)
    };
    for tcp in [
        own(1000, 0, SYN, 0),
        own(1000, 1001, SYN | ACK, 0),
        own(1001, 1001, ACK, 0),
        own(1001, 1001, ACK, 70),
        own(1071, 1071, ACK, 0),
    ] {
        s.add(tcp);
        s.packets.last_mut().expect("added").direction = Direction::Unknown;
    }
    let row = s.one();
    row.has(&[
        (Var::State, 5),
        (Var::SegsOut, 5),
        (Var::SegsIn, 5),
        (Var::SegsRetrans, 0),
        (Var::HCThruOctetsReceived, 70),
        (Var::HCThruOctetsAcked, 71),
    ]);
}

#[test]
fn resets_that_count() {
    type Tail = fn(&mut Script);
    let cases: [(&str, Tail, Option<&str>); 8] = [
        ("the next number", |s| s.input(5001, 0, RST, 0), Some("reset_received")),
        ("one before it", |s| s.input(5000, 0, RST, 0), None),
        ("inside the window", |s| s.input(5400, 0, RST, 0), None),
        (
            "the FIN's own number",
            |s| {
                s.input(5001, 1001, FIN | ACK, 0);
                s.input(5001, 0, RST, 0);
            },
            Some("reset_received"),
        ),
        (
            "two before the FIN's end",
            |s| {
                s.input(5001, 1001, FIN | ACK, 0);
                s.input(5000, 0, RST, 0);
            },
            None,
        ),
        (
            "the FIN's number after ours",
            |s| {
                s.out(1001, 5001, FIN | ACK, 0);
                s.input(5001, 1001, FIN | ACK, 0);
                s.input(5001, 0, RST, 0);
            },
            Some("reset_received"),
        ),
        (
            "the right edge of the last SACK",
            |s| {
                s.input(5101, 1001, ACK, 100);
                s.input(5201, 0, RST, 0);
            },
            Some("reset_received"),
        ),
        (
            "the left edge",
            |s| {
                s.input(5101, 1001, ACK, 100);
                s.input(5101, 0, RST, 0);
            },
            None,
        ),
    ];
    for (what, tail, reason) in cases {
        let mut s = Script::default();
        s.connect();
        tail(&mut s);
        let row = s.one();
        assert_eq!(row.reason, reason, "{what}");
        assert_eq!(row.completeness, if reason.is_some() { "complete" } else { "ended_after" });
    }
}

#[test]
fn a_connection_that_goes_on_after_its_reset() {
    // Ours, and then 300 octets that we acknowledge.
    let mut sent = Script::default();
    sent.connect();
    sent.out(1001, 0, RST, 0);
    sent.input(5001, 1001, ACK, 100);
    sent.input(5101, 1001, ACK, 200);
    sent.out(1001, 5301, ACK, 0);
    let (rows, counts) = sent.rows();
    assert_eq!((rows[0].reason, rows[0].completeness), (Some("reset_sent"), "lossy"));
    assert_eq!((rows.len(), rows[0].lost, counts.went_on, counts.after_end), (1, 3, 3, 3));
    assert_eq!(rows[0].get(Var::HCDataOctetsIn), None, "what came after the reset is not in it");

    // The peer's, and then new data of ours.
    let mut received = Script::default();
    received.connect();
    received.input(5001, 0, RST, 0);
    received.ns += 1_000_000_000;
    received.out(1001, 5001, ACK, 100);
    received.input(5001, 1101, ACK, 0);
    let (rows, counts) = received.rows();
    assert_eq!((rows[0].completeness, rows[0].lost, counts.went_on), ("lossy", 2, 2));

    // Leftovers: what crossed the reset, and what we answer it with.
    let mut over = Script::default();
    over.connect();
    over.input(5001, 0, RST, 0);
    over.out(1001, 5001, ACK, 100);
    over.input(5001, 1101, RST, 0);
    let (rows, counts) = over.rows();
    assert_eq!((rows[0].completeness, counts.went_on, counts.after_end), ("complete", 0, 2));
}

#[test]
fn segments_that_linux_drops() {
    let stamped = |seq, ack, payload, value: u32| {
        let mut options = vec![1, 1, 8, 10];
        options.extend(value.to_be_bytes());
        options.extend([0; 4]);
        Tcp { seq, ack, payload, options, ..Tcp::new(B, A) }
    };
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, ACK, 100);
    s.add(stamped(5001, 1101, 100, 50));
    // With a timestamp two ticks ago: neither its data nor its acknowledgment counts.
    s.add(stamped(5101, 1101, 100, 48));
    s.add(stamped(5101, 1101, 100, 49));
    // Acknowledges what was not sent by far: a segment of another connection.
    s.add(stamped(5201, 1_000_000_000, 100, 50));
    s.add(stamped(5201, 3_000_000_000, 100, 50));
    let (rows, counts) = s.rows();
    assert_eq!((rows[0].completeness, counts.missed), ("ended_after", 0));
    rows[0].has(&[
        (Var::HCDataOctetsIn, 500),
        (Var::HCThruOctetsReceived, 200),
        (Var::SndUna, 1101),
        (Var::SndMax, 1101),
    ]);
}

#[test]
fn other_rare_segments() {
    type Case = (&'static str, fn(&mut Script), &'static [(Var, u64)]);
    let cases: [Case; 8] = [
        (
            "a keepalive with an octet of garbage, either way",
            |s| {
                s.input(5000, 1001, ACK, 1);
                s.out(1000, 5001, ACK, 1);
            },
            &[
                (Var::HCThruOctetsReceived, 0),
                (Var::HCDataOctetsIn, 1),
                (Var::SegsRetrans, 0),
                (Var::SegsIn, 2),
            ],
        ),
        (
            "a SYN in the middle is challenged",
            |s| {
                s.input(900_000, 0, SYN, 0);
                s.out(1001, 5001, ACK, 0);
                s.input(5001, 1001, ACK, 30);
            },
            &[(Var::State, 5), (Var::SegsIn, 3), (Var::HCThruOctetsReceived, 30)],
        ),
        (
            "the SYN-ACK once more",
            |s| s.input(5000, 1001, SYN | ACK, 0),
            &[(Var::State, 5), (Var::SegsIn, 2), (Var::HCThruOctetsReceived, 0)],
        ),
        (
            "the peer's FIN twice",
            |s| {
                s.input(5001, 1001, FIN | ACK, 0);
                s.input(5001, 1001, FIN | ACK, 0);
            },
            &[(Var::State, 8), (Var::HCThruOctetsReceived, 1), (Var::SegsIn, 3)],
        ),
        (
            "our FIN twice",
            |s| {
                s.out(1001, 5001, FIN | ACK, 0);
                s.out(1001, 5001, FIN | ACK, 0);
            },
            &[(Var::State, 6), (Var::SegsRetrans, 1), (Var::OctetsRetrans, 0)],
        ),
        (
            "both close at once",
            |s| {
                s.out(1001, 5001, FIN | ACK, 0);
                s.input(5001, 1001, FIN | ACK, 0);
            },
            &[(Var::State, 10)],
        ),
        (
            "data long after our FIN",
            |s| {
                s.out(1001, 5001, FIN | ACK, 0);
                s.input(5001, 1002, ACK, 0);
                s.ns += 3_600_000_000_000;
                s.input(5001, 1002, ACK, 80);
                s.out(1002, 5081, ACK, 0);
            },
            &[(Var::State, 7), (Var::HCThruOctetsReceived, 80)],
        ),
        (
            "urgent data is data",
            |s| s.input(5001, 1001, ACK | 32, 5),
            &[(Var::HCThruOctetsReceived, 5)],
        ),
    ];
    for (what, tail, expected) in cases {
        let mut s = Script::default();
        s.connect();
        tail(&mut s);
        let (rows, counts) = s.rows();
        assert_eq!((rows.len(), counts.missed), (1, 0), "{what}");
        for (var, value) in expected {
            assert_eq!(rows[0].get(*var), Some(*value), "{what}: {}", var.name());
        }
    }
}

#[test]
fn the_last_fin_is_the_sockets_or_that_of_time_wait() {
    for (id, segs_in, received) in [(0, 3, 100), (8, 4, 101)] {
        let mut s = Script::default();
        s.connect();
        s.input(5001, 1001, ACK, 100);
        s.out(1001, 5101, FIN | ACK, 0);
        s.input(5101, 1002, ACK, 0);
        s.input(5101, 1002, FIN | ACK, 0);
        s.out(1002, 5102, ACK, 0);
        for packet in &mut s.packets {
            packet.ip_id = Some(7);
        }
        s.packets.last_mut().expect("sent").ip_id = Some(id);
        let row = s.one();
        assert_eq!((row.reason, row.end_state), (Some("fin"), Some("finWait2")));
        row.has(&[(Var::SegsIn, segs_in), (Var::HCThruOctetsReceived, received)]);
    }
}

#[test]
fn data_that_meets_time_wait() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, FIN | ACK, 0);
    s.input(5001, 1002, ACK, 0);
    s.input(5001, 1002, ACK, 100);
    s.input(5101, 1002, ACK, 100);
    s.out(1002, 0, RST, 0);
    let row = s.one();
    assert_eq!((row.reason, row.completeness), (Some("fin"), "complete"));
    row.has(&[(Var::SegsIn, 2), (Var::DataSegsIn, 0), (Var::HCThruOctetsReceived, 0)]);
}

#[test]
fn data_that_crosses_the_close() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, FIN | ACK, 0);
    s.input(5001, 1001, ACK, 100);
    s.input(5101, 1001, ACK, 100);
    s.out(1001, 0, RST, 0);
    s.out(1001, 0, RST, 0);
    let row = s.one();
    assert_eq!((row.reason, row.completeness), (Some("reset_sent"), "complete"));
    row.has(&[
        (Var::SegsIn, 2),
        (Var::HCDataOctetsIn, 100),
        (Var::HCThruOctetsReceived, 0),
        (Var::SegsOut, 3),
    ]);
    // After shutdown() it is taken.
    let mut half = Script::default();
    half.connect();
    half.out(1001, 5001, FIN | ACK, 0);
    half.input(5001, 1001, ACK, 100);
    half.input(5101, 1002, ACK, 100);
    half.out(1002, 5201, ACK, 0);
    half.one().has(&[(Var::State, 7), (Var::SegsIn, 3), (Var::HCThruOctetsReceived, 200)]);
}

/// Its timer and a SYN that came again make Linux repeat a SYN-ACK within a few milliseconds. Neither
/// has an identification: the timestamps alone show that no mirror made a copy.
#[test]
fn a_syn_ack_that_is_repeated_twice_within_a_moment() {
    let script = |stamps: Option<[u32; 2]>| {
        let mut s = Script::default();
        let mut answer = |at: Option<u32>| {
            let value = |at: u32| [&[1, 1, 8, 10][..], &at.to_be_bytes(), &[0; 4]].concat();
            let options = [OPTIONS.to_vec(), at.map(value).unwrap_or_default()].concat();
            s.add(Tcp { seq: 1000, ack: 5001, flags: SYN | ACK, options, ..Tcp::new(A, B) });
            s.packets.last_mut().expect("just added").ip_id = Some(0);
            s.ns += 10_000_000;
        };
        for at in stamps.map_or([None, None], |values| values.map(Some)) {
            answer(at);
        }
        s.input(5001, 1001, ACK, 0);
        s.rows().0.remove(0)
    };
    let row = script(Some([70_000, 70_010]));
    assert_eq!(row.completeness, "begun_before");
    row.has(&[(Var::SegsRetrans, 1)]);
    for unknown in [None, Some([70_000, 70_000])] {
        assert_eq!(script(unknown).completeness, "lossy");
    }
}
