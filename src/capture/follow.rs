// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The interfaces of `--interface`: those that are there, and those that come.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd, FromRawFd, OwnedFd},
};

use super::{
    CaptureError, Filters, Setting,
    capability::Capability,
    clock,
    interface::{self, Attach, Attached},
    load::Loaded,
    netns,
    packets::Packets,
    sight,
};
use crate::{
    log::Interface,
    schema::{Hook, Place},
    wire::Direction,
};

/// How often namespaces are looked for anew.
const SEARCH_NS: u64 = 1_000_000_000;
/// The name that stands for all interfaces.
pub(super) const ALL: &str = "all";

/// Programs at interfaces, wherever these are.
pub(super) struct Follower {
    programs: Vec<(OwnedFd, Direction)>,
    how: Attach,
    names: Vec<String>,
    all: bool,
    scope: Scope,
    /// The recorder's own namespace.
    home: File,
    home_inode: u32,
    /// Those that are watched, held open until the next search.
    watched: Vec<Watched>,
    searched_ns: u64,
    /// By namespace and index.
    attached: BTreeMap<(u32, u32), Vec<Attached>>,
    /// Every interface at which there was a try, in that order.
    seen: Vec<Interface>,
}

/// Where interfaces are looked for.
#[derive(Debug)]
enum Scope {
    /// In these namespaces (`--netns`).
    Named(Vec<String>),
    /// In every one: all interfaces of the host.
    Everywhere,
    /// In the recorder's own: names mean nothing elsewhere.
    Home,
}

/// A namespace with a socket that reports changes of its interfaces.
struct Watched {
    inode: u32,
    ns: File,
    changes: OwnedFd,
}

impl Follower {
    /// Attaches to the interfaces that are there; none if no interface was asked for.
    pub(super) fn new(
        loaded: &Loaded,
        packets: &Packets,
        filters: &Filters,
    ) -> Result<Option<Self>, CaptureError> {
        if packets.interfaces.is_empty() {
            return Ok(None);
        }
        let mut programs = Vec::new();
        for hook in Hook::at(Place::Interface) {
            let Some((_, direction)) = hook.sees() else { continue };
            let program = loaded.program(hook.name()).filter(|_| loaded.has(hook));
            if let Some(program) = program {
                programs.push((program.as_fd().try_clone_to_owned().map_err(fault)?, direction));
            }
        }
        let all = packets.all_interfaces();
        let home = File::open("/proc/self/ns/net").map_err(entering)?;
        let mut follower = Self {
            programs,
            how: loaded.attach_by(packets.attach),
            names: packets.interfaces.clone(),
            all,
            scope: match (&filters.netns[..], all) {
                ([], true) => Scope::Everywhere,
                ([], false) => Scope::Home,
                (named, _) => Scope::Named(named.to_vec()),
            },
            home_inode: netns::inode(&home).map_err(entering)?,
            home,
            watched: Vec::new(),
            searched_ns: 0,
            attached: BTreeMap::new(),
            seen: Vec::new(),
        };
        loaded.say_alive()?;
        follower.search()?;
        Ok(Some(follower))
    }

    /// Attaches to what has come since, and lets go of what has gone.
    pub(super) fn follow(&mut self, loaded: &Loaded) -> Result<(), CaptureError> {
        if clock::monotonic_ns() - self.searched_ns >= SEARCH_NS {
            if self.how == Attach::Tc {
                loaded.say_alive()?;
            }
            return self.search();
        }
        for i in changed(&self.watched) {
            self.look(i)?;
        }
        Ok(())
    }

    /// Names that no interface has had so far.
    pub(super) fn missing(&self) -> impl Iterator<Item = &str> {
        let is_missing = |name: &&String| {
            name.as_str() != ALL && !self.seen.iter().any(|seen| seen.name == **name)
        };
        self.names.iter().filter(is_missing).map(String::as_str)
    }

    /// Every interface so far.
    pub(super) fn seen(&self) -> &[Interface] {
        &self.seen
    }

    fn namespaces(&self) -> Vec<(u32, File)> {
        match &self.scope {
            Scope::Everywhere => netns::all().into_iter().collect(),
            // One that is not there now may come again.
            Scope::Named(names) => names.iter().filter_map(|name| netns::open(name).ok()).collect(),
            Scope::Home => {
                self.home.try_clone().map(|home| (self.home_inode, home)).into_iter().collect()
            }
        }
    }

    /// The error for a namespace that was asked for and cannot be entered.
    fn closed(&self, inode: u32, e: io::Error) -> CaptureError {
        let Scope::Named(_) = &self.scope else { return entering(e) };
        let why = sight::reason(&e, Capability::SysAdmin);
        let reason = format!("the network namespace {inode} cannot be entered: {why}");
        CaptureError::Unavailable { setting: Setting::Interface, reason }
    }

    /// Looks for namespaces, and at all interfaces.
    fn search(&mut self) -> Result<(), CaptureError> {
        // Let go of the old ones first: a file or a socket of ours keeps a namespace alive.
        self.watched.clear();
        for (inode, ns) in self.namespaces() {
            let changes =
                netns::visit(&ns, &self.home, watch).map_err(|e| self.closed(inode, e))?;
            // One that ends while we look at it is none.
            if let Ok(changes) = changes {
                self.watched.push(Watched { inode, ns, changes });
            }
        }
        self.searched_ns = clock::monotonic_ns();
        let there: Vec<u32> = self.watched.iter().map(|w| w.inode).collect();
        self.attached.retain(|(inode, _), _| there.contains(inode));
        (0..self.watched.len()).try_for_each(|i| self.look(i))
    }

    /// Looks at all interfaces of a namespace.
    fn look(&mut self, at: usize) -> Result<(), CaptureError> {
        let Watched { inode, ns, .. } = &self.watched[at];
        let (inode, all, names) = (*inode, self.all, &self.names);
        let (programs, how) = (&self.programs, self.how);
        let attached = &mut self.attached;
        let work = || {
            let there = interfaces();
            // An index may have come to mean another interface, or another namespace's.
            attached.retain(|(owner, index), each| {
                *owner != inode
                    || (there.iter().any(|(i, _)| i == index) && each.iter().all(Attached::lives))
            });
            let mut seen = Vec::new();
            for (index, name) in there {
                let wanted = all || names.contains(&name);
                if !wanted || attached.contains_key(&(inode, index)) {
                    continue;
                }
                let made: io::Result<Vec<_>> = programs
                    .iter()
                    .map(|(program, way)| interface::attach(program.as_fd(), index, *way, how))
                    .collect();
                let since_ns = clock::monotonic_ns();
                let reason = made.as_ref().err().map(ToString::to_string);
                seen.push(Interface { netns: inode, index, name, since_ns, reason });
                // Where it failed, it does so again: nothing is there to be tried once more.
                attached.insert((inode, index), made.unwrap_or_default());
            }
            seen
        };
        let seen = netns::visit(ns, &self.home, work).map_err(entering)?;
        self.seen.extend(seen);
        Ok(())
    }
}

impl Drop for Follower {
    /// Detaches from all.
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.attached);
        // Filters are detached inside their namespaces; links go wherever they are dropped.
        for (inode, ns) in self.namespaces() {
            let here = left.extract_if((inode, 0)..=(inode, u32::MAX), |_, _| true);
            let here: Vec<_> = here.flat_map(|(_, each)| each).collect();
            let detach = || here.into_iter().for_each(Attached::detach);
            // A namespace that cannot be entered any more is gone, and its interfaces with it.
            let _ = netns::visit(&ns, &self.home, detach);
        }
    }
}

/// Whether this can be an interface's name (`dev_valid_name()` of net/core/dev.c).
pub(super) fn check(name: &str) -> Result<(), CaptureError> {
    let bad = |c: char| c == '/' || c == ':' || c.is_ascii_whitespace();
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(bad) {
        return Err(CaptureError::Option {
            setting: Setting::Interface,
            value: name.to_owned(),
            reason: "no interface can have this name; `ip link` lists them".to_owned(),
        });
    }
    Ok(())
}

/// Index and name of every interface of the calling thread's namespace.
fn interfaces() -> Vec<(u32, String)> {
    // SAFETY: the list is one that the C library made, or null.
    unsafe {
        let list = libc::if_nameindex();
        if list.is_null() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut at = list;
        // It ends with index 0.
        while (*at).if_index != 0 {
            let name = CStr::from_ptr((*at).if_name).to_string_lossy().into_owned();
            found.push(((*at).if_index, name));
            at = at.add(1);
        }
        libc::if_freenameindex(list);
        found
    }
}

/// A socket that receives every change of an interface in the calling thread's namespace.
fn watch() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory of ours is involved.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and without another owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero is a valid address.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as _;
    address.nl_groups = libc::RTMGRP_LINK as _;
    let len = size_of_val(&address) as _;
    // SAFETY: the address is valid for its stated size, the descriptor is open.
    if unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

/// The positions of those whose interfaces have changed. What has is looked up: messages may have
/// been too many for the socket.
fn changed(watched: &[Watched]) -> Vec<usize> {
    let mut polled: Vec<_> = watched
        .iter()
        .map(|w| libc::pollfd { fd: w.changes.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    // SAFETY: the array is valid for its stated length; with timeout 0 the call returns at once.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, 0) };
    if ready <= 0 {
        return Vec::new();
    }
    let has_news = |poll: &libc::pollfd| poll.revents != 0;
    let changed: Vec<_> =
        polled.iter().enumerate().filter(|(_, poll)| has_news(poll)).map(|(i, _)| i).collect();
    for i in &changed {
        let mut message = [0u8; 1];
        // A datagram that does not fit is cut: it is of no interest.
        // SAFETY: the buffer is valid for its length.
        while unsafe {
            libc::recv(polled[*i].fd, message.as_mut_ptr().cast(), message.len(), libc::MSG_TRUNC)
        } > 0
        {}
    }
    changed
}

fn fault(e: io::Error) -> CaptureError {
    CaptureError::io("attach to the interfaces", e)
}

fn entering(e: io::Error) -> CaptureError {
    CaptureError::io("enter a network namespace", e)
}
