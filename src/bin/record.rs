// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats-record: flags and exit codes; the work is in `estats::capture`.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use chrono::Utc;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand};
use estats::{
    capture::{self, CaptureError, HookSet, Notice, Progress, Transport},
    util::units,
    util::visible,
    views::traffic,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

#[path = "../cli/advice.rs"]
mod advice;
#[path = "../cli/arguments.rs"]
mod arguments;
#[path = "../cli/bash.rs"]
mod bash;
#[path = "../cli/choice.rs"]
mod choice;
#[path = "../cli/config.rs"]
mod config;
#[path = "../cli/manager.rs"]
mod manager;
#[path = "../cli/metrics.rs"]
mod metrics;
#[path = "../cli/mistake.rs"]
mod mistake;
#[path = "../cli/recording.rs"]
mod recording;
#[path = "../cli/reread.rs"]
mod reread;
#[path = "../cli/say.rs"]
mod say;
#[path = "../cli/shell.rs"]
mod shell;
#[path = "../cli/times.rs"]
mod times;
#[path = "../cli/version.rs"]
mod version;

use arguments::RecordArguments;
use config::{Mistake, Parsed};
use manager::Manager;
use metrics::Metrics;
use recording::{Best, best};
use reread::Reread;
use say::{CLEAR, fail, say, warn};

/// Record the TCP statistics of this host's connections.
#[derive(Parser)]
#[command(
    name = "estats-record",
    version = version::VERSION.as_str(),
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        estats-record -o run1 -- iperf3 -c 10.0.0.2 -t 30     one command and its children\n  \
        estats-record -o run1 --duration 30s                  the whole host\n  \
        estats-record -o run1 --port 443 --max-size 1G        a bounded flight recorder\n  \
        estats-record -o run1 --keep 10m                      always the last ten minutes\n  \
        estats-record -o run1 --snapshots 10ms                also tcp_info of every socket\n  \
        estats-record check                                   what this kernel offers"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    record: RecordArguments,
}

#[derive(Subcommand)]
enum Sub {
    /// Show what this kernel offers: hook points, and the variables they give
    Check {
        /// The hook set to try
        #[arg(long, value_name = "SET", default_value = "auto", value_parser = best::<HookSet>())]
        hooks: Best<HookSet>,
        /// How records leave the kernel
        #[arg(long, value_name = "HOW", default_value = "auto", value_parser = best::<Transport>())]
        transport: Best<Transport>,
        /// BTF file, for kernels without built-in BTF
        #[arg(long, value_name = "FILE")]
        btf: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Also print the verifier's last lines about each program that the kernel refuses
        #[arg(long, conflicts_with = "json")]
        verbose: bool,
    },
    /// Completions of this program for a shell
    Completions(shell::Completions),
    /// Man pages of this program
    #[command(hide = true)]
    Man(shell::Man),
}

/// Flows in a table of `--top`.
const TOP_ROWS: usize = 20;

const LOST: u8 = 3;
const UNUSABLE: u8 = 2;
const NO_COMMAND: u8 = 127;
const NOT_RUN: u8 = 126;

fn main() -> ExitCode {
    let line: Vec<_> = std::env::args_os().collect();
    let (cli, reread) = match config::parse::<Cli>(&line) {
        Ok(Parsed { options, file, given }) => (
            options,
            Reread::new(line, file, given, |line| {
                let Parsed { options, file, given } = config::parse::<Cli>(line)?;
                Ok(Parsed { options: options.record, file, given })
            }),
        ),
        Err(Mistake::Line(e)) => in_words(*e).exit(),
        Err(Mistake::File(words)) => {
            fail(&format!("estats-record: {words}\n"));
            return ExitCode::from(UNUSABLE);
        }
    };
    if let Some(why) = estats::UNFIT_MACHINE {
        fail(&format!("estats-record: {}\n", advice::with(&why, Some(advice::UNFIT))));
        return ExitCode::from(UNUSABLE);
    }
    let done = match cli.command {
        Some(Sub::Check { hooks, transport, btf, json, verbose }) => {
            capture::check::check(hooks.0, transport.0, btf.as_deref())
                .map_err(anyhow::Error::from)
                .and_then(|report| print_check(&report, json, verbose))
        }
        Some(Sub::Completions(arguments)) => shell::completions(&arguments, Cli::command()),
        Some(Sub::Man(arguments)) => shell::man(&arguments, Cli::command()),
        None => record(cli.record, reread),
    };
    done.unwrap_or_else(|e| {
        // Without its chain: our sentences hold their causes.
        let words = e.downcast_ref().map_or_else(|| e.to_string(), recording::explain);
        fail(&format!("estats-record: {words}\n"));
        // As env(1), nohup(1) and shells have it.
        ExitCode::from(match e.downcast_ref() {
            Some(CaptureError::Command { source, .. }) if source.kind() == ErrorKind::NotFound => {
                NO_COMMAND
            }
            Some(CaptureError::Command { .. }) => NOT_RUN,
            _ => UNUSABLE,
        })
    })
}

/// A command line that is wrong. A word that no option takes is the command to record, after a forgotten `--`.
fn in_words(mut error: clap::Error) -> clap::Error {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => word.clone(),
        _ => return error,
    };
    if error.kind() == clap::error::ErrorKind::UnknownArgument {
        if let Some(error) = mistake::command(&Cli::command(), &word) {
            return error;
        }
        let tip = format!("a command to record stands after `--`: estats-record ... -- {word} ...");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn print_check(
    report: &capture::check::CheckReport,
    json: bool,
    verbose: bool,
) -> Result<ExitCode> {
    let text = if json {
        serde_json::to_string_pretty(report)? + "\n"
    } else {
        let logs = if verbose { report.logs() } else { String::new() };
        visible::lines(&(report.to_string() + &logs)).into_owned()
    };
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn record(args: RecordArguments, mut reread: Reread) -> Result<ExitCode> {
    let strict = args.strict;
    let live = !args.quiet && std::io::stderr().is_terminal();
    let mut metrics = Metrics::default();
    metrics.set(args.metrics.clone(), args.metrics_interval);
    let options = args.options();
    let dir = options.dir.clone();
    let stop = Arc::new(AtomicUsize::new(0));
    // Both always end it: a shell starts background jobs with SIGINT ignored, but an explicit kill is intended.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
    }
    // Never ends it, also when a terminal closes. Under nohup it stays ignored.
    let hung_up = Arc::new(AtomicBool::new(false));
    if !is_ignored(SIGHUP) {
        signal_hook::flag::register(SIGHUP, Arc::clone(&hung_up))?;
    }
    let mut manager = Manager::of_environment().unwrap_or_else(|e| {
        warn(&format!(
            "the service manager at NOTIFY_SOCKET hears nothing of this recording: {e}\n"
        ));
        Manager::default()
    });
    // Takes the status line away.
    let clear = if live { CLEAR } else { "" };
    let mut before = Progress::default();
    let outcome = capture::record(&options, &stop, |notice| match notice {
        Notice::Recording => {
            say(&format!("recording to {}\n", dir.display()));
            manager.ready(&format!("recording to {}", visible::visible(&dir.to_string_lossy())));
        }
        Notice::Progress(p, counted) => {
            metrics
                .progress(p, counted)
                .into_iter()
                .for_each(|words| warn(&format!("{clear}{words}\n")));
            manager.state(|| status(p, &Progress::default()));
            if live {
                say(&format!("{CLEAR}{}", status(p, &before)));
                before = *p;
            }
        }
        Notice::Round(log) => {
            manager.alive();
            if hung_up.swap(false, Ordering::Relaxed) {
                let news = reread.again(log);
                warn(&format!("{clear}{}\n", news.words));
                *log = news.log.unwrap_or(*log);
                if let Some(new) = news.metrics {
                    metrics.set(new.metrics, new.metrics_interval);
                }
            }
        }
        Notice::Ending => manager.stopping(),
        Notice::Top(lines) => {
            let now = Utc::now().format("%Y-%m-%d %H:%M:%S");
            if live {
                say(clear);
            }
            // A reader that closed the pipe has seen enough; the recording goes on.
            let table = format!("{now}\n{}\n", traffic::table(lines, TOP_ROWS, ""));
            let _ = std::io::stdout().write_all(visible::lines(&table).as_bytes());
        }
        Notice::NotSeen(it) => warn(&format!("not seen: {}\n", it.what)),
        Notice::SlowPoll => warn(&format!(
            "{clear}a poll of the sockets took more than 80 % of the interval of --snapshots\n"
        )),
        Notice::NoInterface(name) => warn(&format!(
            "interface {name} does not exist yet; recording starts when it appears\n"
        )),
        Notice::Stopped(e) => {
            fail(&format!("{clear}estats-record: recording stopped: {}\n", recording::explain(e)))
        }
        Notice::RunsOn(pid) => warn(&format!(
            "{clear}the command did not end when it was asked to and runs on as process {pid}\n"
        )),
        Notice::NothingMatched(others) => warn(&format!(
            "{clear}no connection matched {}; {others} others were seen\n",
            recording::filters(&options.filters)
        )),
        Notice::Outlive(left) => warn(&format!("{clear}{}\n", outlive(left))),
        Notice::StillOpen(n) => warn(&format!(
            "{clear}connections of the command that were still open {:?} after its end: {n}; their \
             rows are ended_after, and a longer --linger follows them further\n",
            options.linger
        )),
    })?;
    let p = outcome.progress;
    metrics
        .end(&p, &outcome.counted)
        .into_iter()
        .for_each(|words| warn(&format!("{clear}{words}\n")));
    say(&format!("{clear}recorded {}: {}\n", dir.display(), status(&p, &Progress::default())));
    if p.lost > 0 {
        warn(&format!(
            "{} records were lost: affected rows are marked lossy; a larger --ring (of packets: \
             --packet-ring) or a filter avoids it\n",
            p.lost
        ));
    }
    if p.skipped > 0 {
        warn(&format!(
            "the kernel skipped {} hook activations that interrupted another: rows open in those \
             seconds are marked lossy\n",
            p.skipped
        ));
    }
    if p.malformed > 0 {
        warn(&format!(
            "{} packets had malformed IP headers: they are counted and have no rows\n",
            p.malformed
        ));
    }
    if p.slow_polls > 0 {
        warn(&format!(
            "{} polls of the sockets took more than 80 % of --snapshots: a longer interval, a \
             filter or --sample avoids it\n",
            p.slow_polls
        ));
    }
    let lost = p.lost > 0 || outcome.fault.is_some();
    Ok(match outcome.exit_status {
        // A command's own failure is more important than losses.
        Some(code) if code != 0 && !(strict && lost) => ExitCode::from(code as u8),
        _ if lost => ExitCode::from(LOST),
        _ => ExitCode::SUCCESS,
    })
}

/// Processes that are named at most.
const NAMED: usize = 8;

/// Which processes live on without the command that they came of.
fn outlive(left: &[(u32, String)]) -> String {
    let mut names: Vec<String> = left
        .iter()
        .take(NAMED)
        .map(|(pid, comm)| format!("{pid} ({})", visible::visible(comm)))
        .collect();
    if left.len() > NAMED {
        names.push(format!("and {} more", left.len() - NAMED));
    }
    format!(
        "processes of the command outlive it: {}; what they do after the end of this recording is \
         not in it",
        names.join(", ")
    )
}

/// Whether whoever started us has this signal ignored.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is valid, and the call only reads the one in force.
    unsafe {
        let mut found: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut found) == 0
            && found.sa_sigaction == libc::SIG_IGN
    }
}

/// One line: counts so far, and rates since `before`.
fn status(p: &Progress, before: &Progress) -> String {
    let seconds = (p.elapsed - before.elapsed).as_secs_f64().max(0.001);
    let packets = p.packets.map_or_else(String::new, |n| {
        let since = n - before.packets.unwrap_or(0);
        format!("{} packets/s  ", units::human_count(since as f64 / seconds))
    });
    format!(
        "{:02}:{:02}  {} connections ({} open)  {} records/s  {packets}{}/s  {} lost",
        p.elapsed.as_secs() / 60,
        p.elapsed.as_secs() % 60,
        p.connections,
        p.open,
        units::human_count((p.records - before.records) as f64 / seconds),
        // A removed segment (--max-size, --keep) makes a recording smaller.
        units::human_bytes((p.bytes.saturating_sub(before.bytes) as f64 / seconds) as u64),
        p.lost
    )
}
