// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! sockets.parquet: what the kernel knew of sockets over time.

use std::net::IpAddr;

use super::TableSpec;
use super::columns::{Cell, ColumnKind, ColumnSpec, TableBuilder};
use crate::engine::estats::Polled;
use crate::engine::identity::addresses;
use crate::engine::time::timeline::Timeline;
use crate::schema::{SocketField, SocketType};
use crate::wire::Snapshot;

/// TCP_SYN_SENT, include/net/tcp_states.h.
const SYN_SENT: u64 = 2;
/// How much later than the clock the kernel's jiffies may be. They are counted in the tick of a timer,
/// every 10 ms at most, and a processor of a virtual machine that does not run has none.
const LATE_MS: u64 = 1_000;

/// Those of sockets: what namespaces count is beside their listening sockets.
fn fields() -> impl Iterator<Item = SocketField> {
    SocketField::ALL.iter().copied().filter(|field| field.is_of_connections())
}

pub(super) fn spec() -> TableSpec {
    let mut columns = vec![
        ColumnSpec::new(
            "conn_id",
            ColumnKind::Int64,
            "",
            "Number of the connection, as in connections; NULL for a socket without a row there.",
        ),
        ColumnSpec::new("recording", ColumnKind::Text, "", "UUID of the recording."),
        ColumnSpec::new(
            "ts_ns",
            ColumnKind::Int64,
            "ns",
            "When this socket was read, CLOCK_MONOTONIC.",
        ),
        ColumnSpec::new("ts", ColumnKind::Time, "", "The same in wall-clock time."),
        ColumnSpec::new("t_s", ColumnKind::Float64, "s", "Seconds since the connection began. NULL if its beginning was not seen. In the open snapshot it may be slightly below 0.")
            .since_begin(),
        ColumnSpec::new(
            "why",
            ColumnKind::Text,
            "",
            "poll (--snapshots), open (ESTABLISHED), baseline (open before the recording), close (final values), or end (still open at the end).",
        ),
        ColumnSpec::new(
            "poll",
            ColumnKind::Int64,
            "",
            "Number of the poll, from 0; NULL in rows of an event.",
        ),
        ColumnSpec::new(
            "cookie",
            ColumnKind::Int64,
            "",
            "Socket cookie, as in connections and `ss -e`.",
        )
        .within(i64::MIN, i64::MAX),
        ColumnSpec::new(
            "generation",
            ColumnKind::Int32,
            "",
            "Counts the connections of one socket; 0 where not known.",
        ),
        ColumnSpec::new("netns", ColumnKind::Int64, "", "Inode number of the network namespace."),
        ColumnSpec::new("local_address", ColumnKind::Text, "", "Local IP address."),
        ColumnSpec::new("local_port", ColumnKind::Int32, "", "Local port.").within(0, 65_535),
        ColumnSpec::new("remote_address", ColumnKind::Text, "", "Remote IP address."),
        ColumnSpec::new("remote_port", ColumnKind::Int32, "", "Remote port.").within(0, 65_535),
        ColumnSpec::new("congestion", ColumnKind::Text, "", "Congestion control in force."),
        ColumnSpec::new(
            "ulp",
            ColumnKind::Text,
            "",
            "Upper layer protocol in the kernel (INET_ULP_INFO_NAME): tls, mptcp, espintcp, smc; NULL without one, and in rows that were not polled by netlink with CAP_NET_ADMIN.",
        ),
        ColumnSpec::new(
            "tcp_info_more",
            ColumnKind::Text,
            "",
            "Octets of the kernel's struct tcp_info beyond the fields that this program knows, in hexadecimal; NULL where there are none, and in rows that were not polled by netlink.",
        ),
    ];
    columns.extend(fields().map(|field| {
        let def = field.def();
        let kind = match def.ty {
            SocketType::U8 | SocketType::U16 => ColumnKind::Int32,
            SocketType::U32 | SocketType::U64 => ColumnKind::Int64,
        };
        let range = field.range();
        ColumnSpec::new(def.name, kind, def.unit, def.doc).within(range.least, range.most)
    }));
    TableSpec {
        name: "sockets",
        doc: "The kernel's values of sockets: one row per socket and poll of --snapshots, and one row at the beginning and at the end of each connection. The row at the end is read at the instant of the final values in the other tables. Fields of struct tcp_info have its names and units. A field that the kernel or the socket does not have is NULL. In order of time.",
        columns,
    }
}

pub(super) fn push(
    table: &mut TableBuilder,
    recording: &str,
    clock: &Timeline,
    polled: &Polled<'_>,
) {
    let s = polled.snapshot;
    let ts_ns = s.header.ts_ns;
    let begin_ns = polled.connection.and_then(|(_, begin_ns)| begin_ns);
    let t_s = begin_ns.map_or(Cell::Null, |begin_ns| {
        // The open snapshot may come before the connection's own idea of its beginning.
        Cell::Float((i128::from(ts_ns) - i128::from(begin_ns)) as f64 / 1e9)
    });
    let (local, remote) = addresses(s.family, &s.local_addr, &s.remote_addr).unzip();
    let address = |a: Option<IpAddr>| a.map_or(Cell::Null, |a| Cell::Text(a.to_string().into()));
    let text = |text: &str| {
        if text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned().into()) }
    };
    let lead = [
        Cell::int(polled.connection.map(|(conn_id, _)| conn_id)),
        Cell::from(recording),
        Cell::from(ts_ns),
        Cell::int(clock.wall_us(ts_ns)),
        t_s,
        Cell::from(s.why.name()),
        Cell::int(s.poll.map(u64::from)),
        Cell::from(s.header.cookie),
        Cell::from(u64::from(s.header.generation)),
        Cell::from(u64::from(s.netns)),
        address(local),
        Cell::from(u64::from(s.local_port)),
        address(remote),
        Cell::from(u64::from(s.remote_port)),
        Cell::from(s.congestion.as_str()),
        text(&s.ulp),
        text(&hexadecimal(&s.tcp_info_more)),
    ];
    let life_ms = begin_ns.map(|begin_ns| ts_ns.saturating_sub(begin_ns) / 1_000_000);
    let value = |field: SocketField| s.values.get(field).filter(|_| has_value(s, field, life_ms));
    let values = fields().map(|field| Cell::int(value(field)));
    table.push(lead.into_iter().chain(values));
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Whether a field has a value yet, and not what the kernel has in its place. `life_ms` is how long ago
/// the connection began, where that is known.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a field's own range has the rule for the others"
)]
fn has_value(snapshot: &Snapshot, field: SocketField, life_ms: Option<u64>) -> bool {
    let of = |field| snapshot.values.get(field);
    match field {
        // The kernel has 0 jiffies as the time of what has not happened. So inet_diag reports the time
        // since the counter was 0, which it first is five minutes after the boot: before that, a time in
        // the future. A socket that is used again keeps the times of its connection before.
        SocketField::tcpi_last_data_sent
        | SocketField::tcpi_last_data_recv
        | SocketField::tcpi_last_ack_recv => {
            let sent = field == SocketField::tcpi_last_data_sent;
            let age_ms = of(field).unwrap_or(0);
            (sent || of(SocketField::tcpi_state) != Some(SYN_SENT))
                && i64::try_from(age_ms).is_ok_and(|age| age <= field.range().most)
                && life_ms.is_none_or(|life| age_ms <= life.saturating_add(LATE_MS))
        }
        // The kernel begins with a deviation that no sample made, where the SYN was repeated.
        SocketField::tcpi_rttvar => of(SocketField::tcpi_rtt) != Some(0),
        _ => of(field).is_none_or(|value| !field.is_unset(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const AGES: [SocketField; 3] = [
        SocketField::tcpi_last_data_sent,
        SocketField::tcpi_last_data_recv,
        SocketField::tcpi_last_ack_recv,
    ];

    fn snapshot(state: u64, age_ms: u64) -> Snapshot {
        let mut snapshot = testing::snapshot(1_000_000_000, 1);
        snapshot.values.set(SocketField::tcpi_state, Some(state));
        AGES.iter().for_each(|&field| snapshot.values.set(field, Some(age_ms)));
        snapshot
    }

    fn have(snapshot: &Snapshot, life_ms: Option<u64>) -> [bool; 3] {
        AGES.map(|field| has_value(snapshot, field, life_ms))
    }

    /// The values of inet_diag for a socket that never sent, on a host that is up for one minute, and
    /// for ten.
    #[test]
    fn the_age_of_an_event_that_never_happened_is_null() {
        const CLOSE: u64 = 7;
        let minute = u64::from((60_000_u32).wrapping_sub(300_000));
        assert_eq!(have(&snapshot(CLOSE, minute), None), [false; 3]);
        assert_eq!(have(&snapshot(CLOSE, 300_000), Some(2_000)), [false; 3]);
        assert_eq!(have(&snapshot(SYN_SENT, 300_000), Some(2_000)), [false; 3]);
        // Data in a SYN (Fast Open) was sent; nothing was received.
        assert_eq!(have(&snapshot(SYN_SENT, 1_990), Some(2_000)), [true, false, false]);
        assert_eq!(have(&snapshot(1, 2_010), Some(2_000)), [true; 3]);
        assert_eq!(have(&snapshot(1, 300_000), None), [true; 3]);
    }
}
