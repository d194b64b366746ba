//! Segments that do not belong where they are, of each sort.

use super::{Figures, PAUSE, Played, counted, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::segment::Segment;
use crate::support::tcp::Options;

/// What is wrong with a segment that would be right.
type Wrong = fn(&mut Segment);

/// By the word of SoftErrorReason. Reason 6 (`aboveTSWindow`) is what no kernel checks, 8
/// (`otherSoftError`) a header shorter than it says, which no segment has that the kernel lets in.
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
