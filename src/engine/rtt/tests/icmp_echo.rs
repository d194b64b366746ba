// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use crate::engine::rtt::open::{MOST, Open};
use crate::engine::rtt::testing::Script;
use crate::engine::rtt::{Method, RttOptions, Way};
use crate::wire::protocol::ICMP;

fn echo(kind: u8, id: u16, seq: u16) -> Vec<u8> {
    let mut header = vec![kind, 0, 0, 0];
    header.extend(id.to_be_bytes());
    header.extend(seq.to_be_bytes());
    header
}

fn script() -> Script {
    Script::new(ICMP, (0, 0), RttOptions::default())
}

#[test]
fn request_and_reply_of_one_id_and_number() {
    let mut s = script();
    s.packet(0, Way::Forth, echo(8, 1, 1), vec![0; 56], 1);
    s.packet(10, Way::Forth, echo(8, 2, 1), vec![0; 56], 1);
    s.packet(20, Way::Forth, echo(8, 1, 2), vec![0; 56], 1);
    s.packet(100, Way::Back, echo(0, 1, 2), vec![0; 56], 1);
    s.packet(130, Way::Back, echo(0, 1, 1), vec![0; 56], 1);
    s.packet(140, Way::Back, echo(0, 1, 1), vec![0; 56], 1);
    s.packet(150, Way::Back, echo(0, 2, 1), vec![0; 56], 1);
    assert_eq!(s.rtts(Method::IcmpEcho), [80, 130, 140]);
}

#[test]
fn only_echo_and_only_of_the_other_end() {
    let mut s = script();
    s.packet(0, Way::Forth, echo(8, 1, 1), vec![], 1);
    s.packet(10, Way::Forth, echo(0, 1, 1), vec![], 1);
    s.packet(20, Way::Back, echo(3, 1, 1), vec![], 1);
    s.packet(30, Way::Back, vec![0, 0, 0], vec![], 1);
    let mut coded = echo(0, 1, 1);
    coded[1] = 5;
    s.packet(40, Way::Back, coded, vec![], 1);
    assert!(s.rtts(Method::IcmpEcho).is_empty());
}

#[test]
fn a_request_seen_twice_is_ambiguous_once() {
    let mut s = script();
    s.packet(0, Way::Forth, echo(8, 1, 1), vec![], 1);
    s.packet(5, Way::Forth, echo(8, 1, 1), vec![], 1);
    s.packet(50, Way::Back, echo(0, 1, 1), vec![], 1);
    s.packet(55, Way::Back, echo(0, 1, 1), vec![], 1);
    s.packet(100, Way::Forth, echo(8, 1, 1), vec![], 1);
    s.packet(130, Way::Back, echo(0, 1, 1), vec![], 1);
    assert_eq!(s.rtts(Method::IcmpEcho), [30]);
}

#[test]
fn questions_that_wait_are_bounded_in_number_and_time() {
    let mut open = Open::default();
    for key in 0..3 * MOST as u64 {
        open.ask(key, key, u64::MAX);
    }
    assert_eq!(open.len(), MOST);
    assert_eq!(open.answer(0, 9999, u64::MAX), None, "the oldest are given up");
    assert_eq!(open.answer(3 * MOST as u64 - 1, 9999, u64::MAX), Some(10_000 - 3 * MOST as u64));
    open.ask(7_000_000, 7_000_000, 1000);
    assert_eq!(open.len(), 1, "and those beyond the horizon");
    assert_eq!(open.answer(7_000_000, 7_001_001, 1000), None);
}
