//! The commands of `estats-analyze`.

mod audit;
mod compare;
mod export;
mod import;
mod info;
mod replay;
mod sql;
mod variables;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use estats::log::Recording;
use estats::summary;

/// Something was found.
const FINDINGS: u8 = 1;
/// Wrong usage or environment; clap uses the same for wrong flags.
pub const USAGE: u8 = 2;
/// Done, but the recording lost data.
const LOST: u8 = 3;

/// Replays recordings of estats-record into tables, and shows what is in them.
///
/// With a recording alone: replay if the tables are missing or older than the recording, then a
/// summary. Exit status: 0 fine, 1 findings, 2 wrong usage or environment, 3 done, but the
/// recording lost data.
#[derive(Debug, Parser)]
#[command(
    name = "estats-analyze",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Example: estats-analyze run1"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Directory of a recording
    run: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a recording, with packets only, of a capture of tcpdump or Wireshark
    ImportPcap(import::Arguments),
    /// Replay a recording into Parquet tables
    Replay(replay::Arguments),
    /// What is in a recording: host, kernel, command, duration, connections, records, loss
    #[command(after_help = "Example: estats-analyze info run1")]
    Info {
        /// Directory of a recording
        run: PathBuf,
        /// The whole manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// Test every frame and every sequence number; exit status 1 if something is wrong
    #[command(after_help = "Example: estats-analyze verify run1")]
    Verify {
        /// Directory of a recording
        run: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The connections as a table
    #[command(after_help = "Example: estats-analyze summary run1 --json | jq '.[].remote'")]
    Summary {
        /// Directory of a recording
        run: PathBuf,
        /// Show so many connections, those with the most octets
        #[arg(long, default_value_t = 50, value_name = "N")]
        top: usize,
        /// All connections as JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare every connection with the kernel's own account of it
    Audit(audit::Arguments),
    /// Compare with what a Web10G (RFC 4898) kernel said of the same connections
    Compare(compare::Arguments),
    /// Ask the tables of recordings in SQL; each Parquet file is a table of its name, and its column
    /// `run` names the recording
    Sql(sql::Arguments),
    /// Write a recording in another tool's format to standard output
    #[command(
        after_help = "Example: estats-analyze export run1 --format mlab-jsonl | zstd > run1.jsonl.zst"
    )]
    Export {
        /// Directory of a recording
        run: PathBuf,
        /// The format
        #[arg(long)]
        format: export::Format,
    },
    /// The variables: RFC names, units, meaning and coverage
    #[command(after_help = "Example: estats-analyze variables --json | jq '.[].name'")]
    Variables {
        /// As Markdown: docs/variables.md
        #[arg(long)]
        markdown: bool,
        /// As JSON
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// One sentence that says what to do; or a broken pipe on stdout.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match (arguments.command, arguments.run) {
        (Some(Command::ImportPcap(arguments)), _) => import::run(arguments),
        (Some(Command::Replay(arguments)), _) => replay::run(&arguments),
        (Some(Command::Info { run, json }), _) => info::run(&run, json),
        (Some(Command::Verify { run, json }), _) => verify(&run, json),
        (Some(Command::Summary { run, top, json }), _) => {
            let tables = replay::ensure_tables(&run)?;
            print_summary(&tables.dir, top, json)?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(Command::Audit(arguments)), _) => audit::run(&arguments),
        (Some(Command::Compare(arguments)), _) => compare::run(&arguments),
        (Some(Command::Sql(arguments)), _) => sql::run(&arguments),
        (Some(Command::Export { run, format }), _) => export::run(&run, format),
        (Some(Command::Variables { markdown, json }), _) => variables::run(markdown, json),
        (None, Some(run)) => {
            let tables = replay::ensure_tables(&run)?;
            print_summary(&tables.dir, 50, false)?;
            let mut out = io::stdout().lock();
            writeln!(out, "{}", tables.manifest.audit)?;
            writeln!(out, "tables in {}", tables.dir.display())?;
            Ok(replay::exit_code(tables.manifest.lost_records))
        }
        (None, None) => anyhow::bail!("name a recording, the directory estats-record made"),
    }
}

fn print_summary(dir: &Path, top: usize, json: bool) -> anyhow::Result<()> {
    let lines = summary::read(dir)?;
    if json {
        return print_json(&lines);
    }
    io::stdout().lock().write_all(summary::render(&lines, top).as_bytes())?;
    Ok(())
}

/// Pretty JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn verify(run: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let report = Recording::open(run)?.verify()?;
    if json {
        print_json(&report)?;
    } else {
        writeln!(io::stdout().lock(), "{report}")?;
    }
    Ok(if !report.ok() { ExitCode::from(FINDINGS) } else { replay::exit_code(report.lost()) })
}
