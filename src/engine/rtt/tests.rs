// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Tests of what all matchers have in common; each has its own tests below.

mod dns;
mod icmp_echo;
mod quic_spin;
mod sampling;
mod tcp_handshake;
mod tcp_sequence;
mod tcp_timestamps;

use super::testing::{ACK, Script, Tcp};
use super::*;

/// Data with a TSval from A, its echo from B.
fn exchange(script: &mut Script, us: u64, tsval: u32, rtt_us: u64) {
    let seq = tsval * 100;
    let data = Tcp { seq, payload: 100, flags: ACK, ts: Some((tsval, 1)), ..Tcp::default() };
    let ack = Tcp { ack: seq + 100, flags: ACK, ts: Some((1, tsval)), seq: 1, ..Tcp::default() };
    script.segment(us, Way::Forth, &data);
    script.segment(us + rtt_us, Way::Back, &ack);
}

#[test]
fn a_sample_has_direction_minimum_and_traffic() {
    let mut script = Script::tcp();
    for (i, rtt_us) in [700, 500, 600].into_iter().enumerate() {
        exchange(&mut script, 10_000 * i as u64, 10 + i as u32, rtt_us);
    }
    let samples: Vec<_> =
        script.samples.iter().filter(|s| s.method == Method::TcpSequence).collect();
    let found: Vec<_> = samples
        .iter()
        .map(|s| (s.ts_ns, s.rtt_ns, s.min_rtt_ns, s.sent.bytes, s.received.packets))
        .collect();
    let us = |n: u64| n * 1000;
    assert_eq!(
        found,
        [
            (us(700), us(700), us(700), 100, 1),
            (us(10_500), us(500), us(500), 200, 2),
            (us(20_600), us(600), us(500), 300, 3),
        ]
    );
    assert!(samples.iter().all(|s| s.replier == Way::Back && s.match_on_egress == Some(false)));

    // The other way round it is the recorded end that answers.
    let mut script = Script::tcp();
    let (seq, ack) = (50, 150);
    script.segment(0, Way::Back, &Tcp { seq, payload: 100, flags: ACK, ..Tcp::default() });
    script.segment(40, Way::Forth, &Tcp { ack, flags: ACK, ..Tcp::default() });
    let [sample] = script.samples[..] else { panic!("{:?}", script.samples) };
    assert_eq!((sample.replier, sample.match_on_egress), (Way::Forth, Some(true)));
}
