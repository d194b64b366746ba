// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections that share a bottleneck: what a report of many flows has to show.

use std::path::Path;

use estats::log::{RecordingWriter, WriterOptions};
use estats::schema::{Hook, Op, SocketField, Var, Why};
use estats::wire::Event;

use super::{Script, inc, manifest, set};

/// Retransmissions of connection 3.
pub const RETRANSMISSIONS: u64 = 5000;
const END_MS: u64 = 6000;
/// Bytes per 10 ms that the senders have together.
const ROOM: u64 = 120_000;

/// Gains of BBR and how many of its snapshots have them: startup, drain, the phases of a cycle, probing the RTT.
const GAINS: [(u64, u64, u64); 6] =
    [(739, 739, 10), (88, 739, 4), (320, 512, 6), (192, 512, 6), (256, 512, 24), (256, 256, 2)];

/// Six seconds: a control connection (1), a receiver (2), and senders (3, 4, 5) that begin at 0, 1 and 2 s
/// and share what there is: 3 by BBR, with snapshots and 5000 retransmissions.
pub fn senders(dir: &Path) {
    let writer =
        RecordingWriter::create(dir, &manifest(), WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    let begin = |cookie: u64| if cookie < 4 { 0 } else { (cookie - 3) * 1000 };
    let gains: Vec<_> =
        GAINS.iter().flat_map(|&(pacing, cwnd, n)| (0..n).map(move |_| (pacing, cwnd))).collect();
    let mut acked = [0_u64; 6];
    for ms in 1..END_MS {
        for cookie in 1..=5 {
            if begin(cookie) + 1 == ms {
                s.lifecycle(ms, cookie, Event::Open, |l| {
                    l.established = 1;
                    l.congestion = if cookie == 3 { "bbr" } else { "cubic" }.into();
                });
                let first = [set(Var::State, 5), set(Var::SndInitial, 0), set(Var::CurMSS, 1448)];
                s.hook(Hook::SetState, ms, cookie, &first);
            }
        }
        if ms > 500 && ms <= 500 + RETRANSMISSIONS {
            let again = [set(Var::SegsRetrans, ms - 500), set(Var::OctetsRetrans, (ms - 500) * 40)];
            s.hook(Hook::Retransmit, ms, 3, &again);
        }
        if ms % 10 == 5 {
            let open: Vec<u64> = (3..=5).filter(|&cookie| begin(cookie) < ms).collect();
            for &cookie in &open {
                acked[cookie as usize] += ROOM / open.len() as u64;
                let octets = acked[cookie as usize];
                let mut ops = vec![
                    set(Var::HCThruOctetsAcked, octets),
                    set(Var::HCDataOctetsOut, octets + 50_000),
                    set(Var::SndUna, octets & 0xffff_ffff),
                    set(Var::SndNxt, (octets + 50_000) & 0xffff_ffff),
                    set(Var::CurCwnd, 60_000 + octets % 30_000),
                    set(Var::PipeSize, 50_000),
                    set(Var::SmoothedRTT, 20_000 + octets % 5000),
                    set(Var::SampleRTT, 20_000 * cookie),
                ];
                if cookie == 3 && ms % 50 == 5 {
                    ops.extend([inc(Var::DupAcksIn), (Var::SACKsRcvd, Op::Add, 2)]);
                }
                s.hook(Hook::TcpProbe, ms, cookie, &ops);
            }
            s.hook(Hook::TcpProbe, ms, 2, &[set(Var::HCThruOctetsReceived, ms * 1000)]);
        }
        if ms == 50 {
            let ops = [set(Var::HCThruOctetsAcked, 300), set(Var::HCDataOctetsOut, 300)];
            s.hook(Hook::TcpProbe, ms, 1, &ops);
        }
        if ms % 100 == 50 {
            let (pacing, cwnd) = gains[(ms / 100) as usize % gains.len()];
            let fields = [
                (SocketField::tcpi_pacing_rate, 12_000_000),
                (SocketField::tcpi_delivery_rate, 11_000_000 + ms),
                (SocketField::bbr_bw, 12_000_000),
                (SocketField::bbr_min_rtt, 20_000),
                (SocketField::bbr_pacing_gain, pacing),
                (SocketField::bbr_cwnd_gain, cwnd),
            ];
            s.snapshot(ms, 3, Why::Poll, &fields);
        }
        if ms % 100 == 99 {
            s.marker(ms);
        }
    }
    for cookie in 1..=5 {
        s.lifecycle(END_MS, cookie, Event::Close, |l| {
            (l.old_state, l.new_state, l.first_fin, l.established) = (9, 7, 2, 1);
        });
    }
    s.marker(END_MS + 1);
    let mut closed = s.closed(manifest(), &[]);
    let duration_ns = (END_MS + 10) * super::MS;
    closed.ended = Some(super::clock(super::T0 + duration_ns));
    if let Some(totals) = &mut closed.totals {
        totals.duration_ns = duration_ns;
        totals.connections = 5;
    }
    s.writer.finish(&closed).expect("finish");
}
