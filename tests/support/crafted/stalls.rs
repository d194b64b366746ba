// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that this host itself refuses to send.

use super::{Figures, Played, look, wait_acknowledged};
use crate::support::link::DEVICE;
use crate::support::netns::Netns;
use crate::support::pair::Family;
use crate::support::peer::{Offer, Peer};
use crate::support::tcp::Options;

/// Gives the device a queue for this many packets; none for 0.
fn queue(netns: &Netns, limit: u32) {
    let mut tc = netns.command("tc");
    tc.args(["qdisc", "replace", "dev", DEVICE, "root", "pfifo", "limit", &limit.to_string()]);
    let output = tc.output().expect("tc can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the queue has dropped.
fn dropped(netns: &Netns) -> u64 {
    let mut tc = netns.command("tc");
    tc.args(["-s", "-j", "qdisc", "show", "dev", DEVICE]);
    let output = tc.output().expect("tc can be run");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("tc writes JSON");
    json[0]["drops"].as_u64().unwrap_or_else(|| panic!("no drops in {json}"))
}

/// A queue without room drops a segment as it leaves, twice. The timer that sends it again runs as
/// long as the retransmission timer would; until then there is room.
pub fn drops(peer: &Peer) -> Vec<Played> {
    // Or solicitations of routers are dropped as well.
    peer.netns.sysctl("ipv6/conf/all/disable_ipv6", "1");
    queue(&peer.netns, 1000);
    let mut talk = peer.connect(Family::V4, Options::default(), Offer::SACK.unhurried());
    for end in [1000, 2000] {
        queue(&peer.netns, 0);
        talk.socket.send(1000);
        queue(&peer.netns, 1000);
        talk.data(end);
        talk.ack(end);
        wait_acknowledged(&talk);
    }
    look(&mut talk);
    // Where tc takes longer than the timer, what the timer sends is dropped too. That is a stall more,
    // but no further signal of congestion; and without function hooks it is not seen.
    let drops = dropped(&peer.netns);
    assert!(drops >= 2, "{drops}");
    let mut figures = Figures::default();
    figures.exactly("SendStall", drops, "the queue's own count").exactly(
        "CongSignals",
        2,
        "the script",
    );
    vec![figures.of(talk)]
}
