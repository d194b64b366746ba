// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `info`: what is in a recording.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use estats::log::{
    CaptureStat, ClockSample, Import, Lacking, Manifest, NotSeen, PacketRow, Recording,
};
use estats::recordings::import::link_type_name;
use estats::replay::TablesManifest;
use estats::replay::default_dir;
use estats::util::visible::visible;
use estats::wire::Event;

use super::{print_json, screen};

/// The totals, or the counts of the streams if there are no totals.
#[derive(Default)]
struct RecordingTotals {
    duration_ns: u64,
    connections: u64,
    records: u64,
    lost: u64,
}

pub fn run(run: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let recording = super::open(run)?;
    let manifest = recording.manifest();
    if json {
        print_json(manifest)?;
        return Ok(ExitCode::SUCCESS);
    }
    let totals = totals(&recording)?;
    let host = &manifest.host;
    let mut lines = vec![
        ("recording", manifest.recording.clone()),
        ("format", format!("{}, by estats {}", manifest.format_version, manifest.tool_version)),
        ("host", format!("{}, {} CPUs, {}", host.hostname, host.cpus, host.machine)),
        ("kernel", format!("{} {}", host.kernel_release, host.kernel_version)),
        ("command", command(manifest)),
        ("begun", wall(manifest.started)),
        ("duration", format!("{:.3} s", totals.duration_ns as f64 / 1e9)),
        ("closed", closed(manifest).to_owned()),
        ("hook set", manifest.hook_set.clone()),
        ("variables", coverage(manifest)),
        ("connections", totals.connections.to_string()),
        ("records", totals.records.to_string()),
        ("lost", totals.lost.to_string()),
    ];
    if let Some(ns) = host.time_offset_ns {
        let seconds = ns as f64 / 1e9;
        let text = format!("of the host; the recorder's time namespace is {seconds:+} s from it");
        lines.push(("clock", text));
    }
    if let Some(lacking) = manifest.totals.as_ref().and_then(|totals| totals.lacking) {
        lines.extend(lacks(&lacking));
    }
    if let Some(import) = &manifest.import {
        // A capture knows nothing of the host, and connections are found by replay.
        lines.retain(|(label, _)| !["host", "kernel", "command", "connections"].contains(label));
        lines.extend(imported(import));
    }
    if let Some(text) = dropped(manifest) {
        lines.push(("dropped", text));
    }
    for (hook, n) in manifest.totals.iter().flat_map(|totals| &totals.malformed) {
        lines
            .push(("malformed", format!("{n} packets at {hook}, whose IP headers cannot be read")));
    }
    // The results of a replay are known after one was run.
    let tables = TablesManifest::read(&default_dir(run))?;
    if let Some(tables) = tables.filter(|t| t.recording == manifest.recording) {
        lines.push(("discarded", format!("{} values that cannot be", tables.discarded)));
    }
    for hook in manifest.hooks.iter().filter(|h| !h.attached) {
        let reason = hook.reason.as_deref().unwrap_or("no reason given");
        lines.push(("missing hook", format!("{} ({}): {reason}", hook.hook, hook.point)));
    }
    let namespaces = manifest.namespaces.iter();
    lines.extend(namespaces.map(|n| ("namespace", n.text(&manifest.sysctls))));
    lines.extend(manifest.not_seen.iter().map(|it| ("not seen", not_seen(it))));
    let mut out = screen();
    for (label, text) in lines {
        writeln!(out, "{label:<12}  {}", visible(text.trim()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Packets that the kernel dropped; none where no hook was there to see them, or the recording was not closed.
fn dropped(manifest: &Manifest) -> Option<String> {
    let drops = estats::schema::Hook::Drops.name();
    let attached = manifest.hooks.iter().any(|status| status.attached && status.hook == drops);
    let totals = manifest.totals.as_ref().filter(|_| attached)?;
    let lost = totals.per_cpu.iter().filter_map(|cpu| cpu.lost_by_hook.get(drops).copied());
    let lost = match sum(lost) {
        0 => String::new(),
        n => format!(", and {n} of which the record is lost"),
    };
    Some(format!("{} packets of TCP, by the kernel{lost}", totals.dropped_packets))
}

/// What the log lacks of connections, if anything.
fn lacks(lacking: &Lacking) -> impl Iterator<Item = (&'static str, String)> {
    let &Lacking { not_followed, lost_begins, lost_ends, dropped_operations } = lacking;
    [
        (not_followed, "connections for which there was no memory"),
        (lost_begins, "beginnings of connections: as many, at most, have no row"),
        (lost_ends, "ends of connections"),
        (dropped_operations, "operations for which a record had no room"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| ("lacking", format!("{n} {what}")))
}

fn imported(import: &Import) -> Vec<(&'static str, String)> {
    let mut lines = vec![("capture", format!("{} ({})", import.file, import.format))];
    for i in &import.interfaces {
        let name = i.name.as_deref().unwrap_or("without a name");
        let link = link_type_name(i.link_type);
        lines.push(("interface", format!("{} {name}, {link}", i.number)));
    }
    for place in &import.places {
        let numbers: Vec<_> = place.iter().map(u32::to_string).collect();
        lines.push(("one place", format!("interfaces {}", numbers.join(", "))));
    }
    lines.push(("packets", import.packets.to_string()));
    for (name, n) in &import.within {
        lines.push(("looked into", format!("{n} in {name}")));
    }
    for (name, n) in &import.tunnels {
        lines.push(("tunnels", format!("{n} {name}")));
    }
    for (reason, n) in &import.left_out {
        lines.push(("left out", format!("{n} {reason}")));
    }
    if let Some(how) = &import.truncated {
        lines.push(("not whole", how.clone()));
    }
    let local = format!("{} (by {})", import.local.join(", "), import.local_by);
    lines.push(("recorded end", local));
    lines
}

/// Numbers of a file may be anything.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn totals(recording: &Recording) -> anyhow::Result<RecordingTotals> {
    let manifest = recording.manifest();
    if let Some(totals) = &manifest.totals {
        return Ok(RecordingTotals {
            duration_ns: totals.duration_ns,
            connections: totals.connections,
            records: sum(totals.per_cpu.iter().map(|cpu| cpu.logged)),
            lost: sum(totals.per_cpu.iter().map(|cpu| cpu.lost())),
        });
    }
    let mut totals = RecordingTotals::default();
    let mut last = manifest.started.monotonic_ns;
    for row in recording.lifecycles() {
        let row = row?;
        last = last.max(row.header.ts_ns);
        match row.event {
            Event::Open | Event::Baseline => totals.connections += 1,
            Event::Close | Event::End | Event::Drain | Event::Over => {}
        }
        totals.records += u64::from(row.event != Event::Drain);
    }
    for batch in recording.hooks(std::num::NonZeroUsize::MIN) {
        let batch = batch?;
        for i in 0..batch.len() {
            let header = batch.header(i);
            last = last.max(header.ts_ns);
            totals.records += u64::from(!header.hook.is_mark());
        }
    }
    for row in recording.packets() {
        match row? {
            PacketRow::Packet(packet) => {
                last = last.max(packet.ts_ns);
                totals.records += 1;
            }
            PacketRow::Drained(ts_ns) => last = last.max(ts_ns),
        }
    }
    for row in recording.capture_stats() {
        if let CaptureStat::Loss { lost, .. } = row? {
            totals.lost = totals.lost.saturating_add(lost);
        }
    }
    totals.duration_ns = last.saturating_sub(manifest.started.monotonic_ns);
    Ok(totals)
}

fn command(manifest: &Manifest) -> String {
    match (&manifest.command, manifest.exit_status) {
        (None, _) => "none".to_owned(),
        (Some(words), None) => words.join(" "),
        (Some(words), Some(status)) => format!("{} (exit status {status})", words.join(" ")),
    }
}

/// Prints what the recorder could not see, below the connections.
pub fn print_not_seen(run: &Path) -> anyhow::Result<()> {
    let recording = Recording::open(run)?;
    for it in &recording.manifest().not_seen {
        writeln!(screen(), "not seen: {}", it.what)?;
    }
    Ok(())
}

fn not_seen(it: &NotSeen) -> String {
    if it.variables.is_empty() {
        return it.what.clone();
    }
    format!("{} ({})", it.what, it.variables.join(", "))
}

const fn closed(manifest: &Manifest) -> &'static str {
    if manifest.totals.is_some() {
        "yes"
    } else {
        "no: the recorder was killed or still runs; all but the last second is there"
    }
}

fn wall(clock: ClockSample) -> String {
    DateTime::from_timestamp(
        (clock.realtime_ns / 1_000_000_000) as i64,
        (clock.realtime_ns % 1_000_000_000) as u32,
    )
    .map_or_else(|| "unknown".to_owned(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn coverage(manifest: &Manifest) -> String {
    let count = |quality: &str| manifest.variables.iter().filter(|v| v.quality == quality).count();
    ["exact", "sampled", "approximate", "constant", "missing"]
        .map(|quality| format!("{} {quality}", count(quality)))
        .join(", ")
}
