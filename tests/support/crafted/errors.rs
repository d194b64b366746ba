// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that do not belong where they are, of each sort.

use super::{Figures, Mib, PAUSE, Played, counted, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::segment::Segment;
use crate::support::tcp::Options;

/// Makes a right segment wrong.
type Wrong = fn(&mut Segment);

/// By the name of SoftErrorReason. No kernel checks reason 6 (`aboveTSWindow`). Reason 8
/// (`otherSoftError`) is a header shorter than its length field; the kernel lets in no such segment.
const WRONG: [(&str, Wrong); 5] = [
    ("belowDataWindow", |s| {
        s.seq = s.seq.wrapping_sub(100);
        s.payload = 50;
    }),
    ("aboveDataWindow", |s| {
        s.seq = s.seq.wrapping_add(10_000_000);
        s.payload = 50;
    }),
    ("belowAckWindow", |s| s.ack = s.ack.wrapping_sub(50)),
    ("aboveAckWindow", |s| s.ack = s.ack.wrapping_add(1000)),
    ("belowTSWindow", |s| {
        s.payload = 50;
        let (value, echo) = s.options.stamps.expect("the connection has timestamps");
        s.options.stamps = Some((value.wrapping_sub(100_000), echo));
    }),
];

fn open(peer: &Peer) -> Talk<'_> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::STAMPS);
    talk.push_next(100);
    talk.request(100);
    talk.ack(100);
    wait_acknowledged(&talk);
    // Until the socket has acknowledged the data: its window begins after it then.
    std::thread::sleep(PAUSE * 3);
    talk
}

/// Each sort in a connection of its own: the reason of a row is its last one's.
pub fn all(peer: &Peer) -> Vec<Played> {
    let mut played = Vec::new();
    for (count, (word, wrong)) in (2..).zip(WRONG) {
        let mut talk = open(peer);
        for _ in 0..count {
            let mut segment = talk.pure();
            wrong(&mut segment);
            talk.write(&segment);
        }
        look(&mut talk);
        let mut figures = Figures::default();
        figures.exactly("SoftErrors", count, "the script").word(
            "SoftErrorReason",
            word,
            "the script",
        );
        if word == "belowTSWindow" {
            counted(peer, "TcpExt.PAWSEstab", count);
        }
        played.push(figures.of(talk));
    }
    played
}

/// Pure ACKs without news, with timestamps that are older than the newest one. The kernel takes them for
/// late (tcp_disordered_ack()), unless they open the window or are older than reordering explains.
pub fn late(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::STAMPS);
    talk.window = 30_000;
    talk.push_next(100);
    talk.request(100);
    talk.ack(100);
    wait_acknowledged(&talk);
    std::thread::sleep(PAUSE * 3);
    let newest = talk.pure();
    talk.write(&newest);
    let (value, echo) = newest.options.stamps.expect("the connection has timestamps");
    let write = |ticks: u32, window: u16| {
        let mut segment = newest.clone();
        segment.window = window;
        segment.options.stamps = Some((value.wrapping_sub(ticks), echo));
        talk.write(&segment);
    };
    write(50, 30_000);
    write(50, 20_000);
    write(50, 40_000);
    write(50, 40_000);
    write(100_000, 30_000);
    look(&mut talk);
    counted(peer, "TcpExt.PAWSEstab", 3);
    let mut figures = Figures::default();
    figures
        .exactly("SoftErrors", 3, "PAWSEstab")
        .word("SoftErrorReason", "belowTSWindow", "PAWSEstab")
        .exactly("DupAcksIn", 6, "the script");
    vec![figures.of(talk)]
}

/// Data of which the end is beyond the window, before something waits to be read and after. Linux
/// before 6.17 takes both.
pub fn beyond(peer: &Peer) -> Vec<Played> {
    let options = Options { receive_buffer: Some(4096), ..Options::default() };
    let mut talk = peer.connect(Family::V4, options, Offer::SACK);
    talk.request(100);
    talk.ack(100);
    wait_acknowledged(&talk);
    for _ in 0..2 {
        talk.drain();
        let edge = talk.sent + u32::from(talk.advertised());
        talk.push(edge - 50, 100);
        talk.push_next(100);
        std::thread::sleep(PAUSE * 3);
    }
    look(&mut talk);
    let counter = Mib::of(&peer.netns).get("TcpExt.BeyondWindow");
    // A kernel with this counter drops one of the two.
    assert!(counter.is_none_or(|n| n > 0), "nothing was dropped");
    let mut figures = Figures::default();
    figures.exactly("SoftErrors", counter.unwrap_or(0), "BeyondWindow");
    vec![figures.of(talk)]
}
