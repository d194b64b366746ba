// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use crate::engine::rtt::testing::{ACK, RST, SYN, Script, Tcp};
use crate::engine::rtt::{Method, Way};

const M: Method = Method::TcpHandshake;

fn tcp(flags: u8, seq: u32, ack: u32) -> Tcp {
    Tcp { flags, seq, ack, ..Tcp::default() }
}

#[test]
fn both_halves() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &tcp(SYN, u32::MAX, 0));
    s.segment(300, Way::Back, &tcp(SYN | ACK, 7, 0));
    s.segment(320, Way::Forth, &tcp(ACK, 0, 8));
    s.segment(900, Way::Forth, &tcp(ACK, 0, 8));
    assert_eq!(s.rtts(M), [300, 20]);
    assert_eq!(s.samples[0].replier, Way::Back);
    assert_eq!(s.samples[1].replier, Way::Forth);
}

#[test]
fn a_repeated_handshake_packet_gives_no_sample() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &tcp(SYN, 100, 0));
    s.segment(1000, Way::Forth, &tcp(SYN, 100, 0));
    s.segment(1300, Way::Back, &tcp(SYN | ACK, 7, 101));
    s.segment(1310, Way::Forth, &tcp(ACK, 101, 8));
    assert_eq!(s.rtts(M), [10], "only the SYN was");

    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &tcp(SYN, 100, 0));
    s.segment(50, Way::Back, &tcp(SYN | ACK, 7, 101));
    s.segment(1050, Way::Back, &tcp(SYN | ACK, 7, 101));
    s.segment(1060, Way::Forth, &tcp(ACK, 101, 8));
    assert_eq!(s.rtts(M), [50], "only the SYN-ACK was");
}

#[test]
fn only_the_acknowledgment_of_a_syn_is_its_answer() {
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &tcp(SYN, 100, 0));
    // A challenge ACK of a connection before, and a refusal.
    s.segment(50, Way::Back, &tcp(ACK, 7, 5000));
    s.segment(60, Way::Back, &tcp(RST | ACK, 0, 101));
    assert!(s.rtts(M).is_empty());
    // With fast open, data is acknowledged too.
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &Tcp { payload: 10, ..tcp(SYN, 100, 0) });
    s.segment(60, Way::Back, &tcp(SYN | ACK, 7, 111));
    assert_eq!(s.rtts(M), [60]);
}

#[test]
fn ends_used_again() {
    let mut s = Script::tcp();
    for (us, iss) in [(0, 100), (10_000, 900)] {
        s.segment(us, Way::Forth, &tcp(SYN, iss, 0));
        s.segment(us + 40, Way::Back, &tcp(SYN | ACK, iss + 50, iss + 1));
        s.segment(us + 45, Way::Forth, &tcp(ACK, iss + 1, iss + 51));
    }
    assert_eq!(s.rtts(M), [40, 5, 40, 5]);
}

#[test]
fn a_reset_gives_no_sample_and_ends_the_wait_for_an_answer() {
    // A scanner: ten seconds later its program makes up data for the handshake it never had.
    let mut s = Script::tcp();
    s.segment(0, Way::Forth, &tcp(SYN, 100, 0));
    s.segment(40, Way::Back, &tcp(SYN | ACK, 7, 101));
    s.segment(50, Way::Forth, &tcp(RST, 101, 0));
    s.segment(10_000_000, Way::Forth, &Tcp { payload: 50, ..tcp(ACK, 101, 8) });
    assert_eq!(s.rtts(M), [40]);
}
