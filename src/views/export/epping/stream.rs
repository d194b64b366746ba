// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording as ePPing would have reported it: RTTs, and flows that open and close.

use std::io::Write;

use rustc_hash::FxHashMap;

use super::{EppingEnds, EppingFormat, FlowEvent, Writer};
use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::flows::Closing;
use crate::engine::packets::segment::Segment;
use crate::engine::rows::{FlowRow, Output, PacketSeen};
use crate::engine::rtt::aggregate::{self, Aggregator};
use crate::engine::rtt::sampling::{Policy, Sampler};
use crate::engine::rtt::{self, Method, Way};
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, Findings};
use crate::views::export::ExportError;
use crate::wire::protocol::TCP;

/// The choice of what is reported.
#[derive(Clone, Debug)]
pub struct Selection {
    /// By which methods.
    pub methods: Vec<Method>,
    /// How.
    pub format: EppingFormat,
    /// Also the time that the recorded end itself took to answer.
    pub include_local: bool,
    /// Which of the samples; all without one.
    pub policy: Option<Policy>,
    /// By prefix and interval instead of one by one.
    pub aggregate: Option<aggregate::AggregateOptions>,
}

/// Reports a recording; gives how many RTTs it wrote, or intervals of them.
///
/// # Errors
/// [`ExportError`], among them [`ExportError::NoPackets`].
pub fn write<W: Write>(
    recording: &Recording,
    options: &replay::ReplayOptions,
    selection: &Selection,
    out: W,
) -> Result<(u64, Findings), ExportError> {
    let timeline = replay::clocks(recording)?;
    let mut writer = Writer::new(out, selection.format);
    if let Some(aggregate) = &selection.aggregate {
        writer.metadata(recording.manifest().started.realtime_ns, aggregate)?;
    }
    let stream = Stream {
        selection,
        timeline: &timeline,
        writer,
        flows: FxHashMap::default(),
        aggregator: selection.aggregate.map(Aggregator::new),
        packets: 0,
        now_ns: 0,
    };
    let run = replay::run::<_, ExportError>(recording, &timeline, options, stream)?;
    let findings = Findings::of(recording.manifest(), &timeline, &run);
    let mut stream = run.output;
    if stream.packets == 0 {
        return Err(ExportError::NoPackets);
    }
    let last = stream.aggregator.as_mut().and_then(Aggregator::take);
    if let Some(interval) = last {
        stream.interval(&interval)?;
    }
    let rtts = stream.writer.rtts();
    stream.writer.finish()?;
    Ok((rtts, findings))
}

/// One direction of a flow, as ePPing has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DirectionState {
    #[default]
    Empty,
    /// Not answered yet: when it began, and why it is there.
    Waits(u64, &'static str),
    Open,
    Closed,
}

#[derive(Debug, Default)]
struct Reported {
    states: [DirectionState; 2],
    samplers: [[Sampler; 2]; Method::ALL.len()],
}

struct Stream<'a, W> {
    selection: &'a Selection,
    timeline: &'a Timeline,
    writer: Writer<W>,
    flows: FxHashMap<u64, Box<Reported>>,
    aggregator: Option<Aggregator>,
    packets: u64,
    now_ns: u64,
}

/// The ends of a packet that goes this way, with the identifier of an echo for ports.
fn ends(flow: &crate::engine::flows::Flow, from: Way) -> EppingEnds {
    let of = |way: Way| {
        let port = flow.ends.echo_id.or(flow.ends.ports[way.index()]);
        (flow.ends.addresses[way.index()], port.unwrap_or(0))
    };
    EppingEnds { protocol: flow.protocol, src: of(from), dst: of(from.other()) }
}

impl<W: Write> Stream<'_, W> {
    fn wall(&self, ts_ns: u64) -> u64 {
        self.timeline.wall_ns(ts_ns).unwrap_or(ts_ns)
    }

    fn interval(&mut self, interval: &aggregate::AggregateInterval) -> Result<(), ExportError> {
        let wall_ns = self.wall(interval.end_ns);
        Ok(self.writer.interval(wall_ns, interval)?)
    }

    fn event(
        &mut self,
        ts_ns: u64,
        ends: &EppingEnds,
        event: &'static str,
        reason: &'static str,
        triggered_by: &'static str,
    ) -> Result<(), ExportError> {
        let wall_ns = self.wall(ts_ns);
        Ok(self.writer.flow(wall_ns, ends, &FlowEvent { event, reason, triggered_by })?)
    }

    /// Which of what a packet answers is reported.
    fn kept(&mut self, seen: &PacketSeen<'_>) -> Vec<rtt::MeasuredRtt> {
        let Selection { methods, include_local, policy, .. } = self.selection;
        // Packets that an interface sends may come from anywhere. A socket, and the recorded end of a
        // capture, send their own packets.
        let own = seen.packet.hook.is_at_an_end();
        let reported = self.flows.entry(seen.flow.number).or_default();
        let mut keep = |s: &&rtt::MeasuredRtt| {
            let local = own && s.match_on_egress == Some(true);
            let sampler = &mut reported.samplers[s.method as usize][s.replier.index()];
            methods.contains(&s.method)
                && (*include_local || !local)
                && policy.as_ref().is_none_or(|policy| sampler.keep(policy, s))
        };
        seen.answers.iter().filter(|s| keep(s)).copied().collect()
    }

    /// Flows that open and close with a packet. Whatever waits to be answered is open once it is.
    fn turn(&mut self, seen: &PacketSeen<'_>) -> Result<(), ExportError> {
        let PacketSeen { packet, flow, forward, answers: _ } = *seen;
        let way = if forward { Way::Forth } else { Way::Back };
        let (here, there) = (way.index(), way.other().index());
        let segment = Segment::of(packet);
        if packet.protocol == TCP && segment.is_none() {
            return Ok(());
        }
        let is = |flag: fn(&Segment) -> bool| segment.as_ref().is_some_and(flag);
        let (syn, fin, rst) = (is(|s| s.syn), is(|s| s.fin), is(|s| s.rst));
        let asks = packet.protocol != TCP || syn || packet.payload_len > 0;
        let mut states = self.flows.entry(flow.number).or_default().states;
        let new = states == [DirectionState::Empty; 2];
        if states[here] == DirectionState::Empty && asks && !(new && (fin || rst)) {
            let reason = match (syn, is(|s| s.ack)) {
                (true, true) => "SYN-ACK",
                (true, false) => "SYN",
                (false, _) => "first observed packet",
            };
            states[here] = DirectionState::Waits(packet.ts_ns, reason);
        }
        if let DirectionState::Waits(since_ns, reason) = states[there]
            && !rst
        {
            states[there] = DirectionState::Open;
            self.event(since_ns, &ends(flow, way), "opening", reason, "dest")?;
        }
        let why = if rst { "RST" } else { "FIN" };
        if fin || rst {
            if states[here] == DirectionState::Open {
                self.event(packet.ts_ns, &ends(flow, way.other()), "closing", why, "dest")?;
            }
            states[here] = DirectionState::Closed;
        }
        if rst {
            if states[there] == DirectionState::Open {
                self.event(packet.ts_ns, &ends(flow, way), "closing", why, "src")?;
            }
            states[there] = DirectionState::Closed;
        }
        if let Some(reported) = self.flows.get_mut(&flow.number) {
            reported.states = states;
        }
        Ok(())
    }

    fn is_reported(&self, protocol: u8) -> bool {
        self.selection.methods.iter().any(|m| m.protocols().contains(&protocol))
    }
}

impl<W: Write> ConnectionRows for Stream<'_, W> {
    type Error = ExportError;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), ExportError> {
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ExportError> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}

impl<W: Write> Output for Stream<'_, W> {
    fn packet(&mut self, seen: &PacketSeen<'_>) -> Result<(), ExportError> {
        self.packets += 1;
        self.now_ns = seen.packet.ts_ns;
        if let Some(aggregator) = &mut self.aggregator
            && let Some(interval) = aggregator.reached(seen.packet.ts_ns)
        {
            self.interval(&interval)?;
        }
        let kept = self.kept(seen);
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.packet(seen.packet);
            kept.iter().for_each(|sample| aggregator.rtt(seen.packet, sample));
            return Ok(());
        }
        if self.is_reported(seen.flow.protocol) {
            self.turn(seen)?;
        }
        for sample in kept {
            let ends = ends(seen.flow, sample.replier);
            let wall_ns = self.wall(sample.ts_ns);
            self.writer.rtt(wall_ns, &ends, &sample)?;
        }
        Ok(())
    }

    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), ExportError> {
        let flow = row.flow;
        if !row.ended {
            return Ok(());
        }
        let Some(reported) = self.flows.remove(&flow.number) else { return Ok(()) };
        if self.aggregator.is_some() || flow.closing != Some(Closing::Timeout) {
            return Ok(());
        }
        for way in [Way::Forth, Way::Back] {
            if reported.states[way.index()] == DirectionState::Open {
                let ends = ends(flow, way.other());
                let now_ns = self.now_ns;
                self.event(now_ns, &ends, "closing", "flow timeout", "garbage collection")?;
            }
        }
        Ok(())
    }
}
