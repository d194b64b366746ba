// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsPerfTable: segment size, round trips, congestion and windows. See the parent module.

#[rustfmt::skip]
macro_rules! perf_state {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

    /// Sender's estimate of octets in the network: packets_in_flight times CurMSS.
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
            when(&[When::Value(Var::CurSsthresh, 0xffff_ffff)], Reference::fault(fault::INFINITE_TIMES_MSS, Relation::is(Linear::of(&[(INFINITE_SSTHRESH as i64, Var::CurMSS)])).low(32))),
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

} };
}
