// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The data of one connection's plots, reduced as they come.
//!
//! The connection's life is cut into stretches of equal length. Of each value a stretch keeps the
//! smallest and the largest, in the order in which they came, at the times of the stretch's first and
//! last record; a stretch with one record keeps it as it is. So no peak is lost, whatever the width
//! of the plot, and what came in between is. Of the sender's limits a stretch has the exact shares.

use std::collections::BTreeMap;

use super::PlotData;
use super::histogram::Histogram;
use crate::engine::estats::Sample;
use crate::engine::limits::{LimitCause, Limits, SenderState, Times};
use crate::schema::Var;

/// Gauges that are drawn as they are, by the name that the page has for them.
const GAUGES: [(&str, Var); 7] = [
    ("cwnd", Var::CurCwnd),
    ("flight", Var::PipeSize),
    ("rwnd", Var::CurRwinRcvd),
    ("rwnd_sent", Var::CurRwinSent),
    ("srtt", Var::SmoothedRTT),
    ("queue", Var::CurAppWQueue),
    ("sent", Var::HCDataOctetsOut),
];
const SSTHRESH: usize = GAUGES.len();
const RTT: usize = SSTHRESH + 1;
const ACKED: usize = RTT + 1;
const RECEIVED: usize = ACKED + 1;
const UNA: usize = RECEIVED + 1;
const NXT: usize = UNA + 1;
const EDGE: usize = NXT + 1;
const SERIES: usize = EDGE + 1;
/// Names of those that take more than a look.
const MORE: [&str; SERIES - GAUGES.len()] =
    ["ssthresh", "rtt", "acked", "received", "una", "nxt", "edge"];

/// A threshold that was never set.
const UNLIMITED: u64 = 0x7fff_ffff;
const DATA_RECOVERY: u64 = 3;
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
        self.value += i64::from(sequence.wrapping_sub(from) as i32);
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
    una: Position,
    nxt: Position,
    rtt: Histogram,
    counted: [u64; 4],
    recovering: Option<i64>,
    limits: Vec<Times>,
    limit_ns: Times,
    /// As last seen: of causes what is known when the connection is over.
    last: Option<Limits>,
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
            una: Position::default(),
            nxt: Position::default(),
            rtt: Histogram::default(),
            counted: [0; 4],
            recovering: None,
            limits: vec![Times::default(); life_ns.div_ceil(stretch_ns) as usize],
            limit_ns: Times::default(),
            last: None,
            limits_until_ns: begin_ns,
        }
    }

    /// Takes the values after a record.
    pub fn push(&mut self, sample: &Sample<'_>) {
        let since_ns = sample.ts_ns.saturating_sub(self.begin_ns);
        let (stretch, us) = (since_ns / self.stretch_ns, (since_ns / 1_000) as i64);
        match &mut self.open {
            Some((open, _, last)) if *open == stretch => *last = us,
            Some(_) | None => {
                self.flush();
                self.open = Some((stretch, us, us));
            }
        }
        self.data.records += 1;
        let row = |var| sample.row.get(var);
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (i, (_, var)) in GAUGES.iter().enumerate() {
            self.see(i, row(*var).map(signed));
        }
        self.see(SSTHRESH, row(Var::CurSsthresh).filter(|v| *v < UNLIMITED).map(signed));
        let initial = row(Var::SndInitial).filter(|_| self.una.last.is_none());
        let una = row(Var::SndUna).map(|v| self.una.to(v, initial));
        // Before anything is acknowledged, both begin at the same place.
        let base = row(Var::SndInitial).or(row(Var::SndUna));
        let nxt = row(Var::SndNxt).map(|v| self.nxt.to(v, base));
        self.see(UNA, una);
        self.see(NXT, nxt);
        self.see(EDGE, una.zip(row(Var::CurRwinRcvd)).map(|(una, window)| una + signed(window)));
        self.see(ACKED, row(Var::HCThruOctetsAcked).map(signed));
        self.see(RECEIVED, row(Var::HCThruOctetsReceived).map(signed));
        if self.steps(0, row(Var::CountRTT)) > 0
            && let Some(rtt) = row(Var::SampleRTT)
        {
            self.rtt.push(rtt);
            self.see(RTT, Some(signed(rtt)));
        }
        self.mark(us, stretch, una, &row);
        self.share(sample);
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

    /// How far a counter went on.
    fn steps(&mut self, counter: usize, value: Option<u64>) -> u64 {
        let Some(value) = value else { return 0 };
        let steps = value.saturating_sub(self.counted[counter]);
        self.counted[counter] = value;
        steps
    }

    fn mark(&mut self, us: i64, stretch: u64, una: Option<i64>, row: &impl Fn(Var) -> Option<u64>) {
        let first_us = (stretch * self.stretch_ns / 1_000) as i64;
        let again = self.steps(1, row(Var::SegsRetrans));
        if again > 0 {
            match self.data.retransmissions.last_mut() {
                Some(last) if last.0 >= first_us => last.1 += again,
                Some(_) | None => self.data.retransmissions.push((us, again, una)),
            }
        }
        let timeouts = row(Var::Timeouts).zip(row(Var::SubsequentTimeouts)).map(|(a, b)| a + b);
        let timeouts = self.steps(2, timeouts);
        add(&mut self.data.timeouts, first_us, us, timeouts);
        let echoes = self.steps(3, row(Var::ECNsignals));
        add(&mut self.data.marks, first_us, us, echoes);
        let recovering = row(Var::InRecovery) == Some(DATA_RECOVERY);
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

    /// Puts what was counted of the limits since the sample before into the stretches it covers.
    fn share(&mut self, sample: &Sample<'_>) {
        self.last = Some(*sample.limits);
        let Some(until_ns) = sample.limits.counted_until() else { return };
        let now = *sample.limits.ns();
        let steps: [u64; SenderState::ALL.len()] =
            std::array::from_fn(|i| now[i].saturating_sub(self.limit_ns[i]));
        let counted: u64 = steps.iter().sum();
        // What is not known before the first value is nobody's.
        let from_ns = until_ns.saturating_sub(counted).max(self.limits_until_ns);
        let length = until_ns.saturating_sub(from_ns);
        (self.limit_ns, self.limits_until_ns) = (now, until_ns);
        if length == 0 {
            return;
        }
        let mut at_ns = from_ns;
        while at_ns < until_ns {
            let stretch = at_ns.saturating_sub(self.begin_ns) / self.stretch_ns;
            let next_ns = (self.begin_ns + (stretch + 1) * self.stretch_ns).min(until_ns);
            if let Some(shares) = self.limits.get_mut(stretch as usize) {
                let part = (next_ns - at_ns) as f64 / length as f64;
                for (share, step) in shares.iter_mut().zip(steps) {
                    *share += (step as f64 * part) as u64;
                }
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
        for (column, extremes) in self.columns.iter_mut().zip(&mut self.extremes) {
            let (a, b) = match extremes.take() {
                None => (None, None),
                Some(e) if e.rising => (Some(e.min), Some(e.max)),
                Some(e) => (Some(e.max), Some(e.min)),
            };
            if last > first {
                column.push(a);
            }
            column.push(b);
        }
    }

    /// What came of it.
    pub fn finish(mut self) -> PlotData {
        let end_us = self.open.map_or(0, |(_, _, last)| last);
        if let Some(from) = self.recovering {
            self.recovered(from, end_us);
        }
        self.flush();
        self.data.t = differences(&self.times);
        let names = GAUGES.iter().map(|(name, _)| *name).chain(MORE);
        self.data.series = names
            .zip(&self.columns)
            .filter(|(_, column)| column.iter().any(Option::is_some))
            .map(|(name, column)| (name, differences_or_null(column)))
            .collect();
        if let Some(last) = &self.last {
            let causes: Vec<_> = self.limits.iter().map(|ns| last.causes(ns, None)).collect();
            self.data.limits = limits(&causes, self.stretch_ns);
        }
        self.data.rtt = self.rtt.finish();
        self.data
    }
}

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
    let thousandths = |ns: f64| (ns / stretch_ns as f64 * WHOLE).round() as i64;
    LimitCause::ALL
        .into_iter()
        .filter(|limit| stretches.iter().any(|s| s[*limit as usize] > 0.0))
        .map(|limit| {
            let shares: Vec<_> = stretches.iter().map(|s| thousandths(s[limit as usize])).collect();
            (limit.name(), differences(&shares))
        })
        .collect()
}

fn differences(values: &[i64]) -> Vec<i64> {
    let mut last = 0;
    values.iter().map(|value| value - std::mem::replace(&mut last, *value)).collect()
}

fn differences_or_null(values: &[Option<i64>]) -> Vec<Option<i64>> {
    let mut last = 0;
    let mut step = |value: i64| value - std::mem::replace(&mut last, value);
    values.iter().map(|value| value.map(&mut step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_keeps_its_extremes_in_their_order() {
        let mut track = Track::new(0, 100_000, 10);
        for (ns, value) in [(1_000, 5), (2_000, 9), (4_000, 2), (4_500, 4), (12_000, 7)] {
            let stretch = ns / 10_000;
            if track.open.is_none_or(|open| open.0 != stretch) {
                track.flush();
                track.open = Some((stretch, ns as i64 / 1_000, 0));
            }
            track.open = track.open.map(|(s, first, _)| (s, first, ns as i64 / 1_000));
            track.see(0, Some(value));
        }
        track.see(1, Some(-3));
        let data = track.finish();
        assert_eq!(data.t, [1, 3, 8]);
        // 9 came before 2; then 7.
        assert_eq!(data.series["cwnd"], [Some(9), Some(-7), Some(5)]);
        assert_eq!(data.series["flight"], [None, None, Some(-3)]);
        assert!(!data.series.contains_key("rtt"));
    }

    #[test]
    fn sequence_numbers_do_not_wrap_on_the_page() {
        let mut position = Position::default();
        assert_eq!(position.to(0xffff_fff0, Some(0xffff_ff00)), 0xf0);
        assert_eq!(position.to(0x10, None), 0x110);
        assert_eq!(position.to(0x8000_0000, None), 0x8000_0100);
    }
}
