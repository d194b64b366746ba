// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A filter lets its connections pass, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::run::{Finished, Recorder};
use crate::support::gate;
use crate::support::gate::Needs;
use crate::support::netns::Netns;
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::trust;
use crate::traffic::{Process, listen, open, perl, talk};
use crate::{PERL, SUITE};

/// The ends of all connections of a recording.
fn ends(finished: &Finished) -> BTreeSet<(SocketAddr, SocketAddr)> {
    finished.connections().iter().map(|row| (row.local(), row.remote())).collect()
}

/// Both rows of a connection.
fn both(client: SocketAddr, server: SocketAddr) -> [(SocketAddr, SocketAddr); 2] {
    [(client, server), (server, client)]
}

#[test]
fn port_filter_matches_local_or_remote_port() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("port");
    let (wanted, other) = (listen(&netns), listen(&netns));
    // A connection whose local port is the wanted one: where it comes from, not where it goes.
    let from = SocketAddr::from(([127, 0, 0, 1], 40_001));
    let recorder = Recorder::start(&[
        "--port",
        &wanted.address().port().to_string(),
        "--port",
        "40001",
        "--netns",
        netns.name(),
    ]);
    let a = talk(&netns, &wanted, 1000);
    talk(&netns, &other, 1000);
    let bound = Stream::connect_from(&netns, from, other.address(), Options::default()).unwrap();
    drop(other.accept());
    assert_eq!(bound.local(), from);
    bound.receive_end();
    drop(bound);
    talk(&netns, &other, 1000);
    let finished = recorder.stop();
    finished.assert_code(0);
    let mut expected = BTreeSet::from(both(a, wanted.address()));
    expected.extend(both(from, other.address()));
    assert_eq!(ends(&finished), expected);
}

#[test]
fn addr_filter_takes_prefixes_of_both_families() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("addr");
    for address in ["10.9.1.1/32", "10.9.2.1/32", "fd99:1::1/128", "fd99:2::1/128"] {
        netns.add_address(address, "lo");
    }
    let at = |address: &str| {
        let address = SocketAddr::new(address.parse().expect("an address"), 0);
        Listener::bind(&netns, address, Options::default())
    };
    let [v4, v4_other, v6, v6_other] = ["10.9.1.1", "10.9.2.1", "fd99:1::1", "fd99:2::1"].map(at);
    // Listens for both families; its IPv4 connections have IPv4-mapped addresses.
    let dual = at("::");
    let mapped = |address: &str| {
        SocketAddr::new(format!("::ffff:{address}").parse().unwrap(), dual.address().port())
    };
    let recorder = Recorder::start(&[
        "--addr",
        "10.9.1.0/24",
        "--addr",
        "fd99:1::/64",
        "--netns",
        netns.name(),
    ]);
    // From the same addresses, or 10.9.1.1 would be the local one of connections to 10.9.2.1.
    let connect = |from: &str, to: SocketAddr, listener: &Listener| {
        let from = SocketAddr::new(from.parse().unwrap(), 0);
        let client = Stream::connect_from(&netns, from, to, Options::default()).unwrap();
        let local = client.local();
        drop(listener.accept());
        client.receive_end();
        local
    };
    let a = connect("10.9.1.1", v4.address(), &v4);
    connect("10.9.2.1", v4_other.address(), &v4_other);
    let b = connect("fd99:1::1", v6.address(), &v6);
    connect("fd99:2::1", v6_other.address(), &v6_other);
    let c = connect("::ffff:10.9.1.1", mapped("10.9.1.1"), &dual);
    connect("::ffff:10.9.2.1", mapped("10.9.2.1"), &dual);
    // One end inside the prefix is enough, and then both its sockets pass.
    let d = connect("10.9.2.1", v4.address(), &v4);
    let finished = recorder.stop();
    finished.assert_code(0);
    let plain = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
    let mut expected = BTreeSet::new();
    for (client, server) in
        [(a, v4.address()), (b, v6.address()), (c, mapped("10.9.1.1")), (d, v4.address())]
    {
        expected.extend(both(plain(client), plain(server)));
    }
    assert_eq!(ends(&finished), expected);
}

#[test]
fn netns_by_name_and_two_kinds_must_both_pass() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (wanted, other) = (Netns::new("wanted"), Netns::new("other"));
    let here = [listen(&wanted), listen(&wanted)];
    let there = Listener::bind(&other, here[0].address(), Options::default());
    let by_netns = Recorder::start(&["--netns", wanted.name()]);
    let port = here[0].address().port().to_string();
    let by_both = Recorder::start(&["--netns", wanted.name(), "--port", &port]);
    let a = talk(&wanted, &here[0], 100);
    let b = talk(&wanted, &here[1], 100);
    talk(&other, &there, 100);
    let (by_netns, by_both) = (by_netns.stop(), by_both.stop());
    by_netns.assert_code(0);
    by_both.assert_code(0);
    let of_a = BTreeSet::from(both(a, here[0].address()));
    let mut of_both = of_a.clone();
    of_both.extend(both(b, here[1].address()));
    assert_eq!(ends(&by_netns), of_both);
    assert_eq!(ends(&by_both), of_a, "the same port in another namespace is another");
}

#[test]
fn pid_filter_includes_present_and_later_children() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("pid");
    let [parent, child, grandchild, stranger] = [(); 4].map(|()| listen(&netns));
    let port = |listener: &Listener| listener.address().port();
    // A child that is there before the recording and connects when its parent's input ends, and
    // one that is made later, with a child of its own.
    let program = format!(
        "my $pid = fork; if (!$pid) {{ <STDIN>; c({}); exit }} \
         print \"ready\\n\"; <STDIN>; c({}); \
         if (!fork) {{ if (!fork) {{ c({}); exit }} wait; exit }} wait; wait;",
        port(&child),
        port(&parent),
        port(&grandchild),
    );
    let mut process = Process::start(&mut perl(&netns, &program));
    let mut other = Process::start(&mut perl(&netns, &format!("<STDIN>; c({})", port(&stranger))));
    BufReader::new(process.0.stdout.take().expect("piped")).read_line(&mut String::new()).unwrap();
    // `ip netns exec` becomes the program it starts.
    let recorder = Recorder::start(&["--pid", &process.0.id().to_string()]);
    process.0.stdin.as_mut().expect("piped").write_all(b"go\n").unwrap();
    process.release();
    other.release();
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    let remote: Vec<u16> = rows.iter().map(|row| row.remote().port()).collect();
    let expected = BTreeSet::from([&parent, &child, &grandchild].map(port));
    assert_eq!(remote.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(remote.len(), 3, "the clients' ends only: the listeners are this test's");
    for row in &rows {
        assert_eq!(row.identity.text("comm"), "perl");
        let own = row.remote().port() == port(&parent);
        let pid = row.identity.int("pid");
        assert_eq!(pid == i64::from(process.0.id()), own, "{pid} to {}", row.remote());
    }
}

/// A cgroup of version 2, removed with the test.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    fn mount() -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc/self/mounts");
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.find(|line| line[2] == "cgroup2").map(|line| PathBuf::from(line[1]))
    }

    fn adopt(&self, process: &Process) {
        fs::write(self.0.join("cgroup.procs"), process.0.id().to_string()).expect("cgroup.procs");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn cgroup_filter_includes_descendants() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let Some(mount) = Cgroup::mount() else { panic!("cgroup v2 is not mounted") };
    let wanted = Cgroup::new(&mount, "estats-test-wanted");
    let below = Cgroup::new(&wanted.0, "below");
    let other = Cgroup::new(&mount, "estats-test-other");
    let netns = Netns::new("cgroup");
    let listeners = [(); 4].map(|()| listen(&netns));
    let mut processes: Vec<Process> = listeners
        .iter()
        .map(|l| {
            // Alternately by its own and by a child's hand: children inherit the cgroup.
            let port = l.address().port();
            Process::start(&mut perl(&netns, &format!("<STDIN>; if (!fork) {{ c({port}) }} wait")))
        })
        .collect();
    wanted.adopt(&processes[0]);
    below.adopt(&processes[1]);
    other.adopt(&processes[2]);
    let name = wanted.0.strip_prefix(&mount).unwrap().to_str().unwrap().to_owned();
    // As it is below the mount, and as it is in the file system.
    for option in [format!("/{name}"), wanted.0.to_str().unwrap().to_owned()] {
        let recorder = Recorder::start(&["--cgroup", &option, "--duration", "100ms"]);
        recorder.wait().assert_code(0);
    }
    let recorder = Recorder::start(&["--cgroup", &name]);
    processes.iter_mut().for_each(Process::release);
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    let found: Vec<_> =
        rows.iter().map(|row| (row.remote(), row.identity.text("cgroup").to_owned())).collect();
    let path = |cgroup: &Cgroup| format!("/{}", cgroup.0.strip_prefix(&mount).unwrap().display());
    let mut expected =
        vec![(listeners[0].address(), path(&wanted)), (listeners[1].address(), path(&below))];
    expected.sort();
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn only_the_process_tree_of_a_command_is_recorded() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("tree");
    let [own, child, grandchild, stranger] = [(); 4].map(|()| listen(&netns));
    let before = open(&netns, &stranger);
    let port = |listener: &Listener| listener.address().port();
    let program = format!(
        "{}c({}); if (!fork) {{ c({}); if (!fork) {{ c({}); exit }} wait; exit }} wait; sleep 1",
        crate::traffic::PERL_CONNECT,
        port(&own),
        port(&child),
        port(&grandchild),
    );
    let command = ["ip", "netns", "exec", netns.name(), "perl", "-e", &program];
    let alone = Recorder::start(&[&["--"], &command[..]].concat());
    let client = talk(&netns, &stranger, 10);
    before.upload(1000);
    let alone = alone.wait();
    alone.assert_code(0);
    let remote: Vec<_> = alone.connections().iter().map(|row| row.remote().port()).collect();
    assert_eq!(remote.len(), 3, "{remote:?}");
    let expected = BTreeSet::from([&own, &child, &grandchild].map(port));
    assert_eq!(BTreeSet::from_iter(remote), expected);
    assert!(ends(&alone).iter().all(|(local, _)| *local != client));

    // With --all: the host, hence also what this process does meanwhile and did before.
    let all = Recorder::start(&[&["--all", "--"], &command[..]].concat());
    let client = talk(&netns, &stranger, 10);
    let all = all.wait();
    all.assert_code(0);
    let found = ends(&all);
    for end in both(client, stranger.address()) {
        assert!(found.contains(&end), "{end:?}");
    }
    for end in both(before.client.local(), stranger.address()) {
        assert!(found.contains(&end), "open before: {end:?}");
    }
    for listener in [&own, &child, &grandchild] {
        // Those of the first command wait, half closed, in the queues of the listeners.
        let rows = all.with_port(port(listener));
        let begun = rows.iter().filter(|row| row.completeness() != "begun_before").count();
        assert_eq!(begun, 2, "both ends of the command's connection");
    }
}

#[test]
fn included_and_excluded_port_lists_are_applied() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("lists");
    netns.add_address("10.9.3.1/32", "lo");
    let [a, b, c] = [(); 3].map(|()| listen(&netns));
    let elsewhere = SocketAddr::from(([10, 9, 3, 1], 0));
    let d = Listener::bind(&netns, elsewhere, Options::default());
    let port = |l: &Listener| l.address().port();
    let two = format!("{},{}", port(&a), port(&b));
    let start = |options: &[&str]| Recorder::start(&[&["--netns", netns.name()], options].concat());
    let only = start(&["--port", &two]);
    let without = start(&["--not-port", &two]);
    let both = start(&["--port", &two, "--not-port", &port(&b).to_string()]);
    let not_there = start(&["--not-addr", "10.9.3.0/24,192.0.2.0/24", "--packets"]);
    let locals = [&a, &b, &c, &d].map(|listener| talk(&netns, listener, 100));
    let expected = |which: &[usize]| {
        let listeners = [&a, &b, &c, &d];
        which.iter().flat_map(|&i| self::both(locals[i], listeners[i].address())).collect()
    };
    for (recorder, which) in
        [(only, &[0, 1][..]), (without, &[2, 3]), (both, &[0]), (not_there, &[0, 1, 2])]
    {
        let finished = recorder.stop();
        finished.assert_code(0);
        let expected: BTreeSet<_> = expected(which);
        assert_eq!(ends(&finished), expected);
        let options = &finished.manifest()["options"];
        if which.len() == 3 {
            let flows = finished.table("flows");
            assert!(!flows.is_empty());
            for flow in flows {
                assert_ne!(flow.text("src_address"), "10.9.3.1");
                assert_ne!(flow.text("dst_address"), "10.9.3.1");
            }
            assert_eq!(options["not_addresses"][0], "10.9.3.0/24");
        }
    }
}

/// A server whose worker accepts connections that the server's own process listens for. Prints the
/// worker's process id.
const PREFORKED: &str = "socket(my $l, PF_INET, SOCK_STREAM, 0); \
     bind($l, pack_sockaddr_in(0, INADDR_LOOPBACK)); listen($l, 5); \
     my ($p) = unpack_sockaddr_in(getsockname($l)); my $pid = fork; \
     if (!$pid) { alarm 60; $0 = 'worker'; print \"$$ $p\\n\"; \
       while (accept(my $c, $l)) { my $got = ''; ACTION close $c } exit } \
     <STDIN>; kill 9, $pid; wait;";

/// Starts it; the worker's process id and the port.
fn prefork(netns: &Netns, action: &str) -> (Process, String, u16) {
    let mut server = Process::start(&mut perl(netns, &PREFORKED.replace("ACTION", action)));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let (pid, port) = line.trim().split_once(' ').expect("two numbers");
    (server, pid.to_owned(), port.parse().expect("a port"))
}

#[test]
fn pid_of_a_worker_finds_the_connections_that_it_uses() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("worker");
    // One reads what it is sent, the other only writes.
    for (action, octets) in
        [("sysread($c, $got, 100) for 1 .. 3;", 3), ("syswrite($c, 'bye' x 100);", 0)]
    {
        let (mut server, worker, port) = prefork(&netns, action);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let by_pid = Recorder::start(&["--pid", &worker, "--netns", netns.name()]);
        let by_name = Recorder::start(&["--comm", "worker", "--netns", netns.name()]);
        let client = Stream::connect(&netns, address, Options::default()).expect("connect");
        for _ in 0..octets {
            client.send(50);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        client.finish();
        if octets == 0 {
            client.receive(300);
        }
        client.receive_end();
        drop(client);
        for recorder in [by_pid, by_name] {
            let finished = recorder.stop();
            finished.assert_code(0);
            let rows = finished.connections();
            assert_eq!(rows.len(), 1, "{}", finished.stderr);
            let row = &rows[0];
            assert_eq!((row.local(), row.completeness()), (address, "begun_before"));
            assert_eq!(row.identity.int("pid").to_string(), worker);
            assert_eq!(row.identity.text("comm"), "worker");
            if octets > 0 {
                assert_eq!(row.values.int("HCThruOctetsReceived"), 150);
                assert_eq!(
                    row.values.int("HCDataOctetsIn"),
                    150,
                    "what came before the first read, too"
                );
            } else {
                let acked = row.values.int("HCThruOctetsAcked");
                assert!((300..=302).contains(&acked), "{acked} with SYN and FIN");
            }
        }
        server.release();
    }
    trust::says(
        "`--pid` or `--comm` of a worker that is given connections by another process's listener",
        "`begun_before`: recorded from the worker's first read on, or from its close",
    );
}

#[test]
fn comm_filter_matches_the_opener_or_listener() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("comm");
    let [wanted, other] = [(); 2].map(|()| listen(&netns));
    let connect = |name: &str, listener: &Listener| {
        let port = listener.address().port();
        let mut process =
            Process::start(&mut perl(&netns, &format!("$0 = '{name}'; <STDIN>; c({port})")));
        process.release();
    };
    // More than the kernel keeps of a name is not compared.
    let recorder = Recorder::start(&[
        "--comm",
        "a-very-long-name-indeed",
        "--comm",
        "client",
        "--netns",
        netns.name(),
    ]);
    connect("client", &wanted);
    connect("clients", &other);
    connect("a-very-long-name-indeed", &wanted);
    connect("perl", &other);
    let finished = recorder.stop();
    finished.assert_code(0);
    let names: BTreeSet<String> =
        finished.connections().iter().map(|row| row.identity.text("comm").to_owned()).collect();
    assert_eq!(names, BTreeSet::from(["client".to_owned(), "a-very-long-nam".to_owned()]));
    assert_eq!(finished.connections().len(), 2);
    assert_eq!(finished.manifest()["options"]["comms"][1], "client");
}

#[test]
fn a_filter_without_a_match_is_named_with_the_number_left_out() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("nothing");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--port", "1,2", "--netns", netns.name()]);
    talk(&netns, &listener, 10);
    let finished = recorder.stop();
    finished.assert_code(0);
    let said = finished
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("no connection matched --port 1,2 --netns "))
        .unwrap_or_else(|| panic!("{}", finished.stderr));
    let (_, others) = said.split_once("; ").expect("a count");
    let others: u64 = others.strip_suffix(" others were seen").unwrap().parse().unwrap();
    // Those of other tests on this host count as well.
    assert!(others >= 2, "{others}");
    trust::says(
        "a filter that no connection matches",
        "\"no connection matched OPTIONS; N others were seen\" on stderr",
    );
}
