//! Explicit congestion notification (RFC 3168), in known numbers.

use super::{Figures, PAUSE, Played, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::segment::{ACK, CWR, ECE, Segment};
use crate::support::tcp::Options;

const ECT: u8 = 2;
const CE: u8 = 3;

/// The peer's next hundred octets, with this ECN field and these flags.
fn push(talk: &mut Talk<'_>, ecn: u8, flags: u8) {
    let segment = Segment { tos: ecn, flags: ACK | flags, payload: 100, ..talk.pure() };
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
    // What the socket says: bouts of ECE in its acknowledgments.
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
