// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsStackTable: retransmission, SACK, segment sizes and queues. See the parent module.

#[rustfmt::skip]
macro_rules! stack_recovery {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

} };
}
