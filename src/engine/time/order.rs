// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One total order out of two streams of nearly sorted records.
//!
//! The recorder reads its rings in rounds and puts a marker into both streams after each: every record
//! made [`SLACK_NS`] before the marker's time has been delivered. So records are held up to the
//! watermark (the earlier of the two streams' markers, less the slack) and released sorted by (time,
//! CPU, sequence number). A record that still comes behind its own stream's watermark is late: it is
//! applied as soon as it comes, counted, and its connection is flagged.
//!
//! The rounds are taken one at a time, alternating by the markers, and never by batches: where the
//! log happens to be cut into batches has no influence on the order.

use std::collections::VecDeque;

use super::{OrderKey, SLACK_NS, key};
use crate::schema::Var;
use crate::wire::{Event, Header, Lifecycle, Operation};

/// Hook records of one batch, as they came from the log.
pub trait HookRecords {
    /// Number of records.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Header of a record.
    fn header(&self, row: usize) -> Header;
    /// Its operations in their order.
    fn ops(&self, row: usize) -> impl Iterator<Item = Operation>;
}

/// Takes the records in their total order.
pub trait Consumer {
    /// The error of the consumer, usually of writing.
    type Error;
    /// A hook record; `late` if it came behind the watermark.
    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), Self::Error>;
    /// A lifecycle record.
    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), Self::Error>;
    /// Packets of a connection that must have been there but are not in the recording; its next
    /// record follows.
    fn missed(&mut self, header: &Header, packets: u64);
    /// A segment of a connection of which the capture has cut what these variables follow from; its
    /// next record follows.
    fn unread(&mut self, header: &Header, vars: &[Var]);
    /// A marker of the recorder: the recording went on at least to this time.
    fn reached(&mut self, ts_ns: u64);
}

/// Where a held record is.
#[derive(Clone, Copy, Debug)]
enum HeldAt {
    Hook { batch: u64, row: u32 },
    Lifecycle { index: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Held {
    key: OrderKey,
    late: bool,
    place: HeldAt,
}

/// Batches (or records) that are held until the last of their rows is released.
#[derive(Debug)]
struct Shelf<T> {
    first: u64,
    items: VecDeque<(Option<T>, usize)>,
}

impl<T> Shelf<T> {
    const fn new() -> Self {
        Self { first: 0, items: VecDeque::new() }
    }

    fn put(&mut self, item: T, rows: usize) -> u64 {
        self.items.push_back((Some(item), rows));
        self.first + self.items.len() as u64 - 1
    }

    fn get(&self, number: u64) -> Option<&T> {
        self.items.get((number - self.first) as usize)?.0.as_ref()
    }

    /// Releases one row; a batch without needed rows is dropped.
    fn release(&mut self, number: u64) {
        if let Some((item, rows)) = self.items.get_mut((number - self.first) as usize) {
            *rows -= 1;
            if *rows == 0 {
                *item = None;
            }
        }
        while self.items.front().is_some_and(|(item, _)| item.is_none()) {
            self.items.pop_front();
            self.first += 1;
        }
    }
}

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Up to the marker of this time.
    Marker(u64),
    /// To its end.
    Over,
}

impl Progress {
    const fn watermark(self) -> u64 {
        match self {
            Self::Marker(ts_ns) => ts_ns.saturating_sub(SLACK_NS),
            Self::Over => u64::MAX,
        }
    }
}

/// Counts of the ordering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// Hook records, without markers.
    pub hooks: u64,
    /// Lifecycle records, without markers.
    pub lifecycles: u64,
    /// Records that came behind the watermark.
    pub late: u64,
    /// Largest number of records held at once.
    pub held: u64,
}

/// Merges both streams and feeds the consumer.
///
/// # Errors
/// The first error of a stream or of the consumer.
pub fn merge<B, C, E>(
    hooks: impl Iterator<Item = Result<B, E>>,
    lifecycles: impl Iterator<Item = Result<Lifecycle, E>>,
    consumer: &mut C,
) -> Result<OrderCounts, E>
where
    B: HookRecords,
    C: Consumer,
    E: From<C::Error>,
{
    let mut order = Order {
        hooks,
        lifecycles,
        open: None,
        batches: Shelf::new(),
        records: Shelf::new(),
        held: Vec::new(),
        counts: OrderCounts::default(),
    };
    let (mut hooks_at, mut lifecycles_at) = (Progress::Marker(0), Progress::Marker(0));
    loop {
        let watermark = hooks_at.watermark().min(lifecycles_at.watermark());
        order.release(watermark, consumer)?;
        // The stream that is behind goes on; at the same marker the lifecycles come first.
        let (hooks_mark, lifecycles_mark) = (hooks_at.watermark(), lifecycles_at.watermark());
        if lifecycles_at != Progress::Over && lifecycles_mark <= hooks_mark {
            lifecycles_at = order.lifecycle_round(lifecycles_at, consumer)?;
        } else if hooks_at != Progress::Over {
            hooks_at = order.hook_round(hooks_at, consumer)?;
        } else {
            return Ok(order.counts);
        }
    }
}

struct Order<H, L, B> {
    hooks: H,
    lifecycles: L,
    /// The batch being read, and its next row.
    open: Option<(u64, usize, usize)>,
    batches: Shelf<B>,
    records: Shelf<Lifecycle>,
    held: Vec<Held>,
    counts: OrderCounts,
}

impl<H, L, B, E> Order<H, L, B>
where
    H: Iterator<Item = Result<B, E>>,
    L: Iterator<Item = Result<Lifecycle, E>>,
    B: HookRecords,
{
    fn hold(&mut self, key: OrderKey, watermark: u64, place: HeldAt) {
        let late = key.0 < watermark;
        self.counts.late += u64::from(late);
        self.held.push(Held { key, late, place });
        self.counts.held = self.counts.held.max(self.held.len() as u64);
    }

    /// Reads hook records up to the next marker.
    fn hook_round<C: Consumer>(&mut self, at: Progress, c: &mut C) -> Result<Progress, E> {
        let watermark = at.watermark();
        loop {
            let (batch, mut row, len) = match self.open.take() {
                Some(open) => open,
                None => match self.hooks.next().transpose()? {
                    None => return Ok(Progress::Over),
                    Some(batch) if batch.is_empty() => continue,
                    Some(batch) => {
                        let len = batch.len();
                        (self.batches.put(batch, len), 0, len)
                    }
                },
            };
            while row < len {
                // The batch being read is on the shelf: its unread rows hold it there.
                let Some(header) = self.batches.get(batch).map(|b| b.header(row)) else { break };
                row += 1;
                if header.hook.is_mark() {
                    self.batches.release(batch);
                    self.open = (row < len).then_some((batch, row, len));
                    c.reached(header.ts_ns);
                    // A marker never takes back what an earlier one vouched for.
                    return Ok(advance(at, header.ts_ns));
                }
                self.counts.hooks += 1;
                let place = HeldAt::Hook { batch, row: (row - 1) as u32 };
                self.hold(key(&header), watermark, place);
            }
        }
    }

    /// Reads lifecycle records up to the next marker.
    fn lifecycle_round<C: Consumer>(&mut self, at: Progress, c: &mut C) -> Result<Progress, E> {
        let watermark = at.watermark();
        while let Some(record) = self.lifecycles.next().transpose()? {
            if record.event == Event::Drain {
                c.reached(record.header.ts_ns);
                return Ok(advance(at, record.header.ts_ns));
            }
            self.counts.lifecycles += 1;
            let key = key(&record.header);
            let index = self.records.put(record, 1);
            self.hold(key, watermark, HeldAt::Lifecycle { index });
        }
        Ok(Progress::Over)
    }

    /// Feeds what is before the watermark to the consumer, in order.
    fn release<C: Consumer>(&mut self, watermark: u64, consumer: &mut C) -> Result<(), E>
    where
        E: From<C::Error>,
    {
        // Stable and adaptive: what stayed from the last time and each CPU's records are runs.
        self.held.sort_by_key(|held| held.key);
        let ready =
            self.held.partition_point(|held| held.key.0 < watermark || watermark == u64::MAX);
        for held in self.held.drain(..ready) {
            match held.place {
                HeldAt::Hook { batch, row } => {
                    if let Some(b) = self.batches.get(batch) {
                        let header = b.header(row as usize);
                        consumer.hook(&header, b.ops(row as usize), held.late)?;
                    }
                    self.batches.release(batch);
                }
                HeldAt::Lifecycle { index } => {
                    if let Some(record) = self.records.get(index) {
                        consumer.lifecycle(record, held.late)?;
                    }
                    self.records.release(index);
                }
            }
        }
        Ok(())
    }
}

const fn advance(at: Progress, ts_ns: u64) -> Progress {
    match at {
        Progress::Marker(before) if before > ts_ns => at,
        Progress::Marker(_) | Progress::Over => Progress::Marker(ts_ns),
    }
}

#[cfg(test)]
mod tests;
