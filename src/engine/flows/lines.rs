// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The directions of flows as lines for a reader, and their order.
//!
//! They are made of the state of the flows, so a recording that is replayed and one that runs show the same.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{Closing, Flow, FlowSpan, Flows};
use crate::engine::time::timeline::Timeline;

/// One direction of a flow, in all of its life or in an interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Number of the flow.
    pub flow: u64,
    /// Number of the connection, if it is one.
    pub conn_id: Option<u64>,
    /// Begin of the interval, microseconds since the Unix epoch; none for the whole life.
    pub interval_us: Option<u64>,
    /// Name of the protocol.
    pub protocol: String,
    /// Address and port of the sender.
    pub source: String,
    /// Address and port of the receiver.
    pub destination: String,
    /// Packets.
    pub packets: u64,
    /// Segments in them.
    pub segments: u64,
    /// Bytes with link headers, where an interface saw the packets.
    pub l2_bytes: Option<u64>,
    /// Bytes of the IP packets.
    pub l3_bytes: u64,
    /// Bytes after the transport header.
    pub payload_bytes: u64,
    /// First packet of the flow, either way, microseconds since the Unix epoch.
    pub begin_us: Option<u64>,
    /// Seconds from that to the last.
    pub duration_s: f64,
    /// How it ended; none while it goes on.
    pub close_reason: Option<&'static str>,
}

impl Line {
    /// One direction of a flow; none if nothing went that way.
    pub fn of(flow: &Flow, span: &FlowSpan, forward: bool, clock: &Timeline) -> Option<Self> {
        let tally = if forward { span.forward } else { span.backward };
        if tally.packets == 0 {
            return None;
        }
        let end = |second: bool| {
            let at = usize::from(second == forward);
            endpoint(flow.ends.addresses[at], flow.ends.ports[at])
        };
        Some(Self {
            flow: flow.number,
            conn_id: flow.owner.as_ref().map(|owner| owner.conn_id),
            interval_us: span.interval_ns.and_then(|ns| clock.wall_us(ns)),
            protocol: flow.protocol_name().into_owned(),
            source: end(false),
            destination: end(true),
            packets: tally.packets,
            segments: tally.segments,
            l2_bytes: (flow.side(forward).tally.l2_packets > 0).then_some(tally.l2_bytes),
            l3_bytes: tally.l3_bytes,
            payload_bytes: tally.payload_bytes,
            begin_us: clock.wall_us(flow.first_ns),
            duration_s: flow.last_ns.saturating_sub(flow.first_ns) as f64 / 1e9,
            close_reason: flow.closing.map(Closing::name),
        })
    }

    /// Bytes on the link where an interface saw them, else of the IP packets.
    pub fn bytes(&self) -> u64 {
        self.l2_bytes.unwrap_or(self.l3_bytes)
    }
}

fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

/// The sort order: the most, the longest or the earliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The most bytes.
    Bytes,
    /// The most packets.
    Packets,
    /// The longest.
    Duration,
    /// The earliest.
    Start,
}

/// Puts lines in order, interval by interval; equal ones by the number of their flow.
pub fn sort(lines: &mut [Line], by: Sort) {
    lines.sort_by(|a, b| {
        let order = match by {
            Sort::Bytes => b.bytes().cmp(&a.bytes()),
            Sort::Packets => b.packets.cmp(&a.packets),
            Sort::Duration => b.duration_s.total_cmp(&a.duration_s),
            Sort::Start => a.begin_us.cmp(&b.begin_us),
        };
        a.interval_us.cmp(&b.interval_us).then(order).then(a.flow.cmp(&b.flow))
    });
}

/// The lines of the flows that are open, as far as they have gone.
pub fn open(flows: &Flows, clock: &Timeline) -> Vec<Line> {
    let both = |flow| [true, false].map(|way| Line::of(flow, &Flow::so_far(flow), way, clock));
    flows.open().flat_map(both).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::flows::FlowOptions;

    #[test]
    fn open_flows_are_shown_as_far_as_they_have_gone() {
        let mut flows = Flows::new(FlowOptions::default());
        for ts_ns in [1_000_000_000, 1_500_000_000] {
            flows.packet(Box::new(crate::testing::datagram(ts_ns)), false);
            while flows.step().is_some() {}
        }
        let clock = Timeline::new([(0, 0)], []);
        let lines = open(&flows, &clock);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.packets, line.l3_bytes, line.close_reason), (2, 2 * 128, None));
        assert_eq!((line.begin_us, line.duration_s), (Some(1_000_000), 0.5));
        assert_eq!((&*line.source, &*line.destination), ("10.0.0.1:1000", "10.0.0.2:53"));
    }
}
