//! Every recording of a guest against what its kernel said, and against the others.

use std::collections::BTreeMap;

use estats::schema::Var;

use crate::agreement;
use crate::facts::{Facts, FlowFacts};
use crate::results::{Check, Results};
use crate::rows::{Connection, Recording};
use crate::scenario::{End, SCENARIOS, Scenario, Shape};
use crate::sets;
use crate::support::audit::{self, Audit};
use crate::support::mib::Mib;
use crate::support::tcp_info::TcpInfo;
use crate::visit::Visit;

/// The recordings of a guest by hook set.
pub type Recordings = BTreeMap<&'static str, Recording>;

/// A check under way: comparisons and what failed, or why it could not be made.
type Outcome = Result<Audit, String>;

/// All checks.
pub fn all(visit: &'static Visit) -> Results {
    let mut results = Results::default();
    let mut push = |hooks: &str, scenario: &'static str, check: &'static str, outcome: Outcome| {
        let (compared, failures) = match outcome {
            Ok(audit) => (audit.compared, audit.findings),
            Err(why) => (1, vec![why]),
        };
        let hooks = hooks.to_owned();
        results.0.push(Check { kernel: visit.series, hooks, scenario, check, compared, failures });
    };
    let mut recordings = Recordings::new();
    for set in sets::of(visit.series) {
        push(set.name, "", "recorder", recorder(visit, set.name));
        match Recording::read(&visit.dir.join(set.name)) {
            Ok(recording) => {
                push(set.name, "", "hook set", hook_set(set.name, &recording));
                push(set.name, "", "no loss", no_loss(&recording));
                push(set.name, "", "what is missing is NULL", missing(&recording));
                push(set.name, "", "rows", count(&recording));
                recordings.insert(set.name, recording);
            }
            Err(why) => push(set.name, "", "replay", Err(why)),
        }
    }
    for (scenario, facts) in SCENARIOS.iter().zip(&visit.output.scenarios) {
        assert_eq!(scenario.name, facts.scenario, "the guest ran this table");
        push("", scenario.name, "carried out", facts.failure.clone().map_or_else(one, Err));
        for (set, recording) in &recordings {
            for (check, outcome) in of_scenario(scenario, facts, recording) {
                push(set, scenario.name, check, outcome);
            }
        }
        for (sets, outcome) in agreement::of(facts, &recordings) {
            push(&sets, scenario.name, "agreement", outcome);
        }
    }
    results
}

/// A comparison that held.
fn one() -> Outcome {
    Ok(Audit { compared: 1, findings: Vec::new() })
}

fn recorder(visit: &Visit, set: &str) -> Outcome {
    let recorded = visit.output.recorders.iter().find(|recorded| recorded.set == set);
    let recorded = recorded.ok_or("the guest has not started it")?;
    if recorded.status == Some(0) {
        return one();
    }
    Err(format!("ended with {:?}:\n{}", recorded.status, recorded.said))
}

/// What was asked for, and no other that the recorder fell back to.
fn hook_set(asked: &str, recording: &Recording) -> Outcome {
    let got = &recording.hook_set;
    if got == asked { one() } else { Err(format!("{got} in the manifest")) }
}

fn no_loss(recording: &Recording) -> Outcome {
    let totals = &recording.totals;
    let cpus = totals["per_cpu"].as_array().ok_or(format!("no CPU in totals {totals}"))?;
    let emitted: u64 = cpus.iter().filter_map(|cpu| cpu["emitted"].as_u64()).sum();
    let logged: u64 = cpus.iter().filter_map(|cpu| cpu["logged"].as_u64()).sum();
    if emitted == 0 || emitted != logged || totals["map_failures"].as_u64() != Some(0) {
        return Err(format!("emitted {emitted}, logged {logged}: {totals}"));
    }
    one()
}

fn missing(recording: &Recording) -> Outcome {
    let mut audit = Audit::default();
    for connection in &recording.connections {
        for var in Var::ALL.iter().filter(|var| !recording.has(var.name())) {
            audit.compared += 1;
            if let Some(value) = connection.values.get(var.name()) {
                audit.findings.push(format!("{}: {value:?} in {:?}", var.name(), connection.ends));
            }
        }
    }
    Ok(audit)
}

/// No row but those of the scenarios.
fn count(recording: &Recording) -> Outcome {
    let expected: usize = SCENARIOS
        .iter()
        .map(|scenario| match scenario.shape {
            Shape::Open(_) | Shape::Closed(_) | Shape::Reset(_) => 2,
            Shape::Short(count) => 2 * count as usize,
            Shape::Refused => 1, // the server has no socket for it
        })
        .sum();
    let found = recording.connections.len();
    if found == expected { one() } else { Err(format!("{found} rows, {expected} expected")) }
}

fn of_scenario(
    scenario: &Scenario,
    facts: &Facts,
    recording: &Recording,
) -> Vec<(&'static str, Outcome)> {
    if facts.failure.is_some() {
        return Vec::new(); // said already
    }
    let mut checks = Vec::new();
    for flow in &facts.flows {
        let client = recording.one(flow.client, flow.server);
        let server = recording.one(flow.server, flow.client);
        let ends = match (&client, &server) {
            (Ok(client), Ok(server)) => Some((*client, *server)),
            _ => None,
        };
        match (scenario.shape, ends, client) {
            (Shape::Refused, _, Ok(client)) => checks.push(("identity", refused(client))),
            (Shape::Refused, _, Err(why)) => checks.push(("identity", Err(why))),
            (_, None, client) => {
                let why = client.and(server).map(|_| String::new()).unwrap_or_else(|why| why);
                checks.push(("identity", Err(why)));
            }
            (shape @ (Shape::Open(_) | Shape::Closed(_)), Some((client, server)), _) => {
                checks.push(("identity", identity(shape, client, server)));
                checks.extend(measured(scenario, facts, flow, recording, client, server));
            }
            (shape @ Shape::Short(_), Some((client, server)), _) => {
                checks.push(("identity", identity(shape, client, server)));
                checks.push(("octets", octets(flow, client, server)));
            }
            (shape @ Shape::Reset(_), Some((client, server)), _) => {
                checks.push(("identity", identity(shape, client, server)));
                checks.push(("tcp_info", reset(flow, recording, client, server)));
            }
        }
    }
    checks
}

fn words(what: &str, connection: &Connection, expected: &[(&str, &str)]) -> Audit {
    let mut audit = Audit::default();
    for (column, word) in expected {
        audit.compared += 1;
        let got = connection.identity.text(column);
        if got != *word {
            audit.findings.push(format!("{column} of the {what}: {got}, {word} expected"));
        }
    }
    audit
}

fn numbers(what: &str, connection: &Connection, expected: &[(&str, i64)]) -> Audit {
    let mut audit = Audit::default();
    for (name, number) in expected {
        audit.compared += 1;
        let got = connection.values.number(name);
        if got != Some(*number) {
            audit.findings.push(format!("{name} of the {what}: {got:?}, {number} expected"));
        }
    }
    audit
}

fn sum(audits: impl IntoIterator<Item = Audit>) -> Audit {
    audits.into_iter().fold(Audit::default(), |mut sum, audit| {
        sum.compared += audit.compared;
        sum.findings.extend(audit.findings);
        sum
    })
}

fn refused(client: &Connection) -> Outcome {
    let expected = [
        ("opened_by", "local"),
        ("closed_by", "remote"),
        ("close_reason", "refused"),
        ("completeness", "complete"),
    ];
    let counters = [("SegsOut", 1), ("SegsIn", 1), ("HCDataOctetsOut", 0), ("SegsRetrans", 0)];
    Ok(sum([words("client", client, &expected), numbers("client", client, &counters)]))
}

fn identity(shape: Shape, client: &Connection, server: &Connection) -> Outcome {
    let (completeness, by_client, by_server, reasons) = match shape {
        Shape::Open(_) => ("ended_after", "none", "none", None),
        Shape::Closed(_) | Shape::Short(_) | Shape::Refused => {
            ("complete", "local", "remote", Some(("fin", "fin")))
        }
        Shape::Reset(_) => ("complete", "local", "remote", Some(("reset_sent", "reset_received"))),
    };
    let of = |what, connection, opened, closed, reason| {
        let mut expected =
            vec![("opened_by", opened), ("closed_by", closed), ("completeness", completeness)];
        if let Some(reason) = reason {
            expected.push(("close_reason", reason));
        }
        words(what, connection, &expected)
    };
    Ok(sum([
        of("client", client, "local", by_client, reasons.map(|r| r.0)),
        of("server", server, "remote", by_server, reasons.map(|r| r.1)),
    ]))
}

fn octets(flow: &FlowFacts, client: &Connection, server: &Connection) -> Outcome {
    let octets = flow.octets.ok_or("the guest has not said how many")? as i64;
    // Sequence space has a SYN and a FIN besides; the server's SYN is acknowledged before it has
    // a socket of its own.
    let sent = [("HCDataOctetsOut", octets), ("HCThruOctetsAcked", octets + 2)];
    let received = [("HCDataOctetsIn", octets), ("HCThruOctetsReceived", octets + 1)];
    Ok(sum([numbers("client", client, &sent), numbers("server", server, &received)]))
}

/// Without what is said about variables that the hook set does not give (they are NULL, which is
/// a check of its own) or only approximates.
fn given(recording: &Recording, what: &str, mut audit: Audit) -> Audit {
    let names_untrue = |finding: &String| {
        let mut words = finding.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| Var::by_name(word).is_some() && !recording.is_true(word))
    };
    let before = audit.findings.len();
    audit.findings.retain(|finding| !names_untrue(finding));
    audit.compared -= before - audit.findings.len();
    audit.findings = audit.findings.iter().map(|f| format!("{what}: {f}")).collect();
    audit
}

/// Without the comparison of this variable.
fn without(name: &str, mut audit: Audit) -> Audit {
    let before = audit.findings.len();
    audit.findings.retain(|finding| finding.split(':').next() != Some(name));
    audit.compared -= before - audit.findings.len();
    audit
}

fn info(octets: &[u8]) -> TcpInfo {
    TcpInfo::from_octets(octets.to_vec())
}

fn measured(
    scenario: &Scenario,
    facts: &Facts,
    flow: &FlowFacts,
    recording: &Recording,
    client: &Connection,
    server: &Connection,
) -> Vec<(&'static str, Outcome)> {
    let ends = [
        ("client", &client.values, info(&flow.client_info), &facts.client_mib),
        ("server", &server.values, info(&flow.server_info), &facts.server_mib),
    ];
    // Linux's default is 64, and there is a router between.
    let hops =
        [("client", client), ("server", server)].map(|(w, c)| numbers(w, c, &[("IpTtl", 63)]));
    let hops = hops.map(|audit| given(recording, "a router between", audit));
    let mut checks = vec![
        ("what happened", happened(scenario, recording, client, server)),
        ("hops", Ok(sum(hops))),
    ];
    let mut check = |name, audit: &dyn Fn(usize) -> Audit| {
        let of = |i: usize| given(recording, ends[i].0, audit(i));
        checks.push((name, Ok(sum([of(0), of(1)]))));
    };
    check("tcp_info", &|i| audit::equalities(ends[i].1, &ends[i].2));
    // Out of order, the kernel's field counts segments and the variable skbs: the same only
    // where none holds several, from the sender or put together in the backlog of a busy socket.
    check("relations", &|i| {
        let audit = audit::relations(ends[i].1, &ends[i].2);
        let several = scenario.offload || ends[i].3["TcpExt.TCPBacklogCoalesce"] > 0;
        if several { without("DupAcksOut", audit) } else { audit }
    });
    let mib = |i: usize| Mib::from_counters(ends[i].3.clone());
    check("MIB", &|i| audit::mib(ends[i].1, &mib(i)));
    check("MIB, function hooks", &|i| audit::function_mib(ends[i].1, &mib(i)));
    check("sender limits", &|i| audit::sender_limits(ends[i].1));
    checks
}

fn happened(
    scenario: &Scenario,
    recording: &Recording,
    client: &Connection,
    server: &Connection,
) -> Outcome {
    let mut audit = Audit::default();
    for (end, name) in scenario.happened.iter().filter(|(_, name)| recording.has(name)) {
        let row = match end {
            End::Client => &client.values,
            End::Server => &server.values,
        };
        audit.compared += 1;
        let got = row.number(name);
        if got.is_none_or(|n| n <= 0) {
            audit.findings.push(format!("{name} of the {end:?}: {got:?}, some expected"));
        }
    }
    Ok(audit)
}

fn reset(
    flow: &FlowFacts,
    recording: &Recording,
    client: &Connection,
    server: &Connection,
) -> Outcome {
    let before = info(&flow.client_info);
    let mut sender = audit::equalities(&client.values, &before);
    // The RST leaves after the change to CLOSE, at which the final values are read: counted or
    // not, by whether its own way out was still seen.
    sender.findings.retain(|finding| !finding.starts_with("SegsOut:"));
    sender.compared += 1;
    let (out, counted) = (before.must("tcpi_segs_out") as i64, client.values.number("SegsOut"));
    if counted.is_none_or(|n| !(out..=out + 1).contains(&n)) {
        sender.findings.push(format!("SegsOut: {counted:?}, {out} before the RST"));
    }
    let receiver = audit::equalities(&server.values, &info(&flow.server_info));
    Ok(sum([given(recording, "client", sender), given(recording, "server", receiver)]))
}
