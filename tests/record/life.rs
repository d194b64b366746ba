// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections that do not live from connect to FIN under the recorder's eyes.

use crate::SUITE;
use crate::run::{Connection, Recorder};
use crate::support::audit;
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::tcp_info::TcpInfo;
use crate::traffic::{listen, open};

/// As in tests/live: all equalities of the schema that Linux 6.1 has fields for.
const EQUALITIES: usize = 23;

#[test]
fn a_socket_that_connects_again_has_a_row_for_each_connection() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("again");
    let listeners = [listen(&netns), listen(&netns)];
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let first = open(&netns, &listeners[0]);
    first.upload(10_000);
    first.client.disconnect();
    let cookie = first.client.cookie();
    first.client.reconnect(listeners[1].address()).expect("a dissolved socket connects again");
    let second = listeners[1].accept();
    first.client.send(333);
    second.receive(333);
    first.client.finish();
    second.receive_end();
    drop(second);
    first.client.receive_end();
    assert_eq!(first.client.cookie(), cookie);
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    let of_client: Vec<&Connection> =
        rows.iter().filter(|row| row.identity.int("cookie") as u64 == cookie).collect();
    assert_eq!(of_client.len(), 2, "one row for each connection of the socket");
    for (generation, (row, octets)) in of_client.iter().zip([10_000, 333]).enumerate() {
        assert_eq!(row.identity.int("generation"), generation as i64);
        assert_eq!(row.remote(), listeners[generation].address());
        assert_eq!(row.values.int("HCDataOctetsOut"), octets, "its own octets and no other's");
        assert_eq!(row.values.int("HCDataOctetsIn"), 0);
        assert_eq!(row.completeness(), "complete");
    }
    assert_eq!(of_client[0].identity.text("close_reason"), "reset_sent");
    assert_eq!(of_client[1].identity.text("close_reason"), "fin");
    assert_eq!(rows.len(), 4, "and one for each accepted socket");
}

#[test]
fn a_connection_open_before_has_its_owner_and_the_kernels_counters() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("before");
    let listener = listen(&netns);
    let before = open(&netns, &listener);
    before.upload(50_000);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    before.upload(7_000);
    let after = open(&netns, &listener);
    after.upload(100);
    // Longer than a delayed ACK: nothing moves between this reading and the recorder's last.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let infos = [before.client.info(), before.server.info()];
    let finished = recorder.stop();
    finished.assert_code(0);
    for (info, socket) in infos.iter().zip([&before.client, &before.server]) {
        let moved = info.differences(&socket.info());
        assert!(moved.is_empty(), "the connection was at rest and moved: {moved:?}");
    }
    let comm = std::fs::read_to_string("/proc/self/comm").expect("/proc/self/comm");
    let rows = finished.connections();
    let row = |cookie: u64| {
        let found = rows.iter().find(|row| row.identity.int("cookie") as u64 == cookie);
        found.unwrap_or_else(|| panic!("no row with cookie {cookie}"))
    };
    let check = |row: &Connection, completeness: &str, comm: Option<&str>| {
        assert_eq!(row.completeness(), completeness);
        assert_eq!(row.identity.int("pid"), i64::from(std::process::id()));
        if let Some(comm) = comm {
            assert_eq!(row.identity.text("comm"), comm.trim());
        }
    };
    let compare = |row: &Connection, info: &TcpInfo| {
        audit::equalities(&row.values, info).assert("tcp_info", EQUALITIES);
    };
    // Its owner is found by its open files, hence the process's name; later ones know the thread.
    check(row(before.client.cookie()), "begun_before", Some(&comm));
    // The reader becomes the owner, and is a thread here.
    check(row(before.server.cookie()), "begun_before", None);
    compare(row(before.client.cookie()), &infos[0]);
    compare(row(before.server.cookie()), &infos[1]);
    check(row(after.client.cookie()), "ended_after", None);
    check(row(after.server.cookie()), "ended_after", None);
    assert_eq!(rows.len(), 4);
}

/// Far more than the ring of lifecycle records holds at once: walking them must not outrun the
/// recorder.
#[test]
fn thousands_of_open_connections_are_all_in_baseline_and_end() {
    const COUNT: usize = 4000;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("many");
    let listener = listen(&netns);
    let open: Vec<_> = (0..COUNT).map(|_| open(&netns, &listener)).collect();
    let finished = Recorder::start(&["--netns", netns.name()]).stop();
    finished.assert_account();
    assert_eq!(finished.lost(), 0, "{}", finished.stderr);
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.len(), 2 * COUNT);
    for row in &rows {
        assert_eq!(row.completeness(), "begun_before");
        assert_eq!(
            row.identity.get("ended_after"),
            Some(&crate::support::table::Value::Bool(true))
        );
        assert_eq!(row.identity.int("pid"), i64::from(std::process::id()));
    }
    drop(open);
}
