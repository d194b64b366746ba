// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether a recording is whole: every frame, and every sequence number of every CPU.
//!
//! A CPU numbers its records over all rings, and those it had to drop too, so the numbers in
//! hooks, connections and packets together, the losses, and what --max-size removed must make up all that
//! were given out.

use super::LogError;
use super::ranges::Ranges;
use super::reader::Recording;
use super::report::{CpuReport, Finding, RANGES, VerifyReport};
use super::scan::{Scan, scan};
use super::stream::Stream;
use super::survey::{self, SLACK_NS};

/// Verifies a recording.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(recording: &Recording) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::new(recording.manifest());
    let mut scan = scan(recording)?;
    let present = recording.segments(Stream::Hooks)?;
    let placed = survey::place(recording, &mut scan)?;
    report.unknown = scan.unknown;
    report.carried = scan.stats.missing;
    report.files = std::mem::take(&mut scan.files);
    report.findings.extend(std::mem::take(&mut scan.findings));
    report.findings.extend(placed);
    report.findings.extend(survey::missing_key_frame(recording)?);
    survey::changed(recording, &mut report.findings)?;
    SequenceCheck { recording, scan, present }.settle(&mut report);
    Ok(report)
}

struct SequenceCheck<'a> {
    recording: &'a Recording,
    scan: Scan,
    present: Vec<u32>,
}

impl SequenceCheck<'_> {
    fn settle(&self, report: &mut VerifyReport) {
        let manifest = self.recording.manifest();
        let mut cpus = self.scan.cpus();
        let totals = manifest.totals.iter().flat_map(|t| &t.per_cpu);
        cpus.extend(totals.map(|t| t.cpu));
        for cpu in cpus {
            let numbers = self.scan.numbers(cpu);
            let mut line = CpuReport {
                cpu,
                logged: numbers.count(),
                lost: self.scan.stats.lost_on(cpu),
                removed: self.scan.stats.removed_rows(cpu, &self.present),
                left_out: self.scan.stats.left_out.get(&cpu).copied().unwrap_or(0),
                ..CpuReport::default()
            };
            let reasons = if report.closed {
                self.closed(&mut line, &numbers)
            } else {
                self.unclosed(&mut line, &numbers)
            };
            if line.emitted.unwrap_or(0) == 0 && line.logged == 0 && reasons.is_empty() {
                // A CPU below the largest one seen, but without records.
                continue;
            }
            if numbers.duplicates > 0 {
                let count = numbers.duplicates;
                report.findings.push(Finding::Duplicates { cpu, count });
            }
            let reasons = reasons.into_iter();
            report.findings.extend(reasons.map(|reason| Finding::SequenceNumbers { cpu, reason }));
            report.cpus.push(line);
        }
        if !report.closed {
            report.notes.push(
                "the recording was not closed, so its last second is unproven: what was on its \
                 way when it ended is neither logged nor counted as lost"
                    .into(),
            );
        }
    }

    /// Against the totals of the manifest.
    fn closed(&self, line: &mut CpuReport, numbers: &Ranges) -> Vec<String> {
        let mut totals = self.recording.manifest().totals.iter().flat_map(|t| &t.per_cpu);
        let Some(totals) = totals.find(|t| t.cpu == line.cpu) else {
            if line.logged == 0 && line.lost == 0 {
                return Vec::new();
            }
            return vec![format!("{} records, but no totals in the manifest", line.logged)];
        };
        let (emitted, logged, lost) = (totals.emitted, totals.logged, totals.lost());
        let mut reasons = Vec::new();
        let left_out = totals.left_out;
        if emitted != logged.saturating_add(lost).saturating_add(left_out) {
            let and = if left_out > 0 { format!(" + {left_out} left out") } else { String::new() };
            reasons.push(format!("{emitted} emitted is not {logged} logged + {lost} lost{and}"));
        }
        let there = line.logged.saturating_add(line.removed);
        if logged != there {
            let difference = logged.abs_diff(there);
            let word = if there < logged { "missing from" } else { "too many in" };
            reasons.push(format!("{difference} of {logged} logged records are {word} the files"));
        }
        if lost != line.lost {
            let recorded = line.lost;
            reasons.push(format!("{lost} lost in the manifest, {recorded} in the ledger"));
        }
        if left_out != line.left_out {
            let recorded = line.left_out;
            reasons.push(format!("{left_out} left out in the manifest, {recorded} in the ledger"));
        }
        if numbers.end() > emitted {
            let last = numbers.end() - 1;
            reasons.push(format!("number {last} is logged, but only {emitted} were given out"));
        }
        line.emitted = Some(emitted);
        line.proven = emitted;
        fill_missing(line, numbers);
        reasons
    }

    /// Against the ledger's last word, as far as everything of that time has been written.
    fn unclosed(&self, line: &mut CpuReport, numbers: &Ranges) -> Vec<String> {
        let ledger = &self.scan.stats;
        let Some((ts_ns, emitted)) = ledger.emitted.get(&line.cpu).copied() else {
            line.emitted = (line.logged > 0).then(|| numbers.end());
            return Vec::new();
        };
        // Records were logged after the ledger's last word.
        let emitted = emitted.max(numbers.end());
        line.emitted = Some(emitted);
        let marked = |stream| self.scan.stream(stream).filter(|s| !s.segments.is_empty());
        let drained = |stream| marked(stream).map_or(0, |s| s.drained_ns());
        let mut reached = drained(Stream::Hooks).min(drained(Stream::Connections));
        if marked(Stream::Packets).is_some_and(|s| s.cpus().next().is_some()) {
            reached = reached.min(drained(Stream::Packets));
        }
        // Recorders before there were snapshots made no such stream.
        if marked(Stream::Sockets).is_some() {
            reached = reached.min(drained(Stream::Sockets).max(ledger.snapshots_drained_ns));
        }
        let cut = reached.min(ts_ns).saturating_sub(SLACK_NS);
        let proven = self.scan.streams.iter().map(|stream| stream.proven(line.cpu, cut));
        line.proven = proven.max().unwrap_or(0);
        fill_missing(line, numbers);
        let explained = line.lost.saturating_add(line.removed).saturating_add(line.left_out);
        let mut reasons = Vec::new();
        if line.missing > explained {
            let unexplained = line.missing - explained;
            reasons.push(format!("{unexplained} records are neither logged nor counted as lost"));
        }
        let absent: u64 = numbers
            .missing_below(emitted)
            .map(|gap| gap.end - gap.start)
            .fold(0, u64::saturating_add);
        if line.lost.saturating_add(line.left_out) > absent {
            let lost = line.lost.saturating_add(line.left_out);
            reasons.push(format!(
                "{lost} counted as lost or left out, but only {absent} numbers are missing"
            ));
        }
        reasons
    }
}

fn fill_missing(line: &mut CpuReport, numbers: &Ranges) {
    for gap in numbers.missing_below(line.proven) {
        let (start, end) = (gap.start, gap.end);
        line.missing = line.missing.saturating_add(end - start);
        line.missing_ranges_total += 1;
        if line.missing_ranges.len() < RANGES {
            line.missing_ranges.push((start, end - 1));
        }
    }
}
