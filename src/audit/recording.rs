//! The audit of a whole recording, in memory.

use std::net::SocketAddr;

use serde::Serialize;

use super::auditor::{Auditor, Counts};
use super::{Comparison, Verdict};
use crate::accounting::Account;
use crate::estats::{Ended, Output, Polled, Sample};
use crate::log::Recording;
use crate::replay::{self, Options, ReplayError};

/// What the audit of a recording found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// All results.
    pub counts: Counts,
    /// Connections in which something differs, and those that nothing can be said of, in order of
    /// their numbers.
    pub connections: Vec<Connection>,
}

/// A connection with what is to be said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// Its number.
    pub conn_id: u64,
    /// Its ends.
    pub name: String,
    /// Comparisons, all but those that hold.
    pub comparisons: Vec<Comparison>,
}

#[derive(Debug)]
struct Collector {
    auditor: Auditor,
    connections: Vec<Connection>,
}

impl Output for Collector {
    type Error = ReplayError;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), ReplayError> {
        let mut comparisons = self.auditor.ended(ended);
        comparisons.retain(|c| matches!(c.verdict, Verdict::Differs | Verdict::NotComparable));
        if !comparisons.is_empty() {
            let ends = ended.flow.addresses().zip(ended.flow.lifecycle());
            let name = ends.map_or_else(
                || "whose ends are not known".to_owned(),
                |((local, remote), known)| {
                    let local = SocketAddr::new(local, known.local_port);
                    format!("{local} -> {}", SocketAddr::new(remote, known.remote_port))
                },
            );
            self.connections.push(Connection { conn_id: ended.conn_id, name, comparisons });
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

    fn packets(&mut self, conn_id: u64, account: &Account, lost: u64) -> Result<(), ReplayError> {
        self.auditor.packets(conn_id, account, lost);
        Ok(())
    }
}

/// Replays a recording and compares every connection with the kernel's account of it.
///
/// # Errors
/// Those of replaying.
pub fn recording(recording: &Recording) -> Result<Report, ReplayError> {
    let ledger = replay::clocks(recording)?;
    let collector =
        Collector { auditor: Auditor::new(recording.manifest()), connections: Vec::new() };
    let done =
        replay::run::<_, ReplayError>(recording, &ledger, &Options::default(), collector)?.output;
    let mut connections = done.connections;
    connections.sort_unstable_by_key(|c| c.conn_id);
    Ok(Report { counts: done.auditor.counts(), connections })
}
