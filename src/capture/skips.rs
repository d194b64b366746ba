//! Activations of a hook that never reached its program.
//!
//! The kernel does not run a tracing program on a CPU where it runs already: a softirq that
//! interrupts the program in the middle of another connection's event is passed over
//! (`prog->active` in `__bpf_prog_enter_recur()` and `__bpf_trace_run()`). Nothing of ours sees
//! that happen; the kernel counts it for each program since 5.12, and for each kprobe since 6.7.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_rs::libbpf_sys::{
    BPF_LINK_TYPE_PERF_EVENT, BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE, bpf_link_info,
    bpf_obj_get_info_by_fd, bpf_prog_info,
};

use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    programs: Vec<Watched>,
}

/// Who counts.
#[derive(Clone, Copy, Debug)]
enum Counter {
    Program,
    Link,
}

#[derive(Debug)]
struct Watched {
    fd: OwnedFd,
    counter: Counter,
    hook: Hook,
    before: u64,
}

impl Skips {
    /// Counts for this program too, from now on.
    ///
    /// # Errors
    /// The one of dup(2).
    pub(super) fn watch(&mut self, program: impl AsFd, hook: Hook) -> std::io::Result<()> {
        let fd = program.as_fd().try_clone_to_owned()?;
        self.add(fd, Counter::Program, hook);
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
            self.add(fd, Counter::Link, hook);
        }
        Ok(())
    }

    fn add(&mut self, fd: OwnedFd, counter: Counter, hook: Hook) {
        let before = misses(&fd, counter);
        self.programs.push(Watched { fd, counter, hook, before });
    }

    /// Hooks that were passed over since the call before, and how often.
    pub(super) fn since_before(&mut self) -> impl Iterator<Item = (Hook, u64)> {
        self.programs.iter_mut().filter_map(|p| {
            let now = misses(&p.fd, p.counter);
            let count = now.saturating_sub(std::mem::replace(&mut p.before, now));
            (count > 0).then_some((p.hook, count))
        })
    }
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
