// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A path of three namespaces: client, router and server, with netem on both egresses of the
//! router.
//!
//! Not on the sender's own device, unless a scenario asks for it: TCP notices at once what netem drops
//! there (a local drop, not a loss), and its queue holds back the sender (TSQ), unlike a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::netns::{Netns, ip};
use crate::support::pair::Family;

/// Devices of the router, and the qdiscs of the path.
const TO_CLIENT: &str = "client";
const TO_SERVER: &str = "server";
/// The device of a host.
const DEVICE: &str = "eth";
/// One-way delay and rate of every path; 1000 packets of queue, so that only the faults asked for
/// lose any.
const LINK: &str = "limit 1000 delay 10ms rate 20mbit";

/// A path; its namespaces go when it is dropped.
#[derive(Debug)]
pub struct Path {
    /// Where connections are opened.
    pub client: Netns,
    /// Where they are accepted.
    pub server: Netns,
    router: Netns,
    number: u8,
}

impl Path {
    /// Makes the path. Its addresses hold `number`, so that no two paths of a guest share one and a row
    /// is identified by its addresses.
    pub fn new(number: u8) -> Self {
        let path = Self {
            client: Netns::new("client"),
            server: Netns::new("server"),
            router: Netns::new("router"),
            number,
        };
        for (host, to_host, network) in [(&path.client, TO_CLIENT, 1), (&path.server, TO_SERVER, 2)]
        {
            ip(&[
                "link",
                "add",
                DEVICE,
                "netns",
                host.name(),
                "type",
                "veth",
                "peer",
                "name",
                to_host,
                "netns",
                path.router.name(),
            ]);
            for (netns, device, last) in [(host, DEVICE, 1), (&path.router, to_host, 254)] {
                let v4 = format!("10.{number}.{network}.{last}/24");
                let v6 = format!("fd78:{number:x}:{network}::{last:x}/64");
                netns.ip(&["addr", "add", &v4, "dev", device]);
                // nodad: an address that is still being checked for duplicates cannot be bound.
                netns.ip(&["addr", "add", &v6, "dev", device, "nodad"]);
                netns.ip(&["link", "set", device, "up"]);
                in_order(netns, device);
            }
            host.ip(&["route", "add", "default", "via", &format!("10.{number}.{network}.254")]);
            let gateway = format!("fd78:{number:x}:{network}::fe");
            host.ip(&["-6", "route", "add", "default", "via", &gateway]);
            // Metrics of one connection must not change the start of the next one.
            host.sysctl("ipv4/tcp_no_metrics_save", "1");
        }
        path.router.sysctl("ipv4/ip_forward", "1");
        path.router.sysctl("ipv6/conf/all/forwarding", "1");
        path.forward("");
        path.qdisc(TO_CLIENT, "");
        path
    }

    /// Sets the faults from client to server, in netem's words.
    pub fn forward(&self, faults: &str) {
        self.qdisc(TO_SERVER, faults);
    }

    /// One segment per skb at both ends: then netem loses, reorders and marks segments, not
    /// bursts of them.
    pub fn without_segmentation_offload(&self) {
        for host in [&self.client, &self.server] {
            host.ip(&["link", "set", DEVICE, "gso_max_segs", "1"]);
        }
    }

    /// Address of the client.
    pub fn client_address(&self, family: Family) -> IpAddr {
        self.address(family, 1)
    }

    /// Address of the server.
    pub fn server_address(&self, family: Family) -> IpAddr {
        self.address(family, 2)
    }

    fn address(&self, family: Family, network: u8) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, self.number, network, 1).into(),
            Family::V6 => {
                Ipv6Addr::new(0xfd78, self.number.into(), network.into(), 0, 0, 0, 0, 1).into()
            }
        }
    }

    /// Gives the client's own device a queue, in the words of `tc qdisc`.
    pub fn slow_down_client(&self, queue: &str) {
        tc(&self.client, &format!("qdisc replace dev {DEVICE} root {queue}"));
    }

    fn qdisc(&self, device: &str, faults: &str) {
        tc(&self.router, &format!("qdisc replace dev {device} root netem {LINK} {faults}"));
    }
}

fn tc(netns: &Netns, words: &str) {
    let mut command = netns.command("tc");
    let output = command.args(words.split_whitespace()).output().expect("tc can be run");
    assert!(
        output.status.success(),
        "tc {words}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// One processor for all that the device receives: the timer of netem and its sender run on
/// either of the two, and packets would overtake each other between their queues.
fn in_order(netns: &Netns, device: &str) {
    // ip netns exec shows the namespace's own /sys.
    let script = format!("echo 1 >/sys/class/net/{device}/queues/rx-0/rps_cpus");
    let status = netns.command("dash").args(["-c", &script]).status().expect("dash can be run");
    assert!(status.success(), "{script}: {status}");
}
