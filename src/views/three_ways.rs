// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! RTT three ways, per connection: by timestamps, by sequence numbers, and as the kernel has it.
//!
//! All are of what the local end sent. The kernel's samples are those that its estimator took
//! (SampleRTT, at each step of CountRTT): of the oldest segment that an acknowledgment has, with
//! the wait of a delayed ACK, and from the instant at which the segment left TCP.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::rows::{Output, RttSample};
use crate::engine::rtt::{Method, Way};
use crate::log::{LogError, Recording};
use crate::replay::{self, ReplayOptions};
use crate::schema::Var;

/// Samples of one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// The median, in nanoseconds.
    pub median_ns: u64,
    /// The 95th percentile.
    pub p95_ns: u64,
}

impl Summary {
    /// Nearest rank: a sample that was there.
    fn of(samples: &mut [u64]) -> Option<Self> {
        samples.sort_unstable();
        let rank = |percent: usize| {
            let at = (samples.len() * percent).div_ceil(100).saturating_sub(1);
            samples.get(at).copied()
        };
        Some(Self { count: samples.len() as u64, median_ns: rank(50)?, p95_ns: rank(95)? })
    }
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its number.
    pub conn_id: u64,
    /// Local address and port.
    pub local: String,
    /// The peer's.
    pub remote: String,
    /// By TSval and TSecr.
    pub timestamps: Option<Summary>,
    /// By sequence number: cumulative acknowledgments and SACK.
    pub sequence: Option<Summary>,
    /// The kernel's.
    pub kernel: Option<Summary>,
    /// Difference of the medians: sequence less timestamps.
    pub sequence_less_timestamps_ns: Option<i64>,
    /// Kernel less sequence.
    pub kernel_less_sequence_ns: Option<i64>,
    /// Kernel less timestamps.
    pub kernel_less_timestamps_ns: Option<i64>,
}

#[derive(Debug, Default)]
struct Samples {
    local: String,
    remote: String,
    timestamps: Vec<u64>,
    sequence: Vec<u64>,
    kernel: Vec<u64>,
    counted: u64,
}

#[derive(Debug, Default)]
struct Collector(BTreeMap<u64, Samples>);

impl ConnectionRows for Collector {
    type Error = LogError;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), LogError> {
        let Some((local, remote)) = ended.identity.addresses() else { return Ok(()) };
        let Some(record) = ended.identity.lifecycle() else { return Ok(()) };
        let samples = self.0.entry(ended.conn_id).or_default();
        samples.local = std::net::SocketAddr::new(local, record.local_port).to_string();
        samples.remote = std::net::SocketAddr::new(remote, record.remote_port).to_string();
        Ok(())
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), LogError> {
        let values = sample.row.get(Var::CountRTT).zip(sample.row.get(Var::SampleRTT));
        let Some((count, rtt_us)) = values else { return Ok(()) };
        let samples = self.0.entry(sample.conn_id).or_default();
        if count > samples.counted {
            samples.counted = count;
            samples.kernel.push(rtt_us.saturating_mul(1000));
        }
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), LogError> {
        Ok(())
    }
}

impl Output for Collector {
    fn rtt(&mut self, row: &RttSample) -> Result<(), LogError> {
        let Some(conn_id) = row.conn_id else { return Ok(()) };
        if row.sample.replier != Way::Back {
            return Ok(());
        }
        let samples = self.0.entry(conn_id).or_default();
        match row.sample.method {
            Method::TcpTimestamps => samples.timestamps.push(row.sample.rtt_ns),
            Method::TcpSequence | Method::TcpSack => samples.sequence.push(row.sample.rtt_ns),
            Method::TcpHandshake
            | Method::IcmpEcho
            | Method::QuicSpin
            | Method::QuicSpinPeriod
            | Method::Dns => {}
        }
        Ok(())
    }
}

/// Compares all connections that have samples of any sort, in the order of their numbers.
///
/// # Errors
/// [`LogError`] if the recording cannot be read.
pub fn compare(recording: &Recording, options: ReplayOptions) -> Result<Vec<Compared>, LogError> {
    let timeline = replay::clocks(recording)?;
    // The kernel's samples are separate only if each record is read.
    let options = ReplayOptions { interval: Interval::Event, ..options };
    let collector = Collector::default();
    let run = replay::run::<_, LogError>(recording, &timeline, &options, collector)?;
    Ok(run.output.0.into_iter().filter_map(|(conn_id, samples)| row(conn_id, samples)).collect())
}

fn row(conn_id: u64, mut samples: Samples) -> Option<Compared> {
    let timestamps = Summary::of(&mut samples.timestamps);
    let sequence = Summary::of(&mut samples.sequence);
    let kernel = Summary::of(&mut samples.kernel);
    let less = |a: Option<Summary>, b: Option<Summary>| {
        Some(a?.median_ns.cast_signed().wrapping_sub(b?.median_ns.cast_signed()))
    };
    timestamps.or(sequence).or(kernel)?;
    Some(Compared {
        conn_id,
        local: samples.local,
        remote: samples.remote,
        timestamps,
        sequence,
        kernel,
        sequence_less_timestamps_ns: less(sequence, timestamps),
        kernel_less_sequence_ns: less(kernel, sequence),
        kernel_less_timestamps_ns: less(kernel, timestamps),
    })
}

/// As a table for people, in milliseconds.
pub fn render(compared: &[Compared]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "conn",
        "local",
        "remote",
        "way",
        "count",
        "median ms",
        "p95 ms",
        "less timestamps ms",
    ]);
    let ms = |ns: f64| format!("{:.3}", ns / 1e6);
    for c in compared {
        let ways = [
            ("timestamps", c.timestamps, None),
            ("sequence", c.sequence, c.sequence_less_timestamps_ns),
            ("kernel", c.kernel, c.kernel_less_timestamps_ns),
        ];
        for (way, summary, less) in ways {
            let Some(s) = summary else { continue };
            table.add_row([
                c.conn_id.to_string(),
                c.local.clone(),
                c.remote.clone(),
                way.to_owned(),
                s.count.to_string(),
                ms(s.median_ns as f64),
                ms(s.p95_ns as f64),
                less.map_or_else(String::new, |ns| ms(ns as f64)),
            ]);
        }
    }
    format!("{table}\n")
}
