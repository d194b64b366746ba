// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! connections.parquet: who, from when to when, from where to where, opened and closed by whom, and
//! why it was not faster.

use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use super::figures::{Figures, columns};
use super::{TableSpec, states};
use crate::engine::estats::Ended;
use crate::engine::time::timeline::Timeline;
use crate::schema::{Hook, Var};

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    let mut spec = TableSpec {
        name: "connections",
        doc: "Identity, owner, beginning and end, and why it was not faster: one row per connection, in the order in which they ended. The times in TCP states (syn_sent_ns to closing_ns) end with the recording if the connection was still open. Such a time is 0 if the connection was never in the state. It is NULL if a part of it may not have been seen: in lossy rows, in states that may have been before the recording, and in all states of a connection that began before an imported capture.",
        columns: vec![
            c(
                "conn_id",
                K::Int64,
                "",
                "Number of the connection in the recording, from 1, in order of appearance.",
            ),
            c("recording", K::Text, "", "UUID of the recording."),
            c(
                "completeness",
                K::Text,
                "",
                "complete, lossy (records were lost or out of order while it lived, or the row itself shows that something is missing: silent_hooks, discarded), begun_before (open before the recording) or ended_after (open when it ended); the first of lossy, begun_before, ended_after that applies.",
            ),
            c(
                "lost_records",
                K::Int64,
                "records",
                "Records lost on any CPU while the connection lived; some may have been its own.",
            ),
            c(
                "late_records",
                K::Int64,
                "records",
                "Its records that came too late to be put in order.",
            ),
            c(
                "counted_since_ns",
                K::Int64,
                "ns",
                "Since when the recorder counted, CLOCK_MONOTONIC: columns whose metadata has the basis recording count from then, those of the basis connection from the connection's beginning. For a connection begun before the recording it is when the recorder found it; NULL if that is not known.",
            ),
            c(
                "silent_hooks",
                K::Text,
                "",
                "Hooks that saw nothing of this connection although its counters changed. Variables that only these hooks give are NULL. NULL if there were none.",
            ),
            c(
                "discarded",
                K::Text,
                "",
                "Variables with an impossible value, which was discarded (an RTT sample below zero, a minimum above the maximum). They are NULL, and so are the variables derived from them. NULL if there were none.",
            ),
            c("begun_before", K::Bool, "", "Its beginning was not seen."),
            c("ended_after", K::Bool, "", "It was open when the recording ended."),
            c("cookie", K::Int64, "", "Kernel socket cookie, as shown by ss -e.")
                .within(i64::MIN, i64::MAX),
            c("generation", K::Int32, "", "Which of the connections of that socket, from 0."),
            c(
                "begin_ns",
                K::Int64,
                "ns",
                "Beginning, CLOCK_MONOTONIC: connect() or the child's creation. For a connection begun before the recording: when it was first seen.",
            ),
            c("begin_ts", K::Time, "", "The same in wall-clock time."),
            c(
                "end_ns",
                K::Int64,
                "ns",
                "End, CLOCK_MONOTONIC: the change to CLOSE, or the end of the recording.",
            ),
            c("end_ts", K::Time, "", "The same in wall-clock time."),
            c("duration_s", K::Float64, "s", "From beginning to end."),
            c("family", K::Text, "", "ipv4 or ipv6; IPv4-mapped IPv6 is ipv4."),
            c("local_address", K::Text, "", "Local IP address."),
            c("local_port", K::Int32, "", "Local TCP port.").within(0, 65_535),
            c("remote_address", K::Text, "", "Remote IP address."),
            c("remote_port", K::Int32, "", "Remote TCP port.").within(0, 65_535),
            c("netns", K::Int64, "", "Inode of the network namespace, as in /proc/PID/ns/net."),
            c("cgroup", K::Text, "", "Path of the socket's cgroup v2."),
            c(
                "container_id",
                K::Text,
                "",
                "Container id in that path (docker, containerd, CRI-O, podman).",
            ),
            c("pid", K::Int64, "", "Process id of the owner."),
            c("uid", K::Int64, "", "User id of the socket."),
            c("comm", K::Text, "", "Command name of the owner."),
            c(
                "mptcp_id",
                K::Int64,
                "",
                "Token of the Multipath TCP connection that this is a subflow of, the same for all its subflows on this host (ss -M, MPTCP_INFO); NULL for plain TCP, also where the peer did not agree to MPTCP.",
            ),
            c("congestion_control", K::Text, "", "Congestion control in force at the end."),
            c("established", K::Bool, "", "Whether it reached ESTABLISHED."),
            c("opened_by", K::Text, "", "local, remote or unknown."),
            c(
                "closed_by",
                K::Text,
                "",
                "Whose FIN came first, else who reset it: local, remote, none (a timeout, or still open) or unknown.",
            ),
            c(
                "close_reason",
                K::Text,
                "",
                "fin, reset_received, reset_sent, refused, timeout, unreachable, abandoned (closed before established), aborted (from outside) or error; NULL if the end was not seen.",
            ),
            c(
                "end_state",
                K::Text,
                "",
                "State before CLOSE, or at the end of the recording, by its RFC 4898 name.",
            ),
            c("error", K::Int32, "errno", "sk_err at the end, 0 for none.").within(0, 4095),
        ],
    };
    spec.columns.extend(columns());
    spec.columns.extend(states::columns());
    spec
}

/// Adds the row of a connection. Columns that only a recording with a `kernel` can have are NULL without
/// one.
pub(super) fn push(
    table: &mut TableBuilder,
    recording: &str,
    clock: &Timeline,
    ended: &Ended<'_>,
    kernel: bool,
    figures: &Figures,
) {
    let identity = ended.identity;
    let l = identity.lifecycle();
    let addresses = identity.addresses();
    let address =
        |a: Option<std::net::IpAddr>| a.map_or(Cell::Null, |a| Cell::Text(a.to_string().into()));
    let text = |s: Option<&str>| s.filter(|s| !s.is_empty()).map(str::to_owned);
    let owned = |s: Option<String>| s.map_or(Cell::Null, |s| Cell::Text(s.into()));
    let names = |names: Vec<&str>| match names.join(", ") {
        none if none.is_empty() => Cell::Null,
        names => Cell::Text(names.into()),
    };
    let over = l.filter(|_| identity.end_state().is_some());
    let identity = [
        Cell::from(ended.conn_id),
        Cell::from(recording),
        Cell::from(ended.completeness().name()),
        Cell::from(ended.lost_records),
        Cell::from(ended.late_records),
        Cell::int(ended.counted_since_ns),
        names(ended.silent.hooks().map(Hook::name).collect()),
        names(ended.row.discarded().iter().map(Var::name).collect()),
        Cell::Bool(ended.begun_before),
        Cell::Bool(ended.ended_after),
        Cell::int(kernel.then_some(ended.cookie)),
        Cell::int(kernel.then_some(u64::from(ended.generation))),
        Cell::from(ended.begin_ns),
        Cell::int(clock.wall_us(ended.begin_ns)),
        Cell::from(ended.end_ns),
        Cell::int(clock.wall_us(ended.end_ns)),
        Cell::Float(ended.end_ns.saturating_sub(ended.begin_ns) as f64 / 1e9),
        Cell::text(identity.family()),
        address(addresses.map(|(local, _)| local)),
        Cell::int(l.map(|l| u64::from(l.local_port))),
        address(addresses.map(|(_, remote)| remote)),
        Cell::int(l.map(|l| u64::from(l.remote_port))),
        Cell::int(l.map(|l| u64::from(l.netns)).filter(|&n| n != 0)),
        owned(text(l.map(|l| l.cgroup_path.as_str()))),
        Cell::text(identity.container_id()),
        Cell::int(l.map(|l| u64::from(l.pid)).filter(|&pid| pid != 0)),
        Cell::int(l.filter(|_| kernel).map(|l| u64::from(l.uid))),
        owned(text(l.map(|l| l.comm.as_str()))),
        Cell::int(l.map(|l| u64::from(l.mptcp)).filter(|&token| token != 0)),
        owned(text(l.map(|l| l.congestion.as_str()))),
        l.map_or(Cell::Null, |l| Cell::Bool(l.established != 0)),
        Cell::from(identity.opened_by().name()),
        Cell::from(identity.closed_by().name()),
        Cell::text(identity.close_reason().map(|r| r.name())),
        Cell::text(identity.end_state()),
        Cell::int(over.filter(|_| kernel).map(|l| u64::from(l.sk_err))),
    ];
    let times = states::cells(ended, kernel);
    table.push(identity.into_iter().chain(figures.cells()).chain(times));
}
