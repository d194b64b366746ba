// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording's values against those of a Web10G kernel (RFC 4898) for the same connections.
//!
//! [`dump`] reads the kernel's values, [`ours`] replays the recording in memory, [`followed`] keeps what
//! relations need beside the values of a row, [`matching`] finds the same connections on both sides,
//! [`judge`] decides on each pair of values by the relation that the schema states
//! ([`crate::schema::Reference`]), [`render`] shows it. But for `followed`, nothing here knows a
//! variable by its name.

pub mod dump;
pub(crate) mod followed;
pub(crate) mod judge;
pub(crate) mod matching;
pub mod ours;
mod relation;
pub mod render;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::log::Recording;
use crate::replay::ReplayError;
use crate::schema::Var;

pub use dump::{Dump, DumpError, DumpRow, Form};
pub use judge::{Class, Coverage, Verdict};
pub use ours::Connection;
pub use values::Values;

use judge::Pair;
use matching::Match;

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The reference could not be read.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The recording could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// How many variables are in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// Equal.
    pub exact: u64,
    /// Equal but for the rounding of the reference's unit.
    pub unit_rounded: u64,
    /// Different, within a stated bound.
    pub bounded: u64,
    /// Different by a fault of the reference that is known.
    pub known_fault: u64,
    /// Nothing follows.
    pub not_comparable: u64,
    /// Different, unexplained.
    pub differs: u64,
}

impl VerdictCounts {
    fn add(&mut self, class: Class) {
        *match class {
            Class::Exact => &mut self.exact,
            Class::UnitRounded => &mut self.unit_rounded,
            Class::Bounded => &mut self.bounded,
            Class::KnownFault => &mut self.known_fault,
            Class::NotComparable => &mut self.not_comparable,
            Class::Differs => &mut self.differs,
        } += 1;
    }
}

/// One variable of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The variable.
    pub name: &'static str,
    /// Its unit here.
    pub unit: &'static str,
    /// Our value; none if it is not known.
    pub ours: Option<i128>,
    /// The reference's value; none if its file has none.
    pub reference: Option<i128>,
    /// The results of the comparison.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A connection that is on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Matched {
    /// Its number in the recording.
    pub conn_id: u64,
    /// Its number in the reference.
    pub cid: Option<u64>,
    /// The end of the connection that the reference's file names, "A" or "B".
    pub side: Option<String>,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Line or element of the reference's file.
    pub place: String,
    /// How complete it is in the recording.
    pub completeness: &'static str,
    /// The reference was read while the connection lived: our values are those of that moment.
    pub in_flight: bool,
    /// Seconds between the two lives, where they do not overlap: perhaps it is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart_s: Option<f64>,
    /// Variables by class.
    pub counts: VerdictCounts,
    /// All variables, in the order of the specification.
    pub variables: Vec<Compared>,
}

/// A connection that only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// Its number: `conn_id` here, `cid` in the reference.
    pub id: Option<u64>,
    /// Local address and port, if known.
    pub local: Option<SocketAddr>,
    /// Remote address and port, if known.
    pub remote: Option<SocketAddr>,
    /// Line or element of the reference's file; empty for ours.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// A fault of the reference that explains differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSeen {
    /// Its name.
    pub name: &'static str,
    /// The variables it was seen in.
    pub variables: Vec<&'static str>,
    /// How many values it explains.
    pub values: u64,
}

/// The whole comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The format of the reference's file.
    pub form: Form,
    /// Variables of all connections by class.
    pub counts: VerdictCounts,
    /// Connections that are on both sides, in the reference's order.
    pub matched: Vec<Matched>,
    /// Connections of the recording that the reference has not.
    pub only_here: Vec<Unmatched>,
    /// Connections of the reference that the recording has not.
    pub only_reference: Vec<Unmatched>,
    /// Faults of the reference that were seen, by the first variable that has them.
    pub faults: Vec<FaultSeen>,
    /// Names in the reference's file that are not variables.
    pub unknown_names: Vec<String>,
}

/// Replays a recording in memory and compares it with a file of a Web10G kernel's values.
///
/// # Errors
/// [`CompareError`].
pub fn files(run: &Path, reference: &Path) -> Result<Comparison, CompareError> {
    recording(&Recording::open(run).map_err(ReplayError::from)?, reference)
}

/// The same of a recording that is open.
///
/// # Errors
/// [`CompareError`].
pub fn recording(recording: &Recording, reference: &Path) -> Result<Comparison, CompareError> {
    let dump = Dump::read(reference)?;
    let connections = ours::replay(recording, &dump)?;
    Ok(compare(&connections, &Coverage::of(recording.manifest()), &dump))
}

/// Compares replayed connections with the values of a Web10G kernel.
pub fn compare(ours: &[Connection], coverage: &Coverage, dump: &Dump) -> Comparison {
    let pairs = matching::pair(ours, &dump.rows);
    let matched: Vec<_> = pairs
        .matched
        .iter()
        .map(|m| one(&ours[m.ours], coverage, &dump.rows[m.reference], m))
        .collect();
    let mut counts = VerdictCounts::default();
    for variable in matched.iter().flat_map(|m| &m.variables) {
        counts.add(variable.verdict.class);
    }
    Comparison {
        form: dump.form,
        counts,
        faults: faults(&matched),
        matched,
        only_here: pairs.only_ours.iter().map(|&i| ours[i].unmatched()).collect(),
        only_reference: pairs.only_reference.iter().map(|&i| dump.rows[i].unmatched()).collect(),
        unknown_names: dump.unknown_names.clone(),
    }
}

fn one(ours: &Connection, coverage: &Coverage, row: &DumpRow, m: &Match) -> Matched {
    let moment = ours.moment(row);
    let incomplete = ours.incomplete(moment.is_some());
    let pair = Pair::of(ours, moment, row, coverage, incomplete.as_deref());
    let variables: Vec<_> = Var::ALL
        .iter()
        .map(|&var| Compared {
            name: var.name(),
            unit: var.def().unit,
            ours: pair.ours.get(var),
            reference: pair.reference.get(var),
            verdict: judge::judge(var, &pair),
        })
        .collect();
    let mut counts = VerdictCounts::default();
    for variable in &variables {
        counts.add(variable.verdict.class);
    }
    Matched {
        conn_id: ours.conn_id,
        cid: row.cid,
        side: row.side.clone(),
        local: ours.local,
        remote: ours.remote,
        place: row.place.clone(),
        completeness: ours.completeness.name(),
        in_flight: moment.is_some(),
        apart_s: (m.apart_us > 0).then(|| m.apart_us as f64 / 1e6),
        counts,
        variables,
    }
}

fn faults(matched: &[Matched]) -> Vec<FaultSeen> {
    let order: BTreeMap<_, _> = Var::ALL.iter().map(|v| (v.name(), v.index())).collect();
    let mut seen: Vec<FaultSeen> = Vec::new();
    for variable in matched.iter().flat_map(|m| &m.variables) {
        let (Class::KnownFault, Some(name)) = (variable.verdict.class, variable.verdict.fault)
        else {
            continue;
        };
        let fault = match seen.iter_mut().find(|f| f.name == name) {
            Some(fault) => fault,
            None => {
                seen.push(FaultSeen { name, variables: Vec::new(), values: 0 });
                seen.last_mut().expect("just pushed")
            }
        };
        fault.values += 1;
        if !fault.variables.contains(&variable.name) {
            fault.variables.push(variable.name);
        }
    }
    for fault in &mut seen {
        fault.variables.sort_by_key(|name| order.get(name));
    }
    seen.sort_by_key(|f| f.variables.first().and_then(|name| order.get(name)).copied());
    seen
}
