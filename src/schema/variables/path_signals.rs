// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsPathTable: IP headers, congestion signals and duplicate ACKs. See the parent module.

#[rustfmt::skip]
macro_rules! path_signals {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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
        // A return to Open follows a signal, or a smaller path MTU, after which segments are
        // retransmitted.
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

} };
}
