// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The places in the kernel where records are made. See the parent module.

use core::fmt;

/// The kind of a hook's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// A segment of a connection was received.
    Received,
    /// A segment of a connection is sent.
    Sent,
    /// Another event of a connection.
    Event,
    /// A connection that was open before it was recorded.
    Existing,
    /// The socket of a connection is gone: no record of it follows.
    Gone,
    /// The recorder's own: how far the rings were read.
    Mark,
    /// No record: what the events of another hook state besides.
    Fact,
    /// A snapshot of a socket, of connections that are recorded and of others.
    Poll,
    /// A packet that the kernel dropped, of a connection or not.
    Drop,
    /// A packet.
    Packet(Place, Direction),
}

/// Where packets are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the socket that gets or gives them.
    Socket,
    /// At an interface of this host.
    Interface,
    /// In an imported capture.
    Capture,
}

/// Which way a packet went, seen from the end that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Received by it.
    In = 1,
    /// Sent by it.
    Out = 2,
    /// Not known: neither address is the recorded end's, or both are.
    Unknown = 3,
}

impl Direction {
    /// All directions, by code from 1.
    pub const ALL: &'static [Self] = &[Self::In, Self::Out, Self::Unknown];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Unknown => "unknown",
        }
    }
}

use HookKind::{Drop, Event, Existing, Fact, Gone, Mark, Packet, Poll, Received, Sent};

/// Declares the hooks: `enum Hook`, `Hook::ALL`, names, and what a record of each is.
macro_rules! hooks {
    ($( $(#[doc = $doc:literal])+ $code:literal $variant:ident $name:literal $kind:expr; )+) => {
        /// A place in the kernel where a record is made. The name stands in every row of the log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Hook { $( $(#[doc = $doc])+ $variant = $code, )+ }

        impl Hook {
            /// All hooks, by code from 1.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in the log's dictionary and in the C header.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// The kind of this hook's records.
            pub const fn kind(self) -> HookKind {
                match self { $( Self::$variant => $kind, )+ }
            }
        }
    };
}

// Code, variant, name, and what a record is.
hooks! {
    /// tp_btf/tcp_probe: a segment received in ESTABLISHED, before it is processed.
    1 TcpProbe "tcp_probe" Received;
    /// tcp_rcv_state_process, or sockops PARSE_HDR_OPT: a segment received in the other synchronised states.
    2 ParseHdr "parse_hdr" Received;
    /// cgroup_skb/egress: a segment on its way out.
    3 Egress "egress" Sent;
    /// tp_btf/inet_sock_set_state: a change of state.
    4 SetState "set_state" Event;
    /// tp_btf/tcp_cong_state_set (5.19): a change of the congestion state.
    5 CongState "cong_state" Event;
    /// tp_btf/tcp_retransmit_skb: a retransmission.
    6 Retransmit "retransmit" Sent;
    /// sockops TCP_CONNECT and *_ESTABLISHED: the handshake.
    7 Handshake "handshake" Event;
    /// iter/tcp at the start: a connection that was open before the recording.
    8 Baseline "baseline" Existing;
    /// iter/tcp: a connection that rests, and one that is still open when the recording ends.
    9 Sweep "sweep" Event;
    /// tp_btf/tcp_destroy_sock: the socket is gone.
    10 Destroy "destroy" Gone;
    /// The recorder itself: every record made before this one's time has been read from the rings.
    11 Drain "drain" Mark;
    /// tcp_write_xmit: a loop that sends what may be sent, before and after.
    12 WriteXmit "write_xmit" Event;
    /// tcp_fastretrans_alert: an ACK that asks for attention.
    13 Fastretrans "fastretrans" Event;
    /// tcp_mark_skb_lost: a segment is taken for lost.
    14 MarkLost "mark_lost" Event;
    /// tcp_rack_detect_loss: RACK looks for lost segments.
    15 RackDetect "rack_detect" Event;
    /// tcp_undo_cwnd_reduction and its callers: a reduction is taken back.
    16 Undo "undo" Event;
    /// tcp_slow_start: the window grows exponentially.
    17 SlowStart "slow_start" Event;
    /// tcp_cong_avoid_ai: the window grows linearly.
    18 CongAvoid "cong_avoid" Event;
    /// tcp_cwnd_restart: the window shrinks after idling.
    19 CwndRestart "cwnd_restart" Event;
    /// tcp_enter_cwr: a congestion mark, or a transmission that the host itself refused.
    20 EnterCwr "enter_cwr" Event;
    /// tcp_data_ecn_check, or __tcp_ecn_check_ce before Linux 6.15: the ECN field of accepted data.
    21 EcnCheck "ecn_check" Event;
    /// tcp_sync_mss: the segment size changes.
    22 SyncMss "sync_mss" Event;
    /// tcp_sendmsg_locked: the application has written.
    23 Sendmsg "sendmsg" Event;
    /// tp_btf/tcp_rcv_space_adjust: the application has read.
    24 RcvSpace "rcv_space" Event;
    /// tcp_enter_loss: a timeout, where the kernel has no tcp_cong_state_set.
    25 EnterLoss "enter_loss" Event;
    /// tcp_enter_recovery: fast recovery begins, where the kernel has no tcp_cong_state_set.
    26 EnterRecovery "enter_recovery" Event;
    /// tcp_conn_request: a SYN for a listener. Its option reaches the record of ESTABLISHED.
    27 ConnRequest "conn_request" Event;
    /// No hook of a kernel: a packet of an imported capture.
    28 Capture "capture" Packet(Place::Capture, Direction::Unknown);
    /// iter/tcp at each interval of --snapshots: a poll of all sockets.
    29 Poll "poll" Poll;
    /// cgroup_skb/ingress: a packet for a socket of this host, whole, as the socket gets it.
    30 SocketIn "socket_in" Packet(Place::Socket, Direction::In);
    /// cgroup_skb/egress: a packet of a socket of this host, before it is cut or given a link header.
    31 SocketOut "socket_out" Packet(Place::Socket, Direction::Out);
    /// tc/ingress of an interface: a packet received, for whomever it is.
    32 InterfaceIn "interface_in" Packet(Place::Interface, Direction::In);
    /// tc/egress of an interface: a packet sent, whosever it is.
    33 InterfaceOut "interface_out" Packet(Place::Interface, Direction::Out);
    /// tp_btf/tcp_bad_csum (5.14): a segment with a wrong checksum is thrown away.
    34 BadChecksum "bad_checksum" Event;
    /// No records of its own: tp_btf/tcp_retransmit_skb states whether the host refused (6.17).
    35 RetransmitError "retransmit_error" Fact;
    /// tp_btf/kfree_skb: the kernel drops a packet of TCP. The event has a reason since Linux 5.17.
    36 Drops "drops" Drop;
    /// No records of its own: parse_hdr is at tcp_rcv_state_process, before the kernel's checks of the segment.
    37 StateProcess "state_process" Fact;
    /// tp_btf/kfree_skb (6.11): the kernel's checks have refused a segment, where parse_hdr comes after them.
    38 SegmentDrop "segment_drop" Received;
}

impl Hook {
    /// Whether a record of this hook means that a segment was sent or received: with connections that
    /// are made of packets, each packet.
    pub const fn is_segment(self) -> bool {
        match self.kind() {
            Received | Sent | Packet(Place::Capture, _) => true,
            Packet(Place::Socket | Place::Interface, _)
            | Event
            | Existing
            | Gone
            | Mark
            | Fact
            | Poll
            | Drop => false,
        }
    }

    /// Whether it sees segments of connections as they are received.
    pub const fn is_received(self) -> bool {
        match self.kind() {
            Received => true,
            Sent | Event | Existing | Gone | Mark | Fact | Poll | Drop | Packet(..) => false,
        }
    }

    /// Whether it sees connections that were open before they were recorded.
    pub const fn is_baseline(self) -> bool {
        matches!(self.kind(), Existing)
    }

    /// Whether its record means that a socket is gone.
    pub const fn ends_socket(self) -> bool {
        matches!(self.kind(), Gone)
    }

    /// Whether its records are marks of the recorder: how far the rings were read.
    pub const fn is_mark(self) -> bool {
        matches!(self.kind(), Mark)
    }

    /// Where it sees packets and which way they go there; `None` where its records are no packets.
    pub const fn sees(self) -> Option<(Place, Direction)> {
        match self.kind() {
            Packet(place, direction) => Some((place, direction)),
            Received | Sent | Event | Existing | Gone | Mark | Fact | Poll | Drop => None,
        }
    }

    /// The hooks that see packets at this place.
    pub fn at(place: Place) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |hook| hook.is_at(place))
    }

    /// Whether it sees packets at this place.
    pub fn is_at(self, place: Place) -> bool {
        self.sees().is_some_and(|(at, _)| at == place)
    }

    /// Whether its records are packets, and not of a connection.
    pub const fn is_packet(self) -> bool {
        self.sees().is_some()
    }

    /// Whether it sees packets of sockets.
    pub const fn is_socket(self) -> bool {
        matches!(self.sees(), Some((Place::Socket, _)))
    }

    /// Whether one end of its packets is that of the recording: what an interface sees may come from
    /// anywhere, and go anywhere.
    pub const fn is_at_an_end(self) -> bool {
        match self.sees() {
            Some((Place::Socket | Place::Capture, _)) => true,
            Some((Place::Interface, _)) | None => false,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const _: () = {
    let mut i = 0;
    while i < Hook::ALL.len() {
        assert!(Hook::ALL[i] as usize == i + 1, "codes must be 1.. in the order of the list");
        i += 1;
    }
};
