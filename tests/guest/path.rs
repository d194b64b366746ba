// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A path of three namespaces: client, router and server, with netem on both egresses of the
//! router.
//!
//! Not on the sender's own device, unless a scenario asks for it: TCP notices at once what netem drops
//! there (a local drop, not a loss), and its queue holds back the sender (TSQ), unlike a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::netns::{Netns, ip_batch};
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
        let (client, server, router) = (path.client.name(), path.server.name(), path.router.name());
        ip_batch(&[(client, TO_CLIENT), (server, TO_SERVER)].map(|(host, to_host)| {
            format!("link add {DEVICE} netns {host} type veth peer name {to_host} netns {router}")
        }));
        let up = |netns: &Netns, ends: &[(&str, u8, u8)], gateways: &[String]| {
            let set_up = |&(device, network, last): &(&str, u8, u8)| {
                [
                    format!("addr add 10.{number}.{network}.{last}/24 dev {device}"),
                    // nodad: an address that is still being checked for duplicates cannot be bound.
                    format!("addr add fd78:{number:x}:{network}::{last:x}/64 dev {device} nodad"),
                    format!("link set {device} up"),
                ]
            };
            let mut lines: Vec<String> = ends.iter().flat_map(set_up).collect();
            lines.extend(gateways.iter().map(|to| format!("route add default via {to}")));
            netns.ip_batch(&lines);
            ends.iter().for_each(|(device, ..)| in_order(netns, device));
        };
        for (host, network) in [(&path.client, 1), (&path.server, 2)] {
            let gateways =
                [format!("10.{number}.{network}.254"), format!("fd78:{number:x}:{network}::fe")];
            up(host, &[(DEVICE, network, 1)], &gateways);
            // Metrics of one connection must not change the start of the next one.
            host.sysctl("ipv4/tcp_no_metrics_save", "1");
        }
        up(&path.router, &[(TO_CLIENT, 1, 254), (TO_SERVER, 2, 254)], &[]);
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
        self.client.tc(&format!("qdisc replace dev {DEVICE} root {queue}"));
    }

    fn qdisc(&self, device: &str, faults: &str) {
        self.router.tc(&format!("qdisc replace dev {device} root netem {LINK} {faults}"));
    }
}

/// One processor for all that the device receives: the timer of netem and its sender run on
/// either of the two, and packets would overtake each other between their queues.
fn in_order(netns: &Netns, device: &str) {
    netns.device_attribute(&format!("{device}/queues/rx-0/rps_cpus"), "1");
}
