// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that are dropped where their headers are not as TCP made them: below a tunnel, behind the padding
//! of Ethernet, and before the network layer has looked at them.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use super::*;
use crate::support::veth;

/// A device on the way whose packets are inside UDP.
const TUNNEL: &str = "vx0";
/// The pair of Ethernet interfaces.
const WIRE: &str = "w0";
/// How many packets wait in a CPU's queue before the kernel drops one more; with 0 it drops the second.
const BACKLOG: &str = "/proc/sys/net/core/netdev_max_backlog";

/// Addresses inside the tunnel.
fn inside(family: Family, host: u8) -> SocketAddr {
    let ip = match family {
        Family::V4 => format!("10.78.0.{host}"),
        Family::V6 => format!("fd78::{host}"),
    };
    SocketAddr::new(ip.parse().expect("an address"), 0)
}

fn tunnel(pair: &Pair, outer: Family) {
    let ends = [pair.client_address(outer), pair.server_address(outer)];
    for (netns, [local, remote], host) in
        [(&pair.client, ends, 1), (&pair.server, [ends[1], ends[0]], 2)]
    {
        let (local, remote) = (local.to_string(), remote.to_string());
        let ends = ["local", &local, "remote", &remote, "dstport", "4789", "dev", DEVICE];
        netns.ip(&[&["link", "add", TUNNEL, "type", "vxlan", "id", "7"][..], &ends].concat());
        netns.add_address(&format!("10.78.0.{host}/24"), TUNNEL);
        netns.add_address(&format!("fd78::{host}/64"), TUNNEL);
        // The queue below must drop packets of TCP alone: no router solicitations.
        netns.ip(&["link", "set", TUNNEL, "addrgenmode", "none"]);
        netns.sysctl(&format!("ipv6/conf/{TUNNEL}/router_solicitations"), "0");
        netns.ip(&["link", "set", TUNNEL, "gso_max_segs", "1", "up"]);
    }
}

/// What a tunnel sends has headers of its own before those of TCP. Each octet of payload that was sent and
/// did not arrive was dropped by the queue below it.
#[test]
fn what_is_dropped_below_a_tunnel_has_the_payload_and_the_connection_of_the_segment_in_it() {
    const OCTETS: u64 = 200_000;
    let Some(_turn) = gate::enter(SUITE, TC) else { return };
    for (family, outer) in
        [(Family::V4, Family::V4), (Family::V6, Family::V4), (Family::V4, Family::V6)]
    {
        let context = format!("{family:?} in {outer:?}");
        let pair = Pair::symmetric(Impairment::default());
        tunnel(&pair, outer);
        pair.client.tc(&format!("qdisc add dev {DEVICE} root {QUEUE}"));
        let recorder = record(&pair, &[]);
        let listener = Listener::bind(&pair.server, inside(family, 2), Options::default());
        let client = Stream::connect(&pair.client, listener.address(), Options::default())
            .expect("a listener is there");
        let server = listener.accept();
        std::thread::scope(|scope| {
            scope.spawn(|| client.send(OCTETS));
            server.receive(OCTETS);
        });
        close(&client, &server);
        let (local, remote) = (client.local(), server.local());
        let dropped = dropped_by_queue(&pair.client);
        assert!(dropped > 0, "the queue was never full");
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let payload = payload_of_queue(&drops(&finished), conn_id(&finished, local), dropped);
        assert_eq!(payload, payload_between(&finished, local, remote), "{context}");
    }
}

/// Ethernet has no frames below 60 octets: short packets are padded. IP cuts the padding off, but only after
/// it has checked its header.
#[test]
fn padding_is_no_payload() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (client, server) = (Netns::new("client"), Netns::new("server"));
    veth::link(WIRE, &client, &server);
    veth::up(WIRE, &client, &["10.79.0.1/24"]);
    veth::up(WIRE, &server, &["10.79.0.2/24"]);
    let both = ["--netns", client.name(), "--netns", server.name()];
    let recorder = Recorder::start(&both);
    for payload in [0, 5, 100] {
        let mut packet = Segment {
            from: "10.79.0.1:7000".parse().expect("an address"),
            to: "10.79.0.2:7001".parse().expect("an address"),
            ttl: 64,
            tos: 0,
            seq: 1,
            ack: 1,
            flags: ACK,
            ae: false,
            window: 256,
            options: Choices::default(),
            payload,
        }
        .packet();
        packet[10] ^= 1;
        // Broadcast, so that it arrives without ARP.
        let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[8, 0], &packet].concat();
        frame.resize(frame.len().max(60), 0);
        veth::send_frame(WIRE, &client, &frame);
    }
    std::thread::sleep(SETTLE);
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let drops = drops(&finished);
    assert_eq!(drops, BTreeMap::from([(key(None, "received", "IP_CSUM"), (3, 105))]));
}

/// Packets that the queues of all CPUs dropped together: the second number of each line.
fn dropped_by_backlog() -> i64 {
    let lines = fs::read_to_string("/proc/net/softnet_stat").expect("softnet_stat");
    let of_cpu = |line: &str| {
        let number = line.split_whitespace().nth(1).expect("a second number");
        i64::from_str_radix(number, 16).expect("hexadecimal")
    };
    lines.lines().map(of_cpu).sum()
}

/// Has the kernel divide super-packets before this interface gets them. Their segments come to the queue one after the
/// other, and nobody takes the first out between. Packets that TCP sends one by one are taken out one by one.
fn send_in_segments(name: &str, netns: &Netns) {
    /// struct ethtool_value and ETHTOOL_STSO of linux/ethtool.h, SIOCETHTOOL of linux/sockios.h.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    netns.run(|| {
        let mut value = Value { command: 0x1f, data: 0 };
        // SAFETY: all zero is a request without a name.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // SAFETY: the request and what it points to live until the call ends.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), 0x8946, &raw mut request) };
        assert_eq!(result, 0, "{name}: {}", std::io::Error::last_os_error());
    });
}

/// A length of these queues that other tests do not get, even if this one fails.
struct Backlog {
    usual: String,
}

impl Backlog {
    fn set(length: &str) -> Self {
        let usual = fs::read_to_string(BACKLOG).expect("netdev_max_backlog");
        fs::write(BACKLOG, length).expect("netdev_max_backlog");
        Self { usual }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        fs::write(BACKLOG, &self.usual).expect("netdev_max_backlog");
    }
}

/// The kernel drops before the network layer has seen the packet: it has no input interface yet. The queue's
/// length is one for the whole kernel, so this runs in a guest only (`make guest-drops`).
#[test]
#[ignore = "changes a setting of the whole kernel: make guest-drops runs it in a guest"]
fn what_a_full_backlog_of_a_cpu_drops_was_received() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    assert_eq!(std::env::var("ESTATS_OWN_KERNEL").as_deref(), Ok("1"), "not in a guest");
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let netns = Netns::new("own");
        netns.ip(&["link", "set", "lo", "mtu", "1500"]);
        send_in_segments("lo", &netns);
        let recorder = Recorder::start(&["--netns", netns.name()]);
        let listener =
            Listener::bind(&netns, address.parse().expect("an address"), Options::default());
        let client = Stream::connect(&netns, listener.address(), Options::default())
            .expect("a listener is there");
        let server = listener.accept();
        let before = dropped_by_backlog();
        let backlog = Backlog::set("0");
        std::thread::scope(|scope| {
            scope.spawn(|| client.send(60_000));
            server.receive(60_000);
        });
        drop(backlog);
        let dropped = dropped_by_backlog() - before;
        assert!(dropped > 0, "the backlog was never full");
        close(&client, &server);
        let (local, remote) = (client.local(), server.local());
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let receiver = Some(conn_id(&finished, remote));
        let drops = drops(&finished);
        let of_backlog: Vec<_> = drops.iter().filter(|(key, _)| key.2 == "CPU_BACKLOG").collect();
        assert!(of_backlog.iter().all(|(key, _)| key.1 == "received"), "{drops:#?}");
        assert_eq!(of_backlog.iter().map(|(_, sum)| sum.0).sum::<i64>(), dropped, "{drops:#?}");
        let (_, octets) = drops[&key(receiver, "received", "CPU_BACKLOG")];
        assert_eq!(octets, payload_between(&finished, local, remote), "{drops:#?}");
    }
}
