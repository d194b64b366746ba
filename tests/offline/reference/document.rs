// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! docs/validation.md: what was proved against what.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use estats::engine::audit;
use estats::schema::reference::Relation;
use estats::schema::{Reference, Var};
use estats::views::compare::{Class, Compared, Comparison, Matched, VerdictCounts};
use estats::views::manual::{reference_text, relation_text};

use crate::support::audit::{
    Counted, DSACKS, FUNCTION_MIB, FUNCTION_MIB_MOST, MIB, equality_count,
};

/// One capture, imported, replayed and compared.
#[derive(Debug)]
pub struct Case {
    /// Folder in testdata/reference.
    pub scenario: &'static str,
    /// The end where it was captured.
    pub side: &'static str,
    /// The verdicts.
    pub comparison: Comparison,
}

const HEAD: &str = "\
# Validation

Written by the test suite (`make docs`); do not edit.

What was compared with what, and the results. Tests require all of these results, and fail if one is no longer true.

";

const LIVE: &str = "\
## The self-audit

Together with the last record of every connection, the recorder reads the kernel's `tcp_info` at the same
moment. `estats-analyze audit`, and every replay, compares the two by these relations. A relation is
not comparable, with the reason, if the kernel lacks the field, if the hooks give only an estimate, or if
*needs* is not met. `tests/offline/caught.rs` puts wrong values into copies of recordings, and tests that the audit and
`compare` find them.

";

const TESTS: &str = "\
## Live and guest tests

Live tests (`tests/live/`) record real TCP on the running kernel, over a link that delays, drops,
reorders, duplicates and marks packets. Guest tests (`tests/guest/`) do so on Debian's stock kernels, with every hook
set at once ([coverage.md](coverage.md)). These are compared at both ends:

";

/// The whole document.
pub fn document(cases: &[Case]) -> String {
    let mut out = HEAD.to_owned();
    at_a_glance(&mut out, cases);
    scenarios(&mut out, cases);
    unexplained(&mut out, cases);
    variables(&mut out, cases);
    faults(&mut out, cases);
    super::recordings::section(&mut out);
    out.push_str(LIVE);
    relations(&mut out);
    out.push_str(TESTS);
    tests(&mut out);
    out.push('\n');
    super::proofs::section(&mut out);
    out
}

fn matched(cases: &[Case]) -> impl Iterator<Item = (&Case, &Matched)> {
    cases.iter().flat_map(|case| case.comparison.matched.iter().map(move |m| (case, m)))
}

const fn compared(c: &VerdictCounts) -> u64 {
    c.exact + c.unit_rounded + c.bounded + c.known_fault + c.differs
}

fn sum(all: impl Iterator<Item = VerdictCounts>) -> VerdictCounts {
    all.fold(VerdictCounts::default(), |sum, c| VerdictCounts {
        exact: sum.exact + c.exact,
        unit_rounded: sum.unit_rounded + c.unit_rounded,
        bounded: sum.bounded + c.bounded,
        known_fault: sum.known_fault + c.known_fault,
        not_comparable: sum.not_comparable + c.not_comparable,
        differs: sum.differs + c.differs,
    })
}

fn cells(c: &VerdictCounts) -> String {
    let cells = [c.exact, c.unit_rounded, c.bounded, c.known_fault, c.not_comparable, c.differs];
    cells.map(|n| n.to_string()).join(" | ")
}

fn at_a_glance(out: &mut String, cases: &[Case]) {
    let counts = sum(cases.iter().map(|case| case.comparison.counts));
    let scenarios = cases.len() / 2;
    let ends = matched(cases).count();
    let (relations, variables) = (audit::relations().len(), audit::variables().len());
    let of_mib: usize =
        [MIB, &[DSACKS], FUNCTION_MIB, FUNCTION_MIB_MOST].map(<[_]>::len).iter().sum();
    let _ = write!(
        out,
        "| what | against | extent | unexplained |\n|---|---|---|--:|\n\
         | replay of captured packets | the values of a Web10G kernel (KIS 0.13, Linux 5.4) for the same \
         connections | {scenarios} scenarios, {ends} ends of connections, {} values | {} |\n\
         | replay of hooks, every recording | the kernel's `tcp_info` at the instant of the final \
         values | {relations} relations of {variables} variables | 0 demanded |\n\
         | replay of hooks, live and guest tests | `getsockopt(TCP_INFO)` of the same sockets at rest \
         | {} equalities, and relations | 0 demanded |\n\
         | events, live and guest tests | the MIB counters of a fresh network namespace | {of_mib} \
         counters | 0 demanded |\n\
         | octets, segments and TTL, live tests | the packets that the link itself counted | 6 \
         variables | 0 demanded |\n\
         | snapshots, live tests | `getsockopt(TCP_INFO)` and `TCP_CC_INFO` of the same sockets, and \
         inet_diag against the iterator | every field that the kernel has | 0 demanded |\n\
         | private values of BBR, Vegas, DCTCP, guest tests | `TCP_CC_INFO` | 12 fields | 0 demanded |\n\
         | hook sets, guest tests | each other, in the same kernel and for the same traffic | every \
         variable that two call exact | 0 demanded |\n\
         {}",
        compared(&counts),
        counts.differs,
        equality_count(),
        super::recordings::line(),
    );
}

fn scenarios(out: &mut String, cases: &[Case]) {
    out.push_str(
        "## Packets against a Web10G kernel\n\n\
         Captures of both ends (A is the client, B the server) of connections whose statistics \
         the kernel kept. [testdata/reference](../testdata/reference/README.md) describes the \
         scenarios, and [compare.md](compare.md) explains the classes. Most values that are *not \
         comparable* cannot be determined from packets. Connections of one scenario and end with \
         the same counts share a line.\n\n\
         | scenario | end | connections | exact | unit-rounded | bounded | known fault | not comparable | unexplained |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for case in cases {
        let mut lines: Vec<(VerdictCounts, u64)> = Vec::new();
        for m in &case.comparison.matched {
            match lines.iter_mut().find(|(counts, _)| *counts == m.counts) {
                Some((_, n)) => *n += 1,
                None => lines.push((m.counts, 1)),
            }
        }
        for (counts, n) in lines {
            let (scenario, side) = (case.scenario, case.side);
            let _ = writeln!(out, "| {scenario} | {side} | {n} | {} |", cells(&counts));
        }
    }
    let all = sum(cases.iter().map(|case| case.comparison.counts));
    let _ = writeln!(out, "| all | | {} | {} |\n", matched(cases).count(), cells(&all));
}

fn unexplained(out: &mut String, cases: &[Case]) {
    out.push_str("### Unexplained\n\n");
    let mut none = true;
    for (case, m) in matched(cases) {
        for v in m.variables.iter().filter(|v| v.verdict.class == Class::Differs) {
            none = false;
            let number = |n: Option<i128>| n.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
            let (here, there) = (number(v.ours), number(v.reference));
            let (scenario, side, name) = (case.scenario, case.side, v.name);
            let _ = writeln!(out, "- {scenario} {side}: {name} {here} here, {there} there");
        }
    }
    if none {
        out.push_str("Nothing.\n");
    }
    out.push('\n');
}

/// Counts of one variable over all connections.
fn of_variable(cases: &[Case], name: &str) -> VerdictCounts {
    let class = |c: Class| {
        let all = matched(cases).flat_map(|(_, m)| &m.variables);
        all.filter(|v| v.name == name && v.verdict.class == c).count() as u64
    };
    VerdictCounts {
        exact: class(Class::Exact),
        unit_rounded: class(Class::UnitRounded),
        bounded: class(Class::Bounded),
        known_fault: class(Class::KnownFault),
        not_comparable: class(Class::NotComparable),
        differs: class(Class::Differs),
    }
}

fn variables(out: &mut String, cases: &[Case]) {
    let all: Vec<_> = Var::ALL.iter().map(|v| (*v, of_variable(cases, v.name()))).collect();
    let some = all.iter().filter(|(_, c)| compared(c) > 0);
    let _ = write!(
        out,
        "### By variable\n\n\
         Over all connections. {} variables were compared. The relation that must hold is that of \
         [variables.md](variables.md); \"there\" is the Web10G kernel.\n\n\
         | variable | exact | unit-rounded | bounded | known fault | not comparable | unexplained | relation |\n\
         |---|--:|--:|--:|--:|--:|--:|---|\n",
        some.clone().count()
    );
    for (var, counts) in some {
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            var.name(),
            cells(counts),
            reference_text(*var).replace('|', "\\|")
        );
    }
    out.push_str("\nNever compared, and why:\n\n");
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (var, counts) in &all {
        if compared(counts) == 0 {
            let mut of: Vec<&Compared> = matched(cases)
                .flat_map(|(_, m)| &m.variables)
                .filter(|v| v.name == var.name())
                .collect();
            of.dedup_by(|a, b| a.verdict.reason == b.verdict.reason);
            let reason = of.first().map_or("no connection", |v| v.verdict.reason.as_str());
            reasons.entry(reason.to_owned()).or_default().push(var.name());
        }
    }
    for (reason, names) in reasons {
        let _ = writeln!(out, "- {reason}: {}", names.join(", "));
    }
    out.push('\n');
}

/// Every fault that the schema knows, with the variables that have it.
fn known_faults() -> Vec<(&'static str, Vec<(Var, Relation)>)> {
    fn add(found: &mut Vec<(&'static str, Vec<(Var, Relation)>)>, var: Var, reference: &Reference) {
        match *reference {
            Reference::Fault { name, relation } => {
                match found.iter_mut().find(|(fault, _)| *fault == name) {
                    Some((_, vars)) if vars.contains(&(var, relation)) => {}
                    Some((_, vars)) => vars.push((var, relation)),
                    None => found.push((name, vec![(var, relation)])),
                }
            }
            Reference::Cases(cases) => cases.iter().for_each(|case| add(found, var, &case.then)),
            Reference::Is(_) | Reference::Bounded { .. } | Reference::NotComparable(_) => {}
        }
    }
    let mut found = Vec::new();
    Var::ALL.iter().for_each(|&var| add(&mut found, var, &var.def().reference));
    found
}

fn faults(out: &mut String, cases: &[Case]) {
    out.push_str(
        "### Faults of the reference kernel\n\n\
         All faults that `compare` knows, with what the kernel reports in place of the right \
         value, and how many values above each fault explains. A fault that explains none \
         appears only if hooks, or other traffic, give our side a value.\n\n\
         | fault | what is there | values |\n|---|---|--:|\n",
    );
    for (name, vars) in known_faults() {
        let relations: Vec<_> = vars
            .iter()
            .map(|(var, relation)| {
                let text = relation_text(var.name(), relation);
                if relation.of.is_empty() { format!("{} {text}", var.name()) } else { text }
            })
            .collect();
        let all = matched(cases).flat_map(|(_, m)| &m.variables);
        let values = all
            .filter(|v| v.verdict.class == Class::KnownFault && v.verdict.fault == Some(name))
            .count();
        let _ = writeln!(out, "| {name} | {} | {values} |", relations.join("; "));
    }
    out.push('\n');
}

fn relations(out: &mut String) {
    let relations = audit::relations();
    let variables = audit::variables();
    let names: Vec<_> = variables.iter().map(|v| v.name()).collect();
    let _ = write!(
        out,
        "{} relations of {} variables: {}.\n\n| relation | needs |\n|---|---|\n",
        relations.len(),
        names.len(),
        names.join(", ")
    );
    for r in relations {
        let needs = match (r.events, r.extreme) {
            (true, _) => "seen from its beginning, without loss",
            (false, true) => "established",
            (false, false) => "",
        };
        let _ = writeln!(out, "| {} | {needs} |", r.relation);
    }
    out.push('\n');
}

fn tests(out: &mut String) {
    let line = |(names, counters): &Counted| {
        let counters: Vec<_> = counters.iter().map(|c| c.trim_start_matches("TcpExt.")).collect();
        format!("{} ({})", names.join(" + "), counters.join(" + "))
    };
    let lines = |counted: &[Counted]| counted.iter().map(line).collect::<Vec<_>>().join(", ");
    let _ = write!(
        out,
        "- The self-audit of every recording: nothing differs.\n\
         - `getsockopt(TCP_INFO)` of both sockets, read from outside while nothing moves: every variable \
         that has a field.\n\
         - MIB counters of namespaces that never had another connection: {}; {} unless the kernel \
         itself leaves some out.\n\
         - Where functions are hooked: {}; and at most {}.\n\
         - Live tests: what the link counted at both sides: HCDataOctetsOut, HCDataOctetsIn, \
         DataOctetsIn, DataSegsOut, DataSegsIn, IpTtl; socket options: LimRwin (TCP_WINDOW_CLAMP), Nagle \
         (TCP_NODELAY).\n\
         - Guest tests: values that two hook sets both call exact are equal; times of sender limitation \
         add up to the connection's life; what is missing is NULL. A fault in a row that is marked \
         lossy is excused, counted and printed.\n\
         - Snapshots: every field of TCP_INFO, against it, while the socket is idle; read by the \
         iterator and by inet_diag at the same time, every field of both (but `priority`); BBR's, Vegas' \
         and DCTCP's own values against TCP_CC_INFO.\n",
        lines(MIB),
        line(&DSACKS),
        lines(FUNCTION_MIB),
        lines(FUNCTION_MIB_MOST)
    );
}
