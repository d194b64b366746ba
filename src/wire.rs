// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Records as they cross the ring buffers: bytes <-> records, by the list of `src/schema/record.rs`.
//!
//! Pure: no clock, no I/O. The recorder does not interpret, so a record holds the kernel's own
//! numbers (states, families, error codes) and replay gives them meaning.

use crate::schema::{Hook, Op, Var};

pub use crate::schema::Event;

/// The header of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// CLOCK_MONOTONIC, read in the hook.
    pub ts_ns: u64,
    /// Number of the record on its CPU, from 0, over both rings; lost records use up theirs.
    pub seq: u64,
    /// Kernel socket cookie: with `generation`, the identity of the connection. 0 if it has none.
    pub cookie: u64,
    /// Counts the connections that one socket makes (connect, disconnect, connect again).
    pub generation: u16,
    /// CPU on which the hook ran.
    pub cpu: u16,
    /// The hook that made the record.
    pub hook: Hook,
}

/// The CPU number of records that the recorder itself makes ([`Hook::Drain`]).
pub const NO_CPU: u16 = u16::MAX;

/// One operation on a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The variable.
    pub var: Var,
    /// The operation.
    pub op: Op,
    /// The operand: unsigned, or a sign-extended two's complement for signed variables.
    pub value: u64,
}

/// One activation of a hook with all its operations, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// When, where and which connection.
    pub header: Header,
    /// The operations; empty for [`Hook::Drain`].
    pub ops: Vec<Operation>,
}

/// One lifecycle record: everything known about a connection's identity and owner at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// When, where and which connection.
    pub header: Header,
    /// The event.
    pub event: Event,
    /// CLOCK_MONOTONIC at which the connection began (connect, or the child's creation); the
    /// time of the baseline for one that began before the recording.
    pub start_ns: u64,
    /// AF_INET (2) or AF_INET6 (10), as the socket has it. IPv4-mapped addresses stay mapped here.
    pub family: u16,
    /// Local address: 16 bytes, or 4 and twelve zeros for AF_INET.
    pub local_addr: [u8; 16],
    /// Remote address, in the same form.
    pub remote_addr: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Inode number of the network namespace, as in /proc/PID/ns/net.
    pub netns: u32,
    /// Id (inode number) of the socket's cgroup v2, 0 if it has none.
    pub cgroup_id: u64,
    /// Path of that cgroup below the mount, resolved while it existed; empty if it could not be.
    pub cgroup_path: String,
    /// Thread group id of the owner; for accepted connections the listener's until they are used.
    /// 0 if unknown.
    pub pid: u32,
    /// The socket's user id.
    pub uid: u32,
    /// The owner's command name (at most 15 bytes).
    pub comm: String,
    /// Name of the congestion control now in force (at most 15 bytes).
    pub congestion: String,
    /// Kernel state (TCP_ESTABLISHED = 1 ...) before the event.
    pub old_state: u8,
    /// Kernel state after it.
    pub new_state: u8,
    /// 1 if the local end went through SYN-SENT, 2 if not, 0 if unknown.
    pub active: u8,
    /// 1 if it reached ESTABLISHED.
    pub established: u8,
    /// Whose FIN came first: 0 none so far, 1 ours, 2 the peer's.
    pub first_fin: u8,
    /// Token (RFC 8684, section 2.2) of the Multipath TCP connection that this one is a subflow of,
    /// as the local kernel has it; 0 for plain TCP, and as long as the peer has not agreed.
    pub mptcp: u32,
    /// `sk->sk_err` at the event, as a positive errno (0, ECONNRESET, ETIMEDOUT, ...).
    pub sk_err: u32,
}

mod decode;
pub mod diag;
pub(crate) mod ether_type;
mod ip;
mod packet;
pub mod protocol;
mod socket;
mod tcp;

#[cfg(feature = "record")]
pub(crate) use decode::put_number;
pub use decode::{Record, WireError, decode};
pub use ip::{HeaderError, is_extension};
pub use packet::{
    Checksum, DNS_PORT, Decoded, Direction, HEADER_MAX, Packet, decode_packet, known_header,
};
pub use socket::{Snapshot, SocketValues, decode_snapshot, is_snapshot};
pub use tcp::TcpFields;

/// A number of the network's byte order.
pub(crate) fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
