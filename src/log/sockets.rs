// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots <-> columns.
//!
//! A socket polled every 10 ms changes in a few of its hundred fields, and then by little. So the
//! columns hold differences to the same socket's row before, which are mostly zero; the first row of
//! a socket in each frame is whole, so that a frame can be read by itself. Refused: a list of the
//! fields that changed, whose names cost more than the zeros do; second differences, since reading
//! them back takes more than a running sum.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int8Type};
use arrow::error::ArrowError;
use rustc_hash::FxHashMap;

use super::address;
use super::builder::{HeaderColumns, TimeSpan};
use super::capture_stats::Names;
use super::stream::{Stream, WHYS, bounded, column, dictionary, field, hook_by_name};
use crate::schema::{Hook, SocketField, SocketType, Why};
use crate::wire::{Header, NO_CPU, Snapshot, SocketValues};

/// How the columns of numbers and texts are to be read; stands in the metadata of every file.
pub const RULE: &str = "columns from family on hold differences: a number is the sum of its column \
    over the rows of the same (cookie, generation) in the frame (record batch) up to this one, \
    modulo 2^32 (Int32) or 2^64 (Int64), and a null stands for no value; a text or a row of octets \
    is the last one of these rows that is not null, and empty where all are null";

/// Whether it is a number of 64 bits.
const fn is_wide(field: SocketField) -> bool {
    matches!(field.def().ty, SocketType::U64)
}

/// The columns after the header.
pub(super) fn fields() -> Vec<Field> {
    use DataType::{Int32, Int64, UInt32, Utf8};
    let small_dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let optional = |name: &str, ty, unit: &str, meaning: &str| {
        field(name, ty, unit, meaning).with_nullable(true)
    };
    let mut fields = vec![
        optional("why", small_dictionary, "", "poll, open, baseline, close or end"),
        optional("poll", UInt32, "", "number of the poll; null if an event made the row"),
        optional("family", Int32, "", "address family of the socket: 2 AF_INET, 10 AF_INET6"),
        optional("local_addr", Utf8, "", "local address; IPv4-mapped as ::ffff:1.2.3.4"),
        optional("local_port", Int32, "", "local port"),
        optional("remote_addr", Utf8, "", "remote address"),
        optional("remote_port", Int32, "", "remote port"),
        optional("netns", Int32, "", "inode number of the network namespace"),
        optional("congestion", Utf8, "", "congestion control in force"),
        optional("ulp", Utf8, "", "upper layer protocol in the kernel: tls, mptcp; by netlink"),
        optional(
            "tcp_info_more",
            DataType::Binary,
            "",
            "struct tcp_info beyond the fields that the recorder knew; by netlink",
        ),
    ];
    fields.extend(SocketField::ALL.iter().map(|&x| {
        let ty = if is_wide(x) { Int64 } else { Int32 };
        let doc = x.def().doc.trim();
        optional(x.name(), ty, x.def().unit, doc)
    }));
    fields
}

/// A column of differences.
#[derive(Debug)]
struct Differences<T> {
    values: Vec<T>,
    valid: Vec<bool>,
    nulls: usize,
}

impl<T> Default for Differences<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: Vec::new(), nulls: 0 }
    }
}

impl<T: Default> Differences<T> {
    fn push(&mut self, value: Option<T>) {
        self.nulls += usize::from(value.is_none());
        self.valid.push(value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    fn take(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let valid = std::mem::take(&mut self.valid);
        let nulls = std::mem::take(&mut self.nulls) > 0;
        (std::mem::take(&mut self.values), nulls.then(|| NullBuffer::from(valid)))
    }
}

#[derive(Debug)]
enum Column {
    Narrow(Differences<i32>),
    Wide(Differences<i64>),
}

impl Column {
    fn push(&mut self, value: Option<u64>, before: u64) {
        match self {
            // Modulo 2^32: the upper half of a difference of 32-bit numbers is their borrow.
            Self::Narrow(c) => c.push(value.map(|v| v.wrapping_sub(before) as i32)),
            Self::Wide(c) => c.push(value.map(|v| v.wrapping_sub(before) as i64)),
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Narrow(c) => {
                let (values, nulls) = c.take();
                Arc::new(Int32Array::new(values.into(), nulls))
            }
            Self::Wide(c) => {
                let (values, nulls) = c.take();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
        }
    }
}

/// The numbers that identify a socket: family, ports, namespace.
fn identity(s: &Snapshot) -> [u64; 4] {
    [s.family.into(), s.local_port.into(), s.remote_port.into(), s.netns.into()]
}

/// What the rows of one socket in this frame add up to.
#[derive(Clone, Debug)]
struct Sums {
    row: Snapshot,
    /// The last value of each field, also where the last row has none.
    fields: [u64; SocketField::COUNT],
}

impl Sums {
    /// Goes on to the next row.
    fn next(before: Option<&Self>, row: Snapshot) -> Self {
        let mut fields = before.map_or([0; SocketField::COUNT], |b| b.fields);
        for (sum, &x) in fields.iter_mut().zip(SocketField::ALL) {
            *sum = row.values.get(x).unwrap_or(*sum);
        }
        Self { row, fields }
    }
}

/// Collects snapshots until they are worth a frame.
#[derive(Debug)]
pub(super) struct SocketBuilder {
    header: HeaderColumns,
    why: Vec<Option<i8>>,
    poll: Vec<Option<u32>>,
    identity: [Differences<i32>; 4],
    local_addr: Vec<Option<String>>,
    remote_addr: Vec<Option<String>>,
    congestion: Vec<Option<String>>,
    ulp: Vec<Option<String>>,
    tcp_info_more: Vec<Option<Vec<u8>>>,
    columns: Vec<Column>,
    before: FxHashMap<(u64, u16), Sums>,
    span: TimeSpan,
}

impl Default for SocketBuilder {
    fn default() -> Self {
        let column = |x: &SocketField| {
            if is_wide(*x) {
                Column::Wide(Differences::default())
            } else {
                Column::Narrow(Differences::default())
            }
        };
        Self {
            header: HeaderColumns::default(),
            why: Vec::new(),
            poll: Vec::new(),
            identity: Default::default(),
            local_addr: Vec::new(),
            remote_addr: Vec::new(),
            congestion: Vec::new(),
            ulp: Vec::new(),
            tcp_info_more: Vec::new(),
            columns: SocketField::ALL.iter().map(column).collect(),
            before: FxHashMap::default(),
            span: TimeSpan::EMPTY,
        }
    }
}

impl SocketBuilder {
    pub fn push(&mut self, row: Snapshot) {
        self.span.include(row.header.ts_ns);
        self.header.push(&row.header);
        self.why.push(Some(row.why as i8 - 1));
        self.poll.push(row.poll);
        let key = (row.header.cookie, row.header.generation);
        let before = self.before.get(&key);
        let numbers = before.map_or([0; 4], |b| identity(&b.row));
        for ((column, value), old) in self.identity.iter_mut().zip(identity(&row)).zip(numbers) {
            column.push(Some(value.wrapping_sub(old) as i32));
        }
        let address = |addr: fn(&Snapshot) -> &[u8; 16]| {
            let same =
                before.is_some_and(|b| addr(&b.row) == addr(&row) && b.row.family == row.family);
            (!same).then(|| address::to_text(row.family, addr(&row)))
        };
        self.local_addr.push(address(|s| &s.local_addr));
        self.remote_addr.push(address(|s| &s.remote_addr));
        let same = before.is_some_and(|b| b.row.congestion == row.congestion);
        self.congestion.push((!same).then(|| row.congestion.clone()));
        let same = before.map_or(row.ulp.is_empty(), |b| b.row.ulp == row.ulp);
        self.ulp.push((!same).then(|| row.ulp.clone()));
        let more = &row.tcp_info_more;
        let same = before.map_or(more.is_empty(), |b| b.row.tcp_info_more == *more);
        self.tcp_info_more.push((!same).then(|| more.clone()));
        for (column, &x) in self.columns.iter_mut().zip(SocketField::ALL) {
            column.push(row.values.get(x), before.map_or(0, |b| b.fields[x.index()]));
        }
        let sums = Sums::next(before, row);
        self.before.insert(key, sums);
    }

    /// A row that only marks that the rings have been read up to this time.
    pub fn push_marker(&mut self, header: &Header) {
        self.span.include(header.ts_ns);
        self.header.push(header);
        self.why.push(None);
        self.poll.push(None);
        self.identity.iter_mut().for_each(|c| c.push(None));
        let texts =
            [&mut self.local_addr, &mut self.remote_addr, &mut self.congestion, &mut self.ulp];
        texts.into_iter().for_each(|texts| texts.push(None));
        self.tcp_info_more.push(None);
        self.columns.iter_mut().for_each(|c| c.push(None, 0));
    }

    pub fn rows(&self) -> usize {
        self.header.len()
    }

    pub fn take(&mut self) -> Result<(RecordBatch, TimeSpan), ArrowError> {
        self.before.clear();
        let mut columns = self.header.take()?;
        let [family, local_port, remote_port, netns] = &mut self.identity;
        let number = |c: &mut Differences<i32>| -> ArrayRef {
            let (values, nulls) = c.take();
            Arc::new(Int32Array::new(values.into(), nulls))
        };
        let text = |c: &mut Vec<Option<String>>| -> ArrayRef {
            Arc::new(StringArray::from(std::mem::take(c)))
        };
        columns.push(dictionary::<Int8Type>(std::mem::take(&mut self.why).into(), &WHYS)?);
        columns.push(Arc::new(UInt32Array::from(std::mem::take(&mut self.poll))));
        columns.push(number(family));
        columns.push(text(&mut self.local_addr));
        columns.push(number(local_port));
        columns.push(text(&mut self.remote_addr));
        columns.push(number(remote_port));
        columns.push(number(netns));
        columns.push(text(&mut self.congestion));
        columns.push(text(&mut self.ulp));
        let more = std::mem::take(&mut self.tcp_info_more);
        columns.push(Arc::new(more.into_iter().collect::<BinaryArray>()));
        columns.extend(self.columns.iter_mut().map(Column::take));
        let batch = RecordBatch::try_new(Stream::Sockets.schema(), columns)?;
        Ok((batch, std::mem::replace(&mut self.span, TimeSpan::EMPTY)))
    }
}

/// A row of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all rows are of the large variant")]
pub(crate) enum SocketRow {
    Snapshot(Snapshot),
    /// Every record made before this time (CLOCK_MONOTONIC, in ns) stands before it.
    Marker(u64),
    /// A row with a hook or reason that this build does not know. Its differences still count.
    Unknown,
}

/// A column of numbers, whichever width it has.
enum Numbers<'a> {
    Narrow(&'a Int32Array),
    Wide(&'a Int64Array),
}

impl Numbers<'_> {
    fn get(&self, i: usize, before: u64) -> Option<u64> {
        match self {
            Self::Narrow(c) => {
                (!c.is_null(i)).then(|| u64::from((before as u32).wrapping_add(c.value(i) as u32)))
            }
            Self::Wide(c) => (!c.is_null(i)).then(|| before.wrapping_add(c.value(i) as u64)),
        }
    }
}

/// Columns -> rows.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<SocketRow>, String> {
    bounded(batch, Stream::Sockets)?;
    let hook: Names<'_, Hook> = Names::new(batch, "hook", hook_by_name)?;
    let why = Names::new(batch, "why", |n| Why::ALL.iter().copied().find(|w| w.name() == n))?;
    let ts_ns: &UInt64Array = column(batch, "ts_ns")?;
    let seq: &UInt64Array = column(batch, "seq")?;
    let cookie: &UInt64Array = column(batch, "cookie")?;
    let cpu: &UInt16Array = column(batch, "cpu")?;
    let generation: &UInt16Array = column(batch, "generation")?;
    let poll: &UInt32Array = column(batch, "poll")?;
    let number = |name| column::<Int32Array>(batch, name).map(Numbers::Narrow);
    let numbers =
        [number("family")?, number("local_port")?, number("remote_port")?, number("netns")?];
    let text = |name| column::<StringArray>(batch, name);
    let (local, remote, congestion) =
        (text("local_addr")?, text("remote_addr")?, text("congestion")?);
    // Recorders before there were these two wrote none.
    let there = |name| batch.column_by_name(name).is_some();
    let ulps = there("ulp").then(|| text("ulp")).transpose()?;
    let more = there("tcp_info_more").then(|| column::<BinaryArray>(batch, "tcp_info_more"));
    let more = more.transpose()?;
    // A field that this file does not have, its recorder did not know.
    let mut fields = Vec::new();
    for &x in SocketField::ALL {
        if batch.column_by_name(x.name()).is_some() {
            fields.push((
                x,
                if is_wide(x) {
                    Numbers::Wide(column(batch, x.name())?)
                } else {
                    Numbers::Narrow(column(batch, x.name())?)
                },
            ));
        }
    }
    let mut before: FxHashMap<(u64, u16), Sums> = FxHashMap::default();
    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        // Rows that the recorder has read itself, over netlink, have a poll's number.
        if cpu.value(i) == NO_CPU && poll.is_null(i) {
            rows.push(SocketRow::Marker(ts_ns.value(i)));
            continue;
        }
        let key = (cookie.value(i), generation.value(i));
        let sums = before.get(&key);
        let old = sums.map(|s| &s.row);
        let fault = |what: &str| format!("row {i}: {what}");
        let old_numbers = old.map_or([0; 4], identity);
        let mut identity = [0; 4];
        for (n, (value, column)) in identity.iter_mut().zip(&numbers).enumerate() {
            *value = column.get(i, old_numbers[n]).ok_or_else(|| fault("no identity"))?;
        }
        let narrow = |n: u64, name| u16::try_from(n).map_err(|_| fault(name));
        let address = |c: &StringArray, old: Option<[u8; 16]>| {
            if c.is_null(i) {
                return old.ok_or_else(|| fault("no address"));
            }
            let text = c.value(i);
            address::from_text(text).ok_or_else(|| fault(&format!("{text:?} is not an address")))
        };
        let mut values = SocketValues::default();
        for (x, column) in &fields {
            values.set(*x, column.get(i, sums.map_or(0, |s| s.fields[x.index()])));
        }
        let row = Snapshot {
            header: Header {
                ts_ns: ts_ns.value(i),
                seq: seq.value(i),
                cookie: key.0,
                generation: key.1,
                cpu: cpu.value(i),
                // A row of an unknown one is not given out.
                hook: hook.get(i).unwrap_or(Hook::Drain),
            },
            why: why.get(i).unwrap_or(Why::Poll),
            poll: (!poll.is_null(i)).then(|| poll.value(i)),
            family: narrow(identity[0], "address family out of range")?,
            local_addr: address(local, old.map(|o| o.local_addr))?,
            remote_addr: address(remote, old.map(|o| o.remote_addr))?,
            local_port: narrow(identity[1], "port out of range")?,
            remote_port: narrow(identity[2], "port out of range")?,
            netns: identity[3] as u32,
            congestion: match (congestion.is_null(i), old) {
                (false, _) => congestion.value(i).to_owned(),
                (true, Some(old)) => old.congestion.clone(),
                (true, None) => return Err(fault("no congestion control")),
            },
            ulp: match ulps.filter(|c| !c.is_null(i)) {
                Some(c) => c.value(i).to_owned(),
                None => old.map_or_else(String::new, |old| old.ulp.clone()),
            },
            tcp_info_more: match more.filter(|c| !c.is_null(i)) {
                Some(c) => c.value(i).to_vec(),
                None => old.map_or_else(Vec::new, |old| old.tcp_info_more.clone()),
            },
            values,
        };
        let known = hook.get(i).is_some() && why.get(i).is_some();
        rows.push(if known { SocketRow::Snapshot(row.clone()) } else { SocketRow::Unknown });
        let sums = Sums::next(sums, row);
        before.insert(key, sums);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
