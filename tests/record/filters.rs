//! What a filter lets pass, and that it lets nothing else pass.

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
fn port_is_of_either_end_and_of_nothing_else() {
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
fn addr_is_a_prefix_of_either_family() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("addr");
    for address in ["10.9.1.1/32", "10.9.2.1/32", "fd99:1::1/128", "fd99:2::1/128"] {
        netns.ip(&["addr", "add", address, "dev", "lo"]);
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
fn pid_is_a_process_with_the_children_it_has_and_gets() {
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
fn cgroup_is_one_with_its_descendants() {
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
fn a_command_is_recorded_with_its_tree_alone() {
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
