// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsStackTable: state, windows and what changes them. See the parent module.

#[rustfmt::skip]
macro_rules! stack_state {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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
            how: "header of each received segment when it is processed; of ACKs that waited on the backlog and were merged there (gso_segs is their number), all if the last is a duplicate, else the first",
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

} };
}
