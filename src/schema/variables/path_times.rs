// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsPathTable: reordering, round-trip times and retransmission timeouts. See the parent module.

#[rustfmt::skip]
macro_rules! path_times {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

} };
}
