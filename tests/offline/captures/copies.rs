// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One connection, wherever and however often a capture has its packets.

use super::*;
use common::capture::*;
use layers::{capture, packets};

const LITTLE: Order = Order { big: false };
const STEP: u64 = 20_000_000;

/// The values of a connection that do not depend on how it was captured.
fn of(import: &Imported) -> Vec<String> {
    let columns = [
        "SegsIn",
        "SegsOut",
        "DataSegsIn",
        "DataSegsOut",
        "SegsRetrans",
        "DupAcksIn",
        "HCDataOctetsIn",
    ];
    let row = import.variables();
    let mut all: Vec<String> = values(&row, &columns).into_iter().map(str::to_owned).collect();
    let connection = import.connection();
    all.push(connection["completeness"].clone());
    let flows = import.table("flows");
    let columns = ["packets", "completeness"];
    all.extend(flows.iter().flat_map(|row| values(row, &columns)).map(str::to_owned));
    let mut rtts: Vec<_> = import.table("rtt").iter().map(|r| r["method"].clone()).collect();
    rtts.sort();
    all.extend(rtts);
    all
}

fn plain() -> Vec<String> {
    of(&imported(&capture(1, Tcp::ethernet)))
}

/// A capture in which each packet stands as often as `views` gives a frame and the nanoseconds after
/// the first.
fn seen(link_type: u32, views: impl Fn(&Tcp) -> Vec<(u64, Vec<u8>)>) -> Vec<u8> {
    let mut frames = Vec::new();
    for (i, tcp) in packets().iter().enumerate() {
        let at = T + i as u64 * STEP;
        frames.extend(views(tcp).into_iter().map(|(ns, bytes)| Frame::new(at + ns, bytes)));
    }
    pcap(LITTLE, true, link_type, &frames)
}

#[test]
fn a_mirrors_second_copies_are_left_out() {
    let expected = plain();
    for (copies, apart) in [(2, 5_000), (2, 0), (3, 100_000)] {
        let bytes = seen(1, |t| (0..copies).map(|i| (i * apart, t.ethernet())).collect());
        let import = imported(&bytes);
        assert_eq!(of(&import), expected);
        let said = format!("{} packets left out: duplicates", 8 * (copies - 1));
        assert!(import.said.contains(&said), "{}", import.said);
    }
    // One direction is mirrored twice, the other once; the copy has another VLAN and other addresses.
    let bytes = seen(1, |t| {
        let tagged =
            [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x81, 0, 0, 7, 8, 0][..], &t.ip()].concat();
        let mut views = vec![(0, t.ethernet())];
        if t.ttl == 55 {
            views.push((3_000, tagged));
        }
        views
    });
    assert_eq!(of(&imported(&bytes)), expected);
    let said = twice_said(&seen(1, |t| vec![(0, t.ethernet()), (5_000, t.ethernet())]));
    trust::says(
        "a mirror port that gives each packet twice",
        &format!(
            "\"{}\"; connections, flows and RTTs are those of a capture that has each once",
            said.trim_start_matches("estats-analyze: ")
        ),
    );
}

fn twice_said(bytes: &[u8]) -> String {
    let said = imported(bytes).said;
    said.lines().find(|l| l.contains("duplicates made")).expect("said").to_owned()
}

/// The segment over IPv6, in which nothing proves that two packets are one.
fn six(t: &Tcp) -> Vec<u8> {
    let end = |(addr, port): (std::net::IpAddr, u16)| match addr {
        std::net::IpAddr::V4(v4) => (std::net::IpAddr::V6(v4.to_ipv6_mapped()), port),
        std::net::IpAddr::V6(_) => (addr, port),
    };
    Tcp { src: end(t.src), dst: end(t.dst), ..t.clone() }.ethernet()
}

#[test]
fn a_mirrors_copies_of_acknowledgments_mark_the_row_and_the_flow() {
    // The peer's direction alone is mirrored, and has nothing but ACKs while it is captured.
    let [ours, theirs] = [packets()[3].clone(), packets()[4].clone()];
    let stamp = |i: u32| [&[1, 1, 8, 10][..], &i.to_be_bytes(), &7_u32.to_be_bytes()].concat();
    let frames = |doubled: &dyn Fn(u32) -> u64| {
        let mut frames = Vec::new();
        for i in 0..10 {
            let at = T + u64::from(i) * STEP;
            let options = stamp(i);
            let sent = Tcp { seq: ours.seq + 100 * i, payload: 100, options, ..ours.clone() };
            let (ack, options) = (sent.seq + 100, stamp(i));
            let answer = Tcp { ack, payload: 0, options, ..theirs.clone() };
            frames.push(Frame::new(at, six(&sent)));
            let copies = 0..=doubled(i);
            frames.extend(copies.map(|n| Frame::new(at + 3_000_000 + n * 8_000, six(&answer))));
        }
        simple(&frames)
    };
    let of = |doubled: &dyn Fn(u32) -> u64| {
        let local = ["--local", "::ffff:192.0.2.1"];
        let import = imported_with(&frames(doubled), &local);
        let row = import.variables();
        let all = values(&row, &["SegsIn", "DupAcksIn"])
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let marks: Vec<_> =
            import.table("flows").iter().map(|f| f["completeness"].clone()).collect();
        (all, import.connection()["completeness"].clone(), marks, import)
    };
    let (all, mark, flows, import) = of(&|_| 0);
    assert_eq!((all, mark.as_str()), (vec!["10".to_owned(), "0".to_owned()], "begun_before"));
    assert_eq!(flows, ["begun_before"; 2]);
    assert_eq!(import.codes, [Some(0); 2], "{}", import.said);
    let (all, mark, flows, import) = of(&|_| 1);
    assert_eq!((all, mark.as_str()), (vec!["20".to_owned(), "10".to_owned()], "lossy"));
    assert_eq!(flows, ["lossy"; 2]);
    assert_eq!(import.codes, [Some(3); 2], "{}", import.said);
    assert!(import.said.contains("10 packets of TCP are in the capture twice"), "{}", import.said);
    // Most of them are a mirror's; duplicate ACKs now and then are the peer's.
    assert_eq!(of(&|i| u64::from(i < 6)).1, "lossy");
    assert_eq!(of(&|i| u64::from(i < 5)).1, "begun_before");
    assert_eq!(of(&|i| if i == 5 { 6 } else { 0 }).1, "begun_before");
}

#[test]
fn a_mirrors_copies_without_identification_stay_and_the_row_is_lossy() {
    let once = imported(&seen(1, |t| vec![(0, six(t))]));
    assert_eq!(once.connection()["completeness"], "complete");
    let twice = imported(&seen(1, |t| vec![(0, six(t)), (5_000, six(t))]));
    assert_eq!(twice.connection()["completeness"], "lossy", "{}", twice.said);
    // If there are many, import reports it too.
    let segment = |i: u32| six(&Tcp { seq: 1 + 100 * i, payload: 100, ..packets()[3].clone() });
    let frames = |twice: bool| {
        let at = |i: u32| T + u64::from(i) * STEP;
        let both = |i| [Frame::new(at(i), segment(i)), Frame::new(at(i) + 6_000, segment(i))];
        (0..20).flat_map(|i| both(i).into_iter().take(1 + usize::from(twice))).collect::<Vec<_>>()
    };
    let import = imported(&simple(&frames(true)));
    assert!(import.said.contains("20 packets of TCP are in the capture twice"), "{}", import.said);
    assert_eq!(import.codes, [Some(3); 2]);
    let import = imported(&simple(&frames(false)));
    assert!(!import.said.contains("are in the capture twice"), "{}", import.said);
    let sentence =
        twice.said.lines().find(|l| l.contains("are in the capture twice")).expect("said");
    let sentence =
        sentence.trim_start_matches("estats-analyze: ").trim_start_matches(char::is_numeric);
    trust::says(
        "a mirror port that gives each packet twice, over IPv6",
        &format!("lossy, \"N{sentence}\""),
    );
}

#[test]
fn equal_duplicate_acks_and_datagrams_are_not_copies() {
    // Without SACK and timestamps duplicate ACKs have all the same bytes; IPv4 without an
    // identification is like IPv6.
    let [ours, theirs] = [packets()[3].clone(), packets()[4].clone()];
    for id in [0, 1] {
        let mut frames: Vec<_> = (0..4_u64)
            .map(|i| {
                let seq = ours.seq + 100 * i as u32;
                let sent = Tcp { seq, id: id * (50 + i as u16), payload: 100, ..ours.clone() };
                Frame::new(T + i * STEP, sent.ethernet())
            })
            .collect();
        for i in 0..6_u64 {
            let ack = Tcp { ack: ours.seq, payload: 0, id: id * (60 + i as u16), ..theirs.clone() };
            frames.push(Frame::new(T + 4 * STEP + i * 20_000, ack.ethernet()));
        }
        let import = imported_with(&simple(&frames), &["--local", "192.0.2.1"]);
        assert_eq!(values(&import.variables(), &["SegsIn", "DupAcksIn"]), ["6", "6"]);
        assert_eq!(import.manifest()["import"]["left_out"], serde_json::json!({}));
    }
    // Datagrams of which only the headers are captured, and the checksum is the interface's to fill.
    let udp = |_| {
        let mut ip = vec![0x60, 0, 0, 0, 0, 168, 17, 64];
        for end in ["2001:db8::1", "2001:db8::2"] {
            ip.extend(end.parse::<std::net::Ipv6Addr>().expect("an address").octets());
        }
        ip.extend([0x30, 0x39, 0x17, 0x70, 0, 168, 0x5b, 0x2c]);
        ip.resize(40 + 168, 0);
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd][..], &ip].concat()
    };
    let frames: Vec<_> = (0..60).map(|i| Frame::new(T + i * 600_000, udp(i))).collect();
    let import = imported(&simple(&frames));
    assert_eq!(import.manifest()["import"]["left_out"], serde_json::json!({}));
    assert_eq!(import.table("flows")[0]["packets"], "60");
}

#[test]
fn copies_that_stay_are_not_retransmissions_and_mark_the_row_lossy() {
    // A packet that came twice may be the network's copy: a FIN that comes again ends the row, here
    // before our ACK.
    let columns = ["SegsRetrans", "OctetsRetrans", "DataSegsOut", "HCDataOctetsOut"];
    let plain = imported(&seen(1, |t| vec![(0, t.ethernet())]));
    let expected = plain.variables();
    let passed = |t: &Tcp| Tcp { ttl: t.ttl - 1, ..t.clone() }.ethernet();
    let late = seen(1, |t| vec![(0, t.ethernet()), (3_000_000, t.ethernet())]);
    let routed = seen(1, |t| vec![(0, t.ethernet()), (8_000, passed(t))]);
    let half = seen(1, |t| {
        let again = t.payload == 500 || t.payload == 900;
        (0..=u64::from(again)).map(|i| (i * 5_000, t.ethernet())).collect()
    });
    for (what, bytes) in [("late", late), ("routed", routed), ("half", half)] {
        let import = imported_with(&bytes, &["--local", "192.0.2.1"]);
        assert_eq!(values(&import.variables(), &columns), values(&expected, &columns), "{what}");
        assert_eq!(import.connection()["completeness"], "lossy", "{what}: {}", import.said);
        assert!(import.said.contains("are in the capture twice"), "{}", import.said);
        assert_eq!(import.codes[1], Some(3), "{what}: rows lack something");
        if what == "late" {
            trust::says(
                "a mirror port that gives each packet again 3 ms later",
                &format!(
                    "{}, SegsRetrans {}",
                    import.connection()["completeness"],
                    import.variables()["SegsRetrans"]
                ),
            );
        }
    }
    // The end that accepts: its SYN-ACK has no identification.
    let bytes = seen(1, |t| {
        let id = if t.flags & SYN == 0 { t.id } else { 0 };
        let t = Tcp { id, ..t.clone() };
        (0..2).map(|i| (i * 3_000_000, t.ethernet())).collect()
    });
    let import = imported_with(&bytes, &["--local", "198.51.100.2"]);
    assert_eq!(import.variables()["SegsRetrans"], "0");
    assert_eq!(import.connection()["completeness"], "lossy", "{}", import.said);
}

#[test]
fn packets_repeated_by_an_end_or_the_network_stay() {
    // A network that duplicates a packet now and then: the host got both.
    let bytes = seen(1, |t| {
        let again = t.payload == 900;
        (0..=u64::from(again)).map(|i| (i * 2_000, t.ethernet())).collect()
    });
    let import = imported(&bytes);
    assert_eq!(values(&import.variables(), &["SegsIn", "SegsRetrans"]), ["4", "0"]);
    let said = "1 packet is in the capture twice: the row it belongs to is marked lossy";
    assert!(import.said.contains(said), "{}", import.said);
    assert_eq!(import.codes, [Some(0), Some(3)]);
    // One that never stops repeating itself, with all bytes the same.
    let datagram = &packets()[3];
    let frames: Vec<_> =
        (0..200).map(|i| Frame::new(T + i * 90_000, datagram.ethernet())).collect();
    let import = imported(&simple(&frames));
    assert_eq!(import.manifest()["import"]["left_out"], serde_json::json!({}));
    // A retransmission has an identification of its own.
    let bytes = seen(1, |t| {
        let times = 1 + u64::from(t.payload == 500);
        let again = |i| Tcp { id: t.id + 50 * i as u16, ..t.clone() }.ethernet();
        (0..times).map(|i| (i * 5_000_000, again(i))).collect()
    });
    let import = imported(&bytes);
    assert_eq!(values(&import.variables(), &["SegsOut", "SegsRetrans"]), ["6", "1"]);
    assert_eq!(import.connection()["completeness"], "complete");
}

#[test]
fn loopback_in_a_capture_of_all_interfaces() {
    let expected = plain();
    // libpcap leaves out what loopback sent: all of it is received.
    let v1 = |t: &Tcp| [&[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0][..], &t.ip()].concat();
    let v2 = |t: &Tcp| {
        let head = [8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        [&head[..], &t.ip()].concat()
    };
    for (link_type, import) in
        [(113, imported(&capture(113, v1))), (276, imported(&capture(276, v2)))]
    {
        assert_eq!(of(&import), expected, "{link_type}: {}", import.said);
    }
    // Both ends have one address.
    let same = |t: &Tcp| {
        let here = |(_, port)| ("127.0.0.1".parse().expect("an address"), port);
        Tcp { src: here(t.src), dst: here(t.dst), ttl: 64, ..t.clone() }
    };
    let import = imported(&capture(276, |t| v2(&same(t))));
    assert_eq!(of(&import), expected, "{}", import.said);
    let row = import.variables();
    trust::says(
        "loopback in `tcpdump -i any`",
        &format!(
            "one connection, {}, {} segments sent and {} received, {} RTTs, nothing missing",
            import.connection()["completeness"],
            row["SegsOut"],
            row["SegsIn"],
            import.table("rtt").len()
        ),
    );
}

/// A pcapng with these interfaces, each packet at the one that `of` names.
fn at_interfaces(names: &[&str], flags: u32, of: impl Fn(usize, &Tcp) -> Vec<u32>) -> Vec<u8> {
    let mut bytes = section(LITTLE);
    for name in names {
        bytes.extend(interface(LITTLE, 1, name, 9));
    }
    for (i, tcp) in packets().iter().enumerate() {
        for (k, number) in of(i, tcp).into_iter().enumerate() {
            let frame = Frame::new(0, tcp.ethernet());
            let at = T + i as u64 * STEP + k as u64 * 4_000;
            bytes.extend(enhanced(LITTLE, number, at, &frame, flags));
        }
    }
    bytes
}

#[test]
fn a_tap_has_an_interface_for_each_direction() {
    let bytes = at_interfaces(&["up", "down"], 0, |_, t| vec![u32::from(t.ttl == 55)]);
    let import = imported(&bytes);
    assert_eq!(of(&import), plain());
    if let Some(theirs) = tshark(&bytes, "tcp", "tcp.analysis.ack_rtt") {
        let by_number = ["tcp_sequence", "tcp_handshake"];
        let ours = import.table("rtt").into_iter().filter(|r| by_number.contains(&&*r["method"]));
        assert_eq!(ours.count(), theirs.len());
    }
    assert_eq!(import.manifest()["import"]["places"], serde_json::json!([[0, 1]]));
    // Each way keeps its interface.
    let interfaces: Vec<_> = import.table("flows").iter().map(|f| f["interface"].clone()).collect();
    assert_eq!(interfaces, ["0", "1"]);
    trust::says(
        "a tap with an interface for each direction",
        &format!(
            "one connection, {}, with its {} RTTs; the flows of both interfaces are one (manifest `import.places`)",
            import.connection()["completeness"],
            import.table("rtt").len()
        ),
    );
}

#[test]
fn a_packet_at_stacked_interfaces_counts_once() {
    // A bridge and its two ports: each packet comes at one port and leaves at the other.
    let bridged = at_interfaces(&["port1", "br0", "port2"], 0, |_, t| {
        if t.ttl == 55 { vec![2, 1, 0] } else { vec![0, 1, 2] }
    });
    assert_eq!(of(&imported(&bridged)), plain());
    // The same in a capture of all interfaces, which has the direction of each sighting.
    let view = |index: u8, kind: u8, t: &Tcp| {
        let head = [8, 0, 0, 0, 0, 0, 0, index, 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        [&head[..], &t.ip()].concat()
    };
    let bytes = seen(276, |t| {
        let (from, to) = if t.ttl == 55 { (4, 3) } else { (3, 4) };
        vec![(0, view(from, 3, t)), (2_000, view(2, 0, t)), (4_000, view(to, 4, t))]
    });
    let import = imported(&bytes);
    assert_eq!(of(&import), plain(), "{}", import.said);
    // Cooked captures of the first kind do not have the interface.
    let view = |kind: u8, t: &Tcp| {
        [&[0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &t.ip()].concat()
    };
    let bytes = seen(113, |t| {
        let kind = if t.ttl == 55 { 0 } else { 4 };
        vec![(0, view(kind, t)), (2_000, view(kind, t))]
    });
    assert_eq!(of(&imported(&bytes)), plain());
}

#[test]
fn sections_go_on_with_their_interfaces() {
    let frame = |tcp: &Tcp| Frame::new(0, tcp.ethernet());
    let mut bytes = Vec::new();
    for (i, tcp) in packets().iter().enumerate() {
        if i % 3 == 0 {
            // Each section may have its own byte order.
            let order = Order { big: i % 2 == 1 };
            bytes.extend([section(order), interface(order, 1, "eth0", 9)].concat());
        }
        let order = Order { big: i / 3 * 3 % 2 == 1 };
        bytes.extend(enhanced(order, 0, T + i as u64 * STEP, &frame(tcp), 0));
    }
    let import = imported(&bytes);
    assert_eq!(of(&import), plain(), "{}", import.said);
}

#[test]
fn a_routers_two_interfaces_stay_two_places() {
    // A forwarded packet has another TTL: two packets, as usual.
    let mut bytes = section(LITTLE);
    for name in ["inside", "outside"] {
        bytes.extend(interface(LITTLE, 1, name, 9));
    }
    for (i, tcp) in packets().iter().enumerate() {
        let at = T + i as u64 * STEP;
        let (from, to) = if tcp.ttl == 55 { (1, 0) } else { (0, 1) };
        let passed = Tcp { ttl: tcp.ttl - 1, ..tcp.clone() };
        bytes.extend(enhanced(LITTLE, from, at, &Frame::new(0, tcp.ethernet()), 0));
        bytes.extend(enhanced(LITTLE, to, at + 9_000, &Frame::new(0, passed.ethernet()), 0));
    }
    let import = imported(&bytes);
    assert_eq!(import.manifest()["import"].get("places"), None);
    let packets: Vec<_> = import.table("flows").iter().map(|f| f["packets"].clone()).collect();
    assert_eq!(packets.len(), 4, "{packets:?}");
}

#[test]
fn a_local_end_that_no_packet_has_is_reported() {
    let import = imported_with(&capture(1, Tcp::ethernet), &["--local", "203.0.113.0/24"]);
    assert_eq!(import.codes[0], Some(3));
    assert!(import.said.contains("no packet has one end in --local 203.0.113.0/24"));
    let import = imported_with(&capture(1, Tcp::ethernet), &["--local", "192.0.2.0/24"]);
    assert_eq!((import.codes[0], import.said.as_str()), (Some(0), ""));
}

#[test]
fn a_constant_identification_proves_nothing() {
    let bytes = seen(1, |t| {
        let again = t.payload == 500;
        let t = Tcp { id: 7, ..t.clone() };
        (0..=u64::from(again)).map(|i| (i * 5_000_000, t.ethernet())).collect()
    });
    // Packets 20 ms apart: the handshake has shown it.
    let import = imported(&bytes);
    assert_eq!(values(&import.variables(), &["SegsOut", "SegsRetrans"]), ["6", "1"]);
    assert_eq!(import.connection()["completeness"], "complete");
}
