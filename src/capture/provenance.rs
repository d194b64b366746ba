// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The settings of each network namespace that has recorded connections. A thread of its own reads
//! them, since that takes milliseconds, and goes from one namespace to the next.

mod interfaces;

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use super::{clock, host, netns};
use crate::log::Namespace;

/// A namespace in which a connection was seen, and its owner, who is in it most likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub netns: u32,
    pub pid: u32,
}

/// Namespaces of which the manifest has the settings, each some 8 kB. It is written whole whenever there is a new one,
/// and has a bound for its readers.
const MOST: usize = 2_000;

/// Reads the settings of namespaces as they are seen.
#[derive(Debug)]
pub(super) struct Provenance {
    seen: Option<Sender<Sighting>>,
    thread: Option<JoinHandle<()>>,
    found: Arc<Mutex<Vec<Namespace>>>,
    /// Namespaces that the caller has been given.
    given: usize,
}

impl Provenance {
    pub(super) fn start() -> Self {
        let (seen, sightings) = channel();
        let found = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&found);
        let thread = thread::spawn(move || read(&sightings, &results));
        Self { seen: Some(seen), thread: Some(thread), found, given: 0 }
    }

    /// Has the settings of these read; each is to be given once.
    pub(super) fn see(&self, sightings: Vec<Sighting>) {
        for sighting in sightings {
            // The thread lives as long as this end of the channel.
            let _ = self.seen.as_ref().map(|seen| seen.send(sighting));
        }
    }

    /// All namespaces so far, in the order of their numbers, if there are more than at the last call. No more than
    /// [`MOST`].
    pub(super) fn news(&mut self) -> Option<Vec<Namespace>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() == self.given {
            return None;
        }
        self.given = found.len();
        // In the order in which they were read: which are kept does not change.
        let mut all: Vec<_> = found.iter().take(MOST).cloned().collect();
        all.sort_by_key(|namespace| namespace.netns);
        Some(all)
    }

    /// Waits until all that were seen are read.
    pub(super) fn settle(&mut self) {
        self.seen = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread does not panic");
        }
    }
}

fn read(sightings: &Receiver<Sighting>, results: &Mutex<Vec<Namespace>>) {
    let home = File::open("/proc/thread-self/ns/net");
    for sighting in sightings {
        let found = match &home {
            Ok(home) => look(sighting, home),
            Err(e) => Err(format!("the recorder's own cannot be opened: {e}")),
        };
        let namespace = found.unwrap_or_else(|reason| Namespace {
            netns: sighting.netns,
            reason: Some(reason),
            ..Namespace::default()
        });
        results.lock().unwrap_or_else(PoisonError::into_inner).push(namespace);
    }
}

/// Goes into the namespace and back.
fn look(Sighting { netns, pid }: Sighting, home: &File) -> Result<Namespace, String> {
    let is_it = |file: &File| netns::inode(file).is_ok_and(|inode| inode == netns);
    let of_owner = File::open(Path::new("/proc").join(pid.to_string()).join("ns/net"));
    let ns = of_owner.ok().filter(is_it).or_else(|| netns::known().remove(&netns));
    let ns = ns.ok_or("no process, name or mount leads to it, or it may not be looked at")?;
    let entered = netns::visit(&ns, home, || Namespace {
        netns,
        reason: None,
        read_ns: clock::monotonic_ns(),
        sysctls: host::sysctls(),
        qdiscs: host::qdiscs(),
        interfaces: interfaces::interfaces().unwrap_or_default(),
    });
    entered.map_err(|e: io::Error| format!("it cannot be entered: {e}"))
}
