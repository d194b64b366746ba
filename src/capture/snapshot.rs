//! The polls of `--snapshots`: all sockets of the host, at absolute deadlines in the recorder's loop.

use std::{
    fs::File,
    io::{self, Read as _},
    time::Duration,
};

use libbpf_rs::{Iter, Link, MapCore as _, MapFlags, MapHandle};

use super::{CaptureError, clock, drain::Drain, load::Loaded, netns};
use crate::log::LedgerRow;

/// How `--snapshots` polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// Time between two polls.
    pub interval: Duration,
    /// Every Nth socket, by a hash of its cookie.
    pub sample: u32,
    /// Only sockets of which anything but the time changed since they were last sent.
    pub changed_only: bool,
}

/// Sockets sent between two rounds of the drain: at some 570 bytes each, half of the ring.
const PACE: usize = 8192;
/// How often the host is searched for namespaces.
const SEARCH_NS: u64 = 1_000_000_000;
/// A poll that takes more of its interval than this says so.
const SLOW_PERCENT: u64 = 80;

/// Polls all sockets.
pub(super) struct Poller {
    link: Link,
    numbers: MapHandle,
    interval_ns: u64,
    next_ns: u64,
    number: u32,
    /// The recorder's own namespace.
    home: File,
    home_inode: u32,
    /// Those asked for; empty for all.
    wanted: Vec<u32>,
    /// The others, held open until the next search: a namespace lives as long as a file of it.
    namespaces: Vec<(u32, File)>,
    searched_ns: u64,
    slow: u64,
}

impl Poller {
    /// Attaches the iterator, for which [`Loaded::obstacle_to_polls`] must know no obstacle; the
    /// first poll is due at once.
    pub(super) fn new(
        loaded: &Loaded,
        snapshots: Snapshots,
        wanted: Vec<u32>,
    ) -> Result<Self, CaptureError> {
        let program = loaded.iterator("poll").expect("obstacles were asked for");
        let link = program.attach().map_err(fault)?;
        let home = File::open("/proc/self/ns/net").map_err(entering)?;
        let home_inode = netns::inode(&home).map_err(entering)?;
        Ok(Self {
            link,
            numbers: loaded.map("poll_numbers")?,
            interval_ns: snapshots.interval.as_nanos() as u64,
            next_ns: clock::monotonic_ns(),
            number: 0,
            home,
            home_inode,
            wanted,
            namespaces: Vec::new(),
            searched_ns: 0,
            slow: 0,
        })
    }

    /// How long it is until the next poll.
    pub(super) fn until_due(&self) -> Duration {
        Duration::from_nanos(self.next_ns.saturating_sub(clock::monotonic_ns()))
    }

    /// Polls that took more than their share of the interval.
    pub(super) const fn slow(&self) -> u64 {
        self.slow
    }

    /// Polls if it is time.
    pub(super) fn poll(&mut self, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
        let begun = clock::monotonic_ns();
        let Some(late_ns) = begun.checked_sub(self.next_ns) else { return Ok(()) };
        // Deadlines are absolute: what is late does not shift those after it, and one that has
        // passed altogether is left out, or a host that cannot keep up would never catch up.
        let missed = late_ns / self.interval_ns;
        if missed > 0 || late_ns > self.interval_ns / 2 {
            drain.note(&LedgerRow::LatePoll { ts_ns: begun, late_ns, missed })?;
        }
        self.next_ns += (missed + 1) * self.interval_ns;
        self.number = self.number.wrapping_add(missed as u32);
        self.numbers
            .update(&0u32.to_ne_bytes(), &self.number.to_ne_bytes(), MapFlags::ANY)
            .map_err(fault)?;
        self.number = self.number.wrapping_add(1);
        if begun - self.searched_ns >= SEARCH_NS {
            self.search(begun);
        }
        if self.is_wanted(self.home_inode) {
            run(Iter::new(&self.link).map_err(fault)?, drain)?;
        }
        for (_, ns) in &self.namespaces {
            // An iterator belongs to the namespace it is made in, and can be read from any.
            let iter = netns::visit(ns, &self.home, || Iter::new(&self.link)).map_err(entering)?;
            run(iter.map_err(fault)?, drain)?;
        }
        let ended = clock::monotonic_ns();
        if (ended - begun) * 100 > self.interval_ns * SLOW_PERCENT {
            self.slow += 1;
            drain.note(&LedgerRow::SlowPoll { ts_ns: ended, since_ns: begun })?;
        }
        Ok(())
    }

    fn is_wanted(&self, inode: u32) -> bool {
        self.wanted.is_empty() || self.wanted.contains(&inode)
    }

    fn search(&mut self, now_ns: u64) {
        // Let go of the old ones first, so that a namespace that is over is not found through us.
        self.namespaces.clear();
        let others = netns::all().into_iter().filter(|(inode, _)| *inode != self.home_inode);
        self.namespaces = others.filter(|(inode, _)| self.is_wanted(*inode)).collect();
        self.searched_ns = now_ns;
    }
}

fn fault(e: libbpf_rs::Error) -> CaptureError {
    CaptureError::bpf("poll the sockets of this host", e)
}

fn entering(e: io::Error) -> CaptureError {
    CaptureError::io("enter a network namespace", e)
}

/// Reading to the end is what runs the program; it writes an octet for each socket it sends.
fn run(mut iter: Iter, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    let mut octets = [0; PACE];
    loop {
        match iter.read(&mut octets) {
            Ok(0) => return Ok(()),
            // A few can wait for the round that comes anyway.
            Ok(n) if n < PACE / 2 => {}
            Ok(_) => drain.round()?,
            // The kernel pauses after a million objects of which none was sent (bpf_seq_read).
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(CaptureError::io("poll the sockets of this host", e)),
        }
    }
}
