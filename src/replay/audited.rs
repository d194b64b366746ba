// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The audit of a whole recording, in memory.

use std::net::SocketAddr;

use serde::Serialize;

use super::{ReplayError, ReplayOptions, clocks, run};
use crate::engine::audit::{AuditCounts, Auditor, Comparison, Verdict};
use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::flows::PacketTotals;
use crate::engine::rows::Output;
use crate::log::Recording;

/// The results of the audit of a recording.
#[derive(Clone, Debug, Serialize)]
pub struct Audited {
    /// All results.
    pub counts: AuditCounts,
    /// Connections with comparisons that were asked for, in order of their numbers.
    pub connections: Vec<AuditedConnection>,
}

/// A connection with its comparisons.
#[derive(Clone, Debug, Serialize)]
pub struct AuditedConnection {
    /// Its number.
    pub conn_id: u64,
    /// Its ends.
    pub name: String,
    /// Its comparisons, as far as they were asked for.
    pub comparisons: Vec<Comparison>,
}

/// Which comparisons a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All.
    All,
    /// Comparisons that differ, and those that could not be made.
    Findings,
}

impl Keep {
    const fn wants(self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Equal | Verdict::Bounded => matches!(self, Self::All),
            Verdict::Differs | Verdict::NotComparable => true,
        }
    }
}

#[derive(Debug)]
struct Collector {
    auditor: Auditor,
    keep: Keep,
    connections: Vec<AuditedConnection>,
}

impl ConnectionRows for Collector {
    type Error = ReplayError;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), ReplayError> {
        let mut comparisons = self.auditor.ended(ended);
        comparisons.retain(|c| self.keep.wants(c.verdict));
        if !comparisons.is_empty() {
            let ends = ended.identity.addresses().zip(ended.identity.lifecycle());
            let name = ends.map_or_else(
                || "whose ends are not known".to_owned(),
                |((local, remote), known)| {
                    let local = SocketAddr::new(local, known.local_port);
                    format!("{local} -> {}", SocketAddr::new(remote, known.remote_port))
                },
            );
            self.connections.push(AuditedConnection { conn_id: ended.conn_id, name, comparisons });
        }
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), ReplayError> {
        self.auditor.polled(polled);
        Ok(())
    }
}

impl Output for Collector {
    fn packets(
        &mut self,
        conn_id: u64,
        totals: &PacketTotals,
        lost: u64,
    ) -> Result<(), ReplayError> {
        self.auditor.packets(conn_id, totals, lost);
        Ok(())
    }
}

/// Replays a recording and compares every connection with the kernel's values.
///
/// # Errors
/// Those of replaying.
pub fn audit(recording: &Recording, keep: Keep) -> Result<Audited, ReplayError> {
    let timeline = clocks(recording)?;
    let auditor = Auditor::new(recording.manifest());
    let collector = Collector { auditor, keep, connections: Vec::new() };
    let done =
        run::<_, ReplayError>(recording, &timeline, &ReplayOptions::default(), collector)?.output;
    let mut connections = done.connections;
    connections.sort_unstable_by_key(|c| c.conn_id);
    Ok(Audited { counts: done.auditor.counts(), connections })
}
