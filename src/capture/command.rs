//! The command that is recorded while it runs.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus},
};

use libbpf_rs::{MapCore, MapFlags};

use super::CaptureError;

/// A running command.
#[derive(Debug)]
pub(super) struct Running(Child);

/// Starts `argv` so that its process tree is in the `pids` map from its first instruction: while
/// it is being born, the recorder itself counts as recorded, and the fork hook adds the child.
/// `own_pid` is the recorder's as the hooks see it.
pub(super) fn start(
    argv: &[OsString],
    pids: &dyn MapCore,
    own_pid: u32,
) -> Result<Running, CaptureError> {
    let own = own_pid.to_ne_bytes();
    let fault = |e| CaptureError::bpf("follow the command's processes", e);
    pids.update(&own, &[1], MapFlags::ANY).map_err(fault)?;
    let child = Command::new(&argv[0]).args(&argv[1..]).spawn();
    pids.delete(&own).map_err(fault)?;
    child
        .map(Running)
        .map_err(|source| CaptureError::Command { program: argv[0].clone().into(), source })
}

impl Running {
    /// Its exit status once it has ended: the code, or 128 + the signal, as shells say it.
    pub(super) fn ended(&mut self) -> Result<Option<i32>, CaptureError> {
        let status = self.0.try_wait().map_err(|e| CaptureError::io("wait for the command", e))?;
        Ok(status.map(code))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGTERM) };
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
