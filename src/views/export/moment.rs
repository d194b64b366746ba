// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The state of each connection at the moment of a packet: its identity, and the values after the last
//! record at or before the packet.
//!
//! A packet that several hooks saw comes several times here, where [`crate::engine::flows`] makes one of it, so
//! packets find their connection by themselves: by the socket's cookie, else by their ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::identity::Identity;
use crate::engine::limits::SenderState;
use crate::schema::{Direction, INFINITE_SSTHRESH, Var};
use crate::wire::{Event, Header, Lifecycle, Packet};

/// How long the packets that follow a connection's end are still its own: as long as TIME-WAIT.
const AFTER_END_NS: u64 = 60_000_000_000;

/// A slow start threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssthresh {
    /// It was never set.
    Infinite,
    /// Octets.
    Octets(u64),
}

impl Ssthresh {
    /// From CurSsthresh.
    pub const fn of(octets: u64) -> Self {
        if octets >= INFINITE_SSTHRESH { Self::Infinite } else { Self::Octets(octets) }
    }
}

/// Values in force; those that are not known are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// CurCwnd in octets.
    pub cwnd: Option<u64>,
    /// CurSsthresh.
    pub ssthresh: Option<Ssthresh>,
    /// SmoothedRTT in microseconds.
    pub srtt_us: Option<u64>,
    /// The state of the sender.
    pub limit: Option<SenderState>,
}

/// The values of the live connections, by their number.
#[derive(Debug, Default)]
pub struct Moments {
    live: FxHashMap<u64, Moment>,
}

impl Moments {
    /// Those of a connection; none of one that has not had a record, or is over.
    pub fn of(&self, conn_id: u64) -> Moment {
        self.live.get(&conn_id).copied().unwrap_or_default()
    }
}

impl ConnectionRows for Moments {
    type Error = Infallible;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), Infallible> {
        self.live.remove(&ended.conn_id);
        Ok(())
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), Infallible> {
        let row = |var| sample.row.get(var);
        let moment = Moment {
            cwnd: row(Var::CurCwnd),
            // There is none until it is first set, which is not the same as not known.
            ssthresh: sample.row.raw(Var::CurSsthresh).map(Ssthresh::of),
            srtt_us: row(Var::SmoothedRTT),
            limit: sample.limits.state(),
        };
        self.live.insert(sample.conn_id, moment);
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A connection as a packet finds it.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its number.
    pub conn_id: u64,
    /// Cookie of its socket; 0 where connections are made of packets.
    pub cookie: u64,
    /// The identity by lifecycle records.
    pub identity: Identity,
    /// The connection has ended: the packets that follow are its own, and no socket has values.
    pub is_over: bool,
}

/// Both ends, where the first is the local one.
type PacketEnds = (Option<u32>, (IpAddr, u16), (IpAddr, u16));
type Key = (u64, u16);

#[derive(Debug)]
struct Known {
    owner: Owner,
    ends: Option<PacketEnds>,
}

/// The connections that packets may be of.
#[derive(Debug, Default)]
pub struct Owners {
    known: FxHashMap<Key, Known>,
    by_ends: FxHashMap<PacketEnds, Key>,
    /// The latest connection of a socket.
    by_cookie: FxHashMap<u64, Key>,
    /// Those that ended, by the time of it.
    over: VecDeque<(u64, Key)>,
}

impl Owners {
    /// A lifecycle record, of the connection of this number.
    pub fn lifecycle(&mut self, conn_id: u64, record: &Lifecycle) {
        let Header { ts_ns, cookie, generation, .. } = record.header;
        self.expire(ts_ns);
        let key = (cookie, generation);
        let known = self.known.entry(key).or_insert_with(|| Known {
            owner: Owner { conn_id, cookie, identity: Identity::default(), is_over: false },
            ends: None,
        });
        known.owner.identity.learn(record);
        let ends = ends_of(&known.owner.identity);
        if ends != known.ends {
            if let Some(old) = known.ends.filter(|old| self.by_ends.get(old) == Some(&key)) {
                self.by_ends.remove(&old);
            }
            known.ends = ends;
        }
        if let Some(ends) = ends {
            self.by_ends.insert(ends, key);
        }
        self.by_cookie.insert(cookie, key);
        match record.event {
            Event::Close | Event::End | Event::Over => self.over.push_back((ts_ns, key)),
            Event::Open | Event::Baseline | Event::Drain => return,
        }
        // With the recording's end a connection is not over.
        if record.event != Event::End
            && let Some(known) = self.known.get_mut(&key)
        {
            known.owner.is_over = true;
        }
    }

    /// The connection of a packet.
    pub fn of(&self, packet: &Packet) -> Option<&Owner> {
        let by_cookie = packet.cookie.and_then(|cookie| self.by_cookie.get(&cookie));
        let key = by_cookie.or_else(|| self.by_ends(packet))?;
        self.known.get(key).map(|known| &known.owner)
    }

    fn by_ends(&self, packet: &Packet) -> Option<&Key> {
        if packet.protocol != crate::wire::protocol::TCP {
            return None;
        }
        let src = (packet.src_addr, packet.src_port?);
        let dst = (packet.dst_addr, packet.dst_port?);
        let sent = || self.by_ends.get(&(packet.netns, src, dst));
        let received = || self.by_ends.get(&(packet.netns, dst, src));
        match packet.direction {
            Direction::Out => sent(),
            Direction::In => received(),
            Direction::Unknown => sent().or_else(received),
        }
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some(&(ts_ns, key)) = self.over.front()
            && ts_ns.saturating_add(AFTER_END_NS) < now_ns
        {
            self.over.pop_front();
            let Some(known) = self.known.remove(&key) else { continue };
            if let Some(ends) = known.ends.filter(|ends| self.by_ends.get(ends) == Some(&key)) {
                self.by_ends.remove(&ends);
            }
            if self.by_cookie.get(&key.0) == Some(&key) {
                self.by_cookie.remove(&key.0);
            }
        }
    }
}

fn ends_of(identity: &Identity) -> Option<PacketEnds> {
    let record = identity.lifecycle()?;
    let (local, remote) = identity.addresses()?;
    let netns = Some(record.netns).filter(|&netns| netns != 0);
    Some((netns, (local, record.local_port), (remote, record.remote_port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{datagram, lifecycle};

    /// Whether the engine has taken it off by then depends on what other connections do.
    #[test]
    fn a_connection_that_was_closed_has_packets_and_no_values() {
        let mut owners = Owners::default();
        let packet = Packet { cookie: Some(7), ..datagram(30) };
        for (event, is_over) in [(Event::Open, false), (Event::End, false), (Event::Close, true)] {
            owners.lifecycle(1, &lifecycle(event, 10, 7));
            let owner = owners.of(&packet).expect("its packet");
            assert_eq!((owner.conn_id, owner.is_over), (1, is_over), "{event:?}");
        }
    }
}
