// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How records come out of the kernel: BPF ring buffers, or perf buffers before Linux 5.8.

mod perf;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

use self::perf::PerfBuffers;
use super::CaptureError;
use crate::{log::Ring, wire::NO_CPU};

/// A way for records to come out of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// BPF ring buffers (Linux 5.8).
    Ring,
    /// perf buffers.
    Perf,
}

impl Transport {
    /// All transports.
    pub const ALL: &'static [Self] = &[Self::Ring, Self::Perf];

    /// The name in the command line and the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Perf => "perf",
        }
    }
}

/// The kernel's page, octets: what every buffer is a multiple of. 4 KiB on x86-64, 4, 16 or 64 KiB on
/// arm64.
pub(super) fn page_bytes() -> u32 {
    // SAFETY: sysconf() touches nothing.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u32 }
}

/// Sizes of the buffers, by [`Ring`]: of each where there are several; 0 where there is none.
pub(super) type Bytes = [u32; Ring::ALL.len()];

/// The kernel's side: what the programs write to.
#[derive(Debug)]
pub(super) enum Buffers {
    /// A ring for each CPU, one for lifecycle records, one for snapshots if there are any, and one
    /// for each CPU's packets if there are any.
    Rings {
        hooks: Vec<MapHandle>,
        lifecycle: MapHandle,
        sockets: Option<MapHandle>,
        packets: Vec<MapHandle>,
        bytes: Bytes,
    },
    /// Two for each CPU; snapshots and packets need rings.
    Perf { hooks: MapHandle, lifecycle: MapHandle, cpus: usize, bytes: Bytes },
}

impl Buffers {
    /// Number of CPUs that may write.
    pub(super) fn cpus(&self) -> usize {
        match self {
            Self::Rings { hooks, .. } => hooks.len(),
            Self::Perf { cpus, .. } => *cpus,
        }
    }

    /// Sizes of the buffers.
    pub(super) fn bytes(&self) -> [u64; Ring::ALL.len()] {
        let (Self::Rings { bytes, .. } | Self::Perf { bytes, .. }) = self;
        bytes.map(u64::from)
    }
}

/// A buffer among all of them, as a number: each CPU's, those of lifecycle records and of snapshots,
/// each CPU's of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    cpus: usize,
}

impl Places {
    pub(super) const fn new(cpus: usize) -> Self {
        Self { cpus }
    }

    /// Number of places, whether there are buffers at them or not.
    pub(super) const fn count(self) -> usize {
        2 * self.cpus + 2
    }

    /// The ring and the CPU of an index.
    pub(super) const fn at(self, place: usize) -> (Ring, u16) {
        if place < self.cpus {
            (Ring::Hooks, place as u16)
        } else if place == self.cpus {
            (Ring::Lifecycle, NO_CPU)
        } else if place == self.cpus + 1 {
            (Ring::Sockets, NO_CPU)
        } else {
            (Ring::Packets, (place - self.cpus - 2) as u16)
        }
    }
}

/// Bytes of a ring that a record takes at least: its 8 of ring header, 32 of its own and one
/// operation of 16. Less than it takes of a perf buffer.
const SMALLEST_RECORD: u64 = 56;

/// One buffer, to be read.
pub(super) enum Reader<'a> {
    Ring(RingBuffer<'a>),
    Perf(PerfBuffers<'a>),
}

/// The buffers, each to be read with [`Reader::read`].
///
/// `take` is given each record with the place of its buffer and the octets that it took there; an
/// error code ends the round.
pub(super) fn readers<'a, F>(
    buffers: &Buffers,
    take: impl Fn() -> F,
) -> Result<Vec<Reader<'a>>, CaptureError>
where
    F: FnMut(usize, &[u8], u64) -> i32 + 'a,
{
    let fault = |e| CaptureError::bpf("read the rings", e);
    match buffers {
        Buffers::Rings { hooks, lifecycle, sockets, packets, .. } => hooks
            .iter()
            .chain([lifecycle])
            .map(Some)
            .chain([sockets.as_ref()])
            .chain(packets.iter().map(Some))
            .enumerate()
            .filter_map(|(place, map)| map.map(|map| (place, map)))
            .map(|(place, map)| {
                let mut take = take();
                let mut builder = RingBufferBuilder::new();
                builder
                    .add(map, move |bytes| {
                        // 8 octets of ring header, rounded up to 8.
                        take(place, bytes, (bytes.len() as u64 + 8).next_multiple_of(8))
                    })
                    .map_err(fault)?;
                builder.build().map(Reader::Ring).map_err(fault)
            })
            .collect(),
        Buffers::Perf { hooks, lifecycle, cpus, bytes } => {
            let cpus = *cpus;
            let mut by_cpu = take();
            let hooks = PerfBuffers::new(hooks, bytes[0], move |cpu, record, octets| {
                by_cpu(cpu, record, octets)
            })?;
            let mut by_kind = take();
            let lifecycle = PerfBuffers::new(lifecycle, bytes[1], move |_, record, octets| {
                by_kind(cpus, record, octets)
            })?;
            Ok(vec![Reader::Perf(hooks), Reader::Perf(lifecycle)])
        }
    }
}

impl Reader<'_> {
    /// Reads what is there now, and no more: where a CPU fills its buffer faster than it is read,
    /// reading it empty would never end. `bytes` is the larger of the buffers' sizes.
    pub(super) fn read(&self, bytes: u64) -> Result<(), CaptureError> {
        let result = match self {
            Self::Ring(ring) => ring.consume_raw_n((bytes / SMALLEST_RECORD) as usize),
            Self::Perf(buffers) => buffers.read(),
        };
        if result < 0 {
            let source = libbpf_rs::Error::from_raw_os_error(-result);
            return Err(CaptureError::bpf("read the rings", source));
        }
        Ok(())
    }
}
