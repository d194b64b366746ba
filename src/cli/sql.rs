// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `sql`: the tables of one recording or more as polars sees them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

#[derive(Debug, Args)]
#[command(override_usage = "estats-analyze sql [OPTIONS] <RUN>... <STATEMENT>")]
#[command(after_help = "Examples:
  estats-analyze sql run1 \"SELECT RemPort, SegsRetrans FROM estats ORDER BY SegsRetrans DESC\"
  estats-analyze sql cubic bbr --csv \\
      \"SELECT run, SUM(SegsRetrans) AS retrans FROM estats GROUP BY run ORDER BY run\"")]
#[cfg_attr(not(feature = "query"), allow(dead_code, reason = "asked for, and refused"))]
pub struct Arguments {
    /// Directories of recordings, then one statement
    // One list, or no option could stand between the two.
    #[arg(required = true, value_name = "RUN")]
    words: Vec<OsString>,
    /// As JSON, an object per row
    #[arg(long, conflicts_with_all = ["csv", "parquet"])]
    json: bool,
    /// As CSV with a header; NULL is empty
    #[arg(long, conflicts_with = "parquet")]
    csv: bool,
    /// Into a Parquet file
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
}

/// Prints or writes the answer.
#[cfg(feature = "query")]
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    use std::path::Path;

    use estats::views::query::{Run, sql};

    let (recordings, statement) = match &arguments.words[..] {
        [recordings @ .., statement] if !recordings.is_empty() => (recordings, statement),
        _ => anyhow::bail!("name a recording and then a statement: sql run1 \"SELECT ...\""),
    };
    let statement =
        statement.to_str().ok_or_else(|| anyhow::anyhow!("the statement is not UTF-8"))?;
    let mut runs = Vec::new();
    for run in recordings.iter().map(Path::new) {
        // Without the separator that a shell's completion leaves behind.
        let name: PathBuf = run.components().collect();
        let tables = super::replay::ensure_tables(run)?.dir;
        runs.push(Run { name: name.to_string_lossy().into_owned(), tables });
    }
    let answer = sql(&runs, statement)?;
    if let Some(file) = &arguments.parquet {
        answer.write(file)?;
        eprintln!("estats-analyze: {} rows in {}", answer.rows().len(), file.display());
    } else if arguments.json {
        super::print_json(&answer)?;
    } else {
        let text = if arguments.csv { answer.csv() } else { answer.text() };
        super::screen().write_all(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// This build has no polars.
#[cfg(not(feature = "query"))]
pub fn run(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "this estats-analyze was built without SQL: build it with `cargo build --release`, which \
         includes the `query` feature"
    )
}
