// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Windows that are shut, of both ends.

use super::{Figures, PAUSE, Played, counted, look};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::tcp::Options;

/// Sends whatever the socket's window allows, until it allows nothing.
fn fill(talk: &mut Talk<'_>) {
    for _ in 0..200 {
        talk.drain();
        let last = talk.arrivals.last().expect("it has acknowledged something");
        let in_flight = talk.next_seq().wrapping_sub(last.segment.ack);
        let room = u32::from(last.segment.window).saturating_sub(in_flight);
        if room == 0 && in_flight == 0 {
            return;
        }
        if room > 0 {
            talk.push_next(room.min(1000));
        }
        std::thread::sleep(PAUSE / 10);
    }
    panic!("the window does not shut: {:#?}", talk.arrivals.last());
}

/// The peer shuts its window twice; the socket's shuts twice because the application does not read.
pub fn both_ways(peer: &Peer) -> Vec<Played> {
    let small = Options { receive_buffer: Some(16_384), ..Options::default() };
    let mut talk = peer.connect(Family::V4, small, Offer::SACK);
    for window in [0, 20_000, 0, 30_000] {
        talk.window = window;
        talk.push_next(1);
    }
    std::thread::sleep(PAUSE * 3);
    let mut read = 0;
    for _ in 0..2 {
        fill(&mut talk);
        talk.socket.receive((talk.sent - read).into());
        read = talk.sent;
        std::thread::sleep(PAUSE);
        talk.drain();
        assert!(talk.advertised() > 0, "the window opens when all is read");
    }
    look(&mut talk);
    talk.drain();
    let windows: Vec<u16> = talk.arrivals.iter().map(|a| a.segment.window).collect();
    let shut = windows.windows(2).filter(|pair| pair[0] > 0 && pair[1] == 0).count() as u64;
    assert_eq!(shut, 2, "{windows:?}");
    counted(peer, "TcpExt.TCPToZeroWindowAdv", shut);
    let widest = windows.iter().max().expect("segments came");
    let mut figures = Figures::default();
    figures
        .exactly("ZeroRwinRcvd", 2, "the script")
        .exactly("MaxRwinRcvd", 65_535, "the script: that of the handshake")
        .exactly("CurRwinRcvd", 30_000, "the script")
        .exactly("ZeroRwinSent", shut, "the packets, and TCPToZeroWindowAdv")
        .exactly("MaxRwinSent", *widest, "the packets")
        .exactly("CurRwinSent", talk.advertised(), "the packets");
    vec![figures.of(talk)]
}
