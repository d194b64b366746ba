// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The hook sets against each other: they recorded the same connections at the same time, so values that
//! both call exact must be equal.

use estats::schema::Var;

use crate::facts::Facts;
use crate::outcome::{Outcome, Verdict};
use crate::rows::Recording;
use crate::support::audit::Audit;
use crate::verify::Recordings;

/// Exact in each recording and yet not the same in two: the number of a row in its recording, and
/// times, which each recorder reads from the clock itself.
const OWN: &[&str] = &[
    "ConnectIndex",
    "LimstateTs",
    "StartTs",
    "CurrentTs",
    "StartTv",
    "StartTimeStamp",
    "ElapsedSecs",
    "ElapsedMicroSecs",
    "SndLimTimeSnd",
    "SndLimTimeCwnd",
    "SndLimTimeRwin",
    "SndLimTimeStartup",
    "SndLimTimeTSODefer",
    "SndLimTimePace",
];

/// Each pair of hook sets in one scenario.
pub fn of(facts: &Facts, recordings: &Recordings) -> Vec<(String, Outcome)> {
    let sets: Vec<_> = recordings.iter().collect();
    let mut outcomes = Vec::new();
    for (i, (a, first)) in sets.iter().enumerate() {
        for (b, second) in &sets[i + 1..] {
            outcomes.push((format!("{a}, {b}"), compare(facts, (a, first), (b, second))));
        }
    }
    outcomes
}

fn compare(
    facts: &Facts,
    (a, first): (&str, &Recording),
    (b, second): (&str, &Recording),
) -> Outcome {
    let exact = |recording: &Recording, name: &str| {
        recording.qualities.get(name).is_some_and(|quality| quality == "exact")
    };
    let compared = Var::ALL
        .iter()
        .map(|var| var.name())
        .filter(|name| exact(first, name) && exact(second, name) && !OWN.contains(name));
    let compared: Vec<&str> = compared.collect();
    let mut verdicts = Vec::new();
    for flow in &facts.flows {
        for (end, local, remote) in
            [("client", flow.client, flow.server), ("server", flow.server, flow.client)]
        {
            let (Ok(one), Ok(other)) = (first.one(local, remote), second.one(local, remote)) else {
                continue; // a row that one lacks is a finding of that one
            };
            let mut audit = Audit::default();
            for name in &compared {
                audit.compared += 1;
                let (x, y) = (one.values.get(name), other.values.get(name));
                if x != y {
                    audit.findings.push(format!("{name} of the {end}: {a} {x:?}, {b} {y:?}"));
                }
            }
            verdicts.push(Verdict::of(&[one, other], audit));
        }
    }
    Ok(verdicts.into_iter().collect())
}
