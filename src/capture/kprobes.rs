// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Kprobes that the kernel did not run, counted by us: before Linux 6.7 links and programs do not count
//! that by themselves. bpf/missed.bpf.h has the reasons for which the kernel skips one.
//!
//! A hit that the kernel has counted and whose program has not begun yet looks as if it was passed
//! over. As a number to compare with, that would hide what is passed over later. So a CPU that has more
//! than before, and still has it a moment later, is counted again by a thread on that CPU: there no
//! kprobe is halfway while the thread runs. Mostly no CPU has more, and then nothing was passed over.
//!
//! A thread cannot always come there: a cpuset keeps it away, or a real-time task has the CPU for itself.
//! Then what the CPU seems to have more is given out as passed over, so that rows of this time are
//! lossy. It is compared with only if the next count shows it, too; that count gives it out again.

mod cpu;

use std::{
    io,
    mem::offset_of,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::Duration,
};

use libbpf_rs::{
    MapHandle,
    libbpf_sys::{BPF_F_TEST_RUN_ON_CPU, bpf_prog_test_run_opts, bpf_test_run_opts},
};

use self::cpu::Cpu;
use super::{shared::Array, skips::Skip};
pub(super) use crate::schema::record::KPROBES;
use crate::schema::{
    Hook,
    record::{CpuKprobes, KprobePlace, KprobePlaces},
};

/// Words of a place.
const PLACE: usize = KprobePlace::SIZE / size_of::<u64>();

/// Where a member of a structure is, in words.
macro_rules! word_of {
    ($structure:ident, $member:ident) => {
        offset_of!($structure, $member) / size_of::<u64>()
    };
}

/// Where the first place is, in words.
const FIRST: usize = word_of!(KprobePlaces, of);

/// Programs of bpf/missed.bpf.h, in the order in which they are taken out of the object.
pub(super) const PROGRAMS: [&str; 4] = ["find_kprobes", "note_cpu", "count_missed", "count_passed"];

/// A kprobe or kretprobe that is attached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kprobe<'a> {
    /// Number of its program in the object, from 1 on.
    pub number: usize,
    pub hook: Hook,
    /// It is at the end of a function, and all such ends are counted here.
    pub is_end: bool,
    /// The kernel's own count (nmissed) is one of omissions.
    pub counts_missed: bool,
    pub link: BorrowedFd<'a>,
}

/// Kprobes whose links do not count.
#[derive(Debug)]
pub(super) struct Kprobes {
    source: Arc<CountSource>,
    watched: Vec<Watched>,
    /// By the kernel's count, by the kprobe's number less one.
    missed: Vec<u64>,
    places: Vec<CountedCpu>,
    /// By the order of `watched`.
    given: Vec<Given>,
}

#[derive(Debug)]
struct Watched {
    at: usize,
    hook: Hook,
    is_end: bool,
    counts_missed: bool,
    /// The structures that are read stay as long as this is open.
    _link: OwnedFd,
}

/// The skips reported for a kprobe since the count began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// By the kernel's count.
    pub missed: u64,
    /// Hits without a run.
    pub passed_over: u64,
    /// As many of these at most were none.
    pub unsure: u64,
}

/// A CPU, and how it is counted.
#[derive(Debug)]
struct CountedCpu {
    cpu: Cpu,
    /// It is known where it has its values. One of which it is not was never online.
    noted: bool,
    /// This process may run there, or might when the count began (taskset, a cpuset).
    is_ours: bool,
    /// A thread has not come to it in time.
    late: Option<Receiver<io::Result<Vec<u64>>>>,
    /// Where order is not kept ([`IS_ORDERED`]): the last count on this CPU, and what was seen of it from
    /// elsewhere just before.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    hits_and_runs: Vec<u64>,
    passed_over: Vec<u64>,
}

/// Where counts come from.
#[derive(Debug)]
struct CountSource {
    note: OwnedFd,
    missed: OwnedFd,
    passed: OwnedFd,
    /// The map `kprobes`.
    kprobes: Array,
    /// The map `cpu_kprobes`.
    cpus: Array,
}

/// The thread that counts (bpf/missed.bpf.h): two threads that count at once would mix their results.
#[derive(Clone, Copy, Debug)]
enum By {
    Recorder = 0,
    Thread = 1,
}

/// Whether a CPU sees what another has stored in the order in which it was stored. If it does not, a run
/// may be seen whose hit is not seen yet. Then too few skips are counted, and a skip that is counted one
/// count too late is missing in a row. So the program that counts is run on that CPU by an interrupt,
/// unless there was no kprobe since the last time: a CPU that is kept free is not disturbed.
const IS_ORDERED: bool = cfg!(target_arch = "x86_64");

/// How long a thread may take to come to its CPU. No ring is read meanwhile, and the default rings hold
/// ten times as long (docs/benchmarks.md). The scheduler mostly gives a new thread a busy CPU within a
/// few milliseconds.
const PATIENCE: Duration = Duration::from_millis(10);

impl Kprobes {
    /// With the programs, the maps `kprobes` and `cpu_kprobes`, and what is attached. The count
    /// begins now. None if this kernel does not run programs on request (Linux before 5.10), or if
    /// its structures are not found.
    ///
    /// # Errors
    /// Errors of dup(2), and of bpf(2).
    pub(super) fn new(
        programs: [BorrowedFd<'_>; PROGRAMS.len()],
        [kprobes, cpus]: [MapHandle; 2],
        attached: &[Kprobe<'_>],
    ) -> io::Result<Option<Self>> {
        let [kprobes, cpus] = [kprobes, cpus].map(Array::new);
        let mut places = vec![0; kprobes.words()];
        for it in attached {
            places[FIRST + (it.number - 1) * PLACE + word_of!(KprobePlace, fd)] =
                it.link.as_raw_fd() as u64 + 1;
        }
        kprobes.set(0, &places)?;
        let [find, note, missed, passed] = programs;
        if run(find, &[], None).ok() != Some(attached.len() as u32) {
            return Ok(None);
        }
        let watched = attached.iter().map(|it| {
            Ok(Watched {
                at: it.number - 1,
                hook: it.hook,
                is_end: it.is_end,
                counts_missed: it.counts_missed,
                _link: it.link.try_clone_to_owned()?,
            })
        });
        let watched = watched.collect::<io::Result<Vec<_>>>()?;
        let source = Arc::new(CountSource {
            note: note.try_clone_to_owned()?,
            missed: missed.try_clone_to_owned()?,
            passed: passed.try_clone_to_owned()?,
            kprobes,
            cpus,
        });
        let mut places: Vec<_> = (0..source.cpus.len()).map(CountedCpu::new).collect();
        for (number, place) in places.iter_mut().enumerate() {
            // Hits before the program was attached are not skips.
            place.count(&source, number)?;
        }
        let (given, missed) = (vec![Given::default(); watched.len()], source.missed()?);
        Ok(Some(Self { source, watched, missed, places, given }))
    }

    /// The skips since the call before. `between` is called after each CPU. If a count cannot be read,
    /// kprobes may have been skipped: then one skip of some hook is reported, and the next call
    /// continues.
    pub(super) fn since_before(&mut self, between: &mut dyn FnMut()) -> Vec<Skip> {
        let mut is_counted = true;
        let mut new = vec![0; KPROBES];
        match self.source.missed() {
            Ok(now) => {
                let before = std::mem::replace(&mut self.missed, now);
                for (it, given) in self.watched.iter().zip(&mut self.given) {
                    let missed = self.missed[it.at].saturating_sub(before[it.at]);
                    given.missed += missed;
                    if it.counts_missed {
                        new[it.at] += missed;
                    }
                }
            }
            Err(_) => is_counted = false,
        }
        for (number, place) in self.places.iter_mut().enumerate() {
            match place.count(&self.source, number) {
                Ok(passed) => {
                    for (it, given) in self.watched.iter().zip(&mut self.given) {
                        given.passed_over += passed[it.at];
                        new[it.at] += passed[it.at];
                    }
                }
                Err(_) => is_counted = false,
            }
            between();
        }
        if let (false, Some(first)) = (is_counted, self.watched.first()) {
            new[first.at] += 1;
        }
        let skips = self.watched.iter().filter(|it| new[it.at] > 0);
        skips.map(|it| Skip { hook: it.hook, count: new[it.at], has_ends: it.is_end }).collect()
    }

    /// The skips reported for each kprobe since the count began, in the order in which the kprobes were
    /// given.
    pub(super) fn given(&self) -> Vec<Given> {
        let unsure = |at: usize| self.places.iter().map(|place| place.cpu.unsure(at)).sum::<u64>();
        let each = self.watched.iter().zip(&self.given);
        each.map(|(it, given)| Given { unsure: unsure(it.at), ..*given }).collect()
    }
}

impl CountedCpu {
    fn new(number: usize) -> Self {
        let is_ours = may_run_on(number);
        Self { cpu: Cpu::new(KPROBES), noted: false, is_ours, late: None, last: None }
    }

    /// The skips to report for each kprobe.
    fn count(&mut self, source: &Arc<CountSource>, number: usize) -> io::Result<Vec<u64>> {
        self.noted = self.noted || source.note(number)?;
        if !self.noted {
            return Ok(vec![0; KPROBES]);
        }
        let Self { cpu, is_ours, late, last, .. } = self;
        let seen = cpu.see(
            || source.look(number, last),
            || if *is_ours { source.there(number, late) } else { Ok(None) },
        )?;
        Ok(cpu.take(seen))
    }
}

impl CountSource {
    /// Whether this CPU is online, and has noted where its values are.
    fn note(&self, cpu: usize) -> io::Result<bool> {
        match run(self.note.as_fd(), &[], Some(cpu as u32)) {
            Ok(noted) => Ok(noted == 1),
            Err(e) if is_offline(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn missed(&self) -> io::Result<Vec<u64>> {
        counted(run(self.missed.as_fd(), &[], None)?)?;
        let words = self.kprobes.get(0)?;
        let missed = word_of!(KprobePlace, missed);
        Ok(words[FIRST..].chunks_exact(PLACE).map(|place| place[missed]).collect())
    }

    /// Counts on another CPU, or this one; never too few.
    fn look(&self, cpu: usize, last: &mut Option<Last>) -> io::Result<Vec<u64>> {
        let arguments = [cpu as u64, By::Recorder as u64];
        counted(run(self.passed.as_fd(), &arguments, None)?)?;
        let values = Values::of(&self.cpus, cpu)?;
        if IS_ORDERED {
            return Ok(values.passed_over(By::Recorder));
        }
        let hits_and_runs = values.hits_and_runs();
        if let Some(last) = last
            && last.hits_and_runs == hits_and_runs
        {
            return Ok(last.passed_over.clone());
        }
        let passed_over = match run(self.passed.as_fd(), &arguments, Some(cpu as u32)) {
            Ok(result) => {
                counted(result)?;
                Values::of(&self.cpus, cpu)?.passed_over(By::Recorder)
            }
            // Whatever it has stored is seen since it went.
            Err(e) if is_offline(&e) => values.passed_over(By::Recorder),
            Err(e) => return Err(e),
        };
        *last = Some(Last { hits_and_runs, passed_over: passed_over.clone() });
        Ok(passed_over)
    }

    /// Counts by a thread on this CPU. None if it does not come there in time, or at all.
    fn there(
        self: &Arc<Self>,
        cpu: usize,
        late: &mut Option<Receiver<io::Result<Vec<u64>>>>,
    ) -> io::Result<Option<Vec<u64>>> {
        if let Some(one) = late {
            // It counted too long ago by now; another one is sent when it has gone.
            match one.try_recv() {
                Err(TryRecvError::Empty) => return Ok(None),
                Ok(_) | Err(TryRecvError::Disconnected) => *late = None,
            }
        }
        let source = Arc::clone(self);
        let count = move || -> io::Result<Vec<u64>> {
            let arguments = [cpu as u64, By::Thread as u64];
            counted(run(source.passed.as_fd(), &arguments, None)?)?;
            Ok(Values::of(&source.cpus, cpu)?.passed_over(By::Thread))
        };
        let Some(thread) = on_cpu(cpu, count) else { return Ok(None) };
        match thread.recv_timeout(PATIENCE) {
            Ok(counts) => counts.map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                *late = Some(thread);
                Ok(None)
            }
        }
    }
}

/// The words of [`CpuKprobes`].
struct Values(Vec<u64>);

impl Values {
    fn of(cpus: &Array, cpu: usize) -> io::Result<Self> {
        cpus.get(cpu).map(Self)
    }

    fn hits_and_runs(&self) -> Vec<u64> {
        let at = |first: usize| &self.0[first..][..KPROBES];
        [at(word_of!(CpuKprobes, runs)), at(word_of!(CpuKprobes, hits))].concat()
    }

    fn passed_over(&self, by: By) -> Vec<u64> {
        self.0[word_of!(CpuKprobes, passed_over) + by as usize * KPROBES..][..KPROBES].to_vec()
    }
}

/// No CPU.
fn no_cpus() -> libc::cpu_set_t {
    // SAFETY: all-zero is the empty set.
    unsafe { std::mem::zeroed() }
}

const fn has_room_for(cpu: usize) -> bool {
    cpu < libc::CPU_SETSIZE as usize
}

/// Whether this thread may run on this CPU.
fn may_run_on(cpu: usize) -> bool {
    let mut set = no_cpus();
    // SAFETY: the kernel writes into the set, whose size is its own.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result != 0 || !has_room_for(cpu) {
        return false;
    }
    // SAFETY: the set has room for this CPU.
    unsafe { libc::CPU_ISSET(cpu, &set) }
}

/// Runs work on this CPU, in a thread of its own. The calling thread could not undo its own pinning
/// completely, because its affinity is shown without CPUs that are offline. The receiver gets nothing if
/// the thread may not run there. None if no thread can be made now.
fn on_cpu<T: Send + 'static>(
    cpu: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<Receiver<T>> {
    if !has_room_for(cpu) {
        return None;
    }
    let mut set = no_cpus();
    // SAFETY: the set has room for this CPU.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    let (done, receiver) = mpsc::sync_channel(1);
    let there = move || {
        // SAFETY: the set outlives the call, and the size is its own.
        if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } == 0 {
            // The caller no longer waits for one that comes late.
            let _ = done.send(work());
        }
    };
    thread::Builder::new().spawn(there).is_ok().then_some(receiver)
}

fn is_offline(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENXIO)
}

fn counted(result: u32) -> io::Result<()> {
    if result == 1 { Ok(()) } else { Err(io::Error::other("the kprobes are not found any more")) }
}

/// Runs a program with these arguments, on this CPU if there is one; its result.
fn run(program: BorrowedFd<'_>, arguments: &[u64], cpu: Option<u32>) -> io::Result<u32> {
    // SAFETY: all-zero options are the defaults; the size field states how many of them we know.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_on_the_cpu_that_was_asked_for() {
        // SAFETY: it has no arguments.
        let cpu = || unsafe { libc::sched_getcpu() };
        let at = cpu() as usize;
        assert!(may_run_on(at));
        assert_eq!(on_cpu(at, cpu).expect("a thread").recv(), Ok(at as i32));
        assert!(on_cpu(usize::MAX, cpu).is_none() && !may_run_on(usize::MAX));
        // There is no such CPU: the thread ends without a result.
        let nowhere = libc::CPU_SETSIZE as usize - 1;
        if !may_run_on(nowhere) {
            assert!(on_cpu(nowhere, cpu).expect("a thread").recv().is_err());
        }
    }

    #[test]
    fn the_values_of_a_cpu_stand_in_the_order_of_the_structure() {
        let values = Values((0..=4 * KPROBES as u64).collect());
        assert_eq!(values.hits_and_runs()[0], 1);
        assert_eq!(values.hits_and_runs().len(), 2 * KPROBES);
        let first = |by| values.passed_over(by)[0] as usize;
        assert_eq!((first(By::Recorder), first(By::Thread)), (1 + 2 * KPROBES, 1 + 3 * KPROBES));
        assert_eq!(values.passed_over(By::Thread).len(), KPROBES);
    }
}
