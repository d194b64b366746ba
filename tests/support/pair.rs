// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Two fresh namespaces with a link between them and addresses of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::impair::Impairment;
use super::link::{DEVICE, Direction, Link};
use super::netns::Netns;

/// Address family of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A client's and a server's namespace; forward is from client to server.
#[derive(Debug)]
pub struct Pair {
    // First, so that it is dropped first: the devices go before the namespaces they are in.
    link: Link,
    /// Where connections are opened.
    pub client: Netns,
    /// Where they are accepted.
    pub server: Netns,
}

impl Pair {
    /// Makes the namespaces, the link and the addresses.
    pub fn new(forward: Impairment, backward: Impairment) -> Self {
        let client = Netns::new("client");
        let server = Netns::new("server");
        let link = Link::between(&client, &server, forward, backward);
        let pair = Self { link, client, server };
        for (netns, host) in [(&pair.client, 1), (&pair.server, 2)] {
            netns.ip_batch(&[
                format!("addr add 10.77.0.{host}/24 dev {DEVICE}"),
                // nodad: an address that is still being checked for duplicates cannot be bound.
                format!("addr add fd77::{host}/64 dev {DEVICE} nodad"),
            ]);
            // Metrics of one connection must not change the start of the next one.
            netns.sysctl("ipv4/tcp_no_metrics_save", "1");
        }
        pair
    }

    /// The same faults both ways.
    pub fn symmetric(faults: Impairment) -> Self {
        Self::new(faults.clone(), faults)
    }

    /// The link, for its counters and for changing its faults.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Address of the client's end.
    pub fn client_address(&self, family: Family) -> IpAddr {
        address(family, 1)
    }

    /// Address of the server's end.
    pub fn server_address(&self, family: Family) -> IpAddr {
        address(family, 2)
    }

    /// Sets a sysctl at both ends.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.client.sysctl(name, value);
        self.server.sysctl(name, value);
    }

    /// Panics if packets were lost anywhere but by the faults asked for: then no counter of the
    /// link could be compared with one of the kernel.
    pub fn assert_no_stray_loss(&self) {
        for direction in [Direction::Forward, Direction::Backward] {
            let refused = self.link.counters(direction).refused;
            assert_eq!(refused, 0, "{direction:?}: {refused} packets refused by the TUN device");
        }
        for netns in [&self.client, &self.server] {
            let dropped = device_drops(&netns.proc_net("dev"));
            assert_eq!(dropped, 0, "{} packets dropped at {DEVICE} of {}", dropped, netns.name());
        }
    }
}

/// Received and transmitted packets that the device dropped, from /proc/net/dev.
fn device_drops(table: &str) -> u64 {
    let line = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(DEVICE)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("/proc/net/dev has no {DEVICE}"));
    let numbers: Vec<u64> =
        line.split_whitespace().map(|n| n.parse().expect("/proc/net/dev holds numbers")).collect();
    // receive: bytes packets errs drop fifo frame compressed multicast; transmit: the same.
    numbers[3] + numbers[11]
}

fn address(family: Family, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 77, 0, host).into(),
        Family::V6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into()).into(),
    }
}
