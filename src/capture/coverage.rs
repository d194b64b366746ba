// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which variables the attached hooks give, from the schema alone.

use crate::{
    log::VariableStatus,
    schema::{Hook, Quality, Var},
};

/// The status of every variable if only these hooks are attached.
pub(super) fn variables(attached: &[Hook]) -> Vec<VariableStatus> {
    Var::ALL
        .iter()
        .map(|v| {
            let (quality, reason) = v.source(attached).map_or_else(
                || {
                    let least = v.def().sources.last().map_or(&[][..], |c| c.needs);
                    let absent: Vec<_> =
                        least.iter().filter(|h| !attached.contains(h)).map(|h| h.name()).collect();
                    (Quality::Missing, format!("hook not attached: {}", absent.join(", ")))
                },
                |c| (c.quality, c.how.to_owned()),
            );
            VariableStatus {
                name: v.name().to_owned(),
                quality: quality.name().to_owned(),
                reason: (quality != Quality::Exact).then_some(reason),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(attached: &[Hook], quality: Quality) -> usize {
        variables(attached).iter().filter(|v| v.quality == quality.name()).count()
    }

    #[test]
    fn all_hooks_give_what_the_schema_promises() {
        let promised = Var::ALL.iter().filter(|v| v.def().sources[0].quality == Quality::Exact);
        assert_eq!(count(Hook::ALL, Quality::Exact), promised.count());
        assert_eq!(count(Hook::ALL, Quality::Missing), 0);
    }

    #[test]
    fn a_missing_hook_makes_its_variables_missing() {
        let without: Vec<_> = Hook::ALL.iter().copied().filter(|h| *h != Hook::Egress).collect();
        let variables = variables(&without);
        let sent = variables.iter().find(|v| v.name == "CurRwinSent").unwrap();
        assert_eq!(sent.quality, "missing");
        assert_eq!(sent.reason.as_deref(), Some("hook not attached: egress"));
        let segs = variables.iter().find(|v| v.name == "SegsOut").unwrap();
        assert_eq!(segs.quality, "exact");
    }

    #[test]
    fn octets_refused_by_the_host_need_an_event_that_reports_them() {
        let of = |without: &[Hook], name: &str| {
            let kept: Vec<_> =
                Hook::ALL.iter().copied().filter(|hook| !without.contains(hook)).collect();
            variables(&kept).into_iter().find(|v| v.name == name).unwrap().quality
        };
        for name in ["OctetsRetrans", "HCDataOctetsOut", "DataOctetsOut"] {
            // From Linux 6.17 on the event of the retransmission does, before it that of the stall.
            assert_eq!(of(&[Hook::EnterCwr, Hook::Egress], name), "exact", "{name}");
            assert_eq!(of(&[Hook::RetransmitError], name), "exact", "{name}");
            for stall in [Hook::EnterCwr, Hook::Egress] {
                assert_eq!(of(&[Hook::RetransmitError, stall], name), "approximate", "{name}");
            }
        }
    }

    #[test]
    fn constants_need_no_hook() {
        assert_eq!(count(&[], Quality::Constant), 5);
    }
}
