// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The fields of a socket snapshot: one list, from which the record's C structure, the code that
//! fills it, the columns of log and table, and the documentation follow. See the parent module.
//!
//! Fields of `struct tcp_info` have its names and units and are computed as tcp_get_info() does
//! (net/ipv4/tcp.c). `tcpi_fackets` and `tcpi_last_ack_sent` are not here: the kernel keeps neither
//! and always reports 0.

use core::fmt;

use super::record::{Name, SocketHead};
use super::{INFINITE_SSTHRESH, Kernels, Range};
use SocketRead::{Age, Always, Countdown, Dropped, If, Netlink, Netstat};
use SocketType::{U8, U16, U32, U64};

/// The type of a field in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
}

impl SocketType {
    /// Width in octets.
    pub const fn width(self) -> usize {
        match self {
            U8 => 1,
            U16 => 2,
            U32 => 4,
            U64 => 8,
        }
    }

    /// Name of the type in C.
    pub const fn c_name(self) -> &'static str {
        match self {
            U8 => "u8",
            U16 => "u16",
            U32 => "u32",
            U64 => "u64",
        }
    }
}

/// The C expression of a field. In scope: `sk`, `inet`, `icsk`, `tp`, `ca` (the algorithm's own state),
/// `r` (the record), `timer`, `state`, `now` (ns) and `jiffies` (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRead {
    /// Every kernel and every socket has it.
    Always(&'static str),
    /// A condition, and the expression where it holds; NULL where it does not.
    If(&'static str, &'static str),
    /// Milliseconds since a time in jiffies; NULL if it is 0, which is not a time. Grows while nothing
    /// happens, so --changed-only compares the time instead.
    Age(&'static str),
    /// Milliseconds until a time in jiffies, if the condition holds, else NULL. --changed-only compares
    /// the time here too.
    Countdown(&'static str, &'static str),
    /// Not read by BPF programs, and not in their record: only dumps of inet_diag have it.
    Netlink,
    /// A counter of the network namespace, in /proc/net/netstat: in rows of listening sockets alone.
    Netstat,
    /// Of a packet that the kernel dropped: in rows of these alone.
    Dropped,
}

/// One field, whole.
#[derive(Clone, Copy, Debug)]
pub struct SocketFieldDef {
    /// Name: the column.
    pub name: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Type in the record.
    pub ty: SocketType,
    /// Unit in words, empty where there is none.
    pub unit: &'static str,
    /// The structure of the kernel's own interfaces whose field it is.
    pub source: &'static str,
    /// The kernels that have what is read; NULL on others.
    pub kernels: Kernels,
    /// Without what else it is NULL; empty if it always has a value.
    pub needs: &'static str,
    /// How it is read.
    pub read: SocketRead,
}

impl SocketFieldDef {
    /// The members that a stanza may leave out.
    const UNSAID: Self = Self {
        name: "",
        doc: "",
        ty: U32,
        unit: "",
        source: "",
        kernels: Kernels::ALL,
        needs: "",
        read: Always(""),
    };
}

/// Declares the fields: `enum SocketField`, `SocketField::ALL` and `SocketField::def`.
macro_rules! socket_fields {
    ([] $( $(#[doc = $doc:literal])+ $name:ident { $($field:ident: $value:expr),* $(,)? } )+) => {
        /// A field of a socket snapshot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(non_camel_case_types, reason = "the kernel's names")]
        pub enum SocketField { $( $(#[doc = $doc])+ $name, )+ }

        impl SocketField {
            /// All fields, in the order of the columns.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// Everything known about the field.
            #[allow(clippy::needless_update, reason = "some stanzas set every member")]
            pub const fn def(self) -> &'static SocketFieldDef {
                match self { $( Self::$name => const { &SocketFieldDef {
                    name: stringify!($name), doc: concat!($($doc),+), $($field: $value),*,
                    ..SocketFieldDef::UNSAID
                } }, )+ }
            }
        }
    };
}
// The list, in a file for each group. Each file is a macro that hands its stanzas, behind those of the
// files before it, to the next. Explicit paths for the same reason as in the parent.
#[macro_use]
#[path = "socket/tcp_info.rs"]
mod tcp_info;
#[macro_use]
#[path = "socket/state.rs"]
mod state;
#[macro_use]
#[path = "socket/algorithm.rs"]
mod algorithm;
#[macro_use]
#[path = "socket/attributes.rs"]
mod attributes;

tcp_info! { [state algorithm attributes socket_fields] }

/// Octets of a record before its fields.
pub const SOCKET_FIXED: usize = SocketHead::SIZE;
/// Octets of the congestion control's name, with which the part begins that --changed-only compares.
pub const SOCKET_CONGESTION: usize = Name::SIZE;

impl SocketField {
    /// Number of fields.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`SocketField::ALL`]: the bit in the record that marks it as present.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name, which is the column name.
    pub const fn name(self) -> &'static str {
        self.def().name
    }

    /// The field of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Whether each word of the text that begins with `tcpi_` is the name of a field.
    pub const fn are_named(text: &str) -> bool {
        let text = text.as_bytes();
        let mut from = 0;
        while from < text.len() {
            let mut to = from;
            while to < text.len() && (text[to].is_ascii_alphanumeric() || text[to] == b'_') {
                to += 1;
            }
            if starts_with(text, from, to, b"tcpi_") && !Self::is_name(text, from, to) {
                return false;
            }
            from = to + 1;
        }
        true
    }

    /// Whether this part of a text is the name of a field.
    const fn is_name(text: &[u8], from: usize, to: usize) -> bool {
        let mut i = 0;
        while i < Self::ALL.len() {
            let name = Self::ALL[i].name().as_bytes();
            if name.len() == to - from && starts_with(text, from, to, name) {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The values that it can have.
    pub const fn range(self) -> Range {
        match (self.def().ty, self.def().read) {
            // The kernel counts in jiffies of 32 bits: half of them are in the future.
            (_, Age(_) | Countdown(..)) => Range::SPAN,
            _ if matches!(self, Self::skmem_fwd_alloc) => Range::SPAN,
            (U8, _) => Range::new(0, u8::MAX as i64),
            (U16, _) => Range::new(0, u16::MAX as i64),
            (U32, _) => Range::U32,
            // 64 bits that mean no amount.
            _ if matches!(self, Self::mptcp_map_seq) => Range::new(i64::MIN, i64::MAX),
            (U64, _) => Range::COUNT,
        }
    }

    /// Whether it is the raw value for no value yet, or no limit: NULL in the table.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "most fields have a value as soon as there is a socket"
    )]
    pub const fn is_unset(self, value: u64) -> bool {
        match self {
            Self::tcpi_min_rtt | Self::bbr_min_rtt => value == u32::MAX as u64,
            Self::tcpi_rtt | Self::tcpi_rttvar | Self::tcpi_rcv_rtt => value == 0,
            Self::tcpi_snd_ssthresh => value >= INFINITE_SSTHRESH,
            Self::tcpi_pacing_rate | Self::tcpi_max_pacing_rate => value == u64::MAX,
            // tcp_vegas_init(), vegas_enable().
            Self::vegas_rtt | Self::vegas_minrtt => value == 0x7fff_ffff,
            _ => false,
        }
    }

    /// Whether it changes while nothing happens.
    pub const fn ages(self) -> bool {
        match self.def().read {
            Age(_) | Countdown(..) => true,
            Always(_) | If(..) | Netlink | Netstat | Dropped => false,
        }
    }

    /// Whether it is a counter of a network namespace, and not of a socket: in rows of listening sockets alone.
    pub const fn is_of_netns(self) -> bool {
        matches!(self.def().read, Netstat)
    }

    /// Whether snapshots of connections have it.
    pub const fn is_of_connections(self) -> bool {
        !matches!(self.def().read, Netstat | Dropped)
    }

    /// Whether BPF programs read it: it is in their record then.
    pub const fn is_in_record(self) -> bool {
        !matches!(self.def().read, Netlink | Netstat | Dropped)
    }

    /// Position in the order of the record: first those that age, then by width from the largest, so
    /// that there is no padding between fields; last the fields that are not in the record.
    const fn group(self) -> usize {
        if !self.is_in_record() {
            10
        } else if self.ages() {
            0
        } else {
            9 - self.def().ty.width()
        }
    }

    /// Octets of the fields of groups up to this one.
    const fn octets_through(group: usize) -> usize {
        let mut i = 0;
        let mut sum = 0;
        while i < Self::ALL.len() {
            if Self::ALL[i].group() <= group {
                sum += Self::ALL[i].def().ty.width();
            }
            i += 1;
        }
        sum
    }

    /// Where the record's second part begins, the one that --changed-only compares.
    pub const fn compared_from() -> usize {
        const { SOCKET_FIXED + Self::octets_through(0).next_multiple_of(8) }
    }

    /// Offset in the record, if it [is there](Self::is_in_record).
    pub const fn offset(self) -> usize {
        // Counted once, when this is compiled: counting for every field of every record took half
        // of the recorder's time.
        const OFFSETS: [usize; SocketField::COUNT] = SocketField::offsets();
        OFFSETS[self.index()]
    }

    const fn offsets() -> [usize; Self::COUNT] {
        let mut offsets = [0; Self::COUNT];
        let mut group = 0;
        let mut offset = SOCKET_FIXED;
        while group < 10 {
            let mut i = 0;
            while i < Self::COUNT {
                if Self::ALL[i].group() == group {
                    offsets[i] = offset;
                    offset += Self::ALL[i].def().ty.width();
                }
                i += 1;
            }
            if group == 0 {
                offset = Self::compared_from() + SOCKET_CONGESTION;
            }
            group += 1;
        }
        offsets
    }

    /// Size of the record in octets.
    pub const fn record_size() -> usize {
        const {
            let fields = Self::octets_through(9) - Self::octets_through(0);
            Self::compared_from() + SOCKET_CONGESTION + fields.next_multiple_of(8)
        }
    }
}

/// Whether this part of a text begins with another: `str::starts_with` is not const.
const fn starts_with(text: &[u8], from: usize, to: usize, with: &[u8]) -> bool {
    let mut i = 0;
    while i < with.len() {
        if from + i >= to || text[from + i] != with[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Display for SocketField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reason for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Why {
    /// One of the polls of --snapshots.
    Poll = 1,
    /// The connection reached ESTABLISHED.
    Open = 2,
    /// It was open before the recording.
    Baseline = 3,
    /// The socket went to CLOSE: the final values.
    Close = 4,
    /// It was still open when the recording ended.
    End = 5,
    /// A poll of the listening sockets.
    Listener = 6,
    /// No snapshot of a socket: the kernel dropped a packet.
    Drop = 7,
}

impl Why {
    /// All reasons, by code from 1.
    pub const ALL: &'static [Self] = &[
        Self::Poll,
        Self::Open,
        Self::Baseline,
        Self::Close,
        Self::End,
        Self::Listener,
        Self::Drop,
    ];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Open => "open",
            Self::Baseline => "baseline",
            Self::Close => "close",
            Self::End => "end",
            Self::Listener => "listener",
            Self::Drop => "drop",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < SocketField::ALL.len() {
        // 128 bits of the record mark the fields that are present.
        assert!(i < 128 || !SocketField::ALL[i].is_in_record());
        assert!(SocketField::ALL[i].index() == i);
        assert!(!SocketField::ALL[i].ages() || SocketField::ALL[i].def().ty.width() == 4);
        i += 1;
    }
};
