// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Facts of a connection that relations need beside the values of a row, followed through the log record
//! by record.

use crate::engine::estats::Slot;
use crate::schema::Var;
use crate::schema::reference::Signal;
use crate::wire::Header;

/// An acknowledgment reaches the recovery that it begins in one call of tcp_ack(), within 60 to 460 us
/// in testdata/web10g, and once within 1.2 ms. If it takes longer than this, time does not decide.
const BY_ACK_NS: u64 = 2_000_000;
/// RACK's timer waits a quarter of a round trip, and two jiffies at least (TCP_TIMEOUT_MIN): the
/// recovery that it begins comes at least this many times later than any that an ACK began. If not, time
/// does not decide.
const LATER: u64 = 2;

/// A congestion signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SignalMoment {
    /// Its kind.
    what: What,
    /// The congestion window before it, octets.
    window: i128,
    /// The last round-trip sample before it, microseconds.
    round_trip_us: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A retransmission timeout.
    Timeout,
    /// A recovery, this long after the last segment received.
    Recovery { after_ns: u64 },
    /// A mark, a stall or a loss probe.
    Other,
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    moments: Vec<SignalMoment>,
    received_ns: Option<u64>,
    /// Wall clock of the last segment received that the log has, microseconds since the epoch.
    pub received_us: Option<u64>,
    before: SignalCounts,
}

/// Counters as they were after the record before.
#[derive(Clone, Copy, Debug, Default)]
struct SignalCounts {
    signals: u64,
    recoveries: u64,
    timeouts: u64,
    windows: u64,
    round_trips: u64,
}

impl SignalCounts {
    fn of(slot: &Slot) -> Self {
        let get = |var| slot.get(var).unwrap_or(0);
        Self {
            signals: get(Var::CongSignals),
            recoveries: get(Var::FastRetran),
            timeouts: get(Var::Timeouts).saturating_add(get(Var::SubsequentTimeouts)),
            windows: get(Var::PreCongSumCwnd),
            round_trips: get(Var::PreCongSumRTT),
        }
    }
}

/// Between which a sum lies, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SumBounds {
    least: i128,
    most: i128,
}

impl SumBounds {
    /// Whether a value of `bits` bits is in it.
    pub fn has(self, value: i128, bits: u32) -> bool {
        let offset = value - self.least;
        let offset = if bits < 64 { offset.rem_euclid(1 << bits) } else { offset };
        (0..=self.most - self.least).contains(&offset)
    }
}

impl Followed {
    /// Takes a record that was applied.
    pub fn record(&mut self, header: &Header, slot: &Slot, wall_us: Option<u64>) {
        let now = SignalCounts::of(slot);
        let before = std::mem::replace(&mut self.before, now);
        if now.signals > before.signals {
            let what = if now.recoveries > before.recoveries {
                let after_ns =
                    self.received_ns.map_or(u64::MAX, |at| header.ts_ns.saturating_sub(at));
                What::Recovery { after_ns }
            } else if now.timeouts > before.timeouts {
                What::Timeout
            } else {
                What::Other
            };
            self.moments.push(SignalMoment {
                what,
                window: i128::from(now.windows.wrapping_sub(before.windows)),
                round_trip_us: i128::from(now.round_trips.wrapping_sub(before.round_trips)),
            });
        }
        if header.hook.is_received() {
            self.received_ns = Some(header.ts_ns);
            self.received_us = wall_us;
        }
    }

    /// How far it has come: where [`Followed::cut`] takes it back to.
    pub const fn mark(&self) -> (usize, Option<u64>) {
        (self.moments.len(), self.received_us)
    }

    /// As it was then.
    #[must_use]
    pub fn cut(&self, (moments, received_us): (usize, Option<u64>)) -> Self {
        let moments = self.moments.iter().take(moments).copied().collect();
        Self { moments, received_us, ..Self::default() }
    }

    /// The quantity over all timeouts and `recoveries` recoveries, those that an ACK began. It is exact
    /// if the time since the last segment shows which these are. Otherwise it is between the least and
    /// the most that this number of recoveries can have.
    pub(super) fn sum_at_signals(&self, signal: Signal, recoveries: i128) -> SumBounds {
        let value = |moment: &SignalMoment| match signal {
            Signal::Window => moment.window,
            Signal::RoundTrip => moment.round_trip_us.div_euclid(1000),
        };
        let timeouts: i128 =
            self.moments.iter().filter(|m| m.what == What::Timeout).map(value).sum();
        let mut of: Vec<(u64, i128)> = self
            .moments
            .iter()
            .filter_map(|m| match m.what {
                What::Recovery { after_ns } => Some((after_ns, value(m))),
                What::Timeout | What::Other => None,
            })
            .collect();
        let count = usize::try_from(recoveries).unwrap_or(0).min(of.len());
        of.sort_unstable();
        let (by_ack, by_timer) = of.split_at(count);
        let last = by_ack.last().map_or(0, |(after, _)| *after);
        let is_known = by_timer.is_empty()
            || (last < BY_ACK_NS && by_timer.iter().all(|(after, _)| *after >= LATER * last));
        let sum = |of: &[(u64, i128)]| of.iter().map(|(_, value)| *value).sum::<i128>();
        if is_known {
            let exactly = timeouts + sum(by_ack);
            return SumBounds { least: exactly, most: exactly };
        }
        of.sort_unstable_by_key(|(_, value)| *value);
        let rest = of.len() - count;
        SumBounds { least: timeouts + sum(&of[..count]), most: timeouts + sum(&of[rest..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(moments: &[(What, i128)]) -> Followed {
        let moments = moments.iter().map(|&(what, window)| SignalMoment {
            what,
            window,
            round_trip_us: window * 1000 + 999,
        });
        Followed { moments: moments.collect(), ..Followed::default() }
    }

    const BY_ACK: What = What::Recovery { after_ns: 60_000 };
    const BY_TIMER: What = What::Recovery { after_ns: 8_000_000 };

    #[test]
    fn recoveries_begun_by_an_ack_are_recognised_by_the_segment_before() {
        let f = followed(&[(BY_ACK, 100), (BY_TIMER, 7), (What::Timeout, 30), (What::Other, 5)]);
        let sum = f.sum_at_signals(Signal::Window, 1);
        assert_eq!(sum, SumBounds { least: 130, most: 130 });
        assert_eq!(f.sum_at_signals(Signal::RoundTrip, 1), sum, "each is rounded down");
        assert!(sum.has(130, 64) && !sum.has(129, 64) && !sum.has(131, 64));
        assert!(sum.has(130 % (1 << 7), 7), "modulo 2^7");
    }

    #[test]
    fn where_time_does_not_decide_the_sum_has_bounds() {
        let f = followed(&[(BY_ACK, 100), (BY_ACK, 7), (BY_ACK, 50)]);
        assert_eq!(f.sum_at_signals(Signal::Window, 2), SumBounds { least: 57, most: 150 });
        assert_eq!(f.sum_at_signals(Signal::Window, 3), SumBounds { least: 157, most: 157 });
        assert_eq!(f.sum_at_signals(Signal::Window, 0), SumBounds { least: 0, most: 0 });
    }
}
