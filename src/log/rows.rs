// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Lifecycle records <-> columns.

use std::sync::Arc;

use arrow::array::{
    RecordBatch, StringArray, StringBuilder, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::Int8Type;
use arrow::error::ArrowError;

use super::address;
use super::builder::{HeaderColumns, TimeSpan};
use super::capture_stats::Names;
use super::stream::{EVENTS, Stream, bounded, column, dictionary, hook_by_name};
use super::writer::{BATCH, PAYLOAD};
use crate::schema::Hook;
use crate::wire::{Event, Header, Lifecycle};

/// Collects lifecycle records until they are worth a frame.
#[derive(Debug)]
pub struct LifecycleBuilder {
    rows: Vec<Lifecycle>,
    /// Octets of their texts.
    text: usize,
    span: TimeSpan,
}

impl Default for LifecycleBuilder {
    fn default() -> Self {
        Self { rows: Vec::new(), text: 0, span: TimeSpan::EMPTY }
    }
}

impl LifecycleBuilder {
    pub fn push(&mut self, row: Lifecycle) {
        self.span.include(row.header.ts_ns);
        self.text += row.cgroup_path.len() + row.comm.len() + row.congestion.len();
        self.rows.push(row);
    }

    /// Whether these are enough for a frame: by their number, or by their texts, of which a path of a cgroup may have
    /// thousands of octets.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= BATCH || self.text >= PAYLOAD
    }

    pub fn take(&mut self) -> Result<(RecordBatch, TimeSpan), ArrowError> {
        self.text = 0;
        let rows = std::mem::take(&mut self.rows);
        let mut header = HeaderColumns::default();
        rows.iter().for_each(|r| header.push(&r.header));
        let mut columns = header.take()?;
        let u8s = |cell: fn(&Lifecycle) -> u8| {
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(cell)))
        };
        let u16s = |cell: fn(&Lifecycle) -> u16| {
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(cell)))
        };
        let u32s = |cell: fn(&Lifecycle) -> u32| {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(cell)))
        };
        let u64s = |cell: fn(&Lifecycle) -> u64| {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(cell)))
        };
        let text = |cell: fn(&Lifecycle) -> &str| {
            Arc::new(StringArray::from_iter_values(rows.iter().map(cell)))
        };
        let address = |cell: fn(&Lifecycle) -> &[u8; 16]| {
            let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
            rows.iter().for_each(|r| column.append_value(address::to_text(r.family, cell(r))));
            Arc::new(column.finish())
        };
        let events = rows.iter().map(|r| r.event as i8 - 1).collect::<Vec<_>>();
        columns.push(dictionary::<Int8Type>(events.into(), &EVENTS)?);
        columns.push(u64s(|r| r.start_ns));
        columns.push(u16s(|r| r.family));
        columns.push(address(|r| &r.local_addr));
        columns.push(u16s(|r| r.local_port));
        columns.push(address(|r| &r.remote_addr));
        columns.push(u16s(|r| r.remote_port));
        columns.push(u32s(|r| r.netns));
        columns.push(u64s(|r| r.cgroup_id));
        columns.push(text(|r| &r.cgroup_path));
        columns.push(u32s(|r| r.pid));
        columns.push(u32s(|r| r.uid));
        columns.push(text(|r| &r.comm));
        columns.push(text(|r| &r.congestion));
        columns.push(u8s(|r| r.old_state));
        columns.push(u8s(|r| r.new_state));
        columns.push(u8s(|r| r.active));
        columns.push(u8s(|r| r.established));
        columns.push(u8s(|r| r.first_fin));
        columns.push(u32s(|r| r.sk_err));
        columns.push(u32s(|r| r.mptcp));
        let batch = RecordBatch::try_new(Stream::Connections.schema(), columns)?;
        Ok((batch, std::mem::replace(&mut self.span, TimeSpan::EMPTY)))
    }
}

/// A row that only marks that the rings have been read.
pub fn marker(header: Header) -> Lifecycle {
    Lifecycle {
        header,
        event: Event::Drain,
        start_ns: 0,
        family: 0,
        local_addr: [0; 16],
        remote_addr: [0; 16],
        local_port: 0,
        remote_port: 0,
        netns: 0,
        cgroup_id: 0,
        cgroup_path: String::new(),
        pid: 0,
        uid: 0,
        comm: String::new(),
        congestion: String::new(),
        old_state: 0,
        new_state: 0,
        active: 0,
        established: 0,
        first_fin: 0,
        mptcp: 0,
        sk_err: 0,
    }
}

/// Columns -> rows; `None` for a row whose hook or event this build does not know.
pub fn decode(batch: &RecordBatch) -> Result<Vec<Option<Lifecycle>>, String> {
    bounded(batch, Stream::Connections)?;
    let u8s = |name| column::<UInt8Array>(batch, name);
    let u16s = |name| column::<UInt16Array>(batch, name);
    let u32s = |name| column::<UInt32Array>(batch, name);
    let u64s = |name| column::<UInt64Array>(batch, name);
    let text = |name| column::<StringArray>(batch, name);
    let hook: Names<'_, Hook> = Names::new(batch, "hook", hook_by_name)?;
    let event =
        Names::new(batch, "event", |name| Event::ALL.iter().copied().find(|e| e.name() == name))?;
    let (ts_ns, seq, cookie) = (u64s("ts_ns")?, u64s("seq")?, u64s("cookie")?);
    let (cpu, generation) = (u16s("cpu")?, u16s("generation")?);
    let (start_ns, family, netns) = (u64s("start_ns")?, u16s("family")?, u32s("netns")?);
    let (local_addr, local_port) = (text("local_addr")?, u16s("local_port")?);
    let (remote_addr, remote_port) = (text("remote_addr")?, u16s("remote_port")?);
    let (cgroup_id, cgroup_path) = (u64s("cgroup_id")?, text("cgroup_path")?);
    let (pid, uid, comm) = (u32s("pid")?, u32s("uid")?, text("comm")?);
    let (congestion, sk_err) = (text("congestion")?, u32s("sk_err")?);
    let (old_state, new_state) = (u8s("old_state")?, u8s("new_state")?);
    let (active, established) = (u8s("active")?, u8s("established")?);
    let first_fin = u8s("first_fin")?;
    // Recordings before it was there have none.
    let mptcp = batch.column_by_name("mptcp").map(|_| u32s("mptcp")).transpose()?;
    let bytes = |addresses: &StringArray, i: usize| {
        let text = addresses.value(i);
        address::from_text(text).ok_or_else(|| format!("row {i}: {text:?} is not an address"))
    };
    let row = |i: usize| {
        let (Some(hook), Some(event)) = (hook.get(i), event.get(i)) else { return Ok(None) };
        Ok(Some(Lifecycle {
            header: Header {
                ts_ns: ts_ns.value(i),
                seq: seq.value(i),
                cookie: cookie.value(i),
                generation: generation.value(i),
                cpu: cpu.value(i),
                hook,
            },
            event,
            start_ns: start_ns.value(i),
            family: family.value(i),
            local_addr: bytes(local_addr, i)?,
            remote_addr: bytes(remote_addr, i)?,
            local_port: local_port.value(i),
            remote_port: remote_port.value(i),
            netns: netns.value(i),
            cgroup_id: cgroup_id.value(i),
            cgroup_path: cgroup_path.value(i).to_owned(),
            pid: pid.value(i),
            uid: uid.value(i),
            comm: comm.value(i).to_owned(),
            congestion: congestion.value(i).to_owned(),
            old_state: old_state.value(i),
            new_state: new_state.value(i),
            active: active.value(i),
            established: established.value(i),
            first_fin: first_fin.value(i),
            mptcp: mptcp.map_or(0, |m| m.value(i)),
            sk_err: sk_err.value(i),
        }))
    };
    (0..batch.num_rows()).map(row).collect()
}
