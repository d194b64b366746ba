// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that the kernel drops: each for a reason that the test gives it, counted exactly, IPv4 and IPv6.

mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::SUITE;
use crate::run::{Finished, Recorder};
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::{DEVICE, Direction};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::pair::{Family, Pair};
use crate::support::segment::{ACK, Choices, Segment};
use crate::support::table::Row;
use crate::support::tcp::{Listener, Options, Stream};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Needed for a queue that drops.
const TC: Needs = Needs { lab: true, bpf: true, programs: &["tc"] };
/// What is under way has come.
const SETTLE: Duration = Duration::from_millis(300);

fn record(pair: &Pair, more: &[&str]) -> Recorder {
    let both = ["--netns", pair.client.name(), "--netns", pair.server.name()];
    Recorder::start(&[&both[..], more].concat())
}

/// Connection, direction and reason.
type Key = (Option<i64>, String, String);

/// Packets and octets by connection, direction and reason.
fn drops(finished: &Finished) -> BTreeMap<Key, (i64, i64)> {
    let mut all = BTreeMap::new();
    for row in finished.table("drops") {
        assert_eq!(row.int("lost_records"), 0);
        assert!(row.int("first_ns") <= row.int("last_ns"));
        let key = (row.number("conn_id"), text(&row, "direction"), text(&row, "reason"));
        let sum: &mut (i64, i64) = all.entry(key).or_default();
        *sum = (sum.0 + row.int("packets"), sum.1 + row.int("payload_bytes"));
    }
    all
}

fn text(row: &Row, name: &str) -> String {
    row.text(name).to_owned()
}

fn key(conn_id: Option<i64>, direction: &str, reason: &str) -> Key {
    (conn_id, direction.to_owned(), reason.to_owned())
}

/// The number of the connection with this local end.
fn conn_id(finished: &Finished, local: SocketAddr) -> i64 {
    let rows = finished.connections();
    let row = rows.iter().find(|row| row.local() == local).expect("a row of this end");
    row.identity.int("conn_id")
}

/// A connection from client to server.
fn connect(pair: &Pair, family: Family) -> (Stream, Stream) {
    let address = SocketAddr::new(pair.server_address(family), 0);
    let listener = Listener::bind(&pair.server, address, Options::default());
    let client = Stream::connect(&pair.client, listener.address(), Options::default())
        .expect("a listener is there");
    let server = listener.accept();
    (client, server)
}

fn close(client: &Stream, server: &Stream) {
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    std::thread::sleep(SETTLE);
}

#[test]
fn on_a_path_without_loss_only_what_was_sent_twice_is_dropped() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for family in FAMILIES {
        let pair = Pair::symmetric(Impairment::default());
        let recorder = record(&pair, &[]);
        let (client, server) = connect(&pair, family);
        std::thread::scope(|scope| {
            scope.spawn(|| client.send(1_000_000));
            server.receive(1_000_000);
        });
        close(&client, &server);
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        // On a busy host a timer may send again what has arrived: nothing else may be dropped.
        let rows = finished.connections();
        let resent: i64 = rows.iter().map(|row| row.values.int("SegsRetrans")).sum();
        let drops = drops(&finished);
        assert!(drops.keys().all(|key| key.2.starts_with("TCP_OLD_")), "{family:?} {drops:#?}");
        let dropped: i64 = drops.values().map(|sum| sum.0).sum();
        assert!(dropped <= resent, "{family:?}: {resent} sent again, {drops:#?}");
        let manifest = finished.manifest();
        assert!(!manifest["drop_reasons"]["names"].is_null());
        let total = manifest["totals"].get("dropped_packets").and_then(Json::as_i64);
        assert_eq!(total, (dropped > 0).then_some(dropped), "absent if there were none");
    }
}

#[test]
fn a_port_that_nobody_listens_at_has_no_socket_and_no_connection() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for family in FAMILIES {
        let pair = Pair::symmetric(Impairment::default());
        let recorder = record(&pair, &[]);
        let address = SocketAddr::new(pair.server_address(family), 9);
        for _ in 0..3 {
            assert!(Stream::connect(&pair.client, address, Options::default()).is_err());
        }
        std::thread::sleep(SETTLE);
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let rows = finished.table("drops");
        let of_none: Vec<_> = rows.iter().filter(|row| row.number("conn_id").is_none()).collect();
        let [row] = &of_none[..] else { panic!("{rows:#?}") };
        assert_eq!((row.text("direction"), row.text("reason")), ("received", "NO_SOCKET"));
        assert_eq!(
            (row.int("local_port"), row.int("packets"), row.int("payload_bytes")),
            (9, 3, 0)
        );
        let all = drops(&finished);
        assert_eq!(all, BTreeMap::from([(key(None, "received", "NO_SOCKET"), (3, 0))]));
    }
}

/// A segment from the server as it would be now.
fn from_server(client: &Stream, server: &Stream, offset: u32, payload: usize) -> Segment {
    Segment {
        from: client.remote(),
        to: client.local(),
        ttl: 64,
        tos: 0,
        seq: server.write_seq().wrapping_add(offset),
        ack: client.write_seq(),
        flags: ACK,
        ae: false,
        window: 256,
        options: Choices::default(),
        payload,
    }
}

#[test]
fn segments_with_wrong_checksums_and_old_ones_are_counted_by_connection() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for family in FAMILIES {
        let pair = Pair::symmetric(Impairment::default());
        pair.sysctl("ipv4/tcp_timestamps", "0");
        let recorder = record(&pair, &[]);
        let (client, server) = connect(&pair, family);
        server.send(5_000);
        client.receive(5_000);
        std::thread::sleep(SETTLE);
        let inject = |packet: &[u8]| {
            pair.link().inject(Direction::Backward, packet);
            std::thread::sleep(Duration::from_millis(20));
        };
        // Below 76 octets of TCP the checksum is read before the socket is looked for.
        for payload in [10, 300, 1000] {
            let mut packet = from_server(&client, &server, 0, payload).packet();
            *packet.last_mut().expect("octets") ^= 1;
            inject(&packet);
        }
        assert_eq!(Mib::of(&pair.client).must("Tcp.InCsumErrors"), 3);
        // What was received and acknowledged before, and what lies far beyond the window.
        for _ in 0..2 {
            inject(&from_server(&client, &server, 0_u32.wrapping_sub(4_000), 500).packet());
        }
        inject(&from_server(&client, &server, 700_000_000, 700).packet());
        close(&client, &server);
        let local = client.local();
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let id = Some(conn_id(&finished, local));
        let expected = BTreeMap::from([
            (key(id, "received", "TCP_CSUM"), (3, 1_310)),
            (key(id, "received", "TCP_OLD_SEQUENCE"), (2, 1_000)),
            (key(id, "received", "TCP_INVALID_SEQUENCE"), (1, 700)),
        ]);
        assert_eq!(drops(&finished), expected, "{family:?}");
    }
}

/// Segments out of order fill the receive buffer. The kernel merges neighbours, which makes new packets
/// without interface and headers, and then drops from the end.
#[test]
fn what_the_kernel_had_merged_before_it_dropped_it_was_received() {
    const PAYLOAD: usize = 40;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for family in FAMILIES {
        let pair = Pair::symmetric(Impairment::default());
        pair.sysctl("ipv4/tcp_timestamps", "0");
        let recorder = record(&pair, &[]);
        let address = SocketAddr::new(pair.server_address(family), 0);
        let listener = Listener::bind(&pair.server, address, Options::default());
        let small = Options { receive_buffer: Some(16_384), ..Options::default() };
        let client =
            Stream::connect(&pair.client, listener.address(), small).expect("a listener is there");
        let server = listener.accept();
        // Pairs of neighbours with a gap behind each, the last ones first: what comes is never the last in
        // the queue, or it would be what is dropped.
        for pair_of in (1..=100).rev() {
            for half in [PAYLOAD, 0] {
                let offset = (pair_of * (2 * PAYLOAD + 1) + half) as u32;
                let packet = from_server(&client, &server, offset, PAYLOAD).packet();
                pair.link().inject(Direction::Backward, &packet);
            }
        }
        std::thread::sleep(SETTLE);
        let pruned = Mib::of(&pair.client).must("TcpExt.OfoPruned");
        assert!(pruned > 0, "the buffer was never full");
        let local = client.local();
        // Nothing will fill the gap before them.
        client.reset();
        std::thread::sleep(SETTLE);
        drop(server);
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let id = Some(conn_id(&finished, local));
        let drops = drops(&finished);
        assert!(drops.keys().all(|key| key.1 == "received"), "{family:?} {drops:#?}");
        let (packets, octets) = drops[&key(id, "received", "TCP_OFO_QUEUE_PRUNE")];
        assert!(octets > packets * PAYLOAD as i64, "{family:?}: no merged one in {drops:#?}");
        assert_eq!(octets % PAYLOAD as i64, 0, "{family:?} {drops:#?}");
    }
}

/// One packet goes on at once and one waits. No longer queue would ever be full on a slow host: there TCP has no more
/// than two packets of a socket in a queue (tcp_small_queue_check()).
const QUEUE: &str = "tbf rate 2mbit burst 1700 limit 2500";

/// Packets that the queue of the device has dropped.
fn dropped_by_queue(netns: &Netns) -> i64 {
    let mut tc = netns.command("tc");
    let output = tc.args(["-s", "-j", "qdisc", "show", "dev", DEVICE]).output().expect("tc");
    let all: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let root = all.as_array().expect("a list").iter().find(|q| q["kind"] == "tbf");
    root.expect("the queue")["drops"].as_i64().expect("a number")
}

/// All that was dropped on its way out is of this connection, and dropped by the queue. Gives its payload.
#[track_caller]
fn payload_of_queue(drops: &BTreeMap<Key, (i64, i64)>, conn_id: i64, dropped: i64) -> i64 {
    let sent: Vec<_> = drops.iter().filter(|(key, _)| key.1 == "sent").collect();
    let is_of_queue = |key: &Key| key.0 == Some(conn_id) && key.2.starts_with("QDISC_");
    assert!(sent.iter().all(|(key, _)| is_of_queue(key)), "{drops:#?}");
    assert_eq!(sent.iter().map(|(_, sum)| sum.0).sum::<i64>(), dropped, "{drops:#?}");
    sent.iter().map(|(_, sum)| sum.1).sum()
}

/// Octets of payload that one end sent and the other did not receive, copies included.
fn payload_between(finished: &Finished, sender: SocketAddr, receiver: SocketAddr) -> i64 {
    let rows = finished.connections();
    let value = |end: SocketAddr, name: &str| {
        rows.iter().find(|row| row.local() == end).expect("a row of this end").values.int(name)
    };
    value(sender, "HCDataOctetsOut") - value(receiver, "HCDataOctetsIn")
}

#[test]
fn what_a_full_queue_drops_on_its_way_out_is_of_the_sender() {
    let Some(_turn) = gate::enter(SUITE, TC) else { return };
    for family in FAMILIES {
        let pair = Pair::symmetric(Impairment::default());
        pair.client.ip(&["link", "set", DEVICE, "gso_max_segs", "1"]);
        pair.client.tc(&format!("qdisc add dev {DEVICE} root {QUEUE}"));
        let recorder = record(&pair, &[]);
        let (client, server) = connect(&pair, family);
        std::thread::scope(|scope| {
            scope.spawn(|| client.send(200_000));
            server.receive(200_000);
        });
        close(&client, &server);
        let local = client.local();
        let dropped = dropped_by_queue(&pair.client);
        assert!(dropped > 0, "the queue was never full");
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let drops = drops(&finished);
        payload_of_queue(&drops, conn_id(&finished, local), dropped);
        let all = finished.manifest()["totals"]["dropped_packets"].as_i64();
        assert_eq!(all, Some(drops.values().map(|sum| sum.0).sum()));
    }
}

#[test]
fn filters_and_without_keep_drops_out() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(Impairment::default());
    // A packet without a socket does not say whose process it is for.
    let without = [
        &["--port", "10"][..],
        &["--not-port", "9"],
        &["--addr", "192.0.2.1"],
        &["--comm", "nobody"],
        &["--without", "drops"],
    ];
    for more in without {
        let recorder = record(&pair, more);
        let address = SocketAddr::new(pair.server_address(Family::V4), 9);
        assert!(Stream::connect(&pair.client, address, Options::default()).is_err());
        std::thread::sleep(SETTLE);
        let finished = recorder.stop();
        finished.assert_code(0);
        assert_eq!(drops(&finished), BTreeMap::new(), "{more:?}");
        let hooks = finished.manifest()["hooks"].clone();
        let of_drops = |hook: &&Json| hook["hook"] == "drops";
        let hook = hooks.as_array().expect("hooks").iter().find(of_drops).expect("it is named");
        assert_eq!(hook["attached"], more[0] != "--without");
    }
    let recorder = record(&pair, &["--port", "9"]);
    let address = SocketAddr::new(pair.server_address(Family::V4), 9);
    assert!(Stream::connect(&pair.client, address, Options::default()).is_err());
    std::thread::sleep(SETTLE);
    let finished = recorder.stop();
    assert_eq!(drops(&finished)[&key(None, "received", "NO_SOCKET")], (1, 0));
}
