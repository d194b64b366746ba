// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that anybody can send and no kernel accepts: IP headers longer than the packet, packets
//! longer than their frame, and extension headers where none may stand.

/// An IP packet, from its header on, and what is wrong with it.
pub type Hostile = (&'static str, Vec<u8>);

const V4: [u8; 8] = [192, 0, 2, 2, 192, 0, 2, 1];

/// IPv4 with this first octet, total length and protocol.
fn v4(first: u8, total: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = total.to_be_bytes();
    [&[first, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0][..], &V4, rest].concat()
}

/// IPv6 with this payload length, whatever follows.
fn v6_of(length: u16, next: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut b = vec![0x60, 0, 0, 0, high, low, next, 64];
    for host in [2, 1] {
        b.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    b.extend(rest);
    b
}

fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
    v6_of(rest.len() as u16, next, rest)
}

/// An extension header of `units` units of eight octets after the first.
fn extension(next: u8, units: u8) -> Vec<u8> {
    let mut b = vec![next, units, 1, 4, 0, 0, 0, 0];
    b.resize(8 + 8 * usize::from(units), 0);
    b
}

const HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTH: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

/// All of them.
pub fn packets() -> Vec<Hostile> {
    let mut all = vec![
        ("total length below the header's", v4(0x45, 10, 6, &[])),
        ("total length 19", v4(0x45, 19, 6, &[0; 40])),
        ("total length below a header with options", v4(0x4f, 24, 17, &[0; 40])),
        ("total length beyond the frame", v4(0x45, 61, 17, &[0; 40])),
        ("total length far beyond the frame", v4(0x45, 1500, 6, &[0x50; 40])),
        ("payload length beyond the frame", v6_of(41, 17, &[0; 40])),
        ("payload length far beyond the frame", v6_of(1440, 6, &[0x50; 40])),
        ("header of 0 octets", v4(0x40, 20, 6, &[0; 20])),
        ("header of 16 octets", v4(0x44, 40, 6, &[0; 20])),
        ("header longer than the frame", v4(0x4f, 60, 6, &[0; 8])),
        ("header longer than the frame, without a total length", v4(0x46, 0, 6, &[])),
        ("nothing but part of a header", v4(0x45, 40, 6, &[])[..12].to_vec()),
        ("IPv6 that ends in its header", v6(6, &[])[..39].to_vec()),
        ("a version that is none", [&[0x55][..], &v4(0x45, 20, 6, &[])[1..]].concat()),
        ("hop-by-hop options twice", v6(HOP, &[extension(HOP, 0), extension(6, 0)].concat())),
        ("hop-by-hop options that name themselves", v6(HOP, &extension(HOP, 0))),
        (
            "hop-by-hop options behind others",
            v6(DESTINATION, &[extension(HOP, 0), extension(6, 0), vec![0; 20]].concat()),
        ),
        ("a fragment's header without the rest", v6(FRAGMENT, &[6, 0, 0, 1])),
        (
            "a first fragment that ends in its headers",
            v6(FRAGMENT, &[DESTINATION, 0, 0, 1, 0, 0, 0, 9, 6, 3, 0, 0, 0, 0, 0, 0]),
        ),
        ("authentication that is missing", v6(HOP, &extension(AUTH, 0))),
        ("authentication without its fixed part", v6(AUTH, &[6, 0, 0, 0, 0, 0, 0, 0])),
        ("authentication of length 0", v6(AUTH, &[6, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])),
        (
            "payload length that ends inside the options",
            v6_of(8, DESTINATION, &[extension(6, 3), vec![0; 20]].concat()),
        ),
        (
            // More than the programs in the kernel follow.
            "seven headers, of which the last is missing",
            v6(
                DESTINATION,
                &[
                    extension(DESTINATION, 0),
                    extension(ROUTING, 0),
                    extension(DESTINATION, 0),
                    extension(ROUTING, 0),
                    extension(DESTINATION, 0),
                    extension(ROUTING, 0),
                ]
                .concat(),
            ),
        ),
        (
            "six headers, of which the last is too long",
            v6(
                DESTINATION,
                &[
                    extension(DESTINATION, 0),
                    extension(ROUTING, 0),
                    extension(DESTINATION, 0),
                    extension(ROUTING, 0),
                    extension(DESTINATION, 0),
                    extension(6, 255)[..40].to_vec(),
                ]
                .concat(),
            ),
        ),
    ];
    let named = [
        ("hop-by-hop options longer than the packet", HOP),
        ("a routing header longer than the packet", ROUTING),
        ("authentication longer than the packet", AUTH),
        ("destination options longer than the packet", DESTINATION),
        ("a mobility header longer than the packet", MOBILITY),
    ];
    for (what, kind) in named {
        all.push((what, v6(kind, &[6, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
    }
    let missing = [
        ("hop-by-hop options that are missing", HOP),
        ("a routing header that is missing", ROUTING),
        ("a fragment header that is missing", FRAGMENT),
        ("destination options that are missing", DESTINATION),
    ];
    all.extend(missing.map(|(what, kind)| (what, v6(kind, &[]))));
    all
}

/// The packet in an Ethernet frame to everybody.
pub fn broadcast(ip: &[u8], is_v6: bool) -> Vec<u8> {
    let kind = if is_v6 { [0x86, 0xdd] } else { [8, 0] };
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &kind, ip].concat()
}
