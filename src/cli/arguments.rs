// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The options of a recording: flags of `estats-record`, and the keys of its file (`config.rs`).

use std::{ffi::OsString, path::PathBuf, time::Duration};

use estats::{
    capture::{
        Addresses, Attach, CaptureOptions, DIGEST_MAX, Filters, HookSet, Packets, PollsBy,
        Snapshots, Transport,
    },
    log::WriterOptions,
    schema::Hook,
    util::units,
};

use super::choice::Known;
use super::recording::{Best, best};
use super::times::duration;

/// Headings of `--help`.
const FILTERS: &str = "Which connections";
const SNAPSHOTS: &str = "Snapshots";
const PACKETS: &str = "Packets";
const KERNEL: &str = "At the kernel";

#[derive(Debug, clap::Args)]
#[group(id = "recording")]
#[command(group = clap::ArgGroup::new("seen").multiple(true).args(["packets", "interface"]))]
/// The options of a recording.
pub struct RecordArguments {
    /// File with options in TOML: their long names are the keys; what the command line has comes first
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the recording; it must not exist, or be empty [default: estats-PID]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// End after this time (500ms, 30s, 10m)
    #[arg(long, value_parser = duration)]
    pub duration: Option<Duration>,
    /// Bound the recording, keeping the newest (64M, 1G)
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub max_size: Option<u64>,
    /// Bound the recording, keeping this much time (10m, 24h); with --max-size, whichever is reached first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep: Option<Duration>,
    /// Begin a new segment after this size or time (256M, 10m)
    #[arg(long, value_name = "SIZE|TIME", default_value = "256M", value_parser = Rotate::parse)]
    pub rotate: Rotate,
    /// Only connections with one of these local or remote ports (80,443)
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    pub port: Vec<u16>,
    /// No connections with one of these local or remote ports
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    pub not_port: Vec<u16>,
    /// Only connections with a local or remote address in one of these prefixes
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = FILTERS)]
    pub addr: Vec<Addresses>,
    /// No connections with a local or remote address in one of these prefixes
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = FILTERS)]
    pub not_addr: Vec<Addresses>,
    /// Only connections of this process and its children: those they open, accept or use
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = FILTERS)]
    pub pid: Vec<u32>,
    /// Only connections of processes (or threads) with this name: those they open, accept or use
    #[arg(long, value_name = "NAME", value_parser = comm, help_heading = FILTERS)]
    pub comm: Vec<String>,
    /// Only connections of this cgroup (v2) and those below it
    #[arg(long, value_name = "PATH", help_heading = FILTERS)]
    pub cgroup: Vec<String>,
    /// Only connections of this network namespace (name or path)
    #[arg(long, value_name = "NAME", help_heading = FILTERS)]
    pub netns: Vec<String>,
    /// Record the whole host even with a command
    #[arg(long, help_heading = FILTERS)]
    pub all: bool,
    /// Hook set
    #[arg(long, value_name = "SET", default_value = "auto", value_parser = best::<HookSet>(), help_heading = KERNEL)]
    pub hooks: Best<HookSet>,
    /// How records leave the kernel (perf: --hooks kprobe only)
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = best::<Transport>(), help_heading = KERNEL)]
    pub transport: Best<Transport>,
    /// BTF file, for kernels without built-in BTF (/sys/kernel/btf/vmlinux)
    #[arg(long, value_name = "FILE", help_heading = KERNEL)]
    pub btf: Option<PathBuf>,
    /// Do not attach this hook (names: see `check`); variables that need it are NULL
    #[arg(long, value_name = "HOOK", hide_possible_values = true,
          value_parser = Known::new(optional_hook, hook_names), help_heading = KERNEL)]
    pub without: Vec<Hook>,
    /// Shortest time between two reads of a connection's counters; they are also read this long after
    /// its last segment
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration, help_heading = KERNEL)]
    pub resolution: Duration,
    /// Also take a snapshot of every socket at this interval (10ms, 1s)
    #[arg(long, value_name = "INTERVAL", value_parser = duration, help_heading = SNAPSHOTS)]
    pub snapshots: Option<Duration>,
    /// How snapshots read the sockets (netlink: inet_diag)
    #[arg(long, value_name = "HOW", default_value = "auto", requires = "snapshots",
          value_parser = best::<PollsBy>(), help_heading = SNAPSHOTS)]
    pub snapshots_by: Best<PollsBy>,
    /// Snapshots of every Nth socket only, chosen by its cookie
    #[arg(long, value_name = "N", default_value = "1", requires = "snapshots",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = SNAPSHOTS)]
    pub sample: u32,
    /// Skip sockets that have not changed since the last snapshot
    #[arg(long, requires = "snapshots", help_heading = SNAPSHOTS)]
    pub changed_only: bool,
    /// Also record packets at the sockets of this host
    #[arg(long, help_heading = PACKETS)]
    pub packets: bool,
    /// Also record packets at this interface; `all` for all interfaces
    #[arg(long, value_name = "NAME", help_heading = PACKETS)]
    pub interface: Vec<String>,
    /// Print the packets' largest flows so far on standard output, at this interval [default: 1s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", requires = "seen", value_parser = duration, help_heading = PACKETS)]
    pub top: Option<Duration>,
    /// How to attach to interfaces
    #[arg(long, value_name = "HOW", default_value = "auto", requires = "interface",
          value_parser = best::<Attach>(), help_heading = PACKETS)]
    pub attach: Best<Attach>,
    /// Bytes to keep after the IP header of each packet (transport headers are always kept)
    #[arg(long, value_name = "N", default_value = "0",
          value_parser = clap::value_parser!(u32).range(..=i64::from(DIGEST_MAX)), help_heading = PACKETS)]
    pub digest_bytes: u32,
    /// Size of each CPU's ring buffer for packets
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = ring_size, help_heading = PACKETS)]
    pub packet_ring: u32,
    /// Size of each CPU's ring buffer; the ring of connection starts and ends is at least as large
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = ring_size, help_heading = KERNEL)]
    pub ring: u32,
    /// With a command: record its open connections for at most this long after it ends
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "argv",
          value_parser = units::time)]
    pub linger: Duration,
    /// Exit with status 3 if records were lost, even if the command failed
    #[arg(long)]
    pub strict: bool,
    /// Write the recorder's own counters to this file in OpenMetrics text, for a collector that reads files
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// How often the file of --metrics is written; at most once a second
    #[arg(long, value_name = "TIME", default_value = "15s", requires = "metrics", value_parser = duration)]
    pub metrics_interval: Duration,
    /// No status line
    #[arg(short, long)]
    pub quiet: bool,
    /// Record this command's process tree while it runs
    #[arg(last = true, value_name = "COMMAND")]
    pub argv: Vec<OsString>,
}

impl RecordArguments {
    /// How the recording is divided and bounded.
    pub fn log(&self) -> WriterOptions {
        let defaults = WriterOptions::default();
        let (rotate_bytes, rotate_ns) = match self.rotate {
            Rotate::Bytes(n) => (n, defaults.rotate_ns),
            Rotate::Time(t) => (defaults.rotate_bytes, t.as_nanos() as u64),
        };
        let log = WriterOptions { rotate_bytes, rotate_ns, max_bytes: self.max_size, ..defaults };
        let is_time = matches!(self.rotate, Rotate::Time(_));
        self.keep.map_or(log, |keep| {
            log.keeping(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX), is_time)
        })
    }

    /// The same for the library.
    pub fn options(self) -> CaptureOptions {
        let log = self.log();
        CaptureOptions {
            dir: self.output.unwrap_or_else(|| format!("estats-{}", std::process::id()).into()),
            filters: Filters {
                ports: self.port,
                not_ports: self.not_port,
                addresses: self.addr,
                not_addresses: self.not_addr,
                comms: self.comm,
                pids: self.pid,
                cgroups: self.cgroup,
                netns: self.netns,
            },
            hooks: self.hooks.0,
            transport: self.transport.0,
            btf: self.btf,
            without: self.without,
            command: (!self.argv.is_empty()).then_some(self.argv),
            all: self.all,
            linger: self.linger,
            duration: self.duration,
            resolution: self.resolution,
            ring_bytes: self.ring,
            snapshots: self.snapshots.map(|interval| Snapshots {
                interval,
                sample: self.sample,
                changed_only: self.changed_only,
                by: self.snapshots_by.0,
            }),
            packets: (self.packets || !self.interface.is_empty()).then(|| Packets {
                sockets: self.packets,
                interfaces: self.interface,
                attach: self.attach.0,
                digest_bytes: self.digest_bytes,
                ring_bytes: self.packet_ring.max(4096),
            }),
            top: self.top,
            log,
        }
    }
}

/// When a segment ends.
#[derive(Clone, Copy, Debug)]
pub enum Rotate {
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
