// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which recordings can be merged, and advice for those that cannot.

use std::collections::BTreeSet;

use super::super::{TransformError, end_ns, refused};
use crate::log::{Derivation, Manifest, RecordOptions, Recording};

/// Advice that holds for any recordings.
const INSTEAD: &str =
    "replay each of them: in one data set the column `recording` identifies their rows";

/// Refuses what cannot be one recording; whether they are parts of one. In order of time.
pub(super) fn check(recordings: &[&Recording]) -> Result<bool, TransformError> {
    if let Some(open) = recordings.iter().find(|r| r.manifest().totals.is_none()) {
        return refused(format!(
            "{} was not closed: how its numbers end is unproven, so none can go on from there; \
             {INSTEAD}",
            open.dir().display()
        ));
    }
    let parts = are_parts(recordings);
    if !parts {
        no_common_records(recordings)?;
    }
    for pair in recordings.windows(2) {
        if parts { adjacent(pair[0], pair[1])? } else { one_after_the_other(pair[0], pair[1])? }
    }
    Ok(parts)
}

fn cut_step(manifest: &Manifest) -> Option<&Derivation> {
    manifest.derived.last().filter(|step| step.by == "cut")
}

/// Whether all were cut of the same recording with the same conditions but for the time.
fn are_parts(recordings: &[&Recording]) -> bool {
    let conditions = |r: &&Recording| {
        let manifest = r.manifest();
        let step = cut_step(manifest)?;
        let before = manifest.derived[..manifest.derived.len() - 1].to_vec();
        Some((before, Derivation { from_ns: None, to_ns: None, ..step.clone() }))
    };
    let first = recordings.first().and_then(conditions);
    first.is_some() && recordings.iter().all(|r| conditions(r) == first)
}

fn adjacent(a: &Recording, b: &Recording) -> Result<(), TransformError> {
    let to = cut_step(a.manifest()).and_then(|s| s.to_ns);
    let from = cut_step(b.manifest()).and_then(|s| s.from_ns);
    if to.is_some() && to == from {
        return Ok(());
    }
    refused(format!(
        "{} and {} were cut of one recording but do not adjoin: a connection would go on over what \
         is missing, or have it twice; cut the original once, from the first beginning to the last \
         end",
        a.dir().display(),
        b.dir().display()
    ))
}

/// No record may come twice.
fn no_common_records(recordings: &[&Recording]) -> Result<(), TransformError> {
    let mut seen = BTreeSet::new();
    for recording in recordings {
        let manifest = recording.manifest();
        let mut origins = BTreeSet::from([&manifest.recording]);
        origins.extend(manifest.derived.iter().flat_map(|step| &step.of));
        if origins.iter().any(|origin| !seen.insert(*origin)) {
            return refused(format!(
                "{} has the same origin as another of these: its records could come twice; cut the \
                 original once, with all that is wanted",
                recording.dir().display()
            ));
        }
    }
    Ok(())
}

/// The filters and distances that decide what a recording has.
fn what_was_recorded(options: &RecordOptions) -> impl PartialEq + '_ {
    let RecordOptions { all, ports, addresses, pids, cgroups, netns, .. } = options;
    let RecordOptions { not_ports, not_addresses, comms, .. } = options;
    let RecordOptions { resolution_ns, snapshots_ns, sample, changed_only, .. } = options;
    (
        all,
        ports,
        addresses,
        pids,
        cgroups,
        netns,
        (not_ports, not_addresses, comms),
        resolution_ns,
        (snapshots_ns, sample, changed_only),
    )
}

fn one_after_the_other(a: &Recording, b: &Recording) -> Result<(), TransformError> {
    let (x, y) = (a.manifest(), b.manifest());
    let names = || format!("{} and {}", a.dir().display(), b.dir().display());
    let cannot = |why: &str| refused(format!("{} {why}; {INSTEAD}", names()));
    if x.host.hostname != y.host.hostname {
        return cannot(
            "are of two hosts: their clocks do not compare, and both have a CPU 0 with numbers of \
             its own",
        );
    }
    if x.host.boot_id != y.host.boot_id {
        return cannot(
            "are of two boots: CLOCK_MONOTONIC and socket cookies began anew between them",
        );
    }
    let hooks = |m: &Manifest| -> Vec<_> {
        m.hooks.iter().map(|h| (h.hook.clone(), h.point.clone(), h.attached)).collect()
    };
    match (&x.import, &y.import) {
        (None, None) => {
            let counting = |m: &Manifest| m.counting.unwrap_or(1);
            if counting(x) != counting(y) {
                return cannot("were made by recorders whose programs count otherwise");
            }
            if x.hook_set != y.hook_set || hooks(x) != hooks(y) || x.variables != y.variables {
                return cannot(
                    "were made with other hooks, so NULL means one thing in one and another in the \
                     other",
                );
            }
        }
        (Some(x), Some(y)) => {
            if x.local != y.local || x.local_by != y.local_by || x.interfaces != y.interfaces {
                return Err(TransformError::OtherEnds(names()));
            }
        }
        (Some(_), None) | (None, Some(_)) => {
            return cannot("are an imported capture and a recording of hooks");
        }
    }
    if what_was_recorded(&x.options) != what_was_recorded(&y.options) {
        return cannot("were recorded with other filters or distances in time");
    }
    if end_ns(a)? > y.started.monotonic_ns {
        return cannot(
            "overlap in time: counts of two recorders at the same time cannot be added to one recording",
        );
    }
    if b.first_segment()? > 0 {
        return refused(format!(
            "{} lacks its oldest segments (removed to bound its size), which only the first of merged recordings \
             can say; {INSTEAD}",
            b.dir().display()
        ));
    }
    Ok(())
}
