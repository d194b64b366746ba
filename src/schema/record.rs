// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The wire records: what crosses the rings. From this one list follow the members of the structures in
//! `bpf/records.h`, asserts that C has the same offsets and sizes, and how the bytes are read.
//!
//! Plain integers with explicit padding, in the byte order of the machine. The structures are
//! `repr(C)`, so rustc lays them out as clang does; a gap between members does not compile.

use core::mem::{offset_of, size_of};

/// Bits of the number of a record, of those of `emitted` in `struct cpu_counters` (bpf/records.h). The others
/// are used by the programs for Linux before 5.12 (bpf/number.bpf.h).
pub const NUMBER_BITS: u32 = 48;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Operations of one hook.
    Hook = 1,
    /// Identity of a connection.
    Lifecycle = 2,
    /// A snapshot of a socket.
    Socket = 3,
    /// A packet.
    Packet = 4,
    /// A packet that the kernel dropped.
    Drop = 5,
}

impl RecordKind {
    /// All kinds, by code from 1.
    pub const ALL: &'static [Self] =
        &[Self::Hook, Self::Lifecycle, Self::Socket, Self::Packet, Self::Drop];

    /// The name in the C header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hook => "HOOK",
            Self::Lifecycle => "LIFECYCLE",
            Self::Socket => "SOCKET",
            Self::Packet => "PACKET",
            Self::Drop => "DROP",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < RecordKind::ALL.len() {
        assert!(RecordKind::ALL[i] as usize == i + 1, "all kinds in the order of their codes");
        i += 1;
    }
};

/// The type of a member.
pub trait Member: Sized {
    /// The type in C; of an array that of its elements.
    const C: &'static str;
    /// Number of elements; none: no array.
    const ARRAY: Option<usize> = None;

    /// Reads it from the beginning of these bytes.
    ///
    /// # Panics
    /// If there are fewer bytes than it has.
    fn read(b: &[u8]) -> Self;

    /// The same from words.
    ///
    /// # Panics
    /// If there are fewer of them than it has.
    fn read_words(words: &[u64]) -> Self {
        Self::read(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>())
    }
}

macro_rules! numbers {
    ($($ty:ident $c:literal)+) => { $(
        impl Member for $ty {
            const C: &'static str = $c;

            fn read(b: &[u8]) -> Self {
                Self::from_ne_bytes(b[..size_of::<Self>()].try_into().expect("as many bytes"))
            }
        }
    )+ };
}

numbers! { u8 "u8" u16 "u16" u32 "u32" u64 "u64" }

impl<const N: usize> Member for [u8; N] {
    const C: &'static str = u8::C;
    const ARRAY: Option<usize> = Some(N);

    fn read(b: &[u8]) -> Self {
        *b.first_chunk().expect("as many bytes")
    }
}

impl<const N: usize> Member for [u64; N] {
    const C: &'static str = u64::C;
    const ARRAY: Option<usize> = Some(N);

    fn read(b: &[u8]) -> Self {
        core::array::from_fn(|i| u64::read(&b[i * size_of::<u64>()..]))
    }
}

/// A name in C: characters up to the first that is 0, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Name(pub [u8; 16]);

impl Name {
    /// Octets of it: TASK_COMM_LEN and TCP_CA_NAME_MAX, include/linux/sched.h and include/net/tcp.h.
    pub const SIZE: usize = size_of::<Self>();
}

impl Member for Name {
    const C: &'static str = "char";
    const ARRAY: Option<usize> = Some(Self::SIZE);

    fn read(b: &[u8]) -> Self {
        Self(Member::read(b))
    }
}

/// One member of a record.
#[derive(Clone, Copy, Debug)]
pub struct MemberDef {
    /// Name in both languages.
    pub name: &'static str,
    /// The type in C; of an array that of its elements.
    pub ty: &'static str,
    /// Number of elements; none: no array.
    pub array: Option<usize>,
    /// Where it is.
    pub offset: usize,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct RecordDef {
    /// Name of the structure in C.
    pub name: &'static str,
    /// Octets of the members here.
    pub size: usize,
    /// In their order.
    pub members: &'static [MemberDef],
}

/// Declares records: a structure that reads each, and the list of all.
macro_rules! records {
    ($(#[doc = $of:literal])+ $all:ident; $( $(#[doc = $doc:literal])+ $c:ident $name:ident
        { $( $(#[doc = $about:literal])+ $member:ident: $ty:ty, )+ } )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(C)]
            pub struct $name { $( $(#[doc = $about])+ pub $member: $ty, )+ }

            impl $name {
                /// Octets of it.
                pub const SIZE: usize = size_of::<Self>();
            }

            impl Member for $name {
                const C: &'static str = concat!("struct ", stringify!($c));

                fn read(b: &[u8]) -> Self {
                    Self { $( $member: Member::read(&b[offset_of!(Self, $member)..]), )+ }
                }
            }

            const _: () = assert!(
                size_of::<$name>() == 0 $( + size_of::<$ty>() )+,
                concat!(stringify!($c), " has padding that is not a member")
            );
        )+

        $(#[doc = $of])+
        pub const $all: &[RecordDef] = &[ $( RecordDef {
            name: stringify!($c),
            size: size_of::<$name>(),
            members: &[ $( MemberDef {
                name: stringify!($member),
                ty: <$ty as Member>::C,
                array: <$ty as Member>::ARRAY,
                offset: offset_of!($name, $member),
            }, )+ ],
        }, )+ ];
    };
}

records! {
    /// All records, each after those that it contains.
    RECORDS;
    /// The head of every record.
    record_header RecordHeader {
        /// CLOCK_MONOTONIC in nanoseconds.
        ts_ns: u64,
        /// Number of the record, per CPU over all rings.
        seq: u64,
        /// Socket cookie.
        cookie: u64,
        /// Which connection of the socket.
        generation: u16,
        /// CPU that made it.
        cpu: u16,
        /// Code of a [`RecordKind`].
        kind: u8,
        /// Code of a `Hook`.
        hook: u8,
        /// Operations that follow, or bytes of a packet.
        count: u16,
    }
    /// An operation. As many as the head states follow the head.
    operation OperationRecord {
        /// The operand.
        value: u64,
        /// Code of a `Var`.
        var: u16,
        /// Code of an `Op`.
        op: u8,
        /// Nothing.
        pad: [u8; 5],
    }
    /// Identity of a connection.
    lifecycle_record LifecycleRecord {
        /// The head.
        hdr: RecordHeader,
        /// CLOCK_MONOTONIC in nanoseconds at which the connection began (connect, or the child's creation);
        /// the time of the baseline for one that began before the recording.
        start_ns: u64,
        /// Id of the cgroup of its socket.
        cgroup_id: u64,
        /// 16 bytes, or 4 and twelve zeros for AF_INET.
        local_addr: [u8; 16],
        /// Remote address, in the same form.
        remote_addr: [u8; 16],
        /// The owner's command name.
        comm: Name,
        /// Name of the congestion control.
        congestion: Name,
        /// Inode number of the network namespace.
        netns: u32,
        /// Thread group id of the owner; for accepted connections the listener's until they are used. 0 if
        /// unknown.
        pid: u32,
        /// The socket's user id.
        uid: u32,
        /// `sk->sk_err` at the event, as a positive errno (0, ECONNRESET, ETIMEDOUT, ...).
        sk_err: u32,
        /// AF_INET (2) or AF_INET6 (10), as the socket has it.
        family: u16,
        /// Host byte order.
        local_port: u16,
        /// Host byte order.
        remote_port: u16,
        /// Code of an `Event`.
        event: u8,
        /// Kernel state (TCP_ESTABLISHED = 1 ...) before the event.
        old_state: u8,
        /// Kernel state after it.
        new_state: u8,
        /// 1 if the local end went through SYN-SENT, 2 if not, 0 if unknown.
        active: u8,
        /// 1 if it reached ESTABLISHED.
        established: u8,
        /// Whose FIN came first: 0 none so far, 1 ours, 2 the peer's.
        first_fin: u8,
        /// Token (RFC 8684, section 2.2) of the Multipath TCP connection that this one is a subflow of; 0 for
        /// plain TCP, and as long as the peer has not agreed.
        mptcp: u32,
    }
    /// The head of a snapshot of a socket; its fields are in `src/schema/socket.rs`.
    socket_record SocketHead {
        /// The head.
        hdr: RecordHeader,
        /// Bit per field: it has a value.
        present: [u64; 2],
        /// 16 bytes, or 4 and twelve zeros for AF_INET.
        local_addr: [u8; 16],
        /// Remote address, in the same form.
        remote_addr: [u8; 16],
        /// Inode number of the network namespace.
        netns: u32,
        /// Number of the poll.
        poll: u32,
        /// AF_INET (2) or AF_INET6 (10), as the socket has it.
        family: u16,
        /// Host byte order.
        local_port: u16,
        /// Host byte order.
        remote_port: u16,
        /// Code of a `Why`.
        why: u8,
        /// Nothing.
        pad: u8,
    }
    /// The head of a packet, before its bytes. `hdr.count` bytes of data are the packet's, the rest is
    /// padding.
    packet_record PacketHead {
        /// The head.
        hdr: RecordHeader,
        /// Length of the skb, as GRO or TSO has it; a tag beside it not counted.
        wire_len: u32,
        /// Index of the interface.
        ifindex: u32,
        /// Inode number of the network namespace.
        netns: u32,
        /// Segments of a super-packet; 0: not known.
        gso_segs: u16,
        /// Payload of each segment; 0: not a super-packet.
        gso_size: u16,
        /// Where its IP header begins.
        ip_offset: u16,
        /// VLAN tag (TCI) that stands beside the packet, not in it.
        tag: u16,
        /// Whether there is one.
        tagged: u8,
        /// Nothing.
        pad: [u8; 3],
    }
    /// A packet of TCP that the kernel dropped. The cookie of its head is 0 where no recorded connection is
    /// known from the packet alone.
    drop_record DropRecord {
        /// The head.
        hdr: RecordHeader,
        /// 16 bytes, or 4 and twelve zeros for AF_INET. Of a received packet the destination, of one that is
        /// sent the source.
        local_addr: [u8; 16],
        /// Likewise the other end.
        remote_addr: [u8; 16],
        /// The kernel's number of the reason, if the event has one.
        reason: u32,
        /// Inode number of the network namespace; 0 where it is not known any more.
        netns: u32,
        /// Payload.
        octets: u32,
        /// AF_INET (2) or AF_INET6 (10), as the packet is.
        family: u16,
        /// Host byte order.
        local_port: u16,
        /// Host byte order.
        remote_port: u16,
        /// Segments of a super-packet; 1 for any other.
        segments: u16,
        /// Code of a `Direction`.
        way: u8,
        /// Whether the event has a reason.
        has_reason: u8,
        /// Nothing.
        pad: [u8; 2],
    }
}

/// Counters by the code of a hook; that of 0 is unused.
pub const HOOK_COUNTERS: usize = super::Hook::ALL.len() + 1;

/// Kprobes of one object, at most.
pub const KPROBES: usize = 48;

/// Slots of time in which connections wait for a look (bpf/rest.bpf.h).
pub const REST_SLOTS: usize = 32;

/// What dumps of sockets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Look {
    /// For nothing: no dump of the recorder.
    None = 0,
    /// To read connections that rest.
    Rest = 1,
    /// To read what is open at the end.
    End = 2,
}

impl Look {
    /// All of them, by code from 0.
    pub const ALL: &'static [Self] = &[Self::None, Self::Rest, Self::End];

    /// The name in the C header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Rest => "REST",
            Self::End => "END",
        }
    }
}

records! {
    /// Elements of maps that programs and the recorder share. C has these structures with its own comments, and
    /// asserts the places of their members, which are those of this list.
    SHARED;
    /// Counters of one CPU (bpf/records.h).
    cpu_counters CpuCounters {
        /// Records attempted, in [`NUMBER_BITS`].
        emitted: u64,
        /// Records for which a ring had no room, by hook.
        lost: [u64; HOOK_COUNTERS],
        /// Per-socket state that could not be allocated.
        map_failures: u64,
        /// Operations for which a record had no room.
        dropped_ops: u64,
        /// Connections without state.
        not_followed: u64,
        /// Lost records of beginnings.
        lost_begins: u64,
        /// Lost records of ends.
        lost_ends: u64,
        /// Packets of other protocols at interfaces: received, sent.
        not_ip: [u64; 2],
        /// Packets with malformed IP headers, by hook.
        malformed: [u64; HOOK_COUNTERS],
        /// Connections that no filter let pass.
        refused: u64,
        /// Ends of functions that were not seen, by hook.
        unended: [u64; HOOK_COUNTERS],
    }
    /// What a program saw when the recorder began to listen (bpf/process.bpf.c).
    probed Probed {
        /// Jiffies of a second.
        hz: u32,
        /// The recorder's process id.
        pid: u32,
        /// CLOCK_MONOTONIC in nanoseconds, as BPF programs have it.
        now_ns: u64,
    }
    /// Whose dumps of sockets are for what (bpf/kprobe.bpf.c).
    looking LookingFor {
        /// The recorder, in the initial PID namespace.
        tgid: u32,
        /// Code of a [`Look`].
        what: u32,
    }
    /// An address that is filtered by (bpf/filter.bpf.h).
    addr_key AddrKey {
        /// Leading bits that count.
        prefix_len: u32,
        /// IPv4 is mapped into IPv6.
        addr: [u8; 16],
    }
    /// A kprobe that the recorder has attached (bpf/missed.bpf.h).
    kprobe_place KprobePlace {
        /// Descriptor of its link, and one more; 0: not counted.
        fd: u64,
        /// Of its struct trace_kprobe; 0: not found.
        address: u64,
        /// By the kernel's own count.
        missed: u64,
    }
    /// All of them (bpf/missed.bpf.h).
    kprobes KprobePlaces {
        /// Where the kernel has the map `levels`.
        levels: u64,
        /// Each a [`KprobePlace`].
        of: [u64; KPROBES * KprobePlace::SIZE / 8],
    }
    /// What one CPU has of them (bpf/missed.bpf.h).
    cpu_kprobes CpuKprobes {
        /// Where this CPU has its own of `levels`; 0: not known yet.
        level: u64,
        /// Runs of each program.
        runs: [u64; KPROBES],
        /// Hits when last counted.
        hits: [u64; KPROBES],
        /// Hits without a run: as the recorder counts, as a thread does.
        passed_over: [u64; 2 * KPROBES],
    }
}
