// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Programs at an interface, and nothing of them when they are dropped.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libbpf_rs::{
    TC_EGRESS, TC_INGRESS, TcHook, TcHookBuilder,
    libbpf_sys::{
        BPF_F_BEFORE, BPF_LINK_TYPE_TCX, BPF_TCX_EGRESS, BPF_TCX_INGRESS, bpf_link_create,
        bpf_link_create_opts, bpf_link_info, bpf_obj_get_info_by_fd,
    },
};

use crate::wire::Direction;

/// How a program gets at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// By a link (Linux 6.6), which goes with its file descriptor.
    Tcx,
    /// As a filter of a clsact qdisc, which stays when the recorder is killed.
    Tc,
}

impl Attach {
    /// All ways.
    pub const ALL: &'static [Self] = &[Self::Tcx, Self::Tc];

    /// The name in the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Tc => "tc",
        }
    }
}

/// A program at an interface.
#[derive(Debug)]
pub(super) enum Attached {
    Link(OwnedFd),
    Filter(TcHook),
}

/// Attaches a program to the interface with this index in the namespace of the calling thread,
/// before all others: these may let a packet go where no later program sees it.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    index: u32,
    direction: Direction,
    how: Attach,
) -> io::Result<Attached> {
    match how {
        Attach::Tcx => attach_link(program, index, direction).map(Attached::Link),
        Attach::Tc => attach_filter(program, index, direction).map(Attached::Filter),
    }
}

fn attach_link(program: BorrowedFd<'_>, index: u32, direction: Direction) -> io::Result<OwnedFd> {
    let place = match direction {
        Direction::In => BPF_TCX_INGRESS,
        Direction::Out | Direction::Unknown => BPF_TCX_EGRESS,
    };
    // SAFETY: all-zero options are the defaults; the size field states how many of them we know.
    let mut opts: bpf_link_create_opts = unsafe { std::mem::zeroed() };
    opts.sz = size_of_val(&opts) as _;
    opts.flags = BPF_F_BEFORE;
    // SAFETY: the descriptor is open and the options outlive the call.
    let fd = unsafe {
        bpf_link_create(program.as_raw_fd(), index.cast_signed(), place, &raw const opts)
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: just made, and without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach_filter(program: BorrowedFd<'_>, index: u32, direction: Direction) -> io::Result<TcHook> {
    let point = match direction {
        Direction::In => TC_INGRESS,
        Direction::Out | Direction::Unknown => TC_EGRESS,
    };
    let hook = |priority| {
        TcHookBuilder::new(program)
            .ifindex(index.cast_signed())
            .replace(false)
            .handle(0)
            .priority(priority)
            .hook(point)
    };
    let error = |e: libbpf_rs::Error| io::Error::other(e.to_string());
    // A clsact qdisc that is there already serves as well.
    let mut first = hook(1);
    first.create().map_err(error)?;
    // Where filters of another kind have the first priority, the kernel chooses one.
    first.attach().or_else(|_| hook(0).attach()).map_err(error)
}

impl Attached {
    /// Whether its interface is still there; of a namespace's filters to be asked inside it.
    pub(super) fn lives(&self) -> bool {
        match *self {
            Self::Link(ref fd) => link_index(fd).is_some_and(|index| index != 0),
            Self::Filter(mut hook) => hook.query().is_ok(),
        }
    }

    /// Detaches it; a filter inside its namespace. The empty clsact qdisc stays: whoever else has
    /// come to use it would lose his filters with it.
    pub(super) fn detach(self) {
        match self {
            Self::Link(fd) => drop(fd),
            // An interface that is gone has none.
            Self::Filter(mut hook) => drop(hook.detach()),
        }
    }
}

/// The index that a link's interface has; 0 if it is gone.
fn link_index(fd: &OwnedFd) -> Option<u32> {
    // SAFETY: all-zero is a valid bpf_link_info: it asks for no names.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of `info`, which outlives the call.
    let result =
        unsafe { bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut len) };
    if result != 0 || info.type_ != BPF_LINK_TYPE_TCX {
        return None;
    }
    // SAFETY: a link of this type has this member, which is of plain integers.
    Some(unsafe { info.__bindgen_anon_1.tcx.ifindex })
}
