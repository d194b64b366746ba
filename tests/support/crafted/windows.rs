// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A congestion window that shrinks without congestion.

use std::time::Duration;

use super::{Figures, Played, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::tcp::Options;

fn window(talk: &Talk<'_>) -> u64 {
    talk.socket.info().must("tcpi_snd_cwnd")
}

/// Fills the window, so that the acknowledgment doubles it.
fn grow(talk: &mut Talk<'_>) {
    let before = window(talk);
    talk.request(before as u32 * 1000);
    let end = talk.highest();
    talk.ack(end);
    wait_acknowledged(talk);
    assert_eq!(window(talk), 2 * before, "slow start");
    // Hooks that look at segments would miss it if it fell again before the next.
    look(talk);
}

/// Sends a segment and acknowledges it. Whether the window shrank as it left.
fn shrinks(talk: &mut Talk<'_>) -> bool {
    let before = window(talk);
    talk.request(1000);
    let after = window(talk);
    let end = talk.highest();
    talk.ack(end);
    wait_acknowledged(talk);
    after < before
}

/// A window of twice the initial one falls at a restart after an idle time, twice, and then twice
/// more since it is not used (RFC 7661 and its predecessor RFC 2861, as Linux has them).
pub fn validation(peer: &Peer) -> Vec<Played> {
    let reno = Options { congestion: c"reno", ..Options::default() };
    let mut talk = peer.connect(Family::V4, reno, Offer::SACK.unhurried());
    let timeout = Duration::from_micros(talk.socket.info().must("tcpi_rto"));
    let mut falls = 0;
    for _ in 0..2 {
        grow(&mut talk);
        std::thread::sleep(timeout + Duration::from_millis(60));
        assert!(shrinks(&mut talk), "an idle time longer than the timeout of {timeout:?}");
        falls += 1;
    }
    grow(&mut talk);
    // Longer than the timeout since the last acknowledgment, and yet not idle.
    for _ in 0..2 {
        let timeout = Duration::from_micros(talk.socket.info().must("tcpi_rto"));
        std::thread::sleep(timeout * 3 / 4);
        talk.request(1000);
        std::thread::sleep(timeout * 3 / 8);
        assert!(shrinks(&mut talk), "a window that is not used");
        falls += 1;
    }
    talk.drain();
    assert_eq!(talk.repeats(), 0, "no timeout");
    look(&mut talk);
    let mut figures = Figures::default();
    figures
        .exactly("OtherReductions", falls, "tcpi_snd_cwnd before and after each segment")
        .exactly("OtherReductionsCV", falls, "tcpi_snd_cwnd before and after each segment")
        .exactly("MaxSsCwnd", 20_000, "the script: twice the initial window");
    vec![figures.of(talk)]
}

/// A timeout lowers the threshold to half of the initial window, and the window to a segment. Then the
/// window is always filled, and each segment acknowledged by itself: up to the threshold that is slow
/// start, beyond it congestion avoidance.
pub fn growth(peer: &Peer) -> Vec<Played> {
    let reno = Options { congestion: c"reno", ..Options::default() };
    let mut talk = peer.connect(Family::V4, reno, Offer::SACK);
    talk.request(1000);
    talk.repeat(0);
    let (mut slow, mut avoiding, mut widest) = (0, 0, 0);
    let mut grow = |talk: &mut Talk<'_>| {
        let (before, threshold) = (window(talk), talk.socket.info().must("tcpi_snd_ssthresh"));
        assert_eq!(threshold, 5, "half of the initial window");
        let to = talk.acknowledged + 1000;
        talk.ack(to);
        if before < threshold {
            slow += 1;
        } else {
            avoiding += 1;
        }
        widest = widest.max(window(talk));
    };
    grow(&mut talk);
    wait_acknowledged(&talk);
    while window(&talk) < 7 {
        let segments = window(&talk) as u32;
        talk.request(segments * 1000);
        for _ in 0..segments {
            grow(&mut talk);
        }
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    assert_eq!((slow, avoiding, widest), (4, 14, 7), "a segment in each window");
    let mut figures = Figures::default();
    figures
        .exactly("SlowStart", slow, "the script: acknowledgments below the threshold")
        .exactly("CongAvoid", avoiding, "the script: acknowledgments at the threshold or above")
        .exactly("MaxCaCwnd", widest * 1000, "tcpi_snd_cwnd x tcpi_snd_mss")
        .exactly("CurCwnd", widest * 1000, "tcpi_snd_cwnd x tcpi_snd_mss");
    vec![figures.of(talk)]
}
