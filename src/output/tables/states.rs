// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How long a connection was in each TCP state: columns of connections.parquet.

use super::columns::{Cell, ColumnKind, ColumnSpec};
use crate::engine::estats::{Ended, Life, STATES, StateTimes};

/// Name and meaning, in the order of [`StateTimes`].
const COLUMNS: [(&str, &str); STATES] = [
    ("syn_sent_ns", "Time in SYN-SENT: from connect() to the answer to the SYN."),
    (
        "syn_received_ns",
        "Time in SYN-RECEIVED. NULL for connections opened by the peer, except in imported captures with Fast Open: Linux keeps a request, and not a socket, until the handshake is over.",
    ),
    ("established_ns", "Time in ESTABLISHED."),
    (
        "fin_wait1_ns",
        "Time in FIN-WAIT-1: from the application's close to the peer's acknowledgment of the FIN.",
    ),
    (
        "fin_wait2_ns",
        "Time in FIN-WAIT-2: from that acknowledgment to the peer's FIN. NULL if the connection ended in this state, except in imported captures. When no process has the socket open, Linux keeps only a small structure for it, and the recorder does not see the end of that structure.",
    ),
    ("close_wait_ns", "Time in CLOSE-WAIT: from the peer's FIN to the application's close."),
    (
        "last_ack_ns",
        "Time in LAST-ACK: from the application's close, after the peer's FIN, to the peer's acknowledgment.",
    ),
    ("closing_ns", "Time in CLOSING: both ends sent a FIN, and ours is not acknowledged yet."),
];

pub(super) fn columns() -> impl Iterator<Item = ColumnSpec> {
    COLUMNS.iter().map(|&(name, doc)| {
        let mut column = ColumnSpec::new(name, ColumnKind::Int64, "ns", doc);
        column.from = "State";
        column
    })
}

pub(super) fn cells<'a>(ended: &Ended<'_>, kernel: bool) -> [Cell<'a>; STATES] {
    times(ended, kernel).map(Cell::int)
}

fn times(ended: &Ended<'_>, kernel: bool) -> StateTimes {
    // A missing record, or a silent hook, may have had a change.
    if ended.lossy || !ended.silent.is_none() {
        return [None; STATES];
    }
    ended.states.times(&Life {
        begin_ns: ended.begin_ns,
        end_ns: ended.end_ns,
        begun_before: ended.begun_before,
        ended_after: ended.ended_after,
        opened_by: ended.identity.opened_by(),
        kernel,
    })
}
