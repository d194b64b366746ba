// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Activations of a hook that never reached its program.
//!
//! The kernel does not run a tracing program on a CPU where it runs already: a softirq that
//! interrupts the program in the middle of another connection's event is passed over
//! (`prog->active` in `__bpf_prog_enter_recur()` and `__bpf_trace_run()`). The kernel counts that
//! for each program since 5.12. Where two programs stand in for each other (bpf/turn.bpf.h), an
//! event is lost only if both are passed over, so no more are than the one that was so less often.
//! Kprobes are counted by their links, since 6.7; before, a program reads the kernel's count
//! (bpf/missed.bpf.h). Ends of functions that kretprobes did not show are counted by the programs as
//! well (`unended` in bpf/records.h).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libbpf_rs::{
    MapCore as _, MapFlags, MapHandle,
    libbpf_sys::{
        BPF_LINK_TYPE_PERF_EVENT, BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE, bpf_link_info,
        bpf_obj_get_info_by_fd, bpf_prog_info, bpf_prog_test_run_opts, bpf_test_run_opts,
    },
};

use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    events: Vec<Event>,
    kprobes: Option<Kprobes>,
    /// What the kprobes were passed over last, when they are no longer there to be asked.
    last: Vec<Skip>,
}

/// Activations of a hook that were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub hook: Hook,
    pub count: u64,
    /// At any time since the recording began, not only since the call before.
    pub from_start: bool,
    /// Ends of functions are among them.
    pub has_ends: bool,
}

/// Kprobes whose links do not count.
#[derive(Debug)]
pub(super) struct Kprobes {
    /// `count_missed` of bpf/missed.bpf.h.
    program: OwnedFd,
    /// The map `kprobes` there.
    counts: MapHandle,
    before: Vec<Counted>,
}

/// struct kprobe_misses of bpf/missed.bpf.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    is_known: bool,
    missed: u64,
    hook: u64,
}

impl Kprobes {
    /// With the program that reads what the kernel has counted, and the map in which it puts that.
    /// None if this kernel does not run programs on request (Linux before 5.10).
    ///
    /// # Errors
    /// The one of dup(2).
    pub(super) fn new(program: BorrowedFd<'_>, counts: MapHandle) -> std::io::Result<Option<Self>> {
        let program = program.try_clone_to_owned()?;
        let kprobes = Self { program, counts, before: Vec::new() };
        Ok(kprobes.run().then_some(kprobes))
    }

    fn run(&self) -> bool {
        // SAFETY: all-zero options are the defaults; the size field says how much of them we know.
        let mut opts: bpf_test_run_opts = unsafe { std::mem::zeroed() };
        opts.sz = size_of_val(&opts) as _;
        // SAFETY: the options outlive the call and name no memory.
        unsafe { bpf_prog_test_run_opts(self.program.as_raw_fd(), &raw mut opts) == 0 }
    }

    fn now(&self) -> Vec<Counted> {
        self.run();
        let value = self.counts.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok().flatten();
        let value = value.unwrap_or_default();
        let word = |bytes: &[u8], at: usize| {
            u64::from_ne_bytes(bytes[at * 8..][..8].try_into().expect("eight octets"))
        };
        let counted = |bytes: &[u8]| Counted {
            is_known: word(bytes, 0) != 0,
            missed: word(bytes, 1),
            hook: word(bytes, 2),
        };
        value.chunks_exact(24).map(counted).collect()
    }

    fn since_before(&mut self) -> Vec<Skip> {
        let now = self.now();
        let skips = skips(&self.before, &now);
        self.before = now;
        skips
    }
}

/// What each kprobe was passed over between two counts. Where it is comes to light when it runs for
/// the first time; what it was passed over until then may lie far back.
fn skips(before: &[Counted], now: &[Counted]) -> Vec<Skip> {
    let each = now.iter().enumerate().filter_map(|(i, now)| {
        let before = before.get(i).copied().unwrap_or_default();
        let hook = Hook::ALL.iter().copied().find(|hook| *hook as u64 == now.hook)?;
        let count = now.missed.saturating_sub(before.missed);
        let from_start = !before.is_known;
        (count > 0).then_some(Skip { hook, count, from_start, has_ends: false })
    });
    each.collect()
}

/// Who counts.
#[derive(Clone, Copy, Debug)]
enum Counter {
    Program,
    Link,
}

#[derive(Debug)]
struct Event {
    fds: Vec<OwnedFd>,
    counter: Counter,
    hook: Hook,
    before: u64,
}

impl Skips {
    /// Counts for these programs of one event too, from now on.
    ///
    /// # Errors
    /// The one of dup(2).
    pub(super) fn watch<F: AsFd>(&mut self, programs: &[F], hook: Hook) -> std::io::Result<()> {
        let dup = |program: &F| program.as_fd().try_clone_to_owned();
        let fds = programs.iter().map(dup).collect::<std::io::Result<Vec<_>>>()?;
        self.add(fds, Counter::Program, hook);
        Ok(())
    }

    /// Counts for this link too. What it counts is another thing: a kprobe that interrupts one is
    /// passed over, and so is the end of a function of which too many are running at once. Linux
    /// before 5.15 has no such links, before 6.7 they do not count.
    ///
    /// # Errors
    /// The one of dup(2).
    pub(super) fn watch_link(&mut self, link: impl AsFd, hook: Hook) -> std::io::Result<()> {
        let fd = link.as_fd().try_clone_to_owned()?;
        if link_misses(&fd).is_some() {
            self.add(vec![fd], Counter::Link, hook);
        }
        Ok(())
    }

    /// Counts these too.
    pub(super) fn watch_kprobes(&mut self, kprobes: Kprobes) {
        self.kprobes = Some(kprobes);
    }

    /// The kprobes are about to be detached: what they were passed over is read once more, for the
    /// next call of [`Self::since_before`].
    pub(super) fn end(&mut self) {
        if let Some(mut kprobes) = self.kprobes.take() {
            self.last = kprobes.since_before();
        }
    }

    fn add(&mut self, fds: Vec<OwnedFd>, counter: Counter, hook: Hook) {
        let before = missed(&fds, counter);
        self.events.push(Event { fds, counter, hook, before });
    }

    /// Hooks that were passed over since the call before, and how often.
    pub(super) fn since_before(&mut self) -> Vec<Skip> {
        let mut skips = std::mem::take(&mut self.last);
        if let Some(kprobes) = &mut self.kprobes {
            skips.extend(kprobes.since_before());
        }
        skips.extend(self.events.iter_mut().filter_map(|e| {
            let now = missed(&e.fds, e.counter);
            let count = now.saturating_sub(std::mem::replace(&mut e.before, now));
            let has_ends = matches!(e.counter, Counter::Link);
            (count > 0).then_some(Skip { hook: e.hook, count, from_start: false, has_ends })
        }));
        skips
    }
}

/// Events that no program of these saw, at most.
fn missed(fds: &[OwnedFd], counter: Counter) -> u64 {
    fds.iter().map(|fd| misses(fd, counter)).min().unwrap_or(0)
}

fn misses(fd: &OwnedFd, counter: Counter) -> u64 {
    match counter {
        Counter::Program => program_misses(fd),
        Counter::Link => link_misses(fd).unwrap_or(0),
    }
}

/// None if this is no link of a kprobe or kretprobe.
fn link_misses(fd: &OwnedFd) -> Option<u64> {
    // SAFETY: all-zero is a valid bpf_link_info: it asks for no names.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result != 0 || info.type_ != BPF_LINK_TYPE_PERF_EVENT {
        return None;
    }
    // SAFETY: a link of this type has this member, and one of these kinds has that; all are plain
    // integers, and what an older kernel did not write is zero.
    unsafe {
        let event = &info.__bindgen_anon_1.perf_event;
        let kinds = [BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE];
        kinds.contains(&event.type_).then_some(event.__bindgen_anon_1.kprobe.missed)
    }
}

/// 0 on kernels that do not count.
fn program_misses(fd: &OwnedFd) -> u64 {
    // SAFETY: all-zero is a valid bpf_prog_info: it asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result == 0 { info.recursion_misses } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kprobes_that_were_passed_over_between_two_counts() {
        let counted = |hook: Hook, missed| Counted { is_known: true, missed, hook: hook as u64 };
        let unknown = Counted::default();
        let skip = |hook, count, from_start| Skip { hook, count, from_start, has_ends: false };
        // The first was never passed over, the second twice before it ran for the first time.
        let first = [counted(Hook::Egress, 0), unknown, unknown];
        let second = [counted(Hook::Egress, 0), counted(Hook::ParseHdr, 2), unknown];
        let third = [counted(Hook::Egress, 1), counted(Hook::ParseHdr, 5), unknown];
        assert_eq!(skips(&[], &first), []);
        assert_eq!(skips(&first, &second), [skip(Hook::ParseHdr, 2, true)]);
        let both = [skip(Hook::Egress, 1, false), skip(Hook::ParseHdr, 3, false)];
        assert_eq!(skips(&second, &third), both);
        assert_eq!(skips(&third, &third), []);
    }
}
