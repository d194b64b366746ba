// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats-record: flags and exit codes; the work is in `estats::capture`.

use std::{
    ffi::OsString,
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::Result;
use chrono::Utc;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand};
use estats::{
    capture::{
        self, Addresses, Attach, CaptureError, CaptureOptions, DIGEST_MAX, Filters, HookSet,
        Notice, Packets, PollsBy, Progress, Snapshots, Transport,
    },
    log::WriterOptions,
    schema::Hook,
    util::units,
    util::visible,
    views::traffic,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

#[path = "../cli/advice.rs"]
mod advice;
#[path = "../cli/bash.rs"]
mod bash;
#[path = "../cli/choice.rs"]
mod choice;
#[path = "../cli/mistake.rs"]
mod mistake;
#[path = "../cli/recording.rs"]
mod recording;
#[path = "../cli/shell.rs"]
mod shell;
#[path = "../cli/times.rs"]
mod times;
#[path = "../cli/version.rs"]
mod version;

use choice::Known;
use recording::{Best, best};
use times::duration;

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

/// Headings of `--help`.
const FILTERS: &str = "Which connections";
const SNAPSHOTS: &str = "Snapshots";
const PACKETS: &str = "Packets";
const KERNEL: &str = "At the kernel";

#[derive(clap::Args)]
#[group(id = "recording")]
#[command(group = clap::ArgGroup::new("seen").multiple(true).args(["packets", "interface"]))]
struct RecordArguments {
    /// Directory of the recording; it must not exist, or be empty [default: estats-PID]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// End after this time (500ms, 30s, 10m)
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Bound the recording, keeping the newest (64M, 1G)
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    max_size: Option<u64>,
    /// Bound the recording, keeping this much time (10m, 24h); with --max-size, whichever is reached first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep: Option<Duration>,
    /// Begin a new segment after this size or time (256M, 10m)
    #[arg(long, value_name = "SIZE|TIME", default_value = "256M", value_parser = Rotate::parse)]
    rotate: Rotate,
    /// Only connections with one of these local or remote ports (80,443)
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    port: Vec<u16>,
    /// No connections with one of these local or remote ports
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    not_port: Vec<u16>,
    /// Only connections with a local or remote address in one of these prefixes
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = FILTERS)]
    addr: Vec<Addresses>,
    /// No connections with a local or remote address in one of these prefixes
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = FILTERS)]
    not_addr: Vec<Addresses>,
    /// Only connections of this process and its children: those they open, accept or use
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    pid: Vec<u32>,
    /// Only connections of processes (or threads) with this name: those they open, accept or use
    #[arg(long, value_name = "NAME", value_parser = comm, help_heading = FILTERS)]
    comm: Vec<String>,
    /// Only connections of this cgroup (v2) and those below it
    #[arg(long, value_name = "PATH", help_heading = FILTERS)]
    cgroup: Vec<String>,
    /// Only connections of this network namespace (name or path)
    #[arg(long, value_name = "NAME", help_heading = FILTERS)]
    netns: Vec<String>,
    /// Record the whole host even with a command
    #[arg(long, help_heading = FILTERS)]
    all: bool,
    /// Hook set
    #[arg(long, value_name = "SET", default_value = "auto", value_parser = best::<HookSet>(), help_heading = KERNEL)]
    hooks: Best<HookSet>,
    /// How records leave the kernel (perf: --hooks kprobe only)
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = best::<Transport>(), help_heading = KERNEL)]
    transport: Best<Transport>,
    /// BTF file, for kernels without built-in BTF (/sys/kernel/btf/vmlinux)
    #[arg(long, value_name = "FILE", help_heading = KERNEL)]
    btf: Option<PathBuf>,
    /// Do not attach this hook (names: see `check`); variables that need it are NULL
    #[arg(long, value_name = "HOOK", hide_possible_values = true,
          value_parser = Known::new(optional_hook, hook_names), help_heading = KERNEL)]
    without: Vec<Hook>,
    /// Shortest time between two reads of a connection's counters; they are also read this long after
    /// its last segment
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration, help_heading = KERNEL)]
    resolution: Duration,
    /// Also take a snapshot of every socket at this interval (10ms, 1s)
    #[arg(long, value_name = "INTERVAL", value_parser = duration, help_heading = SNAPSHOTS)]
    snapshots: Option<Duration>,
    /// How snapshots read the sockets (netlink: inet_diag)
    #[arg(long, value_name = "HOW", default_value = "auto", requires = "snapshots",
          value_parser = best::<PollsBy>(), help_heading = SNAPSHOTS)]
    snapshots_by: Best<PollsBy>,
    /// Snapshots of every Nth socket only, chosen by its cookie
    #[arg(long, value_name = "N", default_value = "1", requires = "snapshots",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = SNAPSHOTS)]
    sample: u32,
    /// Skip sockets that have not changed since the last snapshot
    #[arg(long, requires = "snapshots", help_heading = SNAPSHOTS)]
    changed_only: bool,
    /// Also record packets at the sockets of this host
    #[arg(long, help_heading = PACKETS)]
    packets: bool,
    /// Also record packets at this interface; `all` for all interfaces
    #[arg(long, value_name = "NAME", help_heading = PACKETS)]
    interface: Vec<String>,
    /// Print the packets' largest flows so far on standard output, at this interval [default: 1s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", requires = "seen", value_parser = duration, help_heading = PACKETS)]
    top: Option<Duration>,
    /// How to attach to interfaces
    #[arg(long, value_name = "HOW", default_value = "auto", requires = "interface",
          value_parser = best::<Attach>(), help_heading = PACKETS)]
    attach: Best<Attach>,
    /// Bytes to keep after the IP header of each packet (transport headers are always kept)
    #[arg(long, value_name = "N", default_value = "0",
          value_parser = clap::value_parser!(u32).range(..=i64::from(DIGEST_MAX)), help_heading = PACKETS)]
    digest_bytes: u32,
    /// Size of each CPU's ring buffer for packets
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = ring_size, help_heading = PACKETS)]
    packet_ring: u32,
    /// Size of each CPU's ring buffer; the ring of connection starts and ends is at least as large
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = ring_size, help_heading = KERNEL)]
    ring: u32,
    /// With a command: record its open connections for at most this long after it ends
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "argv",
          value_parser = units::time)]
    linger: Duration,
    /// Exit with status 3 if records were lost, even if the command failed
    #[arg(long)]
    strict: bool,
    /// No status line
    #[arg(short, long)]
    quiet: bool,
    /// Record this command's process tree while it runs
    #[arg(last = true, value_name = "COMMAND")]
    argv: Vec<OsString>,
}

#[derive(Clone, Copy)]
enum Rotate {
    Bytes(u64),
    Time(Duration),
}

impl Rotate {
    fn parse(text: &str) -> Result<Self, String> {
        // "10m" is minutes and "10M" megabytes, as in the design of every rotating log.
        let time = text.ends_with(['s', 'm', 'h']);
        if time { duration(text).map(Self::Time) } else { units::bytes(text).map(Self::Bytes) }
    }
}

/// A ring's size is a power of two, and libbpf wants it in 32 bits.
fn ring_size(text: &str) -> Result<u32, String> {
    units::bytes(text)?
        .checked_next_power_of_two()
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| format!("{text:?} is too large for a ring: 2G is the largest"))
}

/// A process's name, which must not be empty. The kernel keeps 15 bytes of a name, so the first 15 bytes
/// are compared.
fn comm(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("the name is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// A hook that may be left out. Without changes of state no connection would ever be seen. Drain and
/// Capture are not attached.
fn optional_hook(name: &str) -> Result<Hook, String> {
    optional_hooks().find(|h| h.name() == name).ok_or_else(|| {
        format!("{name:?} cannot be left out; `estats-record check` lists the hooks that can")
    })
}

fn optional_hooks() -> impl Iterator<Item = Hook> {
    let needed = |h: &Hook| matches!(h, Hook::SetState | Hook::Drain | Hook::Capture);
    Hook::ALL.iter().copied().filter(move |h| !needed(h))
}

fn hook_names() -> Vec<&'static str> {
    optional_hooks().map(Hook::name).collect()
}

/// Takes what is on the terminal's line away.
const CLEAR: &str = "\r\x1b[K";

/// Flows in a table of `--top`.
const TOP_ROWS: usize = 20;

const LOST: u8 = 3;
const UNUSABLE: u8 = 2;
const NO_COMMAND: u8 = 127;
const NOT_RUN: u8 = 126;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|e| in_words(e).exit());
    if let Some(why) = estats::UNFIT_MACHINE {
        say(&format!("estats-record: {}\n", advice::with(&why, Some(advice::UNFIT))));
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
        None => record(cli.record),
    };
    done.unwrap_or_else(|e| {
        // Without its chain: our sentences hold their causes.
        let words = e.downcast_ref().map_or_else(|| e.to_string(), recording::explain);
        say(&format!("estats-record: {words}\n"));
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

fn record(args: RecordArguments) -> Result<ExitCode> {
    let dir = args.output.unwrap_or_else(|| format!("estats-{}", std::process::id()).into());
    let defaults = WriterOptions::default();
    let (rotate_bytes, rotate_ns) = match args.rotate {
        Rotate::Bytes(n) => (n, defaults.rotate_ns),
        Rotate::Time(t) => (defaults.rotate_bytes, t.as_nanos() as u64),
    };
    let log = WriterOptions { rotate_bytes, rotate_ns, max_bytes: args.max_size, ..defaults };
    let is_time = matches!(args.rotate, Rotate::Time(_));
    let keeping =
        |keep: Duration| log.keeping(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX), is_time);
    let options = CaptureOptions {
        dir: dir.clone(),
        filters: Filters {
            ports: args.port,
            not_ports: args.not_port,
            addresses: args.addr,
            not_addresses: args.not_addr,
            comms: args.comm,
            pids: args.pid,
            cgroups: args.cgroup,
            netns: args.netns,
        },
        hooks: args.hooks.0,
        transport: args.transport.0,
        btf: args.btf,
        without: args.without,
        command: (!args.argv.is_empty()).then_some(args.argv),
        all: args.all,
        linger: args.linger,
        duration: args.duration,
        resolution: args.resolution,
        ring_bytes: args.ring,
        snapshots: args.snapshots.map(|interval| Snapshots {
            interval,
            sample: args.sample,
            changed_only: args.changed_only,
            by: args.snapshots_by.0,
        }),
        packets: (args.packets || !args.interface.is_empty()).then(|| Packets {
            sockets: args.packets,
            interfaces: args.interface,
            attach: args.attach.0,
            digest_bytes: args.digest_bytes,
            ring_bytes: args.packet_ring.max(4096),
        }),
        top: args.top,
        log: args.keep.map_or(log, keeping),
    };
    let stop = Arc::new(AtomicUsize::new(0));
    // A terminal that closes ends a recording as ^C does, except under `nohup`. The other two signals
    // always end it: a shell starts background jobs with SIGINT ignored, but an explicit kill is
    // intended.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
    }
    let live = !args.quiet && std::io::stderr().is_terminal();
    // Takes the status line away.
    let clear = if live { CLEAR } else { "" };
    let mut before = Progress::default();
    let outcome = capture::record(&options, &stop, |notice| match notice {
        Notice::Recording => say(&format!("recording to {}\n", dir.display())),
        Notice::Progress(p) if live => {
            say(&format!("{CLEAR}{}", status(p, &before)));
            before = *p;
        }
        Notice::Progress(_) => {}
        Notice::Top(lines) => {
            let now = Utc::now().format("%Y-%m-%d %H:%M:%S");
            if live {
                say(clear);
            }
            // A reader that closed the pipe has seen enough; the recording goes on.
            let table = format!("{now}\n{}\n", traffic::table(lines, TOP_ROWS, ""));
            let _ = std::io::stdout().write_all(visible::lines(&table).as_bytes());
        }
        Notice::NotSeen(it) => say(&format!("not seen: {}\n", it.what)),
        Notice::SlowPoll => say(&format!(
            "{clear}a poll of the sockets took more than 80 % of the interval of --snapshots\n"
        )),
        Notice::NoInterface(name) => {
            say(&format!("interface {name} does not exist yet; recording starts when it appears\n"))
        }
        Notice::Stopped(e) => {
            say(&format!("{clear}estats-record: recording stopped: {}\n", recording::explain(e)))
        }
        Notice::RunsOn(pid) => say(&format!(
            "{clear}the command did not end when it was asked to and runs on as process {pid}\n"
        )),
        Notice::NothingMatched(others) => say(&format!(
            "{clear}no connection matched {}; {others} others were seen\n",
            recording::filters(&options.filters)
        )),
        Notice::Outlive(left) => say(&format!("{clear}{}\n", outlive(left))),
        Notice::StillOpen(n) => say(&format!(
            "{clear}connections of the command that were still open {:?} after its end: {n}; their \
             rows are ended_after, and a longer --linger follows them further\n",
            options.linger
        )),
    })?;
    let p = outcome.progress;
    say(&format!("{clear}recorded {}: {}\n", dir.display(), status(&p, &Progress::default())));
    if p.lost > 0 {
        say(&format!(
            "{} records were lost: affected rows are marked lossy; a larger --ring (of packets: \
             --packet-ring) or a filter avoids it\n",
            p.lost
        ));
    }
    if p.skipped > 0 {
        say(&format!(
            "the kernel skipped {} hook activations that interrupted another: rows open in those \
             seconds are marked lossy\n",
            p.skipped
        ));
    }
    if p.malformed > 0 {
        say(&format!(
            "{} packets had malformed IP headers: they are counted and have no rows\n",
            p.malformed
        ));
    }
    if p.slow_polls > 0 {
        say(&format!(
            "{} polls of the sockets took more than 80 % of --snapshots: a longer interval, a \
             filter or --sample avoids it\n",
            p.slow_polls
        ));
    }
    let lost = p.lost > 0 || outcome.fault.is_some();
    Ok(match outcome.exit_status {
        // A command's own failure is more important than losses.
        Some(code) if code != 0 && !(args.strict && lost) => ExitCode::from(code as u8),
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

/// Writes to standard error. A closed standard error does not end the recording, as a panic of
/// `eprintln!` would.
fn say(text: &str) {
    // Only our own escape sequence is written, which clears the status line.
    let (own, text) = text.strip_prefix(CLEAR).map_or(("", text), |text| (CLEAR, text));
    let _ = std::io::stderr().write_all(format!("{own}{}", visible::lines(text)).as_bytes());
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
