// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcpEStatsPerfTable: what limited the sender. See the parent module.

#[rustfmt::skip]
macro_rules! perf_limits {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// Transitions into the sender-limited (application, Nagle, resources, anything not
    /// receiver- or congestion-limited) state.
    42 SndLimTransSnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransSnd",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 0)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::between(Linear::of(&[(-1, Var::SndLimTransPace)]), Linear::of(&[(1, Var::SndLimTransPace)]))),
    }

    /// Transitions into the congestion-limited state.
    43 SndLimTransCwnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransCwnd",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 1)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into the receiver-limited state.
    44 SndLimTransRwin {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTransRwin",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 2)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into the startup state; always 0 because a connection begins in it.
    45 SndLimTransStartup {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::Constant(0)),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Constant,
            needs: &[],
            how: "a connection begins in this state: always 0",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into 'deferred to build a larger TSO segment'.
    46 SndLimTransTSODefer {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 4)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::SAME,
    }

    /// Transitions into 'waiting for the pacing timer'.
    47 SndLimTransPace {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "transitions",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TransitionsTo(Var::Limstate, 5)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::always(0)),
    }

    /// Accumulated time in the sender-limited state.
    48 SndLimTimeSnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeSnd",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 0)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("no direct field; tcpi_sndbuf_limited <= SndLimTimeSnd roughly"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 0)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(1, Var::SndLimTimePace), (-INTERVAL_SKEW_US, Var::SndLimTransSnd), (-INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 0)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(1, Var::SndLimTimePace), (INTERVAL_SKEW_US, Var::SndLimTransSnd), (INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(1, Var::SndLimTimePace), (-INTERVAL_SKEW_US, Var::SndLimTransSnd), (-INTERVAL_SKEW_US, Var::SndLimTransPace)]), Linear::new(STALL_US, &[(1, Var::SndLimTimePace), (INTERVAL_SKEW_US, Var::SndLimTransSnd), (INTERVAL_SKEW_US, Var::SndLimTransPace)])).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeSnd)]).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; time spent pacing counts as sender-limited there")),
        ]),
    }

    /// Accumulated time in the congestion-limited state.
    49 SndLimTimeCwnd {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeCwnd",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 1)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("SndLimTimeCwnd + SndLimTimeRwin + SndLimTimeSnd + Startup (+TSODefer+Pace) == time from StartTs to the last booking"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 1)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeCwnd)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 1)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransCwnd)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransCwnd)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Accumulated time in the receiver-limited state.
    50 SndLimTimeRwin {
        table: Table::Perf,
        rfc: "tcpEStatsPerfSndLimTimeRwin",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 2)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::Related("tcpi_rwnd_limited (us, jiffy steps): approximately equal, never larger than SndLimTimeRwin by more than jiffies; sndbuf-limited has priority in the kernel's chronometer"),
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 2)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeRwin)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 2)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransRwin)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransRwin)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Time from row creation to ESTABLISHED (the startup state).
    51 SndLimTimeStartup {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        packets: sampled("from the beginning to the segment that establishes the connection, at the interface"),
        apply: Apply::Derived(Rule::TimeToEstablished),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "time of ESTABLISHED",
        }],
        tcp_info: TcpInfo::None,
        reference: Reference::bounded(Relation::between(Linear::constant(-INTERVAL_SKEW_US - CLOCK_US), Linear::constant(STALL_US)).together(ESTABLISHED).low(32), "wherever the row begins, it is established at the same time, up to 100 us and a stall of the processor apart"),
    }

    /// Accumulated time in the TSO-deferral state.
    52 SndLimTimeTSODefer {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 4)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::Cases(&[
            when(&[CLOSED, When::Value(Var::Limstate, 4)], Reference::bounded(Relation::all(const { &[
                Relation::at_least(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32),
                Relation::before_reading(CLOCK_US).together(&[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup), (1, Var::SndLimTimeTSODefer)]).low(32),
            ] }), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the last interval ends with the socket there, at CLOSE here")),
            when(&[When::Value(Var::Limstate, 4)], Reference::bounded(Relation::at_most(Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor; the interval now running is not booked there yet")),
            otherwise(Reference::bounded(Relation::between(Linear::new(-STALL_US, &[(-INTERVAL_SKEW_US, Var::SndLimTransTSODefer)]), Linear::new(STALL_US, &[(INTERVAL_SKEW_US, Var::SndLimTransTSODefer)])).low(32), "ends of intervals are read up to 100 us apart, and once a stall of the processor")),
        ]),
    }

    /// Accumulated time waiting for the pacing timer.
    53 SndLimTimePace {
        table: Table::Perf,
        rfc: "",
        ty: Type::U64,
        unit: "us",
        kind: Kind::Derived,
        apply: Apply::Derived(Rule::TimeIn(Var::Limstate, 5)),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::WriteXmit],
                how: "from Limstate",
            },
            Coverage {
                quality: Quality::Approximate,
                needs: &[Hook::TcpProbe],
                how: "from the approximate Limstate",
            },
        ],
        tcp_info: TcpInfo::None,
        reference: Reference::fault(fault::NO_PACING, Relation::always(0)),
    }

    /// Retransmitted segments that were themselves marked lost.
    54 LostRetransmitSegs {
        table: Table::Perf,
        rfc: "",
        ty: Type::U32,
        unit: "segments",
        kind: Kind::Counter,
        apply: Apply::Stream(&[Op::Add]),
        read: Read::No,
        sources: &[
            Coverage {
                quality: Quality::Exact,
                needs: &[Hook::MarkLost],
                how: "tcp_mark_skb_lost on a retransmission in flight",
            },
            Coverage {
                quality: Quality::Missing,
                needs: &[],
                how: "no tracepoint shows tcp_mark_skb_lost",
            },
        ],
        tcp_info: TcpInfo::Related("netns MIB TCPLostRetransmit: equal"),
        reference: Reference::SAME,
    }

} };
}
