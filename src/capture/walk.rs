// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Walks over all sockets of the host: what is open when a recording begins and when it ends.

use std::{
    fs::File,
    io::{self, Read as _},
};

use libbpf_rs::{Iter, Link, MapCore as _, MapFlags};

use super::{CaptureError, drain::Drain, load::Loaded, netns};

/// Octets of the lifecycle buffer for each connection sent between two rounds of the drain. It takes
/// 1.5 kB at most (its lifecycle record and all its values), so a third of the buffer is filled; and
/// a walk that is resumed seldom skips or repeats few where sockets come and go meanwhile (Linux
/// before 6.16 does).
const ROOM: u64 = 4096;

/// Sends the identity and the values of connections that are open already.
pub(super) fn baseline(loaded: &Loaded, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    let fault = |e| CaptureError::bpf("walk the files of this host", e);
    if let Some(program) = loaded.iterator("owners_of_files") {
        let link = program.attach().map_err(fault)?;
        run(Iter::new(&link).map_err(fault)?, drain)?;
    }
    everywhere(loaded, &["baseline"], drain)
}

/// From here on a connection of which the programs know nothing is one whose beginning they missed
/// (`adopts()` of bpf/events.bpf.h). Without a walk it may be one that was open before.
pub(super) fn settled(loaded: &Loaded) -> Result<(), CaptureError> {
    if loaded.iterator("baseline").is_none() {
        return Ok(());
    }
    let (key, settled) = (0u32.to_ne_bytes(), 1u32.to_ne_bytes());
    let done = loaded.map("settled")?.update(&key, &settled, MapFlags::ANY);
    done.map_err(|e| {
        CaptureError::bpf("begin to take in connections whose beginning was missed", e)
    })
}

/// Runs TCP iterators, those that this kernel has, in every network namespace that can be entered: each
/// sees only its own. In one namespace they run one right after the other.
pub(super) fn everywhere(
    loaded: &Loaded,
    iterators: &[&str],
    drain: &mut Drain<'_>,
) -> Result<(), CaptureError> {
    let links = attach(loaded, iterators)?;
    if links.is_empty() {
        return Ok(());
    }
    for ns in netns::all().into_values() {
        within(&ns, &links, drain)?;
        between_namespaces(loaded, drain)?;
    }
    Ok(())
}

/// Iterators, those that this kernel has.
pub(super) fn attach(loaded: &Loaded, iterators: &[&str]) -> Result<Vec<Link>, CaptureError> {
    let programs = iterators.iter().filter_map(|name| loaded.iterator(name));
    programs.map(|p| p.attach().map_err(fault)).collect()
}

/// Runs iterators in one namespace.
pub(super) fn within(ns: &File, links: &[Link], drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    for link in links {
        // It belongs to the namespace it is made in, and can be read from any.
        let Ok(iter) = netns::inside(ns, || Iter::new(link)) else { continue };
        run(iter.map_err(fault)?, drain)?;
    }
    Ok(())
}

fn fault(e: libbpf_rs::Error) -> CaptureError {
    CaptureError::bpf("walk the sockets of this host", e)
}

/// Each walk goes through the kernel's table of all connections, which takes long where it is large: rings
/// fill meanwhile, and the programs at interfaces must not take the recorder for dead.
pub(super) fn between_namespaces(
    loaded: &Loaded,
    drain: &mut Drain<'_>,
) -> Result<(), CaptureError> {
    loaded.say_alive()?;
    drain.round()
}

/// Reading to the end is what runs the program; it writes an octet for each connection it sends.
fn run(mut iter: Iter, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    let mut octets = vec![0; (drain.lifecycle_bytes() / ROOM) as usize];
    loop {
        match iter.read(&mut octets) {
            Ok(0) => return Ok(()),
            Ok(_) => drain.round()?,
            // The kernel pauses after a million objects of which none was sent (bpf_seq_read).
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(CaptureError::io("walk the sockets of this host", e)),
        }
    }
}
