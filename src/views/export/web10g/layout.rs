// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The order of Web10G's userland: its tables and the variables in each, as `lib/estats/var.c` of its last
//! version has them, and which of them `deltavars` shows as differences: those that it calls counters, with
//! sequence numbers and the socket's priority among them.

use crate::schema::Var;

/// A variable, and whether `deltavars` shows its difference.
pub type Entry = (Var, bool);

const VALUE: bool = false;
const DIFFERENCE: bool = true;

/// The tables with their headings, in their order.
pub const TABLES: [(&str, &[Entry]); 6] = [
    (
        "Perf",
        &[
            (Var::SegsOut, DIFFERENCE),
            (Var::DataSegsOut, DIFFERENCE),
            (Var::DataOctetsOut, DIFFERENCE),
            (Var::HCDataOctetsOut, DIFFERENCE),
            (Var::SegsRetrans, DIFFERENCE),
            (Var::OctetsRetrans, DIFFERENCE),
            (Var::SegsIn, DIFFERENCE),
            (Var::DataSegsIn, DIFFERENCE),
            (Var::DataOctetsIn, DIFFERENCE),
            (Var::HCDataOctetsIn, DIFFERENCE),
            (Var::ElapsedSecs, DIFFERENCE),
            (Var::ElapsedMicroSecs, DIFFERENCE),
            (Var::StartTimeStamp, VALUE),
            (Var::CurMSS, VALUE),
            (Var::PipeSize, VALUE),
            (Var::MaxPipeSize, VALUE),
            (Var::SmoothedRTT, VALUE),
            (Var::CurRTO, VALUE),
            (Var::CongSignals, DIFFERENCE),
            (Var::CurCwnd, VALUE),
            (Var::CurSsthresh, VALUE),
            (Var::Timeouts, DIFFERENCE),
            (Var::CurRwinSent, VALUE),
            (Var::MaxRwinSent, VALUE),
            (Var::ZeroRwinSent, VALUE),
            (Var::CurRwinRcvd, VALUE),
            (Var::MaxRwinRcvd, VALUE),
            (Var::ZeroRwinRcvd, VALUE),
            (Var::SndLimTransSnd, DIFFERENCE),
            (Var::SndLimTransCwnd, DIFFERENCE),
            (Var::SndLimTransRwin, DIFFERENCE),
            (Var::SndLimTransStartup, DIFFERENCE),
            (Var::SndLimTransPace, DIFFERENCE),
            (Var::SndLimTransTSODefer, DIFFERENCE),
            (Var::SndLimTimeSnd, DIFFERENCE),
            (Var::SndLimTimeCwnd, DIFFERENCE),
            (Var::SndLimTimeRwin, DIFFERENCE),
            (Var::SndLimTimeTSODefer, DIFFERENCE),
            (Var::SndLimTimeStartup, DIFFERENCE),
            (Var::SndLimTimePace, DIFFERENCE),
            (Var::LostRetransmitSegs, DIFFERENCE),
        ],
    ),
    (
        "Path",
        &[
            (Var::RetranThresh, VALUE),
            (Var::NonRecovDAEpisodes, DIFFERENCE),
            (Var::SumOctetsReordered, DIFFERENCE),
            (Var::NonRecovDA, DIFFERENCE),
            (Var::SampleRTT, VALUE),
            (Var::RTTVar, VALUE),
            (Var::MaxRTT, VALUE),
            (Var::MinRTT, VALUE),
            (Var::SumRTT, DIFFERENCE),
            (Var::HCSumRTT, DIFFERENCE),
            (Var::CountRTT, DIFFERENCE),
            (Var::MaxRTO, VALUE),
            (Var::MinRTO, VALUE),
            (Var::IpTtl, VALUE),
            (Var::IpTosIn, VALUE),
            (Var::IpTosOut, VALUE),
            (Var::PreCongSumCwnd, DIFFERENCE),
            (Var::PreCongSumRTT, DIFFERENCE),
            (Var::PostCongSumRTT, DIFFERENCE),
            (Var::PostCongCountRTT, DIFFERENCE),
            (Var::ECNsignals, DIFFERENCE),
            (Var::DupAckEpisodes, DIFFERENCE),
            (Var::RcvRTT, VALUE),
            (Var::DupAcksOut, DIFFERENCE),
            (Var::CERcvd, DIFFERENCE),
            (Var::ECESent, DIFFERENCE),
        ],
    ),
    (
        "Stack",
        &[
            (Var::ActiveOpen, VALUE),
            (Var::MSSSent, VALUE),
            (Var::MSSRcvd, VALUE),
            (Var::WinScaleSent, VALUE),
            (Var::WinScaleRcvd, VALUE),
            (Var::TimeStamps, VALUE),
            (Var::ECN, VALUE),
            (Var::WillSendSACK, VALUE),
            (Var::WillUseSACK, VALUE),
            (Var::State, VALUE),
            (Var::Nagle, VALUE),
            (Var::MaxSsCwnd, VALUE),
            (Var::MaxCaCwnd, VALUE),
            (Var::MaxSsthresh, VALUE),
            (Var::MinSsthresh, VALUE),
            (Var::InRecovery, VALUE),
            (Var::DupAcksIn, DIFFERENCE),
            (Var::SpuriousFrDetected, DIFFERENCE),
            (Var::SpuriousRtoDetected, DIFFERENCE),
            (Var::SoftErrors, DIFFERENCE),
            (Var::SoftErrorReason, VALUE),
            (Var::SlowStart, DIFFERENCE),
            (Var::CongAvoid, DIFFERENCE),
            (Var::CongOverCount, DIFFERENCE),
            (Var::FastRetran, DIFFERENCE),
            (Var::SubsequentTimeouts, DIFFERENCE),
            (Var::CurTimeoutCount, VALUE),
            (Var::AbruptTimeouts, DIFFERENCE),
            (Var::SACKsRcvd, DIFFERENCE),
            (Var::SACKBlocksRcvd, DIFFERENCE),
            (Var::SendStall, DIFFERENCE),
            (Var::DSACKDups, DIFFERENCE),
            (Var::MaxMSS, VALUE),
            (Var::MinMSS, VALUE),
            (Var::SndInitial, VALUE),
            (Var::RecInitial, VALUE),
            (Var::CurReasmQueue, VALUE),
            (Var::MaxReasmQueue, VALUE),
            (Var::EarlyRetrans, VALUE),
            (Var::EarlyRetransDelay, VALUE),
            (Var::RackTimeout, DIFFERENCE),
        ],
    ),
    (
        "App",
        &[
            (Var::SndUna, DIFFERENCE),
            (Var::SndNxt, VALUE),
            (Var::SndMax, DIFFERENCE),
            (Var::ThruOctetsAcked, DIFFERENCE),
            (Var::HCThruOctetsAcked, DIFFERENCE),
            (Var::RcvNxt, DIFFERENCE),
            (Var::ThruOctetsReceived, DIFFERENCE),
            (Var::HCThruOctetsReceived, DIFFERENCE),
            (Var::CurAppWQueue, VALUE),
            (Var::MaxAppWQueue, VALUE),
            (Var::CurAppRQueue, VALUE),
            (Var::MaxAppRQueue, VALUE),
        ],
    ),
    ("Tune", &[(Var::LimCwnd, VALUE), (Var::LimRwin, VALUE), (Var::LimMSS, VALUE)]),
    ("Extras", &[(Var::Priority, DIFFERENCE)]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::{Reference, Type};

    #[test]
    fn the_tables_have_what_the_reference_exports() {
        let all: Vec<Var> = TABLES.iter().flat_map(|(_, vars)| vars.iter().map(|v| v.0)).collect();
        let listed: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!((all.len(), listed.len()), (124, 124));
        // Its logger has its own columns for the connection's number and its ends.
        let lead = [Var::ConnectIndex, Var::LocalPort, Var::RemPort, Var::AddressType];
        let absent = [Reference::NOT_EXPORTED, Reference::MATCHED];
        let exported = Var::ALL.iter().copied().filter(|var| {
            let def = var.def();
            !absent.contains(&def.reference) && def.ty != Type::Address && !lead.contains(var)
        });
        assert_eq!(exported.collect::<BTreeSet<_>>(), listed);
    }
}
