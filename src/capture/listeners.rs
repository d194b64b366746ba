// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Polls of the listening sockets of all network namespaces: a dump of inet_diag in each, with what the
//! namespace itself counted. inet_diag has them on every kernel and with every hook set; a BPF iterator
//! would be a second way that kernels before 5.9 do not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use super::{CaptureError, Filters, clock, diag::Diag, drain::Drain, netns};
use crate::{
    log::NotSeen,
    schema::{SocketField, Why},
    wire::Snapshot,
};

/// Time between two polls.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Time between two searches for namespaces: each looks at every process.
const SEARCH_NS: u64 = 5_000_000_000;
/// The counters of the calling thread's namespace; /proc/net is that of the process.
const NETSTAT: &str = "/proc/thread-self/net/netstat";

/// Polls the listening sockets.
pub(super) struct Listeners {
    /// The recorder's own namespace.
    home: File,
    /// Those asked for; empty for all.
    wanted: Vec<u32>,
    filters: Filters,
    /// Paths, and no files: a file of ours would keep a namespace alive from one search to the next.
    places: BTreeMap<u32, PathBuf>,
    /// Those that could not be read, each reported once.
    unread: BTreeSet<u32>,
    news: Vec<NotSeen>,
    searched_ns: u64,
    next_ns: u64,
    number: u32,
    buffer: Vec<u8>,
}

impl Listeners {
    /// Makes ready to poll; or what cannot be seen, where this kernel has no dumps of inet_diag.
    pub(super) fn new(filters: &Filters) -> Result<Result<Self, NotSeen>, CaptureError> {
        let mut buffer = Vec::new();
        let trial = Diag::new().and_then(|mut diag| diag.dump_listeners(&mut buffer, |_| Ok(())));
        if let Err(e) = trial {
            return Ok(Err(NotSeen {
                by: "kernel".to_owned(),
                what: format!(
                    "listening sockets: inet_diag does not give them ({e}; the module tcp_diag may be missing)"
                ),
                variables: Vec::new(),
            }));
        }
        Ok(Ok(Self {
            home: File::open("/proc/self/ns/net").map_err(entering)?,
            wanted: filters.netns_inodes()?,
            filters: filters.clone(),
            places: BTreeMap::new(),
            unread: BTreeSet::new(),
            news: Vec::new(),
            searched_ns: 0,
            next_ns: 0,
            number: 0,
            buffer,
        }))
    }

    /// Polls if it is time.
    pub(super) fn follow(&mut self, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
        if clock::monotonic_ns() < self.next_ns { Ok(()) } else { self.poll(drain) }
    }

    /// Namespaces that could not be read since the last call; each is in it once.
    pub(super) fn news(&mut self) -> Vec<NotSeen> {
        std::mem::take(&mut self.news)
    }

    /// Polls now.
    pub(super) fn poll(&mut self, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
        let now = clock::monotonic_ns();
        if self.places.is_empty() || now - self.searched_ns >= SEARCH_NS {
            self.places = netns::places();
            let Self { places, wanted, .. } = self;
            places.retain(|inode, _| wanted.is_empty() || wanted.contains(inode));
            self.searched_ns = now;
            drain.round_if_due()?;
        }
        let Self { home, filters, places, number, buffer, unread, news, .. } = self;
        // These polls were not requested, so a namespace that cannot be read, because memory or
        // descriptors are used up, does not end the recording. It has no rows of this poll.
        let mut report = |inode: u32, e: io::Error| {
            if unread.insert(inode) {
                news.push(NotSeen {
                    by: "kernel".to_owned(),
                    what: format!(
                        "listening sockets of network namespace {inode}, at times: they could not be read ({e})"
                    ),
                    variables: Vec::new(),
                });
            }
        };
        for (&inode, path) in &*places {
            drain.round_if_due()?;
            // Its process, or its name, may be gone, and the path another namespace's.
            let Ok(ns) = File::open(path) else { continue };
            if !ns.metadata().is_ok_and(|meta| meta.ino() as u32 == inode) {
                continue;
            }
            let opened = netns::visit(&ns, home, || {
                Diag::new().map(|diag| (diag, fs::read_to_string(NETSTAT).unwrap_or_default()))
            });
            let opened = match opened {
                Ok(opened) => opened,
                Err(e) => {
                    // Nothing may be done in another namespace.
                    netns::enter(home).map_err(entering)?;
                    Err(e)
                }
            };
            let mut found = Vec::new();
            let read = opened.and_then(|(mut diag, netstat)| {
                diag.dump_listeners(buffer, |snapshot| -> io::Result<()> {
                    found.push(snapshot);
                    Ok(())
                })?;
                Ok(netstat)
            });
            let counters = match read {
                Ok(netstat) => counters(&netstat),
                Err(e) => {
                    report(inode, e);
                    continue;
                }
            };
            for mut snapshot in found.into_iter().filter(|s| passes(filters, s)) {
                snapshot.why = Why::Listener;
                snapshot.netns = inode;
                snapshot.poll = Some(*number);
                // The structure ends where the kernel stops to fill it; the rest means nothing here.
                snapshot.tcp_info_more.clear();
                for (field, value) in &counters {
                    snapshot.values.set(*field, Some(*value));
                }
                drain.polled(snapshot)?;
            }
        }
        self.number = self.number.wrapping_add(1);
        // From the end: polls of many namespaces that take longer than this do not follow each other at once.
        self.next_ns = clock::monotonic_ns() + INTERVAL_NS;
        Ok(())
    }
}

/// Whether connections of this listening socket may be recorded: to a wildcard address any connection may
/// come, and the remote end is not known.
fn passes(filters: &Filters, s: &Snapshot) -> bool {
    let mut filters = filters.clone();
    // A port that is filtered may be the remote one, but servers are looked for by theirs.
    if s.local_addr == [0; 16] {
        filters.addresses.clear();
        filters.not_addresses.clear();
    }
    filters.pass(s)
}

/// The counters that a namespace's `netstat` has.
fn counters(netstat: &str) -> Vec<(SocketField, u64)> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Vec::new() };
    let all = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
    let ours = |(name, value): (&str, &str)| {
        let field = SocketField::by_name(name).filter(|field| field.is_of_netns())?;
        Some((field, value.parse().ok()?))
    };
    all.filter_map(ours).collect()
}

fn entering(e: io::Error) -> CaptureError {
    CaptureError::io("enter a network namespace", e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let netstat = "TcpExt: SyncookiesSent Other ListenOverflows ListenDrops\n\
                       TcpExt: 3 9 17 18\nIpExt: InNoRoutes\nIpExt: 5\n";
        let all = counters(netstat);
        assert_eq!(
            all,
            [
                (SocketField::SyncookiesSent, 3),
                (SocketField::ListenOverflows, 17),
                (SocketField::ListenDrops, 18)
            ]
        );
        assert_eq!(counters(""), []);
        assert_eq!(counters("TcpExt: ListenDrops\n"), []);
    }

    #[test]
    fn a_wildcard_address_passes_filters_of_addresses() {
        let mut socket = crate::testing::snapshot(0, 1);
        (socket.remote_addr, socket.remote_port) = ([0; 16], 0);
        let only = |address: &str| Filters {
            addresses: vec![address.parse().expect("an address")],
            ..Filters::default()
        };
        assert!(passes(&only("10.0.0.1"), &socket));
        assert!(!passes(&only("192.0.2.1"), &socket));
        socket.local_addr = [0; 16];
        assert!(passes(&only("192.0.2.1"), &socket));
        assert!(!passes(&Filters { not_ports: vec![1000], ..Filters::default() }, &socket));
        assert!(!passes(&Filters { ports: vec![81], ..Filters::default() }, &socket));
    }
}
