// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The schema: the one list of variables, with everything that follows from it.
//!
//! The C header of the BPF programs, the operations in a log, the rules of replay, the columns of
//! the Parquet tables, `docs/variables.md` and `estats-analyze variables` are all derived from
//! [`Var`]. The file depends on nothing but `core`, because it is compiled twice: into the library,
//! and into `build.rs`, which writes the C header from it. So rustc checks the list (a duplicate id
//! is E0081, an unknown rule E0599), which a TOML file or a C header could not have.
//!
//! Ids are an internal matter between one recorder and its BPF objects; a log names its variables,
//! and replay maps by those names. An id is never used again for another variable.

use core::fmt;

/// A table of RFC 4898, or of Web10G where the RFC has none; one output table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Sender-limitation state and clocks of the row (Web10G's global table).
    Global,
    /// Identity: addresses and ports.
    Connection,
    /// Traffic and congestion, tcpEStatsPerfTable.
    Perf,
    /// What the path did, tcpEStatsPathTable.
    Path,
    /// What the stack did, tcpEStatsStackTable.
    Stack,
    /// What the application did, tcpEStatsAppTable.
    App,
    /// Limits and controls, tcpEStatsTuneTable.
    Tune,
    /// Web10G's additions without a table of the RFC.
    Extras,
}

impl Table {
    /// All tables, in the order of the specification.
    pub const ALL: &'static [Self] = &[
        Self::Global,
        Self::Connection,
        Self::Perf,
        Self::Path,
        Self::Stack,
        Self::App,
        Self::Tune,
        Self::Extras,
    ];

    /// The name of the table and of its Parquet file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Connection => "connection",
            Self::Perf => "perf",
            Self::Path => "path",
            Self::Stack => "stack",
            Self::App => "app",
            Self::Tune => "tune",
            Self::Extras => "extras",
        }
    }
}

/// The type of a variable's value; it fixes the Arrow column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Small unsigned number: Int32.
    U8,
    /// Small unsigned number: Int32.
    U16,
    /// 32-bit counter or gauge, modulo 2^32: Int64.
    U32,
    /// 64-bit counter: Int64.
    U64,
    /// Small signed number: Int32.
    I32,
    /// SNMP TruthValue, 1 true and 2 false in the stream: Boolean.
    Truth,
    /// A code with a name for each value: dictionary-encoded string.
    Enum(&'static [(u64, &'static str)]),
    /// IP address as text: dictionary-encoded string. Comes from the lifecycle records.
    Address,
    /// CLOCK_MONOTONIC in nanoseconds: Int64.
    MonotonicNs,
    /// Wall clock in microseconds since the Unix epoch: Timestamp(us, UTC).
    WallUs,
}

/// The kind of quantity, as in RFC 4898.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// The value now in force.
    Gauge,
    /// The largest value so far.
    Max,
    /// The smallest value so far.
    Min,
    /// Set once for a connection.
    Identity,
    /// Never streamed: replay computes it.
    Derived,
}

impl Kind {
    /// The word in documents and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Max => "maximum",
            Self::Min => "minimum",
            Self::Identity => "identity",
            Self::Derived => "derived",
        }
    }
}

/// An operation on a variable, as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// The value is the operand.
    Set = 1,
    /// The operand is added.
    Add = 2,
    /// One is added.
    Inc = 3,
    /// One is taken off.
    Dec = 4,
    /// The larger of value and operand.
    Max = 5,
    /// The smaller of value and operand.
    Min = 6,
    /// The value stays. Counts events that would have changed it, and that no hook saw. The operand is
    /// segments for HCDataOctetsIn and SegsOut, timeouts for Timeouts, and for State operations for
    /// which this record had no room. A loss of the connection.
    Missed = 7,
    /// The connection has no such value, for a reason that the kernel shows: NULL from here on, whatever
    /// comes after. No loss. The operand is 0.
    Void = 8,
}

impl Op {
    /// All operations, by code from 1.
    pub const ALL: &'static [Self] = &[
        Self::Set,
        Self::Add,
        Self::Inc,
        Self::Dec,
        Self::Max,
        Self::Min,
        Self::Missed,
        Self::Void,
    ];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Add => "add",
            Self::Inc => "inc",
            Self::Dec => "dec",
            Self::Max => "max",
            Self::Min => "min",
            Self::Missed => "missed",
            Self::Void => "void",
        }
    }
}

/// How replay comes to a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// The operations of the stream are applied as they come; these may occur.
    Stream(&'static [Op]),
    /// Computed from other variables, from record times or from the lifecycle record.
    Derived(Rule),
}

/// When the recorder reads a variable from the kernel's socket, and the C expression that does it
/// (`tp`, `icsk`, `inet`, `sk` and `c`, the per-connection state, are in scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Not read from the socket: a hook sends it, or replay derives it.
    No,
    /// At every hook, sent when it changed.
    Fast(&'static str),
    /// At most once per resolution interval (1 ms unless set), and at every change of state: the
    /// kernel keeps these exact, so reading them rarely costs resolution and never truth.
    Slow(&'static str),
    /// Once, when the connection is established.
    Once(&'static str),
}

/// How true a hook set can make a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// The defined value.
    Exact,
    /// The right value, read at other instants than the definition's.
    Sampled,
    /// An estimate; the reason is stated.
    Approximate,
    /// Cannot change on today's kernels.
    Constant,
    /// Not to be had: NULL in every table.
    Missing,
}

impl Quality {
    /// The word used in the docs, the manifest and `check`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Sampled => "sampled",
            Self::Approximate => "approximate",
            Self::Constant => "constant",
            Self::Missing => "missing",
        }
    }

    /// The quality of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Exact, Self::Sampled, Self::Approximate, Self::Constant, Self::Missing]
            .into_iter()
            .find(|quality| quality.name() == name)
    }
}

/// One way to come by a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How true the value is when every hook of `needs` is attached.
    pub quality: Quality,
    /// Hooks that it takes.
    pub needs: &'static [Hook],
    /// Where it comes from, or why it cannot be had.
    pub how: &'static str,
}

/// How well packets of a connection, seen at this end, give a variable without any hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromPackets {
    /// How true the value is if the capture has every packet.
    pub quality: Quality,
    /// Where it comes from.
    pub how: &'static str,
}

const fn exact(how: &'static str) -> Option<FromPackets> {
    Some(FromPackets { quality: Quality::Exact, how })
}

const fn sampled(how: &'static str) -> Option<FromPackets> {
    Some(FromPackets { quality: Quality::Sampled, how })
}

const fn approximate(how: &'static str) -> Option<FromPackets> {
    Some(FromPackets { quality: Quality::Approximate, how })
}

/// How a variable relates to a field of `struct tcp_info` read at the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpInfo {
    /// No counterpart.
    None,
    /// Equal to the field.
    Equal(SocketField),
    /// Equal to the field modulo 2^32.
    EqualLow32(SocketField),
    /// Equal to the field, if the host refused none of the socket's segments; else less.
    EqualIfTaken(SocketField),
    /// Equal to the product of two fields.
    Product(SocketField, SocketField),
    /// Another relation, in words. What it calls `tcpi_` is checked when this is compiled.
    Related(&'static str),
}

/// One variable, whole.
#[derive(Clone, Copy, Debug)]
pub struct VarDef {
    /// Number in the BPF records of this build.
    pub id: u16,
    /// RFC 4898 object name without its prefix; the column name.
    pub name: &'static str,
    /// Normative meaning.
    pub doc: &'static str,
    /// The table it belongs to.
    pub table: Table,
    /// Full object name in RFC 4898, empty for Web10G's own.
    pub rfc: &'static str,
    /// Type of the value.
    pub ty: Type,
    /// Unit in words, empty where there is none.
    pub unit: &'static str,
    /// Sort of quantity.
    pub kind: Kind,
    /// How well packets alone give it; none if they do not show it.
    pub packets: Option<FromPackets>,
    /// How replay comes to the value.
    pub apply: Apply,
    /// Whether and how the recorder reads it from the socket.
    pub read: Read,
    /// Where it comes from: the first whose hooks are all attached. The last needs the least.
    pub sources: &'static [Coverage],
    /// Counterpart in `struct tcp_info`.
    pub tcp_info: TcpInfo,
    /// Counterpart in a Web10G kernel.
    pub reference: Reference,
    /// The values it can have; none: those that its type can hold.
    pub range: Option<Range>,
    /// The raw value that the kernel, or RFC 4898, has before there is a value: NULL in the tables.
    pub unset: Option<u64>,
}

impl VarDef {
    /// The members that a stanza may leave out.
    const UNSAID: Self = Self {
        id: 0,
        name: "",
        doc: "",
        table: Table::Global,
        rfc: "",
        ty: Type::U64,
        unit: "",
        kind: Kind::Derived,
        packets: None,
        apply: Apply::Stream(&[]),
        read: Read::No,
        sources: &[],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
        range: None,
        unset: None,
    };
}

/// The event that a lifecycle record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// A connection begins: its identity is final.
    Open = 1,
    /// It was open before the recording.
    Baseline = 2,
    /// The socket went to CLOSE: the connection is over.
    Close = 3,
    /// It was still open when the recording ended.
    End = 4,
    /// From the recorder: every record made before this one's time has been read from the rings.
    Drain = 5,
    /// It ended before the recording: what comes of it makes no row. In recordings cut from others.
    Over = 6,
}

impl Event {
    /// All events, by code from 1.
    pub const ALL: &'static [Self] =
        &[Self::Open, Self::Baseline, Self::Close, Self::End, Self::Drain, Self::Over];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Baseline => "baseline",
            Self::Close => "close",
            Self::End => "end",
            Self::Drain => "drain",
            Self::Over => "over",
        }
    }
}

/// States of Limstate: why the sender stopped sending.
pub const LIMSTATE: &[(u64, &str)] = &[
    (0, "sender"),
    (1, "congestion"),
    (2, "receiver"),
    (3, "startup"),
    (4, "tso_defer"),
    (5, "pacing"),
];
/// RFC 4898 tcpEStatsStackState.
pub const STATE: &[(u64, &str)] = &[
    (1, "closed"),
    (2, "listen"),
    (3, "synSent"),
    (4, "synReceived"),
    (5, "established"),
    (6, "finWait1"),
    (7, "finWait2"),
    (8, "closeWait"),
    (9, "lastAck"),
    (10, "closing"),
    (11, "timeWait"),
    (12, "deleteTcb"),
];
/// RFC 4898 TcpEStatsNegotiated.
pub const NEGOTIATED: &[(u64, &str)] = &[(1, "enabled"), (2, "selfDisabled"), (3, "peerDisabled")];
/// Address families of AddressType.
pub const ADDRESS_TYPE: &[(u64, &str)] = &[(1, "ipv4"), (2, "ipv6")];
/// RFC 4898 tcpEStatsStackInRecovery.
pub const IN_RECOVERY: &[(u64, &str)] =
    &[(1, "dataContiguous"), (2, "dataUnordered"), (DATA_RECOVERY, "dataRecovery")];
/// The value of InRecovery in recovery.
pub const DATA_RECOVERY: u64 = 3;
/// A slow start threshold that was never set: the kernel's TCP_INFINITE_SSTHRESH (include/net/tcp.h), in segments.
/// No threshold in octets is as high, because no window is.
pub const INFINITE_SSTHRESH: u64 = 0x7fff_ffff;
/// RFC 4898 tcpEStatsStackSoftErrorReason.
pub const SOFT_ERROR: &[(u64, &str)] = &[
    (0, "none"),
    (1, "belowDataWindow"),
    (2, "aboveDataWindow"),
    (3, "belowAckWindow"),
    (4, "aboveAckWindow"),
    (5, "belowTSWindow"),
    (6, "aboveTSWindow"),
    (7, "dataCheckSum"),
    (8, "otherSoftError"),
];

/// Declares the variables: `enum Var`, `Var::ALL` and `Var::def`.
macro_rules! estats_vars {
    ([] $( $(#[doc = $doc:literal])+ $id:literal $name:ident { $($field:ident: $value:expr),* $(,)? } )+) => {
        /// A TCP statistics variable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[allow(clippy::upper_case_acronyms, clippy::enum_variant_names, reason = "RFC 4898 names")]
        pub enum Var { $( $(#[doc = $doc])+ $name = $id, )+ }

        impl Var {
            /// All variables, in the order of the specification.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// Everything known about the variable.
            #[allow(clippy::needless_update, reason = "some stanzas set every member")]
            pub const fn def(self) -> &'static VarDef {
                match self { $( Self::$name => const { &VarDef {
                    id: $id, name: stringify!($name), doc: concat!($($doc),+), $($field: $value),*,
                    ..VarDef::UNSAID
                } }, )+ }
            }
        }
    };
}

// Explicit paths, because build.rs takes this file in by `#[path]`, where the default differs.
#[path = "schema/basis.rs"]
mod basis;
#[path = "schema/counting.rs"]
pub mod counting;
#[path = "schema/hook.rs"]
mod hook;
#[path = "schema/kernels.rs"]
mod kernels;
#[path = "schema/range.rs"]
mod range;
#[path = "schema/record.rs"]
pub mod record;
#[path = "schema/reference.rs"]
pub mod reference;
#[path = "schema/rule.rs"]
mod rule;
#[path = "schema/socket.rs"]
mod socket;
#[path = "schema/variables.rs"]
mod variables;

pub use basis::{Basis, Gap};
pub use hook::{Direction, Hook, HookKind, Place};
pub use kernels::{Kernels, Release};
pub use range::Range;
pub use reference::Reference;
pub use rule::{Needs, Rule, RuleDef};
pub use socket::{
    SOCKET_CONGESTION, SOCKET_FIXED, SocketField, SocketFieldDef, SocketRead, SocketType, Why,
};
pub use variables::Var;

impl fmt::Display for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Var {
    /// Number of variables.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`Var::ALL`]: the index of the value in a replay slot.
    pub const fn index(self) -> usize {
        // Ids are 1..=COUNT without holes; the test below and rustc's E0081 keep them so.
        self as usize - 1
    }

    /// The name, which is the column name.
    pub const fn name(self) -> &'static str {
        self.def().name
    }

    /// The best source that these hooks allow; none if each lacks a hook.
    pub fn source(self, attached: &[Hook]) -> Option<&'static Coverage> {
        self.def().sources.iter().find(|c| c.needs.iter().all(|hook| attached.contains(hook)))
    }

    /// The variable of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| v.name() == name)
    }
}

const _: () = {
    let mut i = 0;
    while i < Var::ALL.len() {
        let var = Var::ALL[i];
        assert!(var.index() == i, "ids must be 1..=COUNT in the order of the list");
        if let TcpInfo::Related(text) = var.def().tcp_info {
            assert!(
                SocketField::are_named(text),
                "a relation names a tcpi_ field that there is not"
            );
        }
        i += 1;
    }
};
