// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The streams of a recording: their files, columns and dictionaries.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Field, Fields, Int8Type, Int16Type, Schema, SchemaRef,
};
use arrow::error::ArrowError;

use super::FIRST_FORMAT_VERSION;
use super::capture_stats::{KINDS, Ring};
use crate::schema::{Hook, Op, Var, Why};
use crate::wire::{Direction, Event, HEADER_MAX};

/// One of the sequences of record batches that make up a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Hook activations with their operations.
    Hooks,
    /// Lifecycle records.
    Connections,
    /// Packet digests.
    Packets,
    /// Loss, clocks, ring fill.
    Ledger,
    /// Snapshots of sockets.
    Sockets,
}

const SUFFIX: &str = ".arrows.zst";

impl Stream {
    /// All streams.
    pub const ALL: [Self; 5] =
        [Self::Hooks, Self::Connections, Self::Packets, Self::Ledger, Self::Sockets];

    /// Name of the stream, with which its files begin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Connections => "connections",
            Self::Packets => "packets",
            Self::Ledger => "ledger",
            Self::Sockets => "sockets",
        }
    }

    /// File name of a segment.
    pub fn file_name(self, segment: u32) -> String {
        format!("{}-{segment:06}{SUFFIX}", self.name())
    }

    /// The number of a segment, from its file name; `None` for other files.
    pub fn segment(self, file_name: &str) -> Option<u32> {
        let number =
            file_name.strip_prefix(self.name())?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
        // Exactly as written, so that two names cannot claim one number.
        let segment = number.parse().ok()?;
        (self.file_name(segment) == file_name).then_some(segment)
    }

    /// The columns.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Hooks => HOOKS.clone(),
            Self::Connections => CONNECTIONS.clone(),
            Self::Packets => PACKETS.clone(),
            Self::Ledger => LEDGER.clone(),
            Self::Sockets => SOCKETS.clone(),
        }
    }

    /// A batch without rows, which still carries all dictionaries.
    pub fn empty(self) -> Result<RecordBatch, ArrowError> {
        let schema = self.schema();
        let columns = schema.fields().iter().map(|f| empty_column(f)).collect();
        RecordBatch::try_new(schema, columns)
    }
}

/// Keys of the schema's metadata that identify the file.
pub const RECORDING: &str = "estats.recording";
pub const SEGMENT: &str = "estats.segment";

/// The schema of a segment of a recording.
pub fn identified(stream: Stream, recording: &str, number: u32) -> Schema {
    let schema = stream.schema();
    let mut metadata = schema.metadata().clone();
    metadata.insert(RECORDING.to_owned(), recording.to_owned());
    metadata.insert(SEGMENT.to_owned(), number.to_string());
    Schema::new_with_metadata(schema.fields().clone(), metadata)
}

/// Names of every variable, by [`Var::index`].
pub static VARIABLES: LazyLock<ArrayRef> =
    LazyLock::new(|| names(Var::ALL.iter().map(|v| v.name())));
/// Names of every operation, by code - 1.
pub static OPS: LazyLock<ArrayRef> = LazyLock::new(|| names(Op::ALL.iter().map(|o| o.name())));
/// Names of every hook, by code - 1.
pub static HOOK_NAMES: LazyLock<ArrayRef> =
    LazyLock::new(|| names(Hook::ALL.iter().map(|h| h.name())));
/// Names of every lifecycle event, by code - 1.
pub static EVENTS: LazyLock<ArrayRef> =
    LazyLock::new(|| names(Event::ALL.iter().map(|e| e.name())));
/// Names of the directions, by code - 1.
pub static DIRECTIONS: LazyLock<ArrayRef> =
    LazyLock::new(|| names(Direction::ALL.iter().map(|d| d.name())));
/// Kinds of ledger rows.
pub static LEDGER_KINDS: LazyLock<ArrayRef> = LazyLock::new(|| names(KINDS.iter().copied()));
/// Names of what makes snapshots, by code - 1.
pub static WHYS: LazyLock<ArrayRef> = LazyLock::new(|| names(Why::ALL.iter().map(|w| w.name())));
/// Names of the rings.
pub static RINGS: LazyLock<ArrayRef> = LazyLock::new(|| names(Ring::ALL.iter().map(|r| r.name())));

fn names(names: impl Iterator<Item = &'static str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

/// A dictionary column over one of the static dictionaries.
///
/// The values array is the same every time, so Arrow's writer knows that the dictionary was already
/// written. (A dictionary built row by row would grow, and be written again, with each new name.)
pub fn dictionary<K: ArrowDictionaryKeyType>(
    keys: PrimitiveArray<K>,
    values: &LazyLock<ArrayRef>,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(DictionaryArray::try_new(keys, ArrayRef::clone(values))?))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are in no stream")]
fn empty_column(field: &Field) -> ArrayRef {
    match field.data_type() {
        DataType::Dictionary(key, _) => {
            let values = match field.name().as_str() {
                "variable" => &VARIABLES,
                "op" => &OPS,
                "hook" => &HOOK_NAMES,
                "event" => &EVENTS,
                "direction" => &DIRECTIONS,
                "kind" => &LEDGER_KINDS,
                "ring" => &RINGS,
                "why" => &WHYS,
                other => unreachable!("no dictionary for column {other}"),
            };
            let column = if **key == DataType::Int16 {
                dictionary::<Int16Type>(PrimitiveArray::from_iter_values([]), values)
            } else {
                dictionary::<Int8Type>(PrimitiveArray::from_iter_values([]), values)
            };
            column.expect("no key can be out of range where there are none")
        }
        DataType::List(item) => super::builder::empty_ops(item, empty_column),
        other => arrow::array::new_empty_array(other),
    }
}

const SMALL_DICTIONARY: fn() -> DataType =
    || DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));

/// A column with its description; no value is null.
pub fn field(name: &str, ty: DataType, unit: &str, meaning: &str) -> Field {
    let mut metadata = HashMap::from([("meaning".to_owned(), meaning.to_owned())]);
    if !unit.is_empty() {
        metadata.insert("unit".to_owned(), unit.to_owned());
    }
    Field::new(name, ty, false).with_metadata(metadata)
}

fn optional(name: &str, ty: DataType, unit: &str, meaning: &str) -> Field {
    field(name, ty, unit, meaning).with_nullable(true)
}

fn schema(stream: Stream, fields: Vec<Field>) -> SchemaRef {
    let metadata = HashMap::from([
        ("estats.format_version".to_owned(), FIRST_FORMAT_VERSION.to_string()),
        ("estats.stream".to_owned(), stream.name().to_owned()),
    ]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

fn header_fields() -> Vec<Field> {
    use DataType::{UInt16, UInt64};
    vec![
        field("ts_ns", UInt64, "ns", "CLOCK_MONOTONIC, read in the hook"),
        field("cpu", UInt16, "", "CPU on which the hook ran; 65535 in rows of the recorder itself"),
        field("seq", UInt64, "", "number of the record on its CPU; lost records use up theirs"),
        field(
            "cookie",
            UInt64,
            "",
            "socket cookie; with generation the identity of the connection",
        ),
        field("generation", UInt16, "", "counts the connections that one socket makes"),
        field("hook", SMALL_DICTIONARY(), "", "the hook that made the record"),
    ]
}

/// The fields of one operation.
pub static OPERATION: LazyLock<Fields> = LazyLock::new(|| {
    let variable = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    Fields::from(vec![
        field("variable", variable, "", "name of the variable, as in RFC 4898"),
        field("op", SMALL_DICTIONARY(), "", "set, add, inc, dec, max, min, missed or void"),
        field("value", DataType::UInt64, "", "operand; two's complement for signed variables"),
    ])
});

/// The element of the list of operations.
pub static OPERATION_ITEM: LazyLock<Arc<Field>> =
    LazyLock::new(|| Arc::new(Field::new("item", DataType::Struct(OPERATION.clone()), false)));

static HOOKS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = header_fields();
    let ops = DataType::List(OPERATION_ITEM.clone());
    fields.push(field("ops", ops, "", "operations on variables, in the order they take effect"));
    schema(Stream::Hooks, fields)
});

static CONNECTIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    use DataType::{UInt8, UInt16, UInt32, UInt64, Utf8};
    let mut fields = header_fields();
    fields.extend([
        field("event", SMALL_DICTIONARY(), "", "open, baseline, close, end, drain or over"),
        field("start_ns", UInt64, "ns", "CLOCK_MONOTONIC at which the connection began"),
        field("family", UInt16, "", "address family of the socket: 2 AF_INET, 10 AF_INET6"),
        field("local_addr", Utf8, "", "local address; IPv4-mapped as ::ffff:1.2.3.4"),
        field("local_port", UInt16, "", "local port"),
        field("remote_addr", Utf8, "", "remote address"),
        field("remote_port", UInt16, "", "remote port"),
        field("netns", UInt32, "", "inode number of the network namespace"),
        field("cgroup_id", UInt64, "", "id of the cgroup v2; 0 if it has none"),
        field("cgroup_path", Utf8, "", "its path below the mount; empty if not resolved"),
        field("pid", UInt32, "", "thread group id of the owner; 0 if unknown"),
        field("uid", UInt32, "", "user id of the socket"),
        field("comm", Utf8, "", "command name of the owner"),
        field("congestion", Utf8, "", "congestion control in force"),
        field("old_state", UInt8, "", "kernel TCP state before the event"),
        field("new_state", UInt8, "", "kernel TCP state after the event"),
        field("active", UInt8, "", "1 opened by this end, 2 by the peer, 0 unknown"),
        field("established", UInt8, "", "1 if it reached ESTABLISHED"),
        field("first_fin", UInt8, "", "whose FIN came first: 0 none so far, 1 ours, 2 the peer's"),
        field("sk_err", UInt32, "", "pending socket error as an errno; 0 if none"),
        field("mptcp", UInt32, "", "token of the MPTCP connection of a subflow; 0: plain TCP"),
    ]);
    schema(Stream::Connections, fields)
});

static PACKETS: LazyLock<SchemaRef> = LazyLock::new(|| {
    // Fixed widths where others would need offsets, which cost more than what they point to.
    use DataType::{Binary, Boolean, FixedSizeBinary, UInt8, UInt16, UInt32, UInt64};
    let fields = vec![
        field("ts_ns", UInt64, "ns", "time of the packet: CLOCK_MONOTONIC, or an import's clock"),
        field("cpu", UInt16, "", "CPU on which the hook ran; 65535 in rows of the recorder itself"),
        field("seq", UInt64, "", "number of the record on its CPU; lost records use up theirs"),
        field("hook", SMALL_DICTIONARY(), "", "where the packet was seen"),
        field("direction", SMALL_DICTIONARY(), "", "in, out or unknown, of the recorded end"),
        optional("interface", UInt32, "", "index of the interface, or its number in the capture"),
        optional("netns", UInt32, "", "inode number of the network namespace"),
        optional("cookie", UInt64, "", "socket cookie"),
        optional("src_mac", FixedSizeBinary(6), "", "source address of an Ethernet header"),
        optional("dst_mac", FixedSizeBinary(6), "", "destination address of an Ethernet header"),
        optional("vlan", UInt16, "", "id of the outermost VLAN tag"),
        field("wire_len", UInt32, "bytes", "length where it was seen, link header included"),
        field("captured_len", UInt32, "bytes", "how much of it was there to be read"),
        field("ip_version", UInt8, "", "4 or 6; 0 in rows of the recorder itself"),
        field("src_addr", FixedSizeBinary(16), "", "source; IPv4 mapped, ::ffff:192.0.2.1"),
        field("dst_addr", FixedSizeBinary(16), "", "destination; IPv4 mapped"),
        field("ttl", UInt8, "", "TTL or hop limit"),
        field("tos", UInt8, "", "TOS or traffic class: DSCP and ECN"),
        optional("ip_id", UInt32, "", "identification, of IPv6 in the fragment header"),
        field("fragment_offset", UInt16, "8 byte", "0 in first fragments and whole packets"),
        field("more_fragments", Boolean, "", "whether fragments follow"),
        optional("flow_label", UInt32, "", "flow label of IPv6"),
        field("ip_len", UInt32, "bytes", "length of the IP packet as it was sent"),
        field("protocol", UInt8, "", "IP protocol number after extension headers: 6 TCP, 17 UDP"),
        optional("src_port", UInt16, "", "source port"),
        optional("dst_port", UInt16, "", "destination port"),
        field("payload_len", UInt32, "bytes", "bytes after the transport header as sent"),
        field("segments", UInt16, "", "segments of a super-packet as the host counts them, else 1"),
        optional("wrong_checksum", UInt8, "", "of an import: 1 that of IPv4, 2 that of TCP"),
        optional(
            "is_copy",
            Boolean,
            "",
            "of an import: seems to be in the capture twice, without proof",
        ),
        field("header_len", UInt8, "bytes", "bytes of header that were captured"),
        field("header", FixedSizeBinary(HEADER_MAX as i32), "", "transport header, then zeros"),
        field("payload", Binary, "", "beginning of the payload, where it was asked for"),
    ];
    schema(Stream::Packets, fields)
});

static LEDGER: LazyLock<SchemaRef> = LazyLock::new(|| {
    use DataType::{UInt16, UInt32, UInt64};
    let fields = vec![
        field("ts_ns", UInt64, "ns", "CLOCK_MONOTONIC of the row"),
        field(
            "kind",
            SMALL_DICTIONARY(),
            "",
            "what the row reports; the columns it fills depend on it",
        ),
        optional("cpu", UInt16, "", "the CPU"),
        optional("hook", SMALL_DICTIONARY(), "", "the hook"),
        optional("ring", SMALL_DICTIONARY(), "", "the ring"),
        optional(
            "since_ns",
            UInt64,
            "ns",
            "loss, skipped, missing: beginning of the interval; slow_poll: of the poll",
        ),
        optional(
            "count",
            UInt64,
            "",
            "loss, skipped, missing, map_failure, not_ip, malformed: number in the interval; emitted: number so far; dropped_cpu: rows removed; late_poll: polls left out; left_out: numbers left out; dropped: segments up to this one, where the row stands for all of them",
        ),
        optional("bytes", UInt64, "bytes", "ring_fill: highest fill since the row before"),
        optional("size", UInt64, "bytes", "ring_fill: size of the ring"),
        optional("monotonic_ns", UInt64, "ns", "clock: CLOCK_MONOTONIC"),
        optional("realtime_ns", UInt64, "ns", "clock: CLOCK_REALTIME"),
        optional("tai_ns", UInt64, "ns", "clock: CLOCK_TAI"),
        optional(
            "late_ns",
            UInt64,
            "ns",
            "late_drain, late_poll: how late the rings were read, the poll began",
        ),
        optional("segment", UInt32, "", "dropped: number of the segments removed"),
    ];
    schema(Stream::Ledger, fields)
});

static SOCKETS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = header_fields();
    fields.extend(super::sockets::fields());
    let plain = schema(Stream::Sockets, fields);
    let mut metadata = plain.metadata().clone();
    metadata.insert("estats.differences".to_owned(), super::sockets::RULE.to_owned());
    Arc::new(Schema::new_with_metadata(plain.fields().clone(), metadata))
});

/// A column by its name and type.
pub fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    batch
        .column_by_name(name)
        .ok_or_else(|| format!("no column {name}"))?
        .as_any()
        .downcast_ref()
        .ok_or_else(|| format!("column {name} has an unexpected type"))
}

/// Rows that a frame may have: of snapshots, which are wide, and of the other streams. Ours have half of that.
const MAX_SNAPSHOTS: usize = 1 << 14;
const MAX_ROWS: usize = 1 << 17;

/// Refuses a batch with more rows than any frame has, before rows are made of it.
pub fn bounded(batch: &RecordBatch, stream: Stream) -> Result<(), String> {
    let most = if stream == Stream::Sockets { MAX_SNAPSHOTS } else { MAX_ROWS };
    let rows = batch.num_rows();
    if rows > most { Err(format!("{rows} rows, where {most} are the most")) } else { Ok(()) }
}

/// The values of a dictionary, as this build's own, by key; `None` where it has no such name.
pub fn mapping<K: ArrowDictionaryKeyType, T>(
    column: &DictionaryArray<K>,
    known: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    let values: &StringArray = column
        .values()
        .as_any()
        .downcast_ref()
        .ok_or("a dictionary has values that are not strings")?;
    Ok(values.iter().map(|name| name.and_then(&known)).collect())
}

/// The hook of that name.
pub fn hook_by_name(name: &str) -> Option<Hook> {
    Hook::ALL.iter().copied().find(|h| h.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_codes_minus_one() {
        // The builders compute keys from codes; that needs the lists without holes.
        assert!(Hook::ALL.iter().enumerate().all(|(i, h)| *h as usize == i + 1));
        assert!(Op::ALL.iter().enumerate().all(|(i, o)| *o as usize == i + 1));
        assert!(Event::ALL.iter().enumerate().all(|(i, e)| *e as usize == i + 1));
        assert!(Direction::ALL.iter().enumerate().all(|(i, d)| *d as usize == i + 1));
        assert!(Why::ALL.iter().enumerate().all(|(i, w)| *w as usize == i + 1));
        assert!(Var::COUNT <= i16::MAX as usize);
    }

    #[test]
    fn file_names() {
        assert_eq!(Stream::Hooks.file_name(7), "hooks-000007.arrows.zst");
        assert_eq!(Stream::Hooks.segment("hooks-000007.arrows.zst"), Some(7));
        assert_eq!(Stream::Hooks.segment("hooks-1000000.arrows.zst"), Some(1_000_000));
        for other in ["hooks-7.arrows.zst", "ledger-000007.arrows.zst", "hooks-000007.arrows"] {
            assert_eq!(Stream::Hooks.segment(other), None, "{other}");
        }
    }
}
