// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Facts of a connection that the handshake fixes.

use std::time::{Duration, SystemTime};

use super::{Figures, PAUSE, Played, look, wait_acknowledged};
use crate::support::link::now;
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer};
use crate::support::tcp::{Options, Stream};

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    since.as_micros() as i64
}

/// The recorder reads the wall clock beside the monotonic one from time to time; between two readings
/// the host may slew it, by at most 500 us in a second (adjtime(3)).
const SLEW_US: i64 = 500;

/// Everything is offered and taken; data goes both ways for more than a second.
pub fn negotiation(peer: &Peer) -> Vec<Played> {
    peer.netns.sysctl("ipv4/tcp_ecn", "1");
    let play = |family| {
        let v4 = family == Family::V4;
        let socket =
            Stream::unconnected(&peer.netns, None, v4, Options::default()).expect("a socket");
        socket.set_priority(5);
        let offer =
            Offer { wscale: Some(7), ecn: true, delay: Duration::from_millis(50), ..Offer::STAMPS };
        let (wall, begin) = (wall_us(), now());
        let mut talk = peer.answer(family, socket, offer);
        let (opened, wall_opened) = (now(), wall_us());
        talk.push_next(700);
        talk.request(2500);
        talk.ack(2500);
        wait_acknowledged(&talk);
        std::thread::sleep(Duration::from_millis(1200));
        let last = now();
        talk.push_next(600);
        // The acknowledgment may be delayed by 40 ms (TCP_DELACK_MIN), or less.
        std::thread::sleep(Duration::from_millis(300));
        let acknowledged = now();
        talk.drain();
        // The record with the last segment's time is written at the end.
        let elapsed = [last - opened, acknowledged - begin].map(|ns| ns as i64 / 1000);
        assert!(elapsed.iter().all(|us| us / 1_000_000 == 1), "{elapsed:?}");
        let (syn, address) = (talk.syn().clone(), |a: std::net::SocketAddr| a.ip().to_string());
        let mss = syn.options.mss.expect("the SYN has an MSS");
        let shift = syn.options.wscale.expect("the SYN has a shift");
        assert_eq!(talk.highest(), 2500);
        const SYN: &str = "the packets: the SYN";
        const ANSWER: &str = "the script: the SYN-ACK";
        const SCRIPT: &str = "the script";
        let mut figures = Figures::default();
        figures
            .word("AddressType", if v4 { "ipv4" } else { "ipv6" }, SYN)
            .word("LocalAddress", &address(talk.local), SYN)
            .word("RemAddress", &address(talk.remote), SYN)
            .exactly("LocalPort", talk.local.port(), SYN)
            .exactly("RemPort", talk.remote.port(), SYN)
            .truth("ActiveOpen", true, SCRIPT)
            .truth("Nagle", true, "the default of TCP_NODELAY")
            .word("State", "established", SCRIPT)
            .exactly("MSSSent", mss, SYN)
            .exactly("MSSRcvd", 1012, ANSWER)
            .exactly("WinScaleSent", shift, SYN)
            .exactly("WinScaleRcvd", 7, ANSWER)
            .word("TimeStamps", "enabled", ANSWER)
            .word("ECN", "enabled", ANSWER)
            .word("WillSendSACK", "enabled", ANSWER)
            .word("WillUseSACK", "enabled", ANSWER)
            .exactly("CurMSS", 1000, ANSWER)
            .exactly("MaxMSS", 1000, ANSWER)
            .exactly("MinMSS", 1000, ANSWER)
            .exactly("LimMSS", 1012, ANSWER)
            .exactly("LimRwin", talk.socket.window_clamp(), "TCP_WINDOW_CLAMP")
            .exactly("Priority", 5, "SO_PRIORITY")
            .exactly("SndInitial", talk.first, SYN)
            .exactly("RecInitial", talk.next_seq().wrapping_sub(talk.sent), ANSWER)
            .exactly("SndUna", talk.first.wrapping_add(2500), SCRIPT)
            .exactly("SndNxt", talk.first.wrapping_add(2500), "the packets")
            .exactly("SndMax", talk.first.wrapping_add(2500), "the packets")
            .exactly("RcvNxt", talk.next_seq(), SCRIPT)
            .exactly("HCDataOctetsIn", 1300, SCRIPT)
            .exactly("DataOctetsIn", 1300, SCRIPT)
            .exactly("DataSegsIn", 2, SCRIPT)
            .exactly("HCThruOctetsReceived", 1300, SCRIPT)
            .exactly("ThruOctetsReceived", 1300, SCRIPT)
            .exactly("HCDataOctetsOut", 2500, "the packets")
            .exactly("DataOctetsOut", 2500, "the packets")
            .exactly("DataSegsOut", 3, "the packets")
            .between("StartTs", begin as i64, opened as i64, "the clock")
            .between("StartTv", wall - SLEW_US, wall_opened + SLEW_US, "the clock")
            .between("StartTimeStamp", wall - SLEW_US, wall_opened + SLEW_US, "the clock")
            .between("CurrentTs", last as i64, acknowledged as i64, "the clock")
            .exactly("ElapsedSecs", 1, "the clock")
            .between(
                "ElapsedMicroSecs",
                elapsed[0] - 1_000_000,
                elapsed[1] - 1_000_000,
                "the clock",
            )
            // From connect(2) to the SYN-ACK.
            .between("SndLimTimeStartup", 50_000, (opened - begin) as i64 / 1000, "the clock");
        figures.of(talk)
    };
    vec![play(Family::V4), play(Family::V6)]
}

/// A handshake of 300 ms and nothing more: the estimator has this sample alone (RFC 6298, 2.2).
pub fn first_sample(peer: &Peer) -> Vec<Played> {
    let offer = Offer { delay: Duration::from_millis(300), ..Offer::PLAIN };
    let mut talk = peer.connect(Family::V4, Options::default(), offer);
    look(&mut talk);
    std::thread::sleep(PAUSE);
    let info = talk.socket.info();
    let sample = info.must("tcpi_min_rtt");
    assert!((300_000..1_000_000).contains(&sample), "{sample}");
    const BY: &str = "tcpi_min_rtt, the only sample";
    let mut figures = Figures::default();
    figures
        .exactly("SampleRTT", sample, BY)
        .exactly("SmoothedRTT", sample, BY)
        .exactly("RTTVar", sample / 2, "half of tcpi_min_rtt, as RFC 6298 begins")
        .exactly("CurRTO", info.must("tcpi_rto"), "tcpi_rto")
        .exactly("LimCwnd", u32::MAX, "RFC 4898's word for no limit: nobody has set one")
        .exactly("RetranThresh", info.must("tcpi_reordering"), "tcpi_reordering");
    vec![figures.of(talk)]
}
