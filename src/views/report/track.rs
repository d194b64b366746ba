// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The data of one connection's plots, reduced as they come.
//!
//! The connection's life is cut into stretches of equal length. Of each value a stretch keeps the
//! smallest and the largest, in the order in which they came, at the times of the stretch's first and
//! last record; a stretch with one record keeps it as it is. So no peak is lost, whatever the width
//! of the plot, and what came in between is. Of the sender's limits a stretch has the exact shares.

use std::collections::BTreeMap;

use super::PlotData;
use super::blocks::Blocks;
use super::histogram::Samples;
use crate::engine::estats::{Ended, Sample};
use crate::engine::limits::{LimitCause, Limits, SenderState, Times};
use crate::engine::packets::segment::Segment;
use crate::output::tables::holders;
use crate::schema::{DATA_RECOVERY, INFINITE_SSTHRESH, SocketField, Var};
use crate::util::steps::Steps;
use crate::wire::Snapshot;

/// Gauges that are drawn as they are, by the name that the page has for them.
const GAUGES: [(&str, Var); 8] = [
    ("cwnd", Var::CurCwnd),
    ("flight", Var::PipeSize),
    ("rwnd", Var::CurRwinRcvd),
    ("rwnd_sent", Var::CurRwinSent),
    ("srtt", Var::SmoothedRTT),
    ("queue", Var::CurAppWQueue),
    ("sent", Var::HCDataOctetsOut),
    ("mss", Var::CurMSS),
];
const SSTHRESH: usize = GAUGES.len();
const RTT: usize = SSTHRESH + 1;
const ACKED: usize = RTT + 1;
const RECEIVED: usize = ACKED + 1;
const UNA: usize = RECEIVED + 1;
const NXT: usize = UNA + 1;
const EDGE: usize = NXT + 1;
const POLLED: usize = EDGE + 1;
const SERIES: usize = POLLED + FIELDS.len();
/// Names of those that take more than a look.
const MORE: [&str; POLLED - GAUGES.len()] =
    ["ssthresh", "rtt", "acked", "received", "una", "nxt", "edge"];
/// What only snapshots of the socket have.
const FIELDS: [(&str, SocketField); 7] = [
    ("pacing", SocketField::tcpi_pacing_rate),
    ("max_pacing", SocketField::tcpi_max_pacing_rate),
    ("delivery", SocketField::tcpi_delivery_rate),
    ("bbr_bw", SocketField::bbr_bw),
    ("bbr_min_rtt", SocketField::bbr_min_rtt),
    ("bbr_pacing_gain", SocketField::bbr_pacing_gain),
    ("bbr_cwnd_gain", SocketField::bbr_cwnd_gain),
];

/// The last of these are BBR's gains; 0 stands for another congestion control after BBR.
const GAINS: usize = 2;

/// Counters whose steps are marked.
const COUNTERS: usize = 6;
const RTTS: usize = 0;
const RETRANSMITTED: usize = 1;
const TIMEOUTS: usize = 2;
const ECHOES: usize = 3;
const DUPLICATES: usize = 4;
const SACKS: usize = 5;

/// In a stretch of the limits.
const WHOLE: f64 = 1000.0;

/// The extremes of a value in a stretch.
#[derive(Clone, Copy, Debug)]
struct Extremes {
    min: i64,
    max: i64,
    /// The smallest came first.
    rising: bool,
}

/// A sequence number in a space that does not wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    last: Option<u32>,
    value: i64,
}

impl Position {
    fn to(&mut self, sequence: u64, start: Option<u64>) -> i64 {
        let sequence = sequence as u32;
        let from = self.last.unwrap_or_else(|| start.map_or(sequence, |start| start as u32));
        self.value = self.value.saturating_add(i64::from(sequence.wrapping_sub(from) as i32));
        self.last = Some(sequence);
        self.value
    }
}

/// Makes the data of a connection's plots.
#[derive(Debug)]
pub struct Track {
    begin_ns: u64,
    stretch_ns: u64,
    data: PlotData,
    columns: [Vec<Option<i64>>; SERIES],
    times: Vec<i64>,
    /// The stretch that is being filled: its number, and the times of its first and last record.
    open: Option<(u64, i64, i64)>,
    extremes: [Option<Extremes>; SERIES],
    /// As last written, for a stretch that has snapshots alone.
    written: [Option<i64>; SERIES],
    has_record: bool,
    has_gains: bool,
    una: Position,
    nxt: Position,
    /// Behind the highest octet that a packet has.
    sent_to: Option<i64>,
    sacked: Blocks,
    sent_again: Blocks,
    rtt: Samples,
    counted: [Steps; COUNTERS],
    recovering: Option<i64>,
    life_ns: u64,
    limits: Vec<Times>,
    limit_ns: Times,
    limits_until_ns: u64,
}

impl Track {
    /// Of a connection that lives from one time to the other.
    pub fn new(begin_ns: u64, end_ns: u64, stretches: u64) -> Self {
        let life_ns = end_ns.saturating_sub(begin_ns).max(1);
        let stretch_ns = life_ns.div_ceil(stretches.max(1)).max(1);
        Self {
            begin_ns,
            stretch_ns,
            data: PlotData { stretch_us: stretch_ns as f64 / 1e3, ..PlotData::default() },
            columns: std::array::from_fn(|_| Vec::new()),
            times: Vec::new(),
            open: None,
            extremes: [None; SERIES],
            written: [None; SERIES],
            has_record: false,
            has_gains: false,
            una: Position::default(),
            nxt: Position::default(),
            sent_to: None,
            sacked: Blocks::default(),
            sent_again: Blocks::default(),
            rtt: Samples::default(),
            counted: [Steps::since(Some(0)); COUNTERS],
            recovering: None,
            life_ns,
            limits: Vec::new(),
            limit_ns: Times::default(),
            limits_until_ns: begin_ns,
        }
    }

    /// The stretch of a time, and microseconds since the beginning.
    const fn place(&self, ts_ns: u64) -> (u64, i64) {
        let since_ns = ts_ns.saturating_sub(self.begin_ns);
        (since_ns / self.stretch_ns, (since_ns / 1_000) as i64)
    }

    /// Values of this time follow.
    fn at(&mut self, ts_ns: u64) -> (u64, i64) {
        let (stretch, us) = self.place(ts_ns);
        match &mut self.open {
            Some((open, _, last)) if *open == stretch => *last = us,
            Some(_) | None => {
                self.flush();
                self.open = Some((stretch, us, us));
            }
        }
        (stretch, us)
    }

    /// Takes a snapshot of the socket.
    pub fn polled(&mut self, snapshot: &Snapshot) {
        // A rate before the first sample is no rate.
        let known = |(_, field): (&str, SocketField)| {
            snapshot.values.get(field).filter(|&value| value != 0 && !field.is_unset(value))
        };
        let mut values = FIELDS.map(known);
        if values.iter().all(Option::is_none) {
            return;
        }
        // BBR is its congestion control no longer.
        let gains = FIELDS.len() - GAINS..;
        if self.has_gains && values[gains.clone()].iter().all(Option::is_none) {
            values[gains].fill(Some(0));
        } else {
            self.has_gains |= values[gains].iter().any(Option::is_some);
        }
        self.at(snapshot.header.ts_ns);
        self.data.polls += 1;
        for (i, value) in values.into_iter().enumerate() {
            self.see(POLLED + i, value.map(|v| i64::try_from(v).unwrap_or(i64::MAX)));
        }
    }

    /// Takes a packet of the connection; `received` if the peer sent it.
    pub fn packet(&mut self, segment: &Segment, received: bool) {
        let (Some(una), (stretch, us)) = (self.una.last, self.place(segment.ts_ns)) else { return };
        let base = self.una.value;
        let octet =
            |sequence: u32| base.saturating_add(i64::from(sequence.wrapping_sub(una) as i32));
        if received {
            for &(left, right) in &segment.options.sack {
                self.sacked.push(stretch, us, octet(left), octet(right));
            }
        } else if segment.payload > 0 {
            let (from, to) = (octet(segment.seq), octet(segment.end()));
            if let Some(sent_to) = self.sent_to.filter(|sent_to| from < *sent_to) {
                self.sent_again.push(stretch, us, from, to.min(sent_to));
            }
            self.sent_to = self.sent_to.max(Some(to));
        }
    }

    /// Takes the values after a record.
    pub fn push(&mut self, sample: &Sample<'_>) {
        let (stretch, us) = self.at(sample.ts_ns);
        let row = |var| sample.row.get(var);
        if self.data.records == 0 && sample.begun_before {
            // What was counted before the recording did not happen at its beginning.
            self.counted = MARKED.map(|vars| Steps::since(sample.before(vars)));
        }
        self.data.records += 1;
        self.has_record = true;
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (i, (_, var)) in GAUGES.iter().enumerate() {
            self.see(i, row(*var).map(signed));
        }
        self.see(SSTHRESH, row(Var::CurSsthresh).filter(|v| *v < INFINITE_SSTHRESH).map(signed));
        let initial = row(Var::SndInitial).filter(|_| self.una.last.is_none());
        let una = row(Var::SndUna).map(|v| self.una.to(v, initial));
        // Before anything is acknowledged, both begin at the same place.
        let base = row(Var::SndInitial).or(row(Var::SndUna));
        let nxt = row(Var::SndNxt).map(|v| self.nxt.to(v, base));
        self.see(UNA, una);
        self.see(NXT, nxt);
        let window = una.zip(row(Var::CurRwinRcvd));
        self.see(EDGE, window.map(|(una, window)| una.saturating_add(signed(window))));
        self.see(ACKED, row(Var::HCThruOctetsAcked).map(signed));
        self.see(RECEIVED, row(Var::HCThruOctetsReceived).map(signed));
        let steps = std::array::from_fn(|i| self.counted[i].to(sample.row.sum(MARKED[i])));
        if steps[RTTS] > 0
            && let Some(rtt) = row(Var::SampleRTT)
        {
            self.rtt.push(rtt);
            self.see(RTT, Some(signed(rtt)));
        }
        self.mark(us, stretch, una, steps);
        self.recover(us, row(Var::InRecovery) == Some(DATA_RECOVERY));
        self.share(sample.limits);
    }

    /// Notes a value in the stretch that is open.
    fn see(&mut self, series: usize, value: Option<i64>) {
        let Some(value) = value else { return };
        let extremes = &mut self.extremes[series];
        match extremes {
            None => *extremes = Some(Extremes { min: value, max: value, rising: true }),
            Some(e) if value < e.min => (e.min, e.rising) = (value, false),
            Some(e) if value > e.max => (e.max, e.rising) = (value, true),
            Some(_) => {}
        }
    }

    fn mark(&mut self, us: i64, stretch: u64, una: Option<i64>, steps: [u64; COUNTERS]) {
        let first_us = (stretch * self.stretch_ns / 1_000) as i64;
        let data = &mut self.data;
        for (marks, n) in [
            (&mut data.retransmissions, steps[RETRANSMITTED]),
            (&mut data.duplicates, steps[DUPLICATES]),
            (&mut data.sacks, steps[SACKS]),
        ] {
            match marks.last_mut() {
                Some(last) if n > 0 && last.0 >= first_us => last.1 += n,
                Some(_) | None if n > 0 => marks.push((us, n, una)),
                Some(_) | None => {}
            }
        }
        add(&mut data.timeouts, first_us, us, steps[TIMEOUTS]);
        add(&mut data.marks, first_us, us, steps[ECHOES]);
    }

    fn recover(&mut self, us: i64, recovering: bool) {
        match (self.recovering, recovering) {
            (None, true) => self.recovering = Some(us),
            (Some(from), false) => self.recovered(from, us),
            (None, false) | (Some(_), true) => {}
        }
    }

    /// A stay in recovery is over; those less than a stretch apart are one on the page.
    fn recovered(&mut self, from: i64, to: i64) {
        self.recovering = None;
        let gap = (self.stretch_ns / 1_000) as i64;
        match self.data.recoveries.last_mut() {
            Some(last) if from - last.1 < gap => (last.1, last.2) = (to, last.2 + 1),
            Some(_) | None => self.data.recoveries.push((from, to, 1)),
        }
    }

    /// Puts what was counted of the limits since the last time into the stretches it covers.
    fn share(&mut self, limits: &Limits) {
        let Some(until_ns) = limits.counted_until() else { return };
        let now = *limits.ns();
        let steps: [u64; SenderState::ALL.len()] =
            std::array::from_fn(|i| now[i].saturating_sub(self.limit_ns[i]));
        let counted = steps.iter().copied().fold(0, u64::saturating_add);
        // What is not known before the first value is nobody's.
        let from_ns = until_ns.saturating_sub(counted).max(self.limits_until_ns);
        let length = until_ns.saturating_sub(from_ns);
        (self.limit_ns, self.limits_until_ns) = (now, until_ns);
        if length == 0 {
            return;
        }
        // The last stretch takes what lies behind the end, as with forged times.
        let end = (self.life_ns - 1) / self.stretch_ns;
        let stretch = |ns: u64| (ns.saturating_sub(self.begin_ns) / self.stretch_ns).min(end);
        let (first, last) = (stretch(from_ns), stretch(until_ns - 1));
        if self.limits.len() <= last as usize {
            self.limits.resize(last as usize + 1, Times::default());
        }
        // Of each state what is left, so that no nanosecond is lost to rounding.
        let (mut left, mut at_ns) = (steps, from_ns);
        for (stretch, shares) in (first..).zip(&mut self.limits[first as usize..=last as usize]) {
            let next_ns =
                self.begin_ns.saturating_add((stretch + 1).saturating_mul(self.stretch_ns));
            let next_ns = if stretch == last { until_ns } else { next_ns.min(until_ns) };
            let part = (next_ns - at_ns) as f64 / (until_ns - at_ns) as f64;
            for (share, left) in shares.iter_mut().zip(&mut left) {
                let step = ((*left as f64 * part).round() as u64).min(*left);
                *share = share.saturating_add(step);
                *left -= step;
            }
            at_ns = next_ns;
        }
    }

    /// Ends the stretch that is open.
    fn flush(&mut self) {
        let Some((_, first, last)) = self.open.take() else { return };
        self.times.push(first);
        if last > first {
            self.times.push(last);
        }
        let carries = !std::mem::replace(&mut self.has_record, false);
        for (i, column) in self.columns.iter_mut().enumerate() {
            let (a, b) = match self.extremes[i].take() {
                // A snapshot changes nothing of what records say. A sample of the RTT is of its moment.
                None if carries && i < POLLED && i != RTT => (self.written[i], self.written[i]),
                None => (None, None),
                Some(e) if e.rising => (Some(e.min), Some(e.max)),
                Some(e) => (Some(e.max), Some(e.min)),
            };
            if last > first {
                column.push(a);
            }
            column.push(b);
            self.written[i] = b;
        }
    }

    /// What came of it, when the connection is over: the last stay in a limit is known only then.
    pub fn end(mut self, ended: &Ended<'_>) -> PlotData {
        self.share(ended.limits);
        let stretches = self.life_ns.div_ceil(self.stretch_ns) as usize;
        self.limits.resize(stretches.max(self.limits.len()), Times::default());
        let holders = holders(ended);
        let causes = self.limits.iter().map(|ns| {
            let causes = ended.limits.causes(ns, ended.peer_behind_ns);
            let mut held = [0.0; LimitCause::ALL.len()];
            for (ns, holder) in causes.into_iter().zip(holders) {
                if let Some(holder) = holder {
                    held[holder as usize] += ns;
                }
            }
            held
        });
        self.data.limits = limits(&causes.collect::<Vec<_>>(), self.stretch_ns);
        self.finish()
    }

    fn finish(mut self) -> PlotData {
        let end_us = self.open.map_or(0, |(_, _, last)| last);
        if let Some(from) = self.recovering {
            self.recovered(from, end_us);
        }
        self.flush();
        self.data.t = differences(&self.times);
        let names = GAUGES.iter().map(|(name, _)| *name).chain(MORE);
        let names = names.chain(FIELDS.iter().map(|(name, _)| *name));
        self.data.series = names
            .zip(&self.columns)
            .filter(|(_, column)| column.iter().any(Option::is_some))
            .map(|(name, column)| (name, differences_or_null(column)))
            .collect();
        self.data.sack_blocks = self.sacked.finish();
        self.data.sent_again = self.sent_again.finish();
        self.data.rtt = self.rtt.finish();
        self.data
    }
}

/// The counters whose steps are marked, by their places.
const MARKED: [&[Var]; COUNTERS] = [
    &[Var::CountRTT],
    &[Var::SegsRetrans],
    &[Var::Timeouts, Var::SubsequentTimeouts],
    &[Var::ECNsignals],
    &[Var::DupAcksIn],
    &[Var::SACKsRcvd],
];

/// Adds to the events of a stretch that begins at `first_us`.
fn add(events: &mut Vec<(i64, u64)>, first_us: i64, us: i64, n: u64) {
    if n == 0 {
        return;
    }
    match events.last_mut() {
        Some(last) if last.0 >= first_us => last.1 += n,
        Some(_) | None => events.push((us, n)),
    }
}

/// Thousandths by limit; of limits that never were there is nothing.
fn limits(
    stretches: &[[f64; LimitCause::ALL.len()]],
    stretch_ns: u64,
) -> BTreeMap<&'static str, Vec<i64>> {
    // Rounded as sums, so that the shares of the whole life are those of the headline.
    let thousandths = |ns: f64| (ns / stretch_ns as f64 * WHOLE).round() as i64;
    LimitCause::ALL
        .into_iter()
        .filter(|limit| stretches.iter().any(|s| s[*limit as usize] > 0.0))
        .map(|limit| {
            let mut sum = 0.0;
            let sums: Vec<_> = stretches
                .iter()
                .map(|s| {
                    sum += s[limit as usize];
                    thousandths(sum)
                })
                .collect();
            let shares = differences(&sums);
            (limit.name(), differences(&shares))
        })
        .collect()
}

fn differences(values: &[i64]) -> Vec<i64> {
    let mut last = 0;
    values.iter().map(|value| value.saturating_sub(std::mem::replace(&mut last, *value))).collect()
}

fn differences_or_null(values: &[Option<i64>]) -> Vec<Option<i64>> {
    let mut last = 0;
    let mut step = |value: i64| value.saturating_sub(std::mem::replace(&mut last, value));
    values.iter().map(|value| value.map(&mut step)).collect()
}

#[cfg(test)]
mod tests;
