//! What only a program in the kernel can tell: the timer frequency, and the recorder's own process
//! id as the hooks see it.

use std::{net::TcpListener, thread, time::Duration};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, ProgramInput, ProgramMut};

use super::object::Variables;
use crate::capture::{CaptureError, clock};

/// HZ and the process id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    pub hz: u32,
    pub own_pid: u32,
}

/// By a program that is run on request: jiffies at two instants.
pub(super) fn by_request(
    program: &ProgramMut<'_>,
    variables: &Variables,
) -> Result<Probed, CaptureError> {
    let read = || -> Result<(u64, u64), CaptureError> {
        let ran = program.test_run(ProgramInput::default());
        ran.map_err(|e| CaptureError::bpf("measure the timer frequency", e))?;
        Ok((variables.get("jiffies")?, clock::monotonic_ns()))
    };
    let (j0, t0) = read()?;
    thread::sleep(Duration::from_millis(100));
    let (j1, t1) = read()?;
    let measured = (j1 - j0) as f64 * 1e9 / (t1 - t0) as f64;
    // The choices of kernel/Kconfig.hz; 100 ms tell them apart (at 250 Hz within 4 %).
    let choices = [100, 250, 300, 1000];
    let hz = choices
        .into_iter()
        .min_by(|a, b| {
            let off = |hz: u32| (measured / f64::from(hz)).ln().abs();
            off(*a).total_cmp(&off(*b))
        })
        .expect("there are choices");
    Ok(Probed { hz, own_pid: variables.get("recorder_pid")? as u32 })
}

/// By a program that sees the recorder listen, and notes what it saw under the socket's port.
pub(super) fn by_listening(
    program: &ProgramMut<'_>,
    probes: &MapHandle,
) -> Result<Probed, CaptureError> {
    const ACTION: &str = "measure the timer frequency";
    let _link = program.attach().map_err(|e| CaptureError::bpf(ACTION, e))?;
    // Loopback is down in a fresh network namespace.
    let listener = TcpListener::bind("127.0.0.1:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
    let port = listener.and_then(|l| l.local_addr()).map_err(|e| CaptureError::io(ACTION, e))?;
    let found = probes
        .lookup(&port.port().to_ne_bytes(), MapFlags::ANY)
        .map_err(|e| CaptureError::bpf(ACTION, e))?;
    let unseen = || std::io::Error::other("the kernel did not report a listening socket");
    let words = found.ok_or_else(|| CaptureError::io(ACTION, unseen()))?;
    // struct probed of bpf/process.bpf.c
    let word = |at: usize| u32::from_ne_bytes(words[at..at + 4].try_into().expect("four bytes"));
    Ok(Probed { hz: word(0), own_pid: word(4) })
}
