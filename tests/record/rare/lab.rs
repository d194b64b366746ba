// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Two namespaces that are recorded and captured at the same time, and the results of both.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::run::{Connection, Finished, Recorder, scratch};
use crate::support::audit;
use crate::support::impair::Impairment;
use crate::support::link::DEVICE;
use crate::support::netns::Netns;
use crate::support::packet_socket::PacketSocket;
use crate::support::pair::{Family, Pair};
use crate::support::table;
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::tcp_info::TcpInfo;

/// Variables that packets give exactly: the imported value is the kernel's.
pub const SAME: [&str; 15] = [
    "SegsIn",
    "DataSegsIn",
    "HCDataOctetsIn",
    "HCThruOctetsReceived",
    "SegsOut",
    "DataSegsOut",
    "HCDataOctetsOut",
    "SegsRetrans",
    "OctetsRetrans",
    "HCThruOctetsAcked",
    "SndInitial",
    "RecInitial",
    "RcvNxt",
    "SndUna",
    "DupAcksIn",
];

/// The same for identity.
pub const IDENTITY: [&str; 4] = ["opened_by", "closed_by", "close_reason", "completeness"];

/// Two namespaces, recorded and captured.
pub struct Lab {
    pub pair: Pair,
    recorder: Recorder,
    captures: Vec<(IpAddr, PathBuf, PacketSocket)>,
    scratch: TempDir,
}

/// An end of a connection, with the kernel's last values.
pub struct End {
    pub what: &'static str,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub info: Option<TcpInfo>,
}

impl End {
    pub fn of(
        what: &'static str,
        stream: &Stream,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> Self {
        Self { what, local, remote, info: Some(stream.info()) }
    }
}

/// The results.
pub struct Seen {
    pub finished: Finished,
    imported: Vec<(IpAddr, Vec<Connection>)>,
    _scratch: TempDir,
}

pub fn delayed() -> Impairment {
    Impairment { delay: Duration::from_millis(10), ..Impairment::default() }
}

impl Lab {
    pub fn new(pair: Pair) -> Self {
        let scratch = scratch();
        let (client, server) = (pair.client.name(), pair.server.name());
        let recorder =
            Recorder::start(&["--packets", "--all", "--netns", client, "--netns", server]);
        let capture = |netns: &Netns, device: &str, addr: IpAddr, name: &str| {
            let file = scratch.path().join(name);
            let capture = PacketSocket::start(netns, device, &file);
            (addr, file, capture)
        };
        let captures = vec![
            capture(&pair.client, DEVICE, pair.client_address(Family::V4), "client.pcap"),
            capture(&pair.server, DEVICE, pair.server_address(Family::V4), "server.pcap"),
            capture(&pair.client, "lo", "127.0.0.1".parse().expect("an address"), "lo.pcap"),
        ];
        Self { pair, recorder, captures, scratch }
    }

    pub fn client(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pair.client_address(Family::V4), port)
    }

    pub fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pair.server_address(Family::V4), port)
    }

    pub fn listener(&self, port: u16) -> Listener {
        Listener::bind(&self.pair.server, self.server(port), Options::default())
    }

    pub fn socket(&self, port: u16) -> Stream {
        let local = Some(self.client(port));
        Stream::unconnected(&self.pair.client, local, true, Options::default()).expect("a socket")
    }

    /// Ends the recording and the captures, and holds against each other what they have.
    pub fn check(self, ends: &[End]) -> Seen {
        // Whatever is under way.
        std::thread::sleep(Duration::from_millis(400));
        let finished = self.recorder.stop();
        finished.assert_code(0);
        let differs: Vec<_> = finished
            .table("audit")
            .into_iter()
            .filter(|row| row.text("verdict") == "differs")
            .map(|row| {
                let side = |name: &str| row.number(name);
                let sides = [side("replayed"), side("kernel"), side("packets")];
                format!("{}: {}: {sides:?}", row.int("conn_id"), row.text("relation"))
            })
            .collect();
        assert!(differs.is_empty(), "{differs:#?}");
        let mut imported = Vec::new();
        for (addr, file, capture) in self.captures {
            capture.stop();
            imported.push((addr, import(&file, addr)));
        }
        let seen = Seen { finished, imported, _scratch: self.scratch };
        for end in ends {
            let rows = seen.live(end.local, end.remote);
            let Some(row) = rows.last() else { panic!("{}: no row", end.what) };
            if let Some(info) = &end.info {
                audit::equalities(&row.values, info).assert(end.what, 23);
            }
            seen.compare(end, row);
        }
        seen
    }
}

/// The rows of a capture.
pub fn import(file: &Path, local: IpAddr) -> Vec<Connection> {
    let run = file.with_extension("run");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("import-pcap")
        .arg(file)
        .args(["--local", &local.to_string(), "-o"])
        .arg(&run)
        .output()
        .expect("estats-analyze");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !run.exists() {
        return Vec::new();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("replay")
        .arg(&run)
        .output()
        .expect("estats-analyze");
    assert!(output.status.code().is_some_and(|c| c == 0 || c == 3), "{said}");
    let table = |name: &str| table::read(&run.join("tables").join(name));
    let rows = table("connections.parquet").into_iter().zip(table("estats.parquet"));
    rows.map(|(identity, values)| Connection { identity, values }).collect()
}

pub fn of(rows: &[Connection], local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
    let mut rows: Vec<_> =
        rows.iter().filter(|r| r.local() == local && r.remote() == remote).cloned().collect();
    rows.sort_by_key(|row| row.identity.int("conn_id"));
    rows
}

impl Seen {
    /// Rows of the recording, in the order of their beginning.
    pub fn live(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
        of(&self.finished.connections(), local, remote)
    }

    /// Rows of the capture at this end.
    pub fn captured(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
        let found = self.imported.iter().find(|(addr, _)| *addr == local.ip());
        found.map(|(_, rows)| of(rows, local, remote)).unwrap_or_default()
    }

    /// The imported numbers are the kernel's.
    pub fn compare(&self, end: &End, live: &Connection) {
        let findings = self.differences(end, live, &[]);
        assert!(findings.is_empty(), "{}:\n  {}", end.what, findings.join("\n  "));
    }

    /// What differs between a row and that of the capture, but for these variables.
    pub fn differences(&self, end: &End, live: &Connection, but: &[&str]) -> Vec<String> {
        let rows = self.captured(end.local, end.remote);
        let Some(captured) = rows.last() else { panic!("{}: not in the capture", end.what) };
        let mut findings = Vec::new();
        for name in SAME.into_iter().filter(|name| !but.contains(name)) {
            let (a, b) = (live.values.number(name), captured.values.number(name));
            if a != b {
                findings.push(format!("{name}: {a:?} recorded, {b:?} imported"));
            }
        }
        for name in IDENTITY {
            let (a, b) = (live.identity.get(name), captured.identity.get(name));
            if a != b {
                findings.push(format!("{name}: {a:?} recorded, {b:?} imported"));
            }
        }
        findings
    }
}
