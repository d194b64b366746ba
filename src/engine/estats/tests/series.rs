// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! When the series has a row.

use super::*;

fn times(out: &Collect) -> Vec<(u64, u64)> {
    out.sampled.iter().map(|&(ts, conn, _)| (ts, conn)).collect()
}

fn every(ns: u64) -> Setup {
    Setup { interval: Interval::Every(NonZeroU64::new(ns).unwrap()), ..Setup::default() }
}

#[test]
fn the_series_has_a_row_at_each_interval_with_records() {
    let (out, _) = every(100).run(vec![
        L(lifecycle(Event::Open, 110, 7)),
        H(hook(Hook::Egress, 120, 7, &[set(Var::SegsOut, 1)])),
        // On the grid: belongs to the row of that point.
        H(hook(Hook::Egress, 200, 7, &[set(Var::SegsOut, 2)])),
        H(hook(Hook::Egress, 201, 7, &[set(Var::SegsOut, 3)])),
        // Nothing between 300 and 600: no rows.
        H(hook(Hook::Egress, 650, 7, &[set(Var::SegsOut, 4)])),
        L(lifecycle(Event::Close, 680, 7)),
        H(hook(Hook::Egress, 900, 7, &[])),
    ]);
    assert_eq!(times(&out), [(200, 1), (300, 1), (680, 1)]);
    let values: Vec<_> = out.sampled.iter().map(|(_, _, row)| row.get(Var::SegsOut)).collect();
    assert_eq!(values, [Some(2), Some(3), Some(4)]);
}

#[test]
fn rows_of_one_time_come_by_number_and_a_reused_slot_is_not_mistaken() {
    let (out, _) = every(100).run(vec![
        L(lifecycle(Event::Open, 110, 7)),
        L(lifecycle(Event::Open, 111, 8)),
        H(hook(Hook::Egress, 120, 8, &[set(Var::SegsOut, 1)])),
        H(hook(Hook::Egress, 121, 7, &[set(Var::SegsOut, 1)])),
        H(hook(Hook::Egress, 210, 8, &[set(Var::SegsOut, 2)])),
        L(lifecycle(Event::Close, 220, 8)),
        // Takes the slot of the one that ended.
        L(lifecycle(Event::Open, 230, 9)),
        H(hook(Hook::Egress, 240, 7, &[set(Var::SegsOut, 2)])),
        L(lifecycle(Event::Close, 340, 7)),
    ]);
    assert_eq!(times(&out), [(200, 1), (200, 2), (220, 2), (300, 1), (340, 1), (340, 3)]);
}

#[test]
fn a_row_for_each_record_and_none_twice() {
    let setup = Setup { interval: Interval::Event, ..Setup::default() };
    let (out, _) = setup.run(vec![
        L(lifecycle(Event::Open, 110, 7)),
        H(hook(Hook::Egress, 120, 7, &[set(Var::SegsOut, 1)])),
        H(hook(Hook::Egress, 120, 7, &[set(Var::SegsOut, 2)])),
        H(hook(Hook::SetState, 130, 7, &[set(Var::SegsOut, 3)])),
        L(lifecycle(Event::Close, 130, 7)),
    ]);
    assert_eq!(times(&out), [(120, 1), (120, 1), (130, 1)]);
}

#[test]
fn identity_and_constants_do_not_vary() {
    for var in [Var::StartTs, Var::StartTv, Var::MSSSent, Var::LimSsthresh, Var::RemPort] {
        assert!(!var.varies(), "{var}");
    }
    for var in [Var::SegsOut, Var::CurrentTs, Var::ElapsedSecs, Var::SumRTT, Var::LimRwin] {
        assert!(var.varies(), "{var}");
    }
}
