// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that the kernel dropped: whose they are, how they are counted, and what becomes of them in other
//! recordings.

use std::collections::BTreeMap;
use std::path::Path;

use estats::log::Recording;
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::recordings::transform::merge::merge;
use estats::schema::Why;

use crate::common::drops::{Dropped, all, dropped, received};
use crate::common::{MS, options, read, replay, value};

type Row = BTreeMap<String, String>;

fn table(run: &Path, name: &str) -> Vec<Row> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    let batches = read(&out.path().join(format!("{name}.parquet")));
    let rows = batches.iter().flat_map(|batch| {
        let row = |i| {
            let schema = batch.schema();
            let cell = |name: &String| (name.clone(), value(batch, name, i));
            schema.fields().iter().map(|field| cell(field.name())).collect::<Row>()
        };
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    });
    rows.collect()
}

fn digest(run: &Path) -> String {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(2, out.path())).tables.digest
}

/// Connection, port, direction, reason, packets, payload bytes, first and last time (ms), records lost.
fn short(rows: &[Row]) -> Vec<String> {
    let ms = |ns: &str| ns.parse::<u64>().map_or(0, |ns| ns / MS - 5_000);
    let of = |r: &Row| {
        let words =
            ["conn_id", "netns", "local_port", "direction", "reason", "packets", "payload_bytes"];
        let words: Vec<_> = words.iter().map(|name| r[*name].as_str()).collect();
        let (first, last) = (ms(&r["first_ns"]), ms(&r["last_ns"]));
        format!("{} {first} {last} {}", words.join(" "), r["lost_records"])
    };
    rows.iter().map(of).collect()
}

const EXPECTED: [&str; 8] = [
    "1 4026531840 40001 received TCP_CSUM 2 300 45 50 0",
    "1 NULL 40001 sent QDISC_DROP 1 1000 61 61 0",
    "2 4026531840 40002 received NULL 1 10 80 80 4",
    "2 4026531840 40002 received 999 1 10 82 82 4",
    "2 4026531840 40002 received OPENVSWITCH_7 1 10 81 81 4",
    "NULL 7 40001 received TCP_CSUM 1 0 62 62 4",
    "NULL 4026531840 9 received NO_SOCKET 2 0 70 75 4",
    "NULL 4026531840 40001 received NO_SOCKET 1 1 500 500 4",
];

#[test]
fn a_row_is_of_a_connection_a_direction_and_a_reason() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    dropped(&run, &all());
    assert!(Recording::open(&run).expect("open").verify().expect("verify").ok());
    assert_eq!(short(&table(&run, "drops")), EXPECTED);
    // A lost record of a dropped packet may be of any connection, but says nothing of its variables.
    for row in table(&run, "connections") {
        assert_eq!((row["completeness"].as_str(), row["lost_records"].as_str()), ("complete", "0"));
    }
    // A dropped packet is no socket.
    assert!(table(&run, "sockets").is_empty() && table(&run, "listeners").is_empty());
    let one = replay(&run, &options(1, &dir.path().join("one"))).tables.digest;
    assert_eq!(digest(&run), one, "with one thread and with two");
}

#[test]
fn many_ports_without_a_connection_are_bounded_and_the_rest_is_counted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    let packets: Vec<_> = (1..=5000).map(|port| received(20, port, 3, 2)).collect();
    dropped(&run, &packets);
    let rows = table(&run, "drops");
    assert_eq!(rows.len(), 4097);
    let rest = rows.last().expect("a row");
    assert_eq!((rest["netns"].as_str(), rest["local_port"].as_str()), ("NULL", "NULL"));
    assert_eq!((rest["packets"].as_str(), rest["payload_bytes"].as_str()), ("904", "1808"));
    let sum: u64 = rows.iter().map(|row| row["packets"].parse::<u64>().expect("a number")).sum();
    assert_eq!(sum, 5000);
}

#[test]
fn parts_become_the_original_again_and_each_packet_is_in_one_of_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    dropped(&run, &all());
    let recording = Recording::open(&run).expect("open");
    let bounds = [None, Some(47 * MS), Some(75 * MS), Some(310 * MS), None];
    let mut parts = Vec::new();
    let mut packets = 0;
    for pair in bounds.windows(2) {
        let part = dir.path().join(format!("part{}", parts.len()));
        let at = |ns: Option<u64>| ns.map(CutTime::Since);
        let options = CutOptions { from: at(pair[0]), to: at(pair[1]), ..CutOptions::default() };
        cut(&recording, &part, &options).expect("cut");
        let part = Recording::open(&part).expect("open");
        let counted = part.manifest().totals.as_ref().expect("totals").dropped_packets;
        let rows = part.sockets().filter(|row| row.as_ref().expect("a row").why == Why::Drop);
        assert_eq!(counted, rows.count() as u64);
        packets += counted;
        parts.push(part);
    }
    assert_eq!(packets, all().len() as u64);
    let out = dir.path().join("merged");
    merge(&parts, &out).expect("merge");
    assert_eq!(digest(&out), digest(&run));
    let merged = Recording::open(&out).expect("open");
    assert!(merged.verify().expect("verify").ok());
    assert_eq!(merged.manifest().totals.as_ref().expect("totals").dropped_packets, packets);
}

#[test]
fn a_cut_by_connection_or_port_keeps_its_packets() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    dropped(&run, &all());
    let recording = Recording::open(&run).expect("open");
    let of = |name: &str, options: CutOptions| {
        let part = dir.path().join(name);
        cut(&recording, &part, &options).expect("cut");
        short(&table(&part, "drops"))
    };
    let rows = of("number", CutOptions { connections: vec![1], ..CutOptions::default() });
    assert_eq!(rows[..2], EXPECTED[..2]);
    // As with packets: what comes between its ends after it, before the next connection of these ends.
    assert_eq!(rows[2..], EXPECTED[7..]);
    let rows = of("port", CutOptions { ports: vec![9], ..CutOptions::default() });
    assert_eq!(rows, ["NULL 4026531840 9 received NO_SOCKET 2 0 70 75 4"]);
}

#[test]
fn addresses_of_dropped_packets_are_replaced() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, out) = (dir.path().join("run"), dir.path().join("out"));
    dropped(&run, &all());
    let key = SecretKey::parse(&[9; 32]).expect("a key");
    anonymize(&Recording::open(&run).expect("open"), &out, &key).expect("anonymize");
    assert_eq!(short(&table(&out, "drops")), EXPECTED, "they still belong to their connections");
    let before = Recording::open(&run).expect("open");
    let after = Recording::open(&out).expect("open");
    let mut rows = 0;
    // A transform writes them in the order of time.
    let sorted = |recording: &Recording| {
        let mut rows: Vec<_> = recording.sockets().map(|row| row.expect("a row")).collect();
        rows.sort_by_key(|row| (row.header.ts_ns, row.header.cpu, row.header.seq));
        rows
    };
    for (a, b) in sorted(&before).into_iter().zip(sorted(&after)) {
        assert_ne!(a.local_addr, b.local_addr);
        assert_ne!(a.remote_addr, b.remote_addr);
        assert_eq!((a.local_port, a.values), (b.local_port, b.values));
        rows += 1;
    }
    assert_eq!(rows, all().len());
}

/// Only packets of recorded connections have a cookie (bpf/drop.bpf.h). If that connection is over, the one that has
/// its ends now has not lost this packet.
#[test]
fn a_packet_of_a_connection_that_is_over_is_not_of_the_next_one_with_these_ends() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    dropped(&run, &[Dropped { cookie: 99, ..received(50, 40_001, 5, 1) }]);
    let expected = ["NULL 4026531840 40001 received TCP_CSUM 1 1 50 50 4"];
    assert_eq!(short(&table(&run, "drops")), expected);
}

/// Connection 1 is closed at 300 ms. Its row is made when a later record comes: that of connection 2 at 400 ms, or of
/// its own end at 301 ms.
#[test]
fn a_packet_dropped_after_the_close_is_of_no_connection_whatever_was_recorded_in_between() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (name, ms, expected) in [
        ("close", 300, "1 4026531840 40001 received TCP_CSUM 1 1 300 300 0"),
        ("before", 301, "NULL 4026531840 40001 received TCP_CSUM 1 1 301 301 4"),
        ("behind", 302, "NULL 4026531840 40001 received TCP_CSUM 1 1 302 302 4"),
    ] {
        let run = dir.path().join(name);
        dropped(&run, &[Dropped { cookie: 1, ..received(ms, 40_001, 5, 1) }]);
        assert_eq!(short(&table(&run, "drops"))[0], expected, "{name}");
    }
}

#[test]
fn lost_records_have_a_row_though_no_packet_is_known() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    dropped(&run, &[]);
    let rows = table(&run, "drops");
    assert_eq!(short(&rows), ["NULL NULL NULL NULL NULL 0 0 0 0 4"]);
    assert_eq!((rows[0]["first_ns"].as_str(), rows[0]["last_ts"].as_str()), ("NULL", "NULL"));
}
