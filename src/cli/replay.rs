// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `replay`, and the tables other commands need.

use std::io::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;

use clap::{Args, ValueEnum};
use estats::engine::estats::{Interval, RuleOptions};
use estats::engine::flows::Timeouts;
use estats::log::Recording;
use estats::output::sink::{Partition, TableFormat};
use estats::output::tables::tables_version;
use estats::replay::TablesManifest;
use estats::replay::{Findings, ReplayOptions, ReplayReport, default_dir, replay};

use super::progress::Progress;
use super::times::duration;
use super::{LOST, print_json};

#[derive(Debug, Args)]
#[command(after_help = "Example: estats-analyze replay run1 --interval 10ms -o run1-fine")]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// Where the tables go [default: RUN/tables]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Distance of the rows of the series (10us, 100ms, 1s), or `event` for a row per hook record
    #[arg(long, default_value = "100ms", value_parser = parse_interval)]
    interval: Interval,
    /// Split each flow into rows of this length (1s, 100ms) [default: one row per flow and direction]
    #[arg(long, value_name = "DURATION", value_parser = super::flows::interval)]
    flow_interval: Option<NonZeroU64>,
    /// Idle timeout of a bidirectional flow
    #[arg(long, default_value = "300s", value_name = "DURATION", value_parser = super::flows::interval)]
    flow_timeout: NonZeroU64,
    /// Idle timeout of a one-way flow, and of ICMP
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = super::flows::interval)]
    flow_timeout_unanswered: NonZeroU64,
    /// Threads [default: all CPUs]; the bytes written do not depend on it
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// RTT samples up to this count in NormalRttm, larger ones in HighRttm; 0: neither
    #[arg(long, default_value_t = 0, value_name = "US")]
    latency_limit_us: u64,
    /// Format of the tables; formats other than parquet go to RUN/tables-FORMAT by default
    #[arg(long, value_enum, default_value_t = FormatName::Parquet)]
    format: FormatName,
    /// Hive partitions for many recordings: TABLE/host=NAME/date=YYYY-MM-DD/RECORDING.parquet, by
    /// the host and the day (UTC) on which the recording began
    #[arg(long, value_enum, value_name = "host,date", value_delimiter = ',', requires = "output")]
    partition: Vec<PartitionName>,
    /// Print what was written, as JSON
    #[arg(long)]
    json: bool,
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let wrong =
        || format!("{text:?} is no number of threads: 1 or more; without --threads it is all CPUs");
    text.parse().map_err(|_| wrong())
}

/// Formats of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Parquet, as every command of this program reads it
    Parquet,
    /// Arrow's IPC file
    Arrow,
    /// CSV with a header; what is not known is empty
    Csv,
    /// A JSON object per row
    Jsonl,
}

impl FormatName {
    pub const fn format(self) -> TableFormat {
        match self {
            Self::Parquet => TableFormat::Parquet,
            Self::Arrow => TableFormat::ARROW,
            Self::Csv => TableFormat::CSV,
            Self::Jsonl => TableFormat::JSONL,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartitionName {
    Host,
    Date,
}

impl PartitionName {
    const fn partition(self) -> Partition {
        match self {
            Self::Host => Partition::Host,
            Self::Date => Partition::Date,
        }
    }
}

/// Tables that are there.
pub struct Tables {
    pub dir: PathBuf,
    pub manifest: TablesManifest,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = ReplayOptions {
        output: arguments.output.clone(),
        interval: arguments.interval,
        threads: arguments.threads.unwrap_or_else(cpus),
        rules: RuleOptions { latency_limit_us: arguments.latency_limit_us },
        flows: estats::engine::flows::FlowOptions {
            timeouts: Timeouts {
                answered_ns: arguments.flow_timeout.get(),
                unanswered_ns: arguments.flow_timeout_unanswered.get(),
                ..Timeouts::default()
            },
            interval: arguments.flow_interval,
        },
        format: arguments.format.format(),
        partitions: arguments.partition.iter().map(|p| p.partition()).collect(),
        ..ReplayOptions::default()
    };
    let report = with_bar(&super::open(&arguments.run)?, &options)?;
    warn(&report.findings, report.tables.discarded);
    if arguments.json {
        print_json(&report.tables)?;
        return Ok(exit_code(report.tables.missing()));
    }
    let mut out = super::screen();
    for entry in &report.tables.files {
        writeln!(out, "{:>12} rows  {}", entry.rows, entry.file)?;
    }
    writeln!(out, "digest {}", report.tables.digest)?;
    writeln!(out, "{}", report.tables.audit)?;
    writeln!(out, "tables in {}", report.dir.display())?;
    Ok(exit_code(report.tables.missing()))
}

/// The tables of a recording. If they are missing or old, the recording is replayed first, with a line
/// on stderr.
pub fn ensure_tables(run: &Path) -> anyhow::Result<Tables> {
    let recording = super::open(run)?;
    let dir = default_dir(run);
    let found = TablesManifest::read(&dir)?;
    let why = match &found {
        None => "there are no tables yet",
        Some(tables) if tables.tables_version != tables_version() => {
            "the tables are of another version"
        }
        Some(tables) if tables.format != TableFormat::Parquet.name() => {
            "the tables are not Parquet"
        }
        Some(tables) if tables.recording != recording.manifest().recording => {
            "the tables are of another recording"
        }
        Some(tables) if tables.fingerprint != recording.survey()?.fingerprint => {
            "the recording is not as it was when the tables were made"
        }
        Some(tables) if !tables.are_there(&dir) => "not all tables are there",
        Some(tables) => {
            if tables.missing() > 0 {
                super::NOT_WHOLE.store(true, Ordering::Relaxed);
            }
            let n = tables.discarded.saturating_add(tables.silent);
            if n > 0 {
                eprintln!(
                    "estats-analyze: {}, as the replay reported: it is NULL, and rows are marked lossy",
                    counted(
                        n,
                        "time a value was discarded or a hook saw nothing",
                        "times a value was discarded or a hook saw nothing"
                    )
                );
            }
            let n = tables.lacking_packets;
            if n > 0 {
                eprintln!(
                    "estats-analyze: {}, as the replay reported: rows are marked lossy",
                    counted(
                        n,
                        "packet is missing, is in the capture twice, came after the end or is cut",
                        "packets are missing, are in the capture twice, came after the end or are cut"
                    )
                );
            }
            return Ok(Tables { dir, manifest: tables.clone() });
        }
    };
    eprintln!("estats-analyze: replaying {}: {why}", run.display());
    let options = with_all_cpus();
    let report = with_bar(&recording, &options)?;
    warn(&report.findings, report.tables.discarded);
    if report.tables.missing() > 0 {
        super::NOT_WHOLE.store(true, Ordering::Relaxed);
    }
    Ok(Tables { dir, manifest: report.tables })
}

/// Replays, with a bar on a terminal.
pub fn with_bar(recording: &Recording, options: &ReplayOptions) -> anyhow::Result<ReplayReport> {
    let bar = Progress::of("replaying", std::slice::from_ref(recording))?;
    let report = replay(recording, options)?;
    drop(bar);
    Ok(report)
}

/// A replay with all CPUs.
pub fn with_all_cpus() -> ReplayOptions {
    ReplayOptions { threads: cpus(), ..ReplayOptions::default() }
}

pub fn exit_code(lost: u64) -> ExitCode {
    if lost > 0 { ExitCode::from(LOST) } else { ExitCode::SUCCESS }
}

/// A number with what it counts.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Says on stderr what a replay found.
pub fn warn(findings: &Findings, discarded: u64) {
    let (counts, packets) = (findings.counts, findings.packets.unwrap_or_default());
    if findings.without_row.is_none() {
        eprintln!("estats-analyze: the number of connections without a row is not known");
    }
    for (n, one, many) in [
        (
            counts.missed,
            "or more segments were seen by no hook, as the connections themselves show: their rows are marked lossy",
            "or more segments were seen by no hook, as the connections themselves show: their rows are marked lossy",
        ),
        (
            findings.without_row.unwrap_or(0),
            "connection has no row: nothing of it was recorded",
            "connections have no row: nothing of them was recorded",
        ),
        (
            findings.order.late,
            "record came too late to be put in order: rows of connections that were open then are marked lossy",
            "records came too late to be put in order: rows of connections that were open then are marked lossy",
        ),
        (
            discarded,
            "impossible value was discarded: it is NULL, its row is marked lossy",
            "impossible values were discarded: they are NULL, their rows are marked lossy",
        ),
        (
            counts.silent,
            "connection has a hook that saw nothing although its counters changed: variables that \
             only this hook gives are NULL, its row is marked lossy",
            "connections have a hook that saw nothing although their counters changed: variables \
             that only this hook gives are NULL, their rows are marked lossy",
        ),
        (
            counts.without_cookie,
            "record of a socket without a cookie was left out",
            "records of sockets without a cookie were left out",
        ),
        (
            packets.missed,
            "or more packets are missing from the capture, as others show: their rows are marked lossy",
            "or more packets are missing from the capture, as others show: their rows are marked lossy",
        ),
        (
            packets.twice,
            "packet is in the capture twice: the row it belongs to is marked lossy",
            "packets are in the capture twice: rows they belong to are marked lossy",
        ),
        (
            packets.went_on,
            "packet came after its connection had ended with a reset: it is in no row, and the \
             connection's row is marked lossy",
            "packets came after their connection had ended with a reset: they are in no row, and the \
             connection's row is marked lossy",
        ),
        (
            packets.wrong_checksum,
            "packet of TCP has a wrong checksum: its receiver has dropped it",
            "packets of TCP have wrong checksums: their receivers have dropped them",
        ),
        (
            packets.unreadable,
            "packet of TCP has an incomplete header (a fragment, or cut by the capture) and was left out",
            "packets of TCP have incomplete headers (fragments, or cut by the capture) and were left out",
        ),
        (
            packets.options_cut,
            "header of TCP is cut inside its options by the capture: these options are not known, \
             and a row that needs them is marked lossy",
            "headers of TCP are cut inside their options by the capture: these options are not \
             known, and rows that need them are marked lossy",
        ),
        (
            packets.by_opener,
            "connection does not show which end was recorded: the end that opened it is taken",
            "connections do not show which end was recorded: the end that opened each is taken",
        ),
        (
            findings.unknown_operations,
            "operation is unknown to this version and was left out",
            "operations are unknown to this version and were left out",
        ),
    ] {
        if n > 0 {
            eprintln!("estats-analyze: {}", counted(n, one, many));
        }
    }
}

/// Says what is missing in one stream, which says nothing else; gives its number. What the recorder lost was said when the
/// recording was opened.
pub fn missing(findings: &Findings) -> u64 {
    warn(findings, findings.counts.discarded);
    findings.missing()
}

pub fn cpus() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

pub fn parse_interval(text: &str) -> Result<Interval, String> {
    if text == "event" {
        return Ok(Interval::Event);
    }
    let duration =
        duration(text).map_err(|e| format!("{e}; or `event` for a row per hook record"))?;
    // duration() knows no zero.
    let ns = u64::try_from(duration.as_nanos()).ok().and_then(NonZeroU64::new);
    ns.map(Interval::Every).ok_or_else(|| format!("{text} is too long for an interval"))
}

#[cfg(test)]
mod tests {
    use estats::replay::interval_name;

    use super::*;

    #[test]
    fn intervals() {
        for text in ["100ms", "1us", "10s", "event"] {
            assert_eq!(interval_name(parse_interval(text).unwrap()), text);
        }
        for text in ["", "0ms", "100", "ms", "1d", "99999999999999999999s", "-1s", "1.5s"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
