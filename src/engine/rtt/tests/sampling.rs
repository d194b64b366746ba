// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use proptest::prelude::*;

use crate::engine::rtt::sampling::{Policy, RttType, SampleSpacing, Sampler};
use crate::engine::rtt::{MeasuredRtt, Method, Traffic, Way};

fn sample(ts_ns: u64, rtt_ns: u64) -> MeasuredRtt {
    MeasuredRtt {
        ts_ns,
        method: Method::TcpTimestamps,
        replier: Way::Back,
        rtt_ns,
        min_rtt_ns: rtt_ns,
        match_on_egress: None,
        sent: Traffic::default(),
        received: Traffic::default(),
        pipe: None,
    }
}

fn kept(policy: Policy, sent: &[(u64, u64)]) -> Vec<u64> {
    let mut sampler = Sampler::default();
    let keep = |&&(at, rtt): &&(u64, u64)| sampler.keep(&policy, &sample(at + rtt, rtt));
    sent.iter().filter(keep).map(|s| s.0).collect()
}

#[test]
fn by_time_from_packet_to_packet() {
    let policy = Policy { limit: SampleSpacing::Time(100), burst: 0 };
    let sent: Vec<_> = (0..10).map(|i| (i * 30, 5 + i % 3)).collect();
    assert_eq!(kept(policy, &sent), [0, 120, 240]);
    let all = Policy { limit: SampleSpacing::Time(0), burst: 0 };
    assert_eq!(kept(all, &sent).len(), 10);
}

#[test]
fn by_multiples_of_an_rtt() {
    let sent: Vec<_> = (0..10).map(|i| (i * 10, if i == 0 { 20 } else { 40 })).collect();
    let by = |rtt_type| Policy { limit: SampleSpacing::Rtt(1.0, rtt_type), burst: 0 };
    assert_eq!(kept(by(RttType::Min), &sent), [0, 20, 40, 60, 80]);
    // The average goes from 20 towards 40.
    assert_eq!(kept(by(RttType::Smoothed), &sent), [0, 30, 70]);
}

#[test]
fn a_burst_after_a_pause_may_exceed_the_rate() {
    let sent: Vec<_> = (0..6).map(|i| (i, 1)).chain((0..6).map(|i| (1000 + i, 1))).collect();
    let policy = |burst| Policy { limit: SampleSpacing::Time(100), burst };
    assert_eq!(kept(policy(0), &sent), [0, 1000]);
    assert_eq!(kept(policy(3), &sent), [0, 1, 2, 3, 1000, 1001, 1002, 1003]);
}

proptest! {
    /// In no stretch are there more than its length allows, and the burst.
    #[test]
    fn never_more_than_the_rate_and_a_burst(
        steps in prop::collection::vec(0..50_u64, 1..200),
        limit in 1..100_u64,
        burst in 0..5_u32,
    ) {
        let sent: Vec<_> = steps.iter().scan(0, |t, s| { *t += s; Some((*t, 10)) }).collect();
        let kept = kept(Policy { limit: SampleSpacing::Time(limit), burst }, &sent);
        for i in 0..kept.len() {
            for j in i..kept.len() {
                let most = (kept[j] - kept[i]) / limit + 1 + u64::from(burst);
                prop_assert!((j - i + 1) as u64 <= most);
            }
        }
    }
}
