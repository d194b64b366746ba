// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The list: one stanza per variable, in the order of the specification, in a file for each group. See the
//! parent module.
//!
//! Each file is a macro that hands its stanzas, behind those of the files before it, to the next; the
//! last gets them all. So the list is one to rustc, which finds an id or a name that comes twice.

use super::reference::{
    ACTIVE, AFTER_RECEIVING, CLOCK_US, CLOSED, ELAPSED, ESTABLISHED, INTERVAL_SKEW_US, IPV6,
    Linear, MAX_SKB, NO_MARKS_NO_STALLS, Relation, SAME_SIGNALS, SIGNALS_BUT_RECOVERIES,
    SIGNALS_BUT_TIMEOUTS, STALL_US, Signal, TIMEOUTS, WINDOW_MOVES_BY_ACKS, When, fault, otherwise,
    when,
};
use super::*;

/// Coverage of the largest windows, in slow start and after it.
const LARGEST_WINDOW: &[Coverage] = &[
    Coverage {
        quality: Quality::Exact,
        needs: &[Hook::TcpProbe, Hook::CwndRestart],
        how: "snd_cwnd and snd_ssthresh between received segments and before reductions",
    },
    Coverage {
        quality: Quality::Approximate,
        needs: &[Hook::TcpProbe],
        how: "snd_cwnd and snd_ssthresh between received segments and at rest; what the last ACK added is \
              missing where idling took it back before the look",
    },
];

// Explicit paths for the same reason as in the parent.
#[macro_use]
#[path = "variables/global.rs"]
mod global;
#[macro_use]
#[path = "variables/connection.rs"]
mod connection;
#[macro_use]
#[path = "variables/perf_traffic.rs"]
mod perf_traffic;
#[macro_use]
#[path = "variables/perf_state.rs"]
mod perf_state;
#[macro_use]
#[path = "variables/perf_limits.rs"]
mod perf_limits;
#[macro_use]
#[path = "variables/path_times.rs"]
mod path_times;
#[macro_use]
#[path = "variables/path_signals.rs"]
mod path_signals;
#[macro_use]
#[path = "variables/stack_options.rs"]
mod stack_options;
#[macro_use]
#[path = "variables/stack_state.rs"]
mod stack_state;
#[macro_use]
#[path = "variables/stack_recovery.rs"]
mod stack_recovery;
#[macro_use]
#[path = "variables/app.rs"]
mod app;
#[macro_use]
#[path = "variables/tune.rs"]
mod tune;
#[macro_use]
#[path = "variables/extras.rs"]
mod extras;

global! { [connection perf_traffic perf_state perf_limits path_times path_signals stack_options stack_state stack_recovery app tune extras estats_vars] }
