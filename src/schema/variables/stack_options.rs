// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsStackTable: how the connection was opened, and its options. See the parent module.

#[rustfmt::skip]
macro_rules! stack_options {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

} };
}
