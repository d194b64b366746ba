// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A guest's recording, replayed here: the analyzer gives the same anywhere, and is ten times
//! faster without emulation.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use estats::engine::time::timeline::Of;
use estats::log::{PacketRow, Recording as Log};
use estats::schema::Hook;
use serde_json::Value as Json;

use crate::support::possible;
use crate::support::table::{self, Row};

/// One connection, of connections.parquet and estats.parquet.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its local and remote end.
    pub ends: (SocketAddr, SocketAddr),
    /// Identity, beginning and end.
    pub identity: Row,
    /// The variables.
    pub values: Row,
}

impl Connection {
    /// Whether something that it consists of is known to be missing.
    pub fn lossy(&self) -> bool {
        self.identity.text("completeness") == "lossy"
    }

    /// Whether the connection was open in a part of the interval.
    pub fn was_open_in(&self, skips: &Skips) -> bool {
        let end_ns = self.identity.int("end_ns");
        self.identity.int("begin_ns") <= skips.until_ns && skips.since_ns <= end_ns
    }
}

/// Whether rows of connections are made of the records of this hook.
fn is_of_connections(hook: &str) -> bool {
    let hook = Hook::ALL.iter().find(|h| h.name() == hook);
    hook.is_none_or(|hook| Of::hook(*hook) == Of::Connections)
}

/// Packets that interfaces received or sent.
fn at_interfaces(dir: &Path) -> Result<usize, String> {
    let recording = Log::open(dir).map_err(|e| e.to_string())?;
    let mut count = 0;
    for row in recording.packets() {
        if let PacketRow::Packet(packet) = row.map_err(|e| e.to_string())? {
            count += usize::from(matches!(packet.hook, Hook::InterfaceIn | Hook::InterfaceOut));
        }
    }
    Ok(count)
}

/// Activations that the kernel skipped, somewhere in an interval.
#[derive(Clone, Copy, Debug)]
pub struct Skips {
    /// Its beginning, CLOCK_MONOTONIC.
    pub since_ns: i64,
    /// Its end: when they were counted.
    pub until_ns: i64,
    /// Rows of connections depend on the hook. On one of packets or of dropped packets they do not.
    pub of_connections: bool,
    /// How many.
    pub count: i64,
}

/// A replayed recording.
#[derive(Debug)]
pub struct Recording {
    /// Digest of all tables.
    pub digest: String,
    /// All connections.
    pub connections: Vec<Connection>,
    /// The hook set that recorded, by the manifest.
    pub hook_set: String,
    /// Quality of every variable, by the manifest.
    pub qualities: BTreeMap<String, String>,
    /// Activations that the kernel skipped, by hook: a program that would interrupt itself.
    pub skipped: BTreeMap<String, i64>,
    /// The same, with the interval of each count.
    pub skips: Vec<Skips>,
    /// Kprobes that the kernel skips are not counted.
    pub uncounted: bool,
    /// The kernel counts them by itself.
    pub counts_kprobes: bool,
    /// Major and minor number of the kernel.
    pub release: (u32, u32),
    /// The kernel has type information of modules.
    pub module_btf: bool,
    /// The ledger's sum.
    pub totals: Json,
    /// The self-audit, by conn_id.
    pub audit: BTreeMap<i64, Vec<Row>>,
    /// The snapshot of each connection that was open at the end, by conn_id.
    pub last: BTreeMap<i64, Row>,
    /// Packets at interfaces.
    pub at_interfaces: usize,
    /// Snapshots over time.
    pub polls: usize,
}

impl Recording {
    /// Verifies and replays; what goes wrong is the error.
    pub fn read(dir: &Path) -> Result<Self, String> {
        analyze(&["verify".as_ref(), dir.as_ref()], &[0])?;
        let digest = replay(dir, None)?;
        let path = dir.join("manifest.json");
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let manifest: Json =
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let impossible = possible::look(&dir.join("tables")).impossible;
        if !impossible.is_empty() {
            return Err(impossible.join("; "));
        }
        let values: BTreeMap<i64, Row> = table::read(&dir.join("tables/estats.parquet"))
            .into_iter()
            .map(|row| (row.int("conn_id"), row))
            .collect();
        let mut audit: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        for row in table::read(&dir.join("tables/audit.parquet")) {
            audit.entry(row.int("conn_id")).or_default().push(row);
        }
        let sockets = table::read(&dir.join("tables/sockets.parquet"));
        let polls = sockets.iter().filter(|row| row.text("why") == "poll").count();
        let last = sockets
            .into_iter()
            .filter(|row| row.text("why") == "end")
            .filter_map(|row| Some((row.number("conn_id")?, row)))
            .collect();
        let mut connections = Vec::new();
        for identity in table::read(&dir.join("tables/connections.parquet")) {
            let id = identity.int("conn_id");
            let values = values.get(&id).ok_or(format!("estats has no conn_id {id}"))?.clone();
            let ends = (
                identity.endpoint("local_address", "local_port"),
                identity.endpoint("remote_address", "remote_port"),
            );
            connections.push(Connection { ends, identity, values });
        }
        let qualities = qualities(&manifest)?;
        let hook_set = manifest["hook_set"].as_str().unwrap_or_default().to_owned();
        let not_seen = manifest["not_seen"].as_array().map_or(&[][..], Vec::as_slice);
        let uncounted = not_seen
            .iter()
            .filter_map(|it| it["what"].as_str())
            .any(|what| what.contains("nothing counts that"));
        let counts_kprobes = release(&manifest) >= (6, 7);
        let module_btf = release(&manifest) >= (5, 11);
        let (mut skipped, mut skips) = (BTreeMap::new(), Vec::new());
        for row in table::read(&dir.join("tables/ledger.parquet")) {
            if row.text("kind") == "skipped" {
                *skipped.entry(row.text("hook").to_owned()).or_default() += row.int("value");
                skips.push(Skips {
                    since_ns: row.int("since_ns"),
                    until_ns: row.int("ts_ns"),
                    of_connections: is_of_connections(row.text("hook")),
                    count: row.int("value"),
                });
            }
        }
        let totals = manifest["totals"].clone();
        Ok(Self {
            digest,
            connections,
            hook_set,
            qualities,
            skipped,
            skips,
            uncounted,
            counts_kprobes,
            release: release(&manifest),
            module_btf,
            totals,
            audit,
            last,
            at_interfaces: at_interfaces(dir)?,
            polls,
        })
    }

    /// The one row with these ends; port 0 is any.
    pub fn one(&self, local: SocketAddr, remote: SocketAddr) -> Result<&Connection, String> {
        let same = |a: SocketAddr, b: SocketAddr| {
            a.ip() == b.ip() && (a.port() == 0 || a.port() == b.port())
        };
        let mut found = self.connections.iter().filter(|c| same(local, c.ends.0));
        let mut found = found.by_ref().filter(|c| same(remote, c.ends.1));
        match (found.next(), found.count()) {
            (Some(one), 0) => Ok(one),
            (Some(_), more) => Err(format!("{} rows for {local} -> {remote}", more + 1)),
            (None, _) => Err(format!("no row for {local} -> {remote}")),
        }
    }

    /// Whether the variable's value is meant to be the defined one.
    pub fn is_true(&self, variable: &str) -> bool {
        self.has(variable) && self.qualities[variable] != "approximate"
    }

    /// Whether the hook set gives the variable at all.
    pub fn has(&self, variable: &str) -> bool {
        self.qualities.get(variable).is_some_and(|quality| quality != "missing")
    }
}

/// Quality by name, of a manifest or of the output of `check`.
pub fn qualities(json: &Json) -> Result<BTreeMap<String, String>, String> {
    let variables = json["variables"].as_array().ok_or("no list of variables")?;
    let word = |entry: &Json, key: &str| {
        let word = entry[key].as_str().map(str::to_owned);
        word.ok_or_else(|| format!("a variable without {key}: {entry}"))
    };
    variables.iter().map(|entry| Ok((word(entry, "name")?, word(entry, "quality")?))).collect()
}

/// Makes a recording's tables, in it or elsewhere; their digest.
pub fn replay(recording: &Path, tables: Option<&Path>) -> Result<String, String> {
    let mut arguments: Vec<&OsStr> = vec!["replay".as_ref(), recording.as_ref()];
    if let Some(tables) = tables {
        arguments.extend([OsStr::new("-o"), tables.as_ref()]);
    }
    // 3: something is missing, by the ledger.
    let said = analyze(&arguments, &[0, 3])?;
    let digest = said.lines().find_map(|line| line.strip_prefix("digest "));
    digest.map(str::to_owned).ok_or(format!("no digest:\n{said}"))
}

/// Its standard output; an error unless it ends with one of these statuses.
fn analyze(arguments: &[&OsStr], fine: &[i32]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .output()
        .map_err(|e| format!("estats-analyze cannot be started: {e}"))?;
    if output.status.code().is_some_and(|code| fine.contains(&code)) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "estats-analyze {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Major and minor of the kernel.
fn release(manifest: &Json) -> (u32, u32) {
    let release = manifest["host"]["kernel_release"].as_str().unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
