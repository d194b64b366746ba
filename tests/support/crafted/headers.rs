// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Fields of IP headers of both families.

use super::{Figures, Played, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer};
use crate::support::tcp::{Options, Stream};

/// Without the ECN bits, which the stack may set itself.
const TOS_OUT: u8 = 0x50;
const TOS_IN: u8 = 0x28;
const TTL: u8 = 77;

/// Data both ways, with a hop limit and traffic classes that are not a default.
pub fn all(peer: &Peer) -> Vec<Played> {
    let play = |family| {
        let v4 = family == Family::V4;
        let socket =
            Stream::unconnected(&peer.netns, None, v4, Options::default()).expect("a socket");
        socket.set_tos(v4, TOS_OUT);
        let offer = Offer { ttl: TTL, tos: TOS_IN, ..Offer::STAMPS };
        let mut talk = peer.answer(family, socket, offer);
        talk.push_next(300);
        talk.request(2500);
        talk.ack(2500);
        wait_acknowledged(&talk);
        look(&mut talk);
        talk.drain();
        let last = talk.arrivals.last().expect("segments came").segment.tos;
        assert_eq!(last, TOS_OUT);
        let mut figures = Figures::default();
        figures
            .exactly("IpTtl", TTL, "the script: what it sent")
            .exactly("IpTosIn", TOS_IN, "the script: what it sent")
            .exactly("IpTosOut", last, "the packets: what came");
        figures.of(talk)
    };
    vec![play(Family::V4), play(Family::V6)]
}
