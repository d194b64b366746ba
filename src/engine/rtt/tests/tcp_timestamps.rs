// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use proptest::prelude::*;

use crate::engine::rtt::tcp_timestamps::MOST;
use crate::engine::rtt::testing::{ACK, FIN, SYN, Script, Tcp};
use crate::engine::rtt::{Method, RttOptions, TCP, Way};

const M: Method = Method::TcpTimestamps;

fn data(tsval: u32, tsecr: u32) -> Tcp {
    Tcp { flags: ACK, payload: 100, ts: Some((tsval, tsecr)), ..Tcp::default() }
}

fn ack(tsval: u32, tsecr: u32) -> Tcp {
    Tcp { flags: ACK, ts: Some((tsval, tsecr)), ..Tcp::default() }
}

/// A flow whose first TSval has been seen.
fn begun(tsval: u32) -> Script {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &data(tsval, 0));
    s
}

#[test]
fn first_of_a_value_and_first_echo() {
    let mut s = begun(10);
    s.segment(100, Way::Forth, &data(11, 0));
    s.segment(150, Way::Forth, &data(11, 0));
    s.segment(300, Way::Back, &ack(1, 11));
    s.segment(400, Way::Back, &ack(1, 11));
    assert_eq!(s.rtts(M), [200]);
}

#[test]
fn the_first_tsval_of_a_flow_met_in_the_middle_gives_no_sample() {
    let mut s = begun(10);
    s.segment(100, Way::Back, &ack(1, 10));
    assert!(s.rtts(M).is_empty());
}

#[test]
fn a_pure_ack_is_not_stamped_and_without_ack_nothing_is_echoed() {
    let mut s = begun(10);
    s.segment(100, Way::Forth, &ack(11, 0));
    s.segment(200, Way::Back, &ack(1, 11));
    assert!(s.rtts(M).is_empty());
    s.segment(300, Way::Forth, &data(12, 0));
    s.segment(400, Way::Back, &Tcp { flags: 0, ..data(2, 12) });
    assert!(s.rtts(M).is_empty());
    // The end of a stream brings no TSval of its own, but it echoes.
    s.segment(500, Way::Back, &Tcp { flags: FIN | ACK, ..ack(3, 12) });
    assert_eq!(s.rtts(M), [200]);
}

#[test]
fn both_directions() {
    let mut s = begun(10);
    s.segment(10, Way::Back, &data(500, 10));
    s.segment(100, Way::Forth, &data(11, 500));
    s.segment(140, Way::Back, &data(501, 11));
    s.segment(150, Way::Forth, &ack(12, 501));
    let found: Vec<_> = s.samples.iter().filter(|s| s.method == M).collect();
    assert_eq!((found[0].rtt_ns, found[0].replier), (40_000, Way::Back));
    assert_eq!((found[1].rtt_ns, found[1].replier), (10_000, Way::Forth));
}

#[test]
fn a_handshake_gives_samples_on_request() {
    for (include_syn, expected) in [(false, vec![]), (true, vec![70, 20])] {
        let options = RttOptions { include_syn, ..RttOptions::default() };
        let mut s = Script::new(TCP, (40_000, 80), options);
        s.segment(0, Way::Forth, &Tcp { flags: SYN, ..ack(10, 0) });
        s.segment(70, Way::Back, &Tcp { flags: SYN | ACK, ..ack(900, 10) });
        s.segment(90, Way::Forth, &ack(10, 900));
        assert_eq!(s.rtts(M), expected);
    }
}

#[test]
fn a_retransmitted_syn_is_recognised_by_its_tsval() {
    let options = RttOptions { include_syn: true, ..RttOptions::default() };
    let mut s = Script::new(TCP, (40_000, 80), options);
    s.segment(0, Way::Forth, &Tcp { flags: SYN, ..ack(10, 0) });
    s.segment(1_000_000, Way::Forth, &Tcp { flags: SYN, ..ack(1010, 0) });
    s.segment(1_000_070, Way::Back, &Tcp { flags: SYN | ACK, ..ack(900, 1010) });
    assert_eq!(s.rtts(M), [70]);
}

#[test]
fn retransmissions_with_an_old_tsval_give_no_sample() {
    let mut s = begun(10);
    s.segment(100, Way::Forth, &data(12, 0));
    s.segment(110, Way::Forth, &data(11, 0));
    s.segment(200, Way::Back, &ack(1, 11));
    s.segment(210, Way::Back, &ack(1, 12));
    assert_eq!(s.rtts(M), [110]);
    // A retransmission with a value of its own is a packet of its own.
    s.segment(300, Way::Forth, &data(13, 0));
    s.segment(900, Way::Forth, &data(14, 0));
    s.segment(950, Way::Back, &ack(1, 14));
    assert_eq!(s.rtts(M), [110, 50]);
}

#[test]
fn tsvals_may_wrap() {
    let mut s = begun(u32::MAX - 1);
    for (i, tsval) in [u32::MAX, 0, 1].into_iter().enumerate() {
        let us = 1000 * (i as u64 + 1);
        s.segment(us, Way::Forth, &data(tsval, 0));
        s.segment(us + 30, Way::Back, &ack(1, tsval));
    }
    assert_eq!(s.rtts(M), [30, 30, 30]);
}

#[test]
fn a_tsval_after_a_wrap_is_not_the_older_equal_value() {
    let mut s = begun(10);
    s.segment(100, Way::Forth, &data(11, 0));
    for (us, tsval) in [(200, 1 << 30), (300, 1 << 31), (400, 3 << 30), (500, 5), (600, 20)] {
        s.segment(us, Way::Forth, &data(tsval, 0));
    }
    // 11 is of the first round, but a later packet may have it too: this cannot be known.
    s.segment(700, Way::Back, &ack(1, 11));
    assert!(s.rtts(M).is_empty());
}

#[test]
fn a_packet_older_than_the_horizon_gives_no_sample() {
    let options = RttOptions { horizon_ns: 1_000_000, ..RttOptions::default() };
    let mut s = Script::new(TCP, (40_000, 80), options);
    s.segment(0, Way::Forth, &data(10, 0));
    s.segment(1, Way::Forth, &data(11, 0));
    s.segment(2, Way::Forth, &data(12, 0));
    s.segment(1001, Way::Back, &ack(1, 11));
    s.segment(1003, Way::Back, &ack(1, 12));
    assert_eq!(s.rtts(M), [1000]);
}

#[test]
fn state_is_bounded_and_the_oldest_go() {
    let mut s = begun(0);
    let most = MOST as u32;
    for tsval in 1..=most + 10 {
        s.segment(u64::from(tsval), Way::Forth, &data(tsval, 0));
    }
    for tsval in [10, 11, most + 10] {
        s.segment(100_000, Way::Back, &ack(1, tsval));
    }
    assert_eq!(s.rtts(M), [100_000 - 11, 100_000 - u64::from(most + 10)]);
}

/// ePPing's own rules, word by word, with the list that its maps are.
#[derive(Debug, Default)]
struct Epping {
    last: [Option<u32>; 2],
    stamps: Vec<(usize, u32, u64)>,
}

impl Epping {
    fn packet(&mut self, us: u64, way: usize, payload: bool, ts: (u32, u32)) -> Option<u64> {
        if payload {
            match self.last[way] {
                None => self.last[way] = Some(ts.0),
                Some(last) if ts.0 != last && ts.0.wrapping_sub(last) < 1 << 31 => {
                    self.last[way] = Some(ts.0);
                    if !self.stamps.iter().any(|s| (s.0, s.1) == (way, ts.0)) {
                        self.stamps.push((way, ts.0, us));
                    }
                }
                Some(_) => {}
            }
        }
        let at = self.stamps.iter().position(|s| (s.0, s.1) == (1 - way, ts.1))?;
        Some(us - self.stamps.remove(at).2)
    }
}

proptest! {
    /// Whatever is sent, lost, repeated or reordered: the samples are those of ePPing for the same
    /// packets.
    #[test]
    fn samples_equal_those_of_epping(
        start in any::<u32>(),
        packets in prop::collection::vec((any::<bool>(), any::<bool>(), -3..4_i32, 0..6_u32), 1..200),
    ) {
        let mut script = Script::tcp();
        let mut reference = Epping::default();
        let mut now = [start, start.wrapping_add(77)];
        let mut expected = Vec::new();
        for (i, (back, payload, step, behind)) in packets.into_iter().enumerate() {
            let way = usize::from(back);
            // Mostly forward: values below the last come from reordering.
            let tsval = now[way].wrapping_add_signed(step);
            if step > 0 {
                now[way] = tsval;
            }
            let tsecr = now[1 - way].wrapping_sub(behind);
            let us = 10 * i as u64;
            let segment = if payload { data(tsval, tsecr) } else { ack(tsval, tsecr) };
            script.segment(us, if back { Way::Back } else { Way::Forth }, &segment);
            expected.extend(reference.packet(us, way, payload, (tsval, tsecr)));
        }
        prop_assert_eq!(script.rtts(M), expected);
    }
}
