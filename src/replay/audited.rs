// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The audit of a whole recording, in memory.

use std::net::SocketAddr;

use serde::Serialize;

use super::{ReplayError, ReplayOptions, clocks, conduct};
use crate::engine::audit::{AuditCounts, Comparison, Verdict};
use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
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
    keep: Keep,
    connections: Vec<AuditedConnection>,
}

impl ConnectionRows for Collector {
    type Error = ReplayError;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ReplayError> {
        Ok(())
    }
}

impl Output for Collector {
    fn compared(
        &mut self,
        ended: &Ended<'_>,
        comparisons: &[Comparison],
    ) -> Result<(), ReplayError> {
        let wanted = comparisons.iter().filter(|c| self.keep.wants(c.verdict));
        let comparisons: Vec<_> = wanted.cloned().collect();
        if comparisons.is_empty() {
            return Ok(());
        }
        let ends = ended.identity.addresses().zip(ended.identity.lifecycle());
        let name = ends.map_or_else(
            || "whose ends are not known".to_owned(),
            |((local, remote), known)| {
                let local = SocketAddr::new(local, known.local_port);
                format!("{local} -> {}", SocketAddr::new(remote, known.remote_port))
            },
        );
        self.connections.push(AuditedConnection { conn_id: ended.conn_id, name, comparisons });
        Ok(())
    }
}

/// Replays a recording and compares every connection with the kernel's values.
///
/// # Errors
/// Those of replaying.
pub fn audit(recording: &Recording, keep: Keep) -> Result<Audited, ReplayError> {
    let timeline = clocks(recording)?;
    let collector = Collector { keep, connections: Vec::new() };
    let options = ReplayOptions::default();
    let done = conduct::<_, ReplayError>(recording, &timeline, &options, None, collector)?;
    let mut connections = done.run.output.connections;
    connections.sort_unstable_by_key(|c| c.conn_id);
    Ok(Audited { counts: done.audit, connections })
}
