// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots of sockets: struct socket_record of bpf/records.h, whose layout the schema fixes.

use std::mem::offset_of;

use super::decode::{by_code, header, sized, text_of, u16_at, u32_at, u64_at, unknown};
use super::{Header, WireError};
use crate::schema::record::{DropRecord, Member as _, Name, RecordHeader, RecordKind, SocketHead};
use crate::schema::{SocketField, SocketType, Why};

const KIND: u8 = RecordKind::Socket as u8;
const DROP: u8 = RecordKind::Drop as u8;

/// The values of a snapshot's fields.
#[derive(Clone, PartialEq, Eq)]
pub struct SocketValues {
    /// A bit per field: whether there is a value.
    present: [u128; 2],
    values: [u64; SocketField::COUNT],
}

impl Default for SocketValues {
    fn default() -> Self {
        Self { present: [0; 2], values: [0; SocketField::COUNT] }
    }
}

impl SocketValues {
    /// The value; `None` where the kernel or the socket has no such field.
    pub const fn get(&self, field: SocketField) -> Option<u64> {
        let i = field.index();
        if self.present[i / 128] >> (i % 128) & 1 == 1 { Some(self.values[i]) } else { None }
    }

    /// Sets or takes away a value.
    pub const fn set(&mut self, field: SocketField, value: Option<u64>) {
        let present = &mut self.present[field.index() / 128];
        let bit = 1 << (field.index() % 128);
        match value {
            Some(value) => {
                self.values[field.index()] = value;
                *present |= bit;
            }
            None => {
                self.values[field.index()] = 0;
                *present &= !bit;
            }
        }
    }
}

impl std::fmt::Debug for SocketValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let there = SocketField::ALL.iter().filter_map(|x| Some((x.name(), self.get(*x)?)));
        f.debug_map().entries(there).finish()
    }
}

/// The kernel's values of a socket at one instant, or of a packet that it dropped ([`Why::Drop`]): this has
/// addresses and ports of the packet, and the cookie 0 if no recorded connection was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was read, where, and which connection; the generation is 0 for a socket that is not
    /// recorded otherwise.
    pub header: Header,
    /// The reason for it.
    pub why: Why,
    /// Number of the poll, from 0; `None` if it was made by an event.
    pub poll: Option<u32>,
    /// AF_INET (2) or AF_INET6 (10), as the socket has it.
    pub family: u16,
    /// Local address: 16 bytes, or 4 and twelve zeros for AF_INET.
    pub local_addr: [u8; 16],
    /// Remote address, in the same form.
    pub remote_addr: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Name of the congestion control (at most 15 bytes).
    pub congestion: String,
    /// Name of the upper layer protocol in the kernel (`tls`, `mptcp`); empty for none, and where the
    /// snapshot was not read over netlink.
    pub ulp: String,
    /// The octets of the kernel's `struct tcp_info` beyond the fields known here. Empty if there are
    /// none, or if the snapshot was not read over netlink.
    pub tcp_info_more: Vec<u8>,
    /// The fields.
    pub values: SocketValues,
}

/// Whether a record becomes a row of snapshots: they come beside others where hooks are kprobes.
pub fn is_snapshot(b: &[u8]) -> bool {
    matches!(b.get(offset_of!(RecordHeader, kind)), Some(&(KIND | DROP)))
}

/// Decodes the record of a dropped packet.
fn decode_drop(b: &[u8]) -> Result<Snapshot, WireError> {
    sized(b, DropRecord::SIZE)?;
    let r = DropRecord::read(b);
    let mut values = SocketValues::default();
    values.set(SocketField::drop_reason, (r.has_reason != 0).then_some(r.reason.into()));
    values.set(SocketField::drop_way, Some(r.way.into()));
    values.set(SocketField::drop_segments, Some(r.segments.into()));
    values.set(SocketField::drop_payload_bytes, Some(r.octets.into()));
    Ok(Snapshot {
        header: header(&r.hdr)?,
        why: Why::Drop,
        poll: None,
        family: r.family,
        local_addr: r.local_addr,
        remote_addr: r.remote_addr,
        local_port: r.local_port,
        remote_port: r.remote_port,
        netns: r.netns,
        congestion: String::new(),
        ulp: String::new(),
        tcp_info_more: Vec::new(),
        values,
    })
}

/// Decodes a snapshot.
///
/// # Errors
/// [`WireError`] if the bytes are not a snapshot of this build.
pub fn decode_snapshot(b: &[u8]) -> Result<Snapshot, WireError> {
    if b.get(offset_of!(RecordHeader, kind)) == Some(&DROP) {
        return decode_drop(b);
    }
    sized(b, SocketField::record_size())?;
    let head = SocketHead::read(b);
    if head.hdr.kind != KIND {
        return Err(unknown("record kind", head.hdr.kind));
    }
    let why = by_code(Why::ALL, head.why).ok_or_else(|| unknown("snapshot reason", head.why))?;
    let present = u128::from(head.present[0]) | u128::from(head.present[1]) << 64;
    let mut values = SocketValues::default();
    for &field in SocketField::ALL.iter().filter(|field| field.is_in_record()) {
        if present >> field.index() & 1 == 1 {
            let at = field.offset();
            let value = match field.def().ty {
                SocketType::U8 => u64::from(b[at]),
                SocketType::U16 => u64::from(u16_at(b, at)),
                SocketType::U32 => u64::from(u32_at(b, at)),
                SocketType::U64 => u64_at(b, at),
            };
            values.set(field, Some(value));
        }
    }
    Ok(Snapshot {
        header: header(&head.hdr)?,
        why,
        poll: (why == Why::Poll).then_some(head.poll),
        local_addr: head.local_addr,
        remote_addr: head.remote_addr,
        netns: head.netns,
        family: head.family,
        local_port: head.local_port,
        remote_port: head.remote_port,
        congestion: text_of(Name::read(&b[SocketField::compared_from()..])),
        ulp: String::new(),
        tcp_info_more: Vec::new(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Hook;

    /// Where each field's bytes are, none may overlap, and all of the record is used.
    #[test]
    fn fields_fill_the_record_without_overlap() {
        let mut used = vec![false; SocketField::record_size()];
        for field in SocketField::ALL.iter().filter(|field| field.is_in_record()) {
            let width = field.def().ty.width();
            assert_eq!(field.offset() % width, 0, "{}", field.name());
            for octet in &mut used[field.offset()..field.offset() + width] {
                assert!(!*octet, "{}", field.name());
                *octet = true;
            }
        }
        let free = used.iter().filter(|used| !**used).count();
        // Before the fields, the name, and less than a word of padding after each part.
        let fixed = crate::schema::SOCKET_FIXED + crate::schema::SOCKET_CONGESTION;
        assert!((fixed..fixed + 15).contains(&free), "{free}");
    }

    #[test]
    fn a_dropped_packet_is_read_member_by_member() {
        let mut b = vec![0; DropRecord::SIZE];
        b[..8].copy_from_slice(&7_u64.to_ne_bytes());
        (b[28], b[29]) = (DROP, Hook::Drops as u8);
        b[32..36].copy_from_slice(&[10, 0, 0, 1]);
        b[48..52].copy_from_slice(&[10, 0, 0, 2]);
        for (at, value) in [(64, 3_u32), (68, 4_026_531_840), (72, 1448)] {
            b[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        for (at, value) in [(76, 2_u16), (78, 80), (80, 40_000), (82, 2)] {
            b[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        (b[84], b[85]) = (2, 1);
        assert!(is_snapshot(&b));
        let s = decode_snapshot(&b).unwrap();
        assert_eq!((s.why, s.header.ts_ns, s.header.hook), (Why::Drop, 7, Hook::Drops));
        assert_eq!((s.local_addr[3], s.local_port), (1, 80));
        assert_eq!((s.remote_addr[3], s.remote_port), (2, 40_000));
        assert_eq!((s.family, s.netns, s.poll), (2, 4_026_531_840, None));
        let get = |field| s.values.get(field);
        assert_eq!(get(SocketField::drop_reason), Some(3));
        assert_eq!(get(SocketField::drop_way), Some(2));
        assert_eq!(get(SocketField::drop_segments), Some(2));
        assert_eq!(get(SocketField::drop_payload_bytes), Some(1448));
        // A kernel before 5.17 has no reason: none, and not the reason 0.
        b[85] = 0;
        assert_eq!(decode_snapshot(&b).unwrap().values.get(SocketField::drop_reason), None);
        assert!(decode_snapshot(&b[1..]).is_err());
    }

    #[test]
    fn a_record_is_read_field_by_field() {
        let mut b = vec![0; SocketField::record_size()];
        b[..8].copy_from_slice(&7_u64.to_ne_bytes());
        b[16..24].copy_from_slice(&9_u64.to_ne_bytes());
        (b[28], b[29], b[94]) = (KIND, Hook::Poll as u8, Why::Poll as u8);
        b[84..88].copy_from_slice(&3_u32.to_ne_bytes());
        let at = SocketField::compared_from();
        b[at..at + 5].copy_from_slice(b"cubic");
        // All fields but one are there.
        let absent = SocketField::tcpi_total_rto;
        let present = !(1_u128 << absent.index());
        b[32..40].copy_from_slice(&(present as u64).to_ne_bytes());
        b[40..48].copy_from_slice(&((present >> 64) as u64).to_ne_bytes());
        let in_record = |(_, field): &(usize, &SocketField)| field.is_in_record();
        for (i, field) in SocketField::ALL.iter().enumerate().filter(in_record) {
            let value = (i as u64 + 1).to_le_bytes();
            let (at, width) = (field.offset(), field.def().ty.width());
            if cfg!(target_endian = "little") {
                b[at..at + width].copy_from_slice(&value[..width]);
            } else {
                let big: Vec<u8> = value[..width].iter().rev().copied().collect();
                b[at..at + width].copy_from_slice(&big);
            }
        }
        assert!(is_snapshot(&b));
        let snapshot = decode_snapshot(&b).unwrap();
        assert_eq!((snapshot.poll, snapshot.congestion.as_str()), (Some(3), "cubic"));
        assert_eq!((snapshot.header.ts_ns, snapshot.header.cookie), (7, 9));
        for (i, &field) in SocketField::ALL.iter().enumerate() {
            let is_there = field != absent && field.is_in_record();
            let expected = is_there.then_some(i as u64 + 1);
            assert_eq!(snapshot.values.get(field), expected, "{}", field.name());
        }
        b[94] = Why::Close as u8;
        assert_eq!(decode_snapshot(&b).unwrap().poll, None);
        b[94] = 0;
        assert!(decode_snapshot(&b).is_err());
        assert!(decode_snapshot(&b[1..]).is_err());
    }
}
