// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The third witness: packets at the connection's socket, compared with its counters.
//!
//! The two hooks stand in the kernel where the counters are made: what is sent is counted by
//! __tcp_transmit_skb() and then, in the same call, seen by cgroup_skb/egress; what is received is
//! seen by cgroup_skb/ingress and then counted, in the same softirq and before a backlog. So the
//! total of the packets before a connection's last record is that of its counters, but for
//!
//! * what the kernel counts elsewhere: the listener gets the SYN and gives the SYN-ACK, of which the
//!   child counts one SYN and the repeats; with Fast Open the SYNs are the child's;
//! * an ACK without data that the listener drops, because it waits for data (TCP_DEFER_ACCEPT,
//!   tcp_check_req()): no child socket counts it. Packets do not show whether the listener waits, so a
//!   difference of one is allowed;
//! * a reset that answers a segment which no socket wants (tcp_v4_send_reset()): it has the socket's
//!   addresses and ports, but no socket sent it;
//! * a packet that another CPU let through the hook while the connection closed: it is no longer in the
//!   counters. A difference of as many packets as were received in the last moment is allowed.
//!
//! Packets after the change to CLOSE are in neither. A firewall that drops what the socket sends
//! shows as a difference, and is one.

use super::{Comparison, Verdict};
use crate::engine::flows::{Opening, PacketTotals, Point};
use crate::schema::Var;

/// One relation.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// The variable.
    pub var: Var,
    /// The side of the packets, in words.
    pub says: &'static str,
    /// The count of the packets.
    pub count: fn(&PacketTotals) -> u64,
    /// By how much that may be more.
    pub allowed: fn(&PacketTotals) -> u64,
}

const NONE: fn(&PacketTotals) -> u64 = |_| 0;

/// Segments of the handshake that are the listener's.
const fn listeners(a: &PacketTotals, syns: u64) -> u64 {
    if a.opened_here { 0 } else { syns }
}

/// Received packets that the listener got; with Fast Open the child socket counts them.
const fn refused(a: &PacketTotals, of_syns: u64) -> u64 {
    if a.fast_open { 0 } else { listeners(a, of_syns) }
}

/// net.ipv4.tcp_synack_retries, by default.
const SYNACK_RETRIES: u64 = 5;

/// Payload of one packet at most: that of the ACK which makes the child is the listener's.
const MAX_PACKET: u64 = 65_535;

/// All of them.
pub const RELATIONS: &[Relation] = &[
    Relation {
        var: Var::SegsOut,
        says: "segments sent, without a listener's SYN-ACKs and the kernel's own resets",
        count: |a| a.sent.segments - a.sent.bare_resets - listeners(a, a.sent.syn_segments),
        allowed: NONE,
    },
    Relation {
        var: Var::DataSegsOut,
        says: "segments sent that have payload",
        count: |a| a.sent.data_segments,
        allowed: NONE,
    },
    Relation {
        var: Var::HCDataOctetsOut,
        says: "payload sent",
        count: |a| a.sent.payload_bytes,
        allowed: NONE,
    },
    Relation {
        var: Var::SegsRetrans,
        says: "segments sent of sequence space that was sent before",
        count: |a| a.sent.retransmitted_segments,
        allowed: NONE,
    },
    Relation {
        var: Var::OctetsRetrans,
        says: "payload sent that was sent before",
        count: |a| a.sent.retransmitted_bytes,
        allowed: NONE,
    },
    Relation {
        var: Var::SegsIn,
        says: "segments received, of a listener's SYNs one",
        count: |a| a.received.segments - refused(a, a.in_syns.segments.saturating_sub(1)),
        allowed: |a| a.recent.segments + refused(a, 1),
    },
    Relation {
        var: Var::DataSegsIn,
        says: "segments received that have payload",
        count: |a| a.received.data_segments - refused(a, a.in_syns.data_segments),
        allowed: |a| a.recent.data_segments,
    },
    Relation {
        var: Var::HCDataOctetsIn,
        says: "payload received",
        count: |a| a.received.payload_bytes - refused(a, a.in_syns.payload_bytes),
        allowed: |a| a.recent.payload_bytes + listeners(a, MAX_PACKET),
    },
];

/// Whether the packets are the whole of a connection that was seen from its beginning.
pub fn is_whole(totals: &PacketTotals, lost_packets: u64) -> bool {
    let from_the_beginning = match totals.opening {
        Opening::Syn => true,
        Opening::SynAck | Opening::FirstPacket => false,
    };
    totals.point == Point::Socket && from_the_beginning && totals.late == 0 && lost_packets == 0
}

/// Adds the values from packets to the comparisons of a connection.
pub fn hear(
    out: &mut Vec<Comparison>,
    totals: &PacketTotals,
    replayed: impl Fn(Var) -> Option<u64>,
    exact: impl Fn(Var) -> bool,
) {
    // A transmission that the device's queue refuses passes the hook of packets, and again when it is
    // made once more, without being a retransmission (tcp_transmit_skb() fails, SND.NXT stays).
    let stalls = replayed(Var::SendStall);
    let is_repeated = |var| matches!(var, Var::SegsRetrans | Var::OctetsRetrans);
    for relation in RELATIONS {
        if is_repeated(relation.var) && stalls.is_some_and(|n| n > 0) {
            continue;
        }
        let Some(value) = replayed(relation.var).filter(|_| exact(relation.var)) else { continue };
        let count = (relation.count)(totals);
        // Beside the kernel's own word where there is one.
        let begins = format!("{} = ", relation.var.name());
        let found =
            out.iter_mut().find(|c| c.var == relation.var && c.relation.starts_with(&begins));
        // Packets that the device's queue refused have passed the hook of packets.
        let refused = found.as_ref().filter(|_| stalls != Some(0)).map_or(0, |c| c.refused());
        // A SYN-ACK that the host cannot send yet (an IPv6 address that is still tentative, no route)
        // passes no hook, and the kernel counts the next one as retransmitted. One is due for each SYN,
        // and by the timer.
        let unsent = relation.var == Var::SegsRetrans
            && totals.in_syns.segments > 0
            && replayed(Var::OctetsRetrans) == Some(totals.sent.retransmitted_bytes)
            && value.saturating_sub(count) <= totals.in_syns.segments + SYNACK_RETRIES;
        let verdict = match count.checked_sub(value) {
            Some(0) => Verdict::Equal,
            None if unsent => Verdict::Bounded,
            Some(more) if more <= (relation.allowed)(totals).saturating_add(refused) => {
                Verdict::Bounded
            }
            Some(_) | None => Verdict::Differs,
        };
        let packets = i64::try_from(count).ok();
        if let Some(row) = found {
            row.relation = format!("{} = {}", row.relation, relation.says);
            row.packets = packets;
            row.verdict = match (row.verdict, verdict) {
                (Verdict::NotComparable, by_packets) => {
                    row.reason = "";
                    by_packets
                }
                (by_kernel, by_packets) => by_kernel.max(by_packets),
            };
        } else {
            out.push(Comparison {
                var: relation.var,
                relation: format!("{} = {}", relation.var.name(), relation.says),
                replayed: i64::try_from(value).ok(),
                kernel: None,
                packets,
                verdict,
                reason: "",
            });
        }
    }
}
