// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! EtherTypes, and the VLAN tags before them.

use super::{HeaderError, u16_be};

/// IPv4.
pub const IPV4: u16 = 0x0800;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what QinQ was before it had a number.
pub const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// A header between the addresses of a link header and IP.
#[derive(Clone, Copy, Debug)]
pub struct Tags {
    /// Where IP begins.
    pub end: usize,
    /// Id in the first of them.
    pub vlan: Option<u16>,
}

/// From the place of an EtherType that may be a tag's.
///
/// # Errors
/// [`HeaderError`] if IP does not follow.
pub fn after_tags(frame: &[u8], mut at: usize) -> Result<Tags, HeaderError> {
    let mut vlan = None;
    loop {
        match u16_be(frame, at).ok_or(HeaderError::LinkCut)? {
            IPV4 | IPV6 => return Ok(Tags { end: at + 2, vlan }),
            tag if VLAN.contains(&tag) => {
                vlan = vlan.or(u16_be(frame, at + 2).map(|tci| tci & VLAN_ID));
                at += 4;
            }
            _ => return Err(HeaderError::NotIp),
        }
    }
}

/// The id in a tag (TCI); the rest is priority.
pub const VLAN_ID: u16 = 0xfff;
