// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The tracks of one connection.

use std::io::{self, Write};

use super::trace::{Argument, Arguments, Kind, Unit, Writer};
use super::waits::{Stretch, Waits};
use crate::engine::estats::{Ended, Row, Sample};
use crate::engine::identity::Identity;
use crate::engine::limits::{Limits, SenderState};
use crate::schema::{DATA_RECOVERY, INFINITE_SSTHRESH, Type, Var};
use crate::util::steps::Steps;
use crate::util::visible::visible;

/// Gauges, as they are.
const GAUGES: [(&str, Var, Unit); 6] = [
    ("cwnd", Var::CurCwnd, Unit::Octets),
    ("ssthresh", Var::CurSsthresh, Unit::Octets),
    ("in flight", Var::PipeSize, Unit::Octets),
    ("receive window of the peer", Var::CurRwinRcvd, Unit::Octets),
    ("send queue", Var::CurAppWQueue, Unit::Octets),
    ("srtt", Var::SmoothedRTT, Unit::Microseconds),
];

/// Counters that are shown as throughput.
const RATES: [(&str, Var); 2] = [
    ("acknowledged by the peer", Var::HCThruOctetsAcked),
    ("received in order", Var::HCThruOctetsReceived),
];

/// Counters whose steps are events.
const EVENTS: [(&str, &[Var]); 8] = [
    ("retransmission", &[Var::SegsRetrans]),
    ("fast retransmit", &[Var::FastRetran]),
    ("retransmission timeout", &[Var::Timeouts, Var::SubsequentTimeouts]),
    ("lost retransmission", &[Var::LostRetransmitSegs]),
    ("ECN signal", &[Var::ECNsignals]),
    ("D-SACK", &[Var::DSACKDups]),
    ("zero window of the peer", &[Var::ZeroRwinRcvd]),
    ("send stall", &[Var::SendStall]),
];

// Tracks below the connection's own, by their place.
const WAITS: u64 = 1;
const RECOVERY: u64 = 2;
const HAPPENS: u64 = 3;
const FIRST_GAUGE: u64 = 4;
const FIRST_RATE: u64 = FIRST_GAUGE + GAUGES.len() as u64;
const TRACKS: usize = FIRST_RATE as usize + RATES.len();

/// Octets in steps of equal width.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    /// The step that is being filled, and the value at its beginning.
    step: Option<(u64, u64)>,
    last: u64,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    track: u64,
    step_ns: u64,
    begin_ns: u64,
    begun_before: bool,
    /// Which of its tracks are there.
    described: [bool; TRACKS],
    state: Option<u64>,
    recovering: bool,
    gauges: [Option<u64>; GAUGES.len()],
    rates: [Rate; RATES.len()],
    /// By event.
    counted: [Steps; EVENTS.len()],
    waits: Waits,
    /// The slice of what was waited for that is open, and up to when that is known.
    waiting: Option<(SenderState, u64)>,
}

fn text(text: impl Into<String>) -> Argument {
    Argument::Text(text.into())
}

/// The arguments of the first slice.
fn arguments(conn_id: u64, identity: &Identity) -> Arguments {
    let mut arguments = vec![("conn_id", Argument::Number(conn_id))];
    let Some(l) = identity.lifecycle() else { return arguments };
    arguments.push(("cookie", Argument::Number(l.header.cookie)));
    arguments.push(("opened_by", text(identity.opened_by().name())));
    if !l.congestion.is_empty() {
        arguments.push(("congestion_control", text(visible(&l.congestion))));
    }
    if l.netns != 0 {
        arguments.push(("netns", Argument::Number(u64::from(l.netns))));
    }
    if !l.cgroup_path.is_empty() {
        arguments.push(("cgroup", text(visible(&l.cgroup_path))));
    }
    arguments
}

fn name(conn_id: u64, identity: &Identity) -> String {
    match (identity.addresses(), identity.lifecycle()) {
        (Some((local, remote)), Some(l)) => {
            let local = std::net::SocketAddr::new(local, l.local_port);
            let remote = std::net::SocketAddr::new(remote, l.remote_port);
            format!("conn {conn_id} {local} > {remote}")
        }
        (Some(_) | None, Some(_) | None) => format!("conn {conn_id}"),
    }
}

fn state_name(state: u64) -> String {
    let Type::Enum(names) = Var::State.def().ty else { return format!("state {state}") };
    let known = names.iter().find(|(code, _)| *code == state);
    known.map_or_else(|| format!("state {state}"), |(_, name)| (*name).to_owned())
}

impl Connection {
    /// Its first values have come.
    pub fn begin<W: Write>(
        track: u64,
        parent: u64,
        step_ns: u64,
        sample: &Sample<'_>,
        writer: &mut Writer<W>,
    ) -> io::Result<Self> {
        let name = name(sample.conn_id, sample.identity);
        writer.track(track, Some(parent), &name, Kind::Slices, sample.conn_id)?;
        Ok(Self {
            track,
            step_ns: step_ns.max(1),
            begin_ns: sample.begin_ns.min(sample.ts_ns),
            begun_before: sample.begun_before,
            described: [false; TRACKS],
            state: None,
            recovering: false,
            gauges: [None; GAUGES.len()],
            rates: [Rate::default(); RATES.len()],
            counted: EVENTS.map(|(_, vars)| Steps::since(sample.before(vars))),
            waits: Waits::default(),
            waiting: None,
        })
    }

    /// A track below the connection's own, described before its first event.
    fn below<W: Write>(
        &mut self,
        place: u64,
        name: &str,
        kind: Kind<'_>,
        writer: &mut Writer<W>,
    ) -> io::Result<u64> {
        let track = self.track + place;
        let described = &mut self.described[place as usize];
        if !std::mem::replace(described, true) {
            writer.track(track, Some(self.track), name, kind, place)?;
        }
        Ok(track)
    }

    /// Values after a record.
    pub fn sampled<W: Write>(
        &mut self,
        sample: &Sample<'_>,
        writer: &mut Writer<W>,
    ) -> io::Result<()> {
        let ts_ns = sample.ts_ns;
        let state = sample.row.get(Var::State);
        if state != self.state {
            let first = self.state.is_none();
            if !first {
                writer.end(self.track, ts_ns)?;
            }
            if let Some(state) = state {
                let arguments = if first {
                    arguments(sample.conn_id, sample.identity)
                } else {
                    Arguments::new()
                };
                writer.begin(self.track, ts_ns, &state_name(state), &arguments)?;
            }
            self.state = state;
        }
        let recovering = sample.row.get(Var::InRecovery) == Some(DATA_RECOVERY);
        if recovering != self.recovering {
            let track = self.below(RECOVERY, "recovery", Kind::Slices, writer)?;
            if recovering {
                writer.begin(track, ts_ns, "recovery", &Arguments::new())?;
            } else {
                writer.end(track, ts_ns)?;
            }
            self.recovering = recovering;
        }
        self.happened(ts_ns, sample.row, writer)?;
        self.measured(ts_ns, sample.row, writer)?;
        self.waited(sample.limits, writer)
    }

    fn happened<W: Write>(
        &mut self,
        ts_ns: u64,
        row: &Row,
        writer: &mut Writer<W>,
    ) -> io::Result<()> {
        for (i, (name, vars)) in EVENTS.iter().enumerate() {
            let steps = self.counted[i].to(row.sum(vars));
            if steps > 0 {
                let track = self.below(HAPPENS, "events", Kind::Slices, writer)?;
                let count = vec![("count", Argument::Number(steps))];
                writer.instant(track, ts_ns, name, &count)?;
            }
        }
        Ok(())
    }

    fn measured<W: Write>(
        &mut self,
        ts_ns: u64,
        row: &Row,
        writer: &mut Writer<W>,
    ) -> io::Result<()> {
        for (i, (name, var, unit)) in GAUGES.into_iter().enumerate() {
            // A threshold without a bound would make all else a line at the bottom.
            let bounded = |v: &u64| var != Var::CurSsthresh || *v < INFINITE_SSTHRESH;
            let Some(value) = row.get(var).filter(bounded) else { continue };
            if self.gauges[i] != Some(value) {
                self.gauges[i] = Some(value);
                let place = FIRST_GAUGE + i as u64;
                let track = self.below(place, name, Kind::Counter(unit), writer)?;
                writer.counter(track, ts_ns, value)?;
            }
        }
        for (i, (_, var)) in RATES.into_iter().enumerate() {
            let Some(value) = row.get(var) else { continue };
            let step = ts_ns / self.step_ns;
            match self.rates[i].step {
                Some((open, _)) if open != step => {
                    self.rate(i, Some(step), writer)?;
                    self.rates[i].step = Some((step, self.rates[i].last));
                }
                Some(_) => {}
                // Nothing was carried before the connection began. Data carried before the recording is
                // not throughput of the first step.
                None => {
                    let before = if self.begun_before { value } else { 0 };
                    self.rates[i].step = Some((step, before));
                }
            }
            self.rates[i].last = value;
        }
        Ok(())
    }

    /// Ends a step of a rate; without a next one, ends the rate.
    fn rate<W: Write>(
        &mut self,
        i: usize,
        next: Option<u64>,
        writer: &mut Writer<W>,
    ) -> io::Result<()> {
        let Rate { step: Some((step, before)), last } = self.rates[i] else { return Ok(()) };
        let place = FIRST_RATE + i as u64;
        let kind = Kind::Counter(Unit::BitsPerSecond);
        let track = self.below(place, RATES[i].0, kind, writer)?;
        let bits = u128::from(last.saturating_sub(before)) * 8 * 1_000_000_000;
        let rate = bits / u128::from(self.step_ns);
        let at = step.saturating_mul(self.step_ns).max(self.begin_ns);
        writer.counter(track, at, u64::try_from(rate).unwrap_or(u64::MAX))?;
        let after = step.saturating_add(1);
        if next != Some(after) {
            let end_ns = after.saturating_mul(self.step_ns);
            writer.counter(track, end_ns, 0)?;
        }
        Ok(())
    }

    fn waited<W: Write>(&mut self, limits: &Limits, writer: &mut Writer<W>) -> io::Result<()> {
        for stretch in self.waits.take(limits) {
            self.stretch(stretch, writer)?;
        }
        Ok(())
    }

    fn stretch<W: Write>(&mut self, stretch: Stretch, writer: &mut Writer<W>) -> io::Result<()> {
        let (from, to, state) = stretch;
        let track = self.below(WAITS, "limited by", Kind::Slices, writer)?;
        let goes_on = self.waiting.is_some_and(|(open, until)| {
            // The waits of the application have one name.
            open.name() == state.name() && until == from
        });
        if !goes_on {
            if let Some((_, until)) = self.waiting {
                writer.end(track, until)?;
            }
            writer.begin(track, from, state.name(), &Arguments::new())?;
        }
        self.waiting = Some((state, to));
        Ok(())
    }

    /// The connection is over.
    pub fn end<W: Write>(mut self, ended: &Ended<'_>, writer: &mut Writer<W>) -> io::Result<()> {
        let ts_ns = ended.end_ns;
        self.waited(ended.limits, writer)?;
        if let Some((_, until)) = self.waiting {
            writer.end(self.track + WAITS, until)?;
        }
        if self.recovering {
            writer.end(self.track + RECOVERY, ts_ns)?;
        }
        for i in 0..RATES.len() {
            self.rate(i, None, writer)?;
        }
        let mut arguments = vec![("completeness", text(ended.completeness().name()))];
        if let Some(reason) = ended.identity.close_reason() {
            arguments.push(("close_reason", text(reason.name())));
        }
        let track = self.below(HAPPENS, "events", Kind::Slices, writer)?;
        writer.instant(track, ts_ns, "end", &arguments)?;
        if self.state.is_some() {
            writer.end(self.track, ts_ns)?;
        }
        Ok(())
    }
}
