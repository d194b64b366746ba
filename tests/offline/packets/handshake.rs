// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The negotiation of options (TcpEStatsNegotiated of RFC 4898). If an end did not agree, its own
//! setting decides whether it or the peer is the cause: some handshakes show this setting, and in the
//! others the value is NULL.

use super::*;

const MSS: [u8; 4] = [2, 4, 5, 0xb4];
const WITHOUT_TIMESTAMPS: [u8; 12] = [2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7];
const WITHOUT_SACK: [u8; 20] = [2, 4, 5, 0xb4, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
/// As WITHOUT_TIMESTAMPS, and signed (RFC 2385).
const SIGNED: [u8; 32] = [
    2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7, 1, 1, 19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
    14, 15, 16,
];
const ASKS: u8 = ECE | CWR;

/// Options and ECN flags of a SYN or SYN-ACK.
type Said = (&'static [u8], u8);
/// Whether we opened, our SYN or SYN-ACK, the peer's, and what TimeStamps, SACK and ECN came to.
type Case = (&'static str, bool, Said, Said, [Option<u64>; 3]);

fn handshake(active: bool, ours: Said, theirs: Said, tos: u8) -> Script {
    let mut s = Script::default();
    let (syn, answer) = (SYN, SYN | ACK);
    let of_us = Tcp { seq: 1000, options: ours.0.to_vec(), ..Tcp::new(A, B) };
    let of_them = Tcp { seq: 5000, options: theirs.0.to_vec(), tos, ..Tcp::new(B, A) };
    if active {
        s.add(Tcp { flags: syn | ours.1, ..of_us });
        s.add(Tcp { flags: answer | theirs.1, ack: 1001, ..of_them });
        s.out(1001, 5001, ACK, 0);
    } else {
        s.add(Tcp { flags: syn | theirs.1, ..of_them });
        s.add(Tcp { flags: answer | ours.1, ack: 5001, ..of_us });
        s.input(5001, 1001, ACK, 0);
    }
    s
}

#[track_caller]
fn came_to(what: &str, s: &Script, expected: [Option<u64>; 3]) {
    let row = s.one();
    let [timestamps, sack, ecn] = expected;
    for (var, value) in [
        (Var::TimeStamps, timestamps),
        (Var::WillSendSACK, sack),
        (Var::WillUseSACK, sack),
        (Var::ECN, ecn),
    ] {
        assert_eq!(row.get(var), value, "{what}: {}", var.name());
    }
    assert_eq!(row.completeness, "ended_after", "{what}: what cannot be known is not missing");
}

#[test]
fn options_that_one_end_did_not_offer_are_marked() {
    const SELF: Option<u64> = Some(2);
    const PEER: Option<u64> = Some(3);
    const BOTH: Option<u64> = Some(1);
    let cases: [Case; 12] = [
        ("we opened, all", true, (&OPTIONS, ASKS), (&OPTIONS, ECE), [BOTH; 3]),
        ("we opened, the peer refuses", true, (&OPTIONS, ASKS), (&MSS, 0), [PEER; 3]),
        ("we opened without", true, (&MSS, 0), (&MSS, 0), [SELF; 3]),
        ("we opened without, the peer has all", true, (&MSS, 0), (&OPTIONS, 0), [SELF; 3]),
        ("we opened with a signature", true, (&SIGNED, 0), (&SIGNED, 0), [None, BOTH, SELF]),
        ("the peer opened, all", false, (&OPTIONS, ECE), (&OPTIONS, ASKS), [BOTH; 3]),
        ("the peer opened without", false, (&MSS, 0), (&MSS, 0), [None; 3]),
        (
            "no timestamps of ours",
            false,
            (&WITHOUT_TIMESTAMPS, 0),
            (&OPTIONS, ASKS),
            [SELF, BOTH, SELF],
        ),
        ("no SACK of ours", false, (&WITHOUT_SACK, 0), (&OPTIONS, ASKS), [BOTH, SELF, SELF]),
        ("the peer has no SACK", false, (&WITHOUT_SACK, 0), (&WITHOUT_SACK, 0), [BOTH, None, None]),
        // A SYN cookie has no option but the MSS, if the SYN has no timestamps or they are off.
        ("what may be a cookie", false, (&MSS, 0), (&OPTIONS, ASKS), [SELF, None, None]),
        ("signed, the peer opened", false, (&SIGNED, 0), (&OPTIONS, 0), [None, BOTH, None]),
    ];
    for (what, active, ours, theirs, expected) in cases {
        came_to(what, &handshake(active, ours, theirs, 0), expected);
    }
    // Linux refuses ECN to a SYN whose packet can be marked.
    let marked = handshake(false, (&OPTIONS, 0), (&OPTIONS, ASKS), 2);
    came_to("a SYN that can be marked", &marked, [BOTH, BOTH, None]);
}

#[test]
fn a_syn_repeated_without_ecn_still_offers_ecn() {
    for (answer, ecn) in [(ECE, 1), (0, 3)] {
        let mut s = Script::default();
        let syn = Tcp { seq: 1000, options: OPTIONS.to_vec(), ..Tcp::new(A, B) };
        s.add(Tcp { flags: SYN | ASKS, ..syn.clone() });
        s.add(Tcp { flags: SYN, ..syn });
        s.add(Tcp {
            seq: 5000,
            ack: 1001,
            flags: SYN | ACK | answer,
            options: OPTIONS.to_vec(),
            ..Tcp::new(B, A)
        });
        s.one().has(&[(Var::ECN, ecn), (Var::SegsRetrans, 1)]);
    }
}

#[test]
fn accurate_ecn_is_not_that_of_rfc_3168() {
    // AE, CWR and ECE of the SYN-ACK: RFC 9768, table 2. The first is not ECN at all, the next two are
    // those of an end that knows RFC 3168 alone, or knows nothing and sends back what it got.
    for (ae, flags, ecn) in
        [(0, 0, Some(3)), (0, ECE, Some(1)), (1, ECE | CWR, Some(3)), (0, CWR, None), (1, 0, None)]
    {
        let mut s = handshake(true, (&OPTIONS, ASKS), (&OPTIONS, flags), 0);
        s.packets[0].header[12] |= 1;
        s.packets[1].header[12] |= ae;
        s.input(5001, 1001, ACK | ECE, 0);
        let row = s.one();
        assert_eq!(row.get(Var::ECN), ecn, "{ae} {flags:#x}");
        let counted = match ecn {
            Some(1) => Some(1),
            Some(_) => Some(0),
            None => None,
        };
        assert_eq!(row.get(Var::ECNsignals), counted, "{ae} {flags:#x}");
    }
}

#[test]
fn a_syn_ack_without_an_mss() {
    let row = handshake(false, (&[], 0), (&[], 0), 0).one();
    assert_eq!((row.get(Var::MSSSent), row.get(Var::MSSRcvd)), (None, Some(0)));
    row.has(&[(Var::WinScaleSent, -1_i64 as u64), (Var::WinScaleRcvd, -1_i64 as u64)]);
}
