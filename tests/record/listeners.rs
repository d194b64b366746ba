// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Listening sockets: that a full accept queue is seen, with what the namespace counted of it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use crate::SUITE;
use crate::run::Recorder;
use crate::support::gate::{self, Needs};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::table::Row;

/// Less than the kernel's first timeout of a SYN (1 s): each client sends one SYN.
const PATIENCE: Duration = Duration::from_millis(300);
/// Some polls of listening sockets, which come once a second.
const POLLS: Duration = Duration::from_millis(2_500);
const BACKLOG: i32 = 1;
/// TCP_LISTEN, include/net/tcp_states.h.
const LISTEN: i64 = 10;

/// A socket that listens and never accepts.
fn narrow(netns: &Netns) -> TcpListener {
    netns.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        let result = unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
        assert_eq!(result, 0);
        listener
    })
}

/// Clients one after the other; those that got in.
fn knock(netns: &Netns, address: SocketAddr, clients: usize) -> Vec<TcpStream> {
    netns.run(|| {
        (0..clients).filter_map(|_| TcpStream::connect_timeout(&address, PATIENCE).ok()).collect()
    })
}

fn of_port(rows: Vec<Row>, port: u16) -> Vec<Row> {
    rows.into_iter().filter(|row| row.int("local_port") == i64::from(port)).collect()
}

#[test]
fn a_full_accept_queue_is_recorded_with_the_namespaces_counters() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("backlog");
    let (full, free) = (narrow(&netns), narrow(&netns));
    let address = full.local_addr().expect("an address");
    // Counts before the recording are not in the differences.
    let inside = knock(&netns, address, 4);
    let before = Mib::of(&netns);
    assert!(before.must("TcpExt.ListenOverflows") > 0);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let later = knock(&netns, address, 5);
    std::thread::sleep(POLLS);
    let finished = recorder.stop();
    let after = Mib::of(&netns);
    // One more than the backlog gets in.
    assert_eq!((inside.len(), later.len()), (BACKLOG as usize + 1, 0));

    let rows = of_port(finished.table("listeners"), address.port());
    let [row] = &rows[..] else { panic!("{} rows of the listening socket", rows.len()) };
    assert_eq!(row.text("local_address"), "127.0.0.1");
    assert_eq!(row.int("accept_queue_limit"), i64::from(BACKLOG));
    assert_eq!(row.int("accept_queue_max"), i64::from(BACKLOG) + 1);
    assert_eq!(row.int("accept_queue_full_polls"), row.int("polls"));
    // At the beginning, at the end, and once a second between.
    assert!(row.int("polls") >= 4, "{}", row.int("polls"));
    assert!(row.int("drops") >= 5, "{}", row.int("drops"));
    let mut counted = 0;
    for name in ["ListenOverflows", "ListenDrops", "SyncookiesSent", "TCPReqQFullDrop"] {
        let kernel = after.must(&format!("TcpExt.{name}")) - before.must(&format!("TcpExt.{name}"));
        assert_eq!(row.int(&format!("netns_{name}")), kernel as i64, "{name}");
        counted += kernel;
    }
    assert!(
        after.must("TcpExt.ListenOverflows") - before.must("TcpExt.ListenOverflows") >= 5,
        "{counted}"
    );

    // The other socket of the namespace has its own queue, and the same counters.
    let rows = of_port(finished.table("listeners"), free.local_addr().expect("an address").port());
    let [other] = &rows[..] else { panic!("{} rows of the other socket", rows.len()) };
    assert_eq!((other.int("accept_queue_max"), other.int("accept_queue_full_polls")), (0, 0));
    assert_eq!(other.int("drops"), 0);
    assert_eq!(other.int("netns_ListenOverflows"), row.int("netns_ListenOverflows"));

    let series = of_port(finished.table("listener_series"), address.port());
    assert_eq!(series.len() as i64, row.int("polls"));
    let overflows = |row: &Row| row.int("netns_ListenOverflows");
    assert_eq!(overflows(&series[0]), before.must("TcpExt.ListenOverflows") as i64);
    assert_eq!(overflows(&series[series.len() - 1]), after.must("TcpExt.ListenOverflows") as i64);
    // A listening socket is not a connection, and has no row in sockets.
    assert!(finished.table("sockets").iter().all(|row| row.int("tcpi_state") != LISTEN));
}
