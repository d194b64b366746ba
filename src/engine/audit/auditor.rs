// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Takes the rows of a replay and the snapshots beside them, and compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comparison, Scope, Verdict, audit, witness};
use crate::engine::estats::{Ended, Polled};
use crate::engine::flows::PacketTotals;
use crate::log::Manifest;
use crate::schema::{Quality, Read, SocketField, Var, Why};

/// Results of all comparisons of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Connections with a snapshot at their end.
    pub connections: u64,
    /// Relations compared for each.
    pub relations: u64,
    /// The same on both sides.
    pub equal: u64,
    /// Within the stated bound.
    pub bounded: u64,
    /// Neither.
    pub differs: u64,
    /// Relations that could not be compared.
    pub not_comparable: u64,
}

impl AuditCounts {
    fn add(&mut self, comparisons: &[Comparison]) {
        self.connections += 1;
        self.relations = comparisons.len() as u64;
        for comparison in comparisons {
            *match comparison.verdict {
                Verdict::Equal => &mut self.equal,
                Verdict::Bounded => &mut self.bounded,
                Verdict::Differs => &mut self.differs,
                Verdict::NotComparable => &mut self.not_comparable,
            } += 1;
        }
    }
}

impl std::fmt::Display for AuditCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.connections == 0 {
            return f.write_str("audit: no connection was recorded with tcp_info");
        }
        write!(
            f,
            "audit: {} relations x {} connections: {} equal, {} within bounds, {} not comparable",
            self.relations, self.connections, self.equal, self.bounded, self.not_comparable
        )?;
        if self.differs > 0 {
            write!(f, ", {} DIFFER", self.differs)?;
        }
        Ok(())
    }
}

/// Code of a lifecycle record for a connection that the peer opened.
const PASSIVE: u8 = 2;

/// Timeouts of the whole life (Linux 6.7).
const TOTAL_RTO: SocketField = SocketField::tcpi_total_rto;

/// Compares each connection at its end.
#[derive(Debug)]
pub struct Auditor {
    qualities: Vec<String>,
    /// Timeouts that the kernel counted before ESTABLISHED, by number of the connection; only of
    /// those that had any.
    begun_with: BTreeMap<u64, u64>,
    /// Totals of the packets of each connection, and how many packets were lost.
    packets: BTreeMap<u64, (PacketTotals, u64)>,
    counts: AuditCounts,
}

impl Auditor {
    /// For a recording.
    pub fn new(manifest: &Manifest) -> Self {
        let quality = |var: &Var| {
            let found = manifest.variables.iter().find(|v| v.name == var.name());
            // Right or not, it was read from the value with which it is compared.
            let as_kernel = manifest.recount(*var).filter(|r| r.as_kernel).map(|r| r.wrong);
            match found {
                Some(v) if as_kernel.is_some() && v.reason.as_deref() == as_kernel => {
                    Quality::Exact.name().to_owned()
                }
                Some(v) => v.quality.clone(),
                None => Quality::Missing.name().to_owned(),
            }
        };
        Self {
            qualities: Var::ALL.iter().map(quality).collect(),
            begun_with: BTreeMap::new(),
            packets: BTreeMap::new(),
            counts: AuditCounts::default(),
        }
    }

    /// Takes a snapshot.
    pub fn polled(&mut self, polled: &Polled<'_>) {
        let Some((conn_id, _)) = polled.connection else { return };
        match polled.snapshot.why {
            Why::Open => {
                let timeouts = polled.snapshot.values.get(TOTAL_RTO);
                if let Some(timeouts) = timeouts.filter(|n| *n > 0) {
                    self.begun_with.insert(conn_id, timeouts);
                }
            }
            // The values of its end come with its row.
            Why::Close | Why::End | Why::Poll | Why::Baseline | Why::Listener | Why::Drop => {}
        }
    }

    /// Takes the totals of a connection's packets at its end.
    pub fn packets(&mut self, conn_id: u64, totals: &PacketTotals, lost: u64) {
        self.packets.insert(conn_id, (*totals, lost));
    }

    /// Compares a connection that is over; nothing if the kernel's values were not recorded.
    pub fn ended(&mut self, ended: &Ended<'_>) -> Vec<Comparison> {
        let packets = self.packets.remove(&ended.conn_id);
        // A child begins with the timeouts of its SYN-ACK (tcp_create_openreq_child(), Linux 6.7).
        // They were the listener's: no variable counts them.
        let passive = ended.identity.lifecycle().is_some_and(|l| l.active == PASSIVE);
        let begun_with = self.begun_with.remove(&ended.conn_id).filter(|_| passive).unwrap_or(0);
        let Some(kernel) = ended.kernel else { return Vec::new() };
        // In the kprobe set tcp_info is read a little before the last record. A timer may come between
        // them: then it is not of the same instant.
        if kernel.ts_ns < ended.before_last_ns {
            return Vec::new();
        }
        let mut comparisons = audit(
            // The kernel shows what it has before there is a value.
            &|var| ended.row.raw(var),
            &|field| {
                let value = kernel.values.get(field)?;
                Some(if field == TOTAL_RTO { value.saturating_sub(begun_with) } else { value })
            },
            &|var| &self.qualities[var.index()],
            Scope {
                from_the_beginning: !ended.begun_before,
                established: ended.identity.lifecycle().is_some_and(|l| l.established != 0),
                lossy: ended.lossy,
            },
        );
        if let Some((totals, lost)) = packets
            && !ended.begun_before
            && witness::is_whole(&totals, lost)
        {
            // A value that hooks count one by one lacks what they missed.
            let missed = ended.lossy;
            witness::hear(
                &mut comparisons,
                &totals,
                |var| ended.row.get(var),
                |var| {
                    let read = !matches!(var.def().read, Read::No);
                    self.qualities[var.index()] == "exact" && (read || !missed)
                },
            );
        }
        self.counts.add(&comparisons);
        comparisons
    }

    /// All results so far.
    pub const fn counts(&self) -> AuditCounts {
        self.counts
    }
}
