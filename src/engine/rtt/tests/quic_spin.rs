// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use proptest::prelude::*;

use crate::engine::rtt::testing::Script;
use crate::engine::rtt::{Method, RttOptions, UDP, Way};

const PART: Method = Method::QuicSpin;
const INITIAL: [u8; 6] = [0xc0, 0, 0, 0, 1, 8];

fn script(port: u16) -> Script {
    Script::new(UDP, (40_000, port), RttOptions::default())
}

fn short(s: &mut Script, us: u64, way: Way, spin: bool) {
    s.packet(us, way, vec![], vec![0x40 | u8::from(spin) << 5, 1, 2, 3], 1);
}

/// Edges as the two ends make them: the server is 40 us away from where we look, the client 10.
fn turns(s: &mut Script, from_us: u64, turns: u64) {
    for i in 0..turns {
        let spin = i % 2 == 1;
        for late in [0, 5] {
            short(s, from_us + 50 * i + late, Way::Forth, spin);
        }
        for late in [40, 45] {
            short(s, from_us + 50 * i + late, Way::Back, spin);
        }
    }
}

#[test]
fn spin_edges_of_both_ends_split_the_path() {
    for port in [443, 4433] {
        let mut s = script(port);
        s.packet(0, Way::Forth, vec![], INITIAL.to_vec(), 1);
        turns(&mut s, 100, 5);
        let to = |way| -> Vec<_> {
            s.samples.iter().filter(|s| s.replier == way).map(|s| s.rtt_ns / 1000).collect()
        };
        assert_eq!(to(Way::Back), [40; 4], "the first edge may not be one");
        assert_eq!(to(Way::Forth), [10; 3]);
    }
}

#[test]
fn one_end_alone_gives_periods() {
    let mut s = script(443);
    for i in 0..6 {
        short(&mut s, 100 + 50 * i, Way::Back, i % 2 == 1);
    }
    assert_eq!(s.rtts(Method::QuicSpinPeriod), [50; 4]);
    assert!(s.rtts(PART).is_empty());
}

#[test]
fn unknown_udp_is_not_taken_for_quic() {
    let mut s = script(4433);
    turns(&mut s, 100, 5);
    assert!(s.samples.is_empty(), "no long header and another port");
    // A long header without a known version, for example RTP.
    s.packet(0, Way::Forth, vec![], vec![0xc0, 1, 2, 3, 4, 8], 1);
    s.packet(0, Way::Forth, vec![], vec![0xc0, 0, 0, 0, 1, 21], 1);
    s.packet(0, Way::Forth, vec![], vec![0x80, 0, 0, 0, 1, 8], 1);
    turns(&mut s, 1000, 5);
    assert!(s.samples.is_empty());
    // Without the fixed bit it is none either.
    let mut s = script(443);
    for i in 0..6 {
        let spin = u8::from(i % 2 == 1) << 5;
        s.packet(100 + 50 * i, Way::Back, vec![], vec![spin, 1], 1);
    }
    assert!(s.samples.is_empty());
}

#[test]
fn a_reordered_packet_gives_no_wrong_sample() {
    let mut s = script(443);
    turns(&mut s, 0, 4);
    let before = s.samples.len();
    // Client at 1, server at 1; now the client goes to 0, and a packet of before comes late.
    short(&mut s, 200, Way::Forth, false);
    short(&mut s, 203, Way::Forth, true);
    short(&mut s, 206, Way::Forth, false);
    short(&mut s, 240, Way::Back, false);
    short(&mut s, 250, Way::Forth, true);
    short(&mut s, 290, Way::Back, true);
    let rtts: Vec<_> = s.samples[before..].iter().map(|s| s.rtt_ns / 1000).collect();
    assert_eq!(rtts, [10, 40, 10, 40], "held down");

    // A packet of the server, later than the hold-down: the order does not allow it.
    short(&mut s, 300, Way::Forth, false);
    let before = s.samples.len();
    short(&mut s, 340, Way::Back, false);
    short(&mut s, 349, Way::Back, true);
    short(&mut s, 350, Way::Forth, true);
    short(&mut s, 390, Way::Back, true);
    short(&mut s, 400, Way::Forth, false);
    let rtts: Vec<_> = s.samples[before..].iter().map(|s| s.rtt_ns / 1000).collect();
    assert_eq!(rtts, [40, 40, 10], "one turn is lost");
}

#[test]
fn an_end_that_does_not_spin_gives_nothing() {
    let mut s = script(443);
    for i in 0..50 {
        short(&mut s, 50 * i, Way::Forth, true);
        short(&mut s, 50 * i + 20, Way::Back, true);
    }
    assert!(s.samples.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Packets that the recording lacks, and such as were reordered on the way, take samples away but
    /// make none that is longer than the path and the distance of packets.
    #[test]
    fn gaps_and_reordering_make_no_long_samples(
        lost in prop::collection::vec(prop::bool::weighted(0.2), 400),
        late in prop::collection::vec(0..30_u64, 400),
    ) {
        // The real ends, 1000 us apart, each sending every 100 us; we are at the client.
        let mut arrivals: Vec<(u64, Way, bool)> = Vec::new();
        let spin_of = |us: u64| us / 1000 % 2 == 1;
        for i in 0..200_u64 {
            let us = 10_000 + 100 * i;
            arrivals.push((us, Way::Forth, spin_of(us)));
            // The server sends half a period later the value that the client had half a period ago.
            arrivals.push((us + late[i as usize], Way::Back, spin_of(us - 1000 + 1)));
        }
        arrivals.sort_by_key(|a| a.0);
        let mut s = script(443);
        for (i, (us, way, spin)) in arrivals.iter().enumerate() {
            if !lost[i] {
                short(&mut s, *us, *way, *spin);
            }
        }
        for sample in &s.samples {
            // Seven lost in a row are one in 78,000.
            prop_assert!(sample.rtt_ns <= 1_800_000, "{sample:?}");
        }
    }
}

/// Random values are not edges (RFC 9000 lets an end that does not spin send them). In a few sequences
/// many packets look like edges, so their share over a hundred sequences is bounded. The sequences are
/// always the same: 8 in 1000 when it was written.
#[test]
fn random_spin_bits_give_almost_no_samples() {
    const FLOWS: u64 = 100;
    const PACKETS: u64 = 1000;
    let mut state = 1_u64;
    let mut random = || {
        // The finalizer of splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) & 1 == 1
    };
    let (mut all, mut most) = (0, 0);
    for _ in 0..FLOWS {
        let mut s = script(443);
        for i in 0..PACKETS / 2 {
            short(&mut s, 100 * i, Way::Forth, random());
            short(&mut s, 100 * i + 50, Way::Back, random());
        }
        all += s.samples.len() as u64;
        most = most.max(s.samples.len());
    }
    let per_mille = all / FLOWS;
    assert!(per_mille < 20, "{per_mille} of 1000 packets, at most {most}");
}
