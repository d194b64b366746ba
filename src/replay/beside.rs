//! What comes beside the records of connections: snapshots of sockets, and packets.
//!
//! Both have streams of their own, in their own order. Each is given on before the first record that
//! comes after it: a snapshot while its connection lives, so that it is found; a packet, so that the
//! account of packets at the end of a connection is that of this moment.

use std::collections::VecDeque;

use super::order::Consumer;
use super::snapshots::{Key, key};
use crate::accounting::{self, Accounting, Flow, Seen, Span, Step};
use crate::estats::{Engine, Output, PacketSeen, RttSample};
use crate::packets::{PacketCounts, Tracker, order};
use crate::rtt::{self, FlowRtt, Way};
use crate::schema::{Hook, Var};
use crate::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot};

/// How long a sample of RTT waits for its connection: that of a handshake comes before the child
/// exists, which the same segment makes.
const OWNER_NS: u64 = 100_000_000;

/// Takes the records in their order, and puts between them what comes beside.
pub(super) struct Beside<'a, O, S, P> {
    engine: Engine<'a, O>,
    snapshots: S,
    packets: P,
    next_snapshot: Option<Snapshot>,
    next_packet: Option<(Packet, bool)>,
    accounting: Accounting,
    /// Makes connections of packets, where nothing else does.
    tracker: Option<Tracker>,
    /// Matching, by the slot of the flow.
    rtt: Vec<Option<Box<FlowRtt>>>,
    rtt_options: rtt::Options,
    /// What a packet answers, on its way.
    answers: Vec<rtt::Sample>,
    /// Samples of RTT, by their time, with the slot of their flow.
    samples: VecDeque<(u32, RttSample)>,
}

/// What is left at the end.
pub(super) struct Rest<'a, O> {
    pub engine: Engine<'a, O>,
    /// What was noticed while connections were made of packets.
    pub tracked: Option<PacketCounts>,
}

impl<'a, O, S, P, E> Beside<'a, O, S, P>
where
    O: Output,
    S: Iterator<Item = Result<Snapshot, E>>,
    P: Iterator<Item = Result<(Packet, bool), E>>,
    E: From<O::Error>,
{
    pub fn new(
        engine: Engine<'a, O>,
        mut snapshots: S,
        mut packets: P,
        (options, rtt_options): (accounting::Options, rtt::Options),
        tracker: Option<Tracker>,
    ) -> Result<Self, E> {
        let next_snapshot = snapshots.next().transpose()?;
        let next_packet = packets.next().transpose()?;
        Ok(Self {
            engine,
            snapshots,
            packets,
            next_snapshot,
            next_packet,
            accounting: Accounting::new(options),
            tracker,
            rtt: Vec::new(),
            rtt_options,
            answers: Vec::new(),
            samples: VecDeque::new(),
        })
    }

    /// Takes interfaces together, see [`Accounting::in_places`].
    pub fn in_places(mut self, places: &[Vec<u32>]) -> Self {
        self.accounting = self.accounting.in_places(places);
        self
    }

    /// Gives on what comes before a record, or all of it.
    fn before(&mut self, limit: Option<Key>) -> Result<(), E> {
        loop {
            let due = |at: Key| limit.is_none_or(|limit| at < limit);
            let snapshot = self.next_snapshot.as_ref().map(|s| key(&s.header));
            let packet = self.next_packet.as_ref().map(|(p, _)| order::key(p));
            match (snapshot.filter(|&at| due(at)), packet.filter(|&at| due(at))) {
                (None, None) => return Ok(()),
                (Some(s), p) if p.is_none_or(|p| s <= p) => {
                    if let Some(row) = self.next_snapshot.take() {
                        self.engine.snapshot(&row)?;
                    }
                    self.next_snapshot = self.snapshots.next().transpose()?;
                }
                (_, _) => {
                    if let Some((packet, late)) = self.next_packet.take() {
                        self.accounting.packet(packet, late);
                        self.steps()?;
                    }
                    self.next_packet = self.packets.next().transpose()?;
                }
            }
        }
    }

    /// Carries out what accounting has to say.
    fn steps(&mut self) -> Result<(), E> {
        while let Some(step) = self.accounting.step() {
            match step {
                Step::Packet(seen) => self.seen(&seen)?,
                Step::Interval { slot, span } => {
                    if let Some(flow) = self.accounting.flow(slot) {
                        self.engine.flow(flow, &span, false)?;
                    }
                }
                Step::Ended { slot, span, flow } => self.ended(slot, &span, &flow)?,
            }
        }
        Ok(())
    }

    /// A packet, in the order of its flow's packets, counted once.
    fn seen(&mut self, seen: &Seen) -> Result<(), E> {
        let Seen { packet, late, .. } = seen;
        self.match_rtt(seen)?;
        self.give_samples(packet.ts_ns)?;
        // Whether one of its ends is this host's, an interface cannot say.
        if let Some(tracker) = &mut self.tracker
            && (packet.hook == Hook::Capture || packet.hook.is_socket())
        {
            let mut linked = Linked { engine: &mut self.engine, accounting: &mut self.accounting };
            tracker.packet(&mut linked, packet, *late)?;
        }
        Ok(())
    }

    /// Looks for what a packet answers.
    fn match_rtt(&mut self, seen: &Seen) -> Result<(), E> {
        let Seen { slot, forward, packet, .. } = seen;
        let index = *slot as usize;
        if self.rtt.len() <= index {
            self.rtt.resize_with(index + 1, || None);
        }
        let options = self.rtt_options;
        let matching = self.rtt[index].get_or_insert_with(|| Box::new(FlowRtt::new(options)));
        let way = if *forward { Way::Forth } else { Way::Back };
        self.answers.clear();
        matching.packet(packet, way, &mut |sample| self.answers.push(*sample));
        let Some(flow) = self.accounting.flow(*slot) else { return Ok(()) };
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
        Ok(self.engine.packet(&PacketSeen { packet, forward, flow, answers })?)
    }

    /// A flow is over. Its slot may have another flow from the next step on.
    fn ended(&mut self, slot: u32, span: &Span, flow: &Flow) -> Result<(), E> {
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
        Ok(self.engine.flow(flow, span, true)?)
    }

    /// Gives out the samples that have waited long enough for their connection.
    fn give_samples(&mut self, now_ns: u64) -> Result<(), E> {
        while let Some((slot, sample)) = self.samples.front_mut()
            && sample.sample.ts_ns.saturating_add(OWNER_NS) <= now_ns
        {
            let flow = self.accounting.flow(*slot).filter(|flow| flow.number == sample.flow);
            if let Some(owner) = flow.and_then(|flow| flow.owner.as_ref()) {
                sample.conn_id = Some(owner.conn_id);
            }
            self.engine.rtt(sample)?;
            self.samples.pop_front();
        }
        Ok(())
    }

    /// Gives on what is left, ends all flows, and gives the engine back.
    pub fn rest(mut self) -> Result<Rest<'a, O>, E> {
        self.before(None)?;
        self.accounting.flush();
        self.steps()?;
        let tracked = match self.tracker.take() {
            None => None,
            Some(tracker) => {
                let (engine, accounting) = (&mut self.engine, &mut self.accounting);
                Some(tracker.finish(&mut Linked { engine, accounting })?)
            }
        };
        self.give_samples(u64::MAX)?;
        self.accounting.finish();
        self.steps()?;
        Ok(Rest { engine: self.engine, tracked })
    }

    fn reached_packets(&mut self, ts_ns: u64) -> Result<(), E> {
        self.accounting.reached(ts_ns);
        self.steps()
    }
}

/// The engine, and accounting, which learns of connections what the engine does.
struct Linked<'e, 'a, O> {
    engine: &'e mut Engine<'a, O>,
    accounting: &'e mut Accounting,
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
        if header.hook == Hook::Destroy {
            self.accounting.destroyed(header.cookie, header.generation);
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), O::Error> {
        self.engine.lifecycle(record, late)?;
        let Some(conn_id) = self.engine.conn_id(&record.header) else { return Ok(()) };
        let account = self.accounting.lifecycle(conn_id, record);
        match (record.event, account) {
            (Event::Close | Event::End, Some(account)) => {
                self.engine.packets(conn_id, &account, record.header.ts_ns)
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
    P: Iterator<Item = Result<(Packet, bool), E>>,
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
        let (engine, accounting) = (&mut self.engine, &mut self.accounting);
        Ok(Linked { engine, accounting }.hook(header, ops, late)?)
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), E> {
        self.before(Some(key(&record.header)))?;
        self.reached_packets(record.header.ts_ns)?;
        let (engine, accounting) = (&mut self.engine, &mut self.accounting);
        Ok(Linked { engine, accounting }.lifecycle(record, late)?)
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
