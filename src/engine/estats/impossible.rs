// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Values of one row that cannot be true together, or not of a connection that lived as long as it
//! did.

use super::bits::Bits;
use super::slot::Row;
use crate::schema::{Read, Var};

/// The first is never more than the second.
pub const ORDERED: &[(Var, Var)] = &[
    (Var::MinRTT, Var::MaxRTT),
    (Var::MinRTO, Var::MaxRTO),
    (Var::MinMSS, Var::MaxMSS),
    (Var::MinSsthresh, Var::MaxSsthresh),
    (Var::MinMSS, Var::CurMSS),
    (Var::CurMSS, Var::MaxMSS),
    (Var::CurRwinSent, Var::MaxRwinSent),
    (Var::CurRwinRcvd, Var::MaxRwinRcvd),
    (Var::PipeSize, Var::MaxPipeSize),
    (Var::CurRetxQueue, Var::MaxRetxQueue),
    (Var::CurReasmQueue, Var::MaxReasmQueue),
    (Var::CurAppWQueue, Var::MaxAppWQueue),
    (Var::DataSegsOut, Var::SegsOut),
    (Var::DataSegsIn, Var::SegsIn),
    (Var::OctetsRetrans, Var::HCDataOctetsOut),
    (Var::DupAckEpisodes, Var::DupAcksOut),
    (Var::SACKsRcvd, Var::SACKBlocksRcvd),
    (Var::FastRetran, Var::CongSignals),
    // Once for each ACK that is processed.
    (Var::SlowStart, Var::SegsIn),
    (Var::PostCongCountRTT, Var::CongSignals),
];

/// TruthValue: true.
const OPENED_HERE: u64 = 1;
/// A sample by timestamps is so coarse: two jiffies at 100 Hz, before Linux 6.7 gave them
/// microseconds.
const TICK_US: u64 = 20_000;

/// IP carries no larger segment.
const MAX_SEGMENT: u64 = u16::MAX as u64;

/// Discards impossible values from a row of final values of a connection that lived for `life_us`.
/// `recounted` are the variables that the recorder's programs counted wrongly: they prove nothing
/// about others.
pub(super) fn discard(
    row: &mut Row,
    begun_before: bool,
    life_us: u64,
    samples: &[Var],
    recounted: &Bits,
) {
    let compared = |(less, more): &&(Var, Var)| !recounted.has(*less) && !recounted.has(*more);
    for &(less, more) in ORDERED.iter().filter(compared) {
        let (Some(a), Some(b)) = (row.get(less), row.get(more)) else { continue };
        if a > b {
            // The value that the kernel keeps is right; if it keeps both, neither is known to be.
            let kept = |var: Var| !matches!(var.def().read, Read::No);
            let both = kept(less) == kept(more);
            for var in [less, more].into_iter().filter(|&var| both || !kept(var)) {
                row.discard(var);
            }
        }
    }
    // Before the recording there was time for any round trip. So there was for the first one of a
    // connection that the peer opened: that of the SYN-ACK, which its listener sent.
    let whole = !begun_before && row.get(Var::ActiveOpen) == Some(OPENED_HERE);
    if whole && row.get(Var::MaxRTT).is_some_and(|us| us > life_us.saturating_add(TICK_US)) {
        samples.iter().for_each(|&var| row.discard(var));
    }
    if octets_impossible(row, begun_before) {
        row.discard(Var::HCDataOctetsIn);
        row.discard(Var::DataOctetsIn);
    }
}

/// Octets of received segments, against what the kernel received in order, and against the number of
/// segments.
fn octets_impossible(row: &Row, begun_before: bool) -> bool {
    let Some(octets) = row.get(Var::HCDataOctetsIn) else { return false };
    // A FIN is an octet there. The kernel has counted since the connection began, the hooks since
    // the recording did.
    let in_order = row.get(Var::HCThruOctetsReceived).filter(|_| !begun_before);
    let fewer = in_order.is_some_and(|in_order| octets < in_order.saturating_sub(1));
    // Its counter has 32 bits.
    let wrapped = octets > u64::from(u32::MAX);
    let most = row.get(Var::DataSegsIn).map(|n| n.saturating_mul(MAX_SEGMENT));
    let more = most.is_some_and(|most| !wrapped && octets > most);
    fewer || more
}
