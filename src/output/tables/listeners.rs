// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! listeners.parquet and listener_series.parquet: listening sockets, and what their network namespaces
//! counted of connections that did not get in.

use std::collections::BTreeMap;

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::identity::addresses;
use crate::engine::time::timeline::Timeline;
use crate::schema::SocketField as F;
use crate::wire::Snapshot;

macro_rules! counters {
    ($($field:ident: $what:literal,)+) => {
        /// The counters of a namespace, with the names of their columns and what they count.
        const COUNTERS: [(F, &str, &str); [$(F::$field),+].len()] =
            [$((F::$field, concat!("netns_", stringify!($field)), $what)),+];
    };
}

counters! {
    ListenOverflows: "connections that arrived at a full accept queue; each retry counts again",
    ListenDrops: "connections that a listening socket did not accept, with those of full accept queues",
    SyncookiesSent: "SYN cookies sent",
    SyncookiesRecv: "connections made from valid SYN cookies",
    SyncookiesFailed: "acknowledgments with invalid SYN cookies",
    TCPReqQFullDoCookies: "SYNs that arrived at a full SYN queue and were answered with a SYN cookie",
    TCPReqQFullDrop: "SYNs that arrived at a full SYN queue and were dropped",
    TCPFastOpenListenOverflow: "Fast Open requests that arrived at a full Fast Open queue",
}

type Counters = [Option<u64>; COUNTERS.len()];

fn counters(s: &Snapshot) -> Counters {
    COUNTERS.map(|(field, ..)| s.values.get(field))
}

/// Number of tables.
pub(super) const COUNT: usize = 2;

pub(super) fn specs() -> Vec<TableSpec> {
    vec![listeners(), series()]
}

fn where_it_listens() -> Vec<ColumnSpec> {
    let c = ColumnSpec::new;
    vec![
        c("netns", K::Int64, "", "Inode number of the network namespace."),
        c("local_address", K::Text, "", "Address; 0.0.0.0 or :: for all."),
        c("local_port", K::Int32, "", "Port.").within(0, 65_535),
        c(
            "cookie",
            K::Int64,
            "",
            "Socket cookie, as `ss -le` shows it. Sockets that share a port (SO_REUSEPORT) have different ones.",
        )
        .within(i64::MIN, i64::MAX),
    ]
}

fn listeners() -> TableSpec {
    let c = ColumnSpec::new;
    let mut columns = vec![c("recording", K::Text, "", "UUID of the recording.")];
    columns.extend(where_it_listens());
    columns.extend([
        c("uid", K::Int64, "", "User id of the socket."),
        c("inode", K::Int64, "", "Inode number of the socket, as in /proc/PID/fd."),
        c("cgroup_id", K::Int64, "", "Id of its cgroup v2; NULL on kernels before 5.9."),
        c("first_seen_ns", K::Int64, "ns", "The first poll that saw it, CLOCK_MONOTONIC."),
        c("first_seen_ts", K::Time, "", "The same in wall-clock time."),
        c("last_seen_ns", K::Int64, "ns", "The last poll that saw it, CLOCK_MONOTONIC."),
        c("last_seen_ts", K::Time, "", "The same in wall-clock time."),
        c("polls", K::Int64, "", "Polls that saw it."),
        c(
            "accept_queue_max",
            K::Int64,
            "connections",
            "Most connections that waited for accept(), at a poll (sk_ack_backlog, Recv-Q of `ss -l`). Between two polls there may have been more.",
        ),
        c(
            "accept_queue_limit",
            K::Int64,
            "connections",
            "The backlog of listen(), at most net.core.somaxconn, at the last poll (sk_max_ack_backlog, Send-Q of `ss -l`). The queue is full when one more than this waits.",
        ),
        c(
            "accept_queue_full_polls",
            K::Int64,
            "",
            "Polls that found the accept queue full. NULL if no poll has the queue.",
        ),
        c(
            "drops",
            K::Int64,
            "",
            "Segments and connections that this socket dropped from the first to the last poll that saw it (sk_drops). The kernel counts an ACK that arrives at a full accept queue twice. NULL if there was only one poll.",
        ),
    ]);
    columns.extend(COUNTERS.iter().map(|&(_, name, _)| c(name, K::Int64, "", doc(name))));
    TableSpec {
        name: "listeners",
        doc: "Listening sockets, polled once a second and at the beginning and end of the recording: one row per socket, in the order in which they were first seen. The columns that begin with netns_ count for the whole network namespace, and are the same in all rows of a namespace: the difference between the first and the last poll of the recording that found a listening socket there (TcpExt in /proc/net/netstat, `nstat`); NULL if no socket was there at two polls. A socket that listened only between two polls is not here. A namespace is found within 5 s, even if the process by which it was found before has ended. In merged recordings the differences contain the time between the recordings. Recordings that choose processes, names or cgroups have no rows here. Older recordings have none either.",
        columns,
    }
}

fn series() -> TableSpec {
    let c = ColumnSpec::new;
    let mut columns = vec![
        c("recording", K::Text, "", "UUID of the recording."),
        c("ts_ns", K::Int64, "ns", "When this socket was read, CLOCK_MONOTONIC."),
        c("ts", K::Time, "", "The same in wall-clock time."),
        c("poll", K::Int64, "", "Number of the poll, from 0."),
    ];
    columns.extend(where_it_listens());
    columns.extend([
        c("accept_queue", K::Int64, "connections", "Connections that wait for accept()."),
        c("accept_queue_limit", K::Int64, "connections", "As in listeners."),
        c("drops", K::Int64, "", "As in listeners, since the socket exists, modulo 2^32."),
    ]);
    columns.extend(
        COUNTERS.iter().map(|&(field, name, _)| c(name, K::Int64, "", field.def().doc.trim())),
    );
    TableSpec {
        name: "listener_series",
        doc: "Listening sockets over time: one row per socket and poll, in order of time. Counters have the kernel's values, so differences of rows are what happened between them.",
        columns,
    }
}

/// The meaning of a counter's difference.
fn doc(name: &str) -> &'static str {
    // Once per process: descriptions live as long as it.
    static DOCS: std::sync::LazyLock<Vec<(&'static str, String)>> =
        std::sync::LazyLock::new(|| {
            let doc = |what: &str| format!("In the whole namespace during the recording: {what}.");
            COUNTERS.iter().map(|(_, name, what)| (*name, doc(what))).collect()
        });
    DOCS.iter().find(|(of, _)| *of == name).map_or("", |(_, doc)| doc)
}

/// The polls of one listening socket.
#[derive(Debug)]
struct Seen {
    /// The first poll that saw it.
    first: Snapshot,
    /// The last one.
    last: Snapshot,
    polls: u64,
    most: Option<u64>,
    /// Polls that found its queue full; none if no poll has the queue.
    full: Option<u64>,
}

/// The counters of a namespace.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    first: Counters,
    last: Counters,
    /// Number of the first poll.
    poll: Option<u32>,
    /// There was a second poll, so the difference has a meaning.
    again: bool,
}

/// All listening sockets of a recording.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// In the order in which they were first seen.
    all: Vec<Seen>,
    /// The place in it, by network namespace and cookie.
    places: BTreeMap<(u32, u64), usize>,
    /// By network namespace.
    netns: BTreeMap<u32, Counted>,
}

impl Listeners {
    /// Takes a poll of one of them.
    pub(super) fn polled(&mut self, s: &Snapshot) {
        let now = counters(s);
        let first = Counted { first: now, last: now, poll: s.poll, again: false };
        let counted = self.netns.entry(s.netns).or_insert(first);
        counted.last = now;
        counted.again |= s.poll != counted.poll;
        let place = *self.places.entry((s.netns, s.header.cookie)).or_insert(self.all.len());
        if place == self.all.len() {
            let (first, last) = (s.clone(), s.clone());
            self.all.push(Seen { first, last, polls: 0, most: None, full: None });
        }
        let seen = &mut self.all[place];
        let (queue, limit) = queue(s);
        seen.last = s.clone();
        seen.polls += 1;
        seen.most = seen.most.max(queue);
        // sk_acceptq_is_full(), include/net/sock.h.
        let is_full = queue.zip(limit).map(|(queue, limit)| u64::from(queue > limit));
        seen.full = is_full.map_or(seen.full, |full| Some(seen.full.unwrap_or(0) + full));
    }

    /// Adds the rows of the table.
    pub(super) fn rows(&self, table: &mut TableBuilder, recording: &str, clock: &Timeline) {
        for seen in &self.all {
            let Seen { first, last, polls, most, full } = seen;
            let drops = |s: &Snapshot| s.values.get(F::skmem_drops);
            let drops = drops(first).zip(drops(last)).filter(|_| *polls > 1);
            // A counter of 32 bits.
            let drops =
                drops.map(|(first, last)| u64::from((last as u32).wrapping_sub(first as u32)));
            let of = self.netns.get(&last.netns).copied().unwrap_or_default();
            let counted = of.first.into_iter().zip(of.last).map(|(first, last)| {
                let pair = first.zip(last).filter(|_| of.again);
                // One that goes back is of another namespace, which has the number of an earlier one.
                Cell::int(pair.and_then(|(first, last)| last.checked_sub(first)))
            });
            let rest = [
                Cell::int(last.values.get(F::uid)),
                Cell::int(last.values.get(F::inode)),
                Cell::int(last.values.get(F::cgroup_id)),
                Cell::from(first.header.ts_ns),
                Cell::int(clock.wall_us(first.header.ts_ns)),
                Cell::from(last.header.ts_ns),
                Cell::int(clock.wall_us(last.header.ts_ns)),
                Cell::from(*polls),
                Cell::int(*most),
                Cell::int(queue(last).1),
                Cell::int(*full),
                Cell::int(drops),
            ];
            let lead = [Cell::from(recording)].into_iter().chain(place(last));
            table.push(lead.chain(rest).chain(counted));
        }
    }
}

/// Connections that wait, and how many may.
fn queue(s: &Snapshot) -> (Option<u64>, Option<u64>) {
    (s.values.get(F::rqueue), s.values.get(F::wqueue))
}

fn place(s: &Snapshot) -> [Cell<'static>; 4] {
    let local = addresses(s.family, &s.local_addr, &s.remote_addr).map(|(local, _)| local);
    [
        Cell::from(u64::from(s.netns)),
        local.map_or(Cell::Null, |local| Cell::Text(local.to_string().into())),
        Cell::from(u64::from(s.local_port)),
        Cell::from(s.header.cookie),
    ]
}

/// Adds the row of a poll.
pub(super) fn push(table: &mut TableBuilder, recording: &str, clock: &Timeline, s: &Snapshot) {
    let lead = [
        Cell::from(recording),
        Cell::from(s.header.ts_ns),
        Cell::int(clock.wall_us(s.header.ts_ns)),
        Cell::int(s.poll.map(u64::from)),
    ];
    let (queue, limit) = queue(s);
    let values = [Cell::int(queue), Cell::int(limit), Cell::int(s.values.get(F::skmem_drops))];
    let counted = counters(s).map(Cell::int);
    table.push(lead.into_iter().chain(place(s)).chain(values).chain(counted));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::snapshot;

    #[test]
    fn a_queue_that_no_poll_has_was_not_empty() {
        let poll = |queue: Option<u64>, cookie| {
            let mut s = snapshot(5, cookie);
            s.values.set(F::rqueue, queue);
            s.values.set(F::wqueue, Some(3));
            s
        };
        let mut listeners = Listeners::default();
        for (queue, cookie) in [(None, 1), (None, 1), (None, 2), (Some(3), 2), (Some(4), 2)] {
            listeners.polled(&poll(queue, cookie));
        }
        let full: Vec<_> = listeners.all.iter().map(|seen| (seen.polls, seen.full)).collect();
        assert_eq!(full, [(2, None), (3, Some(1))]);
    }
}
