// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use crate::engine::rtt::testing::{ACK, SYN, Script, Tcp};
use crate::engine::rtt::{Method, RttOptions, TCP, UDP, Way};

fn message(id: u16, response: bool) -> Vec<u8> {
    let mut m = id.to_be_bytes().to_vec();
    m.extend([if response { 0x81 } else { 1 }, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'a', b'b', b'c', 0]);
    m
}

fn framed(id: u16, response: bool) -> Vec<u8> {
    let message = message(id, response);
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

#[test]
fn by_id_over_udp() {
    let mut s = Script::new(UDP, (40_000, 53), RttOptions::default());
    s.packet(0, Way::Forth, vec![], message(7, false), 1);
    s.packet(3, Way::Forth, vec![], message(8, false), 1);
    s.packet(5, Way::Back, vec![], message(9, true), 1);
    s.packet(33, Way::Back, vec![], message(8, true), 1);
    s.packet(50, Way::Back, vec![], message(7, true), 1);
    s.packet(60, Way::Back, vec![], message(7, true), 1);
    assert_eq!(s.rtts(Method::Dns), [30, 50]);
    // A client that tries again with the same id: which one was answered?
    s.packet(100, Way::Forth, vec![], message(7, false), 1);
    s.packet(5100, Way::Forth, vec![], message(7, false), 1);
    s.packet(5130, Way::Back, vec![], message(7, true), 1);
    assert_eq!(s.rtts(Method::Dns), [30, 50]);
}

#[test]
fn only_on_its_port() {
    let mut s = Script::new(UDP, (40_000, 5300), RttOptions::default());
    s.packet(0, Way::Forth, vec![], message(7, false), 1);
    s.packet(9, Way::Back, vec![], message(7, true), 1);
    assert!(s.samples.is_empty());
}

fn tcp(seq: u32, body: Vec<u8>) -> Tcp {
    Tcp { seq, flags: ACK, payload: body.len() as u32, body, ..Tcp::default() }
}

#[test]
fn over_tcp_messages_are_found_by_their_lengths() {
    let mut s = Script::new(TCP, (40_000, 53), RttOptions::default());
    let length = framed(1, false).len() as u32;
    s.segment(0, Way::Forth, &Tcp { seq: 99, flags: SYN, ..Tcp::default() });
    s.segment(1, Way::Back, &Tcp { seq: 899, flags: SYN | ACK, ..Tcp::default() });
    s.segment(10, Way::Forth, &tcp(100, framed(1, false)));
    s.segment(40, Way::Back, &tcp(900, framed(1, true)));
    // A long response in two segments: it came when it began to.
    s.segment(100, Way::Forth, &tcp(100 + length, framed(2, false)));
    let mut long = framed(2, true);
    long.resize(1000, 0);
    long[..2].copy_from_slice(&1998_u16.to_be_bytes());
    s.segment(150, Way::Back, &tcp(900 + length, long));
    s.segment(151, Way::Back, &tcp(1900 + length, vec![3; 1000]));
    s.segment(200, Way::Forth, &tcp(100 + 2 * length, framed(3, false)));
    s.segment(260, Way::Back, &tcp(2900 + length, framed(3, true)));
    assert_eq!(s.rtts(Method::Dns), [30, 50, 60]);
}

#[test]
fn retransmitted_dns_over_tcp_is_ambiguous_and_unseen_messages_are_not_guessed() {
    let mut s = Script::new(TCP, (40_000, 53), RttOptions::default());
    s.segment(10, Way::Forth, &tcp(100, framed(1, false)));
    s.segment(500, Way::Forth, &tcp(100, framed(1, false)));
    s.segment(540, Way::Back, &tcp(900, framed(1, true)));
    assert!(s.rtts(Method::Dns).is_empty());
    // Two queries in one segment: the second begins out of sight, and the third is found again.
    let length = framed(1, false).len() as u32;
    s.segment(600, Way::Forth, &tcp(100 + length, [framed(2, false), framed(3, false)].concat()));
    s.segment(700, Way::Forth, &tcp(100 + 3 * length, framed(4, false)));
    for (us, id) in [(720, 2), (730, 3), (750, 4)] {
        s.segment(us, Way::Back, &tcp(900 + length * u32::from(id - 1), framed(id, true)));
    }
    assert_eq!(s.rtts(Method::Dns), [120, 50]);
}
