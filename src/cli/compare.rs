// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `compare`: a recording against a Web10G kernel.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use estats::views::compare;

use super::{FINDINGS, print_json};

#[derive(Debug, Args)]
#[command(
    after_help = "FILE is recognised by itself: JSON (connections with `laddr`, `lport`, `raddr`, \
                  `rport` and an object per table; as a list, by side, or one per line), the text \
                  of web10g-logger, or that of web10g-readvars.\n\n\
                  Exit status: 0 every difference is explained, 1 one is not, 2 wrong usage, or \
                  nothing to compare.\n\n\
                  Example: estats-analyze compare run1 --reference web10g.json"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The values of a Web10G kernel for the same connections
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// All variables as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let comparison = compare::recording(&super::open(&arguments.run)?, &arguments.reference)?;
    if arguments.json {
        print_json(&comparison)?;
    } else {
        super::screen().write_all(compare::render::render(&comparison).as_bytes())?;
    }
    if comparison.matched.is_empty() {
        anyhow::bail!("{}", nothing(&arguments.reference, &arguments.run, &comparison));
    }
    Ok(if comparison.counts.differs > 0 { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

fn nothing(reference: &Path, run: &Path, comparison: &compare::Comparison) -> String {
    format!(
        "none of the {} connections of {} is among the {} of {}: they are matched by local and \
         remote address and port, so take the reference of the host that was recorded",
        comparison.only_reference.len(),
        reference.display(),
        comparison.only_here.len(),
        run.display()
    )
}
