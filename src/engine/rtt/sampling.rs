// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Fewer samples, chosen after they were matched: so one log shows what a policy leaves out.
//!
//! ePPing decides when a packet is sent whether it will be measured: what is then never answered
//! (half of all TSvals, with delayed ACKs) was measured in vain, and a limit by RTT feeds on the few
//! samples that it lets pass. Here each sample stands at the time at which its packet was sent, as
//! there, but only those that were answered count, and the RTT of the limit is that of all samples.

use super::MeasuredRtt;

/// Which RTT of a flow [`SampleSpacing::Rtt`] is a multiple of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RttType {
    /// The smallest so far.
    Min,
    /// RFC 6298's average, with a weight of an eighth.
    Smoothed,
}

/// How far apart the samples of a flow are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleSpacing {
    /// At least this time.
    Time(u64),
    /// At least this many RTTs; ePPing's --rtt-rate.
    Rtt(f64, RttType),
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The distance of samples.
    pub limit: SampleSpacing,
    /// This many samples may exceed the rate in a row: a burst after a pause is more than one sample.
    pub burst: u32,
}

/// The samples of one flow, method and replier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler {
    min_ns: Option<u64>,
    smoothed_ns: Option<u64>,
    /// The last that was kept, as if a burst had come in its time (the generic cell rate algorithm).
    last_ns: Option<u64>,
}

impl Sampler {
    /// Whether the sample is kept.
    pub fn keep(&mut self, policy: &Policy, sample: &MeasuredRtt) -> bool {
        let rtt = sample.rtt_ns;
        self.min_ns = Some(self.min_ns.map_or(rtt, |min| min.min(rtt)));
        self.smoothed_ns = Some(match self.smoothed_ns {
            Some(old) => old - (old >> 3) + (rtt >> 3),
            None => rtt,
        });
        let distance_ns = match policy.limit {
            SampleSpacing::Time(ns) => ns,
            SampleSpacing::Rtt(factor, RttType::Min) => multiple(self.min_ns, factor),
            SampleSpacing::Rtt(factor, RttType::Smoothed) => multiple(self.smoothed_ns, factor),
        };
        let sent_ns = sample.ts_ns.saturating_sub(rtt);
        let Some(last_ns) = self.last_ns else {
            self.last_ns = Some(sent_ns);
            return true;
        };
        let due_ns = last_ns.saturating_add(distance_ns);
        let ahead_ns = distance_ns.saturating_mul(u64::from(policy.burst));
        let keep = sent_ns.saturating_add(ahead_ns) >= due_ns;
        if keep {
            self.last_ns = Some(due_ns.max(sent_ns));
        }
        keep
    }
}

fn multiple(rtt_ns: Option<u64>, factor: f64) -> u64 {
    (rtt_ns.unwrap_or(0) as f64 * factor) as u64
}
