// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Limits of a sender, for known times.

use std::time::Duration;

use super::{Figures, Played, look, wait_acknowledged};
use crate::support::link::{DEVICE, now};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer};
use crate::support::tcp::{Options, Stream};

/// How long each limit stands; shorter than the retransmission timeout.
const STANDS: Duration = Duration::from_millis(100);

fn us(from: u64, to: u64) -> i64 {
    (to.saturating_sub(from) / 1000) as i64
}

/// First the congestion window, then the peer's, then nothing but the application. After each change a segment comes, for the hooks that look at segments.
pub fn by_windows(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK.unhurried());
    let sent = now();
    talk.socket.send(25_000);
    talk.data(10_000);
    talk.push_next(1);
    let congestion = now();
    std::thread::sleep(STANDS);
    // Three more segments are allowed.
    let opened = now();
    talk.window = 3000;
    talk.ack(10_000);
    talk.data(13_000);
    talk.push_next(1);
    let receiver = now();
    std::thread::sleep(STANDS);
    let free = now();
    talk.window = u16::MAX;
    talk.ack(13_000);
    talk.data(25_000);
    talk.push_next(1);
    let sender = now();
    talk.ack(25_000);
    wait_acknowledged(&talk);
    assert_eq!(talk.repeats(), 0, "no limit stood for as long as the timeout");
    const BY: &str = "the script, by the clock";
    let mut figures = Figures::default();
    figures
        .exactly("SndLimTransCwnd", 1, "the script: a full congestion window")
        .exactly("SndLimTransRwin", 1, "the script: a full window of the peer's")
        .exactly("SndLimTransSnd", 2, "the script: established, and all that was written is sent")
        .between("SndLimTimeCwnd", us(congestion, opened), us(sent, receiver), BY)
        .between("SndLimTimeRwin", us(receiver, free), us(opened, sender), BY);
    vec![figures.of(talk), ends_limited(peer)]
}

/// After a while in which nothing is written the peer's window is full, and stays so.
fn ends_limited(peer: &Peer) -> Played {
    let begin = now();
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK.unhurried());
    let opened = now();
    talk.window = 2000;
    talk.push_next(1);
    std::thread::sleep(STANDS);
    let written = now();
    talk.socket.send(5000);
    talk.data(2000);
    talk.push_next(1);
    let limited = now();
    look(&mut talk);
    assert_eq!(talk.socket.info().must("tcpi_notsent_bytes"), 3000);
    let mut figures = Figures::default();
    figures
        .word("Limstate", "receiver", "the script")
        .between("LimstateTs", written as i64, limited as i64, "the clock")
        .between("SndLimTimeSnd", us(opened, written), us(begin, limited), "the clock")
        .exactly("CurAppWQueue", 3000, "tcpi_notsent_bytes");
    figures.of(talk)
}

/// Bursts at 100,000 octets a second: after its first piece each waits for the pacing timer until its
/// last one has left.
pub fn by_pacing(peer: &Peer) -> Vec<Played> {
    const BURSTS: u64 = 3;
    let reno = Options { congestion: c"reno", nodelay: true, ..Options::default() };
    // Or a burst is one piece.
    peer.netns.ip(&["link", "set", DEVICE, "gso_max_segs", "1"]);
    let socket = Stream::unconnected(&peer.netns, None, true, reno).expect("a socket");
    socket.pace(100_000);
    let mut talk = peer.answer(Family::V4, socket, Offer::SACK);
    // The first ten segments of a connection are not paced (tcp_update_skb_after_send()).
    talk.request(10_000);
    talk.ack(10_000);
    wait_acknowledged(&talk);
    let mut most = 0;
    for _ in 0..BURSTS {
        // So that the first piece waits for nothing.
        std::thread::sleep(STANDS);
        let (begin, end) = (talk.highest(), talk.highest() + 8000);
        let written = now();
        talk.socket.send(8000);
        while talk.acknowledged < end {
            let arrival = talk.next(Duration::from_secs(5)).expect("the burst goes on");
            assert!(!arrival.again && arrival.offset >= begin, "{arrival:?}");
            talk.ack(arrival.offset + arrival.segment.payload as u32);
        }
        wait_acknowledged(&talk);
        talk.push_next(1);
        most += us(written, now());
    }
    // Each piece of a burst but the first waits for 10 ms, or half of that where the one before it left
    // late (tcp_update_skb_after_send()). The arrival of pieces is not a bound: they may be read late.
    let least = BURSTS as i64 * 7 * 5_000;
    let mut figures = Figures::default();
    figures.exactly("SndLimTransPace", BURSTS, "the script: bursts").between(
        "SndLimTimePace",
        least,
        most,
        "the rate, and the clock",
    );
    vec![figures.of(talk)]
}
