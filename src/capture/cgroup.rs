// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! cgroup v2: the path of a cgroup by its id, and its id by its path.

mod root;

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

pub(super) use self::root::{Hierarchy, hierarchy};
use super::{CaptureError, Setting};

/// Where users see cgroup v2 mounted, if they do.
pub(super) fn mount() -> Option<PathBuf> {
    hierarchy().ok().and_then(|found| found.mount.clone())
}

/// The id of the cgroup at `path`, absolute or below the mount: its inode number. In a container
/// paths are the container's; where nothing is mounted they are the host's.
pub(super) fn id_of(mount: Option<&Path>, path: &str) -> Result<u64, CaptureError> {
    let fault = |reason: String| CaptureError::Option {
        setting: Setting::Cgroup,
        value: path.to_owned(),
        reason,
    };
    let found = hierarchy().map_err(|reason| fault(reason.to_owned()))?;
    let own = Path::new("/proc/self/fd").join(found.dir.as_raw_fd().to_string());
    let shown = mount.unwrap_or_else(|| Path::new("/"));
    let below = Path::new(path).strip_prefix(shown).unwrap_or_else(|_| Path::new(path));
    let below = below.strip_prefix("/").unwrap_or(below);
    // Programs attached to a part of the hierarchy see only this part.
    let base = mount.filter(|_| found.part.is_none()).unwrap_or(&own);
    let meta = fs::metadata(base.join(below))
        .map_err(|e| fault(format!("{}: {e}", shown.join(below).display())))?;
    Ok(meta.ino())
}

/// Finds the paths of cgroups while they exist.
#[derive(Debug)]
pub(super) struct Paths {
    /// The root, and its path as the kernel shows it.
    root: Option<(&'static Hierarchy, PathBuf)>,
    /// Hybrid systems keep the containers in version 1 hierarchies: ask the process instead.
    hybrid: bool,
    last: (u64, u32, String),
}

#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: u64,
}

/// FILEID_KERNFS of include/linux/exportfs.h (5.5): the handle is the id alone.
const FILEID_KERNFS: libc::c_int = 0xfe;

impl Paths {
    pub(super) fn new() -> Self {
        let root = hierarchy().ok().and_then(|h| path_of(h.dir.as_raw_fd()).ok().map(|p| (h, p)));
        let hybrid = fs::read_to_string("/proc/self/cgroup").is_ok_and(|t| t.lines().count() > 1);
        // In a separate cgroup namespace the recorder sees paths relative to the namespace's root:
        // outside of it they have no meaning.
        let hybrid = hybrid && root::in_initial_namespace();
        Self { root, hybrid, last: (u64::MAX, 0, String::new()) }
    }

    /// The path of cgroup `id` below the root; empty if it is gone or there is no cgroup v2.
    pub(super) fn path(&mut self, id: u64, pid: u32) -> String {
        // Connections come in runs of one owner.
        if (self.last.0, self.last.1) != (id, pid) {
            let mut path = self.by_id(id).unwrap_or_default();
            if self.hybrid && path.len() <= 1 && pid != 0 {
                path = by_process(pid).unwrap_or(path);
            }
            self.last = (id, pid, path);
        }
        self.last.2.clone()
    }

    fn by_id(&self, id: u64) -> io::Result<String> {
        let Some((found, root)) = self.root.as_ref().filter(|_| id != 0) else {
            return Ok(String::new());
        };
        let full = path_of(open_by_id(&found.dir, id, libc::O_PATH)?.as_raw_fd())?;
        let below = full.strip_prefix(root).unwrap_or(&full);
        Ok(format!("/{}", below.to_string_lossy().trim_start_matches('/')))
    }
}

/// Why the paths of cgroups are not known, if they are not.
pub(super) fn obstacle_to_paths() -> Option<String> {
    let opened = hierarchy().map_err(str::to_owned).and_then(|found| {
        let id = found.dir.metadata().map(|meta| meta.ino());
        let opened = id.and_then(|id| open_by_id(&found.dir, id, libc::O_PATH));
        opened.map_err(|e| format!("{e}, which takes CAP_DAC_READ_SEARCH and Linux 5.5"))
    });
    opened.err()
}

/// Opens the cgroup with this id, wherever in the hierarchy it is. Needs CAP_DAC_READ_SEARCH.
fn open_by_id(any: &File, id: u64, flags: libc::c_int) -> io::Result<OwnedFd> {
    let handle = Handle { bytes: 8, kind: FILEID_KERNFS, id };
    // SAFETY: `handle` has the layout of struct file_handle with 8 bytes of handle, and the
    // descriptor is open for the length of the call.
    let fd = unsafe {
        libc::open_by_handle_at(
            any.as_raw_fd(),
            (&raw const handle).cast_mut().cast(),
            flags | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above returned a descriptor that has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The path of an open file.
fn path_of(fd: libc::c_int) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{fd}"))
}

/// The longest path that /proc/PID/cgroup names: the one that distinguishes containers.
fn by_process(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().filter_map(|l| l.splitn(3, ':').nth(2)).max_by_key(|p| p.len()).map(str::to_owned)
}
