// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `report`: one HTML file.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use estats::replay::ReplayOptions;
use estats::util::private;
use estats::views::report::{self, Extent, View};

use super::replay::{cpus, exit_code};

#[derive(Debug, Args)]
#[command(after_help = "Example: estats-analyze report run1 && xdg-open run1/report.html")]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The file [default: RUN/report.html]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Number of connections with plots: those with the most octets; the table has all
    #[arg(long, default_value_t = Extent::default().top, value_name = "N")]
    top: usize,
    /// Stretches of time into which a plot is cut, each kept as its smallest and largest value
    #[arg(long, default_value_t = Extent::default().stretches, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    stretches: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let extent = Extent { top: arguments.top, stretches: arguments.stretches };
    let options = ReplayOptions { threads: cpus(), ..ReplayOptions::default() };
    let overview = report::overview(&recording, &options)?;
    let lost = overview.lost;
    let chosen = report::largest(&overview, extent.top);
    let name = arguments.run.file_name().unwrap_or(arguments.run.as_os_str());
    let label = name.to_string_lossy().into_owned();
    let run = report::plot(&recording, overview, label.clone(), &chosen, extent)?;
    let views: Vec<_> = chosen.iter().map(|&id| View::of(&run, id)).collect();
    let page = report::page(&format!("estats: {label}"), &[run], &views, None)?;
    let path = arguments.output.clone().unwrap_or_else(|| arguments.run.join("report.html"));
    private::create(&path)
        .and_then(|mut file| file.write_all(page.as_bytes()))
        .map_err(|e| anyhow!("cannot write {}: {e}; name another file with -o", path.display()))?;
    writeln!(super::screen(), "{}, {:.1} MB", path.display(), page.len() as f64 / 1e6)?;
    Ok(exit_code(lost))
}
