// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `import-pcap`: a capture becomes a recording.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use estats::recordings::import::{ImportOptions, ImportReport, Prefix, import};
use estats::util::visible::visible;

use super::progress::Progress;
use super::{LOST, print_json};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: estats-analyze import-pcap server.pcapng.gz -o run1 --local 192.0.2.0/24\n\
                  Then: estats-analyze run1"
)]
pub struct Arguments {
    /// The capture: pcap or pcapng, plain, in gzip or in zstd; - or a pipe is read to its end
    file: PathBuf,
    /// Directory of the recording to make
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// Address or prefix of the end to be recorded; may be repeated [default: where the capture was
    /// taken, as its packets show]
    #[arg(long, value_name = "ADDR|CIDR")]
    local: Vec<Prefix>,
    /// Keep this many bytes of the payload of each packet
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    payload: usize,
    /// Decapsulate GRE, IPIP, 6in4, VXLAN and others: import the inner packets
    #[arg(long)]
    inner: bool,
    /// What was imported, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { local, payload, inner, .. } = arguments;
    let options = ImportOptions { local, payload, inner, ..ImportOptions::default() };
    let is_standard_input = arguments.file.as_os_str() == "-";
    let file = if is_standard_input { "/dev/stdin".into() } else { arguments.file };
    let bar = Progress::counting("importing", options.read.clone());
    let report = import(&file, &arguments.output, &options)?;
    drop(bar);
    warn(&report);
    let import = &report.import;
    let no_local =
        import.local_by == "option" && report.imported > 0 && report.of_recorded_end == 0;
    let lost = import.truncated.is_some()
        || import.dropped.is_some_and(|n| n > 0)
        || report.unproven_copies > 0
        || no_local;
    let code = if report.imported == 0 {
        nothing(&report);
        ExitCode::FAILURE
    } else if lost {
        ExitCode::from(LOST)
    } else {
        ExitCode::SUCCESS
    };
    if arguments.json {
        print_json(import)?;
        return Ok(code);
    }
    let mut out = super::screen();
    writeln!(
        out,
        "{} of {} packets of {} ({}) in {}",
        report.imported,
        import.packets,
        import.file,
        import.format,
        arguments.output.display()
    )?;
    writeln!(out, "recorded end: {}", recorded_end(&report))?;
    Ok(code)
}

fn recorded_end(report: &ImportReport) -> String {
    let import = &report.import;
    let addresses = match &import.local[..] {
        [] => String::new(),
        few if few.len() <= 8 => few.join(", "),
        many => format!("{} and {} more", many[..8].join(", "), many.len() - 8),
    };
    match import.local_by.as_str() {
        "option" => format!("{addresses} (--local)"),
        "capture" => "the capture states it for each packet".to_owned(),
        "ttl" => format!("{addresses} (no router has touched the TTL of its packets)"),
        "common" => format!("{addresses} (one end of every packet)"),
        _ => "the opening end of each connection: the packets do not show where the capture was taken; \
              --local ADDR names it"
            .to_owned(),
    }
}

/// Prints what the capture contained, if no packet of it was imported.
fn nothing(report: &ImportReport) {
    let import = &report.import;
    let there: Vec<_> = import.left_out.iter().map(|(what, n)| format!("{n} {what}")).collect();
    let there = match &there[..] {
        [] => "it has no packets".to_owned(),
        some => format!("it contains only {}", some.join(", ")),
    };
    let file = visible(&import.file);
    eprintln!("estats-analyze: no packet of {file} was imported: {there}");
}

fn packets(n: u64) -> String {
    format!("{n} packet{}", if n == 1 { "" } else { "s" })
}

fn warn(report: &ImportReport) {
    let import = &report.import;
    for (reason, n) in &import.left_out {
        eprintln!("estats-analyze: {} left out: {reason}", packets(*n));
    }
    let inner = if report.looked_inside { "" } else { "; use --inner to read what is inside" };
    for (name, n) in &import.tunnels {
        let belong = if *n == 1 { "belongs" } else { "belong" };
        eprintln!("estats-analyze: {} {belong} to a tunnel: {name}{inner}", packets(*n));
    }
    if import.local_by == "option" && report.imported > 0 && report.of_recorded_end == 0 {
        eprintln!(
            "estats-analyze: no packet has one end in --local {}: the recorded end of each \
             connection is its opener",
            import.local.join(", ")
        );
    }
    if report.unproven_copies > 0 {
        eprintln!(
            "estats-analyze: {} of TCP {} in the capture twice without an IP identification, as a \
             mirror port gives them. Nothing proves that they are copies, so all were taken: rows \
             and flows that count them twice will be marked lossy",
            packets(report.unproven_copies),
            if report.unproven_copies == 1 { "is" } else { "are" }
        );
    }
    if report.out_of_order > 0 {
        eprintln!(
            "estats-analyze: {} with a time before that of the previous packet: rows with such \
             packets will be marked lossy",
            packets(report.out_of_order)
        );
    }
    if let Some(n) = import.dropped.filter(|n| *n > 0) {
        eprintln!("estats-analyze: the capture lacks {} that its program dropped", packets(n));
    }
    if let Some(how) = &import.truncated {
        eprintln!(
            "estats-analyze: {} is incomplete: {}; what precedes it was imported",
            visible(&import.file),
            visible(how)
        );
    }
}
