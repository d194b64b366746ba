// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Names of what a frame may be, for people.

/// LINKTYPE_ numbers, <https://www.tcpdump.org/linktypes.html>.
pub fn link_type(number: i32) -> String {
    let name = match number {
        0 => "BSD loopback",
        1 => "Ethernet",
        3 => "AX.25",
        6 => "IEEE 802.5 (token ring)",
        7 => "ARCNET",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        12 | 14 | 101 => "raw IP",
        50 => "PPP in HDLC framing",
        51 => "PPPoE",
        100 => "ATM (RFC 1483)",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "frame relay",
        108 => "OpenBSD loopback",
        113 => "Linux cooked",
        114 => "LocalTalk",
        117 => "OpenBSD pflog",
        119 => "IEEE 802.11 with a Prism header",
        122 => "IP over Fibre Channel",
        123 => "SunATM",
        127 => "IEEE 802.11 with a radiotap header",
        129 => "ARCNET, Linux",
        138 => "IP over IEEE 1394, Apple",
        140 => "MTP2 with a pseudo-header",
        141 => "MTP2",
        142 => "MTP3",
        143 => "DOCSIS",
        144 => "IrDA, Linux",
        163 => "IEEE 802.11 with an AVS header",
        165 => "BACnet MS/TP",
        166 => "PPP of pppd",
        177 => "LAPD, Linux",
        182 => "multi-link frame relay",
        187 => "Bluetooth HCI H4",
        189 => "USB (Linux, 48-octet header)",
        192 => "PPI",
        195 => "IEEE 802.15.4",
        201 => "Bluetooth HCI H4 with a pseudo-header",
        204 => "PPP with a direction",
        220 => "USB (Linux, 64-octet header)",
        224 => "Fibre Channel FC-2",
        226 => "Solaris IPNET",
        227 => "CAN",
        228 => "raw IPv4",
        229 => "raw IPv6",
        230 => "IEEE 802.15.4 without a checksum",
        231 => "D-Bus",
        239 => "Linux netfilter log (NFLOG)",
        242 => "IP over InfiniBand",
        247 => "InfiniBand",
        248 => "SCTP",
        249 => "USB (USBPcap)",
        251 => "Bluetooth LE",
        253 => "Linux netlink",
        254 => "Bluetooth monitor",
        266 => "USB (macOS)",
        270 => "LoRaTap",
        271 => "vsock",
        272 => "Nordic BLE sniffer",
        276 => "Linux cooked v2",
        278 => "ETW",
        283 => "IEEE 802.15.4 with TAP",
        288 | 293..=295 => "USB 2.0",
        -1 => "of an interface that the file does not describe",
        other => return format!("link type {other}"),
    };
    name.to_owned()
}

/// EtherTypes (IEEE 802 numbers) that are not looked into.
pub fn ether_type(number: u16) -> String {
    let name = match number {
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x6558 => "Ethernet in Ethernet",
        0x809b => "AppleTalk",
        0x80f3 => "AppleTalk ARP",
        0x8137 => "IPX",
        0x8808 => "Ethernet flow control",
        0x8809 => "LACP and other slow protocols",
        0x8863 => "PPPoE discovery",
        0x886d | 0x8870 => "jumbo LLC",
        0x887b => "HomePlug",
        0x888e => "EAPOL (IEEE 802.1X)",
        0x8892 => "PROFINET",
        0x889a => "HyperSCSI",
        0x88a2 => "ATA over Ethernet",
        0x88a4 => "EtherCAT",
        0x88b5 | 0x88b6 => "an experimental EtherType",
        0x88b8 => "GOOSE",
        0x88ba => "IEC 61850 sampled values",
        0x88cc => "LLDP",
        0x88e1 => "HomePlug AV",
        0x88e5 => "MACsec (encrypted)",
        0x88e7 => "provider backbone bridges (IEEE 802.1ah)",
        0x88f5 => "MVRP",
        0x88f7 => "PTP",
        0x8902 => "connectivity fault management",
        0x8903 => "Cisco FabricPath",
        0x8906 => "Fibre Channel over Ethernet",
        0x8914 => "FCoE initialisation",
        0x8915 => "RoCE",
        0x892f => "HSR",
        0x893a => "IEEE 1905",
        0x894f => "NSH",
        0x9000 => "Ethernet loopback test",
        0xcafe => "veritas LLT",
        _ => return format!("EtherType {number:#06x}"),
    };
    name.to_owned()
}

/// Service access points of IEEE 802.2, by the destination's.
pub fn llc(dsap: u8, ssap: u8) -> String {
    let name = match dsap {
        0x42 => "STP",
        0xe0 => "IPX in LLC",
        0xf0 => "NetBIOS in LLC",
        0xfe => "OSI (IS-IS) in LLC",
        0xff if ssap == 0xff => "IPX (Novell 802.3)",
        0x00 => "LLC test or XID",
        _ => return format!("LLC with SAP {dsap:#04x}"),
    };
    name.to_owned()
}

/// Protocols in SNAP that are of an organisation.
pub fn snap(organisation: [u8; 3], protocol: u16) -> String {
    let name = match (organisation, protocol) {
        ([0, 0, 0x0c], 0x2000) => "CDP",
        ([0, 0, 0x0c], 0x2003) => "VTP",
        ([0, 0, 0x0c], 0x2004) => "DTP",
        ([0, 0, 0x0c], 0x010b) => "PVST+",
        ([0, 0, 0x0c], 0x0111) => "UDLD",
        ([0x08, 0, 0x07], _) => "AppleTalk",
        ([a, b, c], _) => {
            return format!("SNAP of organisation {a:02x}-{b:02x}-{c:02x}");
        }
    };
    name.to_owned()
}

/// Protocols of PPP (IANA) that are not looked into.
pub fn ppp(number: u16) -> String {
    let name = match number {
        0x0281 => "MPLS control of PPP",
        0x003d => "multi-link PPP",
        0x00fb | 0x00fd => "compressed PPP",
        0x8021 => "IPCP of PPP",
        0x8057 => "IPv6CP of PPP",
        0x80fd => "CCP of PPP",
        0xc021 => "LCP of PPP",
        0xc023 => "PAP of PPP",
        0xc025 => "quality report of PPP",
        0xc223 => "CHAP of PPP",
        0xc227 => "EAP of PPP",
        _ => return format!("PPP protocol {number:#06x}"),
    };
    name.to_owned()
}
