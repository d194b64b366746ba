// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How connections begin and end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::SUITE;
use crate::recording::Recorder;
use crate::scenario::{DELAY_US, assert_equalities, assert_owner, clean};
use crate::support::audit;
use crate::support::flow::Flow;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::mib::Mib;
use crate::support::pair::{Family, Pair};
use crate::support::tcp::{Listener, Options, Stream};

/// Every one exactly once on each side, with its own octets: no row is lost, doubled or mixed up
/// with another, and the listener is none.
#[test]
fn many_short_connections() {
    const COUNT: u64 = 500;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(Impairment::default());
    let recorder = Recorder::on(&pair);
    let any_port = SocketAddr::new(pair.server_address(Family::V4), 0);
    let listener = Listener::bind(&pair.server, any_port, Options::default());
    let remote = listener.address();
    let size = |i: u64| i * 37 % 20_000 + 1;
    let clients: BTreeMap<SocketAddr, u64> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..COUNT {
                let accepted = listener.accept();
                accepted.receive(size(i));
                accepted.receive_end();
            }
        });
        let clients = (0..COUNT).map(|i| {
            let stream = Stream::connect(&pair.client, remote, Options::default())
                .unwrap_or_else(|e| panic!("connection {i}: {e}"));
            let local = stream.local();
            stream.send(size(i));
            stream.finish();
            stream.receive_end();
            (local, size(i))
        });
        clients.collect()
    });
    assert_eq!(clients.len() as u64, COUNT, "no port was used twice");
    drop(listener);
    pair.client.wait_closed();
    pair.server.wait_closed();
    let recording = recorder.stop();
    for (&local, &octets) in &clients {
        let octets = octets as i64;
        let client = recording.one(local, remote);
        let server = recording.one(remote, local);
        let shared = [("completeness", "complete"), ("close_reason", "fin")];
        client.assert_identity(&shared);
        server.assert_identity(&shared);
        client.assert_identity(&[("opened_by", "local"), ("closed_by", "local")]);
        server.assert_identity(&[("opened_by", "remote"), ("closed_by", "remote")]);
        assert_eq!(client.values.int("HCDataOctetsOut"), octets);
        assert_eq!(client.values.int("HCThruOctetsAcked"), octets + 2, "with SYN and FIN");
        assert_eq!(server.values.int("HCDataOctetsIn"), octets);
        assert_eq!(server.values.int("HCThruOctetsReceived"), octets + 1, "with the FIN");
        assert_eq!(client.values.int("HCDataOctetsIn"), 0);
        assert_eq!(server.values.int("HCDataOctetsOut"), 0);
        assert_owner(&client.identity, &pair.client);
        assert_owner(&server.identity, &pair.server);
    }
    assert_eq!(recording.all().count() as u64, 2 * COUNT, "and no row besides");
}

#[test]
fn reset_by_linger() {
    const OCTETS: u64 = 100_000;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(clean());
    let recorder = Recorder::on(&pair);
    let flow = Flow::open(&pair, Family::V4, Options::default());
    let (local, remote) = (flow.client.local(), flow.client.remote());
    flow.upload(OCTETS);
    let before = flow.settle();
    let Flow { client, server } = flow;
    client.reset();
    assert_eq!(server.receive_error().kind(), ErrorKind::ConnectionReset);
    let after = server.info();
    pair.client.wait_closed();
    let recording = recorder.stop();
    assert_eq!(Mib::of(&pair.client).must("Tcp.OutRsts"), 1);

    let receiver = recording.one(remote, local);
    receiver.assert_identity(&[
        ("opened_by", "remote"),
        ("closed_by", "remote"),
        ("close_reason", "reset_received"),
        ("completeness", "complete"),
    ]);
    // The reset socket is in CLOSE with all its counters.
    audit::equalities(&receiver.values, &after).assert("the end that was reset", 23);

    let sender = recording.one(local, remote);
    sender.assert_identity(&[
        ("opened_by", "local"),
        ("closed_by", "local"),
        ("close_reason", "reset_sent"),
        ("completeness", "complete"),
    ]);
    // The kernel clears these counters before it destroys the socket (tcp_disconnect); a final
    // value read too late is 0.
    let mut audit = audit::equalities(&sender.values, &before.client);
    // The RST leaves after the change to CLOSE, at which the final values are read: counted or
    // not, by whether its own way out was still seen.
    let out = before.client.must("tcpi_segs_out") as i64;
    let counted = sender.values.int("SegsOut");
    assert!((out..=out + 1).contains(&counted), "SegsOut {counted}, {out} before the RST");
    audit.findings.retain(|finding| !finding.starts_with("SegsOut:"));
    audit.assert("the end that reset", 23);
    assert_eq!(sender.values.int("HCDataOctetsOut"), OCTETS as i64);
    assert_eq!(receiver.values.int("HCDataOctetsIn"), OCTETS as i64);
    assert_eq!(recording.all().count(), 2);
}

#[test]
fn refused() {
    gate::record(SUITE, Needs::BPF, || {
        let pair = Pair::symmetric(clean());
        let recorder = Recorder::on(&pair);
        for family in [Family::V4, Family::V6] {
            let nobody = SocketAddr::new(pair.server_address(family), 9);
            let error = Stream::connect(&pair.client, nobody, Options::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        let recording = recorder.stop();
        for family in [Family::V4, Family::V6] {
            let from = pair.client_address(family);
            let to = SocketAddr::new(pair.server_address(family), 9);
            let mut found = recording.all().filter(|((l, r), _)| l.ip() == from && *r == to);
            let (ends, row) = found.next().unwrap_or_else(|| panic!("no row for {from} -> {to}"));
            assert!(found.next().is_none(), "one attempt, one row");
            assert_ne!(ends.0.port(), 0, "the port was chosen in connect()");
            row.assert_identity(&[
                ("opened_by", "local"),
                ("closed_by", "remote"),
                ("close_reason", "refused"),
                ("completeness", "complete"),
            ]);
            assert_owner(&row.identity, &pair.client);
            for (name, value) in
                [("SegsOut", 1), ("SegsIn", 1), ("HCDataOctetsOut", 0), ("SegsRetrans", 0)]
            {
                assert_eq!(row.values.int(name), value, "{name}: a SYN and a RST");
            }
        }
        // The server had no socket for it, hence no row.
        assert_eq!(recording.all().count(), 2);
    });
}

/// One connection that ends in the recording, one that only began before and goes on after.
#[test]
fn begun_before_the_recording() {
    const BEFORE: u64 = 200_000;
    const DURING: u64 = 300_000;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(clean());
    let ending = Flow::open(&pair, Family::V4, Options::default());
    let lasting = Flow::open(&pair, Family::V6, Options::default());
    for flow in [&ending, &lasting] {
        flow.upload(BEFORE);
        flow.settle();
    }
    let recorder = Recorder::on(&pair);
    ending.upload(DURING);
    let ends = (ending.client.local(), ending.client.remote());
    let closed = ending.finish();
    let idle = lasting.settle();
    let recording = recorder.stop();
    lasting.assert_still(&idle);

    // The kernel's own counters reach back to the beginning of the connection.
    assert_equalities(&recording, ends, &closed);
    let lasting_ends = (lasting.client.local(), lasting.client.remote());
    assert_equalities(&recording, lasting_ends, &idle);
    for (local, remote) in [ends, lasting_ends] {
        for row in [recording.one(local, remote), recording.one(remote, local)] {
            row.assert_identity(&[("completeness", "begun_before")]);
        }
    }
    let (client, server) = (recording.one(ends.0, ends.1), recording.one(ends.1, ends.0));
    client.assert_identity(&[("closed_by", "local"), ("close_reason", "fin")]);
    server.assert_identity(&[("closed_by", "remote"), ("close_reason", "fin")]);
    assert_eq!(server.values.int("HCThruOctetsReceived"), (BEFORE + DURING + 1) as i64);
    // Octets received before are the kernel's count; variables from events begin with the recording.
    assert_eq!(server.values.int("HCDataOctetsIn"), (BEFORE + DURING) as i64);
    assert_eq!(server.values.int("counted_since_ns"), server.values.int("StartTs"));
    assert!(client.values.int("MinRTT") >= 2 * DELAY_US);
    assert_eq!(recording.all().count(), 4);
}
