// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The root of the host's cgroup v2 hierarchy.
//!
//! A program attached to a cgroup is run for the sockets of that cgroup and those below it. In a
//! cgroup namespace of its own, as containers have it, what is mounted looks like the root and is
//! the container's cgroup: programs there would be run for the container's sockets alone, while the
//! tracepoints see the whole host. The true root has the inode number 1.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

/// The hierarchy as far as it can be had.
#[derive(Debug)]
pub(in crate::capture) struct Hierarchy {
    /// The directory for attaching and for looking up: the root, or the part that there is.
    pub dir: File,
    /// Where users see it mounted, who give paths: in a container, its part of it.
    pub mount: Option<PathBuf>,
    /// The cgroup that it begins at, if that is not the root: its id.
    pub part: Option<u64>,
}

/// Inode number of the root (`kernfs_create_root()`: the first that is given out).
const ROOT_ID: u64 = 1;
/// Inode number of the initial cgroup namespace (PROC_CGROUP_INIT_INO, include/linux/proc_ns.h).
const PROC_CGROUP_INIT_INO: u64 = 0xefff_fffb;

/// Whether paths in /proc begin at the root of the host.
pub(super) fn in_initial_namespace() -> bool {
    let meta = fs::metadata("/proc/self/ns/cgroup");
    meta.is_ok_and(|meta| meta.ino() == PROC_CGROUP_INIT_INO)
}

/// Finds the hierarchy, once.
///
/// # Errors
/// The reason why there is none.
pub(in crate::capture) fn hierarchy() -> Result<&'static Hierarchy, &'static str> {
    static FOUND: OnceLock<Result<Hierarchy, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref().map_err(String::as_str)
}

/// Looks for the root: where it is mounted, by a mount of our own, by the root's handle, and in
/// the initial cgroup namespace. What needs the fewest privileges comes first.
fn find() -> Result<Hierarchy, String> {
    let mounted: Vec<(PathBuf, File)> = mounts();
    for (path, dir) in &mounted {
        if is_root(dir)
            && let Ok(dir) = dir.try_clone()
        {
            let mount = Some(path.clone());
            return Ok(Hierarchy { dir, mount, part: None });
        }
    }
    let shown = mounted.first().map(|(path, _)| path.clone());
    let whole = |dir: File| Hierarchy { dir, mount: shown.clone(), part: None };
    let own = mount_privately();
    if let Ok(dir) = &own
        && is_root(dir)
        && let Ok(dir) = dir.try_clone()
    {
        return Ok(whole(dir));
    }
    let known = mounted.iter().map(|(_, dir)| dir).chain(own.as_ref().ok());
    let beyond = known.filter_map(|dir| root_by_handle(dir).ok()).find(is_root);
    if let Some(dir) = beyond.or_else(|| root_by_namespace().filter(is_root)) {
        return Ok(whole(dir));
    }
    // The container's part, as whoever gives --cgroup sees it.
    let part = mounted.into_iter().next().map(|(path, dir)| (Some(path), dir));
    match part.map_or_else(|| own.map(|dir| (None, dir)), Ok) {
        Ok((mount, dir)) => {
            let part = dir.metadata().map(|meta| meta.ino()).map_err(|e| e.to_string())?;
            Ok(Hierarchy { dir, mount, part: Some(part) })
        }
        Err(e) => Err(format!("cgroup v2 is not mounted, and cannot be mounted privately: {e}")),
    }
}

/// CGROUP2_SUPER_MAGIC of include/uapi/linux/magic.h.
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// Where cgroup v2 is mounted: /sys/fs/cgroup, .../unified on hybrid systems, or anywhere else.
fn mounts() -> Vec<(PathBuf, File)> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let at = text.lines().filter_map(|line| {
        let mut field = line.split(' ');
        let (_, at, kind) = (field.next()?, field.next()?, field.next()?);
        // Octal escapes occur for blanks only; a cgroup mount point has none in practice.
        (kind == "cgroup2").then(|| PathBuf::from(at))
    });
    // Something else may be mounted over it.
    at.filter_map(|path| File::open(&path).ok().map(|dir| (path, dir)))
        .filter(|(_, dir)| is_cgroup2(dir))
        .collect()
}

fn is_cgroup2(dir: &File) -> bool {
    // SAFETY: an all-zero statfs is valid, and the descriptor is open.
    unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        libc::fstatfs(dir.as_raw_fd(), &raw mut found) == 0 && found.f_type == CGROUP2_SUPER_MAGIC
    }
}

/// Every cgroup but the root has a file cgroup.type (since Linux 4.14).
fn is_root(dir: &File) -> bool {
    let has_type = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join("cgroup.type");
    dir.metadata().is_ok_and(|meta| meta.ino() == ROOT_ID) && !has_type.exists()
}

/// A new descriptor of a system call, owned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller's system call made it, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) })
}

/// The directory itself, for reading: a mount's own descriptor is only a place.
fn directory(mount: &OwnedFd) -> io::Result<File> {
    // SAFETY: the descriptor is open and the path is a C string.
    let fd = unsafe {
        libc::openat(
            mount.as_raw_fd(),
            c".".as_ptr(),
            libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC,
        )
    };
    owned(fd.into()).map(File::from)
}

/// include/uapi/linux/mount.h
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// Mounts the hierarchy of this cgroup namespace where no other process sees it: the mount ends with its
/// descriptor (Linux 5.2).
fn mount_privately() -> io::Result<File> {
    // SAFETY: the string is a C string; no other memory of ours is involved.
    let context =
        owned(unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), FSOPEN_CLOEXEC) })?;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither a key nor a value.
    let made = unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0)
    };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open; no memory of ours is involved.
    let mount = owned(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0)
    })?;
    directory(&mount)
}

/// The root by its handle, which needs CAP_DAC_READ_SEARCH, as a mount of its own: so paths below it
/// begin at the root.
fn root_by_handle(any: &File) -> io::Result<File> {
    let root = super::open_by_id(any, ROOT_ID, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the descriptor is open and the path is a C string.
    let mount =
        owned(unsafe { libc::syscall(libc::SYS_open_tree, root.as_raw_fd(), c"".as_ptr(), flags) });
    // Programs can attach to it without the mount too.
    Ok(mount.and_then(|mount| directory(&mount)).unwrap_or_else(|_| File::from(root)))
}

/// The root as a process sees it that is in the initial cgroup namespace, which needs to see that
/// process, CAP_SYS_PTRACE and CAP_SYS_ADMIN.
fn root_by_namespace() -> Option<File> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let namespace =
        processes
            .filter_map(|entry| File::open(entry.path().join("ns/cgroup")).ok())
            .find(|file| file.metadata().is_ok_and(|meta| meta.ino() == PROC_CGROUP_INIT_INO))?;
    let work = || {
        // SAFETY: the descriptor is open; only this thread, which ends here, is moved.
        let moved = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWCGROUP) };
        if moved == 0 { mount_privately().ok() } else { None }
    };
    thread::scope(|scope| scope.spawn(work).join().expect("the closure does not panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs root.
    #[test]
    fn every_way_leads_to_the_same_root() {
        let Ok(own) = mount_privately() else { return };
        let Ok(by_handle) = root_by_handle(&own) else { return };
        assert!(is_root(&by_handle));
        let by_namespace = root_by_namespace().expect("this process is one, if no other");
        for dir in mounts().into_iter().map(|(_, dir)| dir).chain([by_handle, by_namespace]) {
            assert!(is_cgroup2(&dir));
        }
        assert!(!is_cgroup2(&File::open("/proc").unwrap()));
    }
}
