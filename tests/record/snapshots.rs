// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots of sockets: they equal getsockopt(TCP_INFO), and all of them are there.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::SocketAddr;
use std::time::Duration;

use estats::schema::SocketField;

use crate::SUITE;
use crate::run::{Finished, Recorder};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::table::Row;
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::tcp_info::{TcpInfo, names};
use crate::traffic::{Both, Process, listen, open};

/// Longer than any timer that an idle connection still has (delayed ACKs, 40 to 200 ms; the tail
/// loss probe and the retransmission, of which nothing is outstanding), and some polls more.
const IDLE: Duration = Duration::from_millis(700);

type Ends = (SocketAddr, SocketAddr);

/// Both sockets of a connection: the client's and the server's.
fn ends(both: &Both) -> [Ends; 2] {
    let (client, server) = (&both.client, &both.server);
    // IPv4-mapped addresses are shown as what they are.
    let plain = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
    [(client.local(), client.remote()), (server.local(), server.remote())]
        .map(|(local, remote)| (plain(local), plain(remote)))
}

/// Rows of the socket with these ends, by what made them.
fn rows(finished: &Finished, (local, remote): Ends) -> BTreeMap<String, Vec<Row>> {
    let mut by_reason: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in finished.table("sockets") {
        if row.endpoint("local_address", "local_port") == local
            && row.endpoint("remote_address", "remote_port") == remote
        {
            by_reason.entry(row.text("why").to_owned()).or_default().push(row);
        }
    }
    by_reason
}

/// Every field that this kernel's TCP_INFO has must be equal in the row.
#[track_caller]
fn assert_equal(row: &Row, info: &TcpInfo, except: &[&str]) {
    let mut compared = 0;
    for name in names().filter(|name| !except.contains(name)) {
        let Some(value) = info.get(name) else { continue };
        // The kernel keeps neither, and reports 0.
        if ["tcpi_fackets", "tcpi_last_ack_sent"].contains(&name) {
            assert_eq!(value, 0, "{name}");
            continue;
        }
        // The kernel's placeholder for no value yet, or for no limit, is NULL. A repeated SYN sets the
        // deviation without a sample.
        let field = SocketField::by_name(name);
        let sampled = name != "tcpi_rttvar" || info.get("tcpi_rtt") != Some(0);
        let is_value = sampled && !field.is_some_and(|field| field.is_unset(value));
        assert_eq!(row.number(name), is_value.then_some(value as i64), "{name}");
        compared += 1;
    }
    // Linux 6.1, the oldest that is tested, has 47 beside the clocks and the state.
    assert!(compared >= 46, "only {compared} fields were compared");
    let (snd, rcv) = info.window_shifts();
    assert_eq!(row.int("tcpi_snd_wscale"), snd as i64);
    assert_eq!(row.int("tcpi_rcv_wscale"), rcv as i64);
}

/// Milliseconds since something: a row and TCP_INFO are read at different times.
const CLOCKS: &[&str] = &["tcpi_last_data_sent", "tcpi_last_data_recv", "tcpi_last_ack_recv"];

fn talk(both: &Both) {
    both.upload(300_000);
    std::thread::scope(|scope| {
        scope.spawn(|| both.server.send(70_000));
        both.client.receive(70_000);
    });
}

#[test]
fn a_snapshot_equals_tcp_info() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("tcpinfo");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--snapshots", "20ms", "--netns", netns.name()]);
    let both = open(&netns, &listener);
    talk(&both);
    std::thread::sleep(IDLE);
    let (client, server) = (both.client.info(), both.server.info());
    let ends = ends(&both);
    // At least one poll after TCP_INFO was read, of a socket that is still idle.
    std::thread::sleep(IDLE);
    assert_eq!(client.differences(&both.client.info()), Vec::<String>::new(), "not idle");
    let finished = recorder.stop();
    for (end, info) in ends.into_iter().zip([&client, &server]) {
        let rows = rows(&finished, end);
        let polls = &rows["poll"];
        assert_equal(polls.last().unwrap(), info, CLOCKS);
        // It was still open at the end, and then too nothing had changed.
        assert_equal(&rows["end"][0], info, CLOCKS);
        // Both have the same instant of the last data: TCP_INFO was read in between.
        let last = polls.last().unwrap();
        for clock in CLOCKS {
            let (first, then) = (info.must(clock) as i64, last.int(clock));
            assert!(then >= first && then < first + 60_000, "{clock}: {first}, {then}");
        }
        assert_eq!(last.text("congestion"), "cubic");
        assert_eq!((last.int("rqueue"), last.int("wqueue"), last.int("timer")), (0, 0, 0));
        for private in ["bbr_bw", "vegas_rtt", "dctcp_alpha", "timer_expires", "tclass"] {
            assert_eq!(last.get(private), None, "{private}");
        }
        // Polls are numbered, and every row has its own time.
        let numbers: Vec<_> = polls.iter().map(|row| row.int("poll")).collect();
        assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
        let times: Vec<_> = polls.iter().map(|row| row.int("ts_ns")).collect();
        assert!(times.windows(2).all(|w| w[0] < w[1]));
    }
}

/// A connection of this congestion control and family over the loopback.
fn open_with(netns: &Netns, congestion: &'static CStr, address: &str) -> Both {
    let options = Options { congestion, ..Options::default() };
    let listener = Listener::bind(netns, address.parse().expect("an address"), options);
    let client = Stream::connect(netns, listener.address(), options).expect("connect");
    Both { client, server: listener.accept() }
}

#[test]
fn netlink_and_the_iterator_give_the_same_values() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("ways");
    let connections = [
        open_with(&netns, c"cubic", "127.0.0.1:0"),
        open_with(&netns, c"bbr", "[::1]:0"),
        open_with(&netns, c"reno", "[::ffff:127.0.0.1]:0"),
    ];
    connections[0].client.set_mark(7);
    connections.iter().for_each(talk);
    std::thread::sleep(IDLE);
    let recorders = ["iterator", "netlink"].map(|by| {
        let common = ["--snapshots", "50ms", "--netns", netns.name(), "--snapshots-by", by];
        Recorder::start(&common)
    });
    std::thread::sleep(IDLE);
    let infos = connections.each_ref().map(|c| (c.client.info(), c.client.cc_info()));
    let both = recorders.map(Recorder::stop);
    for (connection, (info, private)) in connections.iter().zip(&infos) {
        for end in ends(connection) {
            let [mut iterator, mut netlink] = both.each_ref().map(|run| rows(run, end));
            let (iterator, netlink) = (iterator.remove("poll"), netlink.remove("poll"));
            let (iterator, netlink) = (iterator.expect("rows"), netlink.expect("rows"));
            assert!(netlink.len() > 5, "{}", netlink.len());
            let (one, other) = (iterator.last().unwrap(), netlink.last().unwrap());
            let mut compared = 0;
            let both_give = |f: &&SocketField| !f.ages() && f.is_in_record();
            for field in SocketField::ALL.iter().filter(both_give) {
                // inet_diag has it only where the socket has no class.
                if *field == SocketField::priority {
                    assert_eq!(other.get("priority"), None);
                    continue;
                }
                let name = field.name();
                // inet_diag has it from Linux 7.0 on, the socket from 6.18 on.
                if *field == SocketField::tcpi_ecn_mode && other.get(name).is_none() {
                    continue;
                }
                assert_eq!(one.get(name), other.get(name), "{name} of {end:?}");
                compared += usize::from(one.get(name).is_some());
            }
            assert!(compared >= 70, "only {compared} fields were compared");
            for name in ["conn_id", "cookie", "generation", "netns", "congestion"] {
                // Numbers of connections are a recording's own, and both began with the same ones.
                assert!(one.get(name).is_some(), "{name} of {end:?}");
                assert_eq!(one.get(name).is_some(), other.get(name).is_some(), "{name}");
                if name != "conn_id" {
                    assert_eq!(one.get(name), other.get(name), "{name} of {end:?}");
                }
            }
            // Every row has a time of its own, and polls have numbers.
            let times: Vec<_> = netlink.iter().map(|row| row.int("ts_ns")).collect();
            assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");
            let numbers: Vec<_> = netlink.iter().map(|row| row.int("poll")).collect();
            assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
        }
        // And the values of getsockopt(2), for the client's socket.
        for run in &both {
            let rows = rows(run, ends(connection)[0]);
            let last = rows["poll"].last().unwrap();
            assert_equal(last, info, CLOCKS);
            if last.text("congestion") == "bbr" {
                // struct tcp_bbr_info
                let [low, high, min_rtt, pacing, cwnd] = private[..] else { panic!("{private:?}") };
                let bw = i64::from(high) << 32 | i64::from(low);
                assert!(bw > 0 && min_rtt > 0);
                let row = ["bbr_bw", "bbr_min_rtt", "bbr_pacing_gain", "bbr_cwnd_gain"];
                let said = [bw, min_rtt.into(), pacing.into(), cwnd.into()];
                assert_eq!(row.map(|name| last.int(name)), said);
            } else {
                assert_eq!(last.get("bbr_bw"), None);
            }
        }
    }
}

#[test]
fn every_connection_has_a_snapshot_at_its_beginning_and_its_end() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("ends");
    let listener = listen(&netns);
    let early = open(&netns, &listener);
    talk(&early);
    // Without --snapshots.
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let both = open(&netns, &listener);
    let ends_of_both = ends(&both);
    talk(&both);
    both.finish();
    let info = both.server.info();
    drop(both);
    // The last ACK is on its way over the loopback.
    std::thread::sleep(Duration::from_millis(200));
    let finished = recorder.stop();
    let ids: BTreeMap<_, _> = finished
        .connections()
        .iter()
        .map(|c| ((c.local(), c.remote()), c.identity.int("conn_id")))
        .collect();
    for end in ends_of_both {
        let rows = rows(&finished, end);
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["close", "open"]);
        for (why, state) in [("open", 1), ("close", 7)] {
            let [row] = &rows[why][..] else { panic!("{} {why}", rows[why].len()) };
            assert_eq!(row.int("tcpi_state"), state);
            assert_eq!(row.int("conn_id"), ids[&end]);
            assert_eq!(row.get("poll"), None);
        }
        assert_eq!(rows["open"][0].int("tcpi_bytes_received"), 0);
    }
    // The server's socket was in CLOSE when it was asked: the values are the final ones.
    let close = &rows(&finished, ends_of_both[1])["close"][0];
    if info.must("tcpi_state") == crate::support::tcp_info::state::CLOSE {
        // Changes by CLOSE itself: timers are stopped, and the congestion state stays.
        assert_equal(close, &info, &[CLOCKS, &["tcpi_state"]].concat());
    }
    let early = rows(&finished, ends(&early)[0]);
    assert_eq!(early.keys().collect::<Vec<_>>(), ["baseline", "end"]);
}

#[test]
fn changed_only_leaves_out_only_idle_sockets() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    ["iterator", "netlink"].iter().for_each(|by| changed_only(by));
}

fn changed_only(by: &str) {
    let netns = Netns::new("changed");
    let listener = listen(&netns);
    let (idle, busy) = (open(&netns, &listener), open(&netns, &listener));
    talk(&idle);
    std::thread::sleep(IDLE);
    let options = ["--snapshots", "10ms", "--changed-only", "--netns", netns.name()];
    let recorder = Recorder::start(&[&options[..], &["--snapshots-by", by]].concat());
    std::thread::sleep(Duration::from_millis(100));
    // One octet every 30 ms: each is a change that a poll in between must show.
    for _ in 0..20 {
        busy.client.send(1);
        busy.server.receive(1);
        std::thread::sleep(Duration::from_millis(30));
    }
    // One field alone, and nothing that M-Lab would compare: the receive buffer's limit.
    idle.client.set_mark(7);
    std::thread::sleep(Duration::from_millis(100));
    let finished = recorder.stop();
    let of = |end: Ends| rows(&finished, end).remove("poll").unwrap_or_default();
    // The first row, and the one of the mark. State of recorders is charged to the socket's option
    // memory, and that of one that ended is freed when the kernel finds the time.
    let marks = |end| {
        let mut rows: Vec<_> =
            of(end).iter().map(|row| (row.int("mark"), row.int("skmem_optmem"))).collect();
        assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "two rows alike: {rows:?}");
        rows.dedup_by_key(|(mark, _)| *mark);
        rows.into_iter().map(|(mark, _)| mark).collect::<Vec<_>>()
    };
    assert_eq!(marks(ends(&idle)[0]), [0, 7]);
    assert_eq!(marks(ends(&idle)[1]), [0]);
    let busy = of(ends(&busy)[0]);
    // Sent and acknowledged may be one change or two; no two rows are alike.
    // A late poll may stand for as many octets as were sent meanwhile.
    let polls = finished.table("ledger").into_iter().filter(|r| r.text("kind") == "late_poll");
    let late: usize = polls.map(|r| 1 + (r.int("value") / 30_000_000) as usize).sum();
    assert!(busy.len() + late > 20, "{} rows, {late} late polls", busy.len());
    let sent: std::collections::BTreeSet<_> =
        busy.iter().map(|row| row.int("tcpi_bytes_sent")).collect();
    assert!(sent.len() + late > 20, "{sent:?}");
}

#[test]
fn sockets_of_every_namespace_are_polled_and_filters_hold() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    ["iterator", "netlink"].iter().for_each(|by| filters(by));
}

fn filters(by: &str) {
    let (one, other) = (Netns::new("one"), Netns::new("other"));
    let (a, b) = (listen(&one), listen(&other));
    let start = |more: &[&str]| {
        Recorder::start(&[&["--snapshots", "10ms", "--snapshots-by", by], more].concat())
    };
    let recorder = start(&[]);
    let filtered = start(&["--port", &a.address().port().to_string(), "--netns", one.name()]);
    let sampled = start(&["--sample", "1000000000"]);
    let mut other_process = Process::start(std::process::Command::new("cat").arg("-"));
    let [own, others] = [std::process::id(), other_process.0.id()].map(|id| id.to_string());
    let (own, others) = (start(&["--pid", &own]), start(&["--pid", &others]));
    let connections = [open(&one, &a), open(&other, &b)];
    // Namespaces are searched for once a second.
    std::thread::sleep(Duration::from_millis(1300));
    let ends: Vec<_> = connections.iter().map(|c| ends(c)[0]).collect();
    let all = recorder.stop();
    assert!(ends.iter().all(|end| rows(&all, *end)["poll"].len() > 3));
    let filtered = filtered.stop();
    assert!(rows(&filtered, ends[0])["poll"].len() > 3);
    assert!(rows(&filtered, ends[1]).is_empty());
    // Processes too, which inet_diag does not know.
    let own = own.stop();
    assert!(ends.iter().all(|end| rows(&own, *end)["poll"].len() > 3));
    let others = others.stop();
    assert!(ends.iter().all(|end| rows(&others, *end).is_empty()));
    other_process.release();
    // One in a billion is none of these, but the events are of all.
    let sampled = sampled.stop();
    for end in ends {
        let rows = rows(&sampled, end);
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["end", "open"]);
    }
}

#[test]
fn polls_that_come_too_late_are_in_the_ledger() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let recorder = Recorder::start(&["--snapshots", "10ms"]);
    std::thread::sleep(Duration::from_millis(200));
    recorder.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    recorder.signal(libc::SIGCONT);
    std::thread::sleep(Duration::from_millis(200));
    let finished = recorder.stop();
    let missed: Vec<_> = finished
        .table("ledger")
        .iter()
        .filter(|row| row.text("kind") == "late_poll")
        .map(|row| (row.int("value"), row.int("size")))
        .collect();
    // 300 ms are 30 polls; the one before and the one after may count.
    assert!(
        missed.iter().any(|(late_ns, missed)| *late_ns >= 280_000_000 && *missed >= 28),
        "{missed:?}"
    );
}
