// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Reads connections at rest: changes of the socket after the last hook's record are recorded at most
//! one resolution after that hook (bpf/rest.bpf.h, bpf/look.bpf.h). Also reads all connections once when
//! the recording ends.
//!
//! A look needs the socket's lock, since the state of a connection is protected by it. An iterator
//! over the sockets holds it from Linux 5.15 on. Where hooks are kprobes a dump of inet_diag takes it,
//! socket by socket, and a program at the end of the function that does is run under it.

mod slots;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    mem::offset_of,
    path::Path,
    rc::Rc,
    thread,
    time::Duration,
};

use libbpf_rs::{Iter, Link, MapCore as _, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

pub(super) use self::slots::Timing;
use self::slots::{SLOTS, Slots};
use super::{
    CaptureError, clock,
    diag::Diag,
    drain::Drain,
    host,
    load::{Attached, Loaded},
    netns,
    points::HookSet,
    shared::{Array, OfCpus},
    sight, walk,
};
use crate::{
    log::NotSeen,
    schema::{
        Hook,
        record::{Look, LookingFor},
    },
};

/// How sockets are gone through.
enum SocketWalk {
    Iterator(Link),
    /// By namespace, with the socket made in it.
    Dumps {
        diags: BTreeMap<u32, Diag>,
        looking: Looking,
        buffer: Vec<u8>,
    },
}

/// The purpose of a dump, as the programs in the kernel know it: `struct looking` of bpf/kprobe.bpf.c.
struct Looking {
    map: Array,
    tgid: u32,
}

impl Looking {
    fn set(&self, what: Look) -> Result<(), CaptureError> {
        let mut value = [0; LookingFor::SIZE];
        value[offset_of!(LookingFor, tgid)..][..4].copy_from_slice(&self.tgid.to_ne_bytes());
        value[offset_of!(LookingFor, what)..][..4].copy_from_slice(&(what as u32).to_ne_bytes());
        self.map.set(0, &[u64::from_ne_bytes(value)]).map_err(looking_fault)
    }
}

/// How a connection that begins to wait wakes the recorder.
struct Alarm {
    asleep: MapHandle,
    ring: RingBuffer<'static>,
    /// It has rung since it was last set, or was not set yet.
    rung: Rc<Cell<bool>>,
}

impl Alarm {
    fn new(loaded: &Loaded) -> Result<Self, CaptureError> {
        let map = loaded.map("alarm")?;
        let rung = Rc::new(Cell::new(true));
        let seen = Rc::clone(&rung);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&map, move |_| {
                seen.set(true);
                0
            })
            .map_err(fault)?;
        let ring = builder.build().map_err(fault)?;
        Ok(Self { asleep: loaded.map("asleep")?, ring, rung })
    }

    fn set(&self) -> Result<(), CaptureError> {
        let (key, asleep) = (0u32.to_ne_bytes(), 1u32.to_ne_bytes());
        self.asleep.update(&key, &asleep, MapFlags::ANY).map_err(fault)
    }
}

/// Looks at connections that rest.
pub(super) struct Rest {
    source: SocketWalk,
    slots: Slots,
    counts: OfCpus,
    /// None where the hooks are kprobes.
    alarm: Option<Alarm>,
    /// Held open while there are connections in them, which hold them, too.
    namespaces: BTreeMap<u32, File>,
    home: File,
    /// When the host was last searched for these, to which no owner leads.
    searched: BTreeMap<u32, u64>,
    /// No look before then.
    pause_ns: u64,
}

/// Looks take a tenth of a CPU at most: one is followed by none for this many times as long.
const PAUSE_TIMES: u64 = 9;
/// Connections sent between two rounds of the drain: 1.5 kB each at most, of a 4 MiB ring.
const PACE: usize = 512;
/// Sockets of a dump between two rounds: perf buffers are smaller.
const DUMP_PACE: usize = 128;
const SEARCH_NS: u64 = 1_000_000_000;
/// Between two rounds of the drain while namespaces are looked at.
const DRAIN_NS: u64 = 10_000_000;

impl Rest {
    /// Where no look is possible, why not, for the manifest; neither where the hook was left out.
    pub(super) fn new(
        loaded: &Loaded,
        attached: &Attached,
        resolution_ns: u64,
    ) -> Result<(Option<Self>, Option<NotSeen>), CaptureError> {
        let status = attached.status.iter().find(|s| s.hook == Hook::Sweep.name());
        let reason = status.and_then(|s| s.reason.as_deref());
        if reason.is_some_and(|reason| sight::ON_REQUEST.contains(&reason)) {
            return Ok((None, None));
        }
        let kprobe = attached.set() == HookSet::Kprobe;
        let dumps = if attached.locks { dumps(loaded)? } else { None };
        let locked = !kprobe || host::iterators_lock();
        let source = match (dumps, loaded.iterator("rest").filter(|_| locked)) {
            (Some(dumps), _) => dumps,
            (None, Some(program)) => SocketWalk::Iterator(program.attach().map_err(fault)?),
            (None, None) => {
                let reason = reason.unwrap_or(if attached.locks {
                    "the kernel has no tcp_diag (CONFIG_INET_TCP_DIAG, module tcp_diag)"
                } else {
                    "iterators hold the lock of a socket from Linux 5.15 on"
                });
                let what = format!("what changes after the last hook of a connection: {reason}");
                let by = "hooks".to_owned();
                return Ok((None, Some(NotSeen { by, what, variables: Vec::new() })));
            }
        };
        let alarm = if kprobe { None } else { Some(Alarm::new(loaded)?) };
        let rest = Self {
            source,
            slots: Slots::new(Timing::of(resolution_ns)),
            counts: OfCpus::new(loaded.map("resting")?),
            alarm,
            namespaces: BTreeMap::new(),
            home: File::open("/proc/self/ns/net").map_err(entering)?,
            searched: BTreeMap::new(),
            pause_ns: 0,
        };
        Ok((Some(rest), None))
    }

    /// Lets this time pass, and looks whenever it is due.
    pub(super) fn pass(
        &mut self,
        time: Duration,
        drain: &mut Drain<'_>,
    ) -> Result<(), CaptureError> {
        let end = clock::monotonic_ns() + time.as_nanos() as u64;
        loop {
            if clock::monotonic_ns() >= end {
                return Ok(());
            }
            read_slots(&self.counts, &mut self.slots)?;
            let now = clock::monotonic_ns();
            let due = self.slots.due_ns(now).map(|due| due.max(self.pause_ns));
            match due {
                Some(due) if due <= now => self.look(drain)?,
                Some(due) => thread::sleep(ns(due.min(end), now)),
                None => self.sleep(ns(end, now))?,
            }
        }
    }

    /// Sleeps while no connection waits. The alarm stays set until it has rung, so that a host on which
    /// nothing happens costs one call for each sleep.
    fn sleep(&mut self, time: Duration) -> Result<(), CaptureError> {
        let Some(alarm) = &self.alarm else {
            thread::sleep(time);
            return Ok(());
        };
        if alarm.rung.replace(false) {
            alarm.set()?;
            // A connection that began to wait just before did not trigger it.
            read_slots(&self.counts, &mut self.slots)?;
            if self.slots.due_ns(clock::monotonic_ns()).is_some() {
                return Ok(());
            }
        }
        // epoll_wait() counts in milliseconds: less than one would be none.
        let time = time.max(Duration::from_millis(1));
        match self.alarm.as_ref().expect("just used").ring.poll(time) {
            Err(e) if e.kind() != libbpf_rs::ErrorKind::Interrupted => Err(fault(e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Visits the sockets of all namespaces with connections, until no connection waits any more.
    fn look(&mut self, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
        let (begun, cpu) = (clock::monotonic_ns(), clock::thread_cpu_ns());
        // In which namespaces connections are, the drain knows from their openings.
        drain.round()?;
        self.find(drain)?;
        let mut over = false;
        let mut drained = begun;
        let mut gone = Vec::new();
        for (inode, ns) in &self.namespaces {
            // Each walk goes through the kernel's table of all connections; rings fill meanwhile.
            if clock::monotonic_ns() - drained >= DRAIN_NS {
                drain.round()?;
                drained = clock::monotonic_ns();
            }
            match &mut self.source {
                SocketWalk::Iterator(link) => {
                    // It belongs to the namespace it is made in, and can be read from any.
                    let Ok(Ok(iter)) = netns::visit(ns, &self.home, || Iter::new(link)) else {
                        // Without descriptors or memory nothing is read now; the next read tries again.
                        // This does not end the recording.
                        gone.push(*inode);
                        continue;
                    };
                    run(iter, begun, &self.counts, &mut self.slots, drain)?;
                }
                SocketWalk::Dumps { diags, looking, buffer } => {
                    let diag = diags.get_mut(inode).expect("made when it was found");
                    looking.set(Look::Rest)?;
                    let result = dump(diag, buffer, drain);
                    looking.set(Look::None)?;
                    result?;
                }
            }
            read_slots(&self.counts, &mut self.slots)?;
            over = self.slots.due(begun) == 0;
            if over {
                break;
            }
        }
        // Connections that were not read still wait; the pause bounds the cost of trying again.
        let is_whole = gone.is_empty();
        gone.iter().for_each(|inode| drop(self.namespaces.remove(inode)));
        let ended = clock::monotonic_ns();
        if !over && is_whole {
            self.slots.looked(begun, ended);
        }
        self.pause_ns = ended + (clock::thread_cpu_ns() - cpu) * PAUSE_TIMES;
        Ok(())
    }

    /// Opens the namespaces that have connections, and lets go of those that have none.
    fn find(&mut self, drain: &Drain<'_>) -> Result<(), CaptureError> {
        let wanted = drain.occupied_namespaces();
        self.namespaces.retain(|inode, _| wanted.contains_key(inode));
        self.searched.retain(|inode, _| wanted.contains_key(inode));
        if let SocketWalk::Dumps { diags, .. } = &mut self.source {
            diags.retain(|inode, _| wanted.contains_key(inode));
        }
        let now = clock::monotonic_ns();
        let mut all = None;
        for (inode, pid) in wanted {
            if self.namespaces.contains_key(&inode) {
                continue;
            }
            let is_it = |file: &File| netns::inode(file).is_ok_and(|found| found == inode);
            let mut ns = if is_it(&self.home) { self.home.try_clone().ok() } else { None };
            ns = ns.or_else(|| {
                let of_owner = Path::new("/proc").join(pid.to_string()).join("ns/net");
                File::open(of_owner).ok().filter(is_it)
            });
            let before = self.searched.get(&inode);
            if ns.is_none() && before.is_none_or(|before| now - before >= SEARCH_NS) {
                self.searched.insert(inode, now);
                ns = all.get_or_insert_with(netns::known).remove(&inode);
            }
            let Some(ns) = ns else { continue };
            match &mut self.source {
                // A namespace that cannot be entered is not read; this is reported at the start.
                SocketWalk::Iterator(_) => {
                    if netns::visit(&ns, &self.home, || ()).is_err() {
                        continue;
                    }
                }
                SocketWalk::Dumps { diags, .. } => {
                    let Ok(diag) = netns::visit(&ns, &self.home, Diag::new) else { continue };
                    diags.insert(inode, diag.map_err(asking)?);
                }
            }
            self.searched.remove(&inode);
            self.namespaces.insert(inode, ns);
            // Earlier reads left the connections that wait in it.
            self.slots.leave_nobody();
        }
        Ok(())
    }
}

fn ns(until: u64, now: u64) -> Duration {
    Duration::from_nanos(until.saturating_sub(now))
}

/// The last look, at all connections that are open, in every namespace: tcp_info first, then the last values.
pub(super) fn end(
    rest: Option<&mut Rest>,
    loaded: &Loaded,
    drain: &mut Drain<'_>,
) -> Result<(), CaptureError> {
    let Some(Rest { source: SocketWalk::Dumps { looking, buffer, .. }, .. }) = rest else {
        return walk::everywhere(loaded, &["account_end", "sweep"], drain);
    };
    // In one namespace right before the last values. In a walk of its own over all namespaces it was seconds before them
    // on a slow host, and a timer between the two leaves nothing to compare: four connections of 80 in a guest.
    let accounts = walk::attach(loaded, &["account_end"])?;
    for ns in netns::all().into_values() {
        let Ok(diag) = netns::inside(&ns, Diag::new) else { continue };
        let mut diag = diag.map_err(asking)?;
        // From Linux 5.15 on the iterator takes the same lock, and must not be looked at: the last look ends connections.
        walk::within(&ns, &accounts, drain)?;
        looking.set(Look::End)?;
        let result = dump(&mut diag, buffer, drain);
        looking.set(Look::None)?;
        result?;
        walk::between_namespaces(loaded, drain)?;
    }
    Ok(())
}

fn read_slots(counts: &OfCpus, slots: &mut Slots) -> Result<(), CaptureError> {
    let values = counts.get().map_err(looking_fault)?;
    slots.update(values.iter().map(|words| {
        let mut counts = [0; SLOTS];
        for (two, word) in counts.chunks_exact_mut(2).zip(words) {
            let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
            two.copy_from_slice(&[[a, b, c, d], [e, f, g, h]].map(i32::from_ne_bytes));
        }
        counts
    }));
    Ok(())
}

/// None if this kernel has no inet_diag: a first dump finds out.
fn dumps(loaded: &Loaded) -> Result<Option<SocketWalk>, CaptureError> {
    let looking = Looking { map: Array::new(loaded.map("looking")?), tgid: loaded.own_pid };
    looking.set(Look::None)?;
    let mut buffer = Vec::new();
    let mut try_it = || Diag::new()?.dump(&mut buffer, |_| io::Result::Ok(()));
    Ok(try_it().is_ok().then(|| SocketWalk::Dumps { diags: BTreeMap::new(), looking, buffer }))
}

/// Every datagram of the dump is filled when it is asked for, so programs run between rounds.
fn dump(diag: &mut Diag, buffer: &mut Vec<u8>, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    let mut sockets = 0;
    diag.dump(buffer, |_| -> Result<(), Failure> {
        sockets += 1;
        if sockets % DUMP_PACE == 0 {
            drain.round()?;
        }
        Ok(())
    })
    .map_err(|Failure(e)| e)
}

/// Reading is what runs the program; it writes an octet for each connection it sends. A read ends
/// when as many octets have come as were asked for: those of all who wait, and then the rest of the
/// kernel's table of connections need not be gone through.
fn run(
    mut iter: Iter,
    begun_ns: u64,
    counts: &OfCpus,
    slots: &mut Slots,
    drain: &mut Drain<'_>,
) -> Result<(), CaptureError> {
    let mut octets = [0; PACE];
    loop {
        let due = slots.due(begun_ns).min(PACE as u64) as usize;
        if due == 0 {
            return Ok(());
        }
        match iter.read(&mut octets[..due]) {
            Ok(0) => return Ok(()),
            Ok(n) if n < PACE / 2 => {}
            Ok(_) => drain.round()?,
            // The kernel pauses after a million objects of which none was sent (bpf_seq_read).
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(CaptureError::io("look at connections that rest", e)),
        }
        read_slots(counts, slots)?;
    }
}

/// An error of the dump, or of the work during it.
struct Failure(CaptureError);

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self(asking(e))
    }
}

impl From<CaptureError> for Failure {
    fn from(e: CaptureError) -> Self {
        Self(e)
    }
}

fn asking(e: io::Error) -> CaptureError {
    CaptureError::io("look at connections that rest, over netlink", e)
}

fn entering(e: io::Error) -> CaptureError {
    CaptureError::io("enter a network namespace", e)
}

fn looking_fault(e: io::Error) -> CaptureError {
    fault(e.into())
}

fn fault(e: libbpf_rs::Error) -> CaptureError {
    CaptureError::bpf("look at connections that rest", e)
}
