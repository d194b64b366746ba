// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use proptest::prelude::*;

use crate::engine::rtt::tcp_sequence::MOST;
use crate::engine::rtt::testing::{ACK, FIN, RST, SYN, Script, Tcp};
use crate::engine::rtt::{Method, Way};

const M: Method = Method::TcpSequence;

fn data(seq: u32, payload: u32) -> Tcp {
    Tcp { seq, payload, flags: ACK, ..Tcp::default() }
}

fn ack(ack: u32, sack: &[(u32, u32)]) -> Tcp {
    Tcp { ack, flags: ACK, sack: sack.to_vec(), ..Tcp::default() }
}

#[test]
fn exactly_the_end_of_a_segment() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(10, Way::Forth, &data(100, 100));
    s.segment(20, Way::Forth, &data(200, 100));
    s.segment(50, Way::Back, &ack(200, &[]));
    s.segment(60, Way::Back, &ack(250, &[]));
    s.segment(70, Way::Back, &ack(300, &[]));
    s.segment(80, Way::Back, &ack(300, &[]));
    assert_eq!(s.rtts(M), [40, 50]);
}

#[test]
fn a_fin_is_data_and_a_reset_is_not_an_acknowledgment() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &Tcp { flags: FIN | ACK, ..data(0, 0) });
    s.segment(10, Way::Back, &Tcp { flags: RST | ACK, ..ack(1, &[]) });
    assert!(s.rtts(M).is_empty());
    s.segment(30, Way::Back, &ack(1, &[]));
    assert_eq!(s.rtts(M), [30]);
}

#[test]
fn sequence_numbers_go_round() {
    let mut s = Script::tcp();
    for i in 0..5_u32 {
        let seq = (u32::MAX - 250).wrapping_add(100 * i);
        let us = 100 * u64::from(i);
        s.segment(us, Way::Forth, &data(seq, 100));
        s.segment(us + 9, Way::Back, &ack(seq.wrapping_add(100), &[]));
    }
    assert_eq!(s.rtts(M), [9; 5]);
}

#[test]
fn a_retransmitted_segment_is_ambiguous() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(500, Way::Forth, &data(0, 100));
    s.segment(540, Way::Back, &ack(100, &[]));
    // A part of it is enough, and so is more than it.
    s.segment(600, Way::Forth, &data(100, 100));
    s.segment(900, Way::Forth, &data(150, 100));
    s.segment(940, Way::Back, &ack(200, &[]));
    s.segment(950, Way::Back, &ack(250, &[]));
    assert!(s.rtts(M).is_empty());
}

#[test]
fn an_acknowledgment_that_waited_for_a_retransmission_gives_no_sample() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(1, Way::Forth, &data(100, 100));
    s.segment(300, Way::Forth, &data(0, 100));
    s.segment(340, Way::Back, &ack(200, &[]));
    assert!(s.rtts(M).is_empty());
    // A segment sent after it gives a sample.
    s.segment(400, Way::Forth, &data(200, 100));
    s.segment(440, Way::Back, &ack(300, &[]));
    assert_eq!(s.rtts(M), [40]);
}

#[test]
fn a_hole_that_is_filled_is_a_retransmission() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(10, Way::Forth, &data(200, 100));
    s.segment(300, Way::Forth, &data(100, 100));
    s.segment(340, Way::Back, &ack(300, &[]));
    assert!(s.rtts(M).is_empty());
}

#[test]
fn a_sack_block_answers_at_once_and_the_cumulative_acknowledgment_no_more() {
    let mut s = Script::tcp();
    for i in 0..4 {
        s.segment(u64::from(i), Way::Forth, &data(100 * i, 100));
    }
    s.segment(41, Way::Back, &ack(0, &[(100, 200)]));
    s.segment(42, Way::Back, &ack(0, &[(100, 300)]));
    s.segment(43, Way::Back, &ack(0, &[(100, 300)]));
    // A duplicate that is reported again gives no sample.
    s.segment(44, Way::Back, &ack(0, &[(0, 100), (100, 300)]));
    s.segment(80, Way::Forth, &data(0, 100));
    s.segment(121, Way::Back, &ack(400, &[]));
    assert_eq!(s.rtts(Method::TcpSack), [40, 40, 44]);
    assert!(s.rtts(M).is_empty());
}

#[test]
fn duplicates_reported_below_the_acknowledgment_are_not_counted() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(5, Way::Forth, &data(100, 100));
    s.segment(40, Way::Back, &ack(100, &[(0, 100)]));
    assert!(s.rtts(Method::TcpSack).is_empty());
    assert_eq!(s.rtts(M), [40]);
}

#[test]
fn super_packets_are_answered_by_the_first_acknowledgment_within() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &Tcp { segments: 10, ..data(0, 1000) });
    s.segment(40, Way::Back, &ack(200, &[]));
    s.segment(41, Way::Back, &ack(400, &[]));
    s.segment(45, Way::Back, &ack(1000, &[]));
    assert_eq!(s.rtts(M), [40]);
    // The number of segments is not recorded: it follows from the peer's MSS.
    let mut s = Script::tcp();
    s.segment(0, Way::Back, &Tcp { flags: SYN, mss: Some(100), ..Tcp::default() });
    s.segment(10, Way::Forth, &data(0, 1000));
    s.segment(40, Way::Back, &ack(200, &[]));
    assert_eq!(s.rtts(M), [30]);
    // An acknowledgment of a part of an ordinary segment is unusual, and not an answer.
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 1000));
    s.segment(40, Way::Back, &ack(200, &[]));
    assert!(s.rtts(M).is_empty());
}

#[test]
fn keepalives_and_gaps_in_the_capture_give_no_wrong_sample() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(0, 100));
    s.segment(40, Way::Back, &ack(100, &[]));
    s.segment(1000, Way::Forth, &data(99, 1));
    s.segment(1040, Way::Back, &ack(100, &[]));
    s.segment(2000, Way::Forth, &data(100, 100));
    // The peer has more than was seen to be sent: whatever waited may have come long ago.
    s.segment(2500, Way::Back, &ack(900, &[]));
    s.segment(2600, Way::Forth, &data(900, 100));
    s.segment(2640, Way::Back, &ack(1000, &[]));
    assert_eq!(s.rtts(M), [40, 40]);
}

#[test]
fn state_is_bounded() {
    let mut s = Script::tcp();
    let most = MOST as u32;
    for i in 0..most + 100 {
        s.segment(u64::from(i), Way::Forth, &data(i, 1));
    }
    s.segment(1_000_000, Way::Back, &ack(most + 50, &[]));
    s.segment(1_000_001, Way::Forth, &data(most + 100, 1));
    s.segment(1_000_009, Way::Back, &ack(most + 101, &[]));
    assert_eq!(s.rtts(M), [8], "an unfollowed segment gives no sample, and the next one does");
}

/// Both ends of a path that loses and delays, with a receiver as RFC 9293 and RFC 2018 have it.
#[derive(Debug)]
struct Path {
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    dice: Vec<u8>,
    rolled: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send(u32),
    Data(u32),
    Ack(u32, Vec<(u32, u32)>),
}

const SIZE: u32 = 100;
/// One way, without the jitter of up to 255 us.
const DELAY_US: u64 = 5_000;
const JITTER_US: u64 = 255;
const RTO_US: u64 = 60_000;

impl Path {
    fn at(&mut self, us: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((us, self.count, event)));
    }

    /// Whether a packet is lost, else how late it is.
    fn fate(&mut self) -> Option<u64> {
        let dice = self.dice[self.rolled % self.dice.len()];
        self.rolled += 1;
        (dice >= 24).then_some(DELAY_US + u64::from(dice))
    }
}

/// Sends this many segments from `iss`. All other numbers are relative to it.
fn transfer(segments: u32, iss: u32, sack: bool, dice: Vec<u8>) -> Script {
    let mut script = Script::tcp();
    let mut path = Path { events: BinaryHeap::new(), count: 0, dice, rolled: 0 };
    for i in 0..segments {
        path.at(100 + 70 * u64::from(i), Event::Send(i));
    }
    let mut arrived = BTreeSet::new();
    let (mut acked, mut sacked) = (0, BTreeSet::new());
    while let Some(Reverse((us, _, event))) = path.events.pop() {
        match event {
            Event::Send(i) if i < acked || sacked.contains(&i) => {}
            Event::Send(i) => {
                let seq = iss.wrapping_add(i * SIZE);
                script.segment(us, Way::Forth, &data(seq, SIZE));
                if let Some(late) = path.fate() {
                    path.at(us + late, Event::Data(i));
                }
                path.at(us + RTO_US, Event::Send(i));
            }
            Event::Data(i) => {
                arrived.insert(i);
                let next = (0..).find(|i| !arrived.contains(i)).unwrap();
                let mut blocks: Vec<(u32, u32)> = Vec::new();
                for &i in arrived.range(next..) {
                    match blocks.last_mut() {
                        Some(last) if last.1 == i => last.1 = i + 1,
                        _ => blocks.push((i, i + 1)),
                    }
                }
                // The last received is reported first.
                blocks.sort_by_key(|b| !(b.0..b.1).contains(&i));
                blocks.truncate(3);
                if let Some(late) = path.fate() {
                    path.at(us + late, Event::Ack(next, if sack { blocks } else { Vec::new() }));
                }
            }
            Event::Ack(next, blocks) => {
                acked = acked.max(next);
                sacked.extend(blocks.iter().flat_map(|b| b.0..b.1));
                let seq = |i: u32| iss.wrapping_add(i * SIZE);
                let blocks: Vec<_> = blocks.iter().map(|b| (seq(b.0), seq(b.1))).collect();
                script.segment(us, Way::Back, &ack(seq(next), &blocks));
            }
        }
    }
    script
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loss, reordering, lost acknowledgments, any place in sequence space: a sample is the time of
    /// the path, never that of a recovery.
    #[test]
    fn no_sample_has_a_recovery_in_it(
        iss in any::<u32>(),
        sack in any::<bool>(),
        segments in 1..80_u32,
        dice in prop::collection::vec(any::<u8>(), 300),
    ) {
        let script = transfer(segments, iss, sack, dice);
        for sample in &script.samples {
            let us = sample.rtt_ns / 1000;
            prop_assert!(us >= 2 * DELAY_US, "{sample:?}");
            // There and back with the jitter of both; a cumulative acknowledgment may have waited for
            // a segment before it, that was as late as it could be; and where acknowledgments were
            // lost (at most a few in a row), for the next segment to bring another.
            let most = 2 * (DELAY_US + JITTER_US) + JITTER_US + 70 * 12;
            prop_assert!(us <= most, "{us} us: {sample:?}");
        }
    }
}

#[test]
fn a_path_without_loss_gives_a_sample_for_nearly_every_segment() {
    let script = transfer(60, u32::MAX - 3000, true, vec![200, 200, 200, 200]);
    assert_eq!(script.rtts(M).len(), 60);
}
