// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The commands of `estats-analyze`.

mod advice;
mod anonymize;
mod audit;
mod bash;
mod choice;
mod compare;
mod cut;
mod diff;
mod events;
mod explain;
mod export;
mod flows;
mod import;
mod info;
mod merge;
mod mistake;
mod pipe;
mod progress;
mod replay;
mod report;
mod rtt;
mod shell;
mod sql;
mod summary;
mod times;
mod variables;
mod version;

use std::io::{self, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use estats::log::{LogError, Recording};
use estats::replay as replaying;
use estats::util::visible::{self, Screen};

pub use explain::explain;

/// Why this machine is unfit, and what to do about it.
pub fn unfit(why: &str) -> String {
    advice::with(&why, Some(advice::UNFIT))
}

/// Something was found.
const FINDINGS: u8 = 1;
/// Wrong usage or environment; clap uses the same for wrong flags.
pub const USAGE: u8 = 2;
/// Done, but the recording lost data.
const LOST: u8 = 3;

/// Replays recordings of estats-record into tables, and shows what is in them.
///
/// With a recording alone: replay if the tables are missing or were made of something else, then a
/// summary. Exit status: 0 fine, 1 findings, 2 wrong usage or environment, 3 done, but the
/// recording lost data, or is not whole.
#[derive(Debug, Parser)]
#[command(
    name = "estats-analyze",
    version = version::VERSION.as_str(),
    arg_required_else_help = true,
    after_help = "Example: estats-analyze run1"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Directory of a recording
    run: Option<PathBuf>,
    /// No progress bar, also where stderr is a terminal
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a recording, with packets only, from a capture of tcpdump or Wireshark
    ImportPcap(import::Arguments),
    /// Make a recording from a part of another: by time, by connection
    Cut(cut::Arguments),
    /// Make one recording from several consecutive ones of the same host
    Merge(merge::Arguments),
    /// Anonymise a recording for sharing
    Anonymize(anonymize::Arguments),
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
    /// Check every frame and every sequence number; exit status 1 if something is wrong
    #[command(after_help = "Example: estats-analyze verify run1")]
    Verify {
        /// Directory of a recording
        run: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The connections as a table: sorted, filtered, or in groups
    Summary(summary::Arguments),
    /// Write one HTML file: all connections as a table, and plots of the largest ones, which can be zoomed
    Report(report::Arguments),
    /// Packets and bytes between two ends, as a table, for recordings with packets
    Flows(flows::Arguments),
    /// What happened, one line each: connections opened and closed, retransmissions, timeouts, zero windows
    Events(events::Arguments),
    /// Check every connection against the kernel's tcp_info
    Audit(audit::Arguments),
    /// Compare two recordings, connection by connection, or repeated runs: what differs, and how certain that is
    Diff(diff::Arguments),
    /// Compare with the values of a Web10G (RFC 4898) kernel
    Compare(compare::Arguments),
    /// Passive RTT of TCP, ICMP, QUIC and DNS in ePPing's formats, and RTT three ways
    Rtt(rtt::Arguments),
    /// Query the tables of recordings in SQL; each Parquet file is a table of its name, and its column
    /// `run` names the recording
    Sql(sql::Arguments),
    /// Write a recording, or a table of it, in another format
    Export(export::Arguments),
    /// Completions of this program for a shell
    Completions(shell::Completions),
    /// Man pages of this program
    #[command(hide = true)]
    Man(shell::Man),
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

fn misspelt(word: &str) -> Option<clap::Error> {
    mistake::command(&Arguments::command(), word)
}

/// A command line that is wrong. A mistyped command is taken for a recording, and then the word after it
/// is what is complained about.
pub fn in_words(error: clap::Error) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return error;
    }
    let words = std::env::args_os().skip(1);
    let first =
        words.filter_map(|word| word.into_string().ok()).find(|word| !word.starts_with('-'));
    let first = first.filter(|word| !Path::new(word).exists());
    first.and_then(|word| misspelt(&word)).unwrap_or(error)
}

/// Runs the command.
///
/// # Errors
/// One sentence with what to do; or a broken pipe on stdout.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    progress::set_quiet(arguments.quiet);
    let code = match command(arguments) {
        Err(e) if is_damage(&e) => {
            eprintln!("estats-analyze: {}", visible::lines(&explain(&e)));
            return Ok(ExitCode::from(LOST));
        }
        code => code?,
    };
    // A result from an incomplete recording is incomplete too, so the exit status is the same.
    let is_fine = code == ExitCode::SUCCESS && NOT_WHOLE.load(Ordering::Relaxed);
    Ok(if is_fine { ExitCode::from(LOST) } else { code })
}

/// Whether a frame could not be read that nothing counts as missing.
fn is_damage(error: &anyhow::Error) -> bool {
    matches!(explain::log_error(error), Some(LogError::Corrupt { .. }))
}

/// A recording was opened that is incomplete, or that lost records.
static NOT_WHOLE: AtomicBool = AtomicBool::new(false);

/// Opens a recording for any command, and prints one sentence about what is missing from it and one about
/// what was lost.
fn open(run: &Path) -> anyhow::Result<Recording> {
    let recording = Recording::open(run)?;
    let survey = recording.survey()?;
    if !survey.is_whole() {
        NOT_WHOLE.store(true, Ordering::Relaxed);
        eprintln!("estats-analyze: {}", visible::visible(&explain::survey(survey)));
    }
    let lost = replaying::lost(&recording)?;
    if lost > 0 {
        NOT_WHOLE.store(true, Ordering::Relaxed);
        eprintln!(
            "estats-analyze: {lost} records were lost while recording: rows they may belong to are \
             marked lossy"
        );
    }
    Ok(recording)
}

fn command(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // Not left to clap, for which --quiet before a command would be in conflict with it, too.
    if let (Some(_), Some(run)) = (&arguments.command, &arguments.run) {
        anyhow::bail!(
            "put the command before the recording: estats-analyze COMMAND {}",
            run.display()
        );
    }
    match (arguments.command, arguments.run) {
        (Some(Command::ImportPcap(arguments)), _) => import::run(arguments),
        (Some(Command::Cut(arguments)), _) => cut::run(arguments),
        (Some(Command::Merge(arguments)), _) => merge::run(&arguments),
        (Some(Command::Anonymize(arguments)), _) => anonymize::run(&arguments),
        (Some(Command::Replay(arguments)), _) => replay::run(&arguments),
        (Some(Command::Info { run, json }), _) => info::run(&run, json),
        (Some(Command::Verify { run, json }), _) => verify(&run, json),
        (Some(Command::Summary(arguments)), _) => summary::run(&arguments),
        (Some(Command::Report(arguments)), _) => report::run(&arguments),
        (Some(Command::Flows(arguments)), _) => flows::run(&arguments),
        (Some(Command::Events(arguments)), _) => events::run(&arguments),
        (Some(Command::Audit(arguments)), _) => audit::run(&arguments),
        (Some(Command::Diff(arguments)), _) => diff::run(&arguments),
        (Some(Command::Compare(arguments)), _) => compare::run(&arguments),
        (Some(Command::Rtt(arguments)), _) => rtt::run(&arguments),
        (Some(Command::Sql(arguments)), _) => sql::run(&arguments),
        (Some(Command::Export(arguments)), _) => export::run(&arguments),
        (Some(Command::Completions(arguments)), _) => {
            shell::completions(&arguments, Arguments::command())
        }
        (Some(Command::Man(arguments)), _) => shell::man(&arguments, Arguments::command()),
        (Some(Command::Variables { markdown, json }), _) => variables::run(markdown, json),
        (None, Some(run)) => {
            if let Some(error) = run.to_str().filter(|_| !run.exists()).and_then(misspelt) {
                error.exit();
            }
            let tables = summary::print_all(&run)?;
            let mut out = screen();
            writeln!(out, "tables in {}", tables.dir.display())?;
            Ok(replay::exit_code(tables.manifest.missing()))
        }
        (None, None) => anyhow::bail!("name a recording, the directory estats-record made"),
    }
}

/// Standard output for text that a person reads: nothing that a recording holds gets at the terminal.
fn screen() -> Screen<StdoutLock<'static>> {
    Screen(io::stdout().lock())
}

/// Pretty JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    io::stdout().lock().write_all(visible::json(&text).as_bytes())?;
    Ok(())
}

fn verify(run: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let recording = Recording::open(run)?;
    let bar = progress::Progress::of("verifying", std::slice::from_ref(&recording))?;
    let report = recording.verify()?;
    drop(bar);
    if json {
        print_json(&report)?;
    } else {
        writeln!(screen(), "{report}")?;
    }
    Ok(if !report.ok() {
        ExitCode::from(FINDINGS)
    } else {
        replay::exit_code(report.lost().max(report.carried))
    })
}
