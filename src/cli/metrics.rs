// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder's own counters as a file in OpenMetrics text (`--metrics`), for a collector that reads files. Each
//! writing replaces the file as a whole.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use estats::capture::{Counted, Progress};
use estats::log::Ring;

/// The file that is renewed, if one was asked for.
#[derive(Debug, Default)]
pub struct Metrics {
    file: Option<PathBuf>,
    every: Duration,
    written: Option<Instant>,
    /// The last writing failed, and that was reported.
    has_failed: bool,
}

impl Metrics {
    /// This file, at this interval. What an earlier call has asked for is over.
    pub fn set(&mut self, file: Option<PathBuf>, every: Duration) {
        if (self.file.as_ref(), self.every) != (file.as_ref(), every) {
            *self = Self { file, every, written: None, has_failed: false };
        }
    }

    /// Writes the file if it is time to. A failure is reported once.
    pub fn progress(&mut self, progress: &Progress, counted: &Counted) -> Option<String> {
        let is_due = self.written.is_none_or(|last| last.elapsed() >= self.every);
        if is_due { self.renew(progress, counted, true) } else { None }
    }

    /// Writes the file for the last time.
    pub fn end(&mut self, progress: &Progress, counted: &Counted) -> Option<String> {
        self.renew(progress, counted, false)
    }

    fn renew(&mut self, progress: &Progress, counted: &Counted, goes_on: bool) -> Option<String> {
        let file = self.file.as_ref()?;
        self.written = Some(Instant::now());
        let result = replace(file, &text(progress, counted, goes_on));
        let had_failed = std::mem::replace(&mut self.has_failed, result.is_err());
        let why = result.err().filter(|_| !had_failed)?;
        let path = file.display();
        let reason =
            format!("cannot write the metrics to {path}: {why}; the recording goes on without");
        Some(reason)
    }
}

/// A file that is there is replaced at once: a reader sees the old or the new one. Others may read it, whatever the
/// mask for new files is: the collector is another user, and counters tell nothing of a connection.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(".tmp");
    let beside = file.with_file_name(name);
    // Left by a recorder that was killed, or a link that somebody else has put there.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
    let written = new
        .set_permissions(Permissions::from_mode(0o644))
        .and_then(|()| new.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The families of a text.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        for unit in ["seconds", "bytes"] {
            if name.ends_with(&format!("_{unit}")) {
                let _ = writeln!(self.0, "# UNIT {name} {unit}");
            }
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "{name}_total {value}");
    }

    /// One counter for each value of a label, which needs no escapes.
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "counter", help);
        for (of, value) in values {
            let _ = writeln!(self.0, "{name}_total{{{label}=\"{of}\"}} {value}");
        }
    }
}

/// Everything that is counted.
fn text(p: &Progress, counted: &Counted, goes_on: bool) -> String {
    let mut text = Text::default();
    let going_on = u8::from(goes_on);
    text.gauge(
        "estats_recording",
        "1 while the recording goes on, 0 when it has ended.",
        going_on.into(),
    );
    let seconds = p.elapsed.as_secs_f64();
    text.gauge("estats_elapsed_seconds", "Time since the hooks were attached.", seconds);
    let rings = Ring::ALL.iter().zip(counted.records).map(|(ring, n)| (ring.name(), n));
    text.counters("estats_records", "Records logged, by ring.", "ring", rings);
    let lost = counted.lost.iter().map(|(hook, n)| (hook.name(), *n));
    text.counters("estats_lost_records", "Records lost, by hook.", "hook", lost);
    let help = "Activations of hooks for which the kernel did not run the program.";
    text.counter("estats_skipped_activations", help, p.skipped);
    let help = "Rounds of the rings that came more than 100 ms late.";
    text.counter("estats_late_drains", help, counted.late_drains);
    let help = "Polls of the sockets that took more than 80 % of their interval.";
    text.counter("estats_slow_polls", help, p.slow_polls);
    text.gauge("estats_disk_bytes", "Size of the recording on the disk.", p.bytes as f64);
    let help = "Connections seen, with those that were open before.";
    text.counter("estats_connections", help, p.connections);
    text.gauge("estats_open_connections", "Connections that are open.", p.open as f64);
    let help = "Packets of TCP that the kernel dropped, as the hook drops has seen.";
    text.counter("estats_dropped_packets", help, counted.dropped_packets);
    let help = "Packets with malformed IP headers.";
    text.counter("estats_malformed_packets", help, p.malformed);
    text.0 + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use estats::schema::Hook;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("estats.prom");
        // What an earlier recorder has left, and a link to what is not ours.
        std::os::unix::fs::symlink("/nonexistent/other", dir.path().join("estats.prom.tmp"))
            .unwrap();
        let mut metrics = Metrics::default();
        metrics.set(Some(file.clone()), Duration::from_secs(3600));
        let progress = Progress { connections: 7, bytes: 1 << 40, ..Progress::default() };
        let lost = vec![(Hook::SetState, 3)];
        let counted = Counted { records: [1, 2, 3, 4], lost, ..Counted::default() };
        assert_eq!(metrics.progress(&progress, &counted), None);
        let text = fs::read_to_string(&file).unwrap();
        for line in [
            "estats_recording 1",
            "estats_connections_total 7",
            "estats_records_total{ring=\"packets\"} 4",
            "estats_disk_bytes 1099511627776",
            "# UNIT estats_disk_bytes bytes",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
        }
        assert!(text.contains("estats_lost_records_total{hook=\"set_state\"} 3\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        // Too early, and then the last.
        assert_eq!(metrics.progress(&Progress::default(), &counted), None);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        metrics.end(&progress, &counted);
        assert!(fs::read_to_string(&file).unwrap().contains("estats_recording 0\n"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_failure_is_reported_once() {
        let mut metrics = Metrics::default();
        let (progress, counted) = (Progress::default(), Counted::default());
        assert_eq!(metrics.progress(&progress, &counted), None, "no file was asked for");
        metrics.set(Some("/nonexistent/dir/estats.prom".into()), Duration::ZERO);
        let said = metrics.progress(&progress, &counted).unwrap();
        assert!(
            said.starts_with("cannot write the metrics to /nonexistent/dir/estats.prom: "),
            "{said}"
        );
        assert_eq!(metrics.progress(&progress, &counted), None);
        metrics.set(Some("/nonexistent/dir/estats.prom".into()), Duration::ZERO);
        assert_eq!(metrics.progress(&progress, &counted), None, "the same file is not a new one");
    }
}
