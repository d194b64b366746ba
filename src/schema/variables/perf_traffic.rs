// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsPerfTable: segments, octets and time. See the parent module.

#[rustfmt::skip]
macro_rules! perf_traffic {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

    /// Payload octets transmitted by this socket, retransmissions included, TCP headers, SYN
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
                how: "tcp_sock.bytes_sent, which includes segments that the host refused",
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

    /// Payload octets retransmitted; not those of retransmissions that the host itself refused.
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
                how: "tcp_sock.bytes_retrans without the retransmissions that the host refused, which the event reports (Linux 6.17)",
            },
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::SetState, Hook::Retransmit, Hook::EnterCwr, Hook::Egress],
                how: "before Linux 6.17: tcp_sock.bytes_retrans without the retransmissions that have no event, if the queue has refused something (SendStall)",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::SetState],
                how: "tcp_sock.bytes_retrans, which includes retransmissions that the host refused",
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

    /// Payload octets in all segments received for the socket, including duplicates, out-of-
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

} };
}
