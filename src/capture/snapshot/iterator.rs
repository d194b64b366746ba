// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Polls by a BPF iterator over the sockets of each namespace (bpf/snapshot.bpf.c).

use std::{
    fs::File,
    io::{self, Read as _},
};

use libbpf_rs::{Iter, Link, MapCore as _, MapFlags, MapHandle};

use super::entering;
use crate::capture::{CaptureError, drain::Drain, load::Loaded, netns};

/// Sockets sent between two rounds of the drain: at some 570 bytes each, half of the ring. A round
/// in the middle of a poll encodes and compresses what came, for longer than the poll takes, and
/// sets its first and last sockets that far apart; so as many as are open on most hosts go at once.
const PACE: usize = 14_000;

pub(super) struct Iterators {
    link: Link,
    numbers: MapHandle,
    /// Held open until the next search: a namespace lives as long as a file of it.
    pub namespaces: Vec<(u32, File)>,
}

impl Iterators {
    /// Attaches the iterator, for which [`Loaded::obstacle_to_polls`] must know no obstacle.
    pub(super) fn new(loaded: &Loaded) -> Result<Self, CaptureError> {
        let program = loaded.iterator("poll").expect("obstacles were asked for");
        let link = program.attach().map_err(fault)?;
        Ok(Self { link, numbers: loaded.map("poll_numbers")?, namespaces: Vec::new() })
    }

    pub(super) fn poll(
        &self,
        number: u32,
        home: &File,
        drain: &mut Drain<'_>,
    ) -> Result<(), CaptureError> {
        self.numbers
            .update(&0u32.to_ne_bytes(), &number.to_ne_bytes(), MapFlags::ANY)
            .map_err(fault)?;
        for (_, ns) in &self.namespaces {
            // An iterator belongs to the namespace it is made in, and can be read from any.
            let iter = netns::visit(ns, home, || Iter::new(&self.link)).map_err(entering)?;
            run(iter.map_err(fault)?, drain)?;
        }
        Ok(())
    }
}

fn fault(e: libbpf_rs::Error) -> CaptureError {
    CaptureError::bpf("poll the sockets of this host", e)
}

/// Reading to the end is what runs the program; it writes an octet for each socket it sends.
fn run(mut iter: Iter, drain: &mut Drain<'_>) -> Result<(), CaptureError> {
    let mut octets = [0; PACE];
    loop {
        match iter.read(&mut octets) {
            Ok(0) => return Ok(()),
            // A few can wait for the round that comes anyway.
            Ok(n) if n < PACE / 2 => {}
            Ok(_) => drain.round()?,
            // The kernel pauses after a million objects of which none was sent (bpf_seq_read).
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(CaptureError::io("poll the sockets of this host", e)),
        }
    }
}
