// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The values of the guest's kernel for its connections, as they leave the guest.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::capabilities::{Short, Trial};
use crate::support::crafted::Figure;
use crate::support::sock_diag::Socket;

/// Name of the file in a guest's output.
pub const FILE: &str = "facts.json";

/// One scenario, with all its connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the scenario.
    pub scenario: String,
    /// How long it took in the guest, s.
    pub seconds: f64,
    /// Why it could not be carried out.
    pub failure: Option<String>,
    /// Its connections.
    pub flows: Vec<FlowFacts>,
    /// MIB counters of the client's namespace, as `TcpExt.TCPTimeouts`.
    pub client_mib: BTreeMap<String, u64>,
    /// The server's.
    pub server_mib: BTreeMap<String, u64>,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowFacts {
    /// Client's address and port; port 0 where it was never known.
    pub client: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
    /// Octets the client wrote, if tcp_info does not have them.
    pub octets: Option<u64>,
    /// The client's struct tcp_info, octets, when nothing moved any more; empty if not read.
    pub client_info: Vec<u8>,
    /// The server's.
    pub server_info: Vec<u8>,
    /// The client's TCP_CC_INFO, words; empty if its congestion control has none.
    pub client_private: Vec<u32>,
}

/// One script of `support::crafted`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CraftedFacts {
    /// Name of the script.
    pub script: String,
    /// How often it was carried out.
    pub tries: u32,
    /// Why it could not be carried out.
    pub failure: Option<String>,
    /// Its connections, of the last time.
    pub connections: Vec<CraftedConnection>,
}

/// One connection of a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CraftedConnection {
    /// The socket's address and port.
    pub local: SocketAddr,
    /// The scripted peer's.
    pub remote: SocketAddr,
    /// The values that its row must have.
    pub figures: Vec<Figure>,
}

/// One recorder of the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Name of its hook set.
    pub set: String,
    /// Standard error; on failure it holds the verifier's words.
    pub said: String,
    /// Its exit status; `None`: it never began to record, or ended by a signal.
    pub status: Option<i32>,
    /// Seconds from its start to its first word that it records.
    pub loading: f64,
    /// Output of `estats-record check --json` for the set. Not of all sets of each kernel
    /// ([`crate::sets::is_checked`]): the kernel takes long to load the programs, and `check` loads all of them once
    /// more.
    pub check: Option<String>,
}

/// A recording with kprobes while programs of others run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disturbed {
    /// The recorder.
    pub recorded: Recorded,
    /// By the kind of program, each with a connection.
    pub phases: Vec<Phase>,
}

/// A time at which programs of one kind ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// Where they ran.
    pub by: String,
    /// There were any.
    pub disturbs: bool,
    /// Why they could not.
    pub failure: Option<String>,
    /// Before the first of them, CLOCK_MONOTONIC in ns.
    pub since_ns: u64,
    /// After the recorder's account for the last.
    pub until_ns: u64,
    /// The connection at that time.
    pub flow: FlowFacts,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Output {
    /// By scenario, in the order of the table.
    pub scenarios: Vec<Facts>,
    /// By script, in the order of their table.
    pub crafted: Vec<CraftedFacts>,
    /// By hook set.
    pub recorders: Vec<Recorded>,
    /// A recording of its own, if a hook set of the guest has kprobes.
    pub disturbed: Option<Disturbed>,
    /// By hook set, the digest of the tables that the guest itself made, or why it could not; empty
    /// where it was not asked to.
    #[serde(default)]
    pub replays: BTreeMap<String, Result<String, String>>,
}

/// The sockets of a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SocketFacts {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Messages of inet_diag.
    pub sockets: Vec<Socket>,
}

/// The trials of capabilities in a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PermissionFacts {
    /// `estats-record check` with few of them.
    pub trials: Vec<Trial>,
    /// Recordings with few of them.
    pub recordings: Vec<Short>,
}
