// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections out of packets alone: for recordings that have packets and no hooks.
//!
//! Packets come in their total order ([`crate::engine::time::packets`]), are assigned to their
//! connections ([`Tracker`]), and each connection ([`connection`]) derives what its end's kernel must
//! have done. The result is lifecycle records and operations on variables, for the same engine that
//! takes those of the hooks. So tables, series and derived variables follow from the same rules. Pure,
//! and deterministic: maps are looked up and never walked.

mod connection;
mod counts;
mod options;
mod over;
mod reassembly;
mod request;
pub(crate) mod segment;
mod state;

pub use counts::PacketCounts;
pub(crate) use segment::{after, before};

use std::collections::VecDeque;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::engine::time::order::Consumer;
use crate::schema::Hook;
use crate::wire::{Checksum, Direction, Event, Header, Lifecycle, Packet, is_extension, protocol};

use connection::Connection;
use over::Over;
use request::Request;
use segment::Segment;
use state::{KERNEL_CLOSE, TcpState};

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tuple {
    netns: Option<u32>,
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

/// What is known of a pair of ends.
#[derive(Debug)]
struct EndpointPair {
    tuple: Tuple,
    /// The connection, and its number for the engine.
    live: Option<(u64, Box<Connection>)>,
    /// A handshake that the peer began.
    request: Option<Request>,
    /// There was a connection, or a handshake for one: what comes without a SYN is a leftover of it.
    ended: bool,
    /// The one that was reset, while it may show that it was not.
    over: Option<Box<Over>>,
    last_ns: u64,
}

/// How long what comes without a SYN is taken for a leftover: twice RFC 9293's segment lifetime.
const LINGER_NS: u64 = 240_000_000_000;

/// Puts packets to connections, and feeds what follows to a consumer.
///
/// The consumer is the same in all calls.
#[derive(Debug, Default)]
pub struct Tracker {
    keys: FxHashMap<Tuple, u32>,
    entries: Vec<Option<EndpointPair>>,
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
            if packet.protocol == protocol::TCP || is_extension(packet.protocol) {
                self.counts.unreadable += 1;
            } else {
                self.counts.other += 1;
            }
            return Ok(());
        };
        self.counts.options_cut += u64::from(segment.options.cut);
        self.forget_idle(consumer)?;
        let received = packet.direction != Direction::Out;
        if packet.wrong_checksum.is_some() && received && !self.knows(packet) {
            // Its addresses may be what was damaged: it begins nothing.
            self.counts.wrong_checksum += 1;
            return Ok(());
        }
        let (tuple, out, found) = self.orient(packet, &segment);
        let index = found.unwrap_or_else(|| self.begin(tuple));
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
        let own = packet.direction == Direction::Unknown && tuple.local == tuple.remote;
        let mut step = Step { tracker: self, consumer, index, header, late };
        if let Some(which) = packet.wrong_checksum.filter(|_| !out) {
            return step.damaged(&segment, which);
        }
        if out {
            step.sent(&segment)?;
        }
        // A socket also receives the packets that it sends to itself.
        if own || !out { step.received(&segment) } else { Ok(()) }
    }

    /// The end of the packets: connections still open end here.
    ///
    /// # Errors
    /// The consumer's.
    pub fn finish<C: Consumer>(mut self, consumer: &mut C) -> Result<PacketCounts, C::Error> {
        for index in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get_mut(index) else { continue };
            if let Some(over) = entry.over.take() {
                self.counts.went_on += over.end(consumer)?;
            }
            let Some((number, mut live)) = entry.live.take() else { continue };
            let header = Header {
                ts_ns: self.now_ns,
                seq: u64::MAX,
                cookie: number,
                generation: 0,
                cpu: 0,
                hook: Hook::Sweep,
            };
            live.settle();
            speak(consumer, &mut self.counts, &header, &mut live, false)?;
            let state = live.state.kernel();
            let record = lifecycle(header, Event::End, &entry.tuple, &live, state, state);
            consumer.lifecycle(&record, false)?;
        }
        Ok(self.counts)
    }

    /// Whether there were packets of its ends before.
    fn knows(&self, packet: &Packet) -> bool {
        let (sent, received) = tuples(packet);
        self.keys.contains_key(&sent) || self.keys.contains_key(&received)
    }

    /// The ends of a packet, whether the local one sent it, and the entry of the ends if there is one.
    fn orient(&mut self, packet: &Packet, segment: &Segment) -> (Tuple, bool, Option<u32>) {
        let (sent, received) = tuples(packet);
        let found = |tuple: Tuple, out: bool| (tuple, out, self.keys.get(&tuple).copied());
        match packet.direction {
            Direction::Out => found(sent, true),
            Direction::In => found(received, false),
            Direction::Unknown => {
                let ways = [(sent, true), (received, false)].into_iter();
                let mut ways = ways.map(|(tuple, out)| found(tuple, out));
                if let Some(way) = ways.find(|(.., index)| index.is_some()) {
                    return way;
                }
                self.counts.by_opener += 1;
                // The opener is who sends the SYN, else who has the higher port: servers' are low.
                let opener_sent = match (segment.syn, segment.ack) {
                    (true, false) => true,
                    (true, true) => false,
                    (false, _) => sent.local.1 >= sent.remote.1,
                };
                let (tuple, out) = if opener_sent { (sent, true) } else { (received, false) };
                (tuple, out, None)
            }
        }
    }

    fn begin(&mut self, tuple: Tuple) -> u32 {
        let entry = EndpointPair {
            tuple,
            live: None,
            request: None,
            ended: false,
            over: None,
            last_ns: self.now_ns,
        };
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
    fn forget_idle<C: Consumer>(&mut self, consumer: &mut C) -> Result<(), C::Error> {
        while let Some(&(due_ns, index)) = self.idle.front() {
            // The end of time stands for never: what is put off until then would be due for ever.
            if due_ns > self.now_ns || due_ns == u64::MAX {
                return Ok(());
            }
            self.idle.pop_front();
            let Some(entry) = &mut self.entries[index as usize] else { continue };
            let due_ns = entry.last_ns.saturating_add(LINGER_NS);
            if entry.live.is_some() || due_ns > self.now_ns {
                // Looked at again no earlier than the last in the queue, which stays in order.
                self.idle.push_back((self.now_ns.saturating_add(LINGER_NS), index));
            } else {
                if let Some(over) = entry.over.take() {
                    self.counts.went_on += over.end(consumer)?;
                }
                self.keys.remove(&entry.tuple);
                self.entries[index as usize] = None;
                self.free.push(index);
            }
        }
        Ok(())
    }
}

/// The ends, if the packet was sent by the local one, and if it was received.
fn tuples(packet: &Packet) -> (Tuple, Tuple) {
    let src = (packet.src_addr, packet.src_port.unwrap_or(0));
    let dst = (packet.dst_addr, packet.dst_port.unwrap_or(0));
    let netns = packet.netns;
    (Tuple { netns, local: src, remote: dst }, Tuple { netns, local: dst, remote: src })
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
    fn entry(&mut self) -> &mut EndpointPair {
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
                if let Some(request) = &mut entry.request
                    && request.answered(s)
                {
                    // Fast Open: data of the SYN was taken, so there is a socket for it.
                    return if request.taken > 1 { self.accept(s, 0) } else { Ok(()) };
                }
                if entry.live.is_none() {
                    // The SYN is not in the capture.
                    entry.request = Some(Request::of_answer(s));
                    return Ok(());
                }
            }
            (false, _) => {
                if s.rst {
                    if entry.request.take_if(|r| r.is_ended_by_ours(s)).is_some() {
                        entry.ended |= entry.live.is_none();
                    }
                    if entry.live.as_ref().is_some_and(|(_, c)| is_no_end(c, s)) {
                        return Ok(());
                    }
                } else if entry.live.is_none()
                    && entry.request.as_ref().is_some_and(|r| {
                        r.answer.is_some_and(|(iss, _)| s.seq == iss.wrapping_add(1))
                    })
                {
                    // Only a socket sends this: what made it is not in the capture, or nothing
                    // had to (Fast Open without data in the SYN), which packets do not show.
                    self.accept(s, 1)?;
                }
                if self.entry().live.is_none() && !self.find(s, true)? {
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
                    entry.request = Some(Request::of(s));
                }
                if entry.live.is_none() {
                    return Ok(());
                }
            }
            (true, true) => {
                if entry.live.is_none() && !self.find(s, false)? {
                    return Ok(());
                }
            }
            (false, _) => {
                if entry.request.as_ref().is_some_and(|r| r.is_completed_by(s)) {
                    self.accept(s, 0)?;
                } else if entry.live.is_none() {
                    if entry.request.take_if(|r| r.is_ended_by(s)).is_some() {
                        entry.ended = true;
                    }
                    if !self.find(s, false)? {
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

    /// A segment that was received with a wrong checksum. Without a socket, nothing comes of it.
    fn damaged(&mut self, s: &Segment, which: Checksum) -> Result<(), C::Error> {
        self.tracker.counts.wrong_checksum += 1;
        if let (Some((_, live)), Checksum::Tcp) = (&mut self.entry().live, which) {
            live.received_damaged(s);
        }
        self.flush()
    }

    /// The handshake that the peer began becomes a connection.
    fn accept(&mut self, by: &Segment, missed: u64) -> Result<(), C::Error> {
        let Some(request) = self.entry().request.take() else { return Ok(()) };
        let event = if request.theirs.is_some() { Event::Open } else { Event::Baseline };
        let mut connection = Connection::accept(&request, by);
        connection.missed = missed;
        self.replace(connection, event)?;
        self.flush()
    }

    /// Begins a connection whose beginning was not seen; false for leftovers of one that ended, and
    /// of handshakes.
    fn find(&mut self, s: &Segment, sent: bool) -> Result<bool, C::Error> {
        let entry = self.entry();
        if entry.ended || entry.request.is_some() || s.rst {
            if let Some(over) = &mut entry.over {
                over.leftover(s, sent);
            }
            self.tracker.counts.after_end += 1;
            return Ok(false);
        }
        self.replace(Connection::found(s), Event::Baseline)?;
        Ok(true)
    }

    /// Another connection takes the place of the one before.
    fn replace(&mut self, connection: Connection, event: Event) -> Result<(), C::Error> {
        if let Some((_, live)) = &mut self.entry().live {
            live.settle();
            live.close(None, 0);
            self.flush()?;
        }
        self.end_over()?;
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

    /// Gives the consumer the connection's pending records.
    fn flush(&mut self) -> Result<(), C::Error> {
        let (base, late) = (self.header, self.late);
        let Some(entry) = self.tracker.entries[self.index as usize].as_mut() else { return Ok(()) };
        let Some((number, live)) = &mut entry.live else { return Ok(()) };
        let header = Header { cookie: *number, ..base };
        speak(self.consumer, &mut self.tracker.counts, &header, live, late)?;
        if let Some(closed) = live.closed {
            let from = closed.from.map_or(KERNEL_CLOSE, |s| s.kernel());
            let mut record =
                lifecycle(header, Event::Close, &entry.tuple, live, from, KERNEL_CLOSE);
            record.sk_err = closed.errno;
            let over = Over::new(record, late, live, closed);
            entry.live = None;
            entry.ended = true;
            if over.may_go_on() {
                entry.over = Some(Box::new(over));
            } else {
                over.end(self.consumer)?;
            }
        }
        Ok(())
    }

    /// Nothing more can come of the connection that was reset.
    fn end_over(&mut self) -> Result<(), C::Error> {
        if let Some(over) = self.entry().over.take() {
            self.tracker.counts.went_on += over.end(self.consumer)?;
        }
        Ok(())
    }
}

/// Gives the consumer the pending records of a connection.
fn speak<C: Consumer>(
    consumer: &mut C,
    counts: &mut PacketCounts,
    header: &Header,
    live: &mut Connection,
    late: bool,
) -> Result<(), C::Error> {
    let missed = std::mem::take(&mut live.missed);
    if missed > 0 {
        counts.missed += missed;
        consumer.missed(header, missed);
    }
    let twice = std::mem::take(&mut live.twice);
    if twice > 0 {
        counts.twice += twice;
        consumer.missed(header, twice);
    }
    if !live.unread.is_empty() {
        counts.unread += 1;
        consumer.unread(header, &live.unread);
        live.unread.clear();
    }
    consumer.hook(header, live.ops.drain(..), late)
}

/// Whether a reset that we sent does not end the connection: in SYN-SENT it answers a segment of an old
/// connection that the peer still has (RFC 9293, figure 9; tcp_rcv_synsent_state_process() of Linux
/// 6.18). A reset that has the number after our SYN answers a SYN-ACK that the capture lacks.
fn is_no_end(c: &Connection, reset: &Segment) -> bool {
    c.state == TcpState::SynSent && !c.is_next(reset.seq)
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
