//! How records come out of the kernel: BPF ring buffers, or perf buffers before Linux 5.8.

mod perf;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

use self::perf::PerfBuffers;
use super::CaptureError;

/// A way for records to come out of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// BPF ring buffers (Linux 5.8).
    Ring,
    /// perf buffers.
    Perf,
}

impl Transport {
    /// The name in the command line and the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Perf => "perf",
        }
    }
}

impl std::str::FromStr for Transport {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ring" => Ok(Self::Ring),
            "perf" => Ok(Self::Perf),
            _ => Err(format!("{name:?} is no transport: ring, perf, or auto for the best")),
        }
    }
}

/// The kernel's side: what the programs write to.
#[derive(Debug)]
pub(super) enum Buffers {
    /// A ring for each CPU, one for lifecycle records, and one for snapshots if there are any.
    Rings {
        hooks: Vec<MapHandle>,
        lifecycle: MapHandle,
        sockets: Option<MapHandle>,
        bytes: [u32; 3],
    },
    /// Two for each CPU; snapshots need rings.
    Perf { hooks: MapHandle, lifecycle: MapHandle, cpus: usize, bytes: [u32; 3] },
}

impl Buffers {
    /// Number of CPUs that may write.
    pub(super) fn cpus(&self) -> usize {
        match self {
            Self::Rings { hooks, .. } => hooks.len(),
            Self::Perf { cpus, .. } => *cpus,
        }
    }

    /// Bytes of a CPU's buffer of operations, of the one (or each one) of lifecycle records, and of
    /// the ring of snapshots (0 if there is none).
    pub(super) fn bytes(&self) -> [u64; 3] {
        let (Self::Rings { bytes, .. } | Self::Perf { bytes, .. }) = self;
        bytes.map(u64::from)
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

/// The buffers with how many octets they hold, as [`Reader::read`] is asked to read them: those of
/// each CPU, then those of lifecycle records, and last those of snapshots.
///
/// `take` is given each record with the place of its buffer (CPU, the number of CPUs for lifecycle
/// records, and one more for snapshots) and the octets that it took there; an error code ends the
/// round.
pub(super) fn readers<'a, F>(
    buffers: &Buffers,
    take: impl Fn() -> F,
) -> Result<Vec<Reader<'a>>, CaptureError>
where
    F: FnMut(usize, &[u8], u64) -> i32 + 'a,
{
    let fault = |e| CaptureError::bpf("read the rings", e);
    match buffers {
        Buffers::Rings { hooks, lifecycle, sockets, .. } => hooks
            .iter()
            .chain([lifecycle])
            .chain(sockets)
            .enumerate()
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
