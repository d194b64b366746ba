// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Messages of inet_diag as kernels sent them, and what the parser has to read in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use estats::schema::SocketField;
use estats::wire::Snapshot;
use estats::wire::diag::{LAST_WORD, LastWord, TCP_INFO_KNOWN, decode_diag};
use serde::{Deserialize, Serialize};

use super::tcp_info::{TcpInfo, names};

/// A file of `testdata/sock_diag`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dump {
    /// The kernel that sent the messages.
    pub kernel_release: String,
    /// Its sockets.
    pub sockets: Vec<Socket>,
}

/// A socket at rest, by inet_diag and getsockopt(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// What kind it is.
    pub name: String,
    /// The kernel lays out the last word of `struct tcp_info` as since Linux 7.0.
    pub has_ecn_mode: bool,
    /// Its address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// TCP_INFO of getsockopt(2), hexadecimal; empty where the kernel does not give it.
    pub tcp_info: String,
    /// What the socket was made to have: fields and values.
    pub made: Vec<(String, u64)>,
    /// Name of the upper layer protocol.
    pub ulp: String,
    /// The message about it, without the netlink header, hexadecimal.
    pub message: String,
}

/// Octets of hexadecimal text.
pub fn octets(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let octet = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(text, 16).expect("hexadecimal")
    };
    digits.map(octet).collect()
}

/// Hexadecimal text of octets.
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Socket {
    /// What the parser reads.
    pub fn snapshot(&self) -> Snapshot {
        let last = if self.has_ecn_mode { LastWord::Bits } else { LastWord::Halves };
        decode_diag(&octets(&self.message), last).expect("a connection")
    }

    /// The values that it reads wrongly: those of TCP_INFO are the kernel's own, and the values that the
    /// socket was made to have are known.
    pub fn findings(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let mut findings = Vec::new();
        let mut compared = 0;
        let mut equal = |what: &str, found: Option<u64>, expected: Option<u64>| {
            compared += 1;
            if found != expected {
                findings.push(format!("{}: {what} {found:?}, not {expected:?}", self.name));
            }
        };
        let value = |name: &str| {
            let field = SocketField::by_name(name).unwrap_or_else(|| panic!("no field {name}"));
            snapshot.values.get(field)
        };
        if !self.tcp_info.is_empty() {
            let info = TcpInfo::from_octets(octets(&self.tcp_info));
            // Both are read at different times, so clocks differ; one that no kernel keeps has no field.
            for name in names().filter(|n| !n.starts_with("tcpi_last_") && *n != "tcpi_fackets") {
                equal(name, value(name), info.get(name));
            }
            let (snd, rcv) = info.window_shifts();
            equal("tcpi_snd_wscale", value("tcpi_snd_wscale"), Some(snd));
            equal("tcpi_rcv_wscale", value("tcpi_rcv_wscale"), Some(rcv));
            let word = info.octets().get(LAST_WORD..LAST_WORD + 4);
            let word = word.map(|b| u64::from(u32::from_ne_bytes(b.try_into().expect("four"))));
            let bits = |first: u32, bits: u32| word.map(|w| w >> first & ((1 << bits) - 1));
            let [mode, seen, failed] = if self.has_ecn_mode {
                [bits(0, 2), bits(2, 2), bits(4, 4)]
            } else {
                [None, bits(16, 16), bits(0, 16)]
            };
            equal("tcpi_ecn_mode", value("tcpi_ecn_mode"), mode);
            equal("tcpi_accecn_opt_seen", value("tcpi_accecn_opt_seen"), seen);
            equal("tcpi_accecn_fail_mode", value("tcpi_accecn_fail_mode"), failed);
            let more = info.octets().get(TCP_INFO_KNOWN..).unwrap_or_default();
            equal(
                "octets that are not known",
                Some(snapshot.tcp_info_more.len() as u64),
                Some(more.len() as u64),
            );
        }
        for (name, expected) in &self.made {
            equal(name, value(name), Some(*expected));
        }
        let address = |octets: [u8; 16], port: u16| {
            let ip = match snapshot.family {
                2 => IpAddr::from(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
                _ => IpAddr::from(Ipv6Addr::from(octets)),
            };
            SocketAddr::new(ip, port)
        };
        let ends = (
            address(snapshot.local_addr, snapshot.local_port),
            address(snapshot.remote_addr, snapshot.remote_port),
        );
        if ends != (self.local, self.remote) {
            findings.push(format!("{}: {ends:?}", self.name));
        }
        if snapshot.ulp != self.ulp {
            findings
                .push(format!("{}: upper layer {:?}, not {:?}", self.name, snapshot.ulp, self.ulp));
        }
        if compared == 0 {
            findings.push(format!("{}: nothing was compared", self.name));
        }
        findings
    }

    /// Every field that has a value, a line each.
    pub fn text(&self) -> String {
        let snapshot = self.snapshot();
        let fields = SocketField::ALL.iter().filter_map(|field| {
            Some(format!("{} {} {}\n", self.name, field.name(), snapshot.values.get(*field)?))
        });
        let mut text: String = fields.collect();
        text += &format!("{} congestion {}\n", self.name, snapshot.congestion);
        if !snapshot.ulp.is_empty() {
            text += &format!("{} ulp {}\n", self.name, snapshot.ulp);
        }
        if !snapshot.tcp_info_more.is_empty() {
            text +=
                &format!("{} tcp_info_more {}\n", self.name, hexadecimal(&snapshot.tcp_info_more));
        }
        text
    }
}
