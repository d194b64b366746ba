//! What only a program in the kernel can tell: the timer frequency, and the recorder's own process
//! id as the hooks see it.

use std::{io, net::TcpListener};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, ProgramMut};

use crate::capture::CaptureError;

/// HZ and the process id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    pub hz: u32,
    pub own_pid: u32,
}

/// What kernels are built with: kernel/Kconfig.hz, and those of single architectures.
const HZ: std::ops::RangeInclusive<u32> = 24..=1200;

/// Asks a program that sees the recorder listen, and notes what it saw under the socket's port.
pub(super) fn probe(program: &ProgramMut<'_>, probes: &MapHandle) -> Result<Probed, CaptureError> {
    const ACTION: &str = "find out the timer frequency";
    let fault = |e: libbpf_rs::Error| CaptureError::bpf(ACTION, e);
    let unknown = |what: String| CaptureError::io(ACTION, io::Error::other(what));
    let _link = program.attach().map_err(fault)?;
    // Loopback is down in a fresh network namespace.
    let listener = TcpListener::bind("127.0.0.1:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
    let at = listener.and_then(|l| l.local_addr()).map_err(|e| CaptureError::io(ACTION, e))?;
    let found = probes.lookup(&at.port().to_ne_bytes(), MapFlags::ANY).map_err(fault)?;
    let words = found.ok_or_else(|| unknown(format!("nobody saw us listen at {at}")))?;
    // struct probed of bpf/process.bpf.c
    let word = |at: usize| u32::from_ne_bytes(words[at..at + 4].try_into().expect("four bytes"));
    let (hz, own_pid) = (word(0), word(4));
    if !HZ.contains(&hz) {
        return Err(unknown(format!("a second of {hz} jiffies is not believable")));
    }
    Ok(Probed { hz, own_pid })
}
