// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `audit`: the values that replay computes from the stream, against tcp_info read at the same instant.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use estats::engine::audit::Verdict;
use estats::replay::{self, Keep};

use super::{FINDINGS, print_json};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 nothing differs, 1 something does.\n\nExample: estats-analyze audit run1"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// Show what agrees too
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let keep = if arguments.all { Keep::All } else { Keep::Findings };
    let report = replay::audit(&super::open(&arguments.run)?, keep)?;
    if arguments.json {
        print_json(&report)?;
    } else {
        let mut out = super::screen();
        // Reasons once, with how many comparisons each takes.
        let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for connection in &report.connections {
            for c in &connection.comparisons {
                if c.verdict == Verdict::NotComparable {
                    *reasons.entry((c.relation.as_str(), c.reason)).or_default() += 1;
                    continue;
                }
                let side = |v: Option<i64>| v.map_or_else(|| "NULL".to_owned(), |v| v.to_string());
                // A witness that was not there need not be quoted.
                let packets = c.packets.map_or_else(String::new, |n| format!(", {n} in packets"));
                writeln!(
                    out,
                    "connection {} ({}): {}: {}: {} in the tables, {} in the kernel{packets}",
                    connection.conn_id,
                    connection.name,
                    c.verdict,
                    c.relation,
                    side(c.replayed),
                    side(c.kernel)
                )?;
            }
        }
        for ((relation, reason), n) in reasons {
            writeln!(out, "not comparable in {n}: {relation}: {reason}")?;
        }
        writeln!(out, "{}", report.counts)?;
    }
    Ok(if report.counts.differs > 0 { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}
