// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Limits and controls, tcpEStatsTuneTable. See the parent module.

#[rustfmt::skip]
macro_rules! tune {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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

} };
}
