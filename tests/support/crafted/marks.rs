// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Explicit congestion notification (RFC 3168, RFC 9768), in known numbers.

use super::{Figures, PAUSE, Played, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::segment::{ACK, CWR, ECE, Segment};
use crate::support::tcp::Options;

const ECT: u8 = 2;
const CE: u8 = 3;

/// The peer's next hundred octets, with this ECN field and these flags.
fn push(talk: &mut Talk<'_>, ecn: u8, flags: u8) {
    let pure = talk.pure();
    let segment = Segment { tos: ecn, flags: pure.flags | flags, payload: 100, ..pure };
    talk.write(&segment);
    talk.sent += 100;
    std::thread::sleep(PAUSE);
}

/// Three marks on what the socket receives, in two bouts that the peer ends with CWR; and two
/// acknowledgments that echo a mark on what it has sent.
pub fn both_ways(peer: &Peer) -> Vec<Played> {
    peer.netns.sysctl("ipv4/tcp_ecn", "1");
    let offer = Offer { ecn: true, ..Offer::SACK };
    let mut talk = peer.connect(Family::V4, Options::default(), offer);
    push(&mut talk, ECT, 0);
    push(&mut talk, CE, 0);
    push(&mut talk, CE, 0);
    push(&mut talk, ECT, CWR);
    push(&mut talk, CE, 0);
    push(&mut talk, ECT, CWR);
    talk.drain();
    // The socket's answer: bouts of ECE in its acknowledgments.
    let echoes = talk.arrivals.iter().map(|arrival| arrival.segment.flags & ECE != 0);
    let (bouts, _) =
        echoes.fold((0, false), |(n, before), now| (n + u64::from(now && !before), now));
    assert_eq!(bouts, 2, "{:#?}", talk.arrivals);
    for to in [1000, 2000] {
        talk.request(1000);
        talk.acknowledged = to;
        let echo = Segment { flags: ACK | ECE, ..talk.pure() };
        talk.write(&echo);
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    let mut figures = Figures::default();
    figures
        .exactly("CERcvd", 3, "the script")
        .exactly("ECESent", bouts, "the packets: bouts of ECE")
        .exactly("ECNsignals", 2, "the script")
        .word("ECN", "enabled", "the script");
    vec![figures.of(talk)]
}

/// Accurate ECN: three marks on what the socket receives, and two acknowledgments that report four
/// marks on what it has sent. Nothing where the kernel does not ask for it.
pub fn accurate(peer: &Peer) -> Vec<Played> {
    if !peer.netns.asks_for_accurate_ecn() {
        return Vec::new();
    }
    let offer = Offer { ecn: true, accurate_ecn: true, ..Offer::SACK };
    let mut talk = peer.connect(Family::V4, Options::default(), offer);
    for ecn in [ECT, CE, CE, ECT, CE, ECT] {
        push(&mut talk, ecn, 0);
    }
    talk.drain();
    let mut sent = 0;
    // The counter has three bits: 5, then 6, once more 6, and 1.
    for marks in [0, 1, 1, 4] {
        talk.request(1000);
        sent += 1000;
        talk.marks = Some(marks);
        talk.ack(sent);
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    let info = talk.socket.info();
    assert_eq!((info.must("tcpi_received_ce"), info.must("tcpi_delivered_ce")), (3, 4));
    let mut figures = Figures::default();
    figures
        .exactly("CERcvd", 3, "the script")
        .null("ECESent", "RFC 9768: there is no echo")
        .exactly("ECNsignals", 2, "the script")
        .word("ECN", "enabled", "the script");
    vec![figures.of(talk)]
}
