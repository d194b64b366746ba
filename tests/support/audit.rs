// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A row of the tables against the values of the kernel.

use std::collections::BTreeSet;

use estats::schema::{SocketField, TcpInfo as Relation, Var};

use super::mib::Mib;
use super::table::{Row, Value};
use super::tcp_info::{INFINITE_SSTHRESH, TcpInfo, options, state};

/// The result: how much was compared, and what did not agree.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Comparisons made.
    pub compared: usize,
    /// One line for each that failed.
    pub findings: Vec<String>,
    /// Variables that were equal to a figure other than 0.
    pub proved: BTreeSet<String>,
}

impl Audit {
    /// Panics with all findings, or if fewer comparisons were made than the caller knows there
    /// must be: an audit that compares nothing passes always.
    pub fn assert(&self, what: &str, at_least: usize) {
        assert!(self.findings.is_empty(), "{what}:\n  {}", self.findings.join("\n  "));
        assert!(
            self.compared >= at_least,
            "{what}: {} comparisons, {at_least} expected",
            self.compared
        );
    }

    fn check(&mut self, name: &str, holds: bool, detail: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds {
            self.findings.push(format!("{name}: {}", detail()));
        }
    }

    fn equal(&mut self, name: &str, got: Option<i64>, want: u64) {
        let holds = got.is_some_and(|got| u64::try_from(got) == Ok(want));
        // `SegsRetrans by the MIB` is that variable; a sum of several proves none of them.
        let variable = name.strip_suffix(BY_MIB).unwrap_or(name);
        if holds && want != 0 && Var::by_name(variable).is_some() {
            self.proved.insert(variable.to_owned());
        }
        self.check(name, holds, || format!("{} in the table, {want} in the kernel", shown(got)));
    }

    /// `NULL` is a finding here: all variables compared are ones the recorder has.
    fn at_most(&mut self, row: &Row, name: &str, limit: i64, what: &str) {
        let got = row.number(name);
        self.check(name, got.is_some_and(|got| got <= limit), || {
            format!("{} in the table, above {what} {limit}", shown(got))
        });
    }

    fn at_least(&mut self, row: &Row, name: &str, limit: i64, what: &str) {
        let got = row.number(name);
        self.check(name, got.is_some_and(|got| got >= limit), || {
            format!("{} in the table, below {what} {limit}", shown(got))
        });
    }
}

/// The suffix of a variable's name where it is compared with the MIB.
const BY_MIB: &str = " by the MIB";

fn shown(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |n| n.to_string())
}

/// Every variable that equals `tcp_info` by the schema, against `tcp_info` of the same socket at the
/// same moment. Exact: gauges too, because both were read while nothing moved.
pub fn equalities(row: &Row, info: &TcpInfo) -> Audit {
    let mut audit = Audit::default();
    for var in Var::ALL {
        if let Some(want) = expected(*var, info) {
            let got = row.number(var.name());
            if has_value(*var, want, info) {
                audit.equal(var.name(), got, want);
            } else {
                audit.check(var.name(), got.is_none(), || {
                    format!("{} in the table, not set yet in the kernel", shown(got))
                });
            }
        }
    }
    audit
}

/// Whether the kernel's word is a value, and not what it has before there is one.
pub fn has_value(var: Var, word: u64, info: &TcpInfo) -> bool {
    // A repeated SYN sets the deviation without a sample.
    let sampled = var != Var::RTTVar || info.get("tcpi_rtt") != Some(0);
    sampled && var.def().unset != Some(word)
}

/// How many variables the schema has a field for.
pub fn equality_count() -> usize {
    let is = |var: &&Var| !matches!(var.def().tcp_info, Relation::None | Relation::Related(_));
    Var::ALL.iter().filter(is).count()
}

/// The variable's value by the schema's relation. `None`: no equality, or not in this kernel.
pub fn expected(var: Var, info: &TcpInfo) -> Option<u64> {
    match var.def().tcp_info {
        Relation::None | Relation::Related(_) => None,
        Relation::Equal(field) => info.get(field.name()),
        Relation::EqualLow32(field) => Some(info.get(field.name())? & 0xffff_ffff),
        // A threshold that was never set is not that many segments.
        Relation::Product(SocketField::tcpi_snd_ssthresh, _)
            if info.get("tcpi_snd_ssthresh")? >= INFINITE_SSTHRESH =>
        {
            Some(0xffff_ffff)
        }
        Relation::Product(a, b) => Some(info.get(a.name())? * info.get(b.name())?),
        // Where a test has segments refused it compares by itself.
        Relation::EqualIfTaken(field) => info.get(field.name()),
    }
}

/// The other relations between a row, seen from its beginning, and `tcp_info`: the relations the schema
/// gives in words, as far as they are exact, and those of variables to each other.
pub fn relations(row: &Row, info: &TcpInfo) -> Audit {
    let mut audit = Audit::default();
    pipe_and_sequence(&mut audit, row, info);
    negotiation(&mut audit, row, info);
    let number = |name| row.number(name).unwrap_or(-1); // fails the comparison it is used in
    let timeouts = number("Timeouts") + number("SubsequentTimeouts");
    if let Some(total) = info.get("tcpi_total_rto") {
        audit.equal("Timeouts + SubsequentTimeouts", Some(timeouts), total);
    }
    // Segments, where DupAcksOut counts skbs: the same without GRO, which a TUN device has not.
    if let Some(out_of_order) = info.get("tcpi_rcv_ooopack") {
        audit.equal("DupAcksOut", row.number("DupAcksOut"), out_of_order);
    }
    let recovery = match info.must("tcpi_ca_state") {
        0 | 2 => "dataContiguous",
        1 => "dataUnordered",
        _ => "dataRecovery",
    };
    let got = row.get("InRecovery");
    audit.check("InRecovery", got == Some(&Value::Text(recovery.to_owned())), || {
        format!("{got:?} in the table, {recovery} in the kernel")
    });
    if info.must("tcpi_state") == state::ESTABLISHED {
        let got = row.get("State");
        audit.check("State", got == Some(&Value::Text("established".to_owned())), || {
            format!("{got:?} in the table, established in the kernel")
        });
    }
    let field = |name| info.must(name) as i64;
    if let Some(window) = info.get("tcpi_rcv_wnd") {
        audit.at_least(row, "MaxRwinSent", window as i64, "the window in force");
    }
    audit.at_least(row, "MaxRwinRcvd", field("tcpi_snd_wnd"), "the window in force");
    audit.at_least(row, "MaxMSS", field("tcpi_snd_mss"), "the MSS in force");
    audit.at_most(row, "MinMSS", field("tcpi_snd_mss"), "the MSS in force");
    audit.at_least(row, "LimMSS", field("tcpi_snd_mss"), "the MSS in force");
    audit.at_most(row, "SumOctetsReordered", field("tcpi_bytes_acked"), "bytes_acked");
    if let Some(marked) = info.get("tcpi_received_ce") {
        audit.at_most(row, "CERcvd", marked as i64, "received_ce");
    }
    audit.at_most(row, "ECESent", number("CERcvd"), "CERcvd");
    audit.at_most(row, "DupAckEpisodes", number("DupAcksOut"), "DupAcksOut");
    audit.at_most(row, "AbruptTimeouts", timeouts, "all timeouts");
    audit.at_most(row, "PostCongCountRTT", number("CongSignals"), "CongSignals");
    audit.at_least(row, "CongSignals", timeouts + number("FastRetran"), "timeouts and recoveries");
    audit.at_least(row, "MaxPipeSize", number("PipeSize"), "PipeSize");
    let samples = number("CountRTT");
    if samples == 0 {
        return audit; // extremes of nothing have no order
    }
    audit.at_least(row, "MaxRTO", number("MinRTO"), "MinRTO");
    audit.at_least(row, "MaxRTT", number("MinRTT"), "MinRTT");
    audit.at_least(row, "HCSumRTT", samples * number("MinRTT"), "CountRTT x MinRTT");
    audit.at_most(row, "HCSumRTT", samples * number("MaxRTT"), "CountRTT x MaxRTT");
    audit
}

fn pipe_and_sequence(audit: &mut Audit, row: &Row, info: &TcpInfo) {
    let field = |name| info.must(name);
    let in_flight =
        field("tcpi_unacked") - field("tcpi_sacked") - field("tcpi_lost") + field("tcpi_retrans");
    audit.equal("PipeSize", row.number("PipeSize"), in_flight * field("tcpi_snd_mss"));
    let distance = |to: &str, from: &str| {
        let (to, from) = (row.number(to)?, row.number(from)?);
        Some((to as u32).wrapping_sub(from as u32))
    };
    let mut span = |to: &str, from: &str, want: u64| {
        let got = distance(to, from).map(i64::from);
        audit.equal(&format!("{to} - {from}"), got, want & 0xffff_ffff);
    };
    span("SndNxt", "SndUna", row.number("CurRetxQueue").unwrap_or(-1) as u64);
    span("RcvNxt", "RecInitial", field("tcpi_bytes_received"));
    // bytes_acked counts the SYN of an active open (it is acknowledged on the full socket).
    let active = row.get("ActiveOpen") == Some(&Value::Bool(true));
    span("SndUna", "SndInitial", field("tcpi_bytes_acked") - u64::from(active));
}

fn negotiation(audit: &mut Audit, row: &Row, info: &TcpInfo) {
    let bits = info.must("tcpi_options");
    for (name, bit) in [
        ("TimeStamps", options::TIMESTAMPS),
        ("WillSendSACK", options::SACK),
        ("WillUseSACK", options::SACK),
        ("ECN", options::ECN),
    ] {
        let enabled = row.get(name) == Some(&Value::Text("enabled".to_owned()));
        audit.check(name, enabled == (bits & bit != 0), || {
            format!("{:?} in the table, options {bits:#x} in the kernel", row.get(name))
        });
    }
    let (theirs, ours) = info.window_shifts();
    if bits & options::WSCALE != 0 {
        audit.equal("WinScaleRcvd", row.number("WinScaleRcvd"), theirs);
        audit.equal("WinScaleSent", row.number("WinScaleSent"), ours);
    }
    // The kernel's advmss is without the room that timestamps take; the option is not.
    let stamps = if bits & options::TIMESTAMPS != 0 { 12 } else { 0 };
    audit.equal("MSSSent", row.number("MSSSent"), info.must("tcpi_advmss") + stamps);
}

/// A variable, or a sum of several, and the MIB counters whose sum it is.
pub type Counted = (&'static [&'static str], &'static [&'static str]);

/// Equal in a namespace that never had another connection.
pub const MIB: &[Counted] = &[
    (&["FastRetran"], &["TcpExt.TCPSackRecovery", "TcpExt.TCPRenoRecovery"]),
    (&["Timeouts", "SubsequentTimeouts"], &["TcpExt.TCPTimeouts"]),
    (&["DupAcksOut"], &["TcpExt.TCPOFOQueue"]),
    (&["ZeroRwinSent"], &["TcpExt.TCPToZeroWindowAdv"]),
    (&["SegsRetrans"], &["Tcp.RetransSegs"]),
];

/// The MIB leaves out, after the socket has counted them, D-SACKs for copies that the network made
/// (more D-SACKs than retransmissions), and counts one for each, however many segments it spans: with
/// any of those only a lower bound is left.
pub const DSACKS: Counted = (&["DSACKDups"], &["TcpExt.TCPDSACKRecvSegs"]);
const DUBIOUS: &str = "TcpExt.TCPDSACKIgnoredDubious";

/// Equal too, of variables that only function hooks give.
pub const FUNCTION_MIB: &[Counted] = &[
    (&["LostRetransmitSegs"], &["TcpExt.TCPLostRetransmit"]),
    (&["SpuriousFrDetected"], &["TcpExt.TCPFullUndo"]),
];

/// Upper bounds of those: the kernel counts every undo of a loss state, the variable those that a timer
/// began; it counts an undo for each of its reasons.
pub const FUNCTION_MIB_MOST: &[Counted] = &[
    (&["SpuriousRtoDetected"], &["TcpExt.TCPLossUndo"]),
    (
        &["CongOverCount"],
        &[
            "TcpExt.TCPLossUndo",
            "TcpExt.TCPFullUndo",
            "TcpExt.TCPPartialUndo",
            "TcpExt.TCPDSACKUndo",
        ],
    ),
];

fn total(mib: &Mib, counters: &[&str]) -> u64 {
    counters.iter().map(|name| mib.must(name)).sum()
}

/// A row against the MIB counters of a namespace that never had another connection.
pub fn mib(row: &Row, mib: &Mib) -> Audit {
    let mut audit = Audit::default();
    let mut equal = |(names, counters): Counted| {
        let got = names.iter().map(|name| row.number(name)).sum::<Option<i64>>();
        audit.equal(&format!("{}{BY_MIB}", names.join(" + ")), got, total(mib, counters));
    };
    MIB.iter().for_each(|counted| equal(*counted));
    let dubious = mib.must(DUBIOUS);
    if dubious == 0 {
        equal(DSACKS);
    } else {
        let known = total(mib, DSACKS.1);
        audit.at_least(row, DSACKS.0[0], (known + dubious) as i64, "the MIB's D-SACKs");
    }
    audit
}

/// Variables that only function hooks give, against the MIB counters of such a namespace.
pub fn function_mib(row: &Row, mib: &Mib) -> Audit {
    let mut audit = Audit::default();
    for (names, counters) in FUNCTION_MIB {
        let (got, want) = (row.number(names[0]), total(mib, counters) as i64);
        audit.check(&format!("{} by the MIB", names[0]), got == Some(want), || {
            format!("{} in the table, {want} in the kernel", shown(got))
        });
    }
    for (names, counters) in FUNCTION_MIB_MOST {
        audit.at_most(row, names[0], total(mib, counters) as i64, "the MIB's undos");
    }
    audit
}

/// The times of sender limitation of a row seen from its beginning: a connection is in one of
/// the states from its beginning to its end, `span_ns` together, each cut to whole microseconds.
pub fn sender_limits(row: &Row, span_ns: i64) -> Audit {
    const TIMES: [&str; 6] = [
        "SndLimTimeSnd",
        "SndLimTimeCwnd",
        "SndLimTimeRwin",
        "SndLimTimeStartup",
        "SndLimTimeTSODefer",
        "SndLimTimePace",
    ];
    let mut audit = Audit::default();
    let sum = TIMES.iter().map(|name| row.number(name)).sum::<Option<i64>>();
    let span = span_ns / 1000;
    let holds = sum.is_some_and(|sum| (span - TIMES.len() as i64..=span).contains(&sum));
    audit.check(&TIMES.join(" + "), holds, || {
        format!("{} us in the table, the connection lasted {span}", shown(sum))
    });
    audit
}
