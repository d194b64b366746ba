// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings of transfers, for comparisons of recordings.

use std::path::Path;

use estats::log::{Manifest, RecordingWriter, WriterOptions};
use estats::schema::{Hook, Var};
use estats::wire::{Event, Lifecycle};

use super::{Script, manifest, set};

/// A connection of [`transfers`]: from and to in milliseconds, octets acknowledged and received.
pub type Transfer = ((u64, u64), u64, u64);

/// Connections to port 5201 as a client opens them, in a recording with this sysctl.
pub fn transfers(dir: &Path, wmem: &str, transfers: &[Transfer]) {
    let sysctls = [("net.ipv4.tcp_wmem".to_owned(), wmem.to_owned())].into_iter().collect();
    let manifest = Manifest { sysctls, ..manifest() };
    let writer = RecordingWriter::create(dir, &manifest, WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    let mut events: Vec<(u64, bool, u64)> = Vec::new();
    for (cookie, ((from, to), ..)) in (1..).zip(transfers) {
        events.extend([(*from, true, cookie), (*to, false, cookie)]);
    }
    events.sort_unstable();
    for (ms, is_begin, cookie) in events {
        let (_, acked, received) = transfers[cookie as usize - 1];
        let is_iperf3 = |l: &mut Lifecycle| (l.remote_port, l.comm) = (5201, "iperf3".into());
        if is_begin {
            s.lifecycle(ms, cookie, Event::Open, is_iperf3);
            s.hook(Hook::SetState, ms, cookie, &[set(Var::State, 5), set(Var::CurMSS, 1448)]);
            continue;
        }
        let octets = [
            set(Var::HCThruOctetsAcked, acked),
            set(Var::HCThruOctetsReceived, received),
            set(Var::State, 1),
        ];
        s.hook(Hook::SetState, ms, cookie, &octets);
        s.lifecycle(ms, cookie, Event::Close, |l| {
            is_iperf3(l);
            (l.old_state, l.new_state) = (1, 7);
        });
    }
    s.marker(1000);
    let manifest = s.closed(manifest, &[]);
    s.writer.finish(&manifest).expect("finish");
}
