// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Headers between a link header and IP: tags, labels, sessions, LLC.

use super::names;
use crate::wire::{ether_type, u16_be};

/// The rest of a frame.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    pub bytes: &'a [u8],
    /// How many there were.
    pub on_wire: usize,
}

/// The headers that were found before IP.
#[derive(Debug, Default)]
pub struct Way {
    /// Names of what was looked into, outermost first.
    pub within: Vec<&'static str>,
    /// Id of the outermost VLAN.
    pub vlan: Option<u16>,
}

/// The most layers that are read: no network has more.
const DEEPEST: usize = 16;

// EtherTypes.
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
const VN_TAG: u16 = 0x8926;
/// Up to here it is a length, and LLC follows (IEEE 802.3, 3.2.6).
const LONGEST_LENGTH: u16 = 1500;
/// LLC in a cooked header (ETH_P_802_2 of Linux).
const COOKED_LLC: u16 = 0x0004;

// Protocols of PPP.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: [u16; 2] = [0x0281, 0x0283];

fn cut() -> String {
    "link header cut short".to_owned()
}

impl<'a> Rest<'a> {
    pub fn skip(self, octets: usize) -> Result<Self, String> {
        let bytes = self.bytes.get(octets..).ok_or_else(cut)?;
        Ok(Self { bytes, on_wire: self.on_wire.saturating_sub(octets) })
    }

    pub fn u8(self, at: usize) -> Result<u8, String> {
        self.bytes.get(at).copied().ok_or_else(cut)
    }

    pub fn u16(self, at: usize) -> Result<u16, String> {
        u16_be(self.bytes, at).ok_or_else(cut)
    }

    pub fn mac(self, at: usize) -> Option<[u8; 6]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    /// The version of IP that these octets may begin with.
    pub fn version(self) -> Option<u8> {
        self.bytes.first().map(|b| b >> 4).filter(|v| [4, 6].contains(v))
    }
}

impl Way {
    /// From behind an EtherType to IP.
    pub fn by_ether_type<'a>(
        &mut self,
        mut kind: u16,
        mut rest: Rest<'a>,
    ) -> Result<Rest<'a>, String> {
        for _ in 0..DEEPEST {
            match kind {
                ether_type::IPV4 | ether_type::IPV6 => return Ok(rest),
                tag if ether_type::VLAN.contains(&tag) => {
                    self.vlan = self.vlan.or(Some(rest.u16(0)? & ether_type::VLAN_ID));
                    (kind, rest) = (rest.u16(2)?, rest.skip(4)?);
                }
                VN_TAG => {
                    self.within.push("VN-tag");
                    (kind, rest) = (rest.u16(4)?, rest.skip(6)?);
                }
                mpls if MPLS.contains(&mpls) => return self.mpls(rest),
                PPPOE_SESSION => return self.pppoe(rest),
                // The length of what follows, without padding.
                length if length <= LONGEST_LENGTH => {
                    let on_wire = rest.on_wire.min(usize::from(length));
                    (kind, rest) = self.llc(Rest { on_wire, ..rest })?;
                }
                other => return Err(names::ether_type(other)),
            }
        }
        Err("too many layers".to_owned())
    }

    /// Reads on after the type of a cooked header, whose small numbers are protocols of Linux and not
    /// lengths.
    pub fn by_cooked_type<'a>(&mut self, kind: u16, rest: Rest<'a>) -> Result<Rest<'a>, String> {
        match kind {
            COOKED_LLC => {
                let (kind, rest) = self.llc(rest)?;
                self.by_ether_type(kind, rest)
            }
            other if other <= LONGEST_LENGTH => Err(format!("Linux protocol {other:#06x}")),
            kind => self.by_ether_type(kind, rest),
        }
    }

    /// IEEE 802.2, and SNAP (RFC 1042).
    fn llc<'a>(&mut self, rest: Rest<'a>) -> Result<(u16, Rest<'a>), String> {
        match (rest.u8(0)?, rest.u8(1)?, rest.u8(2)?) {
            (0xaa, 0xaa, 3) => {
                let (organisation, kind) = ([rest.u8(3)?, rest.u8(4)?, rest.u8(5)?], rest.u16(6)?);
                // RFC 1042, and bridges' encapsulation of Ethernet (IEEE 802.1H).
                if ![[0, 0, 0], [0, 0, 0xf8]].contains(&organisation) {
                    return Err(names::snap(organisation, kind));
                }
                self.within.push("LLC/SNAP");
                if kind <= LONGEST_LENGTH {
                    return Err(names::ether_type(kind));
                }
                Ok((kind, rest.skip(8)?))
            }
            // RFC 948.
            (6, 6, 3) => {
                self.within.push("LLC");
                Ok((ether_type::IPV4, rest.skip(3)?))
            }
            (dsap, ssap, _) => Err(names::llc(dsap, ssap)),
        }
    }

    /// RFC 3032: the type of the payload is known only from the payload's first octet.
    fn mpls<'a>(&mut self, mut rest: Rest<'a>) -> Result<Rest<'a>, String> {
        for _ in 0..DEEPEST {
            let is_last = rest.u8(2)? & 1 == 1;
            rest = rest.skip(4)?;
            if is_last {
                rest.u8(0)?;
                rest.version().ok_or("MPLS without IP in it")?;
                self.within.push("MPLS");
                return Ok(rest);
            }
        }
        Err("too many layers".to_owned())
    }

    /// RFC 2516, a session's frame.
    pub fn pppoe<'a>(&mut self, rest: Rest<'a>) -> Result<Rest<'a>, String> {
        if rest.u8(1)? != 0 {
            return Err(names::ether_type(0x8863));
        }
        self.within.push("PPPoE");
        let on_wire = rest.on_wire.saturating_sub(6).min(usize::from(rest.u16(4)?));
        self.ppp(Rest { on_wire, ..rest.skip(6)? })
    }

    /// From a protocol field of PPP on, which may be compressed (RFC 1661, section 6.5).
    pub fn ppp<'a>(&mut self, rest: Rest<'a>) -> Result<Rest<'a>, String> {
        let first = rest.u8(0)?;
        let (protocol, rest) = if first & 1 == 1 {
            (u16::from(first), rest.skip(1)?)
        } else {
            (rest.u16(0)?, rest.skip(2)?)
        };
        match protocol {
            PPP_IPV4 | PPP_IPV6 => Ok(rest),
            mpls if PPP_MPLS.contains(&mpls) => self.mpls(rest),
            other => Err(names::ppp(other)),
        }
    }

    /// An Ethernet frame inside of something.
    pub fn ethernet<'a>(&mut self, rest: Rest<'a>) -> Result<Rest<'a>, String> {
        self.by_ether_type(rest.u16(12)?, rest.skip(14)?)
    }
}
