// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Polls by dumps of inet_diag in each namespace: where there is no iterator, or the hook set has none.

use std::{
    fs::File,
    hash::{Hash as _, Hasher as _},
    io,
};

use rustc_hash::{FxHashMap, FxHasher};

use super::{Snapshots, entering};
use crate::capture::{CaptureError, Filters, diag::Diag, drain::Drain, netns};
use crate::schema::SocketField;
use crate::wire::Snapshot;

pub(super) struct Dumps {
    /// With the socket made in it, and its inode number.
    pub namespaces: Vec<(u32, Diag)>,
    filters: Filters,
    /// inet_diag knows less about processes and cgroups than the hooks: sockets that the hooks record
    /// are those that pass.
    only_recorded: bool,
    sample: u32,
    /// For --changed-only: what was last sent of each socket, by cookie.
    sent: Option<FxHashMap<u64, Sent>>,
    buffer: Vec<u8>,
}

struct Sent {
    fingerprint: u64,
    /// The last poll that saw it.
    poll: u32,
}

impl Dumps {
    pub(super) fn new(snapshots: Snapshots, filters: &Filters, only_recorded: bool) -> Self {
        Self {
            namespaces: Vec::new(),
            filters: filters.clone(),
            only_recorded,
            sample: snapshots.sample,
            sent: snapshots.changed_only.then(FxHashMap::default),
            buffer: Vec::new(),
        }
    }

    /// Makes a socket in each namespace.
    pub(super) fn open(
        &mut self,
        namespaces: impl Iterator<Item = (u32, File)>,
        home: &File,
    ) -> Result<(), CaptureError> {
        for (inode, ns) in namespaces {
            let diag = netns::visit(&ns, home, Diag::new).map_err(entering)?;
            self.namespaces.push((inode, diag.map_err(fault)?));
        }
        Ok(())
    }

    pub(super) fn poll(&mut self, number: u32, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
        // Which of the sockets are recorded connections, the drain knows from their openings.
        drain.round()?;
        let Self { namespaces, filters, only_recorded, sample, sent, buffer } = self;
        for (inode, diag) in namespaces {
            diag.dump(buffer, |mut snapshot| -> Result<(), Failure> {
                let cookie = snapshot.header.cookie;
                let chosen = *sample <= 1 || mixed(cookie).is_multiple_of(u64::from(*sample));
                if !chosen || !filters.pass(&snapshot) {
                    return Ok(());
                }
                snapshot.netns = *inode;
                snapshot.poll = Some(number);
                if drain.identify(&mut snapshot) || !*only_recorded {
                    if let Some(sent) = sent {
                        let fingerprint = fingerprint(&snapshot);
                        let before = sent.insert(cookie, Sent { fingerprint, poll: number });
                        if before.is_some_and(|before| before.fingerprint == fingerprint) {
                            return Ok(());
                        }
                    }
                    drain.polled(snapshot)?;
                }
                Ok(())
            })
            .map_err(|Failure(e)| e)?;
        }
        if let Some(sent) = sent {
            sent.retain(|_, of| of.poll == number);
        }
        Ok(())
    }
}

/// An error of the dump, or of the work on a row.
struct Failure(CaptureError);

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self(fault(e))
    }
}

impl From<CaptureError> for Failure {
    fn from(e: CaptureError) -> Self {
        Self(e)
    }
}

fn fault(e: io::Error) -> CaptureError {
    let action = if e.raw_os_error() == Some(libc::ENOENT) {
        "poll the sockets of this host over netlink: the kernel has no tcp_diag \
         (CONFIG_INET_TCP_DIAG, module tcp_diag)"
    } else {
        "poll the sockets of this host over netlink"
    };
    CaptureError::io(action, e)
}

/// mixed() of bpf/snapshot.bpf.c, so that both ways take the same sockets: the finalizer of
/// splitmix64.
const fn mixed(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Everything but the time. Fields that age are not compared: there is only the age, to the
/// millisecond, and what makes one begin anew is counted in others.
fn fingerprint(snapshot: &Snapshot) -> u64 {
    let mut hasher = FxHasher::default();
    snapshot.congestion.hash(&mut hasher);
    snapshot.ulp.hash(&mut hasher);
    for field in SocketField::ALL.iter().filter(|field| !field.ages()) {
        snapshot.values.get(*field).hash(&mut hasher);
    }
    hasher.finish()
}
