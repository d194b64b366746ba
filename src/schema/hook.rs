//! The places in the kernel where records are made. See the parent module.

use core::fmt;

/// Declares the hooks: `enum Hook`, `Hook::ALL`, names, and which of them mean a segment.
macro_rules! hooks {
    ($( $(#[doc = $doc:literal])+ $code:literal $variant:ident $name:literal $segment:literal )+) => {
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

            /// Whether a record of this hook means that a segment was sent or received.
            pub const fn is_segment(self) -> bool {
                match self { $( Self::$variant => $segment, )+ }
            }
        }
    };
}

// Code, variant, name, and whether it means a segment.
hooks! {
    /// tp_btf/tcp_probe: a segment received in ESTABLISHED, before it is processed.
    1 TcpProbe "tcp_probe" true
    /// sockops PARSE_HDR_OPT: a segment received in the other synchronised states.
    2 ParseHdr "parse_hdr" true
    /// cgroup_skb/egress: a segment on its way out.
    3 Egress "egress" true
    /// tp_btf/inet_sock_set_state: a change of state.
    4 SetState "set_state" false
    /// tp_btf/tcp_cong_state_set (5.19): a change of the congestion state.
    5 CongState "cong_state" false
    /// tp_btf/tcp_retransmit_skb: a retransmission.
    6 Retransmit "retransmit" true
    /// sockops TCP_CONNECT and *_ESTABLISHED: the handshake.
    7 Handshake "handshake" false
    /// iter/tcp at the start: a connection that was open before the recording.
    8 Baseline "baseline" false
    /// iter/tcp: a connection that rests, and one that is still open when the recording ends.
    9 Sweep "sweep" false
    /// tp_btf/tcp_destroy_sock: the socket is gone.
    10 Destroy "destroy" false
    /// The recorder itself: every record made before this one's time has been read from the rings.
    11 Drain "drain" false
    /// tcp_write_xmit: a loop that sends what may be sent, before and after.
    12 WriteXmit "write_xmit" false
    /// tcp_fastretrans_alert: an ACK that asks for attention.
    13 Fastretrans "fastretrans" false
    /// tcp_mark_skb_lost: a segment is taken for lost.
    14 MarkLost "mark_lost" false
    /// tcp_rack_detect_loss: RACK looks for lost segments.
    15 RackDetect "rack_detect" false
    /// tcp_undo_cwnd_reduction and its callers: a reduction is taken back.
    16 Undo "undo" false
    /// tcp_slow_start: the window grows exponentially.
    17 SlowStart "slow_start" false
    /// tcp_cong_avoid_ai: the window grows linearly.
    18 CongAvoid "cong_avoid" false
    /// tcp_cwnd_restart: the window shrinks after idling.
    19 CwndRestart "cwnd_restart" false
    /// tcp_enter_cwr: a congestion mark, or a transmission that the host itself refused.
    20 EnterCwr "enter_cwr" false
    /// tcp_data_ecn_check, or __tcp_ecn_check_ce before Linux 6.15: the ECN field of accepted data.
    21 EcnCheck "ecn_check" false
    /// tcp_sync_mss: the segment size changes.
    22 SyncMss "sync_mss" false
    /// tcp_sendmsg_locked: the application has written.
    23 Sendmsg "sendmsg" false
    /// tp_btf/tcp_rcv_space_adjust: the application has read.
    24 RcvSpace "rcv_space" false
    /// tcp_enter_loss: a timeout, where the kernel has no tcp_cong_state_set.
    25 EnterLoss "enter_loss" false
    /// tcp_enter_recovery: fast recovery begins, where the kernel has no tcp_cong_state_set.
    26 EnterRecovery "enter_recovery" false
    /// tcp_conn_request: a SYN for a listener. Its option reaches the record of ESTABLISHED.
    27 ConnRequest "conn_request" false
    /// No hook of a kernel: a packet of an imported capture.
    28 Capture "capture" true
    /// iter/tcp at each interval of --snapshots: a poll of all sockets.
    29 Poll "poll" false
    /// cgroup_skb/ingress: a packet for a socket of this host, whole, as the socket gets it.
    30 SocketIn "socket_in" false
    /// cgroup_skb/egress: a packet of a socket of this host, before it is cut or given a link header.
    31 SocketOut "socket_out" false
    /// tc/ingress of an interface: a packet received, for whomever it is.
    32 InterfaceIn "interface_in" false
    /// tc/egress of an interface: a packet sent, whosever it is.
    33 InterfaceOut "interface_out" false
    /// tp_btf/tcp_bad_csum (5.14): a segment with a wrong checksum is thrown away.
    34 BadChecksum "bad_checksum" false
    /// No records of its own: tp_btf/tcp_retransmit_skb states whether the host refused (6.17).
    35 RetransmitError "retransmit_error" false
}

impl Hook {
    /// Whether its records are packets, and not of a connection.
    pub const fn is_packet(self) -> bool {
        match self {
            Self::Capture
            | Self::SocketIn
            | Self::SocketOut
            | Self::InterfaceIn
            | Self::InterfaceOut => true,
            Self::TcpProbe
            | Self::ParseHdr
            | Self::Egress
            | Self::SetState
            | Self::CongState
            | Self::Retransmit
            | Self::Handshake
            | Self::Baseline
            | Self::Sweep
            | Self::Destroy
            | Self::Drain
            | Self::WriteXmit
            | Self::Fastretrans
            | Self::MarkLost
            | Self::RackDetect
            | Self::Undo
            | Self::SlowStart
            | Self::CongAvoid
            | Self::CwndRestart
            | Self::EnterCwr
            | Self::EcnCheck
            | Self::SyncMss
            | Self::Sendmsg
            | Self::RcvSpace
            | Self::EnterLoss
            | Self::EnterRecovery
            | Self::ConnRequest
            | Self::BadChecksum
            | Self::RetransmitError
            | Self::Poll => false,
        }
    }

    /// Whether it sees packets of sockets.
    pub const fn is_socket(self) -> bool {
        matches!(self, Self::SocketIn | Self::SocketOut)
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
