// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Frames read one after the other, or by several threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use super::LogError;
use super::batch::HookBatch;
use super::frames::{SegmentMap, at_segment};

/// One frame to read.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub segment: usize,
    pub frame: usize,
}

/// All frames after the first of each segment but those that the survey found damaged and counted as
/// missing: any other that cannot be read is an error.
pub fn jobs(segments: &[Arc<SegmentMap>]) -> Vec<Job> {
    let of = |(segment, map): (usize, &Arc<SegmentMap>)| {
        let frames = map.frames.iter().enumerate().skip(1).filter(|(_, f)| f.is_content());
        let frames = frames.filter(|(frame, _)| !map.damaged.contains(frame));
        frames.map(move |(frame, _)| Job { segment, frame }).collect::<Vec<_>>()
    };
    segments.iter().enumerate().flat_map(of).collect()
}

/// Decoded batches waiting per thread: enough that none idles, few enough to stay small.
const AHEAD: usize = 2;

/// A frame's batch; the end of a stream has none, but takes its turn.
type Decoded = Result<Option<HookBatch>, LogError>;

/// Frames of hook records, read by several threads.
///
/// Thread i of n reads frames i, i + n, ...: the order comes back by asking the threads in turn, so
/// no frame waits in a queue that could grow, and nothing needs sorting.
pub struct Parallel {
    lanes: Vec<Lane>,
    next: usize,
}

enum Lane {
    /// Reads when asked: for one thread, and for a failure to begin with.
    Inline(Box<dyn Iterator<Item = Decoded> + Send>),
    Thread(Receiver<Decoded>, Option<JoinHandle<()>>),
}

impl Parallel {
    pub fn failed(error: LogError) -> Self {
        let lane = Lane::Inline(Box::new(std::iter::once(Err(error))));
        Self { lanes: vec![lane], next: 0 }
    }

    pub fn new(segments: Vec<Arc<SegmentMap>>, threads: NonZeroUsize) -> Self {
        let all = jobs(&segments);
        let threads = threads.get().min(all.len().max(1));
        let lane = |i: usize| {
            let mine: Vec<Job> = all.iter().copied().skip(i).step_by(threads).collect();
            let segments = segments.clone();
            let mut cursor = None;
            let read = mine.into_iter().map(move |job| {
                let frames = at_segment(&mut cursor, &segments[job.segment]);
                frames.and_then(|frames| frames.hooks(job.frame))
            });
            if threads == 1 {
                return Lane::Inline(Box::new(read));
            }
            let (send, receive) = sync_channel(AHEAD);
            let thread = thread::spawn(move || {
                // The other side hangs up when it has enough, or at the first error.
                for batch in read {
                    if send.send(batch).is_err() {
                        return;
                    }
                }
            });
            Lane::Thread(receive, Some(thread))
        };
        Self { lanes: (0..threads).map(lane).collect(), next: 0 }
    }
}

impl Lane {
    /// The next frame of this lane.
    fn next(&mut self) -> Option<Decoded> {
        match self {
            Self::Inline(read) => read.next(),
            Self::Thread(receive, thread) => receive.recv().ok().or_else(|| {
                // Hung up: at its end, or by a panic, which must not look like an end.
                let ended = thread.take().map_or(Ok(()), JoinHandle::join);
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                None
            }),
        }
    }
}

impl Iterator for Parallel {
    type Item = Result<HookBatch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // No lanes: at the end, or after an error, which hangs up on all threads.
            let lane = self.next;
            let decoded = self.lanes.get_mut(lane)?.next();
            self.next = (lane + 1) % self.lanes.len();
            match decoded {
                Some(Ok(Some(batch))) => return Some(Ok(batch)),
                Some(Ok(None)) => {}
                Some(Err(e)) => {
                    self.lanes.clear();
                    return Some(Err(e));
                }
                None => self.lanes.clear(),
            }
        }
    }
}
