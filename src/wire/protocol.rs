// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! IP protocol numbers (IANA, Assigned Internet Protocol Numbers).

pub const ICMP: u8 = 1;
pub const IPV4: u8 = 4;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const DCCP: u8 = 33;
pub const IPV6: u8 = 41;
pub const FRAGMENT: u8 = 44;
pub const GRE: u8 = 47;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;
pub const UDP_LITE: u8 = 136;
