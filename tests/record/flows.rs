// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets recorded beside hooks: flows of the connections, and the audit's third witness, over a
//! link that loses and reorders. The link counts what it carries, which no hook does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::SUITE;
use crate::run::{Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::pair::{Family, Pair};
use crate::support::tcp::{Listener, Options, Stream};

/// Variables for which the audit has packets in every connection.
const HEARD: [&str; 8] = [
    "SegsOut",
    "DataSegsOut",
    "HCDataOctetsOut",
    "SegsRetrans",
    "OctetsRetrans",
    "SegsIn",
    "DataSegsIn",
    "HCDataOctetsIn",
];

#[test]
fn packet_counts_match_kernel_counters_and_the_link() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(Impairment {
        delay: Duration::from_millis(2),
        loss: 0.01,
        reorder: 0.01,
        hold_back: Duration::from_millis(5),
        seed: 11,
        ..Impairment::default()
    });
    let (client, server) = (pair.client.name(), pair.server.name());
    let arguments = [
        "--packets",
        "--interface",
        "all",
        "--top=1h",
        "--netns",
        client,
        "--netns",
        server,
        "--all",
    ];
    let recorder = Recorder::start(&arguments);
    let mut connections = 0;
    for family in [Family::V4, Family::V6] {
        let address = SocketAddr::new(pair.server_address(family), 0);
        let options = Options { congestion: c"reno", ..Options::default() };
        let listener = Listener::bind(&pair.server, address, options);
        for (octets, reset) in [(2_000_000, false), (10, false), (50_000, true)] {
            let open = || Stream::connect(&pair.client, listener.address(), options);
            let here = open().expect("connect");
            let there = listener.accept();
            std::thread::scope(|scope| {
                scope.spawn(|| here.send(octets));
                there.receive(octets);
            });
            connections += 2;
            if reset {
                there.reset();
                continue;
            }
            here.finish();
            there.receive_end();
            there.finish();
            here.receive_end();
        }
    }
    // The last FIN's ACK, and repeats of it, are under way. If several were lost, some still come while
    // the recording ends.
    std::thread::sleep(Duration::from_millis(300));
    let offered = || -> u64 {
        let ways = [Direction::Forward, Direction::Backward];
        ways.map(|way| pair.link().counters(way).offered).iter().sum()
    };
    let before = offered();
    let finished = recorder.stop();
    let link = before..=offered();
    finished.assert_code(0);
    pair.assert_no_stray_loss();

    let rows = finished.table("audit");
    let mut heard: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in &rows {
        assert_ne!(row.text("verdict"), "differs", "{row:?}");
        if row.number("packets").is_some() {
            let variable = row.text("variable").to_owned();
            heard.entry(row.int("conn_id")).or_default().push(variable);
        }
    }
    assert_eq!(heard.len(), connections, "{heard:?}");
    for (conn_id, variables) in &heard {
        for variable in HEARD {
            assert!(variables.iter().any(|v| v == variable), "{conn_id} {variable}");
        }
    }

    let flows: Vec<_> =
        finished.table("flows").into_iter().filter(|r| r.text("protocol") == "TCP").collect();
    // Each connection has both ways, at its socket, and none is left at an interface.
    let mut ways: BTreeMap<i64, usize> = BTreeMap::new();
    for row in &flows {
        assert_eq!(row.text("observed_at"), "socket", "{row:?}");
        assert_eq!(row.text("completeness"), "complete", "{row:?}");
        // Each of its packets was at the interface too.
        assert_eq!(row.int("l2_packets"), row.int("packets"), "{row:?}");
        *ways.entry(row.int("conn_id")).or_default() += 1;
    }
    assert_eq!(ways.len(), connections);
    assert!(ways.values().all(|n| *n == 2), "{ways:?}");
    let out = flows.iter().filter(|row| row.text("direction") == "out");
    let sent: i64 = out.map(|row| row.int("segments")).sum();
    assert!(link.contains(&(sent as u64)), "{sent} sent by sockets, {link:?} offered to the link");

    // The recorder accounted the same packets as replay: its only table is the one at the end.
    let replayed = analyze(&["flows", "--sort", "bytes", "--top", "20"], &finished.dir);
    let (time, live) = finished.stdout.split_once('\n').expect("a time, then the table");
    assert!(time.starts_with("20") && time.len() == "2026-11-25 10:00:00".len(), "{time}");
    // Its flag of this name is the time between tables, and shows no more lines.
    let replayed = String::from_utf8_lossy(&replayed.stdout).replace(" more (--top)", " more");
    assert_eq!(live.trim_end(), replayed.trim_end());
}
