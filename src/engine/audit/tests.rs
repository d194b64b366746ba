// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A connection in agreement, and the same with one value wrong.

use super::*;
use crate::engine::flows::{Opening, PacketTotals, Point, Recent, Tally};

fn kernel(field: SocketField) -> Option<u64> {
    use SocketField as F;
    Some(match field {
        F::tcpi_snd_cwnd => 10,
        F::tcpi_snd_mss => 1448,
        F::tcpi_snd_ssthresh => 0x7fff_ffff,
        F::tcpi_total_rto => 2,
        F::tcpi_options => 0b0011,
        F::tcpi_unacked => 3,
        F::tcpi_sacked | F::tcpi_lost | F::tcpi_ca_state => 1,
        F::tcpi_retrans => 0,
        F::tcpi_rcv_wnd => return None,
        _ => 1000,
    })
}

const WHOLE: Scope = Scope { from_the_beginning: true, established: true, lossy: false };

fn row(var: Var) -> Option<u64> {
    match var {
        Var::CurCwnd => Some(14_480),
        Var::CurSsthresh => Some(0xffff_ffff),
        Var::PipeSize => Some(1448),
        Var::Timeouts => Some(2),
        Var::SubsequentTimeouts => Some(0),
        Var::SegsOut => Some(1000),
        Var::InRecovery => Some(2),
        Var::TimeStamps | Var::WillSendSACK => Some(1),
        Var::ECN => Some(3),
        Var::MaxRwinRcvd => Some(1000),
        _ => None,
    }
}

fn verdict(
    of: &str,
    row: Replayed<'_>,
    scope: Scope,
    quality: &'static str,
) -> (Verdict, &'static str) {
    let found = audit(row, &kernel, &|_| quality, scope);
    let comparison = found.iter().find(|c| c.relation.starts_with(of)).expect("compared");
    (comparison.verdict, comparison.reason)
}

#[test]
fn agreeing_values_are_equal_or_bounded() {
    for of in ["CurCwnd", "CurSsthresh", "PipeSize", "Timeouts +", "SegsOut", "InRecovery", "ECN"] {
        assert_eq!(verdict(of, &row, WHOLE, "exact"), (Verdict::Equal, ""), "{of}");
    }
    assert_eq!(verdict("MaxRwinRcvd", &row, WHOLE, "exact"), (Verdict::Bounded, ""));
}

#[test]
fn one_wrong_value_differs() {
    let wrong = |var| if var == Var::SegsOut { Some(1001) } else { row(var) };
    assert_eq!(verdict("SegsOut", &wrong, WHOLE, "exact"), (Verdict::Differs, ""));
    let found = audit(&wrong, &kernel, &|_| "exact", WHOLE);
    assert_eq!(found.iter().filter(|c| c.verdict == Verdict::Differs).count(), 1);
}

#[test]
fn a_value_that_is_not_comparable_has_a_reason() {
    assert_eq!(
        verdict("CurRwinSent", &row, WHOLE, "exact"),
        (Verdict::NotComparable, "not recorded")
    );
    let sent = |var| if var == Var::CurRwinSent { Some(1) } else { row(var) };
    assert_eq!(
        verdict("CurRwinSent", &sent, WHOLE, "exact"),
        (Verdict::NotComparable, "this kernel's tcp_info does not have it")
    );
    let refused = Scope { established: false, ..WHOLE };
    assert_eq!(
        verdict("MaxRwinRcvd", &row, refused, "exact"),
        (Verdict::NotComparable, "never established")
    );
    let lossy = Scope { lossy: true, ..WHOLE };
    assert_eq!(verdict("Timeouts +", &row, lossy, "exact").0, Verdict::NotComparable);
    assert_eq!(verdict("SegsOut", &row, lossy, "exact").0, Verdict::Equal, "the kernel's own");
    assert_eq!(verdict("SegsOut", &row, WHOLE, "approximate").0, Verdict::NotComparable);
}

#[test]
fn the_list_is_long_enough() {
    assert!(relations().len() >= 45);
    assert!(variables().len() >= 45, "{}", variables().len());
    // One list: what is documented is what is compared.
    let compared = audit(&|_| None, &|_| None, &|_| "exact", WHOLE);
    let relations: Vec<_> = relations().into_iter().map(|r| r.relation).collect();
    assert_eq!(compared.into_iter().map(|c| c.relation).collect::<Vec<_>>(), relations);
}

/// What keeps a misspelt field from compiling, where it stands in words.
#[test]
fn names_in_relations_are_fields() {
    for right in ["", "<= tcpi_snd_mss", "tcpi_rtt,tcpi_rto (us)", "tcpi_lost/recv", "xtcpi_no"] {
        assert!(SocketField::are_named(right), "{right}");
    }
    for wrong in ["tcpi_", "<= tcpi_snd_ms", "tcpi_snd_msss", "tcpi_rtt tcpi_rto2", "(tcpi_none)"] {
        assert!(!SocketField::are_named(wrong), "{wrong}");
    }
}

/// A connection of a listener whose SYN came twice, and its last segment a moment ago.
fn totals() -> PacketTotals {
    let sent = Tally {
        segments: 1001,
        syn_segments: 1,
        data_segments: 1000,
        payload_bytes: 1000,
        ..Tally::default()
    };
    let received = Tally { segments: 1001, ..Tally::default() };
    let recent = Recent { segments: 1, ..Recent::default() };
    PacketTotals {
        sent,
        received,
        recent,
        opening: Opening::Syn,
        opened_here: false,
        first_ns: 0,
        point: Point::Socket,
        late: 0,
        in_syns: Recent { segments: 2, data_segments: 2, payload_bytes: 70 },
        fast_open: false,
    }
}

fn heard(of: Var, replayed: u64, totals: &PacketTotals) -> Comparison {
    let row = move |var| if var == of { Some(replayed) } else { row(var) };
    let mut found = audit(&row, &kernel, &|_| "exact", WHOLE);
    witness::hear(&mut found, totals, row, |_| true);
    found.into_iter().find(|c| c.var == of && c.packets.is_some()).expect("heard")
}

#[test]
fn packets_are_a_third_witness() {
    let segs_out = heard(Var::SegsOut, 1000, &totals());
    assert_eq!(segs_out.verdict, Verdict::Equal);
    assert_eq!((segs_out.kernel, segs_out.packets), (Some(1000), Some(1000)), "in one row");
    // The kernel agrees with the row, and the packets with neither.
    let sent = Tally { segments: 1000, ..totals().sent };
    let one_less = PacketTotals { sent, ..totals() };
    assert_eq!(heard(Var::SegsOut, 1000, &one_less).verdict, Verdict::Differs);
    let opener = PacketTotals { opened_here: true, ..totals() };
    assert_eq!(heard(Var::SegsOut, 1000, &opener).verdict, Verdict::Differs, "its own SYN counts");
}

#[test]
fn packets_received_during_the_close_may_be_missing_from_the_counters() {
    for (replayed, verdict) in [
        (1000, Verdict::Equal),
        (999, Verdict::Bounded),
        (998, Verdict::Bounded),
        (997, Verdict::Differs),
        (1001, Verdict::Differs),
    ] {
        // The kernel's value is 1000 for every field in these tests.
        let mut found = Vec::new();
        let row = |var| (var == Var::SegsIn).then_some(replayed);
        witness::hear(&mut found, &totals(), row, |_| true);
        assert_eq!(found[0].verdict, verdict, "{replayed}");
    }
}

/// TCP_DEFER_ACCEPT: the ACK that completes the handshake may be dropped by the listener.
#[test]
fn a_listener_that_waits_for_data_drops_one_segment() {
    let listeners = PacketTotals { recent: Recent::default(), ..totals() };
    let openers = PacketTotals {
        received: Tally { segments: 1000, ..totals().received },
        opened_here: true,
        ..listeners
    };
    for (totals, replayed, expected) in [
        (&listeners, 1000, Verdict::Equal),
        (&listeners, 999, Verdict::Bounded),
        (&listeners, 998, Verdict::Differs),
        (&openers, 1000, Verdict::Equal),
        (&openers, 999, Verdict::Differs),
    ] {
        let mut found = Vec::new();
        witness::hear(&mut found, totals, |v| (v == Var::SegsIn).then_some(replayed), |_| true);
        assert_eq!(found[0].verdict, expected, "{replayed} of {totals:?}");
    }
}

#[test]
fn incomplete_packets_are_not_compared() {
    assert!(witness::is_whole(&totals(), 0));
    assert!(!witness::is_whole(&totals(), 1), "lost");
    for part in [
        PacketTotals { late: 1, ..totals() },
        PacketTotals { opening: Opening::FirstPacket, ..totals() },
        PacketTotals { point: Point::Interface(Some(2)), ..totals() },
    ] {
        assert!(!witness::is_whole(&part, 0), "{part:?}");
    }
}

#[test]
fn packets_of_the_listener_and_of_no_socket_are_allowed_for() {
    let with_data = Tally { data_segments: 1002, payload_bytes: 1070, ..totals().received };
    let refused = PacketTotals { received: with_data, ..totals() };
    for var in [Var::DataSegsIn, Var::HCDataOctetsIn] {
        assert_eq!(witnessed(var, &refused), Some(1000), "{}", var.name());
    }
    // Fast Open: the child has the SYNs and what they carried.
    let taken = Tally { segments: 1000, data_segments: 1000, payload_bytes: 1000, ..with_data };
    let accepted = PacketTotals { received: taken, fast_open: true, ..totals() };
    for var in [Var::SegsIn, Var::DataSegsIn, Var::HCDataOctetsIn] {
        assert_eq!(witnessed(var, &accepted), Some(1000), "{}", var.name());
    }
    let sent = Tally { segments: 1003, bare_resets: 2, ..totals().sent };
    assert_eq!(witnessed(Var::SegsOut, &PacketTotals { sent, ..totals() }), Some(1000));
}

/// The value of a variable from packets.
fn witnessed(of: Var, totals: &PacketTotals) -> Option<i64> {
    let mut found = Vec::new();
    witness::hear(&mut found, totals, |var| (var == of).then_some(1000), |_| true);
    found[0].packets
}
