// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Retransmission timeouts of each sort, in known numbers.

use super::{Figures, Played, counted, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::tcp::Options;

/// A segment that is acknowledged at once: the round-trip time that it gives ends the timer's back-off,
/// and without SACK it takes new data beyond the loss to end an episode.
fn exchange(talk: &mut Talk<'_>) {
    talk.request(1000);
    let end = talk.highest();
    talk.ack(end);
    wait_acknowledged(talk);
}

/// A timeout while nothing was amiss, one after a duplicate ACK, and one with two doublings.
pub fn timeouts(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::PLAIN);
    // Nothing was amiss.
    talk.request(1000);
    talk.repeat(0);
    talk.ack(1000);
    exchange(&mut talk);
    // A duplicate ACK came before: in Disorder.
    talk.request(2000);
    talk.duplicate();
    talk.repeat(2000);
    talk.ack(3000);
    talk.repeat(3000);
    talk.ack(4000);
    exchange(&mut talk);
    // The timer runs out three times, twice as long each time.
    talk.request(1000);
    for _ in 0..3 {
        talk.repeat(5000);
    }
    assert_eq!(talk.socket.info().must("tcpi_backoff"), 3);
    talk.ack(6000);
    exchange(&mut talk);
    look(&mut talk);
    talk.drain();
    assert_eq!(talk.repeats(), 6, "{:#?}", talk.arrivals);
    // One of the six repeats is what the acknowledgment of half of the second loss asked for.
    counted(peer, "TcpExt.TCPTimeouts", 5);
    counted(peer, "Tcp.RetransSegs", 6);
    let mut figures = Figures::default();
    figures
        .exactly("Timeouts", 3, "the script: first repeats of a loss")
        .exactly("SubsequentTimeouts", 2, "the script: further repeats of a loss")
        .exactly("AbruptTimeouts", 2, "the script: without a duplicate ACK before")
        .exactly("CongSignals", 5, "TCPTimeouts")
        .exactly("SegsRetrans", talk.repeats() as u64, "the packets")
        .exactly("OctetsRetrans", 6000, "the packets");
    vec![figures.of(talk)]
}

/// A segment that is not answered, until it has been repeated three times. The fourth comes after as long
/// as all before it took, so there is time to read what stands.
pub fn unanswered(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::PLAIN);
    talk.request(1000);
    for _ in 0..3 {
        talk.repeat(0);
    }
    look(&mut talk);
    let info = talk.socket.info();
    let left = info.must("tcpi_sacked") + info.must("tcpi_lost");
    let in_flight = info.must("tcpi_unacked") - left + info.must("tcpi_retrans");
    let mut figures = Figures::default();
    figures
        .exactly("CurTimeoutCount", 3, "the script: repeats without an answer")
        .word("InRecovery", "dataRecovery", "the script: the timeout is not answered")
        .exactly("PipeSize", in_flight * 1000, "tcpi_unacked, lost, retrans");
    vec![figures.of(talk)]
}

/// Two timeouts that were too early: what the peer acknowledges next is data that was never repeated
/// (F-RTO, RFC 5682).
pub fn spurious(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK);
    for begin in [0, 3000] {
        talk.request(3000);
        talk.repeat(begin);
        talk.ack(begin + 2000);
        talk.ack(begin + 3000);
        wait_acknowledged(&talk);
        exchange_to(&mut talk, begin + 3000);
    }
    look(&mut talk);
    counted(peer, "TcpExt.TCPTimeouts", 2);
    counted(peer, "TcpExt.TCPSpuriousRTOs", 2);
    let mut figures = Figures::default();
    figures
        .exactly("SpuriousRtoDetected", 2, "TCPSpuriousRTOs")
        .exactly("CongOverCount", 2, "TCPSpuriousRTOs")
        .exactly("Timeouts", 2, "TCPTimeouts")
        .exactly("AbruptTimeouts", 2, "the script: without a duplicate ACK before");
    vec![figures.of(talk)]
}

/// All was acknowledged up to here, and nothing more has come.
fn exchange_to(talk: &mut Talk<'_>, to: u32) {
    talk.drain();
    assert_eq!((talk.highest(), talk.acknowledged), (to, to));
}
