// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `cut`: a part of a recording.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::DateTime;
use clap::Args;
use estats::recordings::import::Prefix;
use estats::recordings::transform::TransformReport;
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::util::units;

use super::print_json;
use super::progress::Progress;

#[derive(Debug, Args)]
#[command(
    after_help = "Connections that were open at the start or end of the cut are marked in `completeness`.\n\n\
                  Example: estats-analyze cut run1 -o incident --from 90s --to 120s --port 443"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// Directory of the recording to make
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// From this time on: since the beginning (90s, 1500ms), or by the clock (2026-01-01T12:00:00Z)
    #[arg(long, value_name = "T", value_parser = moment)]
    from: Option<CutTime>,
    /// Before this time
    #[arg(long, value_name = "T", value_parser = moment)]
    to: Option<CutTime>,
    /// This connection, by its conn_id in the tables; may be repeated
    #[arg(long = "conn", value_name = "N")]
    connections: Vec<u64>,
    /// Connections with this address, or one of this prefix, on either side; may be repeated
    #[arg(long = "addr", value_name = "CIDR", value_delimiter = ',')]
    addresses: Vec<Prefix>,
    /// Connections with this port on either side; may be repeated
    #[arg(long = "port", value_name = "N", value_delimiter = ',')]
    ports: Vec<u16>,
    /// Print what was made, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let chosen = chosen(&arguments);
    let options = CutOptions {
        from: arguments.from,
        to: arguments.to,
        connections: arguments.connections,
        addresses: arguments.addresses,
        ports: arguments.ports,
    };
    let recording = super::open(&arguments.run)?;
    // The recording is read more than once.
    let bar = Progress::bytes("cutting", &recording);
    let report = cut(&recording, &arguments.output, &options)?;
    drop(bar);
    if report.records == 0 && !chosen.is_empty() {
        eprintln!(
            "estats-analyze: nothing in {} matched {chosen}; `estats-analyze summary` shows which connections it has",
            arguments.run.display()
        );
    }
    print(&report, &arguments.output, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

/// The options that choose connections, as they were given.
fn chosen(arguments: &Arguments) -> String {
    fn list<T: ToString>(option: &str, values: &[T]) -> Option<String> {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        (!values.is_empty()).then(|| format!("{option} {}", values.join(",")))
    }
    let lists = [
        list("--conn", &arguments.connections),
        list("--addr", &arguments.addresses),
        list("--port", &arguments.ports),
    ];
    lists.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Prints what a command made.
pub(super) fn print(report: &TransformReport, output: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(report);
    }
    if !report.closed {
        eprintln!(
            "estats-analyze: the original was not closed, so what was made of it is not either"
        );
    }
    let mut out = super::screen();
    write!(out, "{} records in {}", report.records, output.display())?;
    match report.left_out {
        0 => writeln!(out)?,
        n => writeln!(out, ", {n} left out")?,
    }
    Ok(())
}

fn moment(text: &str) -> Result<CutTime, String> {
    let fault = || {
        format!(
            "{text:?} is neither a time since the beginning (90s, 1500ms) nor by the clock (2026-01-01T12:00:00Z)"
        )
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        let ns = time.timestamp_nanos_opt().and_then(|ns| u64::try_from(ns).ok());
        return ns.map(CutTime::Wall).ok_or_else(fault);
    }
    let duration = units::time(text).map_err(|_| fault())?;
    u64::try_from(duration.as_nanos()).map(CutTime::Since).map_err(|_| fault())
}
