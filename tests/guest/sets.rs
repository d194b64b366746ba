//! The kernels that guests boot, and the hook sets recorded in each: the one table.

/// A hook set, as the recorder is asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookSet {
    /// Name in results and in docs/coverage.md.
    pub name: &'static str,
    /// What `--hooks` and the manifest call it.
    pub hooks: &'static str,
    /// Options of estats-record, for recording and for `check`.
    pub options: &'static [&'static str],
}

const TRACEPOINT: HookSet =
    HookSet { name: "tracepoint", hooks: "tracepoint", options: &["--hooks", "tracepoint"] };
const FENTRY: HookSet =
    HookSet { name: "fentry", hooks: "fentry", options: &["--hooks", "fentry"] };

const KPROBE: HookSet =
    HookSet { name: "kprobe", hooks: "kprobe", options: &["--hooks", "kprobe"] };
const KPROBE_PERF: HookSet = HookSet {
    name: "kprobe, perf buffers",
    hooks: "kprobe",
    options: &["--hooks", "kprobe", "--transport", "perf"],
};

/// Kernel series and their hook sets. Before 5.17 there are no BPF loops, which the other two need.
pub const GUESTS: &[(&str, &[HookSet])] = &[
    ("5.10", &[KPROBE, KPROBE_PERF]),
    ("6.1", &[FENTRY, KPROBE, KPROBE_PERF, TRACEPOINT]),
    ("6.12", &[FENTRY, KPROBE, KPROBE_PERF, TRACEPOINT]),
];

/// What is asked of the running kernel, which may not have them all.
pub const HERE: &[HookSet] = &[FENTRY, TRACEPOINT];

/// The hook sets of a series; panics if it is none of ours.
pub fn of(series: &str) -> &'static [HookSet] {
    let guest = GUESTS.iter().find(|guest| guest.0 == series);
    guest.unwrap_or_else(|| panic!("no guest has Linux {series}")).1
}
