// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots of sockets and packets, which come beside the records of connections.
//!
//! Both have streams of their own, in their own order. Each is given on before the first record that
//! comes after it: a snapshot while its connection lives, so that it is found; a packet, so that the
//! totals of packets at the end of a connection are that of this moment.

use std::collections::VecDeque;

use crate::engine::estats::Engine;
use crate::engine::flows::{self, Flow, FlowPacket, FlowSpan, Flows, PacketTotals, Step, Timeouts};
use crate::engine::keyframe::Knows;
use crate::engine::packets::{PacketCounts, Tracker};
use crate::engine::rows::{FlowRow, Output, PacketSeen, RttSample};
use crate::engine::rtt::{self, FlowRtt, Way};
use crate::engine::time::order::Consumer;
use crate::engine::time::timeline::{Of, Timeline};
use crate::engine::time::{OrderKey, key, packets};
use crate::schema::{Var, Why};
use crate::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot};

/// How long a sample of RTT waits for its connection: that of a handshake comes before the child
/// exists, which the same segment makes.
const OWNER_NS: u64 = 100_000_000;

/// Takes the records in their order, and puts between them what comes beside.
pub(super) struct Beside<'a, O, S, P> {
    engine: Engine<'a, O>,
    timeline: &'a Timeline,
    /// When flows are over that do not end by themselves.
    timeouts: Timeouts,
    snapshots: S,
    packets: P,
    next_snapshot: Option<Snapshot>,
    next_packet: Option<(Box<Packet>, bool)>,
    flows: Flows,
    /// Makes connections of packets, where nothing else does.
    tracker: Option<Tracker>,
    /// Matching, by the slot of the flow.
    rtt: Vec<Option<Box<FlowRtt>>>,
    rtt_options: rtt::RttOptions,
    /// The packets that the current packet answers.
    answers: Vec<rtt::MeasuredRtt>,
    /// Samples of RTT, by their time, with the slot of their flow.
    samples: VecDeque<(u32, RttSample)>,
}

/// The results at the end.
pub(super) struct Rest<'a, O> {
    pub engine: Engine<'a, O>,
    /// Counts of making connections from packets.
    pub tracked: Option<PacketCounts>,
}

impl<'a, O, S, P, E> Beside<'a, O, S, P>
where
    O: Output,
    S: Iterator<Item = Result<Snapshot, E>>,
    P: Iterator<Item = Result<(Box<Packet>, bool), E>>,
    E: From<O::Error>,
{
    pub fn new(
        engine: Engine<'a, O>,
        timeline: &'a Timeline,
        mut snapshots: S,
        mut packets: P,
        (options, rtt_options): (flows::FlowOptions, rtt::RttOptions),
        tracker: Option<Tracker>,
    ) -> Result<Self, E> {
        let next_snapshot = snapshots.next().transpose()?;
        let next_packet = packets.next().transpose()?;
        Ok(Self {
            engine,
            timeline,
            timeouts: options.timeouts,
            snapshots,
            packets,
            next_snapshot,
            next_packet,
            flows: Flows::new(options),
            tracker,
            rtt: Vec::new(),
            rtt_options,
            answers: Vec::new(),
            samples: VecDeque::new(),
        })
    }

    /// Takes interfaces together, see [`Flows::in_places`].
    pub fn in_places(mut self, places: &[Vec<u32>]) -> Self {
        self.flows = self.flows.in_places(places);
        self
    }

    fn linked(&mut self) -> Linked<'_, 'a, O> {
        Linked { timeline: self.timeline, engine: &mut self.engine, flows: &mut self.flows }
    }

    /// Gives on what comes before a record, or all of it.
    fn before(&mut self, limit: Option<OrderKey>) -> Result<(), E> {
        loop {
            let due = |at: OrderKey| limit.is_none_or(|limit| at < limit);
            let snapshot = self.next_snapshot.as_ref().map(|s| key(&s.header));
            let packet = self.next_packet.as_ref().map(|(p, _)| packets::key(p));
            match (snapshot.filter(|&at| due(at)), packet.filter(|&at| due(at))) {
                (None, None) => return Ok(()),
                (Some(s), p) if p.is_none_or(|p| s <= p) => {
                    match self.next_snapshot.take() {
                        // Its cookie is the kernel's, and those of kprobes' connections are not.
                        Some(row) if row.why == Why::Listener => {
                            self.engine.output().listener(&row)?;
                        }
                        Some(row) if row.why == Why::Drop => self.dropped(&row)?,
                        Some(row) => self.engine.snapshot(&row)?,
                        None => {}
                    }
                    self.next_snapshot = self.snapshots.next().transpose()?;
                }
                (_, _) => {
                    if let Some((packet, late)) = self.next_packet.take() {
                        self.flows.packet(packet, late);
                        self.steps()?;
                    }
                    self.next_packet = self.packets.next().transpose()?;
                }
            }
        }
    }

    /// A packet that the kernel dropped: its connection is that of its socket, if it had the socket of a recorded
    /// connection, else that of its ends. If the socket's connection is over, the ends may have the next one.
    fn dropped(&mut self, row: &Snapshot) -> Result<(), E> {
        let conn_id = match row.header.cookie {
            0 => self.flows.connection_of(row),
            _ => self.engine.open_conn_id(&row.header),
        };
        Ok(self.engine.output().dropped(row, conn_id)?)
    }

    /// Carries out the steps of the flows.
    fn steps(&mut self) -> Result<(), E> {
        while let Some(step) = self.flows.step() {
            match step {
                Step::Packet(seen) => self.seen(&seen)?,
                Step::Interval { slot, span } => {
                    if let Some(flow) = self.flows.flow(slot) {
                        let row = flow_row(self.timeline, &self.timeouts, (flow, &span), false);
                        self.engine.output().flow(&row)?;
                    }
                }
                Step::Ended { slot, span, flow } => self.ended(slot, &span, &flow)?,
            }
        }
        Ok(())
    }

    /// A packet, in the order of its flow's packets, counted once.
    fn seen(&mut self, seen: &FlowPacket) -> Result<(), E> {
        let FlowPacket { packet, late, .. } = seen;
        self.match_rtt(seen)?;
        self.give_samples(packet.ts_ns)?;
        // An interface does not show whether one of its ends is this host's.
        if let Some(tracker) = &mut self.tracker
            && packet.hook.is_at_an_end()
        {
            let mut linked = Linked {
                timeline: self.timeline,
                engine: &mut self.engine,
                flows: &mut self.flows,
            };
            tracker.packet(&mut linked, packet, *late)?;
        }
        Ok(())
    }

    /// Looks for what a packet answers.
    fn match_rtt(&mut self, seen: &FlowPacket) -> Result<(), E> {
        let FlowPacket { slot, forward, packet, .. } = seen;
        let index = *slot as usize;
        if self.rtt.len() <= index {
            self.rtt.resize_with(index + 1, || None);
        }
        let options = self.rtt_options;
        let matching = self.rtt[index].get_or_insert_with(|| Box::new(FlowRtt::new(options)));
        let way = if *forward { Way::Forth } else { Way::Back };
        self.answers.clear();
        matching.packet(packet, way, &mut |sample| self.answers.push(*sample));
        let Some(flow) = self.flows.flow(*slot) else { return Ok(()) };
        for sample in &self.answers {
            let sample = RttSample {
                conn_id: None,
                flow: flow.number,
                begin_ns: flow.first_ns,
                protocol: flow.protocol,
                ends: flow.ends,
                sample: *sample,
            };
            self.samples.push_back((*slot, sample));
        }
        let (forward, answers) = (*forward, &self.answers[..]);
        Ok(self.engine.output().packet(&PacketSeen { packet, forward, flow, answers })?)
    }

    /// A flow is over. Its slot may have another flow from the next step on.
    fn ended(&mut self, slot: u32, span: &FlowSpan, flow: &Flow) -> Result<(), E> {
        if let Some(matching) = self.rtt.get_mut(slot as usize) {
            *matching = None;
        }
        // Its last samples have their owner from the flow.
        // There are none but of a flow that ended while its packets came.
        let recent = |first: &(u32, RttSample)| flow.last_ns >= first.1.sample.ts_ns;
        if self.samples.front().is_some_and(recent) {
            for (of, sample) in &mut self.samples {
                if *of == slot && sample.flow == flow.number && sample.conn_id.is_none() {
                    sample.conn_id = flow.owner.as_ref().map(|owner| owner.conn_id);
                }
            }
        }
        let row = flow_row(self.timeline, &self.timeouts, (flow, span), true);
        Ok(self.engine.output().flow(&row)?)
    }

    /// Gives out the samples that have waited long enough for their connection.
    fn give_samples(&mut self, now_ns: u64) -> Result<(), E> {
        while let Some((slot, sample)) = self.samples.front_mut()
            && sample.sample.ts_ns.saturating_add(OWNER_NS) <= now_ns
        {
            let flow = self.flows.flow(*slot).filter(|flow| flow.number == sample.flow);
            if let Some(owner) = flow.and_then(|flow| flow.owner.as_ref()) {
                sample.conn_id = Some(owner.conn_id);
            }
            self.engine.output().rtt(sample)?;
            self.samples.pop_front();
        }
        Ok(())
    }

    /// Gives on what is left, ends all flows, and gives the engine back.
    pub fn rest(mut self) -> Result<Rest<'a, O>, E> {
        self.before(None)?;
        self.flows.flush();
        self.steps()?;
        let tracked = match self.tracker.take() {
            None => None,
            Some(tracker) => {
                let (timeline, engine) = (self.timeline, &mut self.engine);
                let flows = &mut self.flows;
                Some(tracker.finish(&mut Linked { timeline, engine, flows })?)
            }
        };
        self.give_samples(u64::MAX)?;
        self.flows.finish();
        self.steps()?;
        Ok(Rest { engine: self.engine, tracked })
    }

    fn reached_packets(&mut self, ts_ns: u64) -> Result<(), E> {
        self.flows.reached(ts_ns);
        self.steps()
    }
}

/// A row of a flow, with the losses of its time.
fn flow_row<'f>(
    timeline: &Timeline,
    timeouts: &Timeouts,
    (flow, span): (&'f Flow, &'f FlowSpan),
    ended: bool,
) -> FlowRow<'f> {
    let (from_ns, to_ns) = flow.reach(timeouts);
    let lost_packets = timeline.lost_between(Of::Packets, from_ns, to_ns);
    FlowRow { flow, span, ended, lost_packets }
}

/// The engine, and the flows, which learn of connections what the engine learns.
struct Linked<'e, 'a, O> {
    timeline: &'a Timeline,
    engine: &'e mut Engine<'a, O>,
    flows: &'e mut Flows,
}

impl<O: Output> Linked<'_, '_, O> {
    /// The totals of the packets of a connection that is about to end, with how many were lost from
    /// their first to `end_ns`.
    fn totals(&mut self, conn_id: u64, totals: &PacketTotals, end_ns: u64) -> Result<(), O::Error> {
        let lost = self.timeline.lost_between(Of::Packets, totals.first_ns, end_ns);
        self.engine.output().packets(conn_id, totals, lost)
    }
}

impl<O: Output> Consumer for Linked<'_, '_, O> {
    type Error = O::Error;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), O::Error> {
        self.engine.hook(header, ops, late)?;
        if header.hook.ends_socket() {
            self.flows.destroyed(header.cookie, header.generation);
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), O::Error> {
        self.engine.lifecycle(record, late)?;
        let Some(conn_id) = self.engine.conn_id(&record.header) else { return Ok(()) };
        let totals = self.flows.lifecycle(conn_id, record);
        match (record.event, totals) {
            (Event::Close | Event::End, Some(totals)) => {
                self.totals(conn_id, &totals, record.header.ts_ns)
            }
            (Event::Close | Event::End, None)
            | (Event::Open | Event::Baseline | Event::Drain | Event::Over, _) => Ok(()),
        }
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.engine.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.engine.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.engine.reached(ts_ns);
    }
}

impl<O, S, P, E> Consumer for Beside<'_, O, S, P>
where
    O: Output,
    S: Iterator<Item = Result<Snapshot, E>>,
    P: Iterator<Item = Result<(Box<Packet>, bool), E>>,
    E: From<O::Error>,
{
    type Error = E;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), E> {
        self.before(Some(key(header)))?;
        Ok(self.linked().hook(header, ops, late)?)
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), E> {
        self.before(Some(key(&record.header)))?;
        self.reached_packets(record.header.ts_ns)?;
        Ok(self.linked().lifecycle(record, late)?)
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.engine.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.engine.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.engine.reached(ts_ns);
    }
}

impl<O, S, P, E> Knows for Beside<'_, O, S, P>
where
    O: Output,
    S: Iterator<Item = Result<Snapshot, E>>,
    P: Iterator<Item = Result<(Box<Packet>, bool), E>>,
    E: From<O::Error>,
{
    fn knows(&self, header: &Header) -> bool {
        self.engine.conn_id(header).is_some()
    }
}
