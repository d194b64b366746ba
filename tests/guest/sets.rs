// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The kernels that guests boot, and the hook sets recorded in each: the one table.

/// A hook set, as the recorder is asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookSet {
    /// Name in results and in docs/coverage.md.
    pub name: &'static str,
    /// Its name in `--hooks` and the manifest.
    pub hooks: &'static str,
    /// Options of estats-record, for recording and for `check`.
    pub options: &'static [&'static str],
    /// More options for recording.
    pub also: &'static [&'static str],
}

impl HookSet {
    /// Whether all that can be recorded is: then `check` says of every hook what the recorder does. Each kernel has
    /// one such set.
    pub fn has_everything(&self) -> bool {
        self.also == EVERYTHING
    }
}

/// Packets at the sockets and at every interface, and snapshots of all sockets over time.
const EVERYTHING: &[&str] = &["--packets", "--interface", "all", "--snapshots", "500ms"];

const TRACEPOINT: HookSet = HookSet {
    name: "tracepoint",
    hooks: "tracepoint",
    options: &["--hooks", "tracepoint"],
    also: EVERYTHING,
};
const FENTRY: HookSet =
    HookSet { name: "fentry", hooks: "fentry", options: &["--hooks", "fentry"], also: &[] };

const KPROBE: HookSet =
    HookSet { name: "kprobe", hooks: "kprobe", options: &["--hooks", "kprobe"], also: &[] };
const KPROBE_PERF: HookSet = HookSet {
    name: "kprobe, perf buffers",
    hooks: "kprobe",
    options: &["--hooks", "kprobe", "--transport", "perf"],
    also: &[],
};

const KPROBE_ALL: HookSet = HookSet { also: EVERYTHING, ..KPROBE };

/// Kernel series and their hook sets. Before 5.17 there are no BPF loops, which the other two need.
pub const GUESTS: &[(&str, &[HookSet])] = &[
    // In the order in which they run, if the time is not enough for all ([`crate::visit::in_time`]).
    // The newest that Debian has, whichever that is when the tests run (scripts/guest/kernel.sh).
    (NEWEST, &[FENTRY, KPROBE, KPROBE_PERF, TRACEPOINT]),
    // Perf buffers are for kernels before 5.8: tried on the oldest here, and on the newest.
    ("5.10", &[KPROBE_ALL, KPROBE_PERF]),
    ("6.12", &[FENTRY, KPROBE, TRACEPOINT]),
    ("6.1", &[FENTRY, KPROBE, TRACEPOINT]),
    ("6.18", &[FENTRY, KPROBE, TRACEPOINT]),
];

/// Where kprobes are passed over on purpose. The kernels differ in who counts that:
/// * 5.10: the recorder. There is no type information of modules.
/// * 6.1: the recorder, with it.
/// * 6.18: the kernel too (from 6.7 on), and both are compared. From 7.0 on it passes over fewer.
pub const DISTURBED: &[&str] = &["5.10", "6.1", "6.18"];

/// Whether `check` runs for the set: for all sets on the oldest kernel and on one with function hooks, elsewhere for
/// the set that records everything.
pub fn is_checked(series: &str, set: &HookSet) -> bool {
    set.has_everything() || ["5.10", "6.12"].contains(&series)
}

/// The series that scripts/guest/kernel.sh finds by itself.
pub const NEWEST: &str = "newest";

/// The hook sets that are tried on the running kernel, which may not have them all.
pub const HERE: &[HookSet] = &[FENTRY, TRACEPOINT];

/// The hook sets of a series; panics if it is none of ours.
pub fn of(series: &str) -> &'static [HookSet] {
    let guest = GUESTS.iter().find(|guest| guest.0 == series);
    guest.unwrap_or_else(|| panic!("no guest has Linux {series}")).1
}
