//! Activations of a hook that never reached its program.
//!
//! The kernel does not run a tracing program on a CPU where it runs already: a softirq that
//! interrupts the program in the middle of another connection's event is passed over
//! (`prog->active` in `__bpf_prog_enter_recur()` and `__bpf_trace_run()`). The kernel counts that
//! for each program since 5.12. Where two programs stand in for each other (bpf/turn.bpf.h), an
//! event is lost only if both are passed over, so no more are than the one that was so less often.
//! Kprobes are counted by their links, since 6.7; ends of functions that kretprobes did not show are
//! counted by the programs as well (`unended` in bpf/records.h).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_rs::libbpf_sys::{
    BPF_LINK_TYPE_PERF_EVENT, BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE, bpf_link_info,
    bpf_obj_get_info_by_fd, bpf_prog_info,
};

use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    events: Vec<Event>,
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

    fn add(&mut self, fds: Vec<OwnedFd>, counter: Counter, hook: Hook) {
        let before = missed(&fds, counter);
        self.events.push(Event { fds, counter, hook, before });
    }

    /// Hooks that were passed over since the call before, and how often.
    pub(super) fn since_before(&mut self) -> impl Iterator<Item = (Hook, u64)> {
        self.events.iter_mut().filter_map(|e| {
            let now = missed(&e.fds, e.counter);
            let count = now.saturating_sub(std::mem::replace(&mut e.before, now));
            (count > 0).then_some((e.hook, count))
        })
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
