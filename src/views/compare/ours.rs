// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Our side: the connections of a recording, replayed in memory.
//!
//! Always replayed, although `RUN/tables` may have the final values: the reference's values of an open
//! connection are compared with ours at that moment, which tables of an interval do not have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU64;

use super::followed::Followed;
use super::{Dump, DumpRow, Unmatched, Values};
use crate::engine::estats::{
    Completeness, ConnectionRows, Ended, Interval, Polled, Row, Sample, Slot,
};
use crate::engine::identity::CloseReason;
use crate::engine::rows::Output;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::wire::Header;

/// The reference was read within this time of the time in its row: the program that reads may have
/// waited for the CPU in between. The same delay that replay allows the recorder.
const MARGIN_US: u64 = crate::engine::time::SLACK_NS / 1_000;

/// A connection of the recording.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its number.
    pub conn_id: u64,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Wall clock of its beginning, microseconds since the epoch.
    pub begin_us: Option<u64>,
    /// Wall clock of its end.
    pub end_us: Option<u64>,
    /// How much of it was seen.
    pub completeness: Completeness,
    /// How it ended.
    pub close: Option<CloseReason>,
    /// Names of the congestion control algorithms that its snapshots show.
    pub algorithms: BTreeSet<String>,
    /// The facts followed through the log.
    pub followed: Followed,
    /// Final values.
    pub values: Values,
    /// Values at moments at which the reference was read.
    pub moments: Vec<FollowedMoment>,
}

/// Values around the time at which the reference was read.
#[derive(Clone, Debug, Default)]
pub struct FollowedMoment {
    /// That time, microseconds since the epoch.
    pub read_us: u64,
    /// Values 100 ms before.
    pub before: Values,
    /// Values then.
    pub at: Values,
    /// Values 100 ms after.
    pub after: Values,
    /// Values of the first record after it: what the last segment before the reading did shows there.
    pub next: Values,
    /// The facts followed by then.
    pub followed: Followed,
}

impl Connection {
    /// A connection of which nothing more is known.
    pub fn new(conn_id: u64, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            conn_id,
            local,
            remote,
            begin_us: None,
            end_us: None,
            completeness: Completeness::Complete,
            close: None,
            algorithms: BTreeSet::new(),
            followed: Followed::default(),
            values: Values::default(),
            moments: Vec::new(),
        }
    }

    /// Our values at the time at which the row was read, if the connection lived then.
    pub(super) fn moment(&self, row: &DumpRow) -> Option<&FollowedMoment> {
        let read_us = row.read_alive_us()?;
        let lived = self.end_us.is_some_and(|end| read_us < end);
        self.moments.iter().find(|m| lived && m.read_us == read_us)
    }

    /// Why the row may lack something.
    pub(super) fn incomplete(&self, in_flight: bool) -> Option<String> {
        match self.completeness {
            Completeness::Lossy => Some("records of that time were lost".to_owned()),
            Completeness::BegunBefore => Some("it began before the recording".to_owned()),
            Completeness::EndedAfter if in_flight => None,
            Completeness::EndedAfter => Some("it went on after the recording".to_owned()),
            Completeness::Complete => None,
        }
    }

    pub(super) fn unmatched(&self) -> Unmatched {
        Unmatched {
            id: Some(self.conn_id),
            local: Some(self.local),
            remote: Some(self.remote),
            place: String::new(),
        }
    }
}

/// The connections of a recording, with their values at the times at which the reference was read.
///
/// # Errors
/// Those of reading the recording.
pub fn replay(recording: &Recording, dump: &Dump) -> Result<Vec<Connection>, ReplayError> {
    let timeline = replay::clocks(recording)?;
    let mut wanted: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    let mut nameless = BTreeSet::new();
    for row in &dump.rows {
        match (row.addresses, row.read_alive_us()) {
            (Some(tuple), Some(read_us)) => {
                wanted.entry(tuple).or_default().insert(read_us);
            }
            (None, Some(read_us)) => {
                nameless.insert(read_us);
            }
            (_, None) => {}
        }
    }
    let interval = if wanted.is_empty() && nameless.is_empty() {
        // No sample but the last.
        Interval::Every(NonZeroU64::MAX)
    } else {
        Interval::Event
    };
    let collector = Collector {
        timeline: &timeline,
        wanted,
        nameless,
        followed: BTreeMap::new(),
        algorithms: BTreeMap::new(),
        live: BTreeMap::new(),
        connections: Vec::new(),
    };
    let options = ReplayOptions { interval, ..ReplayOptions::default() };
    let done = replay::run::<_, ReplayError>(recording, &timeline, &options, collector)?;
    let mut connections = done.output.connections;
    connections.sort_unstable_by_key(|c| c.conn_id);
    Ok(connections)
}

/// Rows of a connection around one reading.
#[derive(Debug, Default)]
struct Snapshots {
    read_us: u64,
    before: Option<Row>,
    at: Option<Row>,
    after: Option<Row>,
    next: Option<Row>,
    mark: (usize, Option<u64>),
}

#[derive(Debug)]
struct Collector<'a> {
    timeline: &'a Timeline,
    wanted: BTreeMap<(SocketAddr, SocketAddr), BTreeSet<u64>>,
    nameless: BTreeSet<u64>,
    followed: BTreeMap<u64, Followed>,
    algorithms: BTreeMap<u64, BTreeSet<String>>,
    live: BTreeMap<u64, Vec<Snapshots>>,
    connections: Vec<Connection>,
}

fn tuple(identity: &crate::engine::identity::Identity) -> Option<(SocketAddr, SocketAddr)> {
    let (local, remote) = identity.addresses()?;
    let lifecycle = identity.lifecycle()?;
    Some((
        SocketAddr::new(local, lifecycle.local_port),
        SocketAddr::new(remote, lifecycle.remote_port),
    ))
}

impl ConnectionRows for Collector<'_> {
    type Error = ReplayError;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), ReplayError> {
        let moments = self.live.remove(&ended.conn_id).unwrap_or_default();
        let followed = self.followed.remove(&ended.conn_id).unwrap_or_default();
        let algorithms = self.algorithms.remove(&ended.conn_id).unwrap_or_default();
        // A connection without addresses was only seen by a record after its end.
        let Some((local, remote)) = tuple(ended.identity) else { return Ok(()) };
        let values = |row: &Option<Row>| row.as_ref().map_or_else(Values::default, Values::from);
        let moments = moments.iter().filter(|m| m.at.is_some()).map(|m| FollowedMoment {
            read_us: m.read_us,
            before: values(&m.before),
            at: values(&m.at),
            after: values(&m.after),
            next: values(if m.next.is_some() { &m.next } else { &m.at }),
            followed: followed.cut(m.mark),
        });
        self.connections.push(Connection {
            begin_us: self.timeline.wall_us(ended.begin_ns),
            end_us: self.timeline.wall_us(ended.end_ns),
            completeness: ended.completeness(),
            close: ended.identity.close_reason(),
            algorithms,
            values: Values::from(ended.row),
            moments: moments.collect(),
            followed,
            ..Connection::new(ended.conn_id, local, remote)
        });
        Ok(())
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), ReplayError> {
        let Some(now_us) = self.timeline.wall_us(sample.ts_ns) else { return Ok(()) };
        let of_tuple = tuple(sample.identity).and_then(|tuple| self.wanted.get(&tuple));
        if of_tuple.is_none() && self.nameless.is_empty() {
            return Ok(());
        }
        let snapshots = self.live.entry(sample.conn_id).or_default();
        for &read_us in of_tuple.into_iter().flatten().chain(&self.nameless) {
            let position = match snapshots.iter().position(|s| s.read_us == read_us) {
                Some(position) => position,
                None => {
                    snapshots.push(Snapshots { read_us, ..Snapshots::default() });
                    snapshots.len() - 1
                }
            };
            let s = &mut snapshots[position];
            for (limit, row) in [
                (read_us.saturating_sub(MARGIN_US), &mut s.before),
                (read_us, &mut s.at),
                (read_us.saturating_add(MARGIN_US), &mut s.after),
            ] {
                if now_us <= limit {
                    *row = Some(sample.row.clone());
                }
            }
            if now_us <= read_us {
                s.mark = self.followed.get(&sample.conn_id).map(Followed::mark).unwrap_or_default();
            } else if s.next.is_none() {
                s.next = Some(sample.row.clone());
            }
        }
        Ok(())
    }

    fn applied(&mut self, conn_id: u64, header: &Header, slot: &Slot) {
        let wall_us = self.timeline.wall_us(header.ts_ns);
        self.followed.entry(conn_id).or_default().record(header, slot, wall_us);
    }

    /// From a snapshot only the name of the algorithm is taken here.
    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), ReplayError> {
        if let Some((conn_id, _)) = polled.connection
            && !polled.snapshot.congestion.is_empty()
        {
            let names = self.algorithms.entry(conn_id).or_default();
            if !names.contains(&polled.snapshot.congestion) {
                names.insert(polled.snapshot.congestion.clone());
            }
        }
        Ok(())
    }
}

impl Output for Collector<'_> {}
