// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! manifest.json: what was recorded, where, how, and the totals at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::source::Files;
use super::{FIRST_FORMAT_VERSION, FORMAT_VERSION, LogError, Namespace};
use crate::schema::counting::Recount;
use crate::schema::{Hook, Quality, Var};
use crate::util::private;

pub(super) const FILE_NAME: &str = "manifest.json";
/// No manifest of the recorder is larger. It has some 15,000 segments at most (`MANY` of writer/segments.rs), each with five files,
/// which come to 11 MB and 450,000 values, and the settings of 2,000 namespaces, which come to 16 MB and 460,000 values.
const MAX_BYTES: u64 = 32 << 20;
/// Nor has one more values. A value that takes three octets of text may take a hundred of memory.
const MAX_VALUES: usize = 1_000_000;

/// Whether a document of a text has more values of JSON than these. It need not be JSON.
pub(crate) fn has_more_values(text: &[u8], most: usize) -> bool {
    let (mut values, mut depth, mut in_text, mut escaped) = (0, 0_u64, false, false);
    for byte in text {
        if values > most {
            return true;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' => values += 1,
            b'[' | b'{' => (values, depth) = (values + 1, depth + 1),
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                values = if depth == 0 { 0 } else { values };
            }
            _ => {}
        }
    }
    values > most
}

/// The manifest of a recording. Fields that this build does not know are ignored, and those that
/// are absent have their defaults, so the format can gain fields without a new version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Version of the recording's format; the writer fills it in.
    pub format_version: u32,
    /// UUID of the recording.
    pub recording: String,
    /// Version of the program that made it.
    pub tool_version: String,
    /// The machine it was made on.
    pub host: Host,
    /// The hook set: "tracepoint", "fentry", "kprobe", or "packets" for an imported capture.
    pub hook_set: String,
    /// Every hook with its fate.
    pub hooks: Vec<HookStatus>,
    /// Every variable with what the attached hooks make of it.
    pub variables: Vec<VariableStatus>,
    /// Version of what the recorder's programs count ([`crate::schema::counting`]); absent: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counting: Option<u32>,
    /// What the recorder could not see, as it found when it began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<NotSeen>,
    /// The recorder's options.
    pub options: RecordOptions,
    /// The command that was run while recording, if one was.
    pub command: Option<Vec<String>>,
    /// Its exit status: the code, or 128 + the signal that ended it.
    pub exit_status: Option<i32>,
    /// The clocks at the beginning.
    pub started: ClockSample,
    /// The clocks at the end; absent while recording.
    pub ended: Option<ClockSample>,
    /// Interfaces whose packets were recorded.
    pub interfaces: Vec<Interface>,
    /// TCP sysctls in the recorder's own network namespace, by path below /proc/sys with dots. Those of
    /// the connections are in `namespaces`.
    pub sysctls: BTreeMap<String, String>,
    /// Queueing disciplines in the recorder's own network namespace, one line of text each.
    pub qdiscs: Vec<String>,
    /// What the kernel calls the reasons for which it drops packets; absent where its events have none.
    #[serde(skip_serializing_if = "DropReasons::is_empty")]
    pub drop_reasons: DropReasons,
    /// The network namespaces that had recorded connections, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Where the packets come from, if the recording was made from a capture.
    pub import: Option<Import>,
    /// What was done to make it from other recordings, in order; empty for one that a recorder or
    /// an import made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<Derivation>,
    /// The segments as they were when the last was ended; empty while recording.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentEntry>,
    /// The totals at the end. Absent: the recording was not closed cleanly.
    pub totals: Option<Totals>,
}

/// The kernel's names of reasons for which it drops packets: another kernel has other numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DropReasons {
    /// `enum skb_drop_reason` without SKB_DROP_REASON_, by number.
    pub names: BTreeMap<u32, String>,
    /// `enum skb_drop_reason_subsys` without SKB_DROP_REASON_SUBSYS_: the subsystem of a reason is in its high
    /// 16 bits, and names its own reasons.
    pub subsystems: BTreeMap<u32, String>,
}

impl DropReasons {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.subsystems.is_empty()
    }

    /// The number of a reason of the kernel's own; else one that no reason has.
    pub fn number(&self, name: &str) -> u64 {
        let number = self.names.iter().find(|(_, known)| *known == name);
        number.map_or(u32::MAX.into(), |(number, _)| u64::from(*number))
    }

    /// The name of a reason: of a subsystem's own the subsystem and the number; else the number.
    pub fn name(&self, number: u32) -> String {
        if let Some(name) = self.names.get(&number) {
            return name.clone();
        }
        match self.subsystems.get(&(number >> 16)) {
            Some(subsystem) if number >> 16 > 0 => format!("{subsystem}_{}", number & 0xffff),
            Some(_) | None => number.to_string(),
        }
    }
}

/// One segment: with these, a look at its bytes proves that it is whole and in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentEntry {
    /// Name of the stream.
    pub stream: String,
    /// Number of the segment.
    pub number: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// CRC-32 of the file's bytes, that of zlib.
    pub crc32: u32,
}

/// One step on the way from recordings to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Derivation {
    /// "cut", "merge" or "anonymize".
    pub by: String,
    /// UUIDs of the recordings it was made from, in order of time.
    pub of: Vec<String>,
    /// cut: records from this time on, CLOCK_MONOTONIC; absent if from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ns: Option<u64>,
    /// cut: records before this time; absent if to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ns: Option<u64>,
    /// cut: numbers of the connections, as in the tables of what was cut; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<u64>,
    /// cut: address prefixes, either side; empty for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// cut: ports, either side; empty for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// The capture that a recording was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Import {
    /// Name of the file, without its directory.
    pub file: String,
    /// "pcap" or "pcapng", with " in gzip" or " in zstd".
    pub format: String,
    /// The interfaces of the capture, by their numbers.
    pub interfaces: Vec<ImportedInterface>,
    /// Packets in the capture.
    pub packets: u64,
    /// Packets that have no row, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Packets that the capturing program dropped, by its own count; absent if the capture has no count.
    pub dropped: Option<u64>,
    /// Layers that were removed to find IP, by name, and the number of packets of each: "MPLS", "PPPoE";
    /// with `--inner` also "GRE", "VXLAN".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub within: BTreeMap<String, u64>,
    /// Tunnels that were not looked into, or could not be, by name: their packets stand for themselves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tunnels: BTreeMap<String, u64>,
    /// Interfaces that are one place, by number: a tap's two, one of several sections, those of a
    /// bridge. A flow is what all of one place have of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Vec<u32>>,
    /// Where and how the file ended too early; absent if it is whole.
    pub truncated: Option<String>,
    /// Addresses or prefixes whose end is the recorded one.
    pub local: Vec<String>,
    /// How they were found: "option", "capture" (it states the direction of packets), "ttl", "common"
    /// (in every packet) or "opener" (of each connection, if nothing better is known).
    pub local_by: String,
}

/// An interface of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportedInterface {
    /// Its number, as in the column `interface`.
    pub number: u32,
    /// Its name; absent where the format has none.
    pub name: Option<String>,
    /// LINKTYPE_ number of its packets.
    pub link_type: i32,
}

/// The machine of a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Host name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -v`.
    pub kernel_version: String,
    /// `uname -m`.
    pub machine: String,
    /// Number of possible CPUs.
    pub cpus: u32,
    /// /proc/sys/kernel/random/boot_id: CLOCK_MONOTONIC compares only within one boot.
    pub boot_id: String,
    /// Where cgroup v2 is mounted; absent if nowhere.
    pub cgroup_v2: Option<String>,
    /// The kernel's timer frequency, for values in jiffies; absent if unknown.
    pub hz: Option<u32>,
    /// How far CLOCK_MONOTONIC of the recorder's time namespace was ahead of the host's, in
    /// nanoseconds; absent where they were one. All times of the recording are the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_offset_ns: Option<i64>,
}

/// An interface whose packets were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Its index there.
    pub index: u32,
    /// Its name when it was found.
    pub name: String,
    /// CLOCK_MONOTONIC from which on packets were recorded.
    pub since_ns: u64,
    /// Why they were not.
    pub reason: Option<String>,
}

/// The state of a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookStatus {
    /// Name of the hook, as in the log.
    pub hook: String,
    /// Where in the kernel it sits, like "tp_btf/tcp_probe".
    pub point: String,
    /// Whether it was attached.
    pub attached: bool,
    /// If not, why.
    pub reason: Option<String>,
}

/// Something that the recorder could not see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotSeen {
    /// The reason why it was not seen: "hooks", "kernel" (what it refuses, or has more than is known),
    /// "cgroups", "namespaces" or "processes".
    pub by: String,
    /// What is missing, and why: a sentence without its full stop.
    pub what: String,
    /// Variables that could not be recorded of any connection because of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

/// How well the attached hooks give a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableStatus {
    /// Name of the variable.
    pub name: String,
    /// "exact", "sampled", "approximate", "constant" or "missing".
    pub quality: String,
    /// Why it is not exact.
    pub reason: Option<String>,
}

/// The recorder's options, as they took effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordOptions {
    /// Shortest time between two readings of the slow variables of one connection.
    pub resolution_ns: u64,
    /// Whether the whole host was recorded.
    pub all: bool,
    /// Ports, either side; empty for any.
    pub ports: Vec<u16>,
    /// Ports that neither side has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<u16>,
    /// Address prefixes, either side; empty for any.
    pub addresses: Vec<String>,
    /// Address prefixes that neither side is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_addresses: Vec<String>,
    /// Names of the owners' processes; empty for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comms: Vec<String>,
    /// Process ids whose trees were recorded; empty for any.
    pub pids: Vec<u32>,
    /// Cgroup paths; empty for any.
    pub cgroups: Vec<String>,
    /// Network namespaces; empty for any.
    pub netns: Vec<String>,
    /// Size of each CPU's ring of operations.
    pub hooks_ring_bytes: u64,
    /// Size of the ring of lifecycle records.
    pub lifecycle_ring_bytes: u64,
    /// Size of the ring of snapshots.
    pub socket_ring_bytes: u64,
    /// Size of each CPU's ring of packets; 0 without packets.
    pub packet_ring_bytes: u64,
    /// Whether packets were recorded as sockets get and give them.
    pub packets: bool,
    /// Interfaces whose packets were recorded: names, or "all".
    pub interfaces: Vec<String>,
    /// Bytes after IP that were kept of packets at least; absent without packets.
    pub digest_bytes: Option<u32>,
    /// Time between two polls of the sockets; absent without polls.
    pub snapshots_ns: Option<u64>,
    /// N where every Nth socket was polled.
    pub sample: Option<u32>,
    /// Whether polls left out what had not changed.
    pub changed_only: bool,
    /// How polls read the sockets: iterator, or netlink; absent without polls.
    pub snapshots_by: Option<String>,
    /// Size of a segment; see [`super::WriterOptions`].
    pub rotate_bytes: u64,
    /// Length of a segment in time.
    pub rotate_ns: u64,
    /// Bound of the recording's size.
    pub max_bytes: Option<u64>,
    /// Whether segments begin with key frames. Then lifecycle records are in segments as hook records are, and are
    /// removed with these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub key_frames: bool,
    /// Whether the ledger is in segments too, and removed with the others. Key frames have what the removed ones come to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub divided_ledger: bool,
    /// How long what was recorded is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_ns: Option<u64>,
    /// Time after which the recording was to end by itself, in nanoseconds.
    pub duration_ns: Option<u64>,
}

impl RecordOptions {
    /// The version of the format that a recording with these options has: the oldest one whose readers understand it. A
    /// reader of version 1 would take the segments that are left for all there are.
    pub const fn format_version(&self) -> u32 {
        let is_bounded = self.key_frames || self.divided_ledger;
        if is_bounded { FORMAT_VERSION } else { FIRST_FORMAT_VERSION }
    }
}

/// The three clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSample {
    /// CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
    /// CLOCK_REALTIME, since the Unix epoch.
    pub realtime_ns: u64,
    /// CLOCK_TAI.
    pub tai_ns: u64,
}

/// The totals of a closed recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// From the first to the last clock sample.
    pub duration_ns: u64,
    /// The records of each CPU: emitted = logged + lost.
    pub per_cpu: Vec<CpuTotals>,
    /// Per-socket state that could not be stored because a map was full.
    pub map_failures: u64,
    /// What is lacking of connections; none if it was not counted (cuts, earlier recorders).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Lacking>,
    /// Bytes of all streams when the last batch was written.
    pub bytes: u64,
    /// Connections that were seen (opened, or open at the start).
    pub connections: u64,
    /// Packets that the kernel dropped, as far as there are records of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped_packets: u64,
    /// Packets with malformed IP headers, which have no digest, by hook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub malformed: BTreeMap<String, u64>,
}

/// What a recording lacks of connections, see [`super::Lack`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lacking {
    /// Connections that were not recorded because there was no memory.
    pub not_followed: u64,
    /// Lost lifecycle records of a connection's beginning.
    pub lost_begins: u64,
    /// Lost lifecycle records of a connection's end.
    pub lost_ends: u64,
    /// Operations for which a record had no room.
    pub dropped_operations: u64,
}

/// The totals of one CPU: emitted = logged + lost + left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuTotals {
    /// The CPU.
    pub cpu: u16,
    /// Sequence numbers given out.
    pub emitted: u64,
    /// Records written to the log, including those in segments removed by --max-size.
    pub logged: u64,
    /// Records for which there was no room in a ring, by hook.
    pub lost_by_hook: BTreeMap<String, u64>,
    /// Sequence numbers of records that were left out on purpose, see [`Derivation`].
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl CpuTotals {
    /// Records lost over all hooks.
    pub fn lost(&self) -> u64 {
        self.lost_by_hook.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl Manifest {
    /// The hook set of recordings that have packets only.
    pub const OF_PACKETS: &str = "packets";

    /// Whether nothing but packets was recorded: connections are made of them.
    pub fn is_of_packets(&self) -> bool {
        self.hook_set == Self::OF_PACKETS
    }

    /// Whether it is of a recording with packets, which then has segments of them from the first on.
    pub fn has_packets(&self) -> bool {
        let options = &self.options;
        options.packets || !options.interfaces.is_empty() || self.import.is_some()
    }

    /// How the recorder's programs counted the variable, if not as it means. Packets are counted in
    /// replay.
    pub fn recount(&self, var: Var) -> Option<&'static Recount> {
        if self.import.is_some() {
            return None;
        }
        let attached = |hook: Hook| {
            self.hooks.iter().any(|status| status.attached && status.hook == hook.name())
        };
        Recount::of(var, self.counting.unwrap_or(1), attached)
    }

    /// Marks what the recorder took for exact, and its programs counted otherwise than it means.
    pub(crate) fn doubt_earlier_counting(&mut self) {
        let doubts: Vec<_> = Var::ALL.iter().filter_map(|&var| self.recount(var)).collect();
        for recount in doubts {
            let status = self.variables.iter_mut().find(|v| v.name == recount.var.name());
            let taken = |s: &VariableStatus| {
                let quality = Quality::by_name(&s.quality);
                matches!(quality, Some(Quality::Exact | Quality::Sampled))
            };
            if let Some(status) = status.filter(|s| taken(s)) {
                Quality::Approximate.name().clone_into(&mut status.quality);
                status.reason = Some(recount.wrong.to_owned());
            }
        }
    }

    /// Reads the manifest of a recording.
    ///
    /// # Errors
    /// [`LogError::NotARecording`], [`LogError::UnknownVersion`], [`LogError::Manifest`], or I/O.
    pub(super) fn read(files: &Files) -> Result<Self, LogError> {
        let path = files.path(FILE_NAME);
        let absent = |e: &io::Error| {
            matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        let file = files.open(FILE_NAME).map_err(|e| {
            let is_absent = matches!(&e, LogError::Io { source, .. } if absent(source));
            if is_absent { LogError::NotARecording(files.name().to_owned()) } else { e }
        })?;
        let mut text = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
        if read.map_err(|e| LogError::io("read", &path, e))? as u64 > MAX_BYTES {
            return Err(LogError::NotAFile(path));
        }
        // The version first and alone: another version's fields need not fit.
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let fault = |source| LogError::Manifest { path: path.clone(), source };
        if has_more_values(&text, MAX_VALUES) {
            let too_many = format!("it has more than {MAX_VALUES} values");
            return Err(fault(serde::de::Error::custom(too_many)));
        }
        // A list would be taken for the fields in their order.
        if !text.trim_ascii_start().starts_with(b"{") {
            let no_object =
                <serde_json::Error as serde::de::Error>::custom("it is not a JSON object");
            return Err(fault(no_object));
        }
        let found = serde_json::from_slice::<Version>(&text).map_err(fault)?.format_version;
        if found == 0 || found > u64::from(FORMAT_VERSION) {
            return Err(LogError::UnknownVersion {
                path: path.clone(),
                found,
                supported: FORMAT_VERSION,
            });
        }
        let mut manifest: Self = serde_json::from_slice(&text).map_err(fault)?;
        manifest.doubt_earlier_counting();
        // Files are named by it.
        if !manifest.recording.is_empty() && uuid::Uuid::try_parse(&manifest.recording).is_err() {
            let no_uuid = format!("recording is not a UUID: {:?}", manifest.recording);
            return Err(fault(serde::de::Error::custom(no_uuid)));
        }
        Ok(manifest)
    }

    /// Writes it so that at every moment the old or the new manifest is there whole.
    pub(super) fn write(&self, dir: &Path) -> Result<(), LogError> {
        let path = dir.join(FILE_NAME);
        // The files beside it have this build's format, whatever the caller filled in.
        let manifest = Self { format_version: self.options.format_version(), ..self.clone() };
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|source| LogError::Manifest { path: path.clone(), source })?;
        text.push(b'\n');
        let write = || {
            private::write_whole(&path, &text)?;
            sync_directory(dir)
        };
        write().map_err(|e| LogError::io("write", &path, e))
    }
}

/// A rename is only durable once its directory is.
fn sync_directory(dir: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file; the recorder runs on Linux alone.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
