// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The table engine: records in their total order in, state of each live connection forward, rows
//! out.
//!
//! No clock, no I/O, and no iteration over the hash map: one look-up per record finds the slot of the
//! connection. What happens to a variable follows from the schema alone ([`Plan`]); the engine knows
//! how connections begin and end.

mod bits;
mod connection;
mod impossible;
mod output;
mod peers;
mod plan;
mod rules;
mod silent;
mod slot;
mod states;
mod unread;
mod witness;

use rustc_hash::FxHashMap;

use crate::engine::identity::{CloseReason, Identity};
use crate::engine::limits::{Limits, Observation};
use crate::engine::time::order::Consumer;
use crate::engine::time::timeline::{Of, Timeline};
use crate::schema::{Op, Var};
use crate::wire::{Event, Header, Lifecycle, NO_CPU, Operation, Snapshot};

use connection::{Begin, Closing, Connection};
use peers::{Peer, Peers};
use silent::Heard;

pub use bits::Bits;
pub use impossible::ORDERED;
pub use output::{
    Completeness, ConnectionRows, Ended, EngineCounts, Interval, KernelValues, Polled, Sample,
};
pub use plan::{Plan, RuleOptions};
pub use rules::RowContext;
pub use silent::Silent;
pub use slot::{Row, Slot};
pub use states::{Life, STATES, StateTimes, States};
use witness::{Reading, Received};

/// Identity of a connection in the log.
type ConnectionKey = (u64, u16);

/// In place of a slot's number: the connection is over, its socket still there.
const RETIRED: u32 = u32::MAX;

/// The engine. Feed it through [`Consumer`], then call [`Engine::finish`].
#[derive(Debug)]
pub struct Engine<'a, O> {
    plan: &'a Plan,
    timeline: &'a Timeline,
    /// The kind of losses that marks its rows.
    losses: Of,
    interval: Interval,
    output: O,
    keys: FxHashMap<ConnectionKey, u32>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    peers: Peers,
    /// Time of the total order: the latest record applied.
    now_ns: u64,
    /// The latest time the recording is known to have reached.
    reached_ns: u64,
    /// Connections that ended at `now_ns`.
    closing: Vec<u32>,
    /// (number, slot) of the connections to be sampled at `sample_ns`.
    dirty: Vec<(u64, u32)>,
    sample_ns: u64,
    counts: EngineCounts,
}

impl<'a, O: ConnectionRows> Engine<'a, O> {
    /// An engine without connections.
    pub fn new(plan: &'a Plan, timeline: &'a Timeline, interval: Interval, output: O) -> Self {
        Self {
            plan,
            timeline,
            losses: Of::Connections,
            interval,
            output,
            keys: FxHashMap::default(),
            connections: Vec::new(),
            free: Vec::new(),
            peers: Peers::default(),
            now_ns: 0,
            reached_ns: 0,
            closing: Vec::new(),
            dirty: Vec::new(),
            sample_ns: 0,
            counts: EngineCounts::default(),
        }
    }

    /// The same for records that are made of packets: their losses are those of packets.
    #[must_use]
    pub fn of_packets(mut self) -> Self {
        self.losses = Of::Packets;
        self
    }

    /// The number of the connection of a record, if its row is not made yet.
    pub fn conn_id(&self, header: &Header) -> Option<u64> {
        self.connection_of(header).map(|connection| connection.conn_id)
    }

    /// The same if the connection is not closed at the record's time. When the row of a closed one is made depends on
    /// records of others, so it does not decide.
    pub fn open_conn_id(&self, header: &Header) -> Option<u64> {
        let is_open = |c: &&Connection| c.ends.is_none_or(|ends| header.ts_ns <= ends.at_ns);
        self.connection_of(header).filter(is_open).map(|connection| connection.conn_id)
    }

    fn connection_of(&self, header: &Header) -> Option<&Connection> {
        let index = self.keys.get(&(header.cookie, header.generation))?;
        self.connections.get(*index as usize)?.as_ref()
    }

    /// Where the rows go, for those that the engine does not make.
    pub fn output(&mut self) -> &mut O {
        &mut self.output
    }

    /// A snapshot of a socket, which changes no value: it is passed on with its connection.
    ///
    /// # Errors
    /// The output's.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), O::Error> {
        let index = self.keys.get(&(snapshot.header.cookie, snapshot.header.generation));
        let connection = index
            .and_then(|&index| self.connections.get_mut(index as usize)?.as_mut())
            .map(|connection| {
                connection.polled(snapshot);
                (connection.conn_id, connection.seen_begin_ns())
            });
        self.output.polled(&Polled { connection, snapshot })
    }

    /// The end of the log: connections still open end here.
    ///
    /// # Errors
    /// The output's.
    pub fn finish(mut self) -> Result<(O, EngineCounts), O::Error> {
        self.reached_ns = self.reached_ns.max(self.now_ns);
        self.advance(self.reached_ns)?;
        self.end_closing()?;
        let end_ns = self.reached_ns;
        for index in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[index] {
                connection.ends = Some(Closing { at_ns: end_ns, ended_after: true, gone: true });
                self.closing.push(index as u32);
            }
        }
        self.end_closing()?;
        Ok((self.output, self.counts))
    }

    /// Time goes on to `ts_ns`: rows due before it are made.
    fn advance(&mut self, ts_ns: u64) -> Result<(), O::Error> {
        if ts_ns <= self.now_ns {
            return Ok(());
        }
        self.end_closing()?;
        if !self.dirty.is_empty() && ts_ns > self.sample_ns {
            self.sample_dirty()?;
        }
        self.now_ns = ts_ns;
        Ok(())
    }

    /// Makes the rows of the connections that ended at the time now left. A row waits until then
    /// because the record with the final values has the same time as the one that ends it, and
    /// either may have the smaller sequence number.
    fn end_closing(&mut self) -> Result<(), O::Error> {
        let mut closing = std::mem::take(&mut self.closing);
        closing.sort_unstable_by_key(|&i| self.connections[i as usize].as_ref().map(|c| c.conn_id));
        for &index in &closing {
            if let Some(connection) = self.connections[index as usize].take() {
                self.end(connection)?;
                self.free.push(index);
            }
        }
        closing.clear();
        self.closing = closing;
        Ok(())
    }

    fn end(&mut self, mut connection: Connection) -> Result<(), O::Error> {
        let Some(closing) = connection.ends else { return Ok(()) };
        if closing.gone {
            self.keys.remove(&connection.key);
        } else {
            self.keys.insert(connection.key, RETIRED);
        }
        let begin_ns = connection.begin_ns();
        let end_ns = closing.at_ns.max(begin_ns);
        let timed_out = connection.identity.close_reason() == Some(CloseReason::Timeout);
        connection.limits.end(end_ns, timed_out, &|var| connection.slot.get(var));
        let peer_behind_ns = self.part(&connection);
        let lost_records = connection.lost(self.timeline, self.losses, end_ns);
        let mut context = connection.context(self.plan, self.timeline, self.losses, end_ns);
        let mut row = self.plan.final_row(&connection.slot, &mut context);
        unread::forget(&mut row, &connection.unread);
        self.counts.discarded(&connection.slot, &row);
        self.counts.silent += u64::from(!context.silent.is_none());
        self.counts.unseen += u64::from(connection.begin == Begin::Unseen);
        // Packets are missed by captures, and counted where they are found.
        if self.losses == Of::Connections {
            self.counts.missed = self.counts.missed.saturating_add(connection.missed);
        }
        if connection.sampled_ns != Some(end_ns) && self.output.wants(connection.conn_id) {
            self.output.sampled(&Sample {
                begun_before: connection.begun_before(),
                conn_id: connection.conn_id,
                ts_ns: end_ns,
                begin_ns,
                identity: &connection.identity,
                row: &row,
                limits: &connection.limits,
            })?;
        }
        self.output.ended(&Ended {
            conn_id: connection.conn_id,
            cookie: connection.key.0,
            generation: connection.key.1,
            before_last_ns: connection.before_last_ns,
            identity: &connection.identity,
            row: &row,
            limits: &connection.limits,
            states: &connection.states,
            peer_behind_ns,
            begin_ns,
            end_ns,
            begun_before: connection.begun_before(),
            ended_after: closing.ended_after,
            lost_records,
            late_records: connection.late_records,
            counted_since_ns: connection.counted_since_ns(),
            lossy: context.lossy,
            silent: context.silent,
            kernel: connection.kernel.as_deref(),
        })
    }

    /// The end of a connection: its part is kept for the other end's row. Gives the other end's part for
    /// this row.
    fn part(&mut self, connection: &Connection) -> Option<u64> {
        let ends = connection.ends_of();
        if let Some(before) = connection.peer_ends.filter(|before| Some(*before) != ends) {
            self.peers.forget(before);
        }
        let ends = ends?;
        let behind_ns = match self.peers.of(ends) {
            Some(Peer::Live(index)) => self.connections.get(index as usize)?.as_ref().map(|peer| {
                let mut limits = peer.limits;
                limits.read_until(peer.last_ns.max(connection.last_ns));
                limits.reader_behind_ns()
            }),
            Some(Peer::Over(behind_ns)) => Some(behind_ns),
            None => None,
        };
        self.peers.over(ends, connection.limits.reader_behind_ns());
        behind_ns
    }

    /// Samples what changed up to the point of the grid that was reached.
    fn sample_dirty(&mut self) -> Result<(), O::Error> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for &(conn_id, index) in &dirty {
            // A connection that ended since has had its last row; its slot may have a new tenant.
            let Some(connection) = &mut self.connections[index as usize] else { continue };
            if connection.conn_id == conn_id {
                connection.dirty = false;
                self.sample(index, self.sample_ns)?;
            }
        }
        dirty.clear();
        self.dirty = dirty;
        Ok(())
    }

    fn sample(&mut self, index: u32, ts_ns: u64) -> Result<(), O::Error> {
        let Some(connection) = &mut self.connections[index as usize] else { return Ok(()) };
        if !self.output.wants(connection.conn_id) {
            return Ok(());
        }
        connection.sampled_ns = Some(ts_ns);
        let context = connection.context(self.plan, self.timeline, self.losses, ts_ns);
        let mut row = self.plan.row(&connection.slot, &context);
        unread::forget(&mut row, &connection.unread);
        self.output.sampled(&Sample {
            begun_before: connection.begun_before(),
            conn_id: connection.conn_id,
            ts_ns,
            begin_ns: connection.begin_ns(),
            identity: &connection.identity,
            row: &row,
            limits: &connection.limits,
        })
    }

    /// The connection of a record: found, or begun with it. None if it is over.
    fn find(&mut self, header: &Header) -> Option<u32> {
        if header.cookie == 0 {
            self.counts.without_cookie += 1;
            return None;
        }
        let key = (header.cookie, header.generation);
        match self.keys.get(&key) {
            Some(&RETIRED) => {
                self.counts.after_end += 1;
                if header.hook.ends_socket() {
                    self.keys.remove(&key);
                }
                return None;
            }
            Some(&index) => return Some(index),
            None => {}
        }
        // A socket cannot begin with its end.
        if header.hook.ends_socket() {
            self.counts.after_end += 1;
            self.forget_before(key);
            return None;
        }
        self.forget_before(key);
        self.counts.connections += 1;
        let connection = Connection {
            conn_id: self.counts.connections,
            key,
            slot: Slot::new(self.plan),
            identity: Identity::default(),
            limits: Limits::new(self.plan.basis()),
            states: States::default(),
            peer_ends: None,
            first_ns: header.ts_ns,
            begin: Begin::Unseen,
            has_baseline: false,
            late_records: 0,
            heard: Heard::default(),
            unread: Bits::default(),
            missed: 0,
            received: Received::default(),
            last_ns: header.ts_ns,
            before_last_ns: header.ts_ns,
            dirty: false,
            sampled_ns: None,
            kernel: None,
            ends: None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            (self.connections.len() - 1) as u32
        });
        self.connections[index as usize] = Some(connection);
        self.keys.insert(key, index);
        self.counts.live = self.counts.live.max((self.connections.len() - self.free.len()) as u64);
        Some(index)
    }

    /// The socket went on to another connection: nothing more can come of the one before.
    fn forget_before(&mut self, (cookie, generation): ConnectionKey) {
        if let Some(before) = generation.checked_sub(1)
            && self.keys.get(&(cookie, before)) == Some(&RETIRED)
        {
            self.keys.remove(&(cookie, before));
        }
    }

    /// Something came for the connection: it is due for a sample.
    fn touched(&mut self, index: u32) -> Result<(), O::Error> {
        match self.interval {
            Interval::Event => self.sample(index, self.now_ns),
            Interval::Every(interval) => {
                let Some(connection) = &mut self.connections[index as usize] else { return Ok(()) };
                if !connection.dirty {
                    connection.dirty = true;
                    self.dirty.push((connection.conn_id, index));
                    let passed = self.now_ns.div_ceil(interval.get());
                    self.sample_ns = passed.saturating_mul(interval.get());
                }
                Ok(())
            }
        }
    }

    fn close(&mut self, index: u32, closing: Closing) {
        let Some(connection) = &mut self.connections[index as usize] else { return };
        match &mut connection.ends {
            None => {
                connection.ends = Some(closing);
                self.closing.push(index);
            }
            // A close is a better end than the end of the recording.
            Some(ends) => {
                ends.ended_after &= closing.ended_after;
                ends.gone |= closing.gone;
            }
        }
    }
}

/// Whether the record is what `cut` carries over the beginning of its part: a baseline that no CPU
/// made ([`crate::engine::keyframe`]).
const fn is_carried(header: &Header) -> bool {
    header.hook.is_baseline() && header.cpu == NO_CPU
}

impl<O: ConnectionRows> Consumer for Engine<'_, O> {
    type Error = O::Error;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), O::Error> {
        self.advance(header.ts_ns)?;
        let Some(index) = self.find(header) else { return Ok(()) };
        let Some(connection) = &mut self.connections[index as usize] else { return Ok(()) };
        connection.late_records += u64::from(late);
        if header.hook.is_segment() {
            self.plan.segment(&mut connection.slot, header.ts_ns);
        }
        let (timeline, losses) = (self.timeline, self.losses);
        // A record that the ledger counts as lost is not counted twice.
        let is_counted = |since_ns: u64| timeline.lost_between(losses, since_ns, header.ts_ns) > 0;
        let carried = is_carried(header);
        if carried {
            self.plan.begin_extremes(&mut connection.slot);
        }
        let mut touched = Bits::default();
        let mut reading = Reading::default();
        for operation in ops {
            let Operation { var, op, value } = operation;
            self.counts.operations += 1;
            if op == Op::Missed {
                if !is_counted(connection.last_ns) {
                    connection.missed = connection.missed.saturating_add(value);
                }
                continue;
            }
            if op == Op::Void {
                unread::insert(&mut connection.unread, var);
            }
            self.plan.operation(&mut connection.slot, var, op, value, header.ts_ns);
            touched.insert(var);
            if var == Var::State && op == Op::Set {
                connection.states.set(value, header.ts_ns);
            }
            reading.take(&operation);
        }
        if let Some(octets) = connection.received.record(header.hook, reading, &connection.slot)
            && self.plan.covers(Var::HCDataOctetsIn)
            && self.plan.covers(Var::RcvNxt)
        {
            let (slot, var) = (&mut connection.slot, Var::HCDataOctetsIn);
            self.plan.operation(slot, var, Op::Add, octets, header.ts_ns);
            if !is_counted(connection.last_ns) {
                connection.missed = connection.missed.saturating_add(1);
            }
        }
        connection.before_last_ns = std::mem::replace(&mut connection.last_ns, header.ts_ns);
        self.plan.record_end(&mut connection.slot, &touched);
        if connection.is_baseline(header.hook) {
            connection.has_baseline = true;
            self.plan.baseline(&mut connection.slot);
        }
        connection.heard.record(header.hook, &connection.slot);
        if carried {
            connection.heard.carried();
        }
        self.output.applied(connection.conn_id, header, &connection.slot);
        let record = Observation {
            ts_ns: header.ts_ns,
            received: header.hook.is_received(),
            slow_read: self.plan.reads_slow(&touched),
        };
        connection.limits.record(&record, &|var| connection.slot.get(var));
        if (touched.has(Var::SndInitial) || touched.has(Var::RecInitial))
            && let Some(ends) = connection.ends_of()
        {
            self.peers.live(connection.peer_ends.replace(ends), ends, index);
        }
        if header.hook.ends_socket() {
            // Its close was lost: where the ledger does not know of it, no hook saw it.
            if connection.ends.is_none() && !is_counted(connection.first_ns) {
                connection.missed = connection.missed.saturating_add(1);
            }
            let closing = Closing { at_ns: header.ts_ns, ended_after: false, gone: true };
            self.close(index, closing);
        }
        self.touched(index)
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), O::Error> {
        let header = &record.header;
        self.advance(header.ts_ns)?;
        if record.event == Event::Over {
            self.keys.entry((header.cookie, header.generation)).or_insert(RETIRED);
            return Ok(());
        }
        let Some(index) = self.find(header) else { return Ok(()) };
        let Some(connection) = &mut self.connections[index as usize] else { return Ok(()) };
        connection.late_records += u64::from(late);
        connection.identity.learn(record);
        let ended_after = match record.event {
            Event::Open => {
                connection.begin = Begin::Open;
                connection.limits.begin(connection.begin_ns());
                None
            }
            Event::Baseline => {
                if connection.begin == Begin::Unseen {
                    connection.begin = Begin::Baseline;
                }
                None
            }
            Event::Close => Some(false),
            Event::End => Some(true),
            Event::Drain | Event::Over => None,
        };
        if record.established != 0 && ended_after.is_none() {
            self.plan.established(&mut connection.slot, header.ts_ns);
            connection.limits.establish(header.ts_ns);
            if let Some(ends) = connection.ends_of() {
                self.peers.live(connection.peer_ends.replace(ends), ends, index);
            }
        }
        if let Some(ended_after) = ended_after {
            self.close(index, Closing { at_ns: header.ts_ns, ended_after, gone: false });
        }
        Ok(())
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        let index = self.keys.get(&(header.cookie, header.generation)).copied();
        let connection = index.and_then(|i| self.connections.get_mut(i as usize));
        if let Some(Some(connection)) = connection {
            connection.missed = connection.missed.saturating_add(packets);
        }
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        let index = self.keys.get(&(header.cookie, header.generation)).copied();
        let connection = index.and_then(|i| self.connections.get_mut(i as usize));
        if let Some(Some(connection)) = connection {
            // A part of a packet is missing, and with it its content.
            connection.missed = connection.missed.saturating_add(1);
            for &var in vars {
                unread::insert(&mut connection.unread, var);
                connection.slot.forget(var);
            }
        }
    }

    fn reached(&mut self, ts_ns: u64) {
        self.reached_ns = self.reached_ns.max(ts_ns);
    }
}

#[cfg(test)]
mod tests;
