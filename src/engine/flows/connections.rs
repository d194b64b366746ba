// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which flow is which connection of the engine.
//!
//! Lifecycle records and packets are in one order, but not in step: the SYN of a peer comes before its
//! connection exists, our own after it began. So each is looked up when the other comes: a new flow is
//! looked up by its ends among the connections, and a connection among the flows when it begins or
//! reports its ends. Behind NAT, where a flow has other ends than the socket knows, the socket's cookie
//! finds it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::flow::{Flow, Point};
use super::table::Table;
use super::tally::PacketTotals;
use crate::engine::identity;
use crate::wire::protocol::TCP;
use crate::wire::{Event, Lifecycle, Packet, Snapshot};

/// Both ends of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub netns: Option<u32>,
    pub local: (IpAddr, u16),
    pub remote: (IpAddr, u16),
}

/// The connection that a flow is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its number in the engine.
    pub conn_id: u64,
    /// Its identity, from lifecycle records.
    pub identity: Arc<identity::Identity>,
    /// It has not ended yet.
    pub(super) lives: bool,
}

#[derive(Debug)]
struct Known {
    owner: Owner,
    cookie: u64,
    tuple: Option<Tuple>,
}

/// The live connections.
#[derive(Debug, Default)]
pub struct Connections {
    known: FxHashMap<(u64, u16), Known>,
    tuples: FxHashMap<Tuple, (u64, u16)>,
    /// Network namespaces of connections so far.
    netns: BTreeSet<u32>,
    /// The latest connection of a socket.
    cookies: FxHashMap<u64, (u64, u16)>,
}

impl Connections {
    /// Takes a lifecycle record, passes it to the flow, and gives the totals of its packets.
    pub fn lifecycle(
        &mut self,
        conn_id: u64,
        record: &Lifecycle,
        table: &mut Table,
    ) -> Option<PacketTotals> {
        let key = (record.header.cookie, record.header.generation);
        let known = self.known.entry(key).or_insert_with(|| Known {
            owner: Owner { conn_id, identity: Arc::default(), lives: true },
            cookie: key.0,
            tuple: None,
        });
        Arc::make_mut(&mut known.owner.identity).learn(record);
        let tuple = Tuple::of_identity(&known.owner.identity);
        if tuple != known.tuple {
            if let Some(old) = known.tuple.take() {
                self.tuples.remove(&old);
            }
            known.tuple = tuple;
        }
        if let Some(tuple) = tuple {
            self.netns.extend(tuple.netns);
            self.tuples.insert(tuple, key);
        }
        self.cookies.insert(key.0, key);
        let over = match record.event {
            Event::Close | Event::End | Event::Over => true,
            Event::Open | Event::Baseline | Event::Drain => false,
        };
        known.owner.lives = !over;
        let owner = known.owner.clone();
        let totals = tuple.and_then(|tuple| tell(&owner, &tuple, record, table));
        if over {
            self.forget(key);
        }
        totals
    }

    /// The socket is gone, and its close was lost.
    pub fn destroyed(&mut self, key: (u64, u16), table: &mut Table) {
        let Some(known) = self.known.get(&key) else { return };
        let (conn_id, tuple) = (known.owner.conn_id, known.tuple);
        for slot in tuple.map(|t| table.of_tuple(&t).to_vec()).unwrap_or_default() {
            if let Some(owner) = table.get_mut(slot).and_then(|flow| flow.owner.as_mut())
                && owner.conn_id == conn_id
            {
                owner.lives = false;
            }
        }
        self.forget(key);
    }

    /// A flow begins: its connection may be there already, unless a SYN of the peer began it.
    pub fn begun(&self, flow: &mut Flow, tuple: &Tuple) {
        if !flow.awaits_child
            && let Some(known) = self.tuples.get(tuple).and_then(|key| self.known.get(key))
        {
            flow.owner = Some(known.owner.clone());
        }
    }

    /// Finds the connection of a flow by a packet with a socket, if the ends did not find it.
    pub fn recognise(&self, flow: &mut Flow, packet: &Packet) {
        if flow.owner.is_some() || flow.protocol != TCP || flow.point != Point::Socket {
            return;
        }
        // The listener's cookie is not a connection's, and has no key.
        let known = packet.cookie.and_then(|cookie| self.known.get(self.cookies.get(&cookie)?));
        if let Some(known) = known {
            flow.owner = Some(known.owner.clone());
            flow.awaits_child = false;
        }
    }

    /// The connection with the ends of this row. Where its namespace is not known, that of the only namespace
    /// that has one.
    pub fn of_ends(&self, row: &Snapshot) -> Option<u64> {
        let (local, remote) = identity::addresses(row.family, &row.local_addr, &row.remote_addr)?;
        let (local, remote) = ((local, row.local_port), (remote, row.remote_port));
        let live = |netns| {
            let key = self.tuples.get(&Tuple { netns, local, remote })?;
            self.known.get(key).map(|known| known.owner.conn_id)
        };
        if row.netns != 0 {
            return live(Some(row.netns));
        }
        let mut all = self.netns.iter().filter_map(|netns| live(Some(*netns)));
        let first = all.next();
        if all.next().is_some() { None } else { first }
    }

    fn forget(&mut self, key: (u64, u16)) {
        let Some(known) = self.known.remove(&key) else { return };
        if let Some(tuple) = known.tuple
            && self.tuples.get(&tuple) == Some(&key)
        {
            self.tuples.remove(&tuple);
        }
        if self.cookies.get(&known.cookie) == Some(&key) {
            self.cookies.remove(&known.cookie);
        }
    }
}

/// Passes the connection to the flows of its ends; gives the totals of the flow at its socket, else of
/// the first one.
fn tell(
    owner: &Owner,
    tuple: &Tuple,
    record: &Lifecycle,
    table: &mut Table,
) -> Option<PacketTotals> {
    let mut best: Option<PacketTotals> = None;
    for slot in table.of_tuple(tuple).to_vec() {
        let Some(flow) = table.get_mut(slot) else { continue };
        let opens = record.event == Event::Open && record.active == 1;
        // Nothing went out before we opened it; a SYN of the peer may have come (simultaneous open).
        let since = flow.forward.first_ns.is_none_or(|first_ns| first_ns >= record.start_ns);
        let ours = match &flow.owner {
            // The one before, which these ends had, may end only now, and unseen.
            Some(now) => now.conn_id == owner.conn_id || opens && since,
            // A flow that was closed before belongs to another connection, and so does a flow before we
            // opened this one.
            None if flow.closed() => false,
            None if opens => since,
            // The SYN for a child comes before it, and after whatever these ends had until then.
            None => !flow.awaits_child || record.start_ns >= flow.first_ns,
        };
        if !ours {
            continue;
        }
        flow.owner = Some(owner.clone());
        flow.awaits_child = false;
        if best.is_none_or(|totals| totals.point != Point::Socket) {
            best = Some(flow.totals(record.header.ts_ns));
        }
    }
    best
}

impl Tuple {
    fn of_identity(identity: &identity::Identity) -> Option<Self> {
        let record = identity.lifecycle()?;
        let (local, remote) = identity.addresses()?;
        Some(Self {
            netns: Some(record.netns).filter(|&netns| netns != 0),
            local: (local, record.local_port),
            remote: (remote, record.remote_port),
        })
    }
}
