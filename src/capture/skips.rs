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

use super::kprobes::{Given, Kprobes};
use crate::schema::Hook;

/// The programs whose omissions are counted.
#[derive(Debug, Default)]
pub(super) struct Skips {
    events: Vec<Event>,
    kprobes: Option<Kprobes>,
    both_ways: Option<BothWays>,
    /// The last skips of links that no longer exist.
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

/// The counter: the kernel or the recorder.
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
    /// Errors of dup(2), and of bpf(2).
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
    /// Errors of dup(2), and of bpf(2).
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

    /// Compares our counts of kprobes with the kernel's, at each count.
    pub(super) fn compare(&mut self, both_ways: BothWays) {
        self.both_ways = Some(both_ways);
    }

    /// The hooks are about to be detached: what they were passed over is read once more, for the next
    /// call of [`Self::since_before`]. What is held here of links would keep them attached: it goes.
    ///
    /// # Errors
    /// If two counts were to be compared ([`Self::compare`]), and differ.
    pub(super) fn end(&mut self) -> io::Result<()> {
        // No record is made any more, so no ring has to be read between.
        self.last = self.since_before(&mut || {});
        let compared = self.both_ways.as_ref().map_or(Ok(()), BothWays::end);
        self.let_go();
        compared
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

    /// Hooks that were passed over since the call before, and how often. `between` is called now and
    /// then, so that rings can be read if this takes its time.
    ///
    /// A count that cannot be read does not end a recording. A hook may have been skipped, so one skip
    /// is counted, and the rows of this time are lossy. The next call continues from the count before.
    pub(super) fn since_before(&mut self, between: &mut dyn FnMut()) -> Vec<Skip> {
        let mut skips = std::mem::take(&mut self.last);
        if let Some(kprobes) = &mut self.kprobes {
            if let Some(both) = &mut self.both_ways {
                both.before();
            }
            skips.extend(kprobes.since_before(between));
            if let Some(both) = &mut self.both_ways {
                both.compare(&kprobes.given());
            }
        }
        skips.extend(self.events.iter_mut().filter_map(Event::since_before));
        skips
    }
}

impl Event {
    fn since_before(&mut self) -> Option<Skip> {
        let count = match missed(&self.fds, self.counter) {
            Ok(now) => now.saturating_sub(std::mem::replace(&mut self.before, now)),
            Err(_) => 1,
        };
        let skip = Skip { hook: self.hook, count, has_ends: self.is_end };
        (count > 0).then_some(skip)
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

/// None if it is not a link of a kprobe or kretprobe. Before Linux 5.15 these have no links.
fn link_of_kprobe(fd: BorrowedFd<'_>) -> io::Result<Option<LinkOfKprobe>> {
    // SAFETY: all-zero is a valid bpf_link_info: it asks for no names.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result != 0 {
        // Not an object of BPF: an event of perf.
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

/// Kprobes that the kernel counts by itself and that we count too: a debug build compares both at each
/// count, if the environment has [`BothWays::ASKED`].
#[derive(Debug)]
pub(super) struct BothWays {
    /// Program and link of each.
    fds: Vec<[OwnedFd; 2]>,
    /// Before our count began, and after.
    first: [Vec<ByKernel>; 2],
    /// Before our last count.
    before: Vec<ByKernel>,
    /// The last comparison, or the first one in which both did not agree.
    result: Result<String, String>,
}

/// The kernel's counts of a kprobe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ByKernel {
    /// The count of its link.
    missed: u64,
    /// The count of its program.
    passed_over: u64,
}

impl BothWays {
    const ASKED: &str = "ESTATS_KPROBES_BOTH_WAYS";

    pub(super) fn is_asked() -> bool {
        cfg!(debug_assertions) && std::env::var_os(Self::ASKED).is_some()
    }

    /// With the program and the link of each kprobe.
    ///
    /// # Errors
    /// Errors of dup(2), and of bpf(2).
    pub(super) fn new(kprobes: impl Iterator<Item = [io::Result<OwnedFd>; 2]>) -> io::Result<Self> {
        let fds: Vec<_> =
            kprobes.map(|[program, link]| Ok([program?, link?])).collect::<io::Result<_>>()?;
        let first = now(&fds)?;
        let result = Ok("never".to_owned());
        Ok(Self { fds, first: [first, Vec::new()], before: Vec::new(), result })
    }

    /// Our count has begun.
    pub(super) fn begun(&mut self) -> io::Result<()> {
        self.first[1] = now(&self.fds)?;
        Ok(())
    }

    /// We are about to count.
    fn before(&mut self) {
        match now(&self.fds) {
            Ok(before) => self.before = before,
            Err(e) => self.result = Err(e.to_string()),
        }
    }

    /// Compares all skips that were reported so far with the kernel's counts before and now.
    fn compare(&mut self, given: &[Given]) {
        if self.result.is_ok() {
            self.result = now(&self.fds).map_err(|e| e.to_string()).and_then(|after| {
                agree([&self.first[0], &self.first[1]], [&self.before, &after], given)
            });
        }
    }

    fn end(&self) -> io::Result<()> {
        let compared = self.result.as_ref().map_err(|e| io::Error::other(e.clone()))?;
        eprintln!("kprobes counted both ways: {compared}");
        Ok(())
    }
}

/// The kernel's counts of each: links and programs.
fn now(fds: &[[OwnedFd; 2]]) -> io::Result<Vec<ByKernel>> {
    let each = fds.iter().map(|[program, link]| {
        let link = link_of_kprobe(link.as_fd())?.ok_or_else(|| io::Error::other("no kprobe"))?;
        Ok(ByKernel { missed: link.missed, passed_over: program_misses(program.as_fd())? })
    });
    each.collect()
}

/// Whether what was given out of each kprobe is what the kernel has counted: between `first`, before and
/// after the count began, and `last`, before and after the last one. In words, if it is.
fn agree(
    first: [&[ByKernel]; 2],
    last: [&[ByKernel]; 2],
    given: &[Given],
) -> Result<String, String> {
    let mut sum = ByKernel::default();
    for (i, given) in given.iter().enumerate() {
        let least = |of: fn(&ByKernel) -> u64| of(&last[0][i]).saturating_sub(of(&first[1][i]));
        let most = |of: fn(&ByKernel) -> u64| of(&last[1][i]) - of(&first[0][i]);
        let links = least(|k| k.missed)..=most(|k| k.missed);
        let programs = least(|k| k.passed_over)..=most(|k| k.passed_over) + given.unsure;
        if !links.contains(&given.missed) || !programs.contains(&given.passed_over) {
            return Err(format!(
                "kprobe {i}: {links:?} and {programs:?} by the kernel, {given:?} by us"
            ));
        }
        sum.missed += given.missed;
        sum.passed_over += given.passed_over;
    }
    Ok(format!("{} with {} and {}", given.len(), sum.missed, sum.passed_over))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn by_kernel(missed: u64, passed_over: u64) -> ByKernel {
        ByKernel { missed, passed_over }
    }

    #[test]
    fn reported_skips_are_compared_with_the_kernels_counts() {
        let first: [&[ByKernel]; 2] = [&[by_kernel(1, 2)], &[by_kernel(1, 3)]];
        let last: [&[ByKernel]; 2] = [&[by_kernel(4, 7)], &[by_kernel(5, 7)]];
        let given = |missed, passed_over, unsure| [Given { missed, passed_over, unsure }];
        assert_eq!(agree(first, last, &given(3, 4, 0)), Ok("1 with 3 and 4".to_owned()));
        assert!(agree(first, last, &given(4, 5, 0)).is_ok(), "the count began between");
        assert!(agree(first, last, &given(2, 4, 0)).is_err(), "one was not given out");
        assert!(agree(first, last, &given(3, 3, 0)).is_err());
        assert!(agree(first, last, &given(3, 6, 0)).is_err(), "one was given out twice");
        assert!(agree(first, last, &given(3, 6, 1)).is_ok(), "that one may be none");
        assert!(agree(first, last, &given(3, 3, 1)).is_err(), "too few are never right");
    }

    /// As for a descriptor that is none of BPF: the recording goes on, and its rows are lossy.
    #[test]
    fn an_unreadable_count_is_recorded_as_one_skip() {
        let fd = std::fs::File::open("/dev/null").expect("there is one").into();
        let (counter, hook) = (Counter::Program, Hook::Egress);
        let event = Event { fds: vec![fd], counter, hook, is_end: false, before: 7 };
        let mut skips = Skips { events: vec![event], ..Skips::default() };
        let skip = Skip { hook, count: 1, has_ends: false };
        assert_eq!(skips.since_before(&mut || {}), [skip]);
        assert_eq!(skips.events[0].before, 7, "the next one counts from here");
        skips.end().expect("nothing is compared");
        assert_eq!(skips.since_before(&mut || {}), [skip, skip], "the last, and now");
    }
}
