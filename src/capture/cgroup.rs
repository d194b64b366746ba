//! cgroup v2: where it is mounted, and the path of a cgroup by its id.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use super::CaptureError;

/// Where cgroup v2 is mounted: /sys/fs/cgroup, .../unified on hybrid systems, or anywhere else.
pub(super) fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut field = line.split(' ');
        let (_, at, kind) = (field.next()?, field.next()?, field.next()?);
        // Octal escapes occur for blanks only; a cgroup mount point has none in practice.
        (kind == "cgroup2").then(|| PathBuf::from(at))
    })
}

/// The id of the cgroup at `path`, absolute or below the mount: its inode number.
pub(super) fn id_of(mount: Option<&Path>, path: &str) -> Result<u64, CaptureError> {
    let fault = |reason: String| CaptureError::Option {
        option: "--cgroup",
        value: path.to_owned(),
        reason,
    };
    let mount = mount.ok_or_else(|| fault("cgroup v2 is not mounted on this host".into()))?;
    let full = if Path::new(path).starts_with(mount) {
        PathBuf::from(path)
    } else {
        mount.join(path.trim_start_matches('/'))
    };
    let meta = fs::metadata(&full).map_err(|e| fault(format!("{}: {e}", full.display())))?;
    Ok(meta.ino())
}

/// Finds the paths of cgroups while they exist.
#[derive(Debug)]
pub(super) struct Paths {
    mount: Option<(PathBuf, File)>,
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
        let mount = mount().and_then(|m| File::open(&m).ok().map(|f| (m, f)));
        let hybrid = fs::read_to_string("/proc/self/cgroup").is_ok_and(|t| t.lines().count() > 1);
        Self { mount, hybrid, last: (u64::MAX, 0, String::new()) }
    }

    /// The path of cgroup `id` below the mount; empty if it is gone or there is no cgroup v2.
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
        let Some((mount, dir)) = self.mount.as_ref().filter(|_| id != 0) else {
            return Ok(String::new());
        };
        let handle = Handle { bytes: 8, kind: FILEID_KERNFS, id };
        // SAFETY: `handle` has the layout of struct file_handle with 8 bytes of handle, and the
        // descriptor is open for the length of the call.
        let fd = unsafe {
            libc::open_by_handle_at(
                dir.as_raw_fd(),
                (&raw const handle).cast_mut().cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above returned a descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let full = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        let below = full.strip_prefix(mount).unwrap_or(&full);
        Ok(format!("/{}", below.to_string_lossy().trim_start_matches('/')))
    }
}

/// The longest path that /proc/PID/cgroup names: the one that tells containers apart.
fn by_process(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().filter_map(|l| l.splitn(3, ':').nth(2)).max_by_key(|p| p.len()).map(str::to_owned)
}

/// Opens the mount point for attaching programs.
pub(super) fn open_root(mount: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(mount.as_os_str().as_encoded_bytes())?;
    // SAFETY: `path` is a C string, and the result is checked before it is owned.
    let fd =
        unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
