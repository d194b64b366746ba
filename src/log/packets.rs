// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packet digests <-> columns.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, FixedSizeBinaryArray,
    FixedSizeBinaryBuilder, PrimitiveArray, RecordBatch, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, Int8Type};
use arrow::error::ArrowError;

use super::builder::TimeSpan;
use super::capture_stats::Names;
use super::stream::{DIRECTIONS, HOOK_NAMES, Stream, bounded, column, dictionary, hook_by_name};
use crate::schema::Hook;
use crate::wire::{Checksum, Direction, HEADER_MAX, NO_CPU, Packet};

/// A row of the packets stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketRow {
    /// A packet.
    Packet(Packet),
    /// Every packet seen before this time (less a slack of 100 ms) stands before this row.
    Drained(u64),
}

impl PacketRow {
    fn packet(&self) -> Option<&Packet> {
        match self {
            Self::Packet(packet) => Some(packet),
            Self::Drained(_) => None,
        }
    }

    fn ts_ns(&self) -> u64 {
        match self {
            Self::Packet(packet) => packet.ts_ns,
            Self::Drained(ts_ns) => *ts_ns,
        }
    }
}

/// Collects packets until they are worth a frame.
#[derive(Debug)]
pub(super) struct PacketBuilder {
    rows: Vec<PacketRow>,
    /// Bytes of payload in them.
    payload: usize,
    /// Markers get numbers of their own, as in the other streams.
    markers: u64,
    span: TimeSpan,
}

impl Default for PacketBuilder {
    fn default() -> Self {
        Self { rows: Vec::new(), payload: 0, markers: 0, span: TimeSpan::EMPTY }
    }
}

impl PacketBuilder {
    pub fn push(&mut self, row: PacketRow) {
        self.span.include(row.ts_ns());
        self.payload += row.packet().map_or(0, |packet| packet.payload.len());
        self.rows.push(row);
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub fn payload_bytes(&self) -> usize {
        self.payload
    }

    pub fn take(&mut self) -> Result<(RecordBatch, TimeSpan), ArrowError> {
        let room = Vec::with_capacity(self.rows.len());
        let rows = std::mem::replace(&mut self.rows, room);
        self.payload = 0;
        let span = std::mem::replace(&mut self.span, TimeSpan::EMPTY);
        let mut seq = Vec::with_capacity(rows.len());
        for row in &rows {
            seq.push(row.packet().map_or(self.markers, |p| p.seq));
            self.markers += u64::from(row.packet().is_none());
        }
        let columns = columns(&rows, seq)?;
        Ok((RecordBatch::try_new(Stream::Packets.schema(), columns)?, span))
    }
}

fn columns(rows: &[PacketRow], seq: Vec<u64>) -> Result<Vec<ArrayRef>, ArrowError> {
    fn all<T: ArrowPrimitiveType>(
        rows: &[PacketRow],
        marker: T::Native,
        cell: fn(&Packet) -> T::Native,
    ) -> ArrayRef {
        let values = rows.iter().map(|r| r.packet().map_or(marker, cell));
        Arc::new(PrimitiveArray::<T>::from_iter_values(values))
    }
    fn some<T: ArrowPrimitiveType>(
        rows: &[PacketRow],
        cell: fn(&Packet) -> Option<T::Native>,
    ) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter(rows.iter().map(|r| r.packet().and_then(cell))))
    }
    use arrow::datatypes::{UInt8Type as U8, UInt16Type as U16, UInt32Type as U32};
    let hooks: Vec<_> =
        rows.iter().map(|r| r.packet().map_or(Hook::Drain, |p| p.hook) as i8 - 1).collect();
    let directions: Vec<_> = rows
        .iter()
        .map(|r| r.packet().map_or(Direction::Unknown, |p| p.direction) as i8 - 1)
        .collect();
    let addresses = |cell: fn(&Packet) -> IpAddr| -> Result<ArrayRef, ArrowError> {
        let mut column = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
        for row in rows {
            column.append_value(row.packet().map_or([0; 16], |p| mapped(cell(p))))?;
        }
        Ok(Arc::new(column.finish()))
    };
    let more = rows.iter().map(|r| Some(r.packet().is_some_and(|p| p.more_fragments)));
    let copies = rows.iter().map(|r| r.packet().map(|p| p.is_copy).filter(|is_copy| *is_copy));
    let mut header = FixedSizeBinaryBuilder::with_capacity(rows.len(), HEADER_MAX as i32);
    let mut payload = BinaryBuilder::new();
    for row in rows {
        let mut padded = [0; HEADER_MAX];
        let bytes = row.packet().map_or(&[][..], |p| &p.header[..header_len(p)]);
        padded[..bytes.len()].copy_from_slice(bytes);
        header.append_value(padded)?;
        payload.append_value(row.packet().map_or(&[][..], |p| &p.payload));
    }
    Ok(vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(PacketRow::ts_ns))),
        all::<U16>(rows, NO_CPU, |p| p.cpu),
        Arc::new(UInt64Array::from(seq)),
        dictionary::<Int8Type>(hooks.into(), &HOOK_NAMES)?,
        dictionary::<Int8Type>(directions.into(), &DIRECTIONS)?,
        some::<U32>(rows, |p| p.interface),
        some::<U32>(rows, |p| p.netns),
        some::<arrow::datatypes::UInt64Type>(rows, |p| p.cookie),
        macs(rows, |p| p.src_mac)?,
        macs(rows, |p| p.dst_mac)?,
        some::<U16>(rows, |p| p.vlan),
        all::<U32>(rows, 0, |p| p.wire_len),
        all::<U32>(rows, 0, |p| p.captured_len),
        all::<U8>(rows, 0, |p| if p.src_addr.is_ipv4() { 4 } else { 6 }),
        addresses(|p| p.src_addr)?,
        addresses(|p| p.dst_addr)?,
        all::<U8>(rows, 0, |p| p.ttl),
        all::<U8>(rows, 0, |p| p.tos),
        some::<U32>(rows, |p| p.ip_id),
        all::<U16>(rows, 0, |p| p.fragment_offset),
        Arc::new(BooleanArray::from_iter(more)),
        some::<U32>(rows, |p| p.flow_label),
        all::<U32>(rows, 0, |p| p.ip_len),
        all::<U8>(rows, 0, |p| p.protocol),
        some::<U16>(rows, |p| p.src_port),
        some::<U16>(rows, |p| p.dst_port),
        all::<U32>(rows, 0, |p| p.payload_len),
        all::<U16>(rows, 0, |p| p.segments),
        some::<U8>(rows, |p| p.wrong_checksum.map(|which| which as u8)),
        Arc::new(BooleanArray::from_iter(copies)),
        all::<U8>(rows, 0, |p| header_len(p) as u8),
        Arc::new(header.finish()),
        Arc::new(payload.finish()),
    ])
}

fn macs(rows: &[PacketRow], cell: fn(&Packet) -> Option<[u8; 6]>) -> Result<ArrayRef, ArrowError> {
    let mut column = FixedSizeBinaryBuilder::with_capacity(rows.len(), 6);
    for row in rows {
        match row.packet().and_then(cell) {
            Some(mac) => column.append_value(mac)?,
            None => column.append_null(),
        }
    }
    Ok(Arc::new(column.finish()))
}

/// Bytes of a header that are kept; no header is longer.
fn header_len(packet: &Packet) -> usize {
    packet.header.len().min(HEADER_MAX)
}

fn mapped(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address. The version distinguishes IPv4 from IPv6 with mapped addresses.
fn address(bytes: &[u8], version: u8) -> Result<IpAddr, String> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| "an address of another length")?;
    let v6 = Ipv6Addr::from(bytes);
    match version {
        4 => v6
            .to_ipv4_mapped()
            .map(IpAddr::V4)
            .ok_or_else(|| format!("{v6} is not an IPv4 address")),
        6 => Ok(IpAddr::V6(v6)),
        other => Err(format!("IP version {other}")),
    }
}

/// Columns -> rows; `None` for a row whose hook or direction this build does not know.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<Option<PacketRow>>, String> {
    bounded(batch, Stream::Packets)?;
    let u8s = |name| column::<UInt8Array>(batch, name);
    let u16s = |name| column::<UInt16Array>(batch, name);
    let u32s = |name| column::<UInt32Array>(batch, name);
    let u64s = |name| column::<UInt64Array>(batch, name);
    let hook: Names<'_, Hook> = Names::new(batch, "hook", hook_by_name)?;
    let direction = Names::new(batch, "direction", |name| {
        Direction::ALL.iter().copied().find(|d| d.name() == name)
    })?;
    let (ts_ns, cpu, seq) = (u64s("ts_ns")?, u16s("cpu")?, u64s("seq")?);
    let (interface, netns, cookie) = (u32s("interface")?, u32s("netns")?, u64s("cookie")?);
    // Recordings before these columns came have none of them.
    let has = |name| batch.column_by_name(name).is_some();
    let (src_mac, dst_mac) = (
        has("src_mac").then(|| fixed(batch, "src_mac")).transpose()?,
        has("dst_mac").then(|| fixed(batch, "dst_mac")).transpose()?,
    );
    let vlan = has("vlan").then(|| u16s("vlan")).transpose()?;
    let wrong_checksum = has("wrong_checksum").then(|| u8s("wrong_checksum")).transpose()?;
    let is_copy: Option<&BooleanArray> =
        has("is_copy").then(|| column(batch, "is_copy")).transpose()?;
    let (wire_len, captured_len) = (u32s("wire_len")?, u32s("captured_len")?);
    let (src_addr, dst_addr) = (fixed(batch, "src_addr")?, fixed(batch, "dst_addr")?);
    let version = u8s("ip_version")?;
    let (ttl, tos, ip_id) = (u8s("ttl")?, u8s("tos")?, u32s("ip_id")?);
    let (fragment_offset, flow_label) = (u16s("fragment_offset")?, u32s("flow_label")?);
    let more_fragments: &BooleanArray = column(batch, "more_fragments")?;
    let (ip_len, protocol) = (u32s("ip_len")?, u8s("protocol")?);
    let (src_port, dst_port) = (u16s("src_port")?, u16s("dst_port")?);
    let (payload_len, segments) = (u32s("payload_len")?, u16s("segments")?);
    let (header_len, header) = (u8s("header_len")?, fixed(batch, "header")?);
    let payload: &BinaryArray = column(batch, "payload")?;
    let addr = |column: &FixedSizeBinaryArray, i: usize| {
        address(column.value(i), version.value(i)).map_err(|e| format!("row {i}: {e}"))
    };
    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        let (Some(hook), Some(direction)) = (hook.get(i), direction.get(i)) else {
            rows.push(None);
            continue;
        };
        if hook.is_mark() {
            rows.push(Some(PacketRow::Drained(ts_ns.value(i))));
            continue;
        }
        rows.push(Some(PacketRow::Packet(Packet {
            ts_ns: ts_ns.value(i),
            seq: seq.value(i),
            cpu: cpu.value(i),
            hook,
            direction,
            interface: cell(interface, i),
            netns: cell(netns, i),
            cookie: cell(cookie, i),
            src_mac: mac(src_mac, i),
            dst_mac: mac(dst_mac, i),
            vlan: vlan.and_then(|vlan| cell(vlan, i)),
            wire_len: wire_len.value(i),
            captured_len: captured_len.value(i),
            src_addr: addr(src_addr, i)?,
            dst_addr: addr(dst_addr, i)?,
            ttl: ttl.value(i),
            tos: tos.value(i),
            ip_id: cell(ip_id, i),
            fragment_offset: fragment_offset.value(i),
            more_fragments: more_fragments.value(i),
            flow_label: cell(flow_label, i),
            ip_len: ip_len.value(i),
            protocol: protocol.value(i),
            src_port: cell(src_port, i),
            dst_port: cell(dst_port, i),
            payload_len: payload_len.value(i),
            segments: segments.value(i),
            wrong_checksum: wrong_checksum
                .and_then(|codes| cell(codes, i))
                .and_then(|code| Checksum::ALL.get(usize::from(code).checked_sub(1)?).copied()),
            is_copy: is_copy.is_some_and(|marks| marks.is_valid(i) && marks.value(i)),
            header: bytes(header.value(i), header_len.value(i))
                .ok_or_else(|| format!("row {i}: a header longer than its column"))?,
            payload: payload.value(i).to_vec(),
        })));
    }
    Ok(rows)
}

fn bytes(padded: &[u8], len: u8) -> Option<Vec<u8>> {
    padded.get(..usize::from(len)).map(<[u8]>::to_vec)
}

fn fixed<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a FixedSizeBinaryArray, String> {
    column(batch, name)
}

fn mac(column: Option<&FixedSizeBinaryArray>, i: usize) -> Option<[u8; 6]> {
    let column = column.filter(|c| c.is_valid(i))?;
    column.value(i).try_into().ok()
}

fn cell<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, i: usize) -> Option<T::Native> {
    column.is_valid(i).then(|| column.value(i))
}
