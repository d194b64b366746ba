// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Web10G's additions without a table of the RFC. See the parent module.

#[rustfmt::skip]
macro_rules! extras {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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
                how: "those of OtherReductions by tcp_cwnd_restart or at the end of tcp_write_xmit without an MTU probe",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "those of OtherReductions with snd_cwnd_used 0, no MTU probe and no cong_control",
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

} };
}
