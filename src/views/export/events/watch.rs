// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From the values of a connection to its events.

use super::EventKind;
use super::line::{Field, Line};
use crate::engine::estats::{Ended, Row, Sample};
use crate::engine::identity::Identity;
use crate::output::tables::Figures;
use crate::schema::{DATA_RECOVERY, INFINITE_SSTHRESH, Var};
use crate::util::steps::Steps;

/// Counters whose steps are events.
const COUNTED: [(EventKind, &[Var]); 4] = [
    (EventKind::Retransmission, &[Var::SegsRetrans]),
    (EventKind::Timeout, &[Var::Timeouts, Var::SubsequentTimeouts]),
    (EventKind::ZeroWindowReceived, &[Var::ZeroRwinRcvd]),
    (EventKind::ZeroWindowSent, &[Var::ZeroRwinSent]),
];

/// The values of a connection that events are differences of.
#[derive(Debug)]
pub struct Watched {
    counted: [Steps; COUNTED.len()],
    octets: Steps,
    recovery: Recovery,
}

/// Whether the connection recovers lost segments.
#[derive(Clone, Copy, Debug)]
enum Recovery {
    No,
    /// Since this time, CLOCK_MONOTONIC in ns; none if it began before the connection was first seen.
    Since(Option<u64>),
}

impl Watched {
    /// Before its first values. What was counted before a recording is no event of it, and a recovery that went on
    /// then did not begin in it.
    pub fn of(sample: &Sample<'_>) -> Self {
        let recovers = sample.row.get(Var::InRecovery) == Some(DATA_RECOVERY);
        Self {
            counted: COUNTED.map(|(_, vars)| Steps::since(sample.before(vars))),
            octets: Steps::since(sample.before(&[Var::OctetsRetrans])),
            recovery: if sample.begun_before && recovers {
                Recovery::Since(None)
            } else {
                Recovery::No
            },
        }
    }

    /// The events that these values show.
    pub fn sampled<'a>(&mut self, sample: &Sample<'a>) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        let line = |kind| Line::new(kind, sample.conn_id, sample.ts_ns, sample.identity);
        let octets = self.octets.to(sample.row.get(Var::OctetsRetrans));
        for (steps, (kind, vars)) in self.counted.iter_mut().zip(COUNTED) {
            let count = steps.to(sample.row.sum(vars));
            if count == 0 {
                continue;
            }
            let mut line = line(kind).with(Field::Count, Some(count));
            if kind == EventKind::Retransmission {
                line = line.with(Field::Octets, Some(octets));
            }
            if kind == EventKind::Timeout {
                let backed_off = sample.row.get(Var::CurTimeoutCount);
                line = line
                    .with(Field::TimeoutsInARow, backed_off)
                    .with(Field::RtoUs, sample.row.get(Var::CurRTO));
            }
            lines.push(windows(line, sample.row));
        }
        // Not known is neither.
        let Some(recovers) = sample.row.get(Var::InRecovery).map(|code| code == DATA_RECOVERY)
        else {
            return lines;
        };
        match self.recovery {
            Recovery::No if recovers => {
                self.recovery = Recovery::Since(Some(sample.ts_ns));
                lines.push(windows(line(EventKind::RecoveryBegin), sample.row));
            }
            Recovery::Since(since_ns) if !recovers => {
                self.recovery = Recovery::No;
                let ns = since_ns.map(|since_ns| sample.ts_ns.saturating_sub(since_ns));
                lines.push(windows(line(EventKind::RecoveryEnd).lasted(ns), sample.row));
            }
            Recovery::No | Recovery::Since(_) => {}
        }
        lines
    }
}

/// The sender's windows after an event.
fn windows<'a>(line: Line<'a>, row: &Row) -> Line<'a> {
    let bounded = |octets: &u64| *octets < INFINITE_SSTHRESH;
    line.with(Field::CwndOctets, row.get(Var::CurCwnd))
        .with(Field::SsthreshOctets, row.get(Var::CurSsthresh).filter(bounded))
        .with(Field::SrttUs, row.get(Var::SmoothedRTT))
}

/// The first line of a connection.
pub fn begun(conn_id: u64, identity: &Identity, begin_ns: u64, begun_before: bool) -> Line<'_> {
    let kind = if begun_before { EventKind::Found } else { EventKind::Opened };
    Line::new(kind, conn_id, begin_ns, identity)
        .text(Field::OpenedBy, Some(identity.opened_by().name()))
}

/// The last line of a connection.
pub fn ended<'a>(ended: &Ended<'a>, figures: &Figures) -> Line<'a> {
    let kind = if ended.ended_after { EventKind::StillOpen } else { EventKind::Closed };
    let row = |var| ended.row.get(var);
    Line::new(kind, ended.conn_id, ended.end_ns, ended.identity)
        .lasted(Some(ended.end_ns.saturating_sub(ended.begin_ns)))
        .text(Field::CloseReason, ended.identity.close_reason().map(|reason| reason.name()))
        .text(Field::ClosedBy, (!ended.ended_after).then(|| ended.identity.closed_by().name()))
        .with(Field::AckedOctets, row(Var::HCThruOctetsAcked))
        .with(Field::ReceivedOctets, row(Var::HCThruOctetsReceived))
        .with(Field::RetransmittedSegments, row(Var::SegsRetrans))
        .with(Field::Timeouts, ended.row.sum(&[Var::Timeouts, Var::SubsequentTimeouts]))
        .with(Field::MinRttUs, row(Var::MinRTT))
        .with(Field::SrttUs, row(Var::SmoothedRTT))
        .text(Field::LimitedBy, figures.limited_by)
        .text(Field::Completeness, Some(ended.completeness().name()))
}
