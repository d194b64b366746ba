// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What the application did, tcpEStatsAppTable. See the parent module.

#[rustfmt::skip]
macro_rules! app {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

} };
}
