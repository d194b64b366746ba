// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Episodes of recovery and disorder, and the round-trip times after them.

use std::time::Duration;

use super::{Figures, LATENCY_LIMIT_US, PAUSE, Played, counted, look, wait_acknowledged};
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer, Talk};
use crate::support::tcp::Options;

/// Two recoveries that were in vain: the acknowledgment that ends each echoes the timestamp of the
/// first transmission (Eifel detection, RFC 3522).
pub fn spurious(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::STAMPS.unhurried());
    for begin in [0, 4000] {
        talk.request(4000);
        let original = talk.echo;
        // The repeat has a later timestamp: they count milliseconds.
        std::thread::sleep(PAUSE);
        talk.sack(begin + 1000, begin + 4000);
        talk.repeat(begin);
        assert_ne!(talk.echo, original, "{:#?}", talk.arrivals);
        talk.echo = original;
        talk.ack(begin + 4000);
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    counted(peer, "TcpExt.TCPSackRecovery", 2);
    counted(peer, "TcpExt.TCPFullUndo", 2);
    let mut figures = Figures::default();
    figures
        .exactly("SpuriousFrDetected", 2, "TCPFullUndo")
        .exactly("CongOverCount", 2, "TCPFullUndo")
        .exactly("FastRetran", 2, "TCPSackRecovery")
        .exactly("CongSignals", 2, "TCPSackRecovery")
        .exactly("SACKsRcvd", 2, "the script")
        .exactly("SACKBlocksRcvd", 2, "the script");
    vec![figures.of(talk)]
}

/// Duplicate ACKs too few for a recovery, and then all is acknowledged: nothing was lost. Before them one
/// that the kernel takes for news of the window, since it is the peer's first segment: it leads to no
/// disorder, and belongs to no episode.
pub fn disorder(peer: &Peer) -> Vec<Played> {
    const DUPLICATES: [u64; 4] = [1, 2, 1, 2];
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::PLAIN.unhurried());
    talk.request(1000);
    talk.duplicate();
    talk.ack(1000);
    wait_acknowledged(&talk);
    for duplicates in DUPLICATES {
        talk.request(4000);
        for _ in 0..duplicates {
            talk.duplicate();
        }
        let end = talk.highest();
        talk.ack(end);
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    talk.drain();
    assert_eq!(talk.repeats(), 0, "nothing was taken for lost");
    let mut figures = Figures::default();
    figures
        .exactly("NonRecovDAEpisodes", 4, "the script")
        .exactly("NonRecovDA", DUPLICATES.iter().sum::<u64>(), "the script: duplicate ACKs")
        .exactly("DupAcksIn", 1 + DUPLICATES.iter().sum::<u64>(), "the script")
        .exactly(
            "SumOctetsReordered",
            talk.highest() - 1000,
            "the script: all was acknowledged in disorder",
        );
    vec![figures.of(talk)]
}

/// Sends a segment and acknowledges it after this long. Each sample is the smallest yet, so the
/// kernel shows it to the microsecond: tcpi_min_rtt.
fn sample(talk: &mut Talk<'_>, delay: u64) -> u64 {
    talk.request(1000);
    std::thread::sleep(Duration::from_millis(delay));
    let before = talk.socket.info().must("tcpi_min_rtt");
    let end = talk.highest();
    talk.ack(end);
    wait_acknowledged(talk);
    let after = talk.socket.info().must("tcpi_min_rtt");
    assert!(after < before, "the sample is the smallest yet: {after}, after {before}");
    after
}

fn largest(values: &[u64]) -> u64 {
    *values.iter().max().expect("there are some")
}

fn smallest(values: &[u64]) -> u64 {
    *values.iter().min().expect("there are some")
}

/// Four round-trip times, each smaller than the one before, a recovery after the second and a timeout
/// after the third. Without timestamps a repeated segment gives no sample (Karn).
pub fn samples(peer: &Peer) -> Vec<Played> {
    let offer = Offer { delay: Duration::from_millis(700), ..Offer::PLAIN };
    let reno = Options { congestion: c"reno", ..Options::default() };
    let mut talk = peer.connect(Family::V4, reno, offer);
    let of = |talk: &Talk<'_>, name: &str| talk.socket.info().must(name);
    let window = |talk: &Talk<'_>| of(talk, "tcpi_snd_cwnd") * of(talk, "tcpi_snd_mss");
    let threshold = |talk: &Talk<'_>| of(talk, "tcpi_snd_ssthresh") * of(talk, "tcpi_snd_mss");
    let mut samples = vec![of(&talk, "tcpi_min_rtt")];
    let mut timeouts = vec![of(&talk, "tcpi_rto")];
    samples.push(sample(&mut talk, 400));
    timeouts.push(of(&talk, "tcpi_rto"));
    // Three duplicate ACKs. New data that is acknowledged ends the recovery.
    talk.request(4000);
    let mut windows = window(&talk);
    for _ in 0..3 {
        talk.duplicate();
    }
    talk.repeat(1000);
    talk.ack(5000);
    let mut thresholds = vec![threshold(&talk)];
    samples.push(sample(&mut talk, 160));
    timeouts.push(of(&talk, "tcpi_rto"));
    // A timeout.
    talk.request(1000);
    windows += window(&talk);
    talk.repeat(6000);
    talk.ack(7000);
    thresholds.push(threshold(&talk));
    samples.push(sample(&mut talk, 20));
    timeouts.push(of(&talk, "tcpi_rto"));
    look(&mut talk);
    counted(peer, "TcpExt.TCPRenoRecovery", 1);
    counted(peer, "TcpExt.TCPTimeouts", 1);
    const BY: &str = "tcpi_min_rtt after each sample";
    assert!(samples[1] > LATENCY_LIMIT_US && samples[2] < LATENCY_LIMIT_US, "{samples:?}");
    let sum: u64 = samples.iter().sum();
    let mut figures = Figures::default();
    figures
        .exactly("CongSignals", 2, "TCPRenoRecovery + TCPTimeouts")
        .exactly("PostCongCountRTT", 2, BY)
        .exactly("PostCongSumRTT", samples[2] + samples[3], BY)
        .exactly("PreCongSumRTT", samples[1] + samples[2], BY)
        .exactly("PreCongSumCwnd", windows, "tcpi_snd_cwnd x tcpi_snd_mss before each")
        .exactly("CountRTT", samples.len() as u64, BY)
        .exactly("HCSumRTT", sum, BY)
        .exactly("SumRTT", sum, BY)
        .exactly("MaxRTT", samples[0], BY)
        .exactly("MinRTT", samples[3], BY)
        .exactly("SampleRTT", samples[3], BY)
        .exactly("MaxRTO", largest(&timeouts), "tcpi_rto after each sample")
        .exactly("MinRTO", smallest(&timeouts), "tcpi_rto after each sample")
        .exactly("MaxSsthresh", largest(&thresholds), "tcpi_snd_ssthresh after each signal")
        .exactly("MinSsthresh", smallest(&thresholds), "tcpi_snd_ssthresh after each signal")
        .exactly("CurSsthresh", thresholds[1], "tcpi_snd_ssthresh");
    vec![figures.of(talk)]
}

/// A repeat that is lost as well: data that was sent after it arrives, and it does not.
pub fn lost_repeat(peer: &Peer) -> Vec<Played> {
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK.unhurried());
    talk.request(4000);
    std::thread::sleep(PAUSE);
    talk.sack(1000, 4000);
    talk.repeat(0);
    talk.request(2000);
    std::thread::sleep(PAUSE);
    talk.sack(1000, 6000);
    talk.repeat(0);
    talk.ack(6000);
    wait_acknowledged(&talk);
    look(&mut talk);
    talk.drain();
    assert_eq!(talk.repeats(), 2, "{:#?}", talk.arrivals);
    counted(peer, "TcpExt.TCPLostRetransmit", 1);
    let mut figures = Figures::default();
    figures
        .exactly("LostRetransmitSegs", 1, "TCPLostRetransmit")
        .exactly("RackTimeout", talk.repeats() as u64, "the packets: repeats without a timeout")
        .exactly("FastRetran", 1, "the script")
        .exactly("SegsRetrans", talk.repeats() as u64, "the packets");
    vec![figures.of(talk)]
}
