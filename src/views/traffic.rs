// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Flows as tables a person reads: who talks to whom, and how much.
//!
//! The lines are made of the state of the flows, so a recording that is replayed and one that runs
//! show the same.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use chrono::DateTime;
use serde::Serialize;

use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::flows::{Closing, Flow, FlowSpan, Flows};
use crate::engine::rows::{FlowRow, Output};
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::util::units;

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

/// The widest IPv4 address with a port.
const ENDPOINT: usize = 21;

/// tc-flows' table, of `top` lines. If there are more, `hint` is how to see them.
pub fn table(lines: &[Line], top: usize, hint: &str) -> String {
    let shown = &lines[..lines.len().min(top)];
    let width = |of: fn(&Line) -> &str| shown.iter().map(|l| of(l).len()).max().unwrap_or(0);
    let source = width(|l| &l.source).max(ENDPOINT);
    let destination = width(|l| &l.destination).max(ENDPOINT);
    let mut out =
        format!("PROTOCOL {:<source$} {:<destination$} PACKETS BYTES\n", "SOURCE", "DESTINATION");
    for l in shown {
        let bytes = units::iec_bytes(l.bytes());
        let (from, to) = (&l.source, &l.destination);
        let _ = writeln!(
            out,
            "{:<8} {from:<source$} {to:<destination$} {:<7} {bytes}",
            l.protocol, l.packets
        );
    }
    more(&mut out, lines.len(), top, hint);
    out
}

/// Two lines for each, with when it began and how long it was. If there are more, `hint` is how to see
/// them.
pub fn list(lines: &[Line], top: usize, hint: &str) -> String {
    let mut out = String::new();
    for l in lines.iter().take(top) {
        let began = wall(l.begin_us);
        let duration = duration(l.duration_s);
        let (from, to, protocol) = (&l.source, &l.destination, &l.protocol);
        let _ = writeln!(
            out,
            "- ({protocol})\t{from}\t->\t{to}\t({} packets, {} bytes)\n   Connection started: {began}, duration: {duration}",
            l.packets,
            l.bytes()
        );
    }
    more(&mut out, lines.len(), top, hint);
    out
}

fn more(out: &mut String, lines: usize, top: usize, hint: &str) {
    if lines > top {
        let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
        let _ = writeln!(out, "... and {} more{hint}", lines - top);
    }
}

/// Wall-clock time in UTC: `2022-02-16 18:30:33`.
pub fn wall(us: Option<u64>) -> String {
    us.and_then(|us| DateTime::from_timestamp_micros(i64::try_from(us).ok()?))
        .map_or_else(|| "?".to_owned(), |t| t.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.3} s") }
}

/// The lines of the flows that are open, as far as they have gone.
pub fn open(flows: &Flows, clock: &Timeline) -> Vec<Line> {
    let both = |flow| [true, false].map(|way| Line::of(flow, &Flow::so_far(flow), way, clock));
    flows.open().flat_map(both).flatten().collect()
}

struct Collector<'a> {
    clock: &'a Timeline,
    lines: Vec<Line>,
}

impl ConnectionRows for Collector<'_> {
    type Error = ReplayError;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ReplayError> {
        Ok(())
    }
}

impl Output for Collector<'_> {
    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), ReplayError> {
        let line = |forward| Line::of(row.flow, row.span, forward, self.clock);
        let both = [line(true), line(false)];
        self.lines.extend(both.into_iter().flatten());
        Ok(())
    }
}

/// Replays a recording and gives the lines of its flows.
///
/// # Errors
/// Those of replaying.
pub fn recording(recording: &Recording, options: &ReplayOptions) -> Result<Vec<Line>, ReplayError> {
    let clock = replay::clocks(recording)?;
    let collector = Collector { clock: &clock, lines: Vec::new() };
    Ok(replay::run::<_, ReplayError>(recording, &clock, options, collector)?.output.lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::flows;

    fn line(source: &str, packets: u64, bytes: u64) -> Line {
        Line {
            flow: packets,
            conn_id: None,
            interval_us: None,
            protocol: "TCP".into(),
            source: source.into(),
            destination: "10.0.2.15:56604".into(),
            packets,
            segments: packets,
            l2_bytes: Some(bytes),
            l3_bytes: bytes - 14,
            payload_bytes: 0,
            begin_us: Some(1_645_036_233_000_000),
            duration_s: 0.325,
            close_reason: None,
        }
    }

    #[test]
    fn the_table_is_that_of_tc_flows() {
        let mut lines =
            [line("10.0.2.15:43824", 685, 37_977), line("216.58.215.142:443", 7688, 135_455_047)];
        sort(&mut lines, Sort::Bytes);
        assert_eq!(
            table(&lines, 9, ""),
            "PROTOCOL SOURCE                DESTINATION           PACKETS BYTES\n\
             TCP      216.58.215.142:443    10.0.2.15:56604       7688    129.18 MiB\n\
             TCP      10.0.2.15:43824       10.0.2.15:56604       685     37.09 KiB\n"
        );
        assert_eq!(table(&lines, 1, "").lines().last(), Some("... and 1 more"));
        let hint = "ask for more";
        assert_eq!(table(&lines, 1, hint).lines().last(), Some("... and 1 more (ask for more)"));
    }

    #[test]
    fn open_flows_are_shown_as_far_as_they_have_gone() {
        let mut flows = Flows::new(flows::FlowOptions::default());
        for ts_ns in [1_000_000_000, 1_500_000_000] {
            flows.packet(crate::testing::datagram(ts_ns), false);
            while flows.step().is_some() {}
        }
        let clock = Timeline::new([(0, 0)], []);
        let lines = open(&flows, &clock);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.packets, line.l3_bytes, line.close_reason), (2, 2 * 128, None));
        assert_eq!((line.begin_us, line.duration_s), (Some(1_000_000), 0.5));
        assert_eq!((&*line.source, &*line.destination), ("10.0.0.1:1000", "10.0.0.2:53"));
    }

    #[test]
    fn the_list_has_beginning_and_duration() {
        assert_eq!(
            list(&[line("10.0.2.15:43824", 685, 37_977)], 9, ""),
            "- (TCP)\t10.0.2.15:43824\t->\t10.0.2.15:56604\t(685 packets, 37977 bytes)\n   \
             Connection started: 2022-02-16 18:30:33, duration: 325 ms\n"
        );
    }
}
