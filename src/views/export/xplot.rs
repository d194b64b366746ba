// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcptrace's graphs for xplot: of every TCP flow, and each direction, the time-sequence graph, the RTT
//! of its segments, and its data outstanding with the window of the receiver and of the kernel.
//!
//! Lines, marks and colours mean what tcptrace's do: an arrow down at a segment's first octet, one up (or a
//! diamond, with PSH) behind its last; red with R what was sent before; green what is acknowledged;
//! yellow the edge of the window; purple with S what SACK reports; Z a window of 0. Sequence numbers go on
//! beyond 2^32 where they wrap.

mod graph;
mod side;

use std::io;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::ExportError;
use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::packets::segment::Segment;
use crate::engine::rows::{FlowRow, Output, PacketSeen};
use crate::engine::rtt::Method;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, Findings, ReplayOptions};
use crate::schema::Var;
use crate::util::private;
use crate::wire::TcpFields;

use side::{Name, SideGraphs};

/// A flow whose graphs were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plotted {
    /// Its number, which begins the names of its files.
    pub flow: u64,
    /// The connection that it is.
    pub conn_id: Option<u64>,
    /// Its first end (a) and its second (b).
    pub ends: [String; 2],
    /// Segments with data that either end sent, retransmissions included.
    pub segments: [u64; 2],
}

/// Writes the graphs of all TCP flows into a directory; gives the flows in the order of their ends.
///
/// # Errors
/// [`ExportError`], among them [`ExportError::NoPackets`].
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    dir: &Path,
) -> Result<(Vec<Plotted>, Findings), ExportError> {
    if !recording.manifest().has_packets() {
        return Err(ExportError::NoPackets);
    }
    private::create_dir(dir)?;
    let timeline = replay::clocks(recording)?;
    let options = ReplayOptions { interval: Interval::Event, ..options.clone() };
    let plots = Plots {
        dir,
        timeline: &timeline,
        flows: FxHashMap::default(),
        connections: FxHashMap::default(),
        plotted: Vec::new(),
    };
    let run = replay::run::<_, ExportError>(recording, &timeline, &options, plots)?;
    if run.output.plotted.is_empty() {
        return Err(ExportError::NoPackets);
    }
    let findings = Findings::of(recording.manifest(), &timeline, &run);
    Ok((run.output.plotted, findings))
}

struct Plots<'a> {
    dir: &'a Path,
    timeline: &'a Timeline,
    /// The data that each end sent, by the number of the flow.
    flows: FxHashMap<u64, Box<[SideGraphs; 2]>>,
    /// The flow of a live connection.
    connections: FxHashMap<u64, u64>,
    plotted: Vec<Plotted>,
}

impl Plots<'_> {
    fn us(&self, ts_ns: u64) -> u64 {
        self.timeline.wall_us(ts_ns).unwrap_or(ts_ns / 1_000)
    }
}

fn ends(flow: &crate::engine::flows::Flow) -> [String; 2] {
    [0, 1].map(|end| {
        let (address, port) = (flow.ends.addresses[end], flow.ends.ports[end].unwrap_or(0));
        std::net::SocketAddr::new(address, port).to_string()
    })
}

impl ConnectionRows for Plots<'_> {
    type Error = io::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> io::Result<()> {
        self.connections.remove(&ended.conn_id);
        Ok(())
    }

    fn wants(&self, conn_id: u64) -> bool {
        self.connections.contains_key(&conn_id)
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        let us = self.us(sample.ts_ns);
        let flow = self.connections.get(&sample.conn_id);
        if let Some(sides) = flow.and_then(|flow| self.flows.get_mut(flow))
            && let Some(cwnd) = sample.row.get(Var::CurCwnd)
        {
            // The first end is the recorded one, where there is a connection.
            sides[0].cwnd(us, cwnd)?;
        }
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Plots<'_> {
    fn packet(&mut self, seen: &PacketSeen<'_>) -> io::Result<()> {
        let Some(segment) = Segment::of(seen.packet) else { return Ok(()) };
        let us = self.us(seen.packet.ts_ns);
        let number = seen.flow.number;
        if let Some(owner) = &seen.flow.owner {
            self.connections.entry(owner.conn_id).or_insert(number);
        }
        let dir = self.dir;
        let sides = self.flows.entry(number).or_insert_with(|| {
            let [a, b] = ends(seen.flow);
            let name = |way| Name { dir, flow: number, way };
            Box::new([SideGraphs::new(&name("a2b"), &a, &b), SideGraphs::new(&name("b2a"), &b, &a)])
        });
        let [a, b] = &mut **sides;
        let (own, other) = if seen.forward { (a, b) } else { (b, a) };
        other.acknowledged(us, &segment, own.scale(other))?;
        own.sent(us, &segment, TcpFields::of(seen.packet).is_some_and(|fields| fields.psh))?;
        for sample in seen.answers.iter().filter(|s| s.method == Method::TcpSequence) {
            // This packet answers packets of the other end.
            other.rtt(us, sample.rtt_ns)?;
        }
        Ok(())
    }

    fn flow(&mut self, row: &FlowRow<'_>) -> io::Result<()> {
        if !row.ended {
            return Ok(());
        }
        let Some(mut sides) = self.flows.remove(&row.flow.number) else { return Ok(()) };
        for side in sides.iter_mut() {
            side.finish()?;
        }
        self.plotted.push(Plotted {
            flow: row.flow.number,
            conn_id: row.flow.owner.as_ref().map(|owner| owner.conn_id),
            ends: ends(row.flow),
            segments: [sides[0].segments(), sides[1].segments()],
        });
        Ok(())
    }
}
