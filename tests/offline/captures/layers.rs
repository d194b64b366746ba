// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Layers between a link header and IP, and IP in IP.

use super::*;
use common::capture::*;

const LITTLE: Order = Order { big: false };
const A: (&str, u16) = ("192.0.2.1", 40_000);
const B: (&str, u16) = ("198.51.100.2", 80);

/// The segments of a connection as IP packets: handshake, a question, its answer, the end.
pub fn packets() -> Vec<Tcp> {
    let steps: [(bool, u32, u32, u8, usize); 9] = [
        (true, 0, 0, SYN, 0),
        (false, 0, 1, SYN | ACK, 0),
        (true, 1, 1, ACK, 0),
        (true, 1, 1, ACK, 500),
        (false, 1, 501, ACK, 900),
        (true, 501, 901, ACK | FIN, 0),
        (false, 901, 502, ACK | FIN, 0),
        (true, 502, 902, ACK, 0),
        (true, 502, 902, ACK, 0),
    ];
    let packet = |(i, (ours, seq, ack, flags, payload)): (usize, (bool, u32, u32, u8, usize))| {
        let (src, dst) = if ours { (A, B) } else { (B, A) };
        let (mine, theirs) = if ours { (7000, 9000) } else { (9000, 7000) };
        Tcp {
            seq: mine + seq,
            ack: if flags & ACK == 0 { 0 } else { theirs + ack },
            flags,
            payload,
            options: if flags & SYN == 0 { Vec::new() } else { vec![2, 4, 5, 0xb4] },
            ttl: if ours { 64 } else { 55 },
            id: if ours { 100 } else { 5000 } + i as u16,
            ..Tcp::new(src, dst)
        }
    };
    // The last is not there twice.
    steps[..8].iter().copied().enumerate().map(packet).collect()
}

/// A capture of the connection, each packet dressed by `dress`.
pub fn capture(link_type: u32, dress: impl Fn(&Tcp) -> Vec<u8>) -> Vec<u8> {
    let frame = |(i, tcp): (usize, &Tcp)| Frame::new(T + i as u64 * 20_000_000, dress(tcp));
    let frames: Vec<_> = packets().iter().enumerate().map(frame).collect();
    pcap(LITTLE, false, link_type, &frames)
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn ethernet(middle: &[u8], ip: &[u8]) -> Vec<u8> {
    [&MACS, middle, ip].concat()
}

fn sized(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

/// IPv4 between two ends of a tunnel.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = sized(20 + payload.len());
    let head = [0x45, 0, high, low, 0, 9, 0, 0, 60, protocol, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2];
    [&head[..], payload].concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let head = [[0xc3, 0x50], port.to_be_bytes(), sized(8 + payload.len()), [0, 0]].concat();
    outer(17, &[&head, payload].concat())
}

/// All that is the same of the connection, wherever it was in.
fn connection(import: &Imported) -> Vec<String> {
    let (row, c) = (import.variables(), import.connection());
    let mut all: Vec<String> = values(
        &row,
        &[
            "SegsIn",
            "SegsOut",
            "DataSegsIn",
            "DataSegsOut",
            "HCDataOctetsIn",
            "SegsRetrans",
            "MSSRcvd",
        ],
    )
    .into_iter()
    .map(str::to_owned)
    .collect();
    all.extend(
        values(&c, &["completeness", "close_reason", "local_address"])
            .into_iter()
            .map(str::to_owned),
    );
    all.push(import.table("rtt").len().to_string());
    all
}

#[test]
fn layers_below_ip_are_removed() {
    let plain = imported(&capture(1, Tcp::ethernet));
    let expected = connection(&plain);
    let [segs_in, segs_out] = [3, 5].map(|n: u32| n.to_string());
    assert_eq!(expected[..2], [segs_in, segs_out]);
    assert_eq!(expected[7..], ["complete", "fin", A.0, "6"], "{expected:?}");
    type Dress = fn(&Tcp) -> Vec<u8>;
    let cases: [(&str, u32, Dress); 16] = [
        ("QinQ", 1, |t| ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0], &t.ip())),
        ("VN-tag", 1, |t| ethernet(&[0x89, 0x26, 0, 1, 0, 2, 8, 0], &t.ip())),
        ("VN-tag", 1, |t| ethernet(&[0x89, 0x26, 0, 1, 0, 2, 0x81, 0, 0, 9, 8, 0], &t.ip())),
        ("MPLS", 1, |t| ethernet(&[0x88, 0x47, 0, 1, 0x41, 64], &t.ip())),
        ("MPLS", 1, |t| ethernet(&[0x88, 0x47, 0, 1, 0x40, 64, 0, 2, 0x41, 63], &t.ip())),
        ("PPPoE", 1, |t| {
            let [high, low] = sized(2 + t.ip().len());
            ethernet(&[0x88, 0x64, 0x11, 0, 0, 7, high, low, 0, 0x21], &t.ip())
        }),
        ("LLC/SNAP", 1, |t| {
            let [high, low] = sized(8 + t.ip().len());
            ethernet(&[high, low, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &t.ip())
        }),
        ("LLC/SNAP", 1, |t| {
            let [high, low] = sized(8 + t.ip().len());
            ethernet(&[0x81, 0, 0, 5, high, low, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &t.ip())
        }),
        ("LLC", 1, |t| {
            let [high, low] = sized(3 + t.ip().len());
            ethernet(&[high, low, 6, 6, 3], &t.ip())
        }),
        ("", 9, |t| [&[0, 0x21][..], &t.ip()].concat()),
        ("", 9, |t| [&[0xff, 3, 0x21][..], &t.ip()].concat()),
        ("", 50, |t| [&[0xff, 3, 0, 0x21][..], &t.ip()].concat()),
        ("", 50, |t| [&[0x0f, 0, 8, 0][..], &t.ip()].concat()),
        ("", 104, |t| [&[0x0f, 0, 8, 0][..], &t.ip()].concat()),
        ("", 113, |t| [&[0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &t.ip()].concat()),
        ("MPLS", 113, |t| {
            let head = [0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x88, 0x47, 0, 1, 0x41, 64];
            [&head[..], &t.ip()].concat()
        }),
    ];
    for (i, (name, link_type, dress)) in cases.into_iter().enumerate() {
        let bytes = capture(link_type, dress);
        // That they are what they are meant to be.
        if let Some(segments) = tshark(&bytes, "tcp", "frame.number") {
            assert_eq!(segments.len(), 8, "{i} {name}");
        }
        let import = imported(&bytes);
        assert_eq!((import.codes, import.said.as_str()), ([Some(0); 2], ""), "{i} {name}");
        assert_eq!(connection(&import), expected, "{i} {name}");
        let within = import.manifest()["import"]["within"].clone();
        let seen: Vec<_> = within.as_object().into_iter().flatten().collect();
        match &seen[..] {
            [] => assert!(name.is_empty() || name == "QinQ", "{i} {name}"),
            [(n, count)] => assert_eq!((n.as_str(), count.as_u64()), (name, Some(8)), "{i}"),
            more => panic!("{i} {more:?}"),
        }
    }
}

#[test]
fn tunnels_are_decapsulated_on_request() {
    let expected = connection(&imported(&capture(1, Tcp::ethernet)));
    type Dress = fn(&Tcp) -> Vec<u8>;
    let cases: [(&str, Dress); 11] = [
        ("IPIP", |t| outer(4, &t.ip())),
        ("GRE", |t| outer(47, &[&[0, 0, 8, 0][..], &t.ip()].concat())),
        ("GRE", |t| {
            outer(47, &[&[0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8][..], &t.ip()].concat())
        }),
        ("GRE", |t| outer(47, &[&[0, 0, 0x65, 0x58][..], &t.ethernet()].concat())),
        ("GRE", |t| {
            outer(
                47,
                &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 0, 0, 0, 0, 0][..], &t.ethernet()]
                    .concat(),
            )
        }),
        ("GRE", |t| {
            outer(
                47,
                &[&[0x20, 1, 0x88, 0x0b, 0, 40, 0, 1, 0xff, 3, 0, 0x21][..], &t.ip()].concat(),
            )
        }),
        ("GRE", |t| outer(47, &[&[0, 0, 0x88, 0x47, 0, 1, 0x41, 64][..], &t.ip()].concat())),
        ("VXLAN", |t| udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0][..], &t.ethernet()].concat())),
        ("Geneve", |t| {
            udp(
                6081,
                &[&[1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 0x80, 0][..], &t.ethernet()].concat(),
            )
        }),
        ("6in4", |t| {
            let [high, low] = sized(20 + t.payload + t.options.len());
            let head = [0x60, 0, 0, 0, high, low, 6, t.ttl];
            let end = |(addr, _): (std::net::IpAddr, u16)| match addr {
                std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                std::net::IpAddr::V6(v6) => v6.octets(),
            };
            outer(41, &[&head[..], &end(t.src), &end(t.dst), &t.ip()[20..]].concat())
        }),
        // A tunnel in a tunnel.
        ("VXLAN", |t| {
            let inner = [&[0, 0, 8, 0][..], &t.ip()].concat();
            let frame = ethernet(&[8, 0], &outer(47, &inner));
            udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0][..], &frame].concat())
        }),
    ];
    for (i, (name, dress)) in cases.into_iter().enumerate() {
        let bytes = capture(1, |t| ethernet(&[8, 0], &dress(t)));
        if let Some(segments) = tshark(&bytes, "tcp", "frame.number") {
            assert_eq!(segments.len(), 8, "{i} {name}");
        }
        let as_it_is = imported(&bytes);
        let said =
            format!("8 packets belong to a tunnel: {name}; use --inner to read what is inside");
        assert!(as_it_is.said.contains(&said), "{i} {}", as_it_is.said);
        assert!(as_it_is.table("connections").is_empty());
        assert_eq!(as_it_is.table("flows").len(), 1);
        let inner = imported_with(&bytes, &["--inner"]);
        assert_eq!((inner.codes, inner.said.as_str()), ([Some(0); 2], ""), "{i} {name}");
        let (mut found, mut wanted) = (connection(&inner), expected.clone());
        if name == "6in4" {
            (found[9], wanted[9]) = (String::new(), String::new());
        }
        assert_eq!(found, wanted, "{i} {name}");
    }
    // A payload that is not a packet stays the tunnel's, and is named.
    let bytes = capture(1, |_| ethernet(&[8, 0], &outer(47, &[0, 0, 8, 6, 0, 1])));
    let import = imported_with(&bytes, &["--inner"]);
    assert!(import.said.contains("8 packets belong to a tunnel: GRE (ARP)"), "{}", import.said);
    let bytes = capture(1, |t| ethernet(&[8, 0], &outer(4, &t.ip()[..12])));
    let import = imported_with(&bytes, &["--inner"]);
    assert!(import.said.contains("to a tunnel: IPIP (malformed IP header)"), "{}", import.said);
}

#[test]
fn unread_packets_are_named_and_an_empty_import_is_exit_status_1() {
    let arp = ethernet(&[8, 6], &[0; 28]);
    let stp = ethernet(&[0, 38], &[0x42; 38]);
    let lldp = ethernet(&[0x88, 0xcc], &[0; 28]);
    let discovery = ethernet(&[0x88, 0x63, 0x11, 9, 0, 0, 0, 0], &[0; 28]);
    let lcp = ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0xc0, 0x21], &[0; 28]);
    let mpls = ethernet(&[0x88, 0x47, 0, 1, 0x41, 64], &[0; 28]);
    let unknown = ethernet(&[0x12, 0x34], &[0; 28]);
    for (link_type, bytes, name) in [
        (1, &arp, "ARP"),
        (1, &stp, "STP"),
        (1, &lldp, "LLDP"),
        (1, &discovery, "PPPoE discovery"),
        (1, &lcp, "LCP of PPP"),
        (1, &mpls, "MPLS without IP in it"),
        (1, &unknown, "EtherType 0x1234"),
        (105, &arp, "IEEE 802.11"),
        (127, &arp, "IEEE 802.11 with a radiotap header"),
        (189, &arp, "USB (Linux, 48-octet header)"),
        (220, &arp, "USB (Linux, 64-octet header)"),
        (201, &arp, "Bluetooth HCI H4 with a pseudo-header"),
        (4711, &arp, "link type 4711"),
    ] {
        let frames = [Frame::new(T, bytes.clone()), Frame::new(T + 1_000_000_000, bytes.clone())];
        let import = imported(&pcap(LITTLE, false, link_type, &frames));
        assert_eq!(import.codes[0], Some(1), "{name}");
        let said = format!("no packet of capture was imported: it contains only 2 {name}\n");
        assert!(import.said.contains(&said), "{name}: {}", import.said);
        // Beside others that are read it is not a failure.
        if link_type == 1 {
            let frames = [Frame::new(T, bytes.clone()), Frame::new(T, packets()[0].ethernet())];
            let import = imported(&pcap(LITTLE, false, link_type, &frames));
            assert_eq!(import.codes[0], Some(0), "{name}");
            assert!(import.said.contains(&format!("1 packet left out: {name}")), "{}", import.said);
        }
    }
    let empty = imported(&pcap(LITTLE, false, 1, &[]));
    assert_eq!(empty.codes[0], Some(1));
    assert!(
        empty.said.contains("no packet of capture was imported: it has no packets"),
        "{}",
        empty.said
    );
    trust::says(
        "a capture of which nothing can be read (IEEE 802.11)",
        &format!(
            "exit status {}, and a sentence that names what was there",
            empty.codes[0].expect("a code")
        ),
    );
}

#[test]
fn a_pipe_is_a_capture() {
    let bytes = capture(1, Tcp::ethernet);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("capture");
    std::fs::write(&file, &bytes).expect("the capture");
    let expected = imported(&bytes).manifest()["recording"].clone();
    for (i, shell) in [
        "cat capture | \"$0\" import-pcap /dev/stdin -o \"$1\"",
        "cat capture | \"$0\" import-pcap - -o \"$1\"",
        "\"$0\" import-pcap - -o \"$1\" < capture",
        "gzip -c capture | \"$0\" import-pcap - -o \"$1\"",
        "mkfifo pipe; cat capture > pipe & \"$0\" import-pcap pipe -o \"$1\"",
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("run{i}");
        let mut command = Command::new("sh");
        command.current_dir(dir.path()).args([
            "-c",
            shell,
            env!("CARGO_BIN_EXE_estats-analyze"),
            &run,
        ]);
        let output = command.output().expect("sh");
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("8 of 8 packets of"), "{}", text(&output.stdout));
        let manifest =
            std::fs::read(dir.path().join(&run).join("manifest.json")).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        // In gzip it is another file.
        assert_eq!(manifest["recording"] == expected, i != 3, "{shell}");
    }
}

#[test]
fn obsolete_packet_blocks_are_read() {
    let expected = connection(&imported(&capture(1, Tcp::ethernet)));
    for big in [false, true] {
        let order = Order { big };
        let mut bytes = [section(order), interface(order, 1, "eth0", 9)].concat();
        for (i, tcp) in packets().iter().enumerate() {
            let frame = Frame::new(0, tcp.ethernet());
            let drops = if i == 3 { 0xffff } else { 0 };
            bytes.extend(obsolete(order, 0, drops, T + i as u64 * 20_000_000, &frame));
        }
        let import = imported(&bytes);
        // By their flags all went out: the packets of both ends, seen from outside.
        assert_eq!(import.codes[0], Some(0), "{}", import.said);
        assert_eq!(import.manifest()["import"]["packets"], 8);
        let found = imported_with(&bytes, &["--local", A.0]);
        assert_eq!(connection(&found), expected);
        // Packets that it reports as dropped are lost.
        bytes.extend(obsolete(
            order,
            0,
            7,
            T + 200_000_000,
            &Frame::new(0, packets()[7].ethernet()),
        ));
        let import = imported(&bytes);
        assert_eq!(
            (import.codes[0], &import.manifest()["import"]["dropped"]),
            (Some(3), &7.into())
        );
        // A length that does not fit is damage.
        let at = bytes.len() - 4 - 12 - packets()[7].ethernet().len().next_multiple_of(4) - 8;
        bytes[at..at + 4].copy_from_slice(&order.u32(4000));
        let import = imported(&bytes);
        assert!(import.said.contains("damaged"), "{}", import.said);
    }
}
