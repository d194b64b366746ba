// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Facts that only a program in the kernel can find: the timer frequency, and the recorder's own process
//! id and clock as the hooks see them.

use std::{io, net::TcpListener};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, ProgramMut};

use crate::capture::{CaptureError, clock};
use crate::schema::record::{self, Member as _};

/// HZ and the process id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    pub hz: u32,
    pub own_pid: u32,
}

/// Values of HZ with which kernels are built: kernel/Kconfig.hz, and those of single architectures.
const HZ: std::ops::RangeInclusive<u32> = 24..=1200;

/// How often the clocks are compared if their exact difference is not known.
const TRIES: usize = 20;

/// Asks a program that sees the recorder listen, and notes what it saw under the socket's port.
/// Sets the clock.
pub(super) fn probe(program: &ProgramMut<'_>, probes: &MapHandle) -> Result<Probed, CaptureError> {
    let _link = program.attach().map_err(|e| CaptureError::bpf(ACTION, e))?;
    let (probed, seen) = listen(probes)?;
    if !HZ.contains(&probed.hz) {
        return Err(unknown(format!("a second of {} jiffies is not believable", probed.hz)));
    }
    if !clock::set(seen) {
        let more = (1..TRIES).map(|_| listen(probes).map(|(_, seen)| seen));
        clock::set_nearest(&more.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(probed)
}

const ACTION: &str = "find out the timer frequency";

fn unknown(what: String) -> CaptureError {
    CaptureError::io(ACTION, io::Error::other(what))
}

fn listen(probes: &MapHandle) -> Result<(Probed, clock::ClockReading), CaptureError> {
    let before_ns = clock::own_ns();
    // Loopback is down in a fresh network namespace.
    let listener = TcpListener::bind("127.0.0.1:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
    let after_ns = clock::own_ns();
    let at = listener.and_then(|l| l.local_addr()).map_err(|e| CaptureError::io(ACTION, e))?;
    let found = probes.lookup(&at.port().to_ne_bytes(), MapFlags::ANY);
    let found = found.map_err(|e| CaptureError::bpf(ACTION, e))?;
    let octets =
        found.ok_or_else(|| unknown(format!("no hook saw the listening socket at {at}")))?;
    let record::Probed { hz, pid, now_ns: host_ns } = record::Probed::read(&octets);
    let probed = Probed { hz, own_pid: pid };
    Ok((probed, clock::ClockReading { before_ns, host_ns, after_ns }))
}
