// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Network namespaces: finding them all, and running something inside one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
};

use super::{CaptureError, Setting};

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// Every namespace that has a process, a name or a mount, by inode number, and can be entered.
/// [`super::sight`] reports those that cannot be entered.
pub(super) fn all() -> BTreeMap<u32, File> {
    let mut found = known();
    // Where all is as usual there is only one, the recorder's own.
    on_a_thread(|| found.retain(|_, ns| enter(ns).is_ok()));
    found
}

/// Every namespace that has a process, a name or a mount, by inode number.
pub(super) fn known() -> BTreeMap<u32, File> {
    found().into_iter().map(|(inode, (_, ns))| (inode, ns)).collect()
}

/// Where every namespace is that can be entered. Who has only the path does not keep it alive.
pub(super) fn places() -> BTreeMap<u32, PathBuf> {
    let mut found = found();
    on_a_thread(|| found.retain(|_, (_, ns)| enter(ns).is_ok()));
    found.into_iter().map(|(inode, (path, _))| (inode, path)).collect()
}

fn found() -> BTreeMap<u32, (PathBuf, File)> {
    let mut found = BTreeMap::new();
    let mut add = |path: &Path| {
        // Processes end while we look, and `ip netns add` makes its file before it mounts the
        // namespace there: what is none has no sockets to offer.
        if let Ok(file) = File::open(path)
            && is_namespace(&file)
            && let Ok(meta) = file.metadata()
        {
            found.entry(meta.ino() as u32).or_insert_with(|| (path.to_owned(), file));
        }
    };
    add(Path::new("/proc/self/ns/net"));
    let mut seen = std::collections::BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let path = entry.path().join("ns/net");
        // The link's text identifies a namespace without opening that of each process.
        if let Ok(link) = fs::read_link(&path)
            && seen.insert(link)
        {
            add(&path);
        }
    }
    for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
        add(&entry.path());
    }
    // Container engines keep theirs elsewhere.
    mounted().iter().for_each(|path| add(path));
    found
}

/// Where files of namespaces are mounted: `net:[4026532177]` of `nsfs`.
fn mounted() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_line = |line: &str| {
        let mut words = line.split(' ').skip(3);
        let (root, at) = (words.next()?, words.next()?);
        root.starts_with("net:[").then(|| PathBuf::from(at))
    };
    text.lines().filter_map(of_line).collect()
}

/// NSFS_MAGIC of include/uapi/linux/magic.h.
const NSFS_MAGIC: i64 = 0x6e73_6673;

fn is_namespace(file: &File) -> bool {
    // SAFETY: an all-zero statfs is valid, and the descriptor is open.
    unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        libc::fstatfs(file.as_raw_fd(), &raw mut found) == 0 && found.f_type == NSFS_MAGIC
    }
}

/// Inode number of that namespace.
pub(super) fn inode_of(name: &str) -> Result<u32, CaptureError> {
    open(name).map(|(inode, _)| inode)
}

/// The inode number of a namespace's file.
pub(super) fn inode(ns: &File) -> io::Result<u32> {
    Ok(ns.metadata()?.ino() as u32)
}

/// The namespace called `name`, or at the path `name`, with its inode number.
pub(super) fn open(name: &str) -> Result<(u32, File), CaptureError> {
    let path = if name.contains('/') { PathBuf::from(name) } else { Path::new(NAMED).join(name) };
    let fault =
        |reason| CaptureError::Option { setting: Setting::Netns, value: name.to_owned(), reason };
    let (file, meta) = File::open(&path)
        .and_then(|file| file.metadata().map(|meta| (file, meta)))
        .map_err(|e| fault(format!("{}: {e}; `ip netns` lists the names", path.display())))?;
    // The inode number of any other file could be that of a namespace by chance only.
    if !is_namespace(&file) {
        return Err(fault(format!("{} is not a network namespace", path.display())));
    }
    Ok((meta.ino() as u32, file))
}

/// Moves the calling thread; to stay where it is takes no privilege.
pub(super) fn enter(ns: &File) -> io::Result<()> {
    let here = fs::metadata("/proc/thread-self/ns/net").ok().map(|meta| meta.ino());
    if here.is_some_and(|inode| ns.metadata().is_ok_and(|meta| meta.ino() == inode)) {
        return Ok(());
    }
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    let result = unsafe { libc::setns(ns.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `work` in the namespace and comes back to `home`, on this thread: for what is done too
/// often to make a thread each time.
pub(super) fn visit<T>(ns: &File, home: &File, work: impl FnOnce() -> T) -> io::Result<T> {
    enter(ns)?;
    let result = work();
    enter(home)?;
    Ok(result)
}

/// Runs `work` in the namespace, on a thread of its own: setns() moves only the calling thread.
pub(super) fn inside<T: Send>(ns: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_a_thread(|| {
        enter(ns)?;
        Ok(work())
    })
}

/// Runs `work` on a thread of its own, which may go to other namespaces and ends there.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().expect("the closure does not panic"))
}
