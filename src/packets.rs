//! Connections out of packets alone: for recordings that have packets and no hooks.
//!
//! Packets come in their total order ([`order`]), are put to their connections ([`Tracker`]), and
//! each connection ([`connection`]) says what its end's kernel must have done, as lifecycle records
//! and operations on variables for the same engine that takes those of the hooks. So tables, series
//! and derived variables follow from the same rules. Pure, and deterministic: maps are looked up and
//! never walked.

pub mod order;

mod connection;
mod reassembly;
pub(crate) mod segment;
mod state;

pub(crate) use segment::{after, before};

use std::collections::VecDeque;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::replay::order::Consumer;
use crate::schema::Hook;
use crate::wire::{Direction, Event, Header, Lifecycle, Operation, Packet};

use connection::{Connection, Request};
use segment::Segment;
use state::{KERNEL_CLOSE, Offer};

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tuple {
    netns: Option<u32>,
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

/// What is known of a pair of ends.
#[derive(Debug)]
struct Entry {
    tuple: Tuple,
    /// The connection, and its number for the engine.
    live: Option<(u64, Box<Connection>)>,
    /// A handshake that the peer began.
    request: Option<Request>,
    /// There was a connection: what comes without a SYN is a leftover of it.
    ended: bool,
    last_ns: u64,
}

/// How long what comes without a SYN is taken for a leftover: twice RFC 9293's segment lifetime.
const LINGER_NS: u64 = 240_000_000_000;

/// Sequence space of the longest SYN: itself, and a packet full of data.
const MAX_SYN: u32 = 1 << 16;

/// What the tracker noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets, all told.
    pub packets: u64,
    /// Of other protocols than TCP: no row of a connection.
    pub other: u64,
    /// TCP that is no whole header: later fragments, and headers that the capture has cut.
    pub unreadable: u64,
    /// TCP after the end of its connection: TIME-WAIT, resets of nothing.
    pub after_end: u64,
    /// Packets that came too late to be put in order.
    pub late: u64,
    /// Packets that must have been there but are not in the capture, at least.
    pub missed: u64,
    /// Connections of which neither end, or both, are the recorded one; their opener's is taken.
    pub by_opener: u64,
}

/// Puts packets to connections, and feeds what follows to a consumer.
///
/// The consumer is the same in all calls.
#[derive(Debug, Default)]
pub struct Tracker {
    keys: FxHashMap<Tuple, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Entries without a live connection, by the time at which to look at them again.
    idle: VecDeque<(u64, u32)>,
    connections: u64,
    now_ns: u64,
    counts: PacketCounts,
}

impl Tracker {
    /// Takes in the next packet of the order.
    ///
    /// # Errors
    /// The consumer's.
    pub fn packet<C: Consumer>(
        &mut self,
        consumer: &mut C,
        packet: &Packet,
        late: bool,
    ) -> Result<(), C::Error> {
        self.counts.packets += 1;
        self.counts.late += u64::from(late);
        self.now_ns = self.now_ns.max(packet.ts_ns);
        consumer.reached(packet.ts_ns);
        let Some(segment) = Segment::of(packet) else {
            if packet.protocol == segment::TCP {
                self.counts.unreadable += 1;
            } else {
                self.counts.other += 1;
            }
            return Ok(());
        };
        self.forget_idle();
        let (tuple, out) = self.orient(packet, &segment);
        let index = self.entry(tuple);
        if let Some(entry) = &mut self.entries[index as usize] {
            entry.last_ns = packet.ts_ns;
        }
        let header = Header {
            ts_ns: packet.ts_ns,
            seq: packet.seq,
            cookie: 0,
            generation: 0,
            cpu: packet.cpu,
            hook: packet.hook,
        };
        let mut step = Step { tracker: self, consumer, index, header, late };
        if out { step.sent(&segment) } else { step.received(&segment) }
    }

    /// The end of the packets: connections still open end here.
    ///
    /// # Errors
    /// The consumer's.
    pub fn finish<C: Consumer>(mut self, consumer: &mut C) -> Result<PacketCounts, C::Error> {
        for index in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get_mut(index) else { continue };
            let Some((number, live)) = entry.live.take() else { continue };
            let header = Header {
                ts_ns: self.now_ns,
                seq: u64::MAX,
                cookie: number,
                generation: 0,
                cpu: 0,
                hook: Hook::Sweep,
            };
            let state = live.state.kernel();
            let record = lifecycle(header, Event::End, &entry.tuple, &live, state, state);
            consumer.lifecycle(&record, false)?;
        }
        Ok(self.counts)
    }

    /// The ends of a packet, and whether the local one sent it.
    fn orient(&mut self, packet: &Packet, segment: &Segment) -> (Tuple, bool) {
        let src = (packet.src_addr, packet.src_port.unwrap_or(0));
        let dst = (packet.dst_addr, packet.dst_port.unwrap_or(0));
        let netns = packet.netns;
        let sent = Tuple { netns, local: src, remote: dst };
        let received = Tuple { netns, local: dst, remote: src };
        match packet.direction {
            Direction::Out => (sent, true),
            Direction::In => (received, false),
            Direction::Unknown if self.keys.contains_key(&sent) => (sent, true),
            Direction::Unknown if self.keys.contains_key(&received) => (received, false),
            Direction::Unknown => {
                self.counts.by_opener += 1;
                // The opener is who sends the SYN, else who has the higher port: servers' are low.
                let opener_sent = match (segment.syn, segment.ack) {
                    (true, false) => true,
                    (true, true) => false,
                    (false, _) => src.1 >= dst.1,
                };
                if opener_sent { (sent, true) } else { (received, false) }
            }
        }
    }

    fn entry(&mut self, tuple: Tuple) -> u32 {
        if let Some(&index) = self.keys.get(&tuple) {
            return index;
        }
        let entry = Entry { tuple, live: None, request: None, ended: false, last_ns: self.now_ns };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        self.entries[index as usize] = Some(entry);
        self.keys.insert(tuple, index);
        self.idle.push_back((self.now_ns.saturating_add(LINGER_NS), index));
        index
    }

    /// Lets go of ends that have had no connection and no packet for long.
    fn forget_idle(&mut self) {
        while let Some(&(due_ns, index)) = self.idle.front() {
            if due_ns > self.now_ns {
                return;
            }
            self.idle.pop_front();
            let Some(entry) = &self.entries[index as usize] else { continue };
            let due_ns = entry.last_ns.saturating_add(LINGER_NS);
            if entry.live.is_some() || due_ns > self.now_ns {
                // Looked at again no earlier than the last in the queue, which stays in order.
                self.idle.push_back((self.now_ns.saturating_add(LINGER_NS), index));
            } else {
                self.keys.remove(&entry.tuple);
                self.entries[index as usize] = None;
                self.free.push(index);
            }
        }
    }
}

/// One packet on its way through an entry.
struct Step<'t, C> {
    tracker: &'t mut Tracker,
    consumer: &'t mut C,
    index: u32,
    header: Header,
    late: bool,
}

impl<C: Consumer> Step<'_, C> {
    fn entry(&mut self) -> &mut Entry {
        self.tracker.entries[self.index as usize].as_mut().expect("made by the caller")
    }

    fn sent(&mut self, s: &Segment) -> Result<(), C::Error> {
        let entry = self.entry();
        match (s.syn, s.ack) {
            (true, false) => {
                entry.request = None;
                let repeats = |c: &Connection| c.iss == Some(s.seq);
                if !entry.live.as_ref().is_some_and(|(_, c)| repeats(c)) {
                    self.replace(Connection::open(s), Event::Open)?;
                }
            }
            (true, true) => {
                let live = entry.live.is_some();
                // With fast open, data of the SYN is acknowledged too.
                if let Some(request) = &mut entry.request
                    && (1..=MAX_SYN).contains(&s.ack_seq.wrapping_sub(request.irs))
                {
                    let repeated = request.answer.is_some_and(|(iss, _)| iss == s.seq);
                    request.repeats = if repeated { request.repeats + 1 } else { 0 };
                    request.answer = Some((s.seq, Offer::of(s)));
                    request.taken = s.ack_seq.wrapping_sub(request.irs);
                    request.tos_out = s.tos;
                    return Ok(());
                }
                if !live {
                    // The SYN is not in the capture.
                    entry.request = Some(Request {
                        irs: s.ack_seq.wrapping_sub(1),
                        theirs: None,
                        taken: 1,
                        answer: Some((s.seq, Offer::of(s))),
                        repeats: 0,
                        tos_out: s.tos,
                    });
                    return Ok(());
                }
            }
            (false, _) => {
                if entry.live.is_none() && s.rst {
                    entry.request = None;
                }
                if entry.live.is_none() && !self.find(s)? {
                    return Ok(());
                }
            }
        }
        if let Some((_, live)) = &mut self.entry().live {
            live.sent(s);
        }
        self.flush()
    }

    fn received(&mut self, s: &Segment) -> Result<(), C::Error> {
        let entry = self.entry();
        match (s.syn, s.ack) {
            (true, false) => {
                let same = entry.request.as_ref().is_some_and(|r| r.irs == s.seq);
                let opening =
                    |c: &Connection| c.irs == Some(s.seq) || c.iss.is_some() && c.irs.is_none();
                let ours = entry.live.as_ref().is_some_and(|(_, c)| opening(c));
                if !same && !ours {
                    entry.request = Some(Request {
                        irs: s.seq,
                        theirs: Some(Offer::of(s)),
                        taken: 1,
                        answer: None,
                        repeats: 0,
                        tos_out: 0,
                    });
                }
                if entry.live.is_none() {
                    return Ok(());
                }
            }
            (true, true) => {
                if entry.live.is_none() && !self.find(s)? {
                    return Ok(());
                }
            }
            (false, _) => {
                if let Some(request) = entry.request.take_if(|r| {
                    !s.rst && s.ack && r.answer.is_some_and(|(iss, _)| after(s.ack_seq, iss))
                }) {
                    let event =
                        if request.theirs.is_some() { Event::Open } else { Event::Baseline };
                    self.replace(Connection::accept(&request, s), event)?;
                } else if entry.live.is_none() {
                    if s.rst {
                        entry.request = None;
                    }
                    if !self.find(s)? {
                        return Ok(());
                    }
                }
            }
        }
        if let Some((_, live)) = &mut self.entry().live {
            live.received(s);
        }
        self.flush()
    }

    /// Begins a connection whose beginning was not seen; false for leftovers of one that ended, and
    /// of handshakes.
    fn find(&mut self, s: &Segment) -> Result<bool, C::Error> {
        let entry = self.entry();
        if entry.ended || entry.request.is_some() || s.rst {
            self.tracker.counts.after_end += 1;
            return Ok(false);
        }
        self.replace(Connection::found(s), Event::Baseline)?;
        Ok(true)
    }

    /// Another connection takes the place of the one before.
    fn replace(&mut self, connection: Connection, event: Event) -> Result<(), C::Error> {
        if let Some((_, live)) = &mut self.entry().live {
            live.close(None, 0);
            self.flush()?;
        }
        self.tracker.connections += 1;
        let number = self.tracker.connections;
        let header = Header { cookie: number, ..self.header };
        let entry = self.entry();
        entry.ended = false;
        let state = connection.state.kernel();
        let record = lifecycle(header, event, &entry.tuple, &connection, KERNEL_CLOSE, state);
        entry.live = Some((number, Box::new(connection)));
        self.consumer.lifecycle(&record, self.late)
    }

    /// Gives the consumer what the connection has to say.
    fn flush(&mut self) -> Result<(), C::Error> {
        let (base, late) = (self.header, self.late);
        let Some(entry) = self.tracker.entries[self.index as usize].as_mut() else { return Ok(()) };
        let Some((number, live)) = &mut entry.live else { return Ok(()) };
        let header = Header { cookie: *number, ..base };
        let missed = std::mem::take(&mut live.missed);
        if missed > 0 {
            self.tracker.counts.missed += missed;
            self.consumer.missed(&header, missed);
        }
        self.consumer.hook(&header, live.ops.drain(..), late)?;
        if let Some(closed) = live.closed {
            let from = closed.from.map_or(KERNEL_CLOSE, |s| s.kernel());
            let mut record =
                lifecycle(header, Event::Close, &entry.tuple, live, from, KERNEL_CLOSE);
            record.sk_err = closed.errno;
            self.consumer.lifecycle(&record, late)?;
            let gone = Header { hook: Hook::Destroy, ..header };
            self.consumer.hook(&gone, std::iter::empty::<Operation>(), late)?;
            entry.live = None;
            entry.ended = true;
        }
        Ok(())
    }
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

fn address(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn lifecycle(
    header: Header,
    event: Event,
    tuple: &Tuple,
    connection: &Connection,
    old_state: u8,
    new_state: u8,
) -> Lifecycle {
    Lifecycle {
        header,
        event,
        start_ns: connection.start_ns,
        family: if tuple.local.0.is_ipv4() { AF_INET } else { AF_INET6 },
        local_addr: address(tuple.local.0),
        remote_addr: address(tuple.remote.0),
        local_port: tuple.local.1,
        remote_port: tuple.remote.1,
        netns: tuple.netns.unwrap_or(0),
        cgroup_id: 0,
        cgroup_path: String::new(),
        pid: 0,
        uid: 0,
        comm: String::new(),
        congestion: String::new(),
        old_state,
        new_state,
        active: connection.active,
        established: u8::from(connection.established),
        first_fin: connection.first_fin,
        mptcp: 0,
        sk_err: 0,
    }
}
