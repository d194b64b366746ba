// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Captures of connections whose statistics a Web10G kernel kept: the values from packets must be its
//! values, except for what testdata/reference/README.md explains.

mod document;
mod proofs;
mod recordings;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use document::Case;
use estats::recordings::import::{self, ImportOptions};
use estats::schema::{Quality, Type, Var};
use estats::views::compare::{self, Class, Compared, Matched};

const SCENARIOS: [&str; 9] = [
    "a_clean",
    "b_loss",
    "c_reorder",
    "e_rwnd",
    "g_ecn",
    "h_rr",
    "j_short",
    "k_iperf3",
    "o_synloss",
];

/// Where a host was busy, a difference by what the kernel merged before it counted:
/// TCPBacklogCoalesce of its namespace, the only one of the scenarios with such a difference.
const MERGED: [(&str, &str, Var, i128); 2] =
    [("b_loss", "A", Var::DupAcksIn, 51), ("b_loss", "B", Var::DupAcksOut, 274)];

/// Variables that must be equal in every connection, whatever relations the schema allows. Others have
/// faults of the reference, or clocks, between them.
const EQUAL: [Var; 37] = [
    Var::ActiveOpen,
    Var::CurReasmQueue,
    Var::CurRwinRcvd,
    Var::CurRwinSent,
    Var::DataOctetsIn,
    Var::DataSegsIn,
    Var::DataSegsOut,
    Var::DupAckEpisodes,
    Var::ECNsignals,
    Var::HCDataOctetsIn,
    Var::HCThruOctetsAcked,
    Var::HCThruOctetsReceived,
    Var::IpTosIn,
    Var::IpTosOut,
    Var::IpTtl,
    Var::MaxRwinRcvd,
    Var::MaxRwinSent,
    Var::OctetsRetrans,
    Var::RcvNxt,
    Var::RecInitial,
    Var::SACKBlocksRcvd,
    Var::SACKsRcvd,
    Var::SegsIn,
    Var::SegsOut,
    Var::SegsRetrans,
    Var::SndInitial,
    Var::SndMax,
    Var::SndNxt,
    Var::SndUna,
    Var::ThruOctetsAcked,
    Var::ThruOctetsReceived,
    Var::TimeStamps,
    Var::WillSendSACK,
    Var::WillUseSACK,
    Var::WinScaleRcvd,
    Var::WinScaleSent,
    Var::ZeroRwinRcvd,
];

/// Estimates that come out right for these connections, whose path MTU is the links'.
const ESTIMATES: [Var; 6] =
    [Var::CurMSS, Var::MaxMSS, Var::DupAcksOut, Var::CERcvd, Var::DSACKDups, Var::State];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference")
}

fn ours(c: &Compared) -> i128 {
    c.ours.unwrap_or_else(|| panic!("{} is NULL", c.name))
}

fn theirs(c: &Compared) -> i128 {
    c.reference.unwrap_or_else(|| panic!("{} is not in the reference", c.name))
}

/// What is wrong with a connection.
fn faults(scenario: &str, side: &str, matched: &Matched) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |c: &Compared, what: &str| {
        let (ours, theirs) = (c.ours, c.reference);
        let local = matched.local;
        faults.push(format!(
            "{scenario} {side} {local}: {} {ours:?}, not {theirs:?}: {what}",
            c.name
        ));
    };
    for compared in &matched.variables {
        let var = Var::by_name(compared.name).expect("a variable");
        let merged = MERGED.iter().find(|m| (m.0, m.1, m.2) == (scenario, side, var));
        // No opener of these asked for ECN but that of g_ecn: the setting of who accepted is in no packet.
        if var == Var::ECN && side == "B" && scenario != "g_ecn" {
            if (compared.ours, compared.reference) != (None, Some(3)) {
                fault(compared, "what no packet shows");
            }
            continue;
        }
        if let Some((.., most)) = merged {
            let less = ours(compared) - theirs(compared);
            if !(1..=*most).contains(&less) {
                fault(compared, "more than was merged");
            }
        } else if ESTIMATES.contains(&var) {
            if ours(compared) != theirs(compared) {
                fault(compared, "the estimate is wrong");
            }
        } else if EQUAL.contains(&var) {
            if compared.verdict.class != Class::Exact {
                fault(compared, &compared.verdict.reason);
            }
        } else {
            // Addresses are text, and what connections are matched by.
            let exact = var.def().packets.is_some_and(|p| p.quality == Quality::Exact)
                && var.def().ty != Type::Address;
            match compared.verdict.class {
                Class::Differs => fault(compared, &compared.verdict.reason),
                // NULL here, though packets should show it.
                Class::NotComparable if exact && compared.ours.is_none() => {
                    fault(compared, &compared.verdict.reason);
                }
                Class::Exact
                | Class::UnitRounded
                | Class::Bounded
                | Class::KnownFault
                | Class::NotComparable => {}
            }
        }
    }
    faults
}

/// Every capture, imported, replayed and compared, once for all tests.
fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let both = SCENARIOS.iter().flat_map(|&scenario| ["A", "B"].map(|side| (scenario, side)));
        both.map(|(scenario, side)| case(scenario, side)).collect()
    })
}

fn case(scenario: &'static str, side: &'static str) -> Case {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    let capture = testdata().join(scenario).join(format!("{side}.pcap.zst"));
    let report = import::import(&capture, &run, &ImportOptions::default()).expect("import");
    assert_eq!(report.import.local_by, "ttl", "{scenario} {side}");
    assert_eq!(report.imported, report.import.packets, "{scenario} {side}");
    let reference = testdata().join(scenario).join("estats.json");
    let comparison = compare::files(&run, &reference).expect("compare");
    Case { scenario, side, comparison }
}

#[test]
fn packets_give_the_kernels_values() {
    let mut wrong = Vec::new();
    let mut connections = 0;
    for Case { scenario, side, comparison } in cases() {
        // The other side's rows are the same connections from the other end.
        let missing = comparison.only_reference.iter().filter(|u| u.place.starts_with(side));
        assert_eq!(missing.count(), 0, "{scenario} {side}: a connection was not found");
        for matched in &comparison.matched {
            assert_eq!(matched.side.as_deref(), Some(*side), "{scenario} {side}");
            assert_eq!(matched.completeness, "complete", "{scenario} {side}");
            wrong.extend(faults(scenario, side, matched));
            connections += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // 2 of each scenario, 40 of the short ones, 4 of iperf3's.
    assert_eq!(connections, 58);
}

/// docs/validation.md has the results of these comparisons.
#[test]
fn the_document() {
    let text = document::document(cases());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/validation.md is not what the comparisons say; renew it with make docs, and read the difference"
    );
}

/// Segments of a headline variable, from the reference's own files: the test above would also pass
/// if both sides were read wrong in the same way.
#[test]
fn headlines() {
    for (scenario, side, values) in [
        ("a_clean", "A", &[(Var::SegsOut, 5529), (Var::SegsIn, 920), (Var::SegsRetrans, 0)][..]),
        ("b_loss", "A", &[(Var::SegsRetrans, 39), (Var::OctetsRetrans, 56_472)]),
        ("c_reorder", "A", &[(Var::DupAcksIn, 1677), (Var::SegsRetrans, 4)]),
        ("e_rwnd", "A", &[(Var::ZeroRwinRcvd, 4)]),
        ("g_ecn", "A", &[(Var::ECNsignals, 281)]),
        ("g_ecn", "B", &[(Var::CERcvd, 34)]),
        ("o_synloss", "A", &[(Var::SegsRetrans, 2)]),
    ] {
        let case = cases().iter().find(|c| (c.scenario, c.side) == (scenario, side));
        let comparison = &case.expect("a scenario").comparison;
        let [matched] = &comparison.matched[..] else { panic!("{scenario}: one connection") };
        for (var, value) in values {
            let found = matched.variables.iter().find(|c| c.name == var.name());
            assert_eq!(found.and_then(|c| c.ours), Some(*value), "{scenario} {}", var.name());
        }
    }
}
