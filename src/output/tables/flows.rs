// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! flows.parquet: packets and bytes between two ends, one row for each direction.

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::flows::{Closing, Flow, Point};
use crate::engine::rows::FlowRow;
use crate::engine::time::timeline::Timeline;

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    let ecn = |name, doc| ColumnSpec::new(name, K::Int64, "packets", doc);
    TableSpec {
        name: "flows",
        doc: "Packets and bytes between two ends, where packets were recorded or imported: a row for each flow and each of its directions that had packets; with --flow-interval one row per interval; the rows of a flow add up to its total. A packet that was seen at its socket and at interfaces (a VLAN and its device, a bridge and its port) is one packet: the socket's. Loopback is two flows, one for each socket; what is forwarded has a flow at each interface. In order of the end.",
        columns: vec![
            c(
                "conn_id",
                K::Int64,
                "",
                "Number of the connection, as in connections; NULL for a flow without one.",
            ),
            c("recording", K::Text, "", "UUID of the recording."),
            c("flow", K::Int64, "", "Number of the flow in the recording, from 1."),
            c(
                "completeness",
                K::Text,
                "",
                "As in connections. lossy: packets were lost or late, or the capture seems to contain them twice. begun_before: TCP without a SYN. ended_after: neither closed nor idle for the timeout at the end of the recording.",
            ),
            c(
                "lost_packets",
                K::Int64,
                "packets",
                "Packets lost on any CPU while the flow lived; some may have been its own.",
            ),
            c(
                "late_packets",
                K::Int64,
                "packets",
                "Its packets that came too late to be put in order.",
            ),
            c(
                "interval_ns",
                K::Int64,
                "ns",
                "Begin of the interval (--flow-interval), CLOCK_MONOTONIC; NULL in rows of the whole flow.",
            ),
            c("interval_ts", K::Time, "", "The same in wall-clock time."),
            c(
                "direction",
                K::Text,
                "",
                "out (sent by the local end) or in. If neither or both ends may be the local one: forward (sent by the end that began) or backward.",
            ),
            c(
                "observed_at",
                K::Text,
                "",
                "socket or interface: where its packets were counted. Captures are interfaces.",
            ),
            c("netns", K::Int64, "", "Inode of the network namespace."),
            c(
                "interface",
                K::Int32,
                "",
                "Index of the interface nearest to the wire that saw the last packet; NULL if none did. In imports, its number in the capture.",
            ),
            c("protocol", K::Text, "", "TCP, UDP, ICMP, ICMPv6, SCTP, or the IP protocol number."),
            c("src_address", K::Text, "", "Source IP address of this direction."),
            c("src_port", K::Int32, "", "Source port; NULL for protocols without.")
                .within(0, 65_535),
            c("dst_address", K::Text, "", "Destination IP address."),
            c("dst_port", K::Int32, "", "Destination port.").within(0, 65_535),
            c("icmp_id", K::Int32, "", "Identifier of an ICMP echo.").within(0, 65_535),
            c("src_mac", K::Text, "", "Source link address of the last packet that had one."),
            c("dst_mac", K::Text, "", "Destination link address of the last packet that had one."),
            c(
                "vlan",
                K::Int32,
                "",
                "Id of the outermost VLAN tag of the last packet that had one.",
            )
            .within(0, 4095),
            c("begin_ns", K::Int64, "ns", "First packet of the flow, either way, CLOCK_MONOTONIC."),
            c("begin_ts", K::Time, "", "The same in wall-clock time."),
            c(
                "end_ns",
                K::Int64,
                "ns",
                "Last packet of the flow so far, either way, CLOCK_MONOTONIC.",
            ),
            c("end_ts", K::Time, "", "The same in wall-clock time."),
            c("duration_s", K::Float64, "s", "From the first packet to the last."),
            c(
                "open_reason",
                K::Text,
                "",
                "What the first packet was: syn, syn_ack or first_packet.",
            ),
            c("opened_by", K::Text, "", "Who sent it: source or destination of this row."),
            c(
                "close_reason",
                K::Text,
                "",
                "fin (both ends sent one), rst, timeout (idle), replaced (the same ends began another) or end_of_recording; NULL in rows of intervals but the last.",
            ),
            c(
                "closed_by",
                K::Text,
                "",
                "Whose FIN came first, else who reset it: source or destination of this row; NULL if neither end closed it.",
            ),
            c(
                "packets",
                K::Int64,
                "packets",
                "Packets. A super-packet counts once, and so does a datagram that its socket sent or received whole.",
            ),
            c(
                "segments",
                K::Int64,
                "segments",
                "Segments in these packets, as the host counts them.",
            ),
            c("data_segments", K::Int64, "segments", "Segments of packets with payload."),
            c("l2_packets", K::Int64, "packets", "Packets or fragments that an interface saw."),
            c(
                "l2_bytes",
                K::Int64,
                "bytes",
                "Bytes of these packets with the link header. Headers of a super-packet count once; bytes that the device adds do not count. NULL if no interface saw any.",
            ),
            c(
                "l3_bytes",
                K::Int64,
                "bytes",
                "Bytes of the IP packets. Headers of a super-packet count once.",
            ),
            c("payload_bytes", K::Int64, "bytes", "Bytes after the transport header."),
            c(
                "retransmitted_segments",
                K::Int64,
                "segments",
                "TCP segments with sequence space that was seen before, without keepalives; NULL for other protocols.",
            ),
            c(
                "retransmitted_bytes",
                K::Int64,
                "bytes",
                "Bytes of the sequence space that was seen before.",
            ),
            c(
                "out_of_order_segments",
                K::Int64,
                "segments",
                "TCP segments that arrived after later ones and were not seen before: reordered, or retransmitted after a loss upstream of the capture.",
            ),
            ecn("not_ect", "Packets with ECN code point 00."),
            ecn("ect1", "Packets with ECN code point 01."),
            ecn("ect0", "Packets with ECN code point 10."),
            ecn("ce", "Packets with ECN code point 11: congestion experienced."),
            c("pid", K::Int64, "", "Process id of the connection's owner."),
            c("uid", K::Int64, "", "User id of the socket."),
            c("comm", K::Text, "", "Command name of the owner."),
            c("cgroup", K::Text, "", "Path of the socket's cgroup v2."),
            c("container_id", K::Text, "", "Container id in that path."),
        ],
    }
}

/// Adds the rows of a flow. Columns that only a recording with a `kernel` can have are NULL without one.
pub(super) fn push(
    table: &mut TableBuilder,
    recording: &str,
    clock: &Timeline,
    row: &FlowRow<'_>,
    kernel: bool,
) {
    for forward in [true, false] {
        let tally = if forward { &row.span.forward } else { &row.span.backward };
        if tally.packets > 0 {
            push_direction(table, recording, clock, row, forward, kernel);
        }
    }
}

fn push_direction(
    table: &mut TableBuilder,
    recording: &str,
    clock: &Timeline,
    row: &FlowRow<'_>,
    forward: bool,
    kernel: bool,
) {
    let flow = row.flow;
    let side = flow.side(forward);
    let tally = if forward { &row.span.forward } else { &row.span.backward };
    let (src, dst) = if forward { (0, 1) } else { (1, 0) };
    let port = |end: usize| Cell::int(flow.ends.ports[end].map(u64::from));
    let address = |end: usize| Cell::Text(flow.ends.addresses[end].to_string().into());
    let end = |sent: bool| Cell::from(if sent == forward { "source" } else { "destination" });
    let tcp = |n: u64| Cell::int(flow.is_tcp().then_some(n));
    let owner = flow.owner.as_ref();
    let l = owner.and_then(|owner| owner.identity.lifecycle());
    let text = |s: Option<&str>| {
        let s = s.filter(|s| !s.is_empty());
        s.map_or(Cell::Null, |s| Cell::Text(s.to_owned().into()))
    };
    let [not_ect, ect1, ect0, ce] = tally.ecn.map(Cell::from);
    table.push([
        Cell::int(owner.map(|owner| owner.conn_id)),
        Cell::from(recording),
        Cell::from(flow.number),
        Cell::from(row.completeness().name()),
        Cell::from(row.lost_packets),
        Cell::from(flow.late),
        Cell::int(row.span.interval_ns),
        Cell::int(row.span.interval_ns.and_then(|ns| clock.wall_us(ns))),
        Cell::from(direction(flow, forward)),
        Cell::from(match flow.point {
            Point::Socket => "socket",
            Point::Interface(_) => "interface",
        }),
        Cell::int(flow.netns.map(u64::from)),
        Cell::int(side.interface.map(u64::from)),
        Cell::Text(flow.protocol_name()),
        address(src),
        port(src),
        address(dst),
        port(dst),
        Cell::int(flow.ends.echo_id.map(u64::from)),
        mac(side.src_mac),
        mac(side.dst_mac),
        Cell::int(side.vlan.map(u64::from)),
        Cell::from(flow.first_ns),
        Cell::int(clock.wall_us(flow.first_ns)),
        Cell::from(flow.last_ns),
        Cell::int(clock.wall_us(flow.last_ns)),
        Cell::Float(flow.last_ns.saturating_sub(flow.first_ns) as f64 / 1e9),
        Cell::from(flow.opening.name()),
        end(flow.opened_forward),
        Cell::text(flow.closing.map(Closing::name)),
        flow.closed_forward().map_or(Cell::Null, end),
        Cell::from(tally.packets),
        Cell::from(tally.segments),
        Cell::from(tally.data_segments),
        Cell::from(tally.l2_packets),
        Cell::int((side.tally.l2_packets > 0).then_some(tally.l2_bytes)),
        Cell::from(tally.l3_bytes),
        Cell::from(tally.payload_bytes),
        tcp(tally.retransmitted_segments),
        tcp(tally.retransmitted_bytes),
        tcp(tally.out_of_order_segments),
        not_ect,
        ect1,
        ect0,
        ce,
        Cell::int(l.map(|l| u64::from(l.pid)).filter(|&pid| pid != 0)),
        Cell::int(l.filter(|_| kernel).map(|l| u64::from(l.uid))),
        text(l.map(|l| l.comm.as_str())),
        text(l.map(|l| l.cgroup_path.as_str())),
        text(owner.and_then(|owner| owner.identity.container_id())),
    ]);
}

fn direction(flow: &Flow, forward: bool) -> &'static str {
    match (flow.directed, forward) {
        (true, true) => "out",
        (true, false) => "in",
        (false, true) => "forward",
        (false, false) => "backward",
    }
}

fn mac(mac: Option<[u8; 6]>) -> Cell<'static> {
    let Some(m) = mac else { return Cell::Null };
    let text = m.map(|byte| format!("{byte:02x}")).join(":");
    Cell::Text(text.into())
}
