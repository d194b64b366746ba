// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Kprobes that the kernel did not run, counted by us: before Linux 6.7 links and programs do not
//! count that by themselves. bpf/missed.bpf.h says for which reasons the kernel passes over one.
//!
//! A hit that the kernel has counted and whose program has not begun yet looks as if it was passed
//! over. As a number to compare with, that would hide what is passed over later. So whenever a CPU
//! has more than before, it is counted again on that CPU itself: there no kprobe is halfway while
//! this thread runs. Mostly no CPU has more, and then nothing was passed over.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    thread,
    time::Duration,
};

use libbpf_rs::{
    MapCore as _, MapFlags, MapHandle,
    libbpf_sys::{BPF_F_TEST_RUN_ON_CPU, bpf_prog_test_run_opts, bpf_test_run_opts},
};

use super::skips::Skip;
use crate::schema::Hook;

/// Kprobes of one object, KPROBES of bpf/missed.bpf.h.
pub(super) const KPROBES: usize = 48;

/// Programs of bpf/missed.bpf.h, in the order of [`Programs`].
pub(super) const PROGRAMS: [&str; 4] = ["find_kprobes", "note_cpu", "count_missed", "count_passed"];

/// A kprobe or kretprobe that is attached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kprobe<'a> {
    /// Of its program in the object, from 1 on.
    pub number: usize,
    pub hook: Hook,
    /// It is at the end of a function.
    pub is_end: bool,
    pub link: BorrowedFd<'a>,
}

/// Kprobes whose links do not count.
#[derive(Debug)]
pub(super) struct Kprobes {
    source: Source,
    watched: Vec<Watched>,
    before: Counts,
    /// When the counting began.
    first: Counts,
}

#[derive(Debug)]
struct Watched {
    at: usize,
    hook: Hook,
    is_end: bool,
    /// The structures that are read stay as long as this is open.
    _link: OwnedFd,
}

/// What was counted, by the kprobe's number less one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By the kernel.
    missed: Vec<u64>,
    /// Hits without a run, by CPU.
    passed_over: Vec<Vec<u64>>,
}

/// Where counts come from.
#[derive(Debug)]
struct Source {
    note: OwnedFd,
    missed: OwnedFd,
    passed: OwnedFd,
    /// The map `kprobes`.
    kprobes: MapHandle,
    /// The map `cpu_kprobes`.
    cpus: MapHandle,
    /// By CPU: it is known where it has its values. A CPU that is not was never online.
    noted: Vec<bool>,
}

impl Kprobes {
    /// With the programs, the maps `kprobes` and `cpu_kprobes`, and what is attached. The count
    /// begins now. None if this kernel does not run programs on request (Linux before 5.10), or if
    /// its structures are not found.
    ///
    /// # Errors
    /// Of dup(2), and of bpf(2).
    pub(super) fn new(
        programs: [BorrowedFd<'_>; PROGRAMS.len()],
        [kprobes, cpus]: [MapHandle; 2],
        attached: &[Kprobe<'_>],
    ) -> io::Result<Option<Self>> {
        let mut places = vec![0; kprobes.value_size() as usize];
        for it in attached {
            // struct kprobes: one word, then three of each.
            let fd = it.link.as_raw_fd() as u64 + 1;
            places[8 + (it.number - 1) * 24..][..8].copy_from_slice(&fd.to_ne_bytes());
        }
        kprobes.update(&0u32.to_ne_bytes(), &places, MapFlags::ANY).map_err(io::Error::other)?;
        let [find, note, missed, passed] = programs;
        if run(find, &mut [], None).ok() != Some(attached.len() as u32) {
            return Ok(None);
        }
        let watched = attached.iter().map(|it| {
            let (at, hook, is_end) = (it.number - 1, it.hook, it.is_end);
            Ok(Watched { at, hook, is_end, _link: it.link.try_clone_to_owned()? })
        });
        let watched = watched.collect::<io::Result<_>>()?;
        let source = Source {
            note: note.try_clone_to_owned()?,
            missed: missed.try_clone_to_owned()?,
            passed: passed.try_clone_to_owned()?,
            noted: vec![false; cpus.max_entries() as usize],
            kprobes,
            cpus,
        };
        let none = Counts {
            missed: vec![0; KPROBES],
            passed_over: vec![vec![0; KPROBES]; source.noted.len()],
        };
        let mut all = Self { source, watched, before: none, first: Counts::default() };
        // Hits before the program was there are no omissions.
        all.since_before()?;
        all.first = all.before.clone();
        Ok(Some(all))
    }

    /// What was passed over since the call before.
    pub(super) fn since_before(&mut self) -> io::Result<Vec<Skip>> {
        let now = self.source.now(&self.before)?;
        let counts = counts(&self.watched, &self.before, &now);
        let skips =
            self.watched.iter().zip(counts).filter(|(_, (missed, passed))| missed + passed > 0);
        let skips = skips
            .map(|(it, (missed, passed))| Skip {
                hook: it.hook,
                count: missed + passed,
                has_ends: it.is_end,
            })
            .collect();
        self.before = now;
        Ok(skips)
    }

    /// Of each kprobe, in the order in which they were given, what was passed over since the count
    /// began and until the last call of [`Self::since_before`]: by the kernel's count, and by ours.
    pub(super) fn since_first(&self) -> Vec<(u64, u64)> {
        counts(&self.watched, &self.first, &self.before)
    }
}

/// Each as [`Kprobes::since_first`].
fn counts(watched: &[Watched], before: &Counts, now: &Counts) -> Vec<(u64, u64)> {
    let each = watched.iter().map(|it| {
        let cpus = before.passed_over.iter().zip(&now.passed_over);
        let passed = cpus.map(|(before, now)| more(before[it.at], now[it.at])).sum();
        (now.missed[it.at].saturating_sub(before.missed[it.at]), passed)
    });
    each.collect()
}

/// More runs than hits cannot be: what that hides counts as one that was passed over.
fn more(before: u64, now: u64) -> u64 {
    if now.cast_signed() < 0 { 1 } else { now.saturating_sub(before) }
}

impl Source {
    fn now(&mut self, before: &Counts) -> io::Result<Counts> {
        let missed = self.missed()?;
        let mut passed_over = Vec::with_capacity(self.noted.len());
        for cpu in 0..self.noted.len() {
            self.noted[cpu] = self.noted[cpu] || self.note(cpu)?;
            let before = &before.passed_over[cpu];
            passed_over.push(if self.noted[cpu] {
                let again = || self.passed(cpu);
                let there = || on_cpu(cpu, || self.passed(cpu)).transpose();
                confirmed(before, self.passed(cpu)?, there, again)?
            } else {
                before.clone()
            });
        }
        Ok(Counts { missed, passed_over })
    }

    /// Whether this CPU is online, and has noted where its values are.
    fn note(&self, cpu: usize) -> io::Result<bool> {
        match run(self.note.as_fd(), &mut [], Some(cpu as u32)) {
            Ok(noted) => Ok(noted == 1),
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn missed(&self) -> io::Result<Vec<u64>> {
        counted(run(self.missed.as_fd(), &mut [], None)?)?;
        let words = words(&self.kprobes, 0)?;
        Ok(words[1..].chunks_exact(3).map(|place| place[2]).collect())
    }

    fn passed(&self, cpu: usize) -> io::Result<Vec<u64>> {
        counted(run(self.passed.as_fd(), &mut [cpu as u64], None)?)?;
        let words = words(&self.cpus, cpu)?;
        Ok(words[1 + KPROBES..].to_vec())
    }
}

/// What a CPU has passed over, when it was counted from elsewhere first: `there` counts on the CPU
/// itself, if this thread may run on it; `again` counts from elsewhere.
fn confirmed(
    before: &[u64],
    first: Vec<u64>,
    there: impl FnOnce() -> io::Result<Option<Vec<u64>>>,
    mut again: impl FnMut() -> io::Result<Vec<u64>>,
) -> io::Result<Vec<u64>> {
    let has_more = |counts: &[u64]| counts.iter().zip(before).any(|(now, before)| now > before);
    if !has_more(&first) {
        return Ok(first);
    }
    if let Some(counts) = there()? {
        return Ok(counts);
    }
    // It is offline, where nothing is halfway, or this thread is kept away from it: a kprobe is
    // halfway for less than a microsecond.
    let mut least = first;
    for _ in 0..LOOKS {
        thread::sleep(BETWEEN_LOOKS);
        least = least.into_iter().zip(again()?).map(|(least, now)| least.min(now)).collect();
    }
    Ok(least)
}

/// How often a CPU is looked at that this thread may not run on.
const LOOKS: usize = 4;
/// Longer than a kprobe is halfway, unless the CPU itself is held up.
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// Works on this CPU; none if this process may not run there, the CPU is offline, or there may be no more
/// threads (`pids.max`): a recording must not end for that. In a thread of its own: what this one has put on itself it could not quite take back, since the CPUs that it may
/// have are shown without those that are offline.
fn on_cpu<T: Send>(cpu: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return None;
    }
    let there = || {
        // SAFETY: all-zero is the empty set, and the CPU is one that the set has room for.
        let set = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            set
        };
        // SAFETY: the set outlives the call, and the size is its own.
        let moved = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) == 0 };
        moved.then(work)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, there).ok()?;
        thread.join().expect("a thread that does not panic")
    })
}

fn counted(result: u32) -> io::Result<()> {
    if result == 1 { Ok(()) } else { Err(io::Error::other("the kprobes are not found any more")) }
}

/// Runs a program with these arguments, on this CPU if there is one; its result.
fn run(program: BorrowedFd<'_>, arguments: &mut [u64], cpu: Option<u32>) -> io::Result<u32> {
    // SAFETY: all-zero options are the defaults; the size field says how much of them we know.
    let mut opts: bpf_test_run_opts = unsafe { std::mem::zeroed() };
    opts.sz = size_of_val(&opts) as _;
    if !arguments.is_empty() {
        opts.ctx_in = arguments.as_ptr().cast();
        opts.ctx_size_in = size_of_val(arguments) as u32;
    }
    if let Some(cpu) = cpu {
        (opts.cpu, opts.flags) = (cpu, BPF_F_TEST_RUN_ON_CPU);
    }
    // SAFETY: the options outlive the call, and the memory that they name does.
    match unsafe { bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) } {
        0 => Ok(opts.retval),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An element of an array map, as words.
fn words(map: &MapHandle, at: usize) -> io::Result<Vec<u64>> {
    let value = map.lookup(&(at as u32).to_ne_bytes(), MapFlags::ANY).map_err(io::Error::other)?;
    let value = value.ok_or_else(|| io::Error::other("the map has no such element"))?;
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight octets"));
    Ok(value.chunks_exact(8).map(word).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const NEVER: fn() -> io::Result<Vec<u64>> = || panic!("nothing asks for that");

    #[test]
    fn a_cpu_that_has_no_more_than_before_is_not_asked_twice() {
        let there = || panic!("nothing asks for that");
        assert_eq!(confirmed(&[2, 5], vec![2, 5], there, NEVER).unwrap(), [2, 5]);
        let there = || panic!("nothing asks for that");
        assert_eq!(confirmed(&[2, 5], vec![2, 4], there, NEVER).unwrap(), [2, 4]);
    }

    /// A hit whose program had not begun yet when it was counted from another CPU. If it were kept,
    /// the next that is passed over would go unnoticed.
    #[test]
    fn a_hit_that_is_halfway_is_not_passed_over() {
        let there = || Ok(Some(vec![2, 5]));
        assert_eq!(confirmed(&[2, 5], vec![3, 5], there, NEVER).unwrap(), [2, 5]);
        let there = || Ok(Some(vec![3, 5]));
        assert_eq!(confirmed(&[2, 5], vec![3, 5], there, NEVER).unwrap(), [3, 5]);
    }

    #[test]
    fn a_cpu_that_nobody_may_run_on_is_looked_at_again() {
        let mut looks = [vec![3, 6], vec![2, 6], vec![3, 6], vec![2, 7]].into_iter();
        let again = || Ok(looks.next().expect("as many looks"));
        assert_eq!(confirmed(&[2, 5], vec![3, 6], || Ok(None), again).unwrap(), [2, 6]);
        let again = || Err(io::Error::from_raw_os_error(libc::EPERM));
        assert!(confirmed(&[2], vec![3], || Ok(None), again).is_err());
    }

    #[test]
    fn what_was_passed_over_is_the_difference_of_two_counts_on_all_cpus() {
        let link = || File::open("/dev/null").expect("there is one").into();
        let watched = |at, hook| Watched { at, hook, is_end: false, _link: link() };
        let watched = [watched(0, Hook::Egress), watched(2, Hook::ParseHdr)];
        let before = Counts { missed: vec![1, 0, 7], passed_over: vec![vec![4, 0, 0], vec![0; 3]] };
        assert_eq!(counts(&watched, &before, &before), [(0, 0), (0, 0)]);
        let wrong =
            Counts { passed_over: vec![vec![u64::MAX, 0, 0], vec![0; 3]], ..before.clone() };
        assert_eq!(counts(&watched, &before, &wrong), [(0, 1), (0, 0)]);
        assert_eq!(counts(&watched, &wrong, &wrong), [(0, 1), (0, 0)]);
        let now = Counts { missed: vec![3, 9, 7], passed_over: vec![vec![4, 8, 1], vec![0, 0, 2]] };
        assert_eq!(counts(&watched, &before, &now), [(2, 0), (0, 3)]);
    }

    #[test]
    fn work_is_done_on_the_cpu_that_was_asked_for() {
        // SAFETY: it has no arguments.
        let cpu = || unsafe { libc::sched_getcpu() };
        let at = cpu() as usize;
        assert_eq!(on_cpu(at, cpu), Some(at as i32));
        assert_eq!(on_cpu(usize::MAX, cpu), None);
    }
}
