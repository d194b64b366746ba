// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Activations of a hook that never reached its program.
//!
//! The kernel does not run a tracing program on a CPU where it runs already: a softirq that
//! interrupts the program in the middle of another connection's event is passed over
//! (`prog->active` in `__bpf_prog_enter_recur()` and `__bpf_trace_run()`). The kernel counts that
//! for each program since 5.12. Where two programs stand in for each other (bpf/turn.bpf.h), an
//! event is lost only if both are passed over, so no more are than the one that was so less often.
//! Kprobes are counted by their links and programs, since 6.7; before, by us (kprobes.rs). Ends of
//! functions that kretprobes did not show are counted by the programs as well (`unended` in
//! bpf/records.h).

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use libbpf_rs::libbpf_sys::{
    BPF_LINK_TYPE_PERF_EVENT, BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE, bpf_link_info,
    bpf_obj_get_info_by_fd, bpf_prog_info,
};

use super::kprobes::Kprobes;
use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    events: Vec<Event>,
    kprobes: Option<Kprobes>,
    both_ways: Option<BothWays>,
    /// What links were passed over last, when they are no longer there to be asked.
    last: Vec<Skip>,
}

/// Activations of a hook that were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub hook: Hook,
    pub count: u64,
    /// They are ends of functions.
    pub has_ends: bool,
}

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    Program,
    Link,
}

#[derive(Debug)]
struct Event {
    fds: Vec<OwnedFd>,
    counter: Counter,
    hook: Hook,
    is_end: bool,
    before: u64,
}

impl Skips {
    /// Counts for these programs of one event too, from now on. `is_end`: they are kretprobes.
    ///
    /// # Errors
    /// Of dup(2), and of bpf(2).
    pub(super) fn watch<F: AsFd>(
        &mut self,
        programs: &[F],
        hook: Hook,
        is_end: bool,
    ) -> io::Result<()> {
        let dup = |program: &F| program.as_fd().try_clone_to_owned();
        let fds = programs.iter().map(dup).collect::<io::Result<Vec<_>>>()?;
        self.add(fds, Counter::Program, hook, is_end)
    }

    /// Counts for this link too, if it is of a kprobe. What it counts is another thing: a kprobe that
    /// interrupts one is passed over, and so is the end of a function of which too many are running at
    /// once. Linux before 6.7 states no such number.
    ///
    /// # Errors
    /// Of dup(2), and of bpf(2).
    pub(super) fn watch_link(&mut self, link: impl AsFd, hook: Hook) -> io::Result<()> {
        let fd = link.as_fd().try_clone_to_owned()?;
        match link_of_kprobe(fd.as_fd())? {
            Some(link) => self.add(vec![fd], Counter::Link, hook, link.is_end),
            None => Ok(()),
        }
    }

    /// Counts these too.
    pub(super) fn watch_kprobes(&mut self, kprobes: Kprobes) {
        self.kprobes = Some(kprobes);
    }

    /// Compares what is counted of kprobes with what the kernel says, when they end.
    pub(super) fn compare(&mut self, both_ways: BothWays) {
        self.both_ways = Some(both_ways);
    }

    /// The hooks are about to be detached: what they were passed over is read once more, for the next
    /// call of [`Self::since_before`]. What is held here of links would keep them attached: it goes.
    ///
    /// # Errors
    /// Of bpf(2).
    pub(super) fn end(&mut self) -> io::Result<()> {
        let kernel = self.both_ways.as_ref().map(BothWays::now).transpose()?;
        self.last = self.since_before()?;
        if let (Some(both), Some(kprobes), Some(before)) = (&self.both_ways, &self.kprobes, kernel)
        {
            both.compare(&before, &kprobes.since_first(), &both.now()?)?;
        }
        self.let_go();
        Ok(())
    }

    /// Nothing is counted any more: what is held here of links goes.
    pub(super) fn let_go(&mut self) {
        (self.kprobes, self.both_ways) = (None, None);
        self.events.retain(|event| event.counter != Counter::Link);
    }

    fn add(
        &mut self,
        fds: Vec<OwnedFd>,
        counter: Counter,
        hook: Hook,
        is_end: bool,
    ) -> io::Result<()> {
        let before = missed(&fds, counter)?;
        self.events.push(Event { fds, counter, hook, is_end, before });
        Ok(())
    }

    /// Hooks that were passed over since the call before, and how often.
    ///
    /// # Errors
    /// Of bpf(2).
    pub(super) fn since_before(&mut self) -> io::Result<Vec<Skip>> {
        let mut skips = std::mem::take(&mut self.last);
        if let Some(kprobes) = &mut self.kprobes {
            skips.extend(kprobes.since_before()?);
        }
        for event in &mut self.events {
            let now = missed(&event.fds, event.counter)?;
            let count = now.saturating_sub(std::mem::replace(&mut event.before, now));
            if count > 0 {
                skips.push(Skip { hook: event.hook, count, has_ends: event.is_end });
            }
        }
        Ok(skips)
    }
}

/// Events that no program of these saw, at most.
fn missed(fds: &[OwnedFd], counter: Counter) -> io::Result<u64> {
    let each = fds.iter().map(|fd| match counter {
        Counter::Program => program_misses(fd.as_fd()),
        Counter::Link => Ok(link_of_kprobe(fd.as_fd())?.map_or(0, |link| link.missed)),
    });
    Ok(each.collect::<io::Result<Vec<_>>>()?.into_iter().min().unwrap_or(0))
}

struct LinkOfKprobe {
    is_end: bool,
    /// 0 before Linux 6.7.
    missed: u64,
}

/// None if it is no link of a kprobe or kretprobe. Before Linux 5.15 these have no links.
fn link_of_kprobe(fd: BorrowedFd<'_>) -> io::Result<Option<LinkOfKprobe>> {
    // SAFETY: all-zero is a valid bpf_link_info: it asks for no names.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result != 0 {
        // What is no object of BPF: an event of perf.
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EINVAL) { Ok(None) } else { Err(error) };
    }
    if info.type_ != BPF_LINK_TYPE_PERF_EVENT {
        return Ok(None);
    }
    // SAFETY: a link of this type has this member, and one of these kinds has that; all are plain
    // integers, and what an older kernel did not write is zero.
    let (kind, missed) = unsafe {
        let event = &info.__bindgen_anon_1.perf_event;
        (event.type_, event.__bindgen_anon_1.kprobe.missed)
    };
    let is_kprobe = [BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE].contains(&kind);
    Ok(is_kprobe.then_some(LinkOfKprobe { is_end: kind == BPF_PERF_EVENT_KRETPROBE, missed }))
}

/// 0 on kernels that do not count.
fn program_misses(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: all-zero is a valid bpf_prog_info: it asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result == 0 { Ok(info.recursion_misses) } else { Err(io::Error::last_os_error()) }
}

/// Kprobes that the kernel counts by itself and that we count too: a debug build compares both, if
/// the environment has [`BothWays::ASKED`].
#[derive(Debug)]
pub(super) struct BothWays {
    /// Program and link of each.
    fds: Vec<[OwnedFd; 2]>,
    /// Before our count began, and after.
    first: [Vec<(u64, u64)>; 2],
}

impl BothWays {
    const ASKED: &str = "ESTATS_KPROBES_BOTH_WAYS";

    pub(super) fn is_asked() -> bool {
        cfg!(debug_assertions) && std::env::var_os(Self::ASKED).is_some()
    }

    /// With the program and the link of each kprobe.
    ///
    /// # Errors
    /// Of dup(2), and of bpf(2).
    pub(super) fn new(kprobes: impl Iterator<Item = [io::Result<OwnedFd>; 2]>) -> io::Result<Self> {
        let fds =
            kprobes.map(|[program, link]| Ok([program?, link?])).collect::<io::Result<_>>()?;
        let mut both = Self { fds, first: Default::default() };
        both.first[0] = both.now()?;
        Ok(both)
    }

    /// Our count has begun.
    pub(super) fn begun(&mut self) -> io::Result<()> {
        self.first[1] = self.now()?;
        Ok(())
    }

    /// What the kernel says of each: links and programs.
    fn now(&self) -> io::Result<Vec<(u64, u64)>> {
        let each = self.fds.iter().map(|[program, link]| {
            let link =
                link_of_kprobe(link.as_fd())?.ok_or_else(|| io::Error::other("no kprobe"))?;
            Ok((link.missed, program_misses(program.as_fd())?))
        });
        each.collect()
    }

    /// Ours, against what the kernel said before and after.
    fn compare(
        &self,
        before: &[(u64, u64)],
        ours: &[(u64, u64)],
        after: &[(u64, u64)],
    ) -> io::Result<()> {
        let (mut by_kernel, mut passed) = (0, 0);
        for (i, ours) in ours.iter().enumerate() {
            let (first, begun, low, high) =
                (self.first[0][i], self.first[1][i], before[i], after[i]);
            let links = low.0 - begun.0..=high.0 - first.0;
            let programs = low.1 - begun.1..=high.1 - first.1;
            if !links.contains(&ours.0) || !programs.contains(&ours.1) {
                return Err(io::Error::other(format!(
                    "kprobe {i}: {links:?} and {programs:?} by the kernel, {ours:?} by us"
                )));
            }
            (by_kernel, passed) = (by_kernel + ours.0, passed + ours.1);
        }
        eprintln!("kprobes counted both ways: {} with {by_kernel} and {passed}", ours.len());
        Ok(())
    }
}
