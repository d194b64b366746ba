// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Sender-limitation state and clocks of the row (Web10G's global table). See the parent module.

#[rustfmt::skip]
macro_rules! global {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// The sender-limitation state now in force: 0 sender (application/other), 1 congestion
    /// window, 2 receiver window, 3 startup (before ESTABLISHED), 4 TSO deferral, 5 pacing.
    1 Limstate {
        table: Table::Global,
        rfc: "",
        ty: Type::Enum(LIMSTATE),
        unit: "",
        kind: Kind::Gauge,
        apply: Apply::Stream(&[Op::Set]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "why tcp_write_xmit stopped, decided at its end by the kernel's own tests in the same order; the values they read have not changed by then. A transmission that the host refused, and a wait for the device's queue (TCP small queues), count as the sender's limit",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "the same decisions before each received segment: a transmit loop of a timer is seen late, intervals end at the next segment",
            },
        ],
        tcp_info: TcpInfo::Related("chrono_type: RWND_LIMITED(2) should coincide with state 2 most of the time; no exact counterpart"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time at which the current Limstate began: the end of the transmit loop that left
    /// it. A Web10G kernel sets it at every loop, also where the state stays; the times in the
    /// states are the same.
    2 LimstateTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeOfLast(Var::Limstate)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "time of the record that changed Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "time of the record that changed the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time (CLOCK_MONOTONIC) at which the recorder began this connection's row.
    3 StartTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Identity,
        packets: sampled("our SYN, or the segment that completes a handshake that the peer began, at the interface: the stack sees them somewhat earlier or later"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::NOT_EXPORTED,
    }

    /// Monotonic time of the latest protocol event (segment sent or received) of the
    /// connection.
    4 CurrentTs {
        table: Table::Global,
        rfc: "",
        ty: Type::MonotonicNs,
        unit: "ns",
        kind: Kind::Derived,
        packets: sampled("the last segment in either direction, at the interface"),
        apply: Apply::Derived(Rule::LastSegment),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::TcpProbe, Hook::Egress],
            how: "time of the last segment received or sent",
        }],
        tcp_info: TcpInfo::Related("tcpi_last_data_sent/recv, tcpi_last_ack_recv (ms, jiffy resolution): now - CurrentTs <= min of the three + 1 jiffy"),
        reference: Reference::NOT_EXPORTED,
    }

    /// Wall-clock time of StartTs, in microseconds since the Unix epoch.
    5 StartTv {
        table: Table::Global,
        rfc: "",
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
        reference: Reference::NOT_EXPORTED,
    }

} };
}
