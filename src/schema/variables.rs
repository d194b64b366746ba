// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The list: one stanza per variable, in the order of the specification. See the parent module.

use super::reference::{
    ACTIVE, AFTER_RECEIVING, CLOCK_US, CLOSED, ELAPSED, ESTABLISHED, INTERVAL_SKEW_US, IPV6,
    Linear, MAX_SKB, NO_MARKS_NO_STALLS, Relation, SAME_SIGNALS, SIGNALS_BUT_RECOVERIES,
    SIGNALS_BUT_TIMEOUTS, STALL_US, Signal, TIMEOUTS, WINDOW_MOVES_BY_ACKS, When, fault, otherwise,
    when,
};
use super::*;

/// Of the largest windows, in slow start and behind it.
const LARGEST_WINDOW: &[Coverage] = &[
    Coverage {
        quality: Quality::Exact,
        needs: &[Hook::TcpProbe, Hook::CwndRestart],
        how: "snd_cwnd and snd_ssthresh between received segments and before reductions",
    },
    Coverage {
        quality: Quality::Approximate,
        needs: &[Hook::TcpProbe],
        how: "snd_cwnd and snd_ssthresh between received segments and at rest; what the last ACK added is \
              missing where idling took it back before the look",
    },
];

estats_vars! {

    /// The sender-limitation state now in force: 0 sender (application/other), 1 congestion
    /// window, 2 receiver window, 3 startup (before ESTABLISHED), 4 TSO deferral, 5 pacing.
    1 Limstate {
        table: Table::Global,
        rfc: "",
        ty: Type::Enum(LIMSTATE),
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "why tcp_write_xmit stopped, decided at its end by the kernel's own tests in the same order; the values they read have not changed by then. A transmission that the host refused, and a wait for the device's queue (TCP small queues), count as the sender's limit",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "the same decisions before each received segment: a transmit loop of a timer is seen late, intervals end at the next segment",
            },
        ],
        tcp_info: TcpInfo::Related("chrono_type: RWND_LIMITED(2) should coincide with state 2 most of the time; no exact counterpart"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time at which the current Limstate began: the end of the transmit loop that left
    /// it. A Web10G kernel sets it at every loop, also where the state stays; the times in the
    /// states are the same.
    2 LimstateTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeOfLast(Var::Limstate)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "time of the record that changed Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "time of the record that changed the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time (CLOCK_MONOTONIC) at which the recorder began this connection's row.
    3 StartTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Identity,
        packets: sampled("our SYN, or the segment that completes a handshake that the peer began, at the interface: the stack sees them somewhat earlier or later"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time of the latest protocol event (segment sent or received) of the
    /// connection.
    4 CurrentTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Derived,
        packets: sampled("the last segment in either direction, at the interface"),
        apply: Apply::Derived(Rule::LastSegment),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::Egress],
            how: "time of the last segment received or sent",
        }],
        tcp_info: TcpInfo::Related("tcpi_last_data_sent/recv, tcpi_last_ack_recv (ms, jiffy resolution): now - CurrentTs <= min of the three + 1 jiffy"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Wall-clock time of StartTs, in microseconds since the Unix epoch.
    5 StartTv {
        table: Table::Global,
        rfc: "",
        ty: Type::WallUs,
        unit: "us",
        kind: Kind::Derived,
        packets: sampled("our SYN, or the segment that completes a handshake that the peer began, at the interface: the stack sees them somewhat earlier or later"),
        apply: Apply::Derived(Rule::WallClock(Var::StartTs)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Recorder-assigned number of the connection, unique within one recording, never reused.
    6 ConnectIndex {
        table: Table::Connection,
        rfc: "tcpEStatsConnectIndex",
        ty: Type::U32,
        unit: "",
        kind: Kind::Identity,
        packets: exact("order of appearance"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("none on stock kernels (idiag_cookie in inet_diag == socket cookie, which allows joining with ss -e)"),
        reference: Reference::NotComparable("each numbers connections by itself"),
    }

    /// Address family of the addresses in the row: 1 IPv4, 2 IPv6.
    7 AddressType {
        table: Table::Connection,
        rfc: "tcpConnectionLocalAddressType",
        ty: Type::Enum(ADDRESS_TYPE),
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag idiag_family (equal except for the v4-mapped case)"),
        reference: Reference::MATCHED,
    }

    /// Local IP address of the connection, 4 or 16 bytes in network order.
    8 LocalAddress {
        table: Table::Connection,
        rfc: "tcpConnectionLocalAddress",
        ty: Type::Address,
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_src: equal"),
        reference: Reference::MATCHED,
    }

    /// Remote IP address of the connection, 4 or 16 bytes in network order.
    9 RemAddress {
        table: Table::Connection,
        rfc: "tcpConnectionRemAddress",
        ty: Type::Address,
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_dst: equal"),
        reference: Reference::MATCHED,
    }

    /// Local TCP port, host byte order.
    10 LocalPort {
        table: Table::Connection,
        rfc: "tcpConnectionLocalPort",
        ty: Type::U16,
        unit: "",
        kind: Kind::Identity,
        packets: exact("TCP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_sport (network order): equal after swap"),
        reference: Reference::MATCHED,
    }

    /// Remote TCP port, host byte order.
    11 RemPort {
        table: Table::Connection,
        rfc: "tcpConnectionRemPort",
        ty: Type::U16,
        unit: "",
        kind: Kind::Identity,
        packets: exact("TCP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_dport: equal after swap"),
        reference: Reference::MATCHED,
    }

    /// Segments handed to IP by this full socket, counting each GSO super-segment as its number
    /// of MSS pieces and including pure ACKs, probes, SYN (active), FIN and RST.
    12 SegsOut {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSegsOut",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments sent until the connection is closed, without SYN-ACKs of a passive open; super-segments by the segment size"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->segs_out"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.segs_out, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_segs_out),
        reference: Reference::Cases(&[
            when(&[When::ResetByUs], Reference::bounded(Relation::between(Linear::constant(0), Linear::constant(1)), "a RST sent after the change to CLOSE counts there only")),
            otherwise(Reference::SAME),
        ]),
    }

    /// Segments handed to IP that carried at least one payload byte, GSO pieces counted singly,
    /// retransmissions included.
    13 DataSegsOut {
        table: Table::Perf,
        rfc: "tcpEStatsPerfDataSegsOut",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments sent that have payload; super-segments by the segment size"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->data_segs_out"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.data_segs_out, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_data_segs_out),
        reference: Reference::SAME,
    }

    /// HCDataOctetsOut modulo 2^32.
    14 DataOctetsOut {
        table: Table::Perf,
        rfc: "tcpEStatsPerfDataOctetsOut",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        packets: exact("payload of the segments sent"),
        apply: Apply::Derived(Rule::Low32(Var::HCDataOctetsOut)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::TcpProbe, Hook::Retransmit, Hook::RetransmitError],
                how: "low 32 bits of HCDataOctetsOut",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::TcpProbe, Hook::Retransmit, Hook::EnterCwr, Hook::Egress],
                how: "low 32 bits of HCDataOctetsOut",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::SetState],
                how: "low 32 bits of HCDataOctetsOut",
            },
        ],
        tcp_info: TcpInfo::Related("low 32 bits of tcpi_bytes_sent, less what the host refused"),
        reference: Reference::fault(fault::SYN_FIN_OCTETS, Relation::between(Linear::constant(0), Linear::new(2, &[(1, Var::SegsRetrans)])).low(32)),
    }

    /// Payload bytes transmitted by this socket, retransmissions included, TCP headers, SYN
    /// and FIN sequence numbers excluded. Segments that the host itself refused (a full queue of the
    /// device, netfilter, no route) were not transmitted.
    15 HCDataOctetsOut {
        table: Table::Perf,
        rfc: "tcpEStatsPerfHCDataOctetsOut",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Counter,
        packets: exact("payload of the segments sent"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_octets_out(c, tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::TcpProbe, Hook::Retransmit, Hook::RetransmitError],
                how: "what SND.NXT has passed, which moves when the host has taken a segment, and OctetsRetrans; not more than tcp_sock.bytes_sent, which counts refused segments too",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::TcpProbe, Hook::Retransmit, Hook::EnterCwr, Hook::Egress],
                how: "the same, before Linux 6.17: see OctetsRetrans",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::SetState],
                how: "tcp_sock.bytes_sent, in which segments are that the host refused",
            },
        ],
        tcp_info: TcpInfo::EqualIfTaken(SocketField::tcpi_bytes_sent),
        reference: Reference::fault(fault::SYN_FIN_OCTETS, Relation::between(Linear::constant(0), Linear::new(2, &[(1, Var::SegsRetrans)]))),
    }

    /// Segments retransmitted by this connection (RTO, fast, TLP and SYN/SYN-ACK repeats), GSO
    /// pieces counted singly.
    16 SegsRetrans {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSegsRetrans",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments sent whose sequence space was sent before, repeated SYNs and SYN-ACKs included"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->total_retrans"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.total_retrans, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_total_retrans),
        reference: Reference::Cases(&[
            when(&[ACTIVE], Reference::bounded(Relation::between(Linear::of(&[(-1, Var::SendStall)]), Linear::constant(0)), "sends that failed locally count here only")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-5, &[(-1, Var::SendStall)]), Linear::constant(0)), "repeats of the SYN-ACK (5 by default, net.ipv4.tcp_synack_retries) and sends that failed locally count here only")),
        ]),
    }

    /// Payload bytes retransmitted; not those of retransmissions that the host itself refused.
    17 OctetsRetrans {
        table: Table::Perf,
        rfc: "tcpEStatsPerfOctetsRetrans",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Counter,
        packets: exact("payload sent that was sent before"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_octets_again(c, tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::Retransmit, Hook::RetransmitError],
                how: "tcp_sock.bytes_retrans without the retransmissions that the host refused, which the event says (Linux 6.17)",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::Retransmit, Hook::EnterCwr, Hook::Egress],
                how: "before Linux 6.17: tcp_sock.bytes_retrans without the retransmissions that have no event, if the queue has refused something (SendStall)",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::SetState],
                how: "tcp_sock.bytes_retrans, in which retransmissions are that the host refused",
            },
        ],
        tcp_info: TcpInfo::EqualIfTaken(SocketField::tcpi_bytes_retrans),
        reference: Reference::fault(fault::SYN_FIN_OCTETS, Relation::between(Linear::constant(0), Linear::of(&[(1, Var::SegsRetrans)])).low(32)),
    }

    /// Segments received for this full socket, GRO aggregates counted as their number of wire
    /// segments, whatever their later fate.
    18 SegsIn {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSegsIn",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments received until the connection is closed, the SYN of a passive open included; super-segments by the segment size"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->segs_in"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.segs_in, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_segs_in),
        reference: Reference::SAME,
    }

    /// Received segments carrying payload, duplicates and later-dropped ones included, GRO
    /// pieces counted singly.
    19 DataSegsIn {
        table: Table::Perf,
        rfc: "tcpEStatsPerfDataSegsIn",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments received that have payload; super-segments by the segment size"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->data_segs_in"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.data_segs_in, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_data_segs_in),
        reference: Reference::SAME,
    }

    /// HCDataOctetsIn modulo 2^32.
    20 DataOctetsIn {
        table: Table::Perf,
        rfc: "tcpEStatsPerfDataOctetsIn",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        packets: exact("payload of the segments received"),
        apply: Apply::Derived(Rule::Low32(Var::HCDataOctetsIn)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment when it is processed",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(&[ACTIVE], Reference::SAME_LOW32),
            otherwise(Reference::bounded(Relation::between(Linear::constant(-MAX_SKB), Linear::constant(0)).low(32), "payload in the ACK that completes the handshake counts here only")),
        ]),
    }

    /// Payload bytes in all segments received for the socket, including duplicates, out-of-
    /// window data and segments dropped afterwards.
    21 HCDataOctetsIn {
        table: Table::Perf,
        rfc: "tcpEStatsPerfHCDataOctetsIn",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Counter,
        packets: exact("payload of the segments received"),
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment when it is processed",
        }],
        tcp_info: TcpInfo::Related(">= tcpi_bytes_received minus the FIN octet; equal to the peer's bytes_sent when nothing was lost (checked on 6.18)"),
        reference: Reference::Cases(&[
            when(&[ACTIVE], Reference::SAME),
            otherwise(Reference::bounded(Relation::between(Linear::constant(-MAX_SKB), Linear::constant(0)), "payload in the ACK that completes the handshake counts here only")),
        ]),
    }

    /// RTT samples not larger than a configured latency limit.
    22 NormalRttm {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "samples",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::WithinLimit(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::Related("NormalRttm + HighRttm == CountRTT (when a limit is configured)"),
        reference: Reference::NOT_EXPORTED,
    }

    /// RTT samples larger than the configured latency limit.
    23 HighRttm {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "samples",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::AboveLimit(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::Related("see NormalRttm"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Whole seconds between StartTs and CurrentTs.
    24 ElapsedSecs {
        table: Table::Perf,
        rfc: "tcpEStatsPerfElapsedSecs",
        ty: Type::U32,
        unit: "s",
        kind: Kind::Derived,
        packets: sampled("the last segment in either direction, at the interface"),
        apply: Apply::Derived(Rule::ElapsedSeconds(Var::StartTs, Var::CurrentTs)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::Egress],
            how: "time of the last segment received or sent",
        }],
        tcp_info: TcpInfo::None,
        reference: ELAPSED,
    }

    /// Microsecond remainder of the same interval (0..999999).
    25 ElapsedMicroSecs {
        table: Table::Perf,
        rfc: "tcpEStatsPerfElapsedMicroSecs",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        range: Some(Range::new(0, 999_999)),
        packets: sampled("the last segment in either direction, at the interface"),
        apply: Apply::Derived(Rule::ElapsedMicroseconds(Var::StartTs, Var::CurrentTs)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::Egress],
            how: "time of the last segment received or sent",
        }],
        tcp_info: TcpInfo::None,
        reference: ELAPSED,
    }

    /// Wall-clock start of the row (StartTv); the RFC form is DateAndTime.
    26 StartTimeStamp {
        table: Table::Perf,
        rfc: "tcpEStatsPerfStartTimeStamp",
        ty: Type::WallUs,
        unit: "us",
        kind: Kind::Derived,
        packets: sampled("our SYN, or the segment that completes a handshake that the peer began, at the interface: the stack sees them somewhat earlier or later"),
        apply: Apply::Derived(Rule::WallClock(Var::StartTs)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(&[ACTIVE], Reference::bounded(Relation::at_most(Linear::constant(CLOCK_US)), "the reference begins at socket(2), we begin at connect(2); the wall clock is slewed between our samples")),
            otherwise(Reference::bounded(Relation::between(Linear::constant(-CLOCK_US), Linear::new(CLOCK_US, &[(1, Var::SndLimTimeStartup)])), "the wall clock is slewed between our samples; the reference begins later in the making of the socket, and both before ESTABLISHED")),
        ]),
    }

    /// Current effective send MSS without SACK-block space (mss_cache).
    27 CurMSS {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurMSS",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::SEGMENT),
        packets: approximate("the smaller MSS option less the timestamp option; path MTU discovery and TCP_MAXSEG are not seen"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->mss_cache"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SyncMss, Hook::SetState],
                how: "at the end of tcp_sync_mss, the only place where it changes",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState],
                how: "tcp_sock.mss_cache at the hooks, when changed",
            },
        ],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_snd_mss),
        reference: Reference::SAME,
    }

    /// Sender's estimate of bytes in the network: packets_in_flight times CurMSS.
    28 PipeSize {
        table: Table::Perf,
        rfc: "tcpEStatsPerfPipeSize",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_pipe_size(tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::TcpProbe, Hook::SetState],
                how: "after each transmit loop and after each received segment (as seen by the next hook)",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState, Hook::Egress],
                how: "read at received and sent segments and at ->CLOSE",
            },
        ],
        tcp_info: TcpInfo::Related("(tcpi_unacked - tcpi_sacked - tcpi_lost + tcpi_retrans) * tcpi_snd_mss: equal"),
        reference: Reference::Cases(&[
            when(&[When::Agrees(Var::PipeSize)], Reference::SAME),
            when(&[When::Value(Var::PipeSize, 0)], Reference::fault(fault::NEGATIVE_FLIGHT, Relation::between(Linear::constant(-(1 << 31)), Linear::constant(-1)).low(32))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Largest PipeSize seen at the end of processing a received segment.
    29 MaxPipeSize {
        table: Table::Perf,
        rfc: "tcpEStatsPerfMaxPipeSize",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::TcpProbe],
                how: "maximum after each transmit loop and after each received segment",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "maximum over received and sent segments",
            },
        ],
        tcp_info: TcpInfo::Related(">= any sampled PipeSize"),
        reference: Reference::Cases(&[
            when(&[When::Agrees(Var::PipeSize)], Reference::bounded(Relation::NOT_MORE, AFTER_RECEIVING)),
            when(&[When::Value(Var::PipeSize, 0)], Reference::fault(fault::NEGATIVE_FLIGHT, Relation::NOT_MORE.low(32))),
            otherwise(Reference::bounded(Relation::NOT_MORE, AFTER_RECEIVING)),
        ]),
    }

    /// Smoothed round-trip time used for the RTO.
    30 SmoothedRTT {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSmoothedRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Gauge,
        range: Some(Range::ROUND_TRIP),
        unset: Some(0),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->srtt_us >> 3"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_rtt),
        reference: Reference::FLOORED_TO_MS,
    }

    /// Current retransmission timeout value including back-off.
    31 CurRTO {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurRTO",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Gauge,
        range: Some(Range::TIMEOUT),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("estats_jiffies_to_us(icsk->icsk_rto)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "the socket fields at every hook, when changed",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_rto),
        reference: Reference::FLOORED_TO_MS,
    }

    /// Congestion signals acted on: every RTO, every entry into fast Recovery, every entry into
    /// CWR from Open/Disorder (ECN, local drop) and every loss-probe-detected loss.
    32 CongSignals {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCongSignals",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss, Hook::EnterRecovery],
                how: "tcp_enter_loss, tcp_enter_recovery, and CWR when the next hook sees it",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIBs: TCPSackRecovery+TCPRenoRecovery (Recovery part, equal on 6.18), TCPTimeouts, tcpi_total_rto (6.7+)"),
        reference: Reference::Cases(&[
            // Loss probes that found a loss are ours alone.
            when(NO_MARKS_NO_STALLS, Reference::fault(fault::EVERY_ECE, Relation::all(const { &[
                Relation::is(Linear::of(&[(1, Var::Timeouts), (1, Var::SubsequentTimeouts)])).together(SIGNALS_BUT_RECOVERIES),
                Relation::NOT_MORE.together(SIGNALS_BUT_RECOVERIES),
            ] }))),
            otherwise(Reference::fault(fault::EVERY_ECE, Relation::all(const { &[
                Relation::is(Linear::of(&[(1, Var::Timeouts), (1, Var::SubsequentTimeouts)])).together(SIGNALS_BUT_TIMEOUTS),
                Relation::between(Linear::of(&[(-1, Var::CongSignals), (1, Var::Timeouts), (1, Var::SubsequentTimeouts)]), Linear::of(&[(1, Var::ECNsignals), (1, Var::SendStall)])),
            ] }))),
        ]),
    }

    /// Current congestion window: snd_cwnd segments times CurMSS.
    33 CurCwnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurCwnd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("estats_octets(tp->snd_cwnd, tp->mss_cache)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "the socket fields at every hook, when changed",
        }],
        tcp_info: TcpInfo::Product(SocketField::tcpi_snd_cwnd, SocketField::tcpi_snd_mss),
        reference: Reference::SAME,
    }

    /// Current slow-start threshold in octets; NULL while it still has its initial infinite value,
    /// which RFC 4898 shows as 0xffffffff.
    34 CurSsthresh {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurSsthresh",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        unset: Some(0xffff_ffff),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("estats_ssthresh(tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "the socket fields at every hook, when changed",
        }],
        tcp_info: TcpInfo::Product(SocketField::tcpi_snd_ssthresh, SocketField::tcpi_snd_mss),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::CurSsthresh, 0xffff_ffff)], Reference::fault(fault::INFINITE_TIMES_MSS, Relation::is(Linear::of(&[(0x7fff_ffff, Var::CurMSS)])).low(32))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Retransmission timer expirations acted on while the timer was not backed off
    /// (icsk_backoff == 0 at expiry).
    35 Timeouts {
        table: Table::Perf,
        rfc: "tcpEStatsPerfTimeouts",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss],
                how: "tcp_enter_loss",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("Timeouts + SubsequentTimeouts == tcpi_total_rto (6.7+; a passive child starts with its SYN-ACK timeouts) == netns MIB TCPTimeouts minus expiries that killed the connection (equal on 6.18); Timeouts == tcpi_total_rto_recoveries when every first RTO had backoff 0"),
        reference: Reference::fault(fault::AFTER_BACKOFF, Relation::SAME.together(TIMEOUTS)),
    }

    /// Receive window last advertised, in octets.
    36 CurRwinSent {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurRwinSent",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        packets: exact("window of the segments sent, scaled; NULL where the handshake was not seen"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("tp->rcv_wnd"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress],
            how: "tcp_sock.rcv_wnd at each segment sent, already updated",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_rcv_wnd),
        reference: Reference::Cases(&[
            when(&[When::ResetByUs, When::More(Var::SegsOut, 1)], Reference::bounded(Relation::within(Linear::constant(0), Linear::new(1 << 14, &[(1, Var::LimRwin)])), "the RST sent after the change to CLOSE has a window of its own, up to the limit, rounded up to the scale")),
            otherwise(Reference::SAME),
        ]),
    }

    /// Largest receive window advertised since ESTABLISHED.
    37 MaxRwinSent {
        table: Table::Perf,
        rfc: "tcpEStatsPerfMaxRwinSent",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        unset: Some(0),
        packets: exact("window of the segments sent, scaled; NULL where the handshake was not seen"),
        apply: Apply::Derived(Rule::MaxSinceEstablished(Var::CurRwinSent)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress],
            how: "tcp_sock.rcv_wnd at each segment sent, already updated",
        }],
        tcp_info: TcpInfo::Related(">= tcpi_rcv_wnd"),
        reference: Reference::Cases(&[
            when(&[When::ResetByUs, When::More(Var::SegsOut, 1)], Reference::bounded(Relation::between(Linear::constant(0), Linear::new(1 << 14, &[(1, Var::LimRwin)])), "the RST sent after the change to CLOSE has a window of its own, up to the limit, rounded up to the scale")),
            otherwise(Reference::SAME),
        ]),
    }

    /// Times the advertised receive window went from non-zero to zero.
    38 ZeroRwinSent {
        table: Table::Perf,
        rfc: "tcpEStatsPerfZeroRwinSent",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Derived,
        packets: exact("window of the segments sent, scaled; NULL where the handshake was not seen"),
        apply: Apply::Derived(Rule::ZeroTransitions(Var::CurRwinSent)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress],
            how: "tcp_sock.rcv_wnd at each segment sent, already updated",
        }],
        tcp_info: TcpInfo::Related("netns MIB TCPToZeroWindowAdv: equal (checked on 6.18)"),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::ZeroRwinSent, 0)], Reference::SAME),
            otherwise(Reference::fault("every segment with a zero window counts, not the transition to it", Relation::between(Linear::constant(0), Linear::of(&[(1, Var::SegsOut)])))),
        ]),
    }

    /// Send window last advertised by the peer, in octets after scaling.
    39 CurRwinRcvd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfCurRwinRcvd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        packets: exact("window of the segments received that may update it, scaled; NULL where the handshake was not seen"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("tp->snd_wnd"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "tcp_sock.snd_wnd between received segments: each changes it at most once",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_snd_wnd),
        reference: Reference::SAME,
    }

    /// Largest window advertised by the peer since ESTABLISHED.
    40 MaxRwinRcvd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfMaxRwinRcvd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        unset: Some(0),
        packets: exact("window of the segments received that may update it, scaled; NULL where the handshake was not seen"),
        apply: Apply::Derived(Rule::MaxSinceEstablished(Var::CurRwinRcvd)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "tcp_sock.snd_wnd between received segments: each changes it at most once",
        }],
        tcp_info: TcpInfo::Related(">= tcpi_snd_wnd; tcp_sock.max_window is the same maximum including the unscaled SYN window"),
        reference: Reference::SAME,
    }

    /// Times the peer's advertised window went from non-zero to zero.
    41 ZeroRwinRcvd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfZeroRwinRcvd",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Derived,
        packets: exact("window of the segments received that may update it, scaled; NULL where the handshake was not seen"),
        apply: Apply::Derived(Rule::ZeroTransitions(Var::CurRwinRcvd)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "tcp_sock.snd_wnd between received segments: each changes it at most once",
        }],
        tcp_info: TcpInfo::Related("none per socket (sum over peers of their TCPToZeroWindowAdv)"),
        reference: Reference::SAME,
    }

    /// Transitions into the sender-limited (application, Nagle, resources, anything not
    /// receiver- or congestion-limited) state.
    42 SndLimTransSnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransSnd",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 0)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::between(Linear::of(&[(-1, Var::SndLimTransPace)]), Linear::of(&[(1, Var::SndLimTransPace)]))),
    }

    /// Transitions into the congestion-limited state.
    43 SndLimTransCwnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransCwnd",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 1)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into the receiver-limited state.
    44 SndLimTransRwin {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransRwin",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 2)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into the startup state; always 0 because a connection begins in it.
    45 SndLimTransStartup {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Constant(0)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "a connection begins in this state: always 0",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into 'deferred to build a larger TSO segment'.
    46 SndLimTransTSODefer {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 4)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into 'waiting for the pacing timer'.
    47 SndLimTransPace {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 5)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::always(0)),
    }

    /// Accumulated time in the sender-limited state.
    48 SndLimTimeSnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeSnd",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 0)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("no direct field; tcpi_sndbuf_limited <= SndLimTimeSnd roughly"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 0)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(1, Var::SndLimTimePace), (-INTERVAL_SKEW_US, Var::SndLimTransSnd), (-INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 0)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(1, Var::SndLimTimePace), (INTERVAL_SKEW_US, Var::SndLimTransSnd), (INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(1, Var::SndLimTimePace), (-INTERVAL_SKEW_US, Var::SndLimTransSnd), (-INTERVAL_SKEW_US, Var::SndLimTransPace)]), Linear::new(STALL_US, &[(1, Var::SndLimTimePace), (INTERVAL_SKEW_US, Var::SndLimTransSnd), (INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there")),
        ]),
    }

    /// Accumulated time in the congestion-limited state.
    49 SndLimTimeCwnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeCwnd",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 1)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("SndLimTimeCwnd + SndLimTimeRwin + SndLimTimeSnd + Startup (+TSODefer+Pace) == time from StartTs to the last booking"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 1)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeCwnd)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 1)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransCwnd)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Accumulated time in the receiver-limited state.
    50 SndLimTimeRwin {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeRwin",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 2)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("tcpi_rwnd_limited (us, jiffy steps): approximately equal, never larger than SndLimTimeRwin by more than jiffies; sndbuf-limited has priority in the kernel's chronometer"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 2)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeRwin)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 2)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransRwin)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Time from row creation to ESTABLISHED (the startup state).
    51 SndLimTimeStartup {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        packets: sampled("from the beginning to the segment that establishes the connection, at the interface"),
        apply: Apply::Derived(Rule::TimeToEstablished),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "time of ESTABLISHED",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::bounded(Relation::between(Linear::constant(-INTERVAL_SKEW_US - CLOCK_US), Linear::constant(STALL_US)).together(ESTABLISHED).low(32), "wherever the row begins, it is established at the same time, up to 100 us and a stall of the processor apart"),
    }

    /// Accumulated time in the TSO-deferral state.
    52 SndLimTimeTSODefer {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 4)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 4)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeTSODefer)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 4)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransTSODefer)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Accumulated time waiting for the pacing timer.
    53 SndLimTimePace {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 5)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::always(0)),
    }

    /// Retransmitted segments that were themselves marked lost.
    54 LostRetransmitSegs {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::MarkLost],
                how: "tcp_mark_skb_lost on a retransmission in flight",
            },
            Coverage {
                quality: Quality::Missing,
                needs: &[],
                how: "no tracepoint shows tcp_mark_skb_lost",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIB TCPLostRetransmit: equal"),
        reference: Reference::SAME,
    }

    /// Reordering degree currently assumed, i.e. the duplicate-ACK threshold of the stack.
    55 RetranThresh {
        table: Table::Path,
        rfc: "tcpEStatsPathRetranThresh",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->reordering"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_reordering),
        reference: Reference::SAME,
    }

    /// Disorder episodes that ended because the cumulative ACK passed the episode's high mark,
    /// without entering Recovery or Loss.
    56 NonRecovDAEpisodes {
        table: Table::Path,
        rfc: "tcpEStatsPathNonRecovDAEpisodes",
        ty: Type::U32,
        unit: "episodes",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Fastretrans],
                how: "tcp_fastretrans_alert in Disorder with high_seq acknowledged",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::CongState],
                how: "Disorder that goes back to Open with high_seq acknowledged: one per episode, where the kernel may count several ACKs",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Sum of the SND.UNA advances made by ACKs that arrive in the Disorder state.
    57 SumOctetsReordered {
        table: Table::Path,
        rfc: "tcpEStatsPathSumOctetsReordered",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment; segments that validation then rejects are counted too",
        }],
        tcp_info: TcpInfo::Related("<= tcpi_bytes_acked"),
        reference: Reference::SAME,
    }

    /// Duplicate ACKs (or SACK-advancing ACKs) of Disorder episodes that ended without Recovery
    /// or Loss.
    58 NonRecovDA {
        table: Table::Path,
        rfc: "tcpEStatsPathNonRecovDA",
        ty: Type::U32,
        unit: "ACKs",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Fastretrans, Hook::CongState],
                how: "num_dupack of tcp_fastretrans_alert, or one for newly SACKed data, over a Disorder that ended in Open",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Fastretrans, Hook::EnterRecovery, Hook::TcpProbe],
                how: "the same, the end of the Disorder seen at the next hook",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::CongState, Hook::TcpProbe],
                how: "duplicate and SACK-bearing ACKs between two changes of the congestion state",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("<= DupAcksIn + SACKsRcvd"),
        reference: Reference::fault("dubious ACKs count in every episode, also when it ends in Recovery", Relation::between(Linear::constant(0), Linear::of(&[(1, Var::SegsIn), (-1, Var::NonRecovDA)]))),
    }

    /// Latest round-trip sample fed to the RTO estimator.
    59 SampleRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathSampleRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Gauge,
        range: Some(Range::ROUND_TRIP),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::Related("tcpi_min_rtt <= min sample used by the CA (not the same filter); srtt recomputed from the samples must equal tcpi_rtt"),
        reference: Reference::FLOORED_TO_MS,
    }

    /// Round-trip time variation used in the RTO.
    60 RTTVar {
        table: Table::Path,
        rfc: "tcpEStatsPathRTTVar",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Gauge,
        range: Some(Range::ROUND_TRIP),
        unset: Some(0),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->rttvar_us >> 2"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Related("tcpi_rttvar is mdev_us >> 2, a different quantity: not equal; RTO = srtt + rttvar_us (usec) >= relation holds before clamping"),
        reference: Reference::FLOORED_TO_MS,
    }

    /// Largest RTT sample.
    61 MaxRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathMaxRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        range: Some(Range::ROUND_TRIP),
        unset: Some(0),
        apply: Apply::Derived(Rule::MaxOf(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::FLOORED_TO_MS,
    }

    /// Smallest RTT sample; NULL before the first, where RFC 4898 has 0xffffffff.
    62 MinRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathMinRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        range: Some(Range::ROUND_TRIP),
        unset: Some(0xffff_ffff),
        apply: Apply::Derived(Rule::MinOf(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::Related("tcpi_min_rtt is a windowed minimum of the CA sample with a delayed-ACK filter: MinRTT <= tcpi_min_rtt does not always hold; same order of magnitude only"),
        reference: Reference::FLOORED_TO_MS,
    }

    /// HCSumRTT modulo 2^32.
    63 SumRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathSumRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Low32(Var::HCSumRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Is(Relation::sum_of_floors(Var::HCSumRTT, Var::CountRTT).low(32)),
    }

    /// Sum of all RTT samples.
    64 HCSumRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathHCSumRTT",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::SumOf(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Is(Relation::sum_of_floors(Var::HCSumRTT, Var::CountRTT)),
    }

    /// Number of RTT samples.
    65 CountRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathCountRTT",
        ty: Type::U32,
        unit: "samples",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::CountOf(Var::SampleRTT)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Largest RTO value in force right after an RTT sample.
    66 MaxRTO {
        table: Table::Path,
        rfc: "tcpEStatsPathMaxRTO",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        range: Some(Range::TIMEOUT),
        unset: Some(0),
        apply: Apply::Derived(Rule::MaxAt(Var::SampleRTT, Var::CurRTO)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::FLOORED_TO_MS,
    }

    /// Smallest RTO value in force right after an RTT sample; NULL before the first, where RFC 4898
    /// has 0xffffffff.
    67 MinRTO {
        table: Table::Path,
        rfc: "tcpEStatsPathMinRTO",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Derived,
        range: Some(Range::TIMEOUT),
        unset: Some(0xffff_ffff),
        apply: Apply::Derived(Rule::MinAt(Var::SampleRTT, Var::CurRTO)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::FLOORED_TO_MS,
    }

    /// TTL (IPv4) or hop limit (IPv6) of the most recently received segment.
    68 IpTtl {
        table: Table::Path,
        rfc: "tcpEStatsPathIpTtl",
        ty: Type::U8,
        unit: "hops",
        kind: Kind::Gauge,
        packets: exact("IP header of the last segment received"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "IP header of each received segment",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            // An octet of the source address, with what stands for the TOS above it.
            when(&[IPV6], Reference::fault(fault::IPV4_LAYOUT, Relation::within(Linear::constant(0), Linear::constant(255)).together(&[(1, Var::IpTtl), (-256, Var::IpTosIn)]))),
            otherwise(Reference::fault("the TTL has the TOS in its upper byte", Relation::is(Linear::of(&[(1, Var::IpTtl), (256, Var::IpTosIn)])))),
        ]),
    }

    /// TOS / traffic-class octet of the most recently received segment.
    69 IpTosIn {
        table: Table::Path,
        rfc: "tcpEStatsPathIpTosIn",
        ty: Type::U8,
        unit: "",
        kind: Kind::Gauge,
        packets: exact("IP header of the last segment received"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "IP header of each received segment",
        }],
        tcp_info: TcpInfo::Related("inet_sock.rcv_tos holds the handshake's value only"),
        reference: Reference::Cases(&[
            // The lower half of the traffic class, and four bits of the flow label.
            when(&[IPV6], Reference::fault(fault::IPV4_LAYOUT, Relation::all(const { &[
                Relation::within(Linear::of(&[(16, Var::IpTosIn)]), Linear::new(15, &[(16, Var::IpTosIn)])).low(8),
                Relation::within(Linear::constant(0), Linear::constant(255)),
            ] }))),
            otherwise(Reference::SAME),
        ]),
    }

    /// TOS / traffic-class octet used for transmitted segments.
    70 IpTosOut {
        table: Table::Path,
        rfc: "tcpEStatsPathIpTosOut",
        ty: Type::U8,
        unit: "",
        kind: Kind::Gauge,
        packets: exact("IP header of the last segment sent"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress],
            how: "IP header of each sent segment",
        }],
        tcp_info: TcpInfo::Related("IP_TOS / IPV6_TCLASS getsockopt: equal in the DSCP bits"),
        reference: Reference::Cases(&[
            // The marks of ECN are set in both.
            when(&[IPV6], Reference::fault("the IPv4 TOS of the socket is shown for IPv6", Relation::between(Linear::constant(0), Linear::constant(0)).low(2))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Sum over all congestion signals of the congestion window just before the reduction.
    71 PreCongSumCwnd {
        table: Table::Path,
        rfc: "tcpEStatsPathPreCongSumCwnd",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::SumAt(Var::CongSignals, Var::CurCwnd)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss, Hook::EnterRecovery],
                how: "tcp_enter_loss, tcp_enter_recovery, and CWR when the next hook sees it",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(SAME_SIGNALS, Reference::SAME_LOW32),
            when(NO_MARKS_NO_STALLS, Reference::fault(fault::EVERY_ECE, Relation::sum_over_signals(Signal::Window).low(32))),
            otherwise(Reference::fault(fault::EVERY_ECE, Relation::sum_of_terms(Var::CongSignals, 1, Linear::constant(0), Linear::of(&[(1, Var::MaxSsCwnd), (1, Var::MaxCaCwnd)])).low(32))),
        ]),
    }

    /// Sum over all congestion signals of the last RTT sample before the signal.
    72 PreCongSumRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathPreCongSumRTT",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::SumAt(Var::CongSignals, Var::SampleRTT)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::CongState],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::EnterLoss, Hook::EnterRecovery],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(SAME_SIGNALS, Reference::Is(Relation::sum_of_floors(Var::PreCongSumRTT, Var::CongSignals).low(32))),
            when(NO_MARKS_NO_STALLS, Reference::fault(fault::EVERY_ECE, Relation::sum_over_signals(Signal::RoundTrip).low(32))),
            // Nothing is added before the first sample.
            otherwise(Reference::fault(fault::EVERY_ECE, Relation::sum_of_terms(Var::CongSignals, 1_000, Linear::constant(0), Linear::of(&[(1, Var::MaxRTT)])).low(32))),
        ]),
    }

    /// Sum of the first RTT sample that follows each congestion signal.
    73 PostCongSumRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathPostCongSumRTT",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::FirstAfterSum(Var::CongSignals, Var::SampleRTT)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::CongState],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::EnterLoss, Hook::EnterRecovery],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::AT_OPEN, Relation::sum_of_terms(Var::PostCongCountRTT, 1_000, Linear::constant(0), Linear::of(&[(1, Var::MaxRTT)])).low(32)),
    }

    /// Number of samples in PostCongSumRTT.
    74 PostCongCountRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathPostCongCountRTT",
        ty: Type::U32,
        unit: "samples",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::FirstAfterCount(Var::CongSignals, Var::SampleRTT)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::CongState],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::EnterLoss, Hook::EnterRecovery],
                how: "the RTT estimator inverted between received segments; a sample that changes neither srtt nor mdev is not seen",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("<= CongSignals"),
        // A return to Open follows a signal, or a smaller path MTU, which has segments sent again.
        reference: Reference::fault(fault::AT_OPEN, Relation::within(Linear::constant(0), Linear::of(&[(1, Var::CongSignals), (1, Var::SegsRetrans)]))),
    }

    /// Received ACK segments with ECE set (SYN not set) that reached ACK processing on an ECN-
    /// negotiated connection. With accurate ECN (RFC 9768) those that reported marks which none before
    /// had reported.
    75 ECNsignals {
        table: Table::Path,
        rfc: "tcpEStatsPathECNsignals",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("ECE on acknowledgments received, where ECN was negotiated"),
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment; with accurate ECN the growth of delivered_ce between received segments (bracketing)",
        }],
        tcp_info: TcpInfo::Related("tcpi_delivered_ce > 0 iff ECNsignals > 0 with data outstanding (with accurate ECN: in any case); delivered_ce counts packets acknowledged by ECE ACKs (1661 vs 221 ECE ACKs in a test): >="),
        reference: Reference::bounded(Relation::NOT_MORE, "ECE ACKs in Recovery or Loss, or with nothing outstanding, count here only"),
    }

    /// Times an out-of-order segment arrived while the reassembly queue was empty (start of a
    /// series of duplicate ACKs sent).
    76 DupAckEpisodes {
        table: Table::Path,
        rfc: "tcpEStatsPathDupAckEpisodes",
        ty: Type::U32,
        unit: "episodes",
        kind: Kind::Counter,
        packets: exact("a segment that arrived beyond a gap where there was none before"),
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "change of the socket between received segments (bracketing)",
        }],
        tcp_info: TcpInfo::Related("<= DupAcksOut"),
        reference: Reference::SAME,
    }

    /// Receiver-side estimate of the path RTT.
    77 RcvRTT {
        table: Table::Path,
        rfc: "tcpEStatsPathRcvRTT",
        ty: Type::U32,
        unit: "us",
        kind: Kind::Gauge,
        range: Some(Range::ROUND_TRIP),
        unset: Some(0),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->rcv_rtt_est.rtt_us >> 3"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_rcv_rtt),
        reference: Reference::fault("microseconds are converted as if they were jiffies", Relation::MICROSECONDS_AS_JIFFIES),
    }

    /// Out-of-order data skbs accepted into reassembly, each of which calls for an immediate
    /// duplicate ACK.
    78 DupAcksOut {
        table: Table::Path,
        rfc: "tcpEStatsPathDupAcksOut",
        ty: Type::U32,
        unit: "ACKs",
        kind: Kind::Counter,
        packets: approximate("segments that arrived beyond a gap, inside the window we had advertised: a busy host merges some before they are queued (TCPBacklogCoalesce), or has no memory for them"),
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "change of the socket between received segments (bracketing)",
        }],
        tcp_info: TcpInfo::Related("netns MIB TCPOFOQueue: equal (checked on 6.18); <= tcpi_rcv_ooopack (segments; equal without GRO)"),
        reference: Reference::SAME,
    }

    /// Accepted data skbs that arrived with the CE codepoint on an ECN connection.
    79 CERcvd {
        table: Table::Path,
        rfc: "tcpEStatsPathCERcvd",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: approximate("segments received with CE and new data, where ECN was negotiated: a busy host merges some before they are counted (TCPBacklogCoalesce)"),
        apply: Apply::Stream(&[Op::Inc, Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EcnCheck],
                how: "the kernel's check of the ECN field of accepted data",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::ParseHdr],
                how: "CE-marked new data before processing: segments dropped afterwards are counted too",
            },
        ],
        tcp_info: TcpInfo::Related("6.18: <= tcpi_received_ce (all CE segments incl. pure ACKs, GRO pieces)"),
        reference: Reference::SAME,
    }

    /// Times the receiver began echoing congestion: TCP_ECN_DEMAND_CWR went from clear to set
    /// because of a CE mark. NULL with accurate ECN (RFC 9768), whose receiver counts marks and has no
    /// such echo.
    80 ECESent {
        table: Table::Path,
        rfc: "tcpEStatsPathECESent",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Counter,
        packets: approximate("new data with CE that came after CWR, or first; as RFC 3168 has it, which data-center TCP and accurate ECN have not"),
        apply: Apply::Stream(&[Op::Inc, Op::Add, Op::Void]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EcnCheck],
                how: "the kernel's check of the ECN field of accepted data, when it is about to set the flag",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::ParseHdr],
                how: "change of the socket between received segments, and CE-marked new data with CWR, which clears the flag and sets it again: such a segment that is dropped afterwards counts too",
            },
        ],
        tcp_info: TcpInfo::Related("ECESent <= CERcvd"),
        reference: Reference::fault("marks that arrive while ECE is already being sent are counted", Relation::is(Linear::of(&[(1, Var::CERcvd), (-1, Var::ECESent)]))),
    }

    /// 1 (true) if the local end went through SYN-SENT, else 2 (false).
    81 ActiveOpen {
        table: Table::Stack,
        rfc: "tcpEStatsStackActiveOpen",
        ty: Type::Truth,
        unit: "",
        kind: Kind::Identity,
        packets: exact("whose SYN came first"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// MSS value put into the MSS option of our SYN or SYN-ACK.
    82 MSSSent {
        table: Table::Stack,
        rfc: "tcpEStatsStackMSSSent",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Identity,
        range: Some(Range::new(0, u16::MAX as i64)),
        packets: exact("options of the SYN and SYN-ACK sent; NULL if these have none"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress, Hook::SetState],
            how: "active: the option in our SYN; passive: the socket after ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("tcpi_advmss + (timestamps negotiated ? 12 : 0): equal (65483 vs 65495 on loopback checked)"),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::TimeStamps, 1)], Reference::fault("the MSS sent is shown less the timestamp option", Relation::is(Linear::new(-12, &[(1, Var::MSSSent)])))),
            otherwise(Reference::SAME),
        ]),
    }

    /// MSS value received in the peer's SYN or SYN-ACK option, 0 if absent.
    83 MSSRcvd {
        table: Table::Stack,
        rfc: "tcpEStatsStackMSSRcvd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Identity,
        range: Some(Range::new(0, u16::MAX as i64)),
        packets: exact("options of the SYN and SYN-ACK received"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Handshake, Hook::ConnRequest, Hook::SetState],
                how: "the option in the SYN-ACK, or in the SYN where tcp_conn_request sees it",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::Handshake, Hook::SetState],
                how: "active: the option in the SYN-ACK, exact; passive: rx_opt.mss_clamp, the smaller of the option and TCP_MAXSEG, and 536 where the peer sent none",
            },
        ],
        tcp_info: TcpInfo::Related("rx_opt.mss_clamp == min(received, user_mss), or 536 when none was received"),
        reference: Reference::Cases(&[
            when(&[ACTIVE], Reference::fault("the MSS received is not kept by the active end", Relation::always(0))),
            otherwise(Reference::bounded(Relation::NOT_MORE, "clamped there to TCP_MAXSEG of the socket")),
        ]),
    }

    /// Window-scale shift we sent in the SYN/SYN-ACK, -1 if we sent none.
    84 WinScaleSent {
        table: Table::Stack,
        rfc: "tcpEStatsStackWinScaleSent",
        ty: Type::I32,
        unit: "bits",
        kind: Kind::Identity,
        range: Some(Range::SHIFT),
        packets: exact("options of the SYN and SYN-ACK sent"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::Egress, Hook::SetState],
            how: "active: the option in our SYN; passive: the socket after ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("tcpi_rcv_wscale when TCPI_OPT_WSCALE is set: equal"),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::WinScaleRcvd, -1)], Reference::fault("an offer of window scaling that is not answered is not shown", Relation::always(-1))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Window-scale shift received from the peer, -1 if none.
    85 WinScaleRcvd {
        table: Table::Stack,
        rfc: "tcpEStatsStackWinScaleRcvd",
        ty: Type::I32,
        unit: "bits",
        kind: Kind::Identity,
        range: Some(Range::SHIFT),
        packets: exact("options of the SYN and SYN-ACK received"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Once("estats_wscale_rcvd(tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the negotiated options at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("tcpi_snd_wscale when TCPI_OPT_WSCALE is set: equal"),
        reference: Reference::SAME,
    }

    /// Timestamps negotiation: 1 enabled, 2 disabled by this host, 3 not offered/accepted by
    /// the peer.
    86 TimeStamps {
        table: Table::Stack,
        rfc: "tcpEStatsStackTimeStamps",
        ty: Type::Enum(NEGOTIATED),
        unit: "",
        kind: Kind::Identity,
        packets: exact("options of both SYNs; NULL where they do not show the setting of the host: at the end that accepts if the peer offered none, and beside signatures"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Once("estats_timestamps(sk, tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the negotiated options at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("TCPI_OPT_TIMESTAMPS set iff 1"),
        reference: Reference::SAME,
    }

    /// ECN negotiation: 1 enabled, 2 disabled by this host, 3 not offered/accepted by the peer.
    87 ECN {
        table: Table::Stack,
        rfc: "tcpEStatsStackECN",
        ty: Type::Enum(NEGOTIATED),
        unit: "",
        kind: Kind::Identity,
        packets: exact("ECE and CWR of both SYNs; NULL where they do not show the setting of the host: at the end that accepts if the peer did not ask, or if our answer may be a SYN cookie; and for accurate ECN"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Once("estats_ecn(sk, tp, c)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the negotiated options at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("TCPI_OPT_ECN set iff 1"),
        reference: Reference::Cases(&[
            when(&[ACTIVE, When::Value(Var::ECN, 2)], Reference::fault("net.ipv4.tcp_ecn 2 is taken for an offer of ECN by the active end", Relation::always(3))),
            otherwise(Reference::SAME),
        ]),
    }

    /// SACK sending: 1 enabled, 2 disabled by this host, 3 not offered/accepted by the peer.
    88 WillSendSACK {
        table: Table::Stack,
        rfc: "tcpEStatsStackWillSendSACK",
        ty: Type::Enum(NEGOTIATED),
        unit: "",
        kind: Kind::Identity,
        packets: exact("options of both SYNs; NULL where they do not show the setting of the host: at the end that accepts if the peer offered none, or if our answer may be a SYN cookie"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Once("estats_sack(sk, tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the negotiated options at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("TCPI_OPT_SACK set iff 1"),
        reference: Reference::SAME,
    }

    /// Whether received SACKs are processed: 1 enabled, 2 disabled by this host, 3 not
    /// offered/accepted by the peer.
    89 WillUseSACK {
        table: Table::Stack,
        rfc: "tcpEStatsStackWillUseSACK",
        ty: Type::Enum(NEGOTIATED),
        unit: "",
        kind: Kind::Identity,
        packets: exact("options of both SYNs; NULL where they do not show the setting of the host: at the end that accepts if the peer offered none, or if our answer may be a SYN cookie"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Once("estats_sack(sk, tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the negotiated options at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("TCPI_OPT_SACK set iff 1"),
        reference: Reference::SAME,
    }

    /// Connection state, RFC numbering: 1 closed, 2 listen, 3 synSent, 4 synReceived, 5
    /// established, 6 finWait1, 7 finWait2, 8 closeWait, 9 lastAck, 10 closing, 11 timeWait, 12
    /// deleteTcb.
    90 State {
        table: Table::Stack,
        rfc: "tcpEStatsStackState",
        ty: Type::Enum(STATE),
        unit: "",
        kind: Kind::Gauge,
        packets: approximate("the state machine run over the segments: what the application asked for shows only when it is sent"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the new state of each change",
        }],
        tcp_info: TcpInfo::Related("tcpi_state mapped: equal"),
        reference: Reference::SAME,
    }

    /// 1 if Nagle's algorithm is active, 2 if TCP_NODELAY disables it.
    91 Nagle {
        table: Table::Stack,
        rfc: "tcpEStatsStackNagle",
        ty: Type::Truth,
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_nagle(tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::SetState],
                how: "tcp_sock.nonagle at the end of each transmit loop",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState],
                how: "tcp_sock.nonagle at the hooks, when changed",
            },
        ],
        tcp_info: TcpInfo::Related("TCP_NODELAY getsockopt: inverse"),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::Nagle, 1)], Reference::fault("TCP_CORK is shown as Nagle switched off", Relation::between(Linear::constant(0), Linear::constant(1)))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Largest congestion window seen while in slow start (snd_cwnd <= snd_ssthresh).
    92 MaxSsCwnd {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxSsCwnd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::new(1, u32::MAX as i64)),
        unset: Some(0),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: LARGEST_WINDOW,
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(WINDOW_MOVES_BY_ACKS, Reference::SAME),
            otherwise(Reference::bounded(Relation::NOT_MORE, AFTER_RECEIVING)),
        ]),
    }

    /// Largest congestion window seen in congestion avoidance (snd_cwnd > snd_ssthresh).
    93 MaxCaCwnd {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxCaCwnd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::new(1, u32::MAX as i64)),
        unset: Some(0),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: LARGEST_WINDOW,
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(WINDOW_MOVES_BY_ACKS, Reference::SAME),
            otherwise(Reference::bounded(Relation::NOT_MORE, AFTER_RECEIVING)),
        ]),
    }

    /// Largest finite slow-start threshold.
    94 MaxSsthresh {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxSsthresh",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        unset: Some(0),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "snd_cwnd and snd_ssthresh between received segments and at ->CLOSE",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(WINDOW_MOVES_BY_ACKS, Reference::SAME),
            otherwise(Reference::bounded(Relation::NOT_MORE, AFTER_RECEIVING)),
        ]),
    }

    /// Smallest slow-start threshold after the initial infinite one; NULL if never finite, where
    /// RFC 4898 has 0xffffffff.
    95 MinSsthresh {
        table: Table::Stack,
        rfc: "tcpEStatsStackMinSsthresh",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Min,
        unset: Some(0xffff_ffff),
        apply: Apply::Stream(&[Op::Min]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "snd_cwnd and snd_ssthresh between received segments and at ->CLOSE",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(WINDOW_MOVES_BY_ACKS, Reference::SAME),
            otherwise(Reference::bounded(Relation::NOT_LESS, AFTER_RECEIVING)),
        ]),
    }

    /// Loss-recovery state: 1 data contiguous, 2 data unordered (duplicate ACKs/SACKs, nothing
    /// repaired yet), 3 recovery (unacknowledged retransmissions).
    96 InRecovery {
        table: Table::Stack,
        rfc: "tcpEStatsStackInRecovery",
        ty: Type::Enum(IN_RECOVERY),
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("estats_recovery_code(estats_ca_state(tp))"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of inet_connection_sock.icsk_ca_state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss, Hook::EnterRecovery],
                how: "tcp_enter_loss and tcp_enter_recovery, other changes at the next hook",
            },
        ],
        tcp_info: TcpInfo::Related("tcpi_ca_state {0,2}->1, 1->2, {3,4}->3: equal"),
        reference: Reference::Cases(&[
            when(&[When::Value(Var::InRecovery, 3)], Reference::fault("InRecovery is a TruthValue in place of the codes of the RFC", Relation::always(1))),
            otherwise(Reference::fault("InRecovery is a TruthValue in place of the codes of the RFC", Relation::always(2))),
        ]),
    }

    /// Received segments without payload whose acknowledgment number equals SND.UNA at arrival.
    97 DupAcksIn {
        table: Table::Stack,
        rfc: "tcpEStatsStackDupAcksIn",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: exact("segments received without payload that acknowledge what was acknowledged before"),
        apply: Apply::Stream(&[Op::Inc, Op::Add]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment when it is processed; of ACKs that waited on the backlog and were merged there (gso_segs says how many), all if the last is a duplicate, else the first",
        }],
        tcp_info: TcpInfo::Related(">= num_dupack of the kernel; netns MIB TCPPureAcks >= DupAcksIn"),
        reference: Reference::bounded(Relation::NOT_MORE, "the reference looks on arrival, when the ACKs that wait on the backlog have not moved SND.UNA yet"),
    }

    /// Fast-recovery episodes found to be unnecessary and undone when the recovery point was
    /// acknowledged.
    98 SpuriousFrDetected {
        table: Table::Stack,
        rfc: "tcpEStatsStackSpuriousFrDetected",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Undo],
                how: "tcp_undo_cwnd_reduction inside tcp_try_undo_recovery, outside Loss",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::CongState],
                how: "Recovery that ends in Open with undo_marker cleared: partial and D-SACK undos look the same",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIB TCPFullUndo: equal"),
        reference: Reference::SAME,
    }

    /// Retransmission timeouts found to be spurious and undone.
    99 SpuriousRtoDetected {
        table: Table::Stack,
        rfc: "tcpEStatsStackSpuriousRtoDetected",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Undo],
                how: "tcp_undo_cwnd_reduction in Loss, by tcp_try_undo_recovery or F-RTO",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::CongState],
                how: "Loss that ends in Open with undo_marker cleared: undos by timestamp or D-SACK look the same",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIBs: TCPSpuriousRTOs (F-RTO part) ; TCPLossUndo = all Loss undos >= ours"),
        reference: Reference::SAME,
    }

    /// Received segments that failed a consistency check listed under SoftErrorReason.
    100 SoftErrors {
        table: Table::Stack,
        rfc: "tcpEStatsStackSoftErrors",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc, Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::BadChecksum],
                how: "the checks of tcp_validate_incoming and tcp_ack, made on each segment before the kernel makes them; checksum errors (reason 7) from the event tcp_bad_csum, by the addresses and ports of the packet",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::ParseHdr],
                how: "the checks of tcp_validate_incoming and tcp_ack, made on each segment before the kernel makes them; checksum errors (reason 7) are not seen",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIBs: PAWSEstab (+ PAWSOldAck on newer kernels) = reason 5; BeyondWindow (6.18 has it) = non-RST part of reason 2; TCP InCsumErrors >= reason 7"),
        reference: Reference::SAME,
    }

    /// Check failed most recently: 1 below data window, 2 above data window, 3 below ACK
    /// window, 4 above ACK window, 5 below timestamp window, 6 above timestamp window, 7
    /// checksum, 8 other; 0 none.
    101 SoftErrorReason {
        table: Table::Stack,
        rfc: "tcpEStatsStackSoftErrorReason",
        ty: Type::Enum(SOFT_ERROR),
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::BadChecksum],
                how: "the checks of tcp_validate_incoming and tcp_ack, made on each segment before the kernel makes them; checksum errors (reason 7) from the event tcp_bad_csum, by the addresses and ports of the packet",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::ParseHdr],
                how: "the checks of tcp_validate_incoming and tcp_ack, made on each segment before the kernel makes them; checksum errors (reason 7) are not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Calls of the slow-start window increase for this connection (one per ACK processed in
    /// slow start while cwnd-limited).
    102 SlowStart {
        table: Table::Stack,
        rfc: "tcpEStatsStackSlowStart",
        ty: Type::U32,
        unit: "ACKs",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SlowStart],
                how: "calls of tcp_slow_start; where the compiler put it into tcp_reno_cong_avoid, the calls of that whose tests lead to it",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "received segments between which snd_cwnd grew below ssthresh, outside CWR and Recovery",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Calls of the additive window increase for this connection (the window itself grows only
    /// when enough ACKs accumulated).
    103 CongAvoid {
        table: Table::Stack,
        rfc: "tcpEStatsStackCongAvoid",
        ty: Type::U32,
        unit: "ACKs",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongAvoid],
                how: "calls of tcp_cong_avoid_ai",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "received segments between which snd_cwnd or snd_cwnd_cnt changed upward at or above ssthresh, outside CWR and Recovery",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Decreases of snd_cwnd not caused by a congestion signal: congestion-window validation,
    /// restart after idle, MTU probing, cong_control algorithms.
    104 OtherReductions {
        table: Table::Stack,
        rfc: "tcpEStatsStackOtherReductions",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::CwndRestart],
                how: "snd_cwnd fell between two hooks in Open or Disorder without a congestion signal",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "snd_cwnd fell between two segments in Open or Disorder without a congestion signal: two falls count once",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Congestion responses backed out by restoring ssthresh (undo).
    105 CongOverCount {
        table: Table::Stack,
        rfc: "tcpEStatsStackCongOverCount",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc, Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Undo],
                how: "tcp_undo_cwnd_reduction where it restores ssthresh",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "ssthresh rose while undo_marker was cleared between two hooks",
            },
        ],
        tcp_info: TcpInfo::Related("<= TCPFullUndo + TCPPartialUndo + TCPDSACKUndo + TCPLossUndo (netns MIBs)"),
        reference: Reference::SAME,
    }

    /// Entries into fast Recovery.
    106 FastRetran {
        table: Table::Stack,
        rfc: "tcpEStatsStackFastRetran",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterRecovery],
                how: "tcp_enter_recovery",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIBs TCPSackRecovery + TCPRenoRecovery: equal (checked on 6.18)"),
        reference: Reference::fault("recoveries that the RACK timer starts are not counted", Relation::NOT_MORE),
    }

    /// Retransmission timer expirations while the timer was already backed off.
    107 SubsequentTimeouts {
        table: Table::Stack,
        rfc: "tcpEStatsStackSubsequentTimeouts",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss],
                how: "tcp_enter_loss",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("see Timeouts"),
        reference: Reference::fault(fault::AFTER_BACKOFF, Relation::SAME.together(TIMEOUTS)),
    }

    /// Consecutive retransmission timeouts without new data acknowledged.
    108 CurTimeoutCount {
        table: Table::Stack,
        rfc: "tcpEStatsStackCurTimeoutCount",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Gauge,
        range: Some(Range::new(0, 0xff)),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Fast("icsk->icsk_retransmits"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "inet_connection_sock.icsk_retransmits at every hook",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_retransmits),
        reference: Reference::SAME,
    }

    /// Retransmission timeouts that hit while no loss or congestion indication was pending
    /// (ca_state Open).
    109 AbruptTimeouts {
        table: Table::Stack,
        rfc: "tcpEStatsStackAbruptTimeouts",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::CongState],
                how: "each change of the congestion state",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterLoss],
                how: "tcp_enter_loss",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe, Hook::Egress],
                how: "icsk_ca_state at the hooks: an episode that begins and ends between two is not seen",
            },
        ],
        tcp_info: TcpInfo::Related("<= Timeouts + SubsequentTimeouts"),
        reference: Reference::fault(fault::AFTER_BACKOFF, Relation::always(0)),
    }

    /// SACK options processed.
    110 SACKsRcvd {
        table: Table::Stack,
        rfc: "tcpEStatsStackSACKsRcvd",
        ty: Type::U32,
        unit: "options",
        kind: Kind::Counter,
        packets: exact("SACK options of the segments received that pass validation"),
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment whose SACK blocks the kernel looks at: not of those that are dropped before",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// SACK blocks in those options (at most 4 each).
    111 SACKBlocksRcvd {
        table: Table::Stack,
        rfc: "tcpEStatsStackSACKBlocksRcvd",
        ty: Type::U32,
        unit: "blocks",
        kind: Kind::Counter,
        packets: exact("SACK options of the segments received that pass validation"),
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::ParseHdr],
            how: "header of each received segment whose SACK blocks the kernel looks at: not of those that are dropped before",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transmissions refused or congested by the local queueing layer and treated as
    /// congestion.
    112 SendStall {
        table: Table::Stack,
        rfc: "tcpEStatsStackSendStall",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Inc]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::EnterCwr, Hook::Egress],
                how: "tcp_enter_cwr right after a transmission",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::CongState, Hook::Egress],
                how: "CWR entered right after a transmission: further stalls while in CWR are not seen",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Duplicate segments reported by the peer in D-SACK blocks.
    113 DSACKDups {
        table: Table::Stack,
        rfc: "tcpEStatsStackDSACKDups",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        packets: approximate("D-SACK blocks received, as segments of CurMSS"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->dsack_dups"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.dsack_dups, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_dsack_dups),
        reference: Reference::SAME,
    }

    /// Largest effective send MSS since ESTABLISHED.
    114 MaxMSS {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxMSS",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        range: Some(Range::SEGMENT),
        unset: Some(0),
        packets: approximate("the smaller MSS option less the timestamp option; path MTU discovery and TCP_MAXSEG are not seen"),
        apply: Apply::Derived(Rule::MaxSinceEstablished(Var::CurMSS)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SyncMss, Hook::SetState],
                how: "from CurMSS",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState],
                how: "from CurMSS",
            },
        ],
        tcp_info: TcpInfo::Related(">= tcpi_snd_mss"),
        reference: Reference::fault(fault::EARLY_MSS, Relation::NOT_LESS),
    }

    /// Smallest effective send MSS since ESTABLISHED; NULL before, where RFC 4898 has 0xffffffff.
    115 MinMSS {
        table: Table::Stack,
        rfc: "tcpEStatsStackMinMSS",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        range: Some(Range::SEGMENT),
        unset: Some(0xffff_ffff),
        packets: approximate("the smaller MSS option less the timestamp option; path MTU discovery and TCP_MAXSEG are not seen"),
        apply: Apply::Derived(Rule::MinSinceEstablished(Var::CurMSS)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SyncMss, Hook::SetState],
                how: "from CurMSS",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState],
                how: "from CurMSS",
            },
        ],
        tcp_info: TcpInfo::Related("<= tcpi_snd_mss"),
        reference: Reference::fault(fault::EARLY_MSS, Relation::NOT_MORE),
    }

    /// Sequence number of the first data octet we may send (ISS + 1).
    116 SndInitial {
        table: Table::Stack,
        rfc: "tcpEStatsStackSndInitial",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Identity,
        packets: exact("sequence numbers of the SYNs"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "snd_una and rcv_nxt at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("snd_una - SndInitial == bytes_acked (passive) or bytes_acked - 1 (active), mod 2^32"),
        reference: Reference::SAME,
    }

    /// Sequence number of the first data octet expected from the peer (IRS + 1).
    117 RecInitial {
        table: Table::Stack,
        rfc: "tcpEStatsStackRecInitial",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Identity,
        packets: exact("sequence numbers of the SYNs"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "snd_una and rcv_nxt at ESTABLISHED",
        }],
        tcp_info: TcpInfo::Related("rcv_nxt - RecInitial == bytes_received mod 2^32 (checked)"),
        reference: Reference::SAME,
    }

    /// Octets held in the retransmission queue: SND.NXT - SND.UNA.
    118 CurRetxQueue {
        table: Table::Stack,
        rfc: "tcpEStatsStackCurRetxQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::SPAN),
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_retx_queue(tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::SetState],
                how: "before each received segment, when all that was sent since the one before has been counted",
            },
        ],
        tcp_info: TcpInfo::Related("close to tcpi_unacked * tcpi_snd_mss (>=)"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Largest CurRetxQueue.
    119 MaxRetxQueue {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxRetxQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::SPAN),
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::SetState],
                how: "maximum before each received segment: only an acknowledgment makes it shorter",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Sequence space spanned by the reassembly queue: right edge of the last out-of-order
    /// segment minus RCV.NXT, 0 when empty.
    120 CurReasmQueue {
        table: Table::Stack,
        rfc: "tcpEStatsStackCurReasmQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::SPAN),
        packets: exact("sequence numbers received, inside the window we had advertised"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_reasm_queue(tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "the out-of-order queue between received segments",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::REASSEMBLY, Relation::between(Linear::of(&[(-2, Var::CurReasmQueue)]), Linear::of(&[(-1, Var::CurReasmQueue)])).low(32)),
    }

    /// Largest CurReasmQueue.
    121 MaxReasmQueue {
        table: Table::Stack,
        rfc: "tcpEStatsStackMaxReasmQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::SPAN),
        packets: exact("sequence numbers received, inside the window we had advertised"),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe],
            how: "maximum between received segments (bracketing)",
        }],
        tcp_info: TcpInfo::None,
        // A span is subtracted from 2^32; where none was looked at, it is 0.
        reference: Reference::fault(fault::REASSEMBLY, Relation::between(Linear::of(&[(-2, Var::MaxReasmQueue)]), Linear::of(&[(-1, Var::MaxReasmQueue)])).low(32)),
    }

    /// RFC 5827 early retransmits; the mechanism was removed from Linux in 4.12, so 0.
    122 EarlyRetrans {
        table: Table::Stack,
        rfc: "",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Constant(0)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "removed from Linux in 4.12: always 0",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Early retransmits fired by the delay timer; obsolete, 0.
    123 EarlyRetransDelay {
        table: Table::Stack,
        rfc: "",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Constant(0)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "removed from Linux in 4.12: always 0",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Packets (skbs) marked lost because the RACK reordering window expired.
    124 RackTimeout {
        table: Table::Stack,
        rfc: "",
        ty: Type::U32,
        unit: "packets",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::MarkLost, Hook::RackDetect],
                how: "tcp_mark_skb_lost inside tcp_rack_detect_loss",
            },
            Coverage {
                quality: Quality::Missing,
                needs: &[],
                how: "no tracepoint shows tcp_mark_skb_lost",
            },
        ],
        tcp_info: TcpInfo::Related("<= increase of tcp_sock.lost (segments)"),
        reference: Reference::SAME,
    }

    /// SND.UNA, oldest unacknowledged sequence number.
    125 SndUna {
        table: Table::App,
        rfc: "tcpEStatsAppSndUna",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Gauge,
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->snd_una"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.snd_una, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Related("snd_una is not in tcp_info; SndUna - SndInitial == bytes_acked (see SndInitial)"),
        reference: Reference::SAME,
    }

    /// SND.NXT, next new sequence number to send.
    126 SndNxt {
        table: Table::App,
        rfc: "tcpEStatsAppSndNxt",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Gauge,
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->snd_nxt"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::ParseHdr, Hook::SetState],
                how: "before each received segment, when all that was sent since the one before has been counted",
            },
        ],
        tcp_info: TcpInfo::Related("none (inet_diag has none); SndNxt - SndUna == CurRetxQueue"),
        reference: Reference::SAME,
    }

    /// Farthest SND.NXT reached.
    127 SndMax {
        table: Table::App,
        rfc: "tcpEStatsAppSndMax",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Derived,
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Derived(Rule::SerialMax(Var::SndNxt)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState],
                how: "from SndNxt, which only grows: what the last reading shows is the largest",
            },
        ],
        tcp_info: TcpInfo::Related("== SndNxt on modern kernels except repair mode / TFO fallback"),
        reference: Reference::SAME,
    }

    /// HCThruOctetsAcked modulo 2^32.
    128 ThruOctetsAcked {
        table: Table::App,
        rfc: "tcpEStatsAppThruOctetsAcked",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Derived(Rule::Low32(Var::HCThruOctetsAcked)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "low 32 bits of HCThruOctetsAcked",
        }],
        tcp_info: TcpInfo::EqualLow32(SocketField::tcpi_bytes_acked),
        reference: Reference::SAME,
    }

    /// Total advance of SND.UNA.
    129 HCThruOctetsAcked {
        table: Table::App,
        rfc: "tcpEStatsAppHCThruOctetsAcked",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Counter,
        packets: exact("sequence numbers sent and acknowledged"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->bytes_acked"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.bytes_acked, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_bytes_acked),
        reference: Reference::SAME,
    }

    /// RCV.NXT, next sequence number expected.
    130 RcvNxt {
        table: Table::App,
        rfc: "tcpEStatsAppRcvNxt",
        ty: Type::U32,
        unit: "sequence",
        kind: Kind::Gauge,
        packets: exact("sequence numbers received, inside the window we had advertised"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->rcv_nxt"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.rcv_nxt, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Related("RcvNxt - RecInitial == tcpi_bytes_received mod 2^32"),
        reference: Reference::SAME,
    }

    /// HCThruOctetsReceived modulo 2^32.
    131 ThruOctetsReceived {
        table: Table::App,
        rfc: "tcpEStatsAppThruOctetsReceived",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Derived,
        packets: exact("sequence numbers received, inside the window we had advertised"),
        apply: Apply::Derived(Rule::Low32(Var::HCThruOctetsReceived)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "low 32 bits of HCThruOctetsReceived",
        }],
        tcp_info: TcpInfo::EqualLow32(SocketField::tcpi_bytes_received),
        reference: Reference::SAME,
    }

    /// Total advance of RCV.NXT since establishment.
    132 HCThruOctetsReceived {
        table: Table::App,
        rfc: "tcpEStatsAppHCThruOctetsReceived",
        ty: Type::U64,
        unit: "octets",
        kind: Kind::Counter,
        packets: exact("sequence numbers received, inside the window we had advertised"),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->bytes_received"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "tcp_sock.bytes_received, exact at every read, the last one at ->CLOSE",
        }],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_bytes_received),
        reference: Reference::SAME,
    }

    /// Octets written by the application but not yet sent for the first time.
    133 CurAppWQueue {
        table: Table::App,
        rfc: "tcpEStatsAppCurAppWQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::SPAN),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_app_wqueue(tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::Sendmsg, Hook::SetState],
                how: "after each write and each transmit loop",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::SetState, Hook::Egress],
                how: "read at received and sent segments and at ->CLOSE",
            },
        ],
        tcp_info: TcpInfo::Equal(SocketField::tcpi_notsent_bytes),
        reference: Reference::SAME,
    }

    /// Largest CurAppWQueue.
    134 MaxAppWQueue {
        table: Table::App,
        rfc: "tcpEStatsAppMaxAppWQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::SPAN),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::Egress, Hook::TcpProbe, Hook::SetState],
                how: "maximum before each segment sent, which still counts it: only sending makes it shorter",
            },
        ],
        tcp_info: TcpInfo::Related(">= tcpi_notsent_bytes at any time"),
        reference: Reference::bounded(Relation::NOT_MORE, "the reference looks only where the writer blocks"),
    }

    /// Octets received in order but not yet read by the application.
    135 CurAppRQueue {
        table: Table::App,
        rfc: "tcpEStatsAppCurAppRQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::SPAN),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_app_rqueue(tp)"),
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::RcvSpace],
                how: "after each received segment and each read of the application",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::TcpProbe],
                how: "rcv_nxt - copied_seq at received and sent segments",
            },
        ],
        tcp_info: TcpInfo::Related("SIOCINQ: equal (minus 1 after FIN); idiag_rqueue of ss: equal"),
        reference: Reference::Cases(&[
            when(&[CLOSED], Reference::bounded(Relation::between(Linear::of(&[(-1, Var::CurAppRQueue)]), Linear::constant(0)), "the application may read the rest, and the FIN, after CLOSE, and the reference looks later")),
            otherwise(Reference::SAME),
        ]),
    }

    /// Largest CurAppRQueue.
    136 MaxAppRQueue {
        table: Table::App,
        rfc: "tcpEStatsAppMaxAppRQueue",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Max,
        range: Some(Range::SPAN),
        apply: Apply::Stream(&[Op::Max]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::TcpProbe, Hook::RcvSpace],
                how: "maximum before each read of the application and before each received segment",
            },
            Coverage {
                quality: Quality::Sampled,
                needs: &[Hook::TcpProbe],
                how: "maximum before each received segment; what the application reads between two segments is not seen",
            },
        ],
        tcp_info: TcpInfo::Related(">= SIOCINQ"),
        reference: Reference::SAME,
    }

    /// Upper limit on the congestion window, 0xffffffff when unlimited. Read-only here.
    137 LimCwnd {
        table: Table::Tune,
        rfc: "tcpEStatsTuneLimCwnd",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("estats_lim_cwnd(tp)"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(&[When::Value(Var::LimCwnd, 0xffff_ffff)], Reference::fault(fault::INFINITE_TIMES_MSS, Relation::is(Linear::of(&[(-1, Var::CurMSS)])).low(32))),
            otherwise(Reference::SAME),
        ]),
    }

    /// Limited-slow-start threshold; no such control exists in current Linux: 0xffffffff.
    138 LimSsthresh {
        table: Table::Tune,
        rfc: "tcpEStatsTuneLimSsthresh",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        apply: Apply::Derived(Rule::Constant(0xffff_ffff)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "no such control in today's kernels: always 0xffffffff",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Upper limit on the window this host may advertise. Read-only here.
    139 LimRwin {
        table: Table::Tune,
        rfc: "tcpEStatsTuneLimRwin",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->window_clamp"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Related("TCP_WINDOW_CLAMP getsockopt: equal"),
        reference: Reference::SAME,
    }

    /// Upper limit on the send MSS for this connection (negotiated clamp).
    140 LimMSS {
        table: Table::Tune,
        rfc: "tcpEStatsTuneLimMSS",
        ty: Type::U32,
        unit: "octets",
        kind: Kind::Gauge,
        range: Some(Range::new(0, u16::MAX as i64)),
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("tp->rx_opt.mss_clamp"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Related(">= tcpi_snd_mss"),
        reference: Reference::fault("32 bits of a 16-bit field are copied", Relation::SAME.low(16)),
    }

    /// Window reductions by congestion-window validation: restart after idle and application-
    /// limited decay.
    141 OtherReductionsCV {
        table: Table::Extras,
        rfc: "",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit, Hook::CwndRestart],
                how: "of those, by tcp_cwnd_restart or at the end of tcp_write_xmit without an MTU probe",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "of those, with snd_cwnd_used 0, no MTU probe and no cong_control",
            },
        ],
        tcp_info: TcpInfo::Related("<= OtherReductions"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Window reductions by burst moderation; the mechanism no longer exists, 0.
    142 OtherReductionsCM {
        table: Table::Extras,
        rfc: "",
        ty: Type::U32,
        unit: "events",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Constant(0)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "burst moderation no longer exists: always 0",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Socket priority (SO_PRIORITY).
    143 Priority {
        table: Table::Extras,
        rfc: "",
        ty: Type::U32,
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::Slow("sk->sk_priority"),
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "the socket field at the hooks, when changed",
        }],
        tcp_info: TcpInfo::Related("SO_PRIORITY getsockopt: equal"),
        reference: Reference::SAME,
    }
}
