// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Faults of the BPF programs of earlier recorders: what they counted wrongly.
//!
//! A recording states the version of its programs' counting (`counting` in the manifest; 1 where it
//! states none). A variable that a later version counts rightly is approximate in an older recording,
//! even if its manifest has another quality. It compares with a reference by a relation of its own,
//! whose bound comes from what was wrong.

use super::reference::{
    CLOCK_US, CLOSED, INTERVAL_SKEW_US, Linear, MAX_SKB, Reference, Relation, STALL_US, When,
    otherwise, when,
};
use super::{Hook, Var};

/// The version that the recorder of this build writes.
pub const COUNTING: u32 = 3;

/// A variable that earlier programs counted wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// The variable.
    pub var: Var,
    /// The version from which on it is right.
    pub since: u32,
    /// It was counted so where one of these was attached; none: with any hooks.
    pub by: &'static [Hook],
    /// The fault: where, and in which direction.
    pub wrong: &'static str,
    /// Congestion control algorithms whose connections were counted rightly even then.
    pub unless: &'static [&'static str],
    /// If all conditions of one of these hold, the connection was counted rightly even then.
    pub right: &'static [&'static [When]],
    /// The wrong count is also the kernel's own, so the two must still be equal.
    pub as_kernel: bool,
    /// How a Web10G kernel's value relates to what was counted; its reason is `wrong`.
    pub reference: Reference,
}

const fn recount(
    var: Var,
    by: &'static [Hook],
    wrong: &'static str,
    relation: Relation,
) -> Recount {
    let reference = Reference::bounded(relation, wrong);
    Recount { var, since: 2, by, wrong, unless: &[], right: &[], as_kernel: false, reference }
}

/// Algorithms that call tcp_slow_start() by themselves, or have their own way (Linux 5.4 to 7.0); the
/// others go through tcp_reno_cong_avoid().
const NOT_BY_RENO: &[&str] = &["cubic", "bbr", "bic", "htcp", "highspeed", "scalable"];

const SLOW_START: &str = "a sender whose algorithm goes through tcp_reno_cong_avoid() was counted there \
     and again in tcp_slow_start(), where the kernel calls it, and for ACKs for which the kernel found \
     the window large enough: too many, by at most one for each segment received";
const LOOP: &str = "why a transmit loop ended was inferred after it: deferral was taken for sender where \
     the flag of a full device queue had been cleared by then or was stale, sender for deferral where \
     the host refused a segment, either for congestion while the path MTU was probed; times are right in \
     sum";
const ECHO: &str = "a segment with CWR and CE ends one echo and begins the next between two looks at the \
     flag: too few, by at most the marks received";
const CHECKSUM: &str = "checksum failures never reached the hook: too few, by at most one for each \
     segment received";
const MERGED: &str = "ACKs that the backlog had merged were looked at as one, when they were processed \
     and not when they came: each segment received without payload may be one";
const INLINED: &str = "an algorithm that goes through tcp_reno_cong_avoid() was not counted where the \
     compiler had put tcp_cong_avoid_ai() into that: too few, by at most one for each segment received";
const REDUCED: &str = "what the last ACK before a restart after idling, or before a timeout, added to the \
     window was not seen: too small, by at most what one ACK adds";
const REFUSED: &str = "octets of segments that the host refused were counted as sent: too many, by at \
     most one segment for each SendStall";

const DROPPED: &str = "SACK blocks of ACKs that are too old, and of late ones that the timestamps give away, \
     were counted, though the kernel drops these segments before: too many";
const ACCURATE: &str = "with accurate ECN (RFC 9768) nothing was counted";
const WINDOW: &str = "segments that end beyond the window were taken for accepted, and late ACKs that open \
     the window, or are older than reordering explains, for late only; where a window was taken back, what \
     was still in it was refused: too few or too many, by at most one for each segment received";

/// A transmit loop runs when a segment was received, was sent or has left the device, and between two
/// of these it changes its reason at most twice: what waits only grows.
const LOOPS: Relation = Relation::between(
    Linear::new(-2, &[(-2, Var::SegsIn), (-2, Var::SegsOut)]),
    Linear::new(2, &[(2, Var::SegsIn), (2, Var::SegsOut)]),
);
/// Into the one of the two states that are confused the sender comes from the other or from a third, and
/// once from startup.
const BY_TURNS: Relation = Relation::all(
    const {
        &[
            LOOPS,
            Relation::within(
                Linear::new(-1, &[(-1, Var::SndLimTransCwnd), (-1, Var::SndLimTransRwin)]),
                Linear::new(1, &[(1, Var::SndLimTransCwnd), (1, Var::SndLimTransRwin)]),
            )
            .together(&[(1, Var::SndLimTransSnd), (-1, Var::SndLimTransTSODefer)]),
        ]
    },
);
/// Where the path MTU is probed, congestion is confused with them too; and a probe that is sent or lost
/// makes the window smaller by itself.
const NOT_PROBED: &[&[When]] =
    &[&[When::Value(Var::OtherReductions, 0), When::Value(Var::SendStall, 0)]];

/// The sum of the variables that the transmit loop sets, from ESTABLISHED on.
const IN_SUM: &[(i64, Var)] = &[
    (1, Var::StartTimeStamp),
    (1, Var::SndLimTimeStartup),
    (1, Var::SndLimTimeSnd),
    (1, Var::SndLimTimeTSODefer),
    (1, Var::SndLimTimePace),
    (1, Var::SndLimTimeCwnd),
];
const LESS_SKEW: &[(i64, Var)] = &[
    (-INTERVAL_SKEW_US, Var::SndLimTransSnd),
    (-INTERVAL_SKEW_US, Var::SndLimTransTSODefer),
    (-INTERVAL_SKEW_US, Var::SndLimTransCwnd),
    (-INTERVAL_SKEW_US, Var::SndLimTransPace),
];
const MORE_SKEW: &[(i64, Var)] = &[
    (INTERVAL_SKEW_US, Var::SndLimTransSnd),
    (INTERVAL_SKEW_US, Var::SndLimTransTSODefer),
    (INTERVAL_SKEW_US, Var::SndLimTransCwnd),
    (INTERVAL_SKEW_US, Var::SndLimTransPace),
];

/// If the connection is over, the last interval ends with the socket there, and at CLOSE here. If it is
/// open, the current interval is not counted there.
const TIMES: Reference = Reference::Cases(&[
    when(
        &[CLOSED],
        Reference::bounded(
            Relation::all(
                const {
                    &[
                        Relation::at_least(Linear::new(-STALL_US, LESS_SKEW))
                            .together(IN_SUM)
                            .low(32),
                        Relation::before_reading(CLOCK_US).together(IN_SUM).low(32),
                    ]
                },
            ),
            LOOP,
        ),
    ),
    otherwise(Reference::bounded(
        Relation::at_most(Linear::new(STALL_US, MORE_SKEW)).together(IN_SUM).low(32),
        LOOP,
    )),
]);

const fn in_sum(var: Var) -> Recount {
    Recount {
        var,
        since: 2,
        by: IN_LOOP,
        wrong: LOOP,
        unless: &[],
        right: &[],
        as_kernel: false,
        reference: TIMES,
    }
}

/// Octets sent: what SND.NXT has passed and what was transmitted again, for the reference counts both
/// when the host has taken them. A SYN is an octet there, and a FIN.
const SENT: Relation = Relation::all(
    const {
        &[
            Relation::between(
                Linear::of(&[(-MAX_SKB, Var::SendStall)]),
                Linear::new(2, &[(1, Var::SegsRetrans)]),
            )
            .low(32),
            Relation::within(
                Linear::of(&[(1, Var::SndNxt), (-1, Var::SndInitial)]),
                Linear::new(1, &[(1, Var::SndNxt), (-1, Var::SndInitial), (1, Var::SegsRetrans)]),
            )
            .together(&[(1, Var::HCDataOctetsOut), (-1, Var::OctetsRetrans)])
            .low(32),
        ]
    },
);
const RETRANSMITTED: Relation = Relation::between(
    Linear::of(&[(-MAX_SKB, Var::SendStall)]),
    Linear::of(&[(1, Var::SegsRetrans)]),
)
.low(32);

const fn refused(var: Var, relation: Relation) -> Recount {
    Recount {
        right: &[&[When::Value(Var::SendStall, 0)]],
        as_kernel: true,
        ..recount(var, &[], REFUSED, relation)
    }
}

/// Whether segments were dropped, SoftErrors shows; of those that are late it counted most.
const fn dropped(var: Var, relation: Relation) -> Recount {
    Recount {
        since: 3,
        right: &[&[When::Value(Var::SoftErrors, 0)]],
        ..recount(var, &[Hook::TcpProbe], DROPPED, relation)
    }
}

/// In slow start an ACK for the whole window doubles it.
const fn reduced(var: Var, relation: Relation) -> Recount {
    Recount {
        right: &[&[
            When::Value(Var::OtherReductions, 0),
            When::Value(Var::Timeouts, 0),
            When::Value(Var::SubsequentTimeouts, 0),
        ]],
        ..recount(var, &[], REDUCED, relation)
    }
}

/// A Web10G kernel has no accurate ECN: its values are related as they are to right ones.
const fn accurate(var: Var, relation: Relation) -> Recount {
    Recount {
        since: 3,
        right: &[&[When::Value(Var::ECN, 2)], &[When::Value(Var::ECN, 3)]],
        ..recount(var, &[Hook::TcpProbe], ACCURATE, relation)
    }
}

const IN_LOOP: &[Hook] = &[Hook::WriteXmit];

/// All of them.
pub const RECOUNTS: &[Recount] = &[
    Recount {
        unless: NOT_BY_RENO,
        right: &[&[When::Value(Var::SlowStart, 0)]],
        ..recount(
            Var::SlowStart,
            &[Hook::SlowStart],
            SLOW_START,
            Relation::within(
                Linear::of(&[(1, Var::SlowStart), (-1, Var::SegsIn)]),
                Linear::of(&[(1, Var::SlowStart)]),
            ),
        )
    },
    Recount {
        unless: NOT_BY_RENO,
        ..recount(
            Var::CongAvoid,
            &[Hook::CongAvoid],
            INLINED,
            Relation::between(Linear::constant(0), Linear::of(&[(1, Var::SegsIn)])),
        )
    },
    reduced(
        Var::MaxSsCwnd,
        Relation::between(Linear::of(&[(-1, Var::MaxSsCwnd)]), Linear::of(&[(1, Var::MaxSsCwnd)])),
    ),
    reduced(
        Var::MaxCaCwnd,
        Relation::between(Linear::of(&[(-1, Var::MaxCaCwnd)]), Linear::of(&[(1, Var::MaxCaCwnd)])),
    ),
    recount(Var::Limstate, IN_LOOP, LOOP, LOOPS),
    recount(Var::LimstateTs, IN_LOOP, LOOP, LOOPS),
    recount(Var::SndLimTransSnd, IN_LOOP, LOOP, BY_TURNS),
    recount(Var::SndLimTransTSODefer, IN_LOOP, LOOP, BY_TURNS),
    Recount { right: NOT_PROBED, ..recount(Var::SndLimTransCwnd, IN_LOOP, LOOP, LOOPS) },
    in_sum(Var::SndLimTimeSnd),
    in_sum(Var::SndLimTimeTSODefer),
    Recount { right: NOT_PROBED, ..in_sum(Var::SndLimTimeCwnd) },
    Recount {
        // With ECN there may have been marks that were not counted: see ACCURATE.
        right: &[
            &[When::Value(Var::CERcvd, 0), When::Value(Var::ECN, 2)],
            &[When::Value(Var::CERcvd, 0), When::Value(Var::ECN, 3)],
        ],
        ..recount(
            Var::ECESent,
            &[Hook::TcpProbe],
            ECHO,
            Relation::within(
                Linear::constant(0),
                Linear::of(&[(1, Var::CERcvd), (-1, Var::ECESent)]),
            ),
        )
    },
    recount(
        Var::SoftErrors,
        &[Hook::TcpProbe],
        CHECKSUM,
        Relation::between(Linear::constant(0), Linear::of(&[(1, Var::SegsIn)])),
    ),
    Recount {
        var: Var::SoftErrorReason,
        since: 2,
        by: &[Hook::TcpProbe],
        wrong: CHECKSUM,
        unless: &[],
        right: &[],
        as_kernel: false,
        // A failure more than we saw may have been the last; as many are the same.
        reference: Reference::Cases(&[
            when(&[When::Agrees(Var::SoftErrors)], Reference::bounded(Relation::SAME, CHECKSUM)),
            otherwise(Reference::bounded(Relation::same_or(7), CHECKSUM)),
        ]),
    },
    recount(
        Var::DupAcksIn,
        &[Hook::TcpProbe],
        MERGED,
        Relation::within(
            Linear::constant(0),
            Linear::of(&[(1, Var::SegsIn), (-1, Var::DataSegsIn)]),
        ),
    ),
    Recount {
        since: 3,
        ..recount(
            Var::SoftErrors,
            &[Hook::TcpProbe],
            WINDOW,
            // A Web10G kernel counts the late ACKs among these: too few were counted, by pure ACKs.
            Relation::between(
                Linear::constant(0),
                Linear::of(&[(1, Var::SegsIn), (-1, Var::DataSegsIn)]),
            ),
        )
    },
    Recount {
        var: Var::SoftErrorReason,
        since: 3,
        by: &[Hook::TcpProbe],
        wrong: WINDOW,
        unless: &[],
        right: &[],
        as_kernel: false,
        // A late ACK more than we counted may have been the last.
        reference: Reference::Cases(&[
            when(&[When::Agrees(Var::SoftErrors)], Reference::bounded(Relation::SAME, WINDOW)),
            otherwise(Reference::bounded(Relation::same_or(5), WINDOW)),
        ]),
    },
    dropped(
        Var::SACKsRcvd,
        Relation::between(Linear::of(&[(-1, Var::SACKsRcvd)]), Linear::constant(0)),
    ),
    dropped(
        Var::SACKBlocksRcvd,
        Relation::between(Linear::of(&[(-1, Var::SACKBlocksRcvd)]), Linear::constant(0)),
    ),
    accurate(Var::CERcvd, Relation::SAME),
    accurate(Var::ECNsignals, Relation::NOT_MORE),
    refused(Var::DataOctetsOut, SENT),
    refused(Var::HCDataOctetsOut, SENT),
    refused(Var::OctetsRetrans, RETRANSMITTED),
];

impl Recount {
    /// The fault of the variable in a recording with this version of counting and these hooks; none if
    /// it was right.
    pub fn of(var: Var, counting: u32, attached: impl Fn(Hook) -> bool) -> Option<&'static Self> {
        let wrong = |r: &&Self| {
            r.var == var
                && counting < r.since
                && (r.by.is_empty() || r.by.iter().any(|hook| attached(*hook)))
        };
        RECOUNTS.iter().find(wrong)
    }
}
