// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The command that is recorded while it runs.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus},
};

use libbpf_rs::{MapCore, MapFlags};

use super::{CaptureError, process};

/// A command that was started, and the processes that come of it.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// The process group that it had when it was last looked at.
    group: u32,
    /// Its exit status, once it has ended.
    status: Option<i32>,
}

/// Starts `argv` so that its process tree is in the `pids` map from its first instruction: while
/// it is being born, the recorder itself counts as recorded, and the fork hook adds the child.
/// `own_pid` is the recorder's as the hooks see it.
///
/// From here on the recorder is the parent of all that lose their parents in this tree
/// (PR_SET_CHILD_SUBREAPER): so they are found when the command has ended.
pub(super) fn start(
    argv: &[OsString],
    pids: &dyn MapCore,
    own_pid: u32,
) -> Result<Running, CaptureError> {
    let own = own_pid.to_ne_bytes();
    let fault = |e| CaptureError::bpf("follow the command's processes", e);
    // SAFETY: the call takes numbers only. It cannot fail on any kernel with BPF (Linux 3.4).
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    pids.update(&own, &[1], MapFlags::ANY).map_err(fault)?;
    let child = Command::new(&argv[0]).args(&argv[1..]).spawn();
    pids.delete(&own).map_err(fault)?;
    let child = child
        .map_err(|source| CaptureError::Command { program: argv[0].clone().into(), source })?;
    let group = process::stat(child.id()).map_or(0, |stat| stat.group);
    Ok(Running { child, group, status: None })
}

impl Running {
    /// Its exit status once it has ended: the code, or 128 + the signal, as shells have it.
    pub(super) fn ended(&mut self) -> Result<Option<i32>, CaptureError> {
        if self.status.is_none() {
            // A command may make itself the leader of a group of its own (setsid(1)).
            let group = process::stat(self.child.id()).map(|stat| stat.group);
            self.group = group.unwrap_or(self.group);
            let status = self.child.try_wait();
            let status = status.map_err(|e| CaptureError::io("wait for the command", e))?;
            self.status = status.map(code);
        }
        self.bury();
        Ok(self.status)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The living processes of the tree without the command itself: ids and names.
    pub(super) fn others(&self) -> Vec<(u32, String)> {
        let own = std::process::id();
        let tree = process::descendants(&[own]).into_iter();
        let alive = |pid: &u32| process::stat(*pid).is_some_and(|stat| !stat.is_over());
        tree.filter(|pid| *pid != own && *pid != self.child.id())
            .filter(alive)
            .map(|pid| (pid, process::comm(pid)))
            .collect()
    }

    /// Sends a signal to every process of the tree that is in the command's process group, once
    /// each. One that left the group (a daemon) is left alone.
    pub(super) fn ask(&self, signal: libc::c_int) {
        let mut asked = Vec::new();
        // The second time for what a process made while it was not yet asked.
        for _ in 0..2 {
            for pid in self.members() {
                if !asked.contains(&pid) {
                    asked.push(pid);
                    // SAFETY: no memory is touched. The process was there a moment ago, and its id
                    // is not used again before its parent, an ancestor of it, has waited for it.
                    unsafe { libc::kill(pid.cast_signed(), signal) };
                }
            }
        }
    }

    /// The processes of the tree that are alive and in the command's process group.
    pub(super) fn members(&self) -> Vec<u32> {
        let others = self.others().into_iter().map(|(pid, _)| pid);
        let own = self.status.is_none().then(|| self.child.id());
        let in_group = |pid: &u32| process::stat(*pid).is_some_and(|s| s.group == self.group);
        own.into_iter().chain(others).filter(in_group).collect()
    }

    /// Waits for those that lost their parents and have ended, or they would stay as zombies.
    fn bury(&self) {
        loop {
            // SAFETY: an all-zero siginfo_t is valid, and the call writes one.
            let found = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                let result = libc::waitid(libc::P_ALL, 0, &raw mut info, flags);
                if result == 0 { info.si_pid() } else { 0 }
            };
            // The command's own status is for `child` to take.
            if found == 0 || (found.cast_unsigned() == self.child.id() && self.status.is_none()) {
                return;
            }
            // SAFETY: a child of this process that has ended and is not the command.
            unsafe { libc::waitpid(found, std::ptr::null_mut(), libc::WNOHANG) };
        }
    }
}

/// Whether this process belongs to the foreground of its terminal, whose ^C and hang-up then reach
/// the command without our help.
pub(super) fn in_foreground() -> bool {
    // SAFETY: the descriptor is closed at once.
    unsafe {
        let terminal = libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if terminal < 0 {
            return false;
        }
        let group = libc::tcgetpgrp(terminal);
        libc::close(terminal);
        group == libc::getpgrp()
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
