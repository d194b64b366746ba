//! Activations of a hook that never reached its program.
//!
//! The kernel does not run a tracing program on a CPU where it runs already: a softirq that
//! interrupts the program in the middle of another connection's event is passed over
//! (`prog->active` in `__bpf_prog_enter_recur()` and `__bpf_trace_run()`). The kernel counts that
//! for each program since 5.12. Where two programs stand in for each other (bpf/turn.bpf.h), an
//! event is lost only if both are passed over, so no more are than the one that was so less often.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_rs::libbpf_sys::{bpf_obj_get_info_by_fd, bpf_prog_info};

use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    events: Vec<Event>,
}

#[derive(Debug)]
struct Event {
    fds: Vec<OwnedFd>,
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
        self.events.push(Event { before: missed(&fds), fds, hook });
        Ok(())
    }

    /// Hooks that were passed over since the call before, and how often.
    pub(super) fn since_before(&mut self) -> impl Iterator<Item = (Hook, u64)> {
        self.events.iter_mut().filter_map(|e| {
            let now = missed(&e.fds);
            let count = now.saturating_sub(std::mem::replace(&mut e.before, now));
            (count > 0).then_some((e.hook, count))
        })
    }
}

/// Events that no program of these saw, at most.
fn missed(fds: &[OwnedFd]) -> u64 {
    fds.iter().map(misses).min().unwrap_or(0)
}

/// 0 on kernels that do not count.
fn misses(fd: &OwnedFd) -> u64 {
    // SAFETY: all-zero is a valid bpf_prog_info: it asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result == 0 { info.recursion_misses } else { 0 }
}
