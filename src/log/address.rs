// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! IP addresses of the wire <-> text in the log.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// AF_INET, the same number on every Linux.
const AF_INET: u16 = 2;

/// The address as a person writes it; empty where there is none (markers).
pub fn to_text(family: u16, addr: &[u8; 16]) -> String {
    if family == AF_INET {
        Ipv4Addr::new(addr[0], addr[1], addr[2], addr[3]).to_string()
    } else if family == 0 && *addr == [0; 16] {
        String::new()
    } else {
        Ipv6Addr::from(*addr).to_string()
    }
}

/// The bytes of the wire; `None` if the text is not an address.
pub fn from_text(text: &str) -> Option<[u8; 16]> {
    if text.is_empty() {
        return Some([0; 16]);
    }
    match text.parse().ok()? {
        IpAddr::V4(v4) => {
            let mut addr = [0; 16];
            addr[..4].copy_from_slice(&v4.octets());
            Some(addr)
        }
        IpAddr::V6(v6) => Some(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_text_are_the_usual_ones_and_read_back() {
        let mut v4 = [0; 16];
        v4[..4].copy_from_slice(&[10, 0, 0, 2]);
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
        let mut v6 = [0; 16];
        v6[..2].copy_from_slice(&[0xfe, 0x80]);
        v6[15] = 1;
        for (family, addr, text) in [
            (2, v4, "10.0.0.2"),
            (2, [0; 16], "0.0.0.0"),
            (10, mapped, "::ffff:10.0.0.2"),
            (10, v6, "fe80::1"),
            (10, [0; 16], "::"),
            (0, [0; 16], ""),
        ] {
            assert_eq!(to_text(family, &addr), text);
            assert_eq!(from_text(text), Some(addr));
        }
        assert_eq!(from_text("10.0.0"), None);
    }
}
