// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Flows as tables a person reads: who talks to whom, and how much.

use std::fmt::Write as _;

use chrono::DateTime;

use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::flows::lines::Line;
use crate::engine::rows::{FlowRow, Output};
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::util::units;

/// The widest IPv4 address with a port.
const ENDPOINT: usize = 21;

/// tc-flows' table, of `top` lines. If there are more, `hint` is how to see them.
pub fn table(lines: &[Line], top: usize, hint: &str) -> String {
    let shown = &lines[..lines.len().min(top)];
    let width = |of: fn(&Line) -> &str| shown.iter().map(|l| of(l).len()).max().unwrap_or(0);
    let source = width(|l| &l.source).max(ENDPOINT);
    let destination = width(|l| &l.destination).max(ENDPOINT);
    let mut out =
        format!("PROTOCOL {:<source$} {:<destination$} PACKETS BYTES\n", "SOURCE", "DESTINATION");
    for l in shown {
        let bytes = units::iec_bytes(l.bytes());
        let (from, to) = (&l.source, &l.destination);
        let _ = writeln!(
            out,
            "{:<8} {from:<source$} {to:<destination$} {:<7} {bytes}",
            l.protocol, l.packets
        );
    }
    more(&mut out, lines.len(), top, hint);
    out
}

/// Two lines for each, with when it began and how long it was. If there are more, `hint` is how to see
/// them.
pub fn list(lines: &[Line], top: usize, hint: &str) -> String {
    let mut out = String::new();
    for l in lines.iter().take(top) {
        let began = wall(l.begin_us);
        let duration = duration(l.duration_s);
        let (from, to, protocol) = (&l.source, &l.destination, &l.protocol);
        let _ = writeln!(
            out,
            "- ({protocol})\t{from}\t->\t{to}\t({} packets, {} bytes)\n   Connection started: {began}, duration: {duration}",
            l.packets,
            l.bytes()
        );
    }
    more(&mut out, lines.len(), top, hint);
    out
}

fn more(out: &mut String, lines: usize, top: usize, hint: &str) {
    if lines > top {
        let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
        let _ = writeln!(out, "... and {} more{hint}", lines - top);
    }
}

/// Wall-clock time in UTC: `2022-02-16 18:30:33`.
pub fn wall(us: Option<u64>) -> String {
    us.and_then(|us| DateTime::from_timestamp_micros(i64::try_from(us).ok()?))
        .map_or_else(|| "?".to_owned(), |t| t.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.3} s") }
}

struct Collector<'a> {
    clock: &'a Timeline,
    lines: Vec<Line>,
}

impl ConnectionRows for Collector<'_> {
    type Error = ReplayError;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ReplayError> {
        Ok(())
    }
}

impl Output for Collector<'_> {
    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), ReplayError> {
        let line = |forward| Line::of(row.flow, row.span, forward, self.clock);
        let both = [line(true), line(false)];
        self.lines.extend(both.into_iter().flatten());
        Ok(())
    }
}

/// Replays a recording and gives the lines of its flows.
///
/// # Errors
/// Those of replaying.
pub fn recording(recording: &Recording, options: &ReplayOptions) -> Result<Vec<Line>, ReplayError> {
    let clock = replay::clocks(recording)?;
    let collector = Collector { clock: &clock, lines: Vec::new() };
    Ok(replay::run::<_, ReplayError>(recording, &clock, options, collector)?.output.lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::flows::lines::{Sort, sort};

    fn line(source: &str, packets: u64, bytes: u64) -> Line {
        Line {
            flow: packets,
            conn_id: None,
            interval_us: None,
            protocol: "TCP".into(),
            source: source.into(),
            destination: "10.0.2.15:56604".into(),
            packets,
            segments: packets,
            l2_bytes: Some(bytes),
            l3_bytes: bytes - 14,
            payload_bytes: 0,
            begin_us: Some(1_645_036_233_000_000),
            duration_s: 0.325,
            close_reason: None,
        }
    }

    #[test]
    fn the_table_is_that_of_tc_flows() {
        let mut lines =
            [line("10.0.2.15:43824", 685, 37_977), line("216.58.215.142:443", 7688, 135_455_047)];
        sort(&mut lines, Sort::Bytes);
        assert_eq!(
            table(&lines, 9, ""),
            "PROTOCOL SOURCE                DESTINATION           PACKETS BYTES\n\
             TCP      216.58.215.142:443    10.0.2.15:56604       7688    129.18 MiB\n\
             TCP      10.0.2.15:43824       10.0.2.15:56604       685     37.09 KiB\n"
        );
        assert_eq!(table(&lines, 1, "").lines().last(), Some("... and 1 more"));
        let hint = "ask for more";
        assert_eq!(table(&lines, 1, hint).lines().last(), Some("... and 1 more (ask for more)"));
    }

    #[test]
    fn the_list_has_beginning_and_duration() {
        assert_eq!(
            list(&[line("10.0.2.15:43824", 685, 37_977)], 9, ""),
            "- (TCP)\t10.0.2.15:43824\t->\t10.0.2.15:56604\t(685 packets, 37977 bytes)\n   \
             Connection started: 2022-02-16 18:30:33, duration: 325 ms\n"
        );
    }
}
