// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The polls of `--snapshots`: all sockets of the host, at absolute deadlines in the recorder's loop.

mod iterator;
mod netlink;

use std::{fs::File, io, time::Duration};

use self::{iterator::Iterators, netlink::Dumps};
use super::{CaptureError, Filters, Setting, clock, drain::Drain, load::Loaded, netns};
use crate::log::CaptureStat;

/// How `--snapshots` polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// Time between two polls.
    pub interval: Duration,
    /// Every Nth socket, by a hash of its cookie.
    pub sample: u32,
    /// Only sockets of which anything but the time changed since they were last sent.
    pub changed_only: bool,
    /// How sockets are read, or none for the best that the kernel and the hook set have.
    pub by: Option<PollsBy>,
}

/// A way to read all sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollsBy {
    /// A BPF iterator.
    Iterator,
    /// inet_diag over netlink.
    Netlink,
}

impl PollsBy {
    /// All ways.
    pub const ALL: &'static [Self] = &[Self::Iterator, Self::Netlink];

    /// The name in the command line and the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iterator => "iterator",
            Self::Netlink => "netlink",
        }
    }
}

impl Snapshots {
    /// The way that is taken.
    pub(super) fn by(&self, loaded: &Loaded) -> Result<PollsBy, CaptureError> {
        match (self.by, loaded.obstacle_to_polls()) {
            (Some(PollsBy::Iterator), Some(reason)) => Err(CaptureError::Option {
                setting: Setting::SnapshotsBy,
                value: PollsBy::Iterator.name().to_owned(),
                reason,
            }),
            (Some(by), _) => Ok(by),
            (None, None) => Ok(PollsBy::Iterator),
            (None, Some(_)) => Ok(PollsBy::Netlink),
        }
    }
}

/// How often the host is searched for namespaces.
const SEARCH_NS: u64 = 1_000_000_000;
/// A poll that takes more than this share of its interval is reported.
const SLOW_PERCENT: u64 = 80;

/// The source of a poll.
enum PollSource {
    Iterators(Iterators),
    Dumps(Box<Dumps>),
}

/// Polls all sockets.
pub(super) struct Poller {
    source: PollSource,
    interval_ns: u64,
    next_ns: u64,
    number: u32,
    /// The recorder's own namespace.
    home: File,
    /// Those asked for; empty for all.
    wanted: Vec<u32>,
    searched_ns: u64,
    slow: u64,
}

impl Poller {
    /// Makes ready to poll in this way; the first poll is due at once.
    pub(super) fn new(
        loaded: &Loaded,
        snapshots: Snapshots,
        by: PollsBy,
        filters: &Filters,
        only_recorded: bool,
    ) -> Result<Self, CaptureError> {
        let source = match by {
            PollsBy::Iterator => PollSource::Iterators(Iterators::new(loaded)?),
            PollsBy::Netlink => {
                PollSource::Dumps(Box::new(Dumps::new(snapshots, filters, only_recorded)))
            }
        };
        let mut poller = Self {
            source,
            interval_ns: snapshots.interval.as_nanos() as u64,
            next_ns: clock::monotonic_ns(),
            number: 0,
            home: File::open("/proc/self/ns/net").map_err(entering)?,
            wanted: filters.netns_inodes()?,
            searched_ns: 0,
            slow: 0,
        };
        poller.search(poller.next_ns)?;
        Ok(poller)
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
            drain.note(&CaptureStat::LatePoll { ts_ns: begun, late_ns, missed })?;
        }
        self.next_ns += (missed + 1) * self.interval_ns;
        self.number = self.number.wrapping_add(missed as u32);
        if begun - self.searched_ns >= SEARCH_NS {
            self.search(begun)?;
        }
        match &mut self.source {
            PollSource::Iterators(iterators) => iterators.poll(self.number, &self.home, drain)?,
            PollSource::Dumps(dumps) => dumps.poll(self.number, drain)?,
        }
        self.number = self.number.wrapping_add(1);
        let ended = clock::monotonic_ns();
        if (ended - begun) * 100 > self.interval_ns * SLOW_PERCENT {
            self.slow += 1;
            drain.note(&CaptureStat::SlowPoll { ts_ns: ended, since_ns: begun })?;
        }
        Ok(())
    }

    fn search(&mut self, now_ns: u64) -> Result<(), CaptureError> {
        // Let go of the old ones first, so that a namespace that is over is not found through us.
        match &mut self.source {
            PollSource::Iterators(iterators) => iterators.namespaces.clear(),
            PollSource::Dumps(dumps) => dumps.namespaces.clear(),
        }
        let all = netns::all().into_iter();
        let wanted = all.filter(|(i, _)| self.wanted.is_empty() || self.wanted.contains(i));
        match &mut self.source {
            PollSource::Iterators(iterators) => iterators.namespaces = wanted.collect(),
            PollSource::Dumps(dumps) => dumps.open(wanted, &self.home)?,
        }
        self.searched_ns = now_ns;
        Ok(())
    }
}

fn entering(e: io::Error) -> CaptureError {
    CaptureError::io("enter a network namespace", e)
}
