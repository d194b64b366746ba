// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `merge`: several recordings as one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use estats::recordings::transform::merge::merge;

use super::progress::Progress;

#[derive(Debug, Args)]
#[command(
    after_help = "Recordings of one boot of one host, made one after the other with the same hooks and \
                  filters; captures of one end; or parts that were cut of one recording and adjoin. \
                  Replay other recordings one by one: the column `recording` identifies their rows in \
                  one data set.\n\n\
                  Example: estats-analyze merge monday tuesday -o both"
)]
pub struct Arguments {
    /// Directories of recordings
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Directory of the recording to make
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// What was made, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let open = |run: &PathBuf| super::open(run);
    let recordings = arguments.runs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let bar = Progress::of("merging", &recordings)?;
    let report = merge(&recordings, &arguments.output)?;
    drop(bar);
    super::cut::print(&report, &arguments.output, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}
