// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The graphs of what one end of a flow sent.

use std::io;
use std::path::Path;

use super::graph::{At, Colour, Graph};
use crate::engine::packets::segment::Segment;

/// How the files of a direction are called.
#[derive(Debug)]
pub struct Name<'a> {
    /// Where they are.
    pub dir: &'a Path,
    /// Number of the flow.
    pub flow: u64,
    /// `a2b` or `b2a`.
    pub way: &'static str,
}

/// The last acknowledgment.
#[derive(Clone, Copy, Debug)]
struct Acked {
    us: u64,
    ack: i64,
    edge: i64,
}

/// One direction.
#[derive(Debug)]
pub struct SideGraphs {
    sequence: Graph,
    rtt: Graph,
    outstanding: Graph,
    /// The last sequence number, where numbers do not wrap.
    position: Option<(u32, i64)>,
    /// Behind the highest octet sent.
    sent_to: Option<i64>,
    /// Sequence space below that which was not seen, from the lowest on.
    holes: Vec<(i64, i64)>,
    acked: Option<Acked>,
    /// The scale of the windows that this end announces; none where its SYN was not seen or had none.
    scale: Option<u8>,
    last_outstanding: Option<At>,
    last_window: Option<At>,
    last_cwnd: Option<At>,
    last_rtt: Option<At>,
    segments: u64,
}

impl SideGraphs {
    /// Nothing was sent yet.
    pub fn new(name: &Name<'_>, from: &str, to: &str) -> Self {
        let graph = |kind: &str, title: &str, y: &str| {
            let file = format!("flow{}_{}_{kind}.xpl", name.flow, name.way);
            Graph::new(name.dir.join(file), &format!("{from}_==>_{to} ({title})"), y)
        };
        Self {
            sequence: graph("tsg", "time sequence graph", "sequence number"),
            rtt: graph("rtt", "rtt samples", "rtt (ms)"),
            outstanding: graph("owin", "outstanding data", "Outstanding Data (bytes)"),
            position: None,
            sent_to: None,
            holes: Vec::new(),
            acked: None,
            scale: None,
            last_outstanding: None,
            last_window: None,
            last_cwnd: None,
            last_rtt: None,
            segments: 0,
        }
    }

    /// Segments with data.
    pub const fn segments(&self) -> u64 {
        self.segments
    }

    /// The shift of the windows that this end announces: both SYNs must have had the option (RFC 7323).
    pub fn scale(&self, other: &Self) -> u8 {
        if other.scale.is_some() { self.scale.unwrap_or(0).min(14) } else { 0 }
    }

    /// A sequence number in a space that does not wrap.
    fn at(&mut self, sequence: u32) -> i64 {
        let value = match self.position {
            None => i64::from(sequence),
            Some((last, value)) => value + i64::from(sequence.wrapping_sub(last) as i32),
        };
        // Only forward: an old number must not pull the place of the next back over half the space.
        if self.position.is_none_or(|(_, highest)| value > highest) {
            self.position = Some((sequence, value));
        }
        value
    }

    /// This end sent a segment.
    pub fn sent(&mut self, us: u64, segment: &Segment, push: bool) -> io::Result<()> {
        if segment.syn {
            self.scale = segment.options.window_scale;
        }
        let marks = i64::from(segment.syn) + i64::from(segment.fin);
        let length = i64::from(segment.payload) + marks;
        let first = self.at(segment.seq);
        let end = first + length;
        if segment.rst {
            self.sequence.colour(Colour::Orange).above((us, first as f64), "RST");
        }
        if length == 0 {
            return self.sequence.spill();
        }
        self.at(segment.end());
        self.segments += u64::from(segment.payload > 0);
        let seen = self.see(first, end);
        let (from, to) = ((us, first as f64), (us, end as f64));
        let graph = &mut self.sequence;
        match seen {
            Seen::New => {}
            Seen::Again => graph.colour(Colour::Red).above(to, "R"),
            Seen::Late => graph.colour(Colour::Pink).above(to, "O"),
        }
        let colour = match seen {
            Seen::New if marks > 0 => Colour::Orange,
            Seen::New | Seen::Late => Colour::White,
            Seen::Again => Colour::Red,
        };
        graph.colour(colour);
        graph.mark(if segment.syn { "diamond" } else { "darrow" }, from);
        let last = match (segment.fin, push) {
            (true, _) => "box",
            (false, true) => "diamond",
            (false, false) => "uarrow",
        };
        graph.mark(last, to);
        graph.segment(from, to);
        if segment.syn {
            graph.above(to, "SYN");
        }
        if segment.fin {
            graph.above(to, "FIN");
        }
        graph.spill()?;
        self.show_outstanding(us)
    }

    /// Adds the octets of a segment; returns whether they were seen before, or come late.
    fn see(&mut self, first: i64, end: i64) -> Seen {
        let Some(sent_to) = self.sent_to else {
            self.sent_to = Some(end);
            return Seen::New;
        };
        if first >= sent_to {
            if first > sent_to {
                self.holes.push((sent_to, first));
            }
            self.sent_to = Some(end);
            return Seen::New;
        }
        self.sent_to = Some(sent_to.max(end));
        let (mut late, mut left) = (false, Vec::with_capacity(self.holes.len() + 1));
        for &(from, to) in &self.holes {
            if to <= first || from >= end {
                left.push((from, to));
                continue;
            }
            late = true;
            if from < first {
                left.push((from, first));
            }
            if to > end {
                left.push((end, to));
            }
        }
        self.holes = left;
        if late { Seen::Late } else { Seen::Again }
    }

    /// The other end sent a segment: what it acknowledges of this one's, and the window that it offers.
    pub fn acknowledged(&mut self, us: u64, segment: &Segment, scale: u8) -> io::Result<()> {
        if !segment.ack {
            return Ok(());
        }
        let scale = if segment.syn { 0 } else { scale };
        let ack = self.at(segment.ack_seq);
        let edge = ack + (i64::from(segment.window) << scale);
        let graph = &mut self.sequence;
        let last = self.acked.unwrap_or(Acked { us, ack, edge });
        step(graph.colour(Colour::Green), (last.us, last.ack), (us, ack), "dtick");
        step(graph.colour(Colour::Yellow), (last.us, last.edge), (us, edge), "utick");
        if segment.window == 0 && !segment.rst {
            graph.colour(Colour::Magenta).above((us, edge as f64), "Z");
        }
        let near = |sequence: u32| ack + i64::from(sequence.wrapping_sub(segment.ack_seq) as i32);
        let highest = segment.options.sack.iter().map(|&(_, right)| near(right)).max();
        for &(left, right) in &segment.options.sack {
            let is_highest = Some(near(right)) == highest;
            let (left, right) = ((us, near(left) as f64), (us, near(right) as f64));
            graph.colour(Colour::Purple).segment(left, right);
            graph.mark("htick", left);
            graph.mark("htick", right);
            if is_highest {
                graph.above(right, "S");
            }
        }
        graph.spill()?;
        // An acknowledgment that was overtaken does not take anything back.
        let highest = last.ack.max(ack);
        self.acked = Some(Acked { us, ack, edge });
        self.holes.retain(|(_, to)| *to > highest);
        let window = (us, (edge - ack) as f64);
        joined(self.outstanding.colour(Colour::Yellow), &mut self.last_window, window);
        self.show_outstanding(us)
    }

    /// Data sent and not acknowledged.
    fn show_outstanding(&mut self, us: u64) -> io::Result<()> {
        if let (Some(sent_to), Some(acked)) = (self.sent_to, self.acked) {
            let octets = (sent_to - acked.ack).max(0);
            let at = (us, octets as f64);
            joined(self.outstanding.colour(Colour::Red), &mut self.last_outstanding, at);
        }
        self.outstanding.spill()
    }

    /// The congestion window of this end's kernel, in octets.
    pub fn cwnd(&mut self, us: u64, octets: u64) -> io::Result<()> {
        let at = (us, octets as f64);
        if self.last_cwnd.is_none() {
            self.outstanding.colour(Colour::Orange).above(at, "cwnd");
        }
        joined(self.outstanding.colour(Colour::Orange), &mut self.last_cwnd, at);
        self.outstanding.spill()
    }

    /// A segment of this end was answered after this time.
    pub fn rtt(&mut self, us: u64, rtt_ns: u64) -> io::Result<()> {
        let at = (us, rtt_ns as f64 / 1e6);
        let graph = self.rtt.colour(Colour::Red);
        graph.mark("dot", at);
        if let Some(last) = self.last_rtt.replace(at) {
            graph.segment(last, at);
        }
        graph.spill()
    }

    /// The flow is over.
    pub fn finish(&mut self) -> io::Result<()> {
        self.sequence.finish()?;
        self.rtt.finish()?;
        self.outstanding.finish()
    }
}

/// The kind of a segment's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Beyond all that was sent.
    New,
    /// Octets that were skipped before: the segment was reordered, or retransmitted after a loss
    /// upstream of the capture.
    Late,
    /// Sent before.
    Again,
}

/// A value that holds from the last time to this one, and then steps; a tick where it does not.
fn step(graph: &mut Graph, (from_us, from): (u64, i64), (us, to): (u64, i64), tick: &str) {
    let (from, to) = (from as f64, to as f64);
    if from_us != us {
        graph.segment((from_us, from), (us, from));
    }
    if from == to {
        graph.mark(tick, (us, to));
    } else {
        graph.segment((us, from), (us, to));
    }
}

/// A value at this time, with a line from the one before; the same value twice is one line.
fn joined(graph: &mut Graph, last: &mut Option<At>, at: At) {
    if let Some(before) = last.replace(at) {
        graph.segment(before, (at.0, before.1));
        if before.1 != at.1 {
            graph.segment((at.0, before.1), at);
        }
    }
}
