// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From a recording to its tables.
//!
//! [`crate::engine::time`] puts the records into their total order, [`crate::engine::estats`] takes them and makes rows,
//! `conduct.rs` those that follow from them, [`crate::output::tables`] makes batches of all, [`crate::output::sink`] files.
//! Same log, same options: the same bytes, for any number of threads.

mod audited;
mod beside;
mod conduct;
mod findings;
mod in_memory;
#[allow(clippy::disallowed_methods, reason = "reads and writes the list of the tables")]
mod manifest;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use crate::engine::estats::{Bits, Engine, EngineCounts, Interval, Plan, RuleOptions};
use crate::engine::flows;
use crate::engine::keyframe::merge_since;
use crate::engine::packets::{PacketCounts, Tracker};
use crate::engine::rows::Output;
use crate::engine::rtt;
use crate::engine::time::order::{HookRecords, OrderCounts};
use crate::engine::time::timeline::{Loss, Of, Timeline};
use crate::engine::time::{packets::Ordered, snapshots};
use crate::log::{CaptureStat, HookBatch, LogError, Manifest, Recording};
use crate::output::sink::{Layout, Origin, Partition, SinkError, TableFormat, TableSink, digest};
use crate::output::tables::{Batches, Qualities, Tables, specs, tables_version};
use crate::schema::{Apply, Hook, Quality, Var};
use crate::wire::{Header, Operation, Packet};

pub use audited::{Audited, AuditedConnection, Keep, audit};
pub use findings::Findings;
pub use in_memory::replay_in_memory;
pub use manifest::TablesManifest;

pub(crate) use conduct::conduct;

use beside::{Beside, Rest};
use conduct::Conducted;

/// How a recording is replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Where the tables go; by default into `tables` in the recording.
    pub output: Option<PathBuf>,
    /// When the series has rows.
    pub interval: Interval,
    /// Threads that decode frames; with more than one, tables are encoded in threads of their own.
    pub threads: NonZeroUsize,
    /// Parameters of rules.
    pub rules: RuleOptions,
    /// Parameters of the flows.
    pub flows: flows::FlowOptions,
    /// The format of the tables.
    pub format: TableFormat,
    /// Hive partitions, outermost first; none: one file per table in the directory.
    pub partitions: Vec<Partition>,
    /// Parameters of passive RTT.
    pub rtt: rtt::RttOptions,
    /// How RTTs are put together by prefix.
    pub aggregate: rtt::aggregate::AggregateOptions,
}

/// 100 ms.
const DEFAULT_INTERVAL: NonZeroU64 = NonZeroU64::new(100_000_000).expect("not zero");

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            output: None,
            interval: Interval::Every(DEFAULT_INTERVAL),
            threads: NonZeroUsize::MIN,
            rules: RuleOptions::default(),
            flows: flows::FlowOptions::default(),
            format: TableFormat::Parquet,
            partitions: Vec::new(),
            rtt: rtt::RttOptions::default(),
            aggregate: rtt::aggregate::AggregateOptions::default(),
        }
    }
}

/// The results of a replay.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// Where the tables are.
    pub dir: PathBuf,
    /// The tables and their digest.
    pub tables: TablesManifest,
    /// What is missing in them, and why.
    pub findings: Findings,
}

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Reading failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Writing failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl HookRecords for HookBatch {
    fn len(&self) -> usize {
        self.len()
    }
    fn header(&self, row: usize) -> Header {
        self.header(row)
    }
    fn ops(&self, row: usize) -> impl Iterator<Item = Operation> {
        self.ops(row)
    }
}

/// The directory of a recording's tables.
pub fn default_dir(recording: &Path) -> PathBuf {
    recording.join("tables")
}

/// Replays a recording into Parquet tables.
///
/// # Errors
/// [`ReplayError`]; a recording that is cut is replayed up to the cut, without an error.
pub fn replay(recording: &Recording, options: &ReplayOptions) -> Result<ReplayReport, ReplayError> {
    let manifest = recording.manifest();
    let default = || match options.format {
        TableFormat::Parquet => default_dir(recording.dir()),
        // Parquet is what every command looks for in the other.
        TableFormat::Plain(_) => recording.dir().join(format!("tables-{}", options.format.name())),
    };
    let dir = options.output.clone().unwrap_or_else(default);
    let timeline = clocks(recording)?;
    let layout = Layout::new(&options.partitions, manifest);
    let (format, threads) = (options.format, options.threads.get());
    let (specs, origin) = (specs(&Qualities::of(manifest)), Origin::of(manifest));
    let sink = TableSink::create(&dir, &specs, &layout, &origin, format, threads)?;
    let tables = Tables::new(manifest, &timeline, sink);
    let Conducted { run, audit } =
        conduct::<_, ReplayError>(recording, &timeline, options, Some(options.aggregate), tables)?;
    let findings = Findings::of(manifest, &timeline, &run);
    let (tables, counts) = (run.output, run.counts);
    let rows = recording.capture_stats().map(|row| row.map_err(ReplayError::from));
    let discarded = counts.discarded + tables.outside().map(|(_, n)| n).sum::<u64>();
    let files = tables.finish(rows)?.finish()?;
    let tables = TablesManifest {
        tables_version: tables_version(),
        recording: manifest.recording.clone(),
        fingerprint: recording.survey()?.fingerprint.clone(),
        interval: interval_name(options.interval),
        flow_interval: options.flows.interval.map(|ns| interval_name(Interval::Every(ns))),
        latency_limit_us: options.rules.latency_limit_us,
        lost_records: findings.lost,
        discarded,
        silent: counts.silent,
        lacking_packets: findings.packets.map_or(0, |p| p.lacking()),
        format: format.name().to_owned(),
        digest: digest(&files),
        files,
        audit,
    };
    tables.write(&layout.manifest(&dir))?;
    Ok(ReplayReport { dir, tables, findings })
}

/// Replays a recording and gives the batches of all tables to `batches`.
///
/// # Errors
/// [`ReplayError`].
pub fn replay_into<B>(
    recording: &Recording,
    options: &ReplayOptions,
    batches: B,
) -> Result<(B, Findings), ReplayError>
where
    B: Batches<Error = SinkError>,
{
    let timeline = clocks(recording)?;
    let tables = Tables::new(recording.manifest(), &timeline, batches);
    let aggregate = Some(options.aggregate);
    let done = conduct::<_, ReplayError>(recording, &timeline, options, aggregate, tables)?;
    let findings = Findings::of(recording.manifest(), &timeline, &done.run);
    let rows = recording.capture_stats().map(|row| row.map_err(ReplayError::from));
    Ok((done.run.output.finish(rows)?, findings))
}

/// The results of [`run`].
#[derive(Clone, Debug)]
pub(crate) struct Run<O> {
    /// The output, with all rows.
    pub output: O,
    /// Counts of the ordering.
    pub order: OrderCounts,
    /// Counts of the engine.
    pub counts: EngineCounts,
    /// Counts of making connections from packets.
    pub packets: Option<PacketCounts>,
    /// Operations that this build has no name for, left out.
    pub unknown_operations: u64,
}

/// Replays a recording into any output.
///
/// # Errors
/// Those of reading, and the output's.
pub(crate) fn run<O, E>(
    recording: &Recording,
    timeline: &Timeline,
    options: &ReplayOptions,
    output: O,
) -> Result<Run<O>, E>
where
    O: Output,
    E: From<LogError> + From<O::Error>,
{
    let plan = plan(recording.manifest(), options.rules);
    let mut engine = Engine::new(&plan, timeline, options.interval, output);
    // With hooks, connections come from these: packets would make them a second time.
    let mut tracker = None;
    if recording.manifest().is_of_packets() {
        engine = engine.of_packets();
        tracker = Some(Tracker::default());
    }
    let frame = recording.key_frame()?;
    // What is older is in the key frame.
    let since_ns = frame.as_ref().map_or(0, |frame| frame.from_ns);
    let mut unknown_operations = 0;
    let hooks = recording.hooks(options.threads).map(|batch| match batch {
        Ok(batch) => {
            unknown_operations += batch.unknown_ops();
            Ok(batch)
        }
        Err(e) => Err(E::from(e)),
    });
    let lifecycles = recording.lifecycles().map(|row| row.map_err(E::from));
    let mut late_packets = 0;
    let packets = packets_of(recording, &mut late_packets)
        .filter(|row| row.as_ref().map_or(true, |(packet, _)| packet.ts_ns >= since_ns))
        .map(|row| row.map_err(E::from));
    let snapshots = snapshots(recording)
        .filter(|row| row.as_ref().map_or(true, |row| row.header.ts_ns >= since_ns))
        .map(|row| row.map_err(E::from));
    let import = recording.manifest().import.as_ref();
    let places = import.map_or(&[][..], |import| &import.places);
    let mut beside =
        Beside::new(engine, timeline, snapshots, packets, (options.flows, options.rtt), tracker)?
            .in_places(places);
    let mut order = merge_since(frame.as_ref(), hooks, lifecycles, &mut beside)?;
    let Rest { engine, tracked: packets } = beside.rest()?;
    order.late += late_packets;
    let (output, counts) = engine.finish()?;
    Ok(Run { output, order, counts, packets, unknown_operations })
}

/// The packets of a recording in their order, each with whether it came too late for it; these are
/// counted.
fn packets_of(
    recording: &Recording,
    late: &mut u64,
) -> impl Iterator<Item = Result<(Box<Packet>, bool), LogError>> {
    Ordered::new(recording.packets()).inspect(|row| {
        *late += u64::from(matches!(row, Ok((_, true))));
    })
}

/// Connections without a row. Each begins with one lifecycle record: those that were lost, but for
/// the connections of which something else came through.
fn without_row(manifest: &Manifest, counts: EngineCounts, lost: u64) -> Option<u64> {
    match manifest.totals.as_ref().and_then(|totals| totals.lacking) {
        Some(l) => {
            let lost = l.lost_begins.saturating_sub(counts.unseen);
            Some(l.not_followed.saturating_add(lost))
        }
        None => (lost == 0).then_some(0),
    }
}

/// Records that the recorder lost, as the ledger and the totals have it.
///
/// # Errors
/// [`LogError`] if the ledger cannot be read.
pub fn lost(recording: &Recording) -> Result<u64, LogError> {
    Ok(clocks(recording)?.lost().max(lost_by_totals(recording.manifest())))
}

/// The totals count losses whose ledger row a crash of the disk may have taken.
pub(crate) fn lost_by_totals(manifest: &Manifest) -> u64 {
    let totals = manifest.totals.iter().flat_map(|t| &t.per_cpu);
    totals.fold(0, |sum, cpu| sum.saturating_add(cpu.lost()))
}

/// "100ms", "event": as the option is written.
pub fn interval_name(interval: Interval) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    match interval {
        Interval::Event => "event".to_owned(),
        Interval::Every(ns) => UNITS
            .iter()
            .find(|(unit, _)| ns.get() % unit == 0)
            .map_or_else(|| format!("{ns}ns"), |(unit, name)| format!("{}{name}", ns.get() / unit)),
    }
}

/// The rules for the operations of a recording.
pub(crate) fn plan(manifest: &Manifest, rules: RuleOptions) -> Plan {
    // Hooks see one end; packets of a capture have no silent ones.
    let attached = Hook::ALL.iter().copied().filter(|hook| {
        manifest.hooks.iter().any(|status| status.attached && status.hook == hook.name())
    });
    let recounted = Var::ALL.iter().copied().filter(|&var| manifest.recount(var).is_some());
    Plan::new(&recorded(manifest), rules).with_hooks(attached.collect()).with_recounted(recounted)
}

/// The variables a log can have. Derived ones that its manifest does not name came after it was
/// recorded: they follow from what it has.
fn recorded(manifest: &Manifest) -> Bits {
    let status = |var: Var| manifest.variables.iter().find(|v| v.name == var.name());
    Var::ALL
        .iter()
        .copied()
        .filter(|&var| match status(var) {
            Some(status) => status.quality != Quality::Missing.name(),
            None => matches!(var.def().apply, Apply::Derived(_)),
        })
        .collect()
}

/// Clocks and losses of a recording, read ahead.
///
/// # Errors
/// [`LogError`] if the ledger cannot be read.
pub fn clocks(recording: &Recording) -> Result<Timeline, LogError> {
    let started = recording.manifest().started;
    let mut clocks = vec![(started.monotonic_ns, started.realtime_ns)];
    let mut losses = Vec::new();
    let mut missing = removed(recording)?;
    missing.extend(absent(recording)?);
    for row in recording.capture_stats() {
        match row? {
            CaptureStat::Clock(_, sample) => {
                clocks.push((sample.monotonic_ns, sample.realtime_ns));
            }
            CaptureStat::Loss { ts_ns, lost, since_ns, hook, .. } => {
                let of = Of::hook(hook);
                losses.push(Loss { of, since_ns, until_ns: ts_ns, records: lost });
            }
            // It has no number, but a row lacks it too.
            CaptureStat::Skipped { ts_ns, count, since_ns, hook } => {
                let of = Of::hook(hook);
                losses.push(Loss { of, since_ns, until_ns: ts_ns, records: count });
            }
            // As of the recording that this one was made of.
            CaptureStat::Missing { ts_ns, ring, count, since_ns } => {
                let of = Of::ring(ring);
                missing.push(Loss { of, since_ns, until_ns: ts_ns, records: count });
            }
            CaptureStat::Emitted { .. }
            | CaptureStat::RingFill { .. }
            | CaptureStat::MapFailure { .. }
            | CaptureStat::Lacking { .. }
            | CaptureStat::LateDrain { .. }
            | CaptureStat::LatePoll { .. }
            | CaptureStat::SlowPoll { .. }
            | CaptureStat::NotIp { .. }
            | CaptureStat::Malformed { .. }
            | CaptureStat::Dropped { .. }
            | CaptureStat::LeftOut { .. } => {}
        }
    }
    Ok(Timeline::with_removed(clocks, losses, &missing))
}

/// Records that the files lack, as losses of the rows.
fn absent(recording: &Recording) -> Result<Vec<Loss>, LogError> {
    let survey = recording.survey()?;
    let missing = survey.missing.iter().map(|m| {
        let of = Of::ring(m.ring);
        Loss { of, since_ns: m.since_ns, until_ns: m.until_ns, records: m.records }
    });
    // The ledger lacks them, and the totals have counted them.
    let restored = survey.restored.iter().filter_map(|row| {
        let CaptureStat::Loss { ts_ns, lost, since_ns, hook, .. } = *row else { return None };
        Some(Loss { of: Of::hook(hook), since_ns, until_ns: ts_ns, records: lost })
    });
    Ok(missing.chain(restored).collect())
}

/// Records that a bound of the recording's size removed, as losses of the rows: without these a connection whose events
/// are gone would be marked complete. A key frame has what is known of connections, and nothing of packets.
/// The totals do not distinguish packets from other records.
pub(crate) fn removed(recording: &Recording) -> Result<Vec<Loss>, LogError> {
    let records = recording.removed_records()?;
    if records == 0 {
        return Ok(Vec::new());
    }
    // The oldest segments are removed, and a record was made before the round that read it was
    // over: hence before the round after the first mark that is left began.
    let until_ns = second_mark(recording)?.unwrap_or(u64::MAX);
    let loss = |of| Loss { of, since_ns: 0, until_ns, records };
    let connections = recording.key_frame()?.is_none().then_some(Of::Connections);
    let packets = recording.manifest().has_packets().then_some(Of::Packets);
    Ok(connections.into_iter().chain(packets).map(loss).collect())
}

fn second_mark(recording: &Recording) -> Result<Option<u64>, LogError> {
    let mut marks = 0;
    for batch in recording.hooks(NonZeroUsize::MIN) {
        let batch = batch?;
        for row in 0..batch.len() {
            let header = batch.header(row);
            marks += u32::from(header.hook.is_mark());
            if marks == 2 {
                return Ok(Some(header.ts_ns));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::VariableStatus;

    #[test]
    fn intervals_are_named_as_they_are_written() {
        for (ns, name) in [(100_000_000, "100ms"), (2_000_000_000, "2s"), (1_500, "1500ns")] {
            assert_eq!(interval_name(Interval::Every(NonZeroU64::new(ns).unwrap())), name);
        }
    }

    #[test]
    fn variables_that_the_manifest_does_not_name_are_not_recorded() {
        let status = |name: &str, quality: &str| VariableStatus {
            name: name.into(),
            quality: quality.into(),
            reason: None,
        };
        let manifest = Manifest {
            variables: vec![
                status("SegsOut", "exact"),
                status("SegsIn", "missing"),
                status("MaxRTT", "missing"),
            ],
            ..Manifest::default()
        };
        let bits = recorded(&manifest);
        assert!(bits.has(Var::SegsOut) && bits.has(Var::MinRTT));
        assert!(!bits.has(Var::SegsIn) && !bits.has(Var::MaxRTT) && !bits.has(Var::SampleRTT));
    }
}
