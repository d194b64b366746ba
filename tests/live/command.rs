// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording of a command: its connections, and its exit status passed on.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::SUITE;
use crate::recording::{record_command, wait};
use crate::scenario::clean;
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::pair::{Family, Pair};

const PORT: u16 = 5201;
/// The cookie with which iperf3 begins each connection.
const COOKIE: i64 = 37;

/// A one-off iperf3 server, ended with the test.
struct Server(Child);

impl Server {
    fn start(netns: &Netns) -> Self {
        let mut command = netns.command("iperf3");
        command.args(["--server", "--one-off", "--port", &PORT.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("iperf3");
        let server = Self(child);
        let begun = Instant::now();
        while !netns.listens(PORT) {
            assert!(begun.elapsed() < Duration::from_secs(10), "iperf3 does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After its one test it ends by itself.
        if wait(&mut self.0, Duration::from_secs(2)).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[test]
fn iperf3_under_the_recorder() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["iperf3"], ..Needs::BPF }) else {
        return;
    };
    let pair = Pair::symmetric(clean());
    let _server = Server::start(&pair.server);
    let address = pair.server_address(Family::V4);
    let command = [
        "ip",
        "netns",
        "exec",
        pair.client.name(),
        "iperf3",
        "--client",
        &address.to_string(),
        "--congestion",
        "cubic",
        "--bytes",
        "2M",
        "--json",
    ];
    let (output, recording) = record_command(&command);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(recording.manifest["exit_status"].as_i64(), Some(0));
    let recorded: Vec<&str> = recording.manifest["command"]
        .as_array()
        .map(|words| words.iter().filter_map(Json::as_str).collect())
        .expect("the manifest holds the command");
    assert_eq!(recorded, command);

    // The command's own output passes through, and is all there is on standard output.
    let report: Json = serde_json::from_slice(&output.stdout).expect("iperf3's JSON");
    let remote = SocketAddr::new(address, PORT);
    let rows: Vec<_> = recording.all().collect();
    assert_eq!(rows.len(), 2, "control and data, of the client only: {rows:?}");
    for ((_, to), row) in &rows {
        assert_eq!(*to, remote);
        assert_eq!(row.identity.text("comm"), "iperf3");
        row.assert_identity(&[("opened_by", "local")]);
        // iperf3 ends without waiting for its last FINs, and the recording ends with iperf3: the
        // change to CLOSE comes a round-trip later, seen or not.
        let completeness = row.identity.text("completeness");
        assert!(matches!(completeness, "complete" | "ended_after"), "{completeness}");
    }
    let local_port = report["start"]["connected"][0]["local_port"].as_i64().expect("a port");
    let data = rows.iter().find(|((from, _), _)| i64::from(from.port()) == local_port);
    let values = &data.expect("a row with the port iperf3 reports").1.values;
    let sender = &report["end"]["streams"][0]["sender"];
    let written = sender["bytes"].as_i64().expect("octets written");
    let received = report["end"]["sum_received"]["bytes"].as_i64().expect("octets received");
    // Between what the server read and what the client wrote: it closes without waiting for the
    // rest.
    let sent_new = values.int("HCDataOctetsOut") - values.int("OctetsRetrans") - COOKIE;
    assert!((received..=written).contains(&sent_new), "{received} <= {sent_new} <= {written}");
    assert!(received > 1_000_000, "{received} octets received of 2 MB");
    assert!(values.int("CountRTT") > 0);
}

#[test]
fn exit_status_is_passed_on() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["iperf3"], ..Needs::BPF }) else {
        return;
    };
    let pair = Pair::symmetric(clean());
    // One refused connection, so that there is something to record, then a status of its own.
    let address = pair.server_address(Family::V4).to_string();
    let script = format!("iperf3 --client {address} --port 9 >&2; exit 7");
    let name = pair.client.name();
    let (output, recording) = record_command(&["ip", "netns", "exec", name, "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(recording.manifest["exit_status"].as_i64(), Some(7));
    let rows: Vec<_> = recording.all().collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].1.assert_identity(&[("close_reason", "refused"), ("completeness", "complete")]);
}
