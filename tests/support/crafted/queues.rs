// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Queues of known lengths.

use super::{Figures, PAUSE, Played, look};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer};
use crate::support::tcp::Options;

/// Data of the peer's with gaps: 1000 octets at 1000, 500 at 3000, and then what was missing first.
pub fn out_of_order(peer: &Peer) -> Vec<Played> {
    let play = |family| {
        let mut talk = peer.connect(family, Options::default(), Offer::SACK);
        talk.push(1000, 1000);
        talk.push(3000, 500);
        std::thread::sleep(PAUSE);
        // The socket's value: from the missing octet to the end of the last block.
        talk.drain();
        let span = |arrival: &crate::support::peer::Arrival| {
            let right = arrival.segment.options.sack.iter().map(|block| block.1);
            right.map(|right| right.wrapping_sub(arrival.segment.ack)).max()
        };
        let longest = talk.arrivals.iter().filter_map(span).max().expect("the socket sends SACK");
        assert_eq!(longest, 3500, "{:#?}", talk.arrivals);
        talk.push(0, 1000);
        talk.sent = 2000;
        std::thread::sleep(PAUSE);
        talk.drain();
        let last = talk.arrivals.last().and_then(span).expect("a block is left");
        assert_eq!(last, 1500, "{:#?}", talk.arrivals);
        // Already there: it changes nothing, but hooks look before it.
        talk.push(0, 1);
        let mut figures = Figures::default();
        figures
            .exactly("MaxReasmQueue", longest, "SACK blocks of the socket's")
            .exactly("CurReasmQueue", last, "SACK blocks of the socket's")
            .exactly("DupAcksOut", 2, "the script: segments beyond a gap")
            .exactly("DupAckEpisodes", 1, "the script")
            .exactly("HCThruOctetsReceived", 2000, "the script: octets in order")
            .exactly("CurAppRQueue", 2000, "the script: octets in order, of which none was read")
            .exactly("MaxAppRQueue", 2000, "the script");
        figures.of(talk)
    };
    vec![play(Family::V4), play(Family::V6)]
}

/// 25,000 octets are written; the first window of ten segments leaves, then the rest, and the last
/// three segments are never acknowledged.
pub fn unacknowledged(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK.unhurried());
    talk.socket.send(25_000);
    talk.data(10_000);
    look(&mut talk);
    // Ten segments, and the window is full: the rest waits.
    let info = talk.socket.info();
    assert_eq!((info.must("tcpi_unacked"), info.must("tcpi_notsent_bytes")), (10, 15_000));
    talk.ack(10_000);
    talk.data(25_000);
    assert_eq!(talk.socket.info().must("tcpi_unacked"), 15);
    look(&mut talk);
    talk.ack(22_000);
    look(&mut talk);
    let info = talk.socket.info();
    assert_eq!((info.must("tcpi_unacked"), talk.repeats()), (3, 0), "no timeout yet");
    let outstanding = talk.highest() - talk.acknowledged;
    let mut figures = Figures::default();
    figures
        .exactly("CurRetxQueue", outstanding, "the packets, less what was acknowledged")
        .exactly("MaxRetxQueue", 15_000, "the packets, less what was acknowledged")
        .exactly("MaxPipeSize", 15_000, "tcpi_unacked x tcpi_snd_mss")
        // Its peak is before the first segment leaves, which only some hooks see.
        .between("MaxAppWQueue", 15_000, 25_000, "tcpi_notsent_bytes, and what was written")
        .exactly("HCThruOctetsAcked", 22_001, "the script, and the SYN");
    vec![figures.of(talk)]
}
