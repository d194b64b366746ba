// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The open flows, each found by one look-up.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU64;

use rustc_hash::FxHashMap;

use super::connections::{Connections, Tuple};
use super::content::Selector;
use super::flow::{Closing, Ends, Flow, FlowKey, Point, Timeouts};
use super::idle::Idle;
use super::sighting::{Rewire, Sighting};
use super::{FlowOptions, Step};
use crate::wire::protocol::TCP;
use crate::wire::{Direction, Packet, TcpFields};

/// The flows.
#[derive(Debug)]
pub struct Table {
    timeouts: Timeouts,
    interval: Option<NonZeroU64>,
    keys: FxHashMap<FlowKey, u32>,
    /// TCP flows by their ends alone, wherever they were seen.
    tuples: FxHashMap<Tuple, Vec<u32>>,
    flows: Vec<Option<Box<Flow>>>,
    free: Vec<u32>,
    idle: Idle,
    /// Number of flows so far.
    number: u64,
    /// Whether there ever was a flow at a socket.
    has_sockets: bool,
}

/// The flow that a packet belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    key: FlowKey,
    /// Whether its first end sent the packet.
    forward: bool,
    /// None if it has not begun.
    slot: Option<u32>,
}

impl Table {
    pub fn new(options: FlowOptions) -> Self {
        Self {
            timeouts: options.timeouts,
            interval: options.interval,
            keys: FxHashMap::default(),
            tuples: FxHashMap::default(),
            flows: Vec::new(),
            free: Vec::new(),
            idle: Idle::default(),
            number: 0,
            has_sockets: false,
        }
    }

    pub fn get(&self, slot: u32) -> Option<&Flow> {
        self.flows.get(slot as usize)?.as_deref()
    }

    pub fn open(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().filter_map(Option::as_deref)
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.flows.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Slots, free ones included.
    #[cfg(test)]
    pub const fn slots(&self) -> usize {
        self.flows.len()
    }

    /// The TCP flows of these ends.
    pub fn of_tuple(&self, tuple: &Tuple) -> &[u32] {
        self.tuples.get(tuple).map_or(&[], Vec::as_slice)
    }

    /// Ends what the packet cannot belong to though its ends are the same, and the interval before
    /// its own.
    pub fn make_room(&mut self, sighting: &Sighting, at: &Found, steps: &mut VecDeque<Step>) {
        let Some(slot) = at.slot else { return };
        let interval = self.interval;
        let Some(flow) = self.get_mut(slot) else { return };
        if flow.is_over_before(&sighting.packet, at.forward) {
            self.end(slot, Closing::Replaced, steps);
        } else if let Some(interval) = interval
            && let Some(span) = flow.interval_over(sighting.packet.ts_ns, interval)
        {
            steps.push_back(Step::Interval { slot, span });
        }
    }

    /// Counts a packet: its flow's slot and number, and whether the first end sent it. `at` is what [`Self::find`]
    /// gave, and no flow may have begun or ended in between.
    pub fn count(
        &mut self,
        sighting: &Sighting,
        at: Found,
        connections: &Connections,
    ) -> (u32, u64, bool) {
        let Sighting { packet, wire, late, .. } = sighting;
        let Found { key, forward, slot } = at;
        debug_assert_eq!(self.keys.get(&key).copied(), slot);
        let slot = slot.unwrap_or_else(|| self.begin(key, packet, forward, connections));
        let Some(flow) = self.flows[slot as usize].as_deref_mut() else {
            unreachable!("a key stands for an open flow")
        };
        let closed = flow.closed();
        flow.count(packet, forward, wire, *late);
        connections.recognise(flow, packet);
        let (number, closes) = (flow.number, flow.closed() && !closed);
        if closes {
            // It is over earlier than it would have been.
            let due = flow.last_ns.saturating_add(self.timeouts.closed_ns);
            flow.armed_ns = due;
            self.idle.set(due, slot);
        }
        (slot, number, forward)
    }

    /// A later sighting of a packet that was counted.
    pub fn rewire(&mut self, rewire: &Rewire) {
        let (slot, number, forward) = rewire.flow;
        if let Some(flow) = self.get_mut(slot)
            && flow.number == number
        {
            flow.side_mut(forward).rewire(&rewire.old, &rewire.new);
        }
    }

    /// Ends the flows that were idle for too long at a time.
    pub fn expire(&mut self, now_ns: u64, steps: &mut VecDeque<Step>) {
        while let Some((due_ns, slot)) = self.idle.due(now_ns) {
            let Some(flow) = self.flows[slot as usize].as_deref_mut() else { continue };
            if flow.armed_ns != due_ns {
                continue;
            }
            let over_ns = flow.last_ns.saturating_add(flow.timeout_ns(&self.timeouts));
            // If the connection is known to live, no timeout is needed.
            let lives = !flow.closed() && flow.owner.as_ref().is_some_and(|owner| owner.lives);
            if over_ns > now_ns || lives {
                let timeout_ns = flow.timeout_ns(&self.timeouts).max(1);
                // The next of its times after now, at once: clocks of captures jump by years.
                let passed = now_ns.saturating_sub(due_ns) / timeout_ns;
                let next_ns =
                    due_ns.saturating_add(passed.saturating_add(1).saturating_mul(timeout_ns));
                flow.armed_ns = if over_ns > now_ns { over_ns } else { next_ns };
                self.idle.set(flow.armed_ns, slot);
            } else {
                self.end(slot, Closing::Timeout, steps);
            }
        }
    }

    /// The end of the recording.
    pub fn end_all(&mut self, steps: &mut VecDeque<Step>) {
        let mut open: Vec<_> = (0..self.flows.len() as u32)
            .filter_map(|slot| Some((self.get(slot)?.number, slot)))
            .collect();
        open.sort_unstable();
        for (_, slot) in open {
            self.end(slot, Closing::EndOfRecording, steps);
        }
    }

    fn end(&mut self, slot: u32, why: Closing, steps: &mut VecDeque<Step>) {
        let Some(mut flow) = self.flows[slot as usize].take() else { return };
        flow.closing = Some(flow.closed_how().unwrap_or(why));
        self.keys.remove(&flow.key());
        if let Some(tuple) = Tuple::of(&flow)
            && let Some(slots) = self.tuples.get_mut(&tuple)
        {
            slots.retain(|&s| s != slot);
            if slots.is_empty() {
                self.tuples.remove(&tuple);
            }
        }
        self.free.push(slot);
        let span = flow.rest(self.interval.is_some());
        steps.push_back(Step::Ended { slot, span, flow });
    }

    fn begin(
        &mut self,
        key: FlowKey,
        packet: &Packet,
        forward: bool,
        connections: &Connections,
    ) -> u32 {
        self.number += 1;
        self.has_sockets |= key.point == Point::Socket;
        let mut flow = Box::new(Flow::new(self.number, &key, packet, forward));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            (self.flows.len() - 1) as u32
        });
        if let Some(interval) = self.interval {
            flow.interval_over(packet.ts_ns, interval);
        }
        flow.armed_ns = packet.ts_ns.saturating_add(self.timeouts.unanswered_ns);
        self.idle.set(flow.armed_ns, slot);
        if let Some(tuple) = Tuple::of(&flow) {
            connections.begun(&mut flow, &tuple);
            self.tuples.entry(tuple).or_default().push(slot);
        }
        self.flows[slot as usize] = Some(flow);
        self.keys.insert(key, slot);
        slot
    }

    /// The flow at a socket that has closed it, to which a packet of an interface is a
    /// leftover: sockets in TIME-WAIT are none any more for the hooks.
    fn at_closed_socket(&self, key: &FlowKey, packet: &Packet, forward: bool) -> Option<Found> {
        if !self.has_sockets || key.point == Point::Socket || key.protocol != TCP {
            return None;
        }
        let key = FlowKey { point: Point::Socket, ..*key };
        let slot = *self.keys.get(&key)?;
        let flow = self.get(slot)?;
        let leftover = flow.closed_ns()? <= packet.ts_ns && !flow.is_over_before(packet, forward);
        leftover.then_some(Found { key, forward, slot: Some(slot) })
    }

    /// The flow of a packet.
    pub fn find(&self, sighting: &Sighting) -> Found {
        let Sighting { packet, selector, point, .. } = sighting;
        let found = self.find_by_ends(packet, *selector, *point);
        self.at_closed_socket(&found.key, packet, found.forward).unwrap_or(found)
    }

    fn find_by_ends(&self, packet: &Packet, selector: Selector, point: Point) -> Found {
        let (src_port, dst_port) = selector.ports.unzip();
        let (echo_id, request) = selector.echo.unzip();
        let key = |forward: bool| {
            let turn = |a, b| if forward { [a, b] } else { [b, a] };
            let ends = Ends {
                addresses: turn2(packet.src_addr, packet.dst_addr, forward),
                ports: turn(src_port, dst_port),
                echo_id,
            };
            FlowKey { netns: packet.netns, point, protocol: packet.protocol, ends }
        };
        let found = |forward: bool| {
            let key = key(forward);
            Found { key, forward, slot: self.keys.get(&key).copied() }
        };
        match packet.direction {
            Direction::Out => return found(true),
            Direction::In => return found(false),
            Direction::Unknown => {}
        }
        if let Some(found) = [true, false].into_iter().map(found).find(|f| f.slot.is_some()) {
            return found;
        }
        // The opening end is first: it sends the SYN or the request, else it has the higher port.
        let forward = match (TcpFields::of(packet), request) {
            (Some(t), _) if t.syn => !t.ack,
            (_, Some(request)) => request,
            (_, None) => src_port >= dst_port,
        };
        Found { key: key(forward), forward, slot: None }
    }
}

const fn turn2(a: IpAddr, b: IpAddr, forward: bool) -> [IpAddr; 2] {
    if forward { [a, b] } else { [b, a] }
}

impl Tuple {
    /// The ends of a TCP flow.
    pub fn of(flow: &Flow) -> Option<Self> {
        if flow.protocol != TCP {
            return None;
        }
        let [local, remote] = flow.ends.addresses;
        let [local_port, remote_port] = flow.ends.ports;
        Some(Self {
            netns: flow.netns,
            local: (local, local_port?),
            remote: (remote, remote_port?),
        })
    }
}
