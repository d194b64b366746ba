// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Programs of others that keep ours from a cgroup.
//!
//! A program that was attached without BPF_F_ALLOW_MULTI has its place alone: the kernel refuses
//! every other there, and in all cgroups below (`hierarchy_allows_attach()` of
//! kernel/bpf/cgroup.c), with EPERM.

use std::{
    ffi::CStr,
    fs::File,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use libbpf_rs::{
    ProgramAttachType,
    libbpf_sys::{
        BPF_F_ALLOW_MULTI, BPF_F_QUERY_EFFECTIVE, bpf_obj_get_info_by_fd, bpf_prog_get_fd_by_id,
        bpf_prog_info, bpf_prog_query,
    },
};

/// Programs that are asked for at most; a cgroup takes 64 (BPF_CGROUP_MAX_PROGS).
const MOST: usize = 64;

/// The program that holds the place exclusively, in words; none if there is none.
pub(super) fn holder(cgroup: &File, place: ProgramAttachType) -> Option<String> {
    let place = place as u32;
    let (flags, here) = query(cgroup, place, 0)?;
    if !here.is_empty() {
        let alone = flags & BPF_F_ALLOW_MULTI == 0;
        return alone.then(|| {
            let who = names(&here);
            format!("{who} was attached there without BPF_F_ALLOW_MULTI and has the place alone")
        });
    }
    let (_, above) = query(cgroup, place, BPF_F_QUERY_EFFECTIVE)?;
    (!above.is_empty()).then(|| {
        let who = names(&above);
        format!("in a cgroup above, {who} was attached without BPF_F_ALLOW_MULTI and excludes other programs")
    })
}

/// Flags and ids of the programs at a place of a cgroup, or of those in effect there.
fn query(cgroup: &File, place: u32, how: u32) -> Option<(u32, Vec<u32>)> {
    let (mut flags, mut ids, mut count) = (0, vec![0; MOST], MOST as u32);
    // SAFETY: the kernel writes at most `count` ids, and what it is given outlives the call.
    let result = unsafe {
        bpf_prog_query(
            cgroup.as_raw_fd(),
            place,
            how,
            &raw mut flags,
            ids.as_mut_ptr(),
            &raw mut count,
        )
    };
    ids.truncate(count as usize);
    (result == 0).then_some((flags, ids))
}

/// "program 17 \"name\"", or several of them.
fn names(ids: &[u32]) -> String {
    let each = ids.iter().map(|id| match name(*id) {
        Some(name) if !name.is_empty() => format!("program {id} {name:?}"),
        _ => format!("program {id}"),
    });
    each.collect::<Vec<_>>().join(" or ")
}

/// The name that a program was loaded with; none without the privilege to ask.
fn name(id: u32) -> Option<String> {
    // SAFETY: the call touches no memory of ours.
    let fd = unsafe { bpf_prog_get_fd_by_id(id) };
    if fd < 0 {
        return None;
    }
    // SAFETY: just made, and without another owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero is a valid bpf_prog_info: it asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result != 0 {
        return None;
    }
    // SAFETY: the kernel terminates the name within its 16 octets.
    let name = unsafe { CStr::from_ptr(info.name.as_ptr()) };
    Some(name.to_string_lossy().into_owned())
}
