// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The rows of one connection against the kernel's values of it.

use estats::schema::{SocketField, Var};

use crate::facts::{Facts, FlowFacts};
use crate::outcome::Verdict;
use crate::rows::{Connection, Recording};
use crate::scenario::{End, Scenario, Shape};
use crate::support::audit::{self, Audit};
use crate::support::mib::Mib;
use crate::support::table::Value;
use crate::support::tcp_info::TcpInfo;

/// Both rows of a connection, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Row of the end that connected.
    pub client: &'a Connection,
    /// Row of the end that accepted.
    pub server: &'a Connection,
    /// Where they are from.
    pub recording: &'a Recording,
    /// The kernel's values.
    pub flow: &'a FlowFacts,
}

/// A connection that was not accepted.
pub fn refused(client: &Connection) -> Verdict {
    let expected = [("opened_by", "local"), ("closed_by", "remote"), ("close_reason", "refused")];
    let counters = [("SegsOut", 1), ("SegsIn", 1), ("HCDataOctetsOut", 0), ("SegsRetrans", 0)];
    [words("client", client, &expected, "complete"), numbers("client", client, &counters)]
        .into_iter()
        .collect()
}

impl Ends<'_> {
    /// How it began and ended.
    pub fn identity(&self, shape: Shape) -> Verdict {
        let closed = [("closed_by", "local"), ("closed_by", "remote")];
        let (completeness, ends) = match shape {
            Shape::Open(_) => {
                ("ended_after", [vec![("closed_by", "none")], vec![("closed_by", "none")]])
            }
            Shape::Closed(_) | Shape::Short(_) | Shape::Waiting(_) | Shape::Refused => {
                ("complete", closed.map(|by| vec![by, ("close_reason", "fin")]))
            }
            Shape::Reset(_) => {
                let [client, server] = closed;
                let client = vec![client, ("close_reason", "reset_sent")];
                ("complete", [client, vec![server, ("close_reason", "reset_received")]])
            }
        };
        let [client, server] = ends;
        let client = [client, vec![("opened_by", "local")]].concat();
        let server = [server, vec![("opened_by", "remote")]].concat();
        [
            words("client", self.client, &client, completeness),
            words("server", self.server, &server, completeness),
        ]
        .into_iter()
        .collect()
    }

    /// A short connection, by what was written.
    pub fn octets(&self) -> Verdict {
        let octets = self.flow.octets.expect("short connections have it") as i64;
        // Nothing is lost, but on a busy host an ACK may come after the loss probe, and the probe too.
        let passed = octets + self.client.values.number("OctetsRetrans").unwrap_or(0);
        // Sequence space has a SYN and a FIN besides; the server's SYN is acknowledged before it
        // has a socket of its own.
        let sent = [("HCDataOctetsOut", passed), ("HCThruOctetsAcked", octets + 2)];
        let received = [("HCThruOctetsReceived", octets + 1)];
        [
            numbers("client", self.client, &sent),
            numbers("server", self.server, &received),
            self.arrived(octets, passed),
        ]
        .into_iter()
        .collect()
    }

    /// What the server's socket received of what the client sent. Data that comes before the server has a socket
    /// of its own is no segment of that socket, and is retransmitted: one of 40 connections was met, on a host
    /// that let the SYN-ACK's timer run out. The kernel's own count of segments (tcpi_data_segs_in, compared by
    /// the self-audit) shows that.
    fn arrived(&self, octets: i64, passed: i64) -> Verdict {
        let segments = |end: &Connection, name| end.values.number(name);
        let (sent, came) =
            (segments(self.client, "DataSegsOut"), segments(self.server, "DataSegsIn"));
        let least = if came < sent { octets } else { passed };
        let found = segments(self.server, "HCDataOctetsIn");
        let mut audit = Audit { compared: 1, ..Audit::default() };
        if !found.is_some_and(|found| (least..=passed).contains(&found)) {
            audit.findings.push(format!(
                "HCDataOctetsIn: {found:?}, {least} to {passed} expected; data segments sent {sent:?}, received \
                 {came:?}"
            ));
        }
        labelled("server", self.server, audit)
    }

    /// A connection that its client reset.
    pub fn reset(&self) -> Verdict {
        let before = info(&self.flow.client_info);
        // The RST leaves after the change to CLOSE, at which the final values are read: counted
        // or not, by whether its own way out was still seen.
        let mut sender = without("SegsOut", audit::equalities(&self.client.values, &before));
        sender.compared += 1;
        let out = before.must("tcpi_segs_out") as i64;
        let counted = self.client.values.number("SegsOut");
        if counted.is_none_or(|n| !(out..=out + 1).contains(&n)) {
            sender.findings.push(format!("SegsOut: {counted:?}, {out} before the RST"));
        }
        let receiver = audit::equalities(&self.server.values, &info(&self.flow.server_info));
        [self.judge("client", self.client, sender), self.judge("server", self.server, receiver)]
            .into_iter()
            .collect()
    }

    /// A connection that was at rest when all was read.
    pub fn measured(&self, scenario: &Scenario, facts: &Facts) -> Vec<(&'static str, Verdict)> {
        let ends = [
            ("client", self.client, &self.flow.client_info, &facts.client_mib),
            ("server", self.server, &self.flow.server_info, &facts.server_mib),
        ];
        let mut checks = vec![("what happened", self.happened(scenario))];
        if scenario.happened.contains(&(End::Client, "SlowStart")) {
            checks.push(("slow start", self.slow_start()));
        }
        for (what, connection, octets, counters) in ends {
            let (row, info) = (&connection.values, info(octets));
            let mib = Mib::from_counters(counters.clone());
            let mut relations = audit::relations(row, &info);
            // Out of order, the kernel's field counts segments and the variable skbs: the same
            // only where none holds several, from the sender or put together in the backlog of a
            // busy socket.
            if scenario.offload || mib.must("TcpExt.TCPBacklogCoalesce") > 0 {
                relations = without("DupAcksOut", relations);
            }
            // Linux's default is 64, and there is a router between.
            checks.push(("hops", numbers(what, connection, &[("IpTtl", 63)])));
            for (check, audit) in [
                ("tcp_info", audit::equalities(row, &info)),
                ("relations", relations),
                ("MIB", audit::mib(row, &mib)),
                ("MIB, function hooks", audit::function_mib(row, &mib)),
            ] {
                checks.push((check, self.judge(what, connection, audit)));
            }
            // Approximate states too: they are still states.
            if self.recording.has("SndLimTimeSnd") {
                let span = connection.identity.int("end_ns") - connection.identity.int("begin_ns");
                let limits = audit::sender_limits(row, span);
                checks.push(("sender limits", labelled(what, connection, limits)));
            }
        }
        checks
    }

    /// The private values of the client's congestion control, in the snapshot of the end, against
    /// TCP_CC_INFO. Its fields are found by the type information of its module, which came with Linux
    /// 5.11; without, they must be NULL.
    pub fn private(&self, module_btf: bool) -> Verdict {
        let (private, id) = (&self.flow.client_private, self.client.identity.int("conn_id"));
        let low = |word: u32| i64::from(word & 0xffff);
        let expected: Vec<(&str, i64)> = match (self.congestion(), &private[..]) {
            // struct tcp_bbr_info, tcpvegas_info, tcp_dctcp_info
            ("bbr", &[bw_low, bw_high, rtt, pacing, cwnd]) => vec![
                ("bbr_bw", i64::from(bw_high) << 32 | i64::from(bw_low)),
                ("bbr_min_rtt", rtt.into()),
                ("bbr_pacing_gain", pacing.into()),
                ("bbr_cwnd_gain", cwnd.into()),
            ],
            ("vegas", &[enabled, count, rtt, least]) => vec![
                ("vegas_enabled", enabled.into()),
                ("vegas_rttcnt", count.into()),
                ("vegas_rtt", rtt.into()),
                ("vegas_minrtt", least.into()),
            ],
            ("dctcp", &[states, alpha, ecn, all]) => vec![
                ("dctcp_ce_state", low(states >> 16)),
                ("dctcp_alpha", alpha.into()),
                ("dctcp_ab_ecn", ecn.into()),
                ("dctcp_ab_tot", all.into()),
            ],
            _ => Vec::new(),
        };
        let mut audit = Audit::default();
        if expected.is_empty() && !private.is_empty() {
            audit.findings.push(format!("{}: {private:?} is not known", self.congestion()));
        }
        let row = self.recording.last.get(&id);
        for (name, value) in expected {
            audit.compared += 1;
            let got = row.and_then(|row| row.number(name));
            // The value with which Vegas begins each round is not a round-trip time.
            let unset = SocketField::by_name(name).is_some_and(|f| f.is_unset(value as u64));
            if got != Some(value).filter(|_| module_btf && !unset) {
                audit.findings.push(format!("{name}: {got:?}, {value} by TCP_CC_INFO"));
            }
        }
        labelled("client", self.client, audit)
    }

    fn congestion(&self) -> &str {
        self.client.identity.text("congestion_control")
    }

    /// Each call of tcp_slow_start() lets the window grow by a segment at least (RFC 5681, 3.1), from ten
    /// on (TCP_INIT_CWND, include/net/tcp.h), where nothing makes it smaller on the way.
    fn slow_start(&self) -> Verdict {
        const INITIAL: i64 = 10;
        let number = |name| self.client.values.number(name).unwrap_or(0);
        let (calls, mss) = (number("SlowStart"), number("CurMSS").max(1));
        let grown = number("MaxSsCwnd") / mss - INITIAL;
        let mut audit = Audit { compared: 1, ..Audit::default() };
        if calls > grown {
            audit.findings.push(format!("SlowStart: {calls}, the window grew by {grown} segments"));
        }
        self.judge("client", self.client, audit)
    }

    fn happened(&self, scenario: &Scenario) -> Verdict {
        let one = |&(end, name): &(End, &str)| {
            let connection = match end {
                End::Client => self.client,
                End::Server => self.server,
            };
            let got = connection.values.number(name);
            let mut audit = Audit { compared: 1, ..Audit::default() };
            if got.is_none_or(|n| n <= 0) {
                audit.findings.push(format!("{name}: {got:?}, some expected"));
            }
            self.judge(&format!("{end:?}"), connection, audit)
        };
        scenario.happened.iter().map(one).collect()
    }

    /// Without findings about variables that the hook set does not give (they are NULL, which is a check
    /// of its own) or only approximates.
    fn judge(&self, what: &str, connection: &Connection, mut audit: Audit) -> Verdict {
        let names_untrue = |finding: &String| {
            let mut words = finding.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| Var::by_name(word).is_some() && !self.recording.is_true(word))
        };
        let before = audit.findings.len();
        audit.findings.retain(|finding| !names_untrue(finding));
        audit.compared -= before - audit.findings.len();
        labelled(what, connection, audit)
    }
}

fn labelled(what: &str, connection: &Connection, mut audit: Audit) -> Verdict {
    audit.findings = audit.findings.iter().map(|f| format!("{what}: {f}")).collect();
    Verdict::of(&[connection], audit)
}

/// Columns of connections.parquet; `completeness` as it is when nothing was lost.
fn words(
    what: &str,
    connection: &Connection,
    expected: &[(&str, &str)],
    completeness: &str,
) -> Verdict {
    let mut audit = Audit::default();
    for (column, word) in expected.iter().chain(&[("completeness", completeness)]) {
        audit.compared += 1;
        // A lossy row may not know it.
        let got = match connection.identity.get(column) {
            Some(Value::Text(text)) => text,
            _ => "NULL",
        };
        if got != *word && !(*column == "completeness" && connection.lossy()) {
            audit.findings.push(format!("{column}: {got}, {word} expected"));
        }
    }
    labelled(what, connection, audit)
}

fn numbers(what: &str, connection: &Connection, expected: &[(&str, i64)]) -> Verdict {
    let mut audit = Audit::default();
    for (name, number) in expected {
        audit.compared += 1;
        let got = connection.values.number(name);
        if got != Some(*number) {
            audit.findings.push(format!("{name}: {got:?}, {number} expected"));
        }
    }
    labelled(what, connection, audit)
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
