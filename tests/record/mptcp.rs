// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Multipath TCP: the kernel's own threads open and close subflows, but they are the application's.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::run::{Connection, Finished, Recorder, analyze};
use crate::support::gate;
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::Process;
use crate::{PERL, SUITE};

/// What the client sends.
const OCTETS: u64 = 20_000_000;
const PORT: u16 = 5201;
/// Local addresses of the client's two paths.
const PATHS: [&str; 2] = ["10.79.1.1", "10.79.2.1"];

/// A Perl program that accepts one connection and reads it to its end.
const SERVER: &str = "use Socket; $| = 1; socket(my $l, PF_INET, SOCK_STREAM, PROTOCOL) or die $!; \
     setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1); \
     bind($l, pack_sockaddr_in(5201, INADDR_ANY)) or die $!; listen($l, 5) or die $!; \
     print \"ready\\n\"; my ($n, $data) = (0); \
     accept(my $s, $l) or die $!; while (my $got = sysread($s, $data, 1 << 16)) { $n += $got } \
     print \"$n\\n\";";

/// One that connects and sends; it prints the token that the kernel gives for its socket (the
/// fourth number of MPTCP_INFO), in the middle of it.
const CLIENT: &str = "use Socket; $| = 1; socket(my $s, PF_INET, SOCK_STREAM, 262) or die $!; \
     connect($s, pack_sockaddr_in(5201, inet_aton('10.79.1.2'))) or die $!; \
     my $data = 'x' x 100_000; my $n = 0; \
     while ($n < 20_000_000) { $n += syswrite($s, $data) // die $!; \
       if ($n == 10_000_000) { \
         my $info = getsockopt($s, 284, 1); print unpack('x12 L', $info // 0 x 16), \"\\n\" } } \
     close $s;";

/// Two namespaces with two links, over both of which a client's connections go.
struct Paths {
    client: Netns,
    server: Netns,
}

impl Paths {
    /// None where the kernel has no MPTCP.
    fn new() -> Option<Self> {
        if !Path::new("/proc/sys/net/mptcp/enabled").exists() {
            eprintln!("skipped: this kernel has no MPTCP");
            return None;
        }
        let (client, server) = (Netns::new("mpc"), Netns::new("mps"));
        for (i, path) in PATHS.iter().enumerate() {
            let (here, there) = (format!("mp{i}"), format!("mq{i}"));
            let far = path.replace(".1.1", ".1.2").replace(".2.1", ".2.2");
            client.ip(&["link", "add", &here, "type", "veth", "peer", "name", &there]);
            client.ip(&["link", "set", &there, "netns", server.name()]);
            client.add_address(&format!("{path}/24"), &here);
            client.ip(&["link", "set", &here, "up"]);
            server.add_address(&format!("{far}/24"), &there);
            server.ip(&["link", "set", &there, "up"]);
        }
        for netns in [&client, &server] {
            netns.sysctl("mptcp/enabled", "1");
            netns.ip(&["mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2"]);
        }
        // From the second path's address the server is reached through that path.
        client.ip(&["rule", "add", "from", PATHS[1], "table", "79"]);
        client.ip(&["route", "add", "default", "via", "10.79.2.2", "dev", "mp1", "table", "79"]);
        client.ip(&["mptcp", "endpoint", "add", PATHS[1], "dev", "mp1", "subflow"]);
        Some(Self { client, server })
    }

    /// Starts the server; listening on return.
    fn serve(&self, protocol: u32) -> (Process, BufReader<std::process::ChildStdout>) {
        let mut command = self.server.command("perl");
        command.args(["-e", &SERVER.replace("PROTOCOL", &protocol.to_string())]);
        let mut server = Process::start(&mut command);
        let mut out = BufReader::new(server.0.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("its line");
        assert_eq!(line, "ready\n");
        (server, out)
    }

    fn command(&self) -> [&str; 6] {
        ["ip", "netns", "exec", self.client.name(), "perl", "-e"]
    }
}

fn read_number(mut out: impl BufRead) -> u64 {
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    line.trim().parse().unwrap_or_else(|_| panic!("{line:?} is not a number"))
}

fn locals(rows: &[Connection]) -> BTreeSet<String> {
    rows.iter().map(|row| row.local().ip().to_string()).collect()
}

fn sum(rows: &[Connection], name: &str) -> u64 {
    rows.iter().map(|row| row.values.int(name) as u64).sum()
}

fn summary(finished: &Finished) -> String {
    let output = analyze(&["summary"], &finished.dir);
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_commands_subflows_are_all_recorded_and_are_its_own() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let Some(paths) = Paths::new() else { return };
    let (mut server, out) = paths.serve(262);
    let arguments = [&["--"][..], &paths.command(), &[CLIENT]].concat();
    let finished = Recorder::start(&arguments).wait();
    finished.assert_code(0);
    assert_eq!(read_number(out), OCTETS, "the server has it all");
    server.release();
    let token: i64 = finished.stdout.trim().parse().expect("a token");
    let rows = finished.connections();
    assert_eq!(locals(&rows), PATHS.map(str::to_owned).into(), "both paths' subflows");
    // Data may be retransmitted on the other path.
    let sent = sum(&rows, "HCDataOctetsOut");
    assert!(sent >= OCTETS, "{sent} octets sent");
    let owners: BTreeSet<_> = rows
        .iter()
        .map(|row| (row.identity.text("comm").to_owned(), row.identity.int("pid")))
        .collect();
    assert_eq!(owners.len(), 1, "{owners:?}");
    assert_eq!(owners.first().expect("one").0, "perl");
    for row in &rows {
        assert_eq!(row.identity.int("mptcp_id"), token);
        assert_eq!(row.completeness(), "complete");
    }
    let said = summary(&finished);
    assert!(said.contains(&format!("MPTCP {token}: connections 1, 2: ")), "{said}");
    let said = format!(
        "every subflow has a row, `{}`; the {} rows of one MPTCP connection have its token in \
         `mptcp_id` and its process as their owner",
        rows[0].completeness(),
        rows.len()
    );
    trust::says("MPTCP, with subflows that the kernel opens", &said);
}

#[test]
fn a_servers_subflows_have_its_process_and_their_connection() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let Some(paths) = Paths::new() else { return };
    let (mut server, out) = paths.serve(262);
    let pid = server.0.id();
    // `ip netns exec` becomes the program it starts.
    let by_pid = Recorder::start(&["--pid", &pid.to_string()]);
    let mut client = paths.client.command("perl");
    let status = client.args(["-e", CLIENT]).stdout(Stdio::null()).status().expect("perl");
    assert!(status.success());
    assert_eq!(read_number(out), OCTETS);
    server.release();
    let finished = by_pid.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.len(), 2);
    let tokens: BTreeSet<i64> = rows.iter().map(|row| row.identity.int("mptcp_id")).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    for row in &rows {
        assert_eq!(row.identity.int("pid"), i64::from(pid));
        assert_eq!(row.local().port(), PORT);
    }
    assert!(sum(&rows, "HCThruOctetsReceived") >= OCTETS);
}

#[test]
fn a_peer_without_mptcp_makes_it_plain_tcp() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let Some(paths) = Paths::new() else { return };
    let (mut server, out) = paths.serve(libc::IPPROTO_TCP as u32);
    let recorder =
        Recorder::start(&["--netns", paths.client.name(), "--netns", paths.server.name()]);
    let mut client = paths.client.command("perl");
    let status = client.args(["-e", CLIENT]).stdout(Stdio::null()).status().expect("perl");
    assert!(status.success());
    assert_eq!(read_number(out), OCTETS);
    server.release();
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.len(), 2, "both ends");
    for row in &rows {
        assert_eq!(row.identity.number("mptcp_id"), None);
        assert_eq!(row.identity.text("comm"), "perl");
    }
    assert!(!summary(&finished).contains("MPTCP"));
}
