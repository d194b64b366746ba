// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `flows`.

use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use estats::engine::flows::lines::{self, Sort};
use estats::replay::{ReplayOptions, clocks};
use estats::views::traffic;

use super::times::duration;
use super::{print_json, replay};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Bytes,
    Packets,
    Duration,
    Start,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: estats-analyze flows run1 --sort duration --connections")]
pub struct Arguments {
    /// Directory of a recording with packets
    run: PathBuf,
    /// One table per interval with traffic (1s, 100ms), instead of one table in total
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<NonZeroU64>,
    /// Sort order
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    sort: By,
    /// Two lines per flow: with its beginning and its duration
    #[arg(long)]
    connections: bool,
    /// Show N flows of a table
    #[arg(long, default_value_t = 50, value_name = "N")]
    top: usize,
    /// All flows as JSON, with bytes of link, IP and payload
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    anyhow::ensure!(
        recording.manifest().has_packets(),
        "{} has no packets: record with --packets or --interface, or import a capture",
        arguments.run.display()
    );
    let mut options = ReplayOptions { threads: replay::cpus(), ..ReplayOptions::default() };
    options.flows.interval = arguments.interval;
    let mut lines = traffic::recording(&recording, &options)?;
    let by = match arguments.sort {
        By::Bytes => Sort::Bytes,
        By::Packets => Sort::Packets,
        By::Duration => Sort::Duration,
        By::Start => Sort::Start,
    };
    lines::sort(&mut lines, by);
    if arguments.json {
        print_json(&lines)?;
    } else {
        let mut out = super::screen();
        for part in lines.chunk_by(|a, b| a.interval_us == b.interval_us) {
            if let Some(us) = part[0].interval_us {
                let millis = us / 1_000 % 1_000;
                writeln!(out, "{}.{millis:03}", traffic::wall(Some(us)))?;
            }
            let render = if arguments.connections { traffic::list } else { traffic::table };
            out.write_all(render(part, arguments.top, "--top").as_bytes())?;
        }
    }
    Ok(replay::exit_code(clocks(&recording)?.lost()))
}

pub fn interval(text: &str) -> Result<NonZeroU64, String> {
    let ns = u64::try_from(duration(text)?.as_nanos()).ok().and_then(NonZeroU64::new);
    ns.ok_or_else(|| format!("{text} is too long for an interval"))
}
