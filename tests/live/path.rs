// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Effects of a path on a connection. Every scenario runs once with the connection open at the end of
//! the recording and once closed; `scenario::measure` makes the checks that hold for all.

use std::time::Duration;

use crate::SUITE;
use crate::recording::Recorder;
use crate::scenario::{End, Measured, clean, measure};
use crate::support::flow::Flow;
use crate::support::gate::{self, Needs};
use crate::support::impair::{Blackout, Impairment};
use crate::support::link::Direction::Forward;
use crate::support::mib::Mib;
use crate::support::pair::{Family, Pair};
use crate::support::tcp::Options;

const MEGABYTE: u64 = 1_000_000;

/// An upload of `octets` over a link with these faults towards the server, with CUBIC.
#[track_caller]
fn upload(faults: Impairment, end: End, octets: u64) -> Measured {
    let pair = Pair::new(faults, clean());
    let cubic = Options::default();
    measure(pair, Family::V4, (cubic, cubic), end, |flow: &Flow| flow.upload(octets))
}

fn assert_nothing_happened(measured: &Measured) {
    for connection in [&measured.client, &measured.server] {
        for name in [
            "SegsRetrans",
            "OctetsRetrans",
            "CongSignals",
            "FastRetran",
            "Timeouts",
            "SubsequentTimeouts",
            "DupAcksOut",
            "DSACKDups",
            "CERcvd",
            "ECNsignals",
            "SACKsRcvd",
            "SoftErrors",
            "ZeroRwinSent",
            "ZeroRwinRcvd",
        ] {
            assert_eq!(connection.values.int(name), 0, "{name} on a clean path");
        }
    }
}

#[test]
fn clean_path() {
    gate::record(SUITE, Needs::BPF, || {
        for end in End::BOTH {
            let cubic = Options::default();
            let pair = Pair::symmetric(clean());
            let measured =
                measure(pair, Family::V4, (cubic, cubic), end, |flow| flow.exchange(MEGABYTE));
            assert_nothing_happened(&measured);
            let (client, server) = (&measured.client.values, &measured.server.values);
            for (one, other) in [(client, server), (server, client)] {
                measured.assert_round_trips(one);
                assert_eq!(one.int("HCDataOctetsOut"), MEGABYTE as i64);
                assert_eq!(
                    one.int("HCDataOctetsIn"),
                    other.int("HCDataOctetsOut"),
                    "nothing was lost"
                );
            }
        }
    });
}

#[test]
fn clean_path_over_ipv6() {
    gate::record(SUITE, Needs::BPF, || {
        for end in End::BOTH {
            let reno = Options { congestion: c"reno", nodelay: true, ..Options::default() };
            let pair = Pair::symmetric(clean());
            let measured =
                measure(pair, Family::V6, (reno, reno), end, |flow| flow.exchange(MEGABYTE));
            assert_nothing_happened(&measured);
            for connection in [&measured.client, &measured.server] {
                measured.assert_round_trips(&connection.values);
                assert_eq!(connection.values.text("AddressType"), "ipv6");
                assert_eq!(connection.values.int("HCDataOctetsIn"), MEGABYTE as i64);
            }
        }
    });
}

#[test]
fn loss() {
    gate::record(SUITE, Needs::BPF, || {
        for (end, seed) in End::BOTH.into_iter().zip([1, 2]) {
            // Some by list, so that there is loss whatever the random numbers are.
            let faults = Impairment { loss: 0.015, drop_data: vec![60, 61, 300], seed, ..clean() };
            let measured = upload(faults, end, 2 * MEGABYTE);
            let row = &measured.client.values;
            measured.assert_round_trips(row);
            assert!(row.int("CongSignals") > 0);
            assert!(row.int("FastRetran") > 0);
            assert!(row.int("SACKsRcvd") > 0);
            assert!(row.int("PreCongSumCwnd") > 0);
            let link = measured.pair.link().counters(Forward);
            assert!(link.lost >= 3);
            // Sent octets are those written and those retransmitted; nothing was dropped locally, which
            // would count twice.
            assert_eq!(row.int("OctetsRetrans") + 2 * MEGABYTE as i64, row.int("HCDataOctetsOut"));
            assert!(row.int("DupAcksIn") > 0);
            assert!(measured.server.values.int("MaxReasmQueue") > 0);
        }
    });
}

/// Without the event of a change, each hook notices the new state: what the kernel skips of the
/// events, and all of them before Linux 5.19.
#[test]
fn loss_without_the_events_of_congestion_states() {
    gate::record(SUITE, Needs::BPF, || {
        let faults = Impairment { loss: 0.015, drop_data: vec![60, 61, 300], seed: 7, ..clean() };
        let pair = Pair::new(faults, clean());
        let recorder = Recorder::with(&pair, &["--without", "cong_state"]);
        let cubic = Options::default();
        let flow = Flow::open_with(&pair, Family::V4, cubic, cubic);
        let (local, remote) = (flow.client.local(), flow.client.remote());
        flow.upload(2 * MEGABYTE);
        flow.finish();
        let recording = recorder.stop();
        let row = &recording.one(local, remote).values;
        let mib = Mib::of(&pair.client);
        let recoveries =
            mib.must("TcpExt.TCPSackRecovery") + mib.get("TcpExt.TCPRenoRecovery").unwrap_or(0);
        assert!(recoveries > 0);
        // Exact here, though the source is approximate: an episode lasts a round trip of 20 ms, and
        // begins with a retransmission, which is a hook.
        assert_eq!(row.int("FastRetran"), recoveries as i64);
        let timeouts = row.int("Timeouts") + row.int("SubsequentTimeouts");
        assert_eq!(timeouts, mib.must("TcpExt.TCPTimeouts") as i64);
    });
}

#[test]
fn reordering() {
    gate::record(SUITE, Needs::BPF, || {
        for (end, seed) in End::BOTH.into_iter().zip([3, 4]) {
            let hold_back = Duration::from_millis(4);
            let faults = Impairment { reorder: 0.02, hold_back, seed, ..clean() };
            let measured = upload(faults, end, 2 * MEGABYTE);
            let (client, server) = (&measured.client.values, &measured.server.values);
            measured.assert_round_trips(client);
            assert!(measured.pair.link().counters(Forward).reordered > 0);
            assert!(server.int("DupAcksOut") > 0);
            assert!(server.int("DupAckEpisodes") > 0);
            assert!(client.int("SACKBlocksRcvd") >= client.int("SACKsRcvd"));
            // Nothing was lost, so every octet sent arrived, those sent twice twice.
            assert_eq!(server.int("HCDataOctetsIn"), client.int("HCDataOctetsOut"));
        }
    });
}

#[test]
fn late_copies() {
    gate::record(SUITE, Needs::BPF, || {
        for end in End::BOTH {
            let faults = Impairment {
                duplicate_data: vec![100, 200, 300],
                duplicate_after: Duration::from_millis(30),
                ..clean()
            };
            let measured = upload(faults, end, MEGABYTE);
            let (client, server) = (&measured.client.values, &measured.server.values);
            // 30 ms late, a copy carries a timestamp older than the newest: PAWS rejects it, and reports
            //   it with a D-SACK. Nothing else on this path is rejected.
            let mib = Mib::of(&measured.pair.server);
            let paws = mib.must("TcpExt.PAWSEstab") + mib.get("TcpExt.PAWSOldAck").unwrap_or(0);
            assert_eq!(paws, 3);
            assert_eq!(server.int("SoftErrors"), 3);
            assert_eq!(server.text("SoftErrorReason"), "belowTSWindow");
            assert_eq!(client.int("DSACKDups"), 3);
            assert_eq!(client.int("SegsRetrans"), 0);
            assert_eq!(server.int("DataSegsIn"), client.int("DataSegsOut") + 3);
        }
    });
}

/// No hook of segments sees the one that completes the handshake; its data still counts, whether another
/// segment follows or the end.
#[test]
fn data_with_the_handshake() {
    gate::record(SUITE, Needs::BPF, || {
        for more in [0, 5_000] {
            let pair = Pair::symmetric(clean());
            let recorder = Recorder::on(&pair);
            let flow = Flow::open_sending(&pair, Family::V4, 1_000);
            flow.upload(more);
            let (local, remote) = (flow.client.local(), flow.client.remote());
            let settled = flow.finish();
            let recording = recorder.stop();
            let (client, server) = (recording.one(local, remote), recording.one(remote, local));
            if more == 0 {
                // SYN, data, FIN and the last ACK: no ACK between the first two, or this shows nothing.
                assert_eq!(client.values.int("SegsOut"), 4);
            }
            assert_eq!(settled.server.must("tcpi_bytes_received"), 1_001 + more);
            assert_eq!(client.values.int("HCDataOctetsOut"), 1_000 + more as i64);
            assert_eq!(server.values.int("HCDataOctetsIn"), 1_000 + more as i64);
        }
    });
}

/// A copy that comes a millisecond late carries a timestamp that is mostly one tick old, which the
/// kernel lets through (TCP_PAWS_WINDOW). One copy per connection, so that the reason is its.
#[test]
fn copies_a_tick_late() {
    gate::record(SUITE, Needs::BPF, || {
        for _ in 0..4 {
            let faults = Impairment {
                duplicate_data: vec![200],
                duplicate_after: Duration::from_millis(1),
                ..clean()
            };
            let measured = upload(faults, End::Open, MEGABYTE);
            let mib = Mib::of(&measured.pair.server);
            let paws = mib.must("TcpExt.PAWSEstab") + mib.get("TcpExt.PAWSOldAck").unwrap_or(0);
            let server = &measured.server.values;
            let below_ts = server.get("SoftErrorReason").is_some()
                && server.text("SoftErrorReason") == "belowTSWindow";
            assert_eq!(below_ts, paws == 1, "{paws} rejected by timestamp");
            assert!(server.int("SoftErrors") >= paws as i64);
        }
    });
}

#[test]
fn congestion_marks() {
    gate::record(SUITE, Needs::BPF, || {
        for (end, seed) in End::BOTH.into_iter().zip([5, 6]) {
            let pair = Pair::new(Impairment { mark_ce: 0.03, seed, ..clean() }, clean());
            pair.sysctl("ipv4/tcp_ecn", "1");
            let cubic = Options::default();
            let traffic = |flow: &Flow| flow.upload(2 * MEGABYTE);
            let measured = measure(pair, Family::V4, (cubic, cubic), end, traffic);
            let (client, server) = (&measured.client.values, &measured.server.values);
            let marked = measured.pair.link().counters(Forward).ce_marked;
            assert!(marked > 0);
            // Nothing was lost or dropped, so every marked data segment was accepted.
            assert_eq!(server.int("CERcvd"), marked as i64);
            assert!(server.int("ECESent") > 0);
            assert!(client.int("ECNsignals") > 0);
            assert!(measured.settled.client.must("tcpi_delivered_ce") > 0);
            assert!(client.int("CongSignals") > 0);
            assert_eq!(client.int("SegsRetrans"), 0);
            for row in [client, server] {
                assert_eq!(row.text("ECN"), "enabled");
            }
        }
    });
}

#[test]
fn blackout() {
    gate::record(SUITE, Needs::BPF, || {
        for end in End::BOTH {
            // Timers at about 230, 690 and 1610 ms. On a busy host round trips vary, and the first
            // timer is later: two of them pass for a first timeout of up to 800 ms.
            let blackout = Some(Blackout { at_data: 200, duration: Duration::from_millis(2500) });
            let measured = upload(Impairment { blackout, ..clean() }, end, MEGABYTE);
            let row = &measured.client.values;
            assert!(row.int("Timeouts") > 0);
            assert!(row.int("SubsequentTimeouts") > 0);
            assert!(row.int("CongSignals") > 0);
            assert_eq!(row.int("CurTimeoutCount"), 0, "over and acknowledged");
        }
    });
}

#[test]
fn zero_window() {
    gate::record(SUITE, Needs::BPF, || {
        for end in End::BOTH {
            let small = Options { receive_buffer: Some(32_768), ..Options::default() };
            let pair = Pair::symmetric(clean());
            let traffic = |flow: &Flow| {
                std::thread::scope(|scope| {
                    scope.spawn(|| flow.client.send(MEGABYTE / 4));
                    std::thread::sleep(Duration::from_millis(900));
                    flow.server.receive(MEGABYTE / 4);
                });
            };
            let measured = measure(pair, Family::V4, (Options::default(), small), end, traffic);
            let (client, server) = (&measured.client.values, &measured.server.values);
            assert!(server.int("ZeroRwinSent") > 0);
            // No ACK was lost or reordered: the sender saw each of the receiver's windows.
            assert_eq!(client.int("ZeroRwinRcvd"), server.int("ZeroRwinSent"));
            assert!(server.int("MaxAppRQueue") > 0);
            assert!(client.int("MaxAppWQueue") > 0);
            assert!(client.int("MaxRwinRcvd") <= server.int("MaxRwinSent"));
        }
    });
}
