// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which tests prove that a variable can be other than zero: each compares a value of it that is not
//! zero with a figure that does not come from the recorder. docs/validation.md shows this list. The
//! tests that it names fail if they prove less than the list, or more.

use std::collections::BTreeSet;

/// A test, and what it proves.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The file that it is in.
    pub file: &'static str,
    /// Its function.
    pub test: &'static str,
    /// The variables.
    pub variables: &'static [&'static str],
}

const fn proof(
    file: &'static str,
    test: &'static str,
    variables: &'static [&'static str],
) -> Proof {
    Proof { file, test, variables }
}

const CRAFTED: &str = "tests/live/crafted.rs";
const PATH: &str = "tests/live/path.rs";
const REFERENCE: &str = "tests/offline/reference/proofs.rs";
const GUEST: &str = "tests/guest/main.rs";

/// The list.
pub const PROOFS: &[Proof] = &[
    proof(
        CRAFTED,
        "out_of_order",
        &[
            "MaxReasmQueue",
            "CurReasmQueue",
            "DupAcksOut",
            "DupAckEpisodes",
            "HCThruOctetsReceived",
            "CurAppRQueue",
            "MaxAppRQueue",
        ],
    ),
    proof(
        CRAFTED,
        "unacknowledged",
        &["CurRetxQueue", "MaxRetxQueue", "MaxPipeSize", "MaxAppWQueue", "HCThruOctetsAcked"],
    ),
    proof(
        CRAFTED,
        "timeouts",
        &[
            "Timeouts",
            "SubsequentTimeouts",
            "AbruptTimeouts",
            "CongSignals",
            "SegsRetrans",
            "OctetsRetrans",
        ],
    ),
    proof(CRAFTED, "unanswered", &["CurTimeoutCount", "InRecovery", "PipeSize"]),
    proof(
        CRAFTED,
        "spurious_timeouts",
        &["SpuriousRtoDetected", "CongOverCount", "Timeouts", "AbruptTimeouts"],
    ),
    proof(
        CRAFTED,
        "spurious_recoveries",
        &[
            "SpuriousFrDetected",
            "CongOverCount",
            "FastRetran",
            "CongSignals",
            "SACKsRcvd",
            "SACKBlocksRcvd",
        ],
    ),
    proof(
        CRAFTED,
        "disorder_without_loss",
        &["NonRecovDAEpisodes", "NonRecovDA", "DupAcksIn", "SumOctetsReordered"],
    ),
    proof(
        CRAFTED,
        "samples_after_congestion",
        &[
            "CongSignals",
            "PostCongCountRTT",
            "PostCongSumRTT",
            "PreCongSumRTT",
            "PreCongSumCwnd",
            "CountRTT",
            "HCSumRTT",
            "SumRTT",
            "MaxRTT",
            "MinRTT",
            "SampleRTT",
            "MaxRTO",
            "MinRTO",
            "MaxSsthresh",
            "MinSsthresh",
            "CurSsthresh",
        ],
    ),
    proof(CRAFTED, "window_validation", &["OtherReductions", "OtherReductionsCV", "MaxSsCwnd"]),
    proof(CRAFTED, "local_drops", &["SendStall", "CongSignals"]),
    proof(CRAFTED, "segments_out_of_place", &["SoftErrors", "SoftErrorReason"]),
    proof(CRAFTED, "ip_fields", &["IpTtl", "IpTosIn", "IpTosOut"]),
    proof(
        CRAFTED,
        "what_limits_the_sender",
        &[
            "SndLimTransCwnd",
            "SndLimTransRwin",
            "SndLimTransSnd",
            "SndLimTimeCwnd",
            "SndLimTimeRwin",
            "Limstate",
            "LimstateTs",
            "SndLimTimeSnd",
            "CurAppWQueue",
        ],
    ),
    proof(CRAFTED, "paced", &["SndLimTransPace", "SndLimTimePace"]),
    proof(
        CRAFTED,
        "negotiation",
        &[
            "AddressType",
            "LocalAddress",
            "RemAddress",
            "LocalPort",
            "RemPort",
            "ActiveOpen",
            "Nagle",
            "State",
            "MSSSent",
            "MSSRcvd",
            "WinScaleSent",
            "WinScaleRcvd",
            "TimeStamps",
            "ECN",
            "WillSendSACK",
            "WillUseSACK",
            "CurMSS",
            "MaxMSS",
            "MinMSS",
            "LimMSS",
            "LimRwin",
            "Priority",
            "SndInitial",
            "RecInitial",
            "SndUna",
            "SndNxt",
            "SndMax",
            "RcvNxt",
            "HCDataOctetsIn",
            "DataOctetsIn",
            "DataSegsIn",
            "HCThruOctetsReceived",
            "ThruOctetsReceived",
            "HCDataOctetsOut",
            "DataOctetsOut",
            "DataSegsOut",
            "StartTs",
            "StartTv",
            "StartTimeStamp",
            "CurrentTs",
            "ElapsedSecs",
            "ElapsedMicroSecs",
            "SndLimTimeStartup",
        ],
    ),
    proof(
        CRAFTED,
        "first_sample",
        &["SampleRTT", "SmoothedRTT", "RTTVar", "CurRTO", "LimCwnd", "RetranThresh"],
    ),
    proof(CRAFTED, "marks", &["CERcvd", "ECESent", "ECNsignals", "ECN"]),
    proof(CRAFTED, "accurate_marks", &["CERcvd", "ECNsignals", "ECN"]),
    proof(CRAFTED, "late_acknowledgments", &["SoftErrors", "SoftErrorReason", "DupAcksIn"]),
    proof(
        CRAFTED,
        "shut_windows",
        &[
            "ZeroRwinRcvd",
            "MaxRwinRcvd",
            "CurRwinRcvd",
            "ZeroRwinSent",
            "MaxRwinSent",
            "CurRwinSent",
        ],
    ),
    proof(CRAFTED, "window_growth", &["SlowStart", "CongAvoid", "MaxCaCwnd", "CurCwnd"]),
    proof(CRAFTED, "lost_repeat", &["FastRetran", "SegsRetrans"]),
    proof(CRAFTED, "samples_by_a_latency_limit", &["NormalRttm", "HighRttm"]),
    proof(
        PATH,
        "clean_path",
        &["SegsOut", "SegsIn", "RcvRTT", "ThruOctetsAcked", "SmoothedRTT", "CurRTO", "CurCwnd"],
    ),
    proof(PATH, "late_copies", &["DSACKDups"]),
    proof(
        REFERENCE,
        "equal_to_a_web10g_kernel",
        &[
            "ActiveOpen",
            "CurRwinRcvd",
            "CurRwinSent",
            "DataOctetsIn",
            "DataSegsIn",
            "DataSegsOut",
            "DupAckEpisodes",
            "DupAcksIn",
            "ECN",
            "ECNsignals",
            "HCDataOctetsIn",
            "HCThruOctetsAcked",
            "HCThruOctetsReceived",
            "IpTtl",
            "MSSRcvd",
            "MaxRwinRcvd",
            "MaxRwinSent",
            "OctetsRetrans",
            "RcvNxt",
            "RecInitial",
            "SACKBlocksRcvd",
            "SACKsRcvd",
            "SegsIn",
            "SegsOut",
            "SegsRetrans",
            "SndInitial",
            "SndMax",
            "SndNxt",
            "SndUna",
            "ThruOctetsAcked",
            "ThruOctetsReceived",
            "TimeStamps",
            "WillSendSACK",
            "WillUseSACK",
            "WinScaleRcvd",
            "WinScaleSent",
            "ZeroRwinRcvd",
        ],
    ),
    proof(GUEST, "linux_6_12", &["LostRetransmitSegs", "RackTimeout"]),
];

/// Variables that nothing proves, and why.
pub const NOT_PROVED: &[(&str, &str)] = &[
    ("ConnectIndex", "the recorder's own number of the connection, which no other source has"),
    (
        "SndLimTransTSODefer",
        "a heuristic of the kernel's that a script cannot bring about a chosen number of times; hook sets are compared with each other in guests",
    ),
    ("SndLimTimeTSODefer", "as SndLimTransTSODefer"),
    (
        "SndLimTransStartup",
        "always 0: a connection begins in this state, and nothing goes back to it",
    ),
    ("EarlyRetrans", "always 0: Linux gave up early retransmit in 4.13"),
    ("EarlyRetransDelay", "always 0: Linux gave up early retransmit in 4.13"),
    ("OtherReductionsCM", "always 0: Linux no longer moderates bursts"),
    ("LimSsthresh", "always 0xffffffff: Linux has no limited slow start"),
];

/// Limits of the proof of a variable.
pub const NOTES: &[(&str, &str)] = &[(
    "SoftErrorReason",
    "each of the reasons 1 to 5; 7 (dataCheckSum) has a test of its own, tests/record/rare/counted.rs; no \
     kernel checks 6, and no segment that the kernel lets in has 8",
)];

/// The variables that this test proves by the list.
fn listed(file: &str, test: &str) -> BTreeSet<&'static str> {
    let of = |proof: &&Proof| proof.file == file && proof.test == test;
    PROOFS.iter().filter(of).flat_map(|proof| proof.variables).copied().collect()
}

/// Panics unless the list has exactly these variables for the test.
pub fn assert(file: &str, test: &str, proved: &[&str]) {
    let proved: BTreeSet<&str> = proved.iter().copied().collect();
    let listed = listed(file, test);
    assert!(
        proved == listed,
        "{file}: {test} proves {proved:?}, but the list has {listed:?} (tests/support/proved.rs)"
    );
}

/// Panics unless the test has proved all variables of the list. It may have proved more, because the
/// list only has those that it proves in every run.
pub fn assert_all(file: &str, test: &str, proved: &BTreeSet<String>) {
    let missing: Vec<_> =
        listed(file, test).into_iter().filter(|name| !proved.contains(*name)).collect();
    assert!(missing.is_empty(), "{file}: {test} should prove {missing:?}, but proves {proved:?}");
}

/// The tests that prove the variable, with their files.
pub fn of(variable: &str) -> impl Iterator<Item = &'static Proof> {
    PROOFS.iter().filter(move |proof| proof.variables.contains(&variable))
}
