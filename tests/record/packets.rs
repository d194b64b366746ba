// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets: that each is there once, as tcpdump and the kernel's own counters have it, and nothing
//! more of it than was asked for.

mod bounds;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use estats::log::{CaptureStat, PacketRow, Recording};
use estats::schema::Hook;
use estats::wire::{Packet, known_header};

use crate::SUITE;
use crate::run::{Finished, Recorder, analyze, scratch};
use crate::support::gate::{self, Needs};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::veth::{self, Counters, counters, send_frame, tagged_datagram, wait_attached};
use crate::traffic::{Both, until};

const WIRE: &str = "wire0";
const CLIENT: [&str; 2] = ["10.99.0.1/24", "fd99::1/64"];
const SERVER: [&str; 2] = ["10.99.0.2/24", "fd99::2/64"];
const TCPDUMP: Needs = Needs { lab: true, bpf: true, programs: &["tcpdump"] };

/// Two namespaces whose link comes when a recorder is there already.
struct Pair {
    client: Netns,
    server: Netns,
}

impl Pair {
    fn new(role: &str) -> Self {
        let pair = Self { client: Netns::new(role), server: Netns::new(role) };
        // A host without a router asks for one for ever, at growing intervals (RFC 7559): the link
        // would fall silent and speak again.
        for netns in [&pair.client, &pair.server] {
            netns.sysctl("ipv6/conf/default/router_solicitations", "0");
        }
        pair
    }

    /// Options that choose both.
    fn both<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [more, &["--netns", self.client.name(), "--netns", self.server.name()]].concat()
    }

    fn link(&self) {
        veth::link(WIRE, &self.client, &self.server);
    }

    fn up(&self) {
        veth::up(WIRE, &self.server, &SERVER);
        veth::up(WIRE, &self.client, &CLIENT);
        // No ARP: it is not IP.
        for (netns, other, mac) in
            [(&self.client, SERVER[0], veth::MACS[1]), (&self.server, CLIENT[0], veth::MACS[0])]
        {
            let other = address(other).to_string();
            netns.ip(&[
                "neighbour",
                "replace",
                &other,
                "lladdr",
                mac,
                "dev",
                WIRE,
                "nud",
                "permanent",
            ]);
        }
    }
}

fn address(of: &str) -> IpAddr {
    of.split('/').next().and_then(|a| a.parse().ok()).expect("an address")
}

/// The packets of a recording, in its order.
fn packets(dir: &Path) -> Vec<Packet> {
    let rows = Recording::open(dir).expect("a recording").packets().map(|row| row.expect("a row"));
    rows.filter_map(|row| match row {
        PacketRow::Packet(packet) => Some(packet),
        PacketRow::Drained(_) => None,
    })
    .collect()
}

fn of<'a>(packets: &'a [Packet], hook: Hook, netns: &Netns) -> Vec<&'a Packet> {
    let inode = netns_inode(netns);
    packets.iter().filter(|p| p.hook == hook && p.netns == Some(inode)).collect()
}

fn netns_inode(netns: &Netns) -> u32 {
    let link = netns.run(|| std::fs::read_link("/proc/thread-self/ns/net").expect("a link"));
    let text = link.to_string_lossy().into_owned();
    let number = text.trim_start_matches("net:[").trim_end_matches(']');
    number.parse().expect("net:[4026531840]")
}

/// What of a packet two observers at one place must agree on.
fn seen(packet: &Packet) -> Packet {
    Packet {
        ts_ns: 0,
        seq: 0,
        cpu: 0,
        hook: Hook::Capture,
        direction: estats::wire::Direction::Unknown,
        interface: None,
        netns: None,
        cookie: None,
        captured_len: 0,
        segments: 1,
        ..packet.clone()
    }
}

fn sorted(packets: impl Iterator<Item = Packet>) -> Vec<String> {
    let mut texts: Vec<String> = packets.map(|p| format!("{:?}", seen(&p))).collect();
    texts.sort();
    texts
}

/// tcpdump at the client's end of the link.
struct Tcpdump(Child);

impl Tcpdump {
    fn start(netns: &Netns, into: &Path) -> Self {
        let log = into.with_extension("log");
        let child = netns
            .command("tcpdump")
            .args(["-Z", "root", "-n", "-U", "-s", "0", "-i", WIRE, "-w"])
            .arg(into)
            .stderr(std::fs::File::create(&log).expect("a log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("tcpdump");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        until("tcpdump does not listen", || said().contains("listening on"));
        Self(child)
    }

    fn stop(mut self) {
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGINT) };
        assert!(self.0.wait().expect("tcpdump").success());
    }
}

fn udp(netns: &Netns, at: IpAddr, port: u16) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind((at, port))).expect("a UDP socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket
}

fn connection(pair: &Pair, family: usize, port: u16) -> Both {
    let at = SocketAddr::new(address(SERVER[family]), port);
    let listener = Listener::bind(&pair.server, at, Options::default());
    let client = Stream::connect(&pair.client, listener.address(), Options::default());
    Both { client: client.expect("a connection"), server: listener.accept() }
}

/// TCP, UDP whole and in fragments, ICMP errors, VLAN tags; IPv4 and IPv6.
fn traffic(pair: &Pair) {
    for family in 0..2 {
        let both = connection(pair, family, 0);
        both.upload(400_000);
        both.finish();
        let server = udp(&pair.server, address(SERVER[family]), 0);
        let client = udp(&pair.client, address(CLIENT[family]), 0);
        let to = server.local_addr().expect("bound");
        for size in [0, 1, 1000, 5000] {
            client.send_to(&vec![7; size], to).expect("sent");
            assert_eq!(server.recv(&mut [0; 9000]).expect("received"), size);
        }
        drop(server);
        // The end is gone: the kernel answers by itself.
        client.connect(to).expect("a peer");
        client.send(&[1; 10]).expect("sent");
        client.recv(&mut [0; 10]).expect_err("refused");
    }
    for tags in [&[7][..], &[9, 10]] {
        let frame = tagged_datagram(tags, address(CLIENT[0]), address(SERVER[0]), b"tagged");
        send_frame(WIRE, &pair.client, &frame);
    }
}

/// Packets of other protocols that an interface received, and sent; by the ledger.
fn not_ip(dir: &Path) -> [u64; 2] {
    let mut sums = [0, 0];
    for row in Recording::open(dir).expect("a recording").capture_stats() {
        if let CaptureStat::NotIp { hook, count, .. } = row.expect("a row") {
            sums[usize::from(hook == Hook::InterfaceOut)] += count;
        }
    }
    sums
}

#[test]
fn packets_are_those_of_tcpdump_and_of_the_interfaces_counters() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let pair = Pair::new("oracle");
    let recorder =
        Recorder::start(&pair.both(&["--packets", "--interface", "all", "--digest-bytes", "1500"]));
    pair.link();
    for end in [&pair.client, &pair.server] {
        wait_attached(WIRE, end);
    }
    let scratch = scratch();
    let capture = scratch.path().join("capture.pcap");
    // It listens before the interface is up, and misses nothing.
    pair.client.ip(&["link", "set", WIRE, "up"]);
    let tcpdump = Tcpdump::start(&pair.client, &capture);
    pair.up();
    traffic(&pair);
    // Neighbour discovery and the like go on for a moment: until two looks agree.
    let mut before = counters(WIRE, &pair.client);
    until("the link does not fall silent", || {
        std::thread::sleep(Duration::from_millis(1500));
        std::mem::replace(&mut before, counters(WIRE, &pair.client)) == before
    });
    let account = counters(WIRE, &pair.client);
    tcpdump.stop();
    let finished = recorder.stop();
    assert_eq!(account, counters(WIRE, &pair.client), "packets after the end");
    finished.assert_code(0).assert_account();

    let all = packets(&finished.dir);
    let (received, sent) =
        (of(&all, Hook::InterfaceIn, &pair.client), of(&all, Hook::InterfaceOut, &pair.client));
    assert_eq!(not_ip(&finished.dir), [0, 0]);
    for (what, packets, counted) in
        [("received", &received, account.received), ("sent", &sent, account.sent)]
    {
        let bytes: u64 = packets.iter().map(|p| u64::from(p.wire_len)).sum();
        assert_eq!([packets.len() as u64, bytes], counted, "{what}");
    }

    let imported = scratch.path().join("imported");
    let arguments = ["import-pcap", "--payload", "1500", "-o", &imported.to_string_lossy()];
    assert!(analyze(&arguments, &capture).status.success());
    let theirs = packets_without_payload(&packets(&imported));
    let ours: Vec<Packet> = received.into_iter().chain(sent).cloned().collect();
    assert_eq!(sorted(packets_without_payload(&ours).into_iter()), sorted(theirs.into_iter()));

    // All that was to be there is.
    for (what, is) in [
        ("TCP", (|p| p.protocol == 6) as fn(&Packet) -> bool),
        ("a super-packet", |p| p.segments > 1),
        ("UDP", |p| p.protocol == 17),
        ("ICMP", |p| p.protocol == 1),
        ("ICMPv6", |p| p.protocol == 58),
        ("a later fragment of IPv4", |p| p.src_addr.is_ipv4() && p.fragment_offset > 0),
        ("a later fragment of IPv6", |p| p.src_addr.is_ipv6() && p.fragment_offset > 0),
        ("VLAN 7", |p| p.vlan == Some(7)),
        ("the outer VLAN", |p| p.vlan == Some(9)),
    ] {
        assert!(ours.iter().any(is), "no {what}");
    }
    // One end receives the packets that the other sends, the tag beside the packet by now.
    let arrived = of(&all, Hook::InterfaceIn, &pair.server);
    let left = of(&all, Hook::InterfaceOut, &pair.client);
    assert_eq!(sorted(arrived.into_iter().cloned()), sorted(left.into_iter().cloned()));
}

/// Payloads differ where one side keeps 1500 bytes after IP and the other as many of the payload.
fn packets_without_payload(packets: &[Packet]) -> Vec<Packet> {
    packets
        .iter()
        .map(|p| Packet { payload: p.payload[..p.payload.len().min(1000)].to_vec(), ..p.clone() })
        .collect()
}

#[test]
fn sockets_have_every_segment_that_the_kernel_counts() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new("segments");
    pair.link();
    pair.up();
    let recorder = Recorder::start(&pair.both(&["--packets"]));
    for family in 0..2 {
        let both = connection(&pair, family, 0);
        both.upload(3_000_000);
        both.finish();
    }
    for end in [&pair.client, &pair.server] {
        end.wait_closed();
    }
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let all = packets(&finished.dir);
    for end in [&pair.client, &pair.server] {
        let sent: u64 = of(&all, Hook::SocketOut, end)
            .into_iter()
            .filter(|p| p.protocol == 6)
            .map(|p| u64::from(p.segments))
            .sum();
        let mib = Mib::of(end);
        // Segments that a time-wait socket answers with go out without a socket that is one: there
        // are none, since nothing was lost here.
        assert_eq!(sent, mib.must("Tcp.OutSegs") + mib.must("Tcp.RetransSegs"));
        let payload = |hook| -> u64 {
            let tcp = of(&all, hook, end).into_iter().filter(|p| p.protocol == 6);
            tcp.map(|p| u64::from(p.payload_len)).sum()
        };
        assert_eq!(payload(Hook::SocketOut) + payload(Hook::SocketIn), 6_000_000);
        assert!(of(&all, Hook::SocketIn, end).iter().all(|p| p.cookie.is_some()));
    }
}

#[test]
fn only_headers_and_the_requested_bytes_are_kept() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for digest in [0usize, 64] {
        let pair = Pair::new("digest");
        pair.link();
        pair.up();
        let bytes = digest.to_string();
        let options = ["--packets", "--interface", WIRE, "--digest-bytes", &bytes];
        let recorder = Recorder::start(&pair.both(&options));
        for family in 0..2 {
            for port in [53, 0] {
                let server = udp(&pair.server, address(SERVER[family]), port);
                let client = udp(&pair.client, address(CLIENT[family]), 0);
                let to = server.local_addr().expect("bound");
                // First bytes of QUIC's long and short headers, and of neither.
                for first in [0xc3u8, 0x40, 0x3f, 0x80] {
                    for size in [1usize, 5, 11, 12, 13, 300] {
                        client.send_to(&vec![first; size], to).expect("sent");
                        let (_, from) = server.recv_from(&mut [0; 400]).expect("received");
                        server.send_to(&vec![first; size], from).expect("sent");
                    }
                }
                client.send_to(&[], to).expect("sent");
                let both = connection(&pair, family, port);
                both.upload(5_000);
                both.finish();
            }
        }
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let all = packets(&finished.dir);
        for hook in [Hook::SocketIn, Hook::SocketOut, Hook::InterfaceIn, Hook::InterfaceOut] {
            for end in [&pair.client, &pair.server] {
                assert!(of(&all, hook, end).len() > 90, "{hook}");
            }
        }
        let mut known = 0;
        for packet in &all {
            let ports = packet.src_port.zip(packet.dst_port);
            let header = known_header(packet.protocol, ports, packet.payload.first().copied());
            // The first byte of a payload that is not kept is not one of QUIC's.
            let kept = header.max(digest.saturating_sub(packet.header.len()));
            let kept = kept.min(packet.payload_len as usize);
            assert_eq!(packet.payload.len(), kept, "{packet:?}");
            known += usize::from(header > 0);
            if packet.protocol == 17 && kept == 0 && packet.payload_len > 0 && digest == 0 {
                assert!(ports.is_some_and(|(a, b)| a != 53 && b != 53), "{packet:?}");
            }
        }
        assert!(known > 500, "{known}");
        // Neither of QUIC nor of DNS: 6 sizes there and back, 2 families, 4 places.
        let plain = |p: &&Packet| {
            p.protocol == 17
                && p.payload_len > 0
                && p.src_port != Some(53)
                && p.dst_port != Some(53)
        };
        let bare = all.iter().filter(plain).filter(|p| p.payload.is_empty()).count();
        assert_eq!(bare, if digest == 0 { 6 * 2 * 2 * 4 } else { 0 });
    }
}

#[test]
fn packets_are_filtered_in_the_kernel() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new("filter");
    pair.link();
    pair.up();
    let server = udp(&pair.server, address(SERVER[0]), 0);
    let port = server.local_addr().expect("bound").port();
    let text = port.to_string();
    for (filter, value) in [("--port", text.as_str()), ("--addr", "fd99::/64")] {
        let options = ["--packets", "--interface", WIRE, filter, value];
        let recorder = Recorder::start(&pair.both(&options));
        let client = udp(&pair.client, address(CLIENT[0]), 0);
        client.send_to(&[1; 10], server.local_addr().expect("bound")).expect("sent");
        server.recv(&mut [0; 10]).expect("received");
        let other = udp(&pair.server, address(SERVER[1]), 0);
        let client = udp(&pair.client, address(CLIENT[1]), 0);
        client.send_to(&[1; 10], other.local_addr().expect("bound")).expect("sent");
        other.recv(&mut [0; 10]).expect("received");
        connection(&pair, 0, 0).finish();
        connection(&pair, 1, 0).finish();
        let finished = recorder.stop();
        finished.assert_code(0).assert_account();
        let all = packets(&finished.dir);
        let of_udp = all.iter().filter(|p| p.protocol == 17).count();
        assert_eq!(of_udp, 4, "out, out, in, in: {all:#?}");
        if filter == "--port" {
            let has = |p: &Packet| p.src_port == Some(port) || p.dst_port == Some(port);
            assert!(all.iter().all(has), "{all:#?}");
        } else {
            assert!(all.iter().all(|p| p.src_addr.is_ipv6()), "{all:#?}");
            assert!(all.iter().any(|p| p.protocol == 6));
        }
    }
}

/// Perl that makes a UDP socket, sends N datagrams to 127.0.0.1 and, if asked to, reads a line before
/// each.
const DATAGRAMS: &str = "use Socket; $| = 1; my ($port, $n, $wait) = @ARGV; \
     socket(my $s, PF_INET, SOCK_DGRAM, 0) or die $!; print \"made\\n\"; \
     for (1 .. $n) { <STDIN> if $wait; \
     send($s, 'hello', 0, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) or die $! }";

#[test]
fn datagrams_belong_to_the_process_that_made_their_socket() {
    let Some(_turn) = gate::enter(SUITE, crate::PERL) else { return };
    let netns = Netns::new("owner");
    let server = udp(&netns, "127.0.0.1".parse().expect("an address"), 0);
    let port = server.local_addr().expect("bound").port().to_string();
    // With a command: its sockets are made while it is recorded.
    let other = udp(&netns, "127.0.0.1".parse().expect("an address"), 0);
    let recorder = Recorder::under(
        &["nsenter", &format!("--net=/run/netns/{}", netns.name())],
        &[
            "--packets",
            "--",
            "sh",
            "-c",
            "sleep 0.3; exec perl -e \"$0\" \"$1\" 5 0",
            DATAGRAMS,
            &port,
        ],
    );
    other.send_to(b"others", server.local_addr().expect("bound")).expect("sent");
    let finished = recorder.wait();
    finished.assert_code(0).assert_account();
    let out = sent_to(&finished, &port);
    assert_eq!(out, 5);

    // By its id: the socket is there already.
    let mut process = crate::traffic::Process::start(
        netns.command("perl").args(["-e", DATAGRAMS, &port, "1", "1"]),
    );
    let mut line = String::new();
    let stdout = process.0.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(line, "made\n");
    let pid = process.0.id().to_string();
    let recorder = Recorder::start(&["--packets", "--pid", &pid]);
    other.send_to(b"others", server.local_addr().expect("bound")).expect("sent");
    process.release();
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    assert_eq!(sent_to(&finished, &port), 1);
}

/// Datagrams of five bytes that went to this port; no other packet may be there.
fn sent_to(finished: &Finished, port: &str) -> usize {
    let all = packets(&finished.dir);
    let port = port.parse().ok();
    assert!(all.iter().all(|p| p.dst_port == port && p.payload_len == 5), "{all:#?}");
    // The receiver's socket is another process's.
    assert!(all.iter().all(|p| p.hook == Hook::SocketOut), "{all:#?}");
    all.len()
}

#[test]
fn forwarded_packets_appear_only_at_interfaces() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (left, router, right) = (Netns::new("left"), Netns::new("router"), Netns::new("right"));
    let recorder = Recorder::start(&["--packets", "--interface", "all", "--netns", router.name()]);
    veth::link("l0", &left, &router);
    veth::link("r0", &right, &router);
    router.sysctl("ipv4/ip_forward", "1");
    for (name, end) in [("l0", &router), ("r0", &router)] {
        wait_attached(name, end);
    }
    veth::up("l0", &router, &["10.98.1.1/24"]);
    veth::up("r0", &router, &["10.98.2.1/24"]);
    veth::up("l0", &left, &["10.98.1.2/24"]);
    veth::up("r0", &right, &["10.98.2.2/24"]);
    left.ip(&["route", "add", "default", "via", "10.98.1.1"]);
    right.ip(&["route", "add", "default", "via", "10.98.2.1"]);
    let server = udp(&right, address("10.98.2.2"), 0);
    let client = udp(&left, address("10.98.1.2"), 0);
    for _ in 0..10 {
        client.send_to(&[3; 100], server.local_addr().expect("bound")).expect("sent");
        server.recv(&mut [0; 100]).expect("received");
    }
    let counted = || {
        let sums = [counters("l0", &router), counters("r0", &router), counters("lo", &router)];
        let sum = |of: fn(&Counters) -> u64| sums.iter().map(of).sum::<u64>();
        [sum(|c| c.received[0]), sum(|c| c.sent[0])]
    };
    let before = counted();
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let all = packets(&finished.dir);
    let udp: Vec<_> = all.iter().filter(|p| p.protocol == 17).collect();
    let at = |hook, name| {
        let index = Some(veth::index(name, &router));
        udp.iter().filter(|p| p.hook == hook && p.interface == index).collect::<Vec<_>>()
    };
    let (came, went) = (at(Hook::InterfaceIn, "l0"), at(Hook::InterfaceOut, "r0"));
    assert_eq!((came.len(), went.len(), udp.len()), (10, 10, 20));
    for (came, went) in came.iter().zip(&went) {
        assert_eq!((came.ip_id, came.ttl), (went.ip_id, went.ttl + 1));
        assert_eq!(
            (came.cookie, went.cookie),
            (None, None),
            "the sender's is of another namespace"
        );
    }
    // Packets that are not IP (here ARP) are counted, so that the interfaces' totals add up.
    let in_and_out = |hook| all.iter().filter(|p| p.hook == hook).count() as u64;
    let other = not_ip(&finished.dir);
    assert!(other[0] > 0 && other[1] > 0, "{other:?}");
    // Neighbours may be asked for once more while the recorder ends.
    let after = counted();
    for (i, hook) in [Hook::InterfaceIn, Hook::InterfaceOut].into_iter().enumerate() {
        let seen = in_and_out(hook) + other[i];
        assert!((before[i]..=after[i]).contains(&seen), "{hook}: {seen}, {before:?} {after:?}");
    }
}
