// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! An anonymised recording: addresses by Crypto-PAn, names by keyed digests, no payload.
//!
//! Times, sizes, ports, numbers and the order of everything stay: the tables are the same except for
//! names and addresses. docs/log-format.md lists what is replaced and what is kept, and why.

use std::net::IpAddr;
use std::path::Path;

use super::cryptopan::{CryptoPan, KEY};
use super::names::{Names, Of};
use super::rounds::{self, Marked, Take};
use super::scrub::scrub;
use super::{
    TransformError, TransformReport, create, end_ns, finish, lacking, refused, totals_there,
};
use crate::log::{Derivation, Manifest, RawCaptureStat, Recording, RecordingWriter};
use crate::schema::SocketField;
use crate::wire::{Header, Lifecycle, Operation, Packet, Snapshot};

/// The key: whoever has it can undo the addresses, and find a name by trying.
pub struct SecretKey([u8; KEY]);

impl std::fmt::Debug for SecretKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl SecretKey {
    /// A key from the content of its file: 32 bytes, or 64 hexadecimal digits.
    ///
    /// # Errors
    /// A sentence with a way to make one.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        if let Ok(key) = <[u8; KEY]>::try_from(content) {
            return Ok(Self(key));
        }
        let text = content.trim_ascii();
        let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
        let octet = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
        let octets: Option<Vec<u8>> = text.chunks(2).map(octet).collect();
        octets.and_then(|octets| octets.try_into().ok()).map(Self).ok_or_else(|| {
            "a key is 32 bytes, or 64 hexadecimal digits: head -c 32 /dev/urandom > key".to_owned()
        })
    }
}

/// Makes an anonymised copy of a recording in `dir`.
///
/// # Errors
/// [`TransformError`].
pub fn anonymize(
    recording: &Recording,
    dir: &Path,
    key: &SecretKey,
) -> Result<TransformReport, TransformError> {
    let mut anonymous = Anonymous { pan: CryptoPan::new(&key.0), names: Names::new(&key.0) };
    let mut manifest = anonymous.manifest(recording.manifest());
    let (totals, absent) = totals_there(recording)?;
    manifest.totals = totals;
    let end_ns = end_ns(recording)?;
    let writer = create(dir, &manifest, recording.first_segment()?)?;
    let mut copy = Copy { writer, anonymous };
    if let Some(mut frame) = recording.key_frame()? {
        frame.lifecycles.iter_mut().for_each(|row| copy.anonymous.connection(row));
        copy.writer.begin_with(&frame)?;
    }
    for row in recording.raw_capture_stats() {
        let row = row?;
        if row == RawCaptureStat::Unknown {
            return Err(TransformError::Newer(recording.dir().to_owned()));
        }
        copy.writer.raw_capture_stat(&row)?;
    }
    for row in lacking(recording, end_ns)? {
        copy.writer.capture_stat(&row)?;
    }
    rounds::read(recording, &mut copy)?;
    if copy.writer.rows() == 0 && manifest.totals.is_none() {
        return refused(format!("{} has no record", recording.dir().display()));
    }
    // Records that an earlier cut left out are in the ledger already.
    finish(copy.writer, manifest, &absent, end_ns)
}

/// The option that stands for every interface.
const ALL: &str = "all";

/// The replacements of names and addresses.
struct Anonymous {
    pan: CryptoPan,
    names: Names,
}

impl Anonymous {
    /// An address of the wire: 4 octets and zeros, or 16.
    fn octets(&mut self, family: u16, addr: &mut [u8; 16]) {
        const AF_INET: u16 = 2;
        if family == AF_INET {
            let v4: [u8; 4] = addr[..4].try_into().expect("four of sixteen");
            if let IpAddr::V4(v4) = self.pan.address(IpAddr::from(v4)) {
                addr[..4].copy_from_slice(&v4.octets());
            }
        } else if let IpAddr::V6(v6) = self.pan.address(IpAddr::from(*addr)) {
            *addr = v6.octets();
        }
    }

    /// What a lifecycle record has of ends and owner.
    fn connection(&mut self, row: &mut Lifecycle) {
        self.octets(row.family, &mut row.local_addr);
        self.octets(row.family, &mut row.remote_addr);
        row.cgroup_path = self.names.path(&row.cgroup_path);
        row.uid = self.names.user(row.uid);
        row.comm = self.names.name(Of::Command, "c-", &row.comm);
        row.mptcp = self.names.token(row.mptcp);
    }

    /// An address or a prefix as the manifest has it.
    fn prefix(&mut self, text: &str) -> String {
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let Ok(addr) = addr.parse::<IpAddr>() else { return "removed".to_owned() };
        let new = self.pan.address(addr);
        let Some(bits) = bits.and_then(|bits| bits.parse::<u32>().ok()) else {
            return new.to_string();
        };
        // Addresses in the prefix are in the prefix of the new address.
        match new {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv4Addr::from(u32::from(a) & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv6Addr::from(u128::from(a) & mask))
            }
        }
    }

    fn prefixes(&mut self, list: &mut [String]) {
        list.iter_mut().for_each(|text| *text = self.prefix(text));
    }

    /// "qdisc fq 8001: dev eth0 root": the word after `dev`.
    fn interface_in(&self, line: &str) -> String {
        let mut dev = false;
        let word = |word: &str| {
            let is_name = std::mem::replace(&mut dev, word == "dev");
            if is_name { self.interface(word) } else { word.to_owned() }
        };
        line.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// "program 17 \"name\" was attached": what stands in quotes.
    fn quoted_in(&self, text: &str) -> String {
        let part = |(i, part): (usize, &str)| match i % 2 {
            0 => part.to_owned(),
            _ => self.names.name(Of::Command, "c-", part),
        };
        text.split('"').enumerate().map(part).collect::<Vec<_>>().join("\"")
    }

    fn interface(&self, name: &str) -> String {
        if name == "lo" { name.to_owned() } else { self.names.name(Of::Interface, "if-", name) }
    }

    fn manifest(&mut self, of: &Manifest) -> Manifest {
        let mut m = of.clone();
        m.recording = self.names.uuid(Of::Recording, &of.recording);
        m.host.hostname = self.names.name(Of::Host, "host-", &of.host.hostname);
        m.host.boot_id = self.names.uuid(Of::Boot, &of.host.boot_id);
        m.command = of.command.as_ref().map(|_| vec!["removed".to_owned()]);
        self.prefixes(&mut m.options.addresses);
        self.prefixes(&mut m.options.not_addresses);
        let options = &mut m.options;
        // Here it stands in one piece.
        options.divided_ledger = false;
        options.cgroups.iter_mut().for_each(|path| *path = self.names.path(path));
        let name = |name: &mut String| *name = self.names.name(Of::Namespace, "netns-", name);
        options.netns.iter_mut().for_each(name);
        let name = |name: &mut String| *name = self.names.name(Of::Command, "c-", name);
        options.comms.iter_mut().for_each(name);
        m.qdiscs.iter_mut().for_each(|line| *line = self.interface_in(line));
        for name in m.options.interfaces.iter_mut().filter(|name| *name != ALL) {
            *name = self.interface(name);
        }
        for interface in &mut m.interfaces {
            interface.name = self.interface(&interface.name);
        }
        for namespace in &mut m.namespaces {
            namespace.qdiscs.iter_mut().for_each(|line| *line = self.interface_in(line));
            for interface in &mut namespace.interfaces {
                interface.name = self.interface(&interface.name);
            }
        }
        m.not_seen.iter_mut().for_each(|it| it.what = self.quoted_in(&it.what));
        for hook in &mut m.hooks {
            hook.reason = hook.reason.as_deref().map(|reason| self.quoted_in(reason));
        }
        if let Some(import) = &mut m.import {
            import.file = self.names.name(Of::Capture, "capture-", &import.file);
            for interface in &mut import.interfaces {
                interface.name = interface.name.as_deref().map(|name| self.interface(name));
            }
            self.prefixes(&mut import.local);
        }
        for step in &mut m.derived {
            step.of.iter_mut().for_each(|uuid| *uuid = self.names.uuid(Of::Recording, uuid));
            self.prefixes(&mut step.addresses);
        }
        // Not of what: the original's UUID would lead to it.
        m.derived.push(Derivation { by: "anonymize".to_owned(), ..Derivation::default() });
        m
    }
}

struct Copy {
    writer: RecordingWriter,
    anonymous: Anonymous,
}

impl Take for Copy {
    fn hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), TransformError> {
        Ok(self.writer.hook(header, ops)?)
    }

    fn lifecycle(&mut self, mut row: Lifecycle) -> Result<(), TransformError> {
        self.anonymous.connection(&mut row);
        Ok(self.writer.lifecycle(&row)?)
    }

    fn packet(&mut self, mut packet: Packet) -> Result<(), TransformError> {
        let to = &mut self.anonymous;
        packet.src_addr = to.pan.address(packet.src_addr);
        packet.dst_addr = to.pan.address(packet.dst_addr);
        packet.src_mac = packet.src_mac.map(|mac| to.names.mac(mac));
        packet.dst_mac = packet.dst_mac.map(|mac| to.names.mac(mac));
        scrub(&mut packet);
        Ok(self.writer.packet(packet)?)
    }

    fn snapshot(&mut self, mut row: Snapshot) -> Result<(), TransformError> {
        let to = &mut self.anonymous;
        to.octets(row.family, &mut row.local_addr);
        to.octets(row.family, &mut row.remote_addr);
        let uid = row.values.get(SocketField::uid);
        let uid = uid.map(|uid| u64::from(to.names.user(uid as u32)));
        row.values.set(SocketField::uid, uid);
        for field in [SocketField::mptcp_token_loc, SocketField::mptcp_token_rem] {
            let token = row.values.get(field).map(|token| to.names.token(token as u32).into());
            row.values.set(field, token);
        }
        // Its content is not known.
        row.tcp_info_more.clear();
        Ok(self.writer.snapshot(row)?)
    }

    fn mark(&mut self, stream: Marked, ts_ns: u64) -> Result<(), TransformError> {
        super::mark(&mut self.writer, stream, ts_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n";
        assert_eq!(SecretKey::parse(hex.as_bytes()).unwrap().0[1], 0x11);
        assert_eq!(SecretKey::parse(&[7; 32]).unwrap().0, [7; 32]);
        for bad in [&b""[..], b"secret", &[7; 31], &hex.as_bytes()[..63]] {
            let said = SecretKey::parse(bad).unwrap_err();
            assert!(said.contains("head -c 32 /dev/urandom"), "{said}");
        }
    }

    #[test]
    fn texts_of_the_manifest() {
        let mut to = Anonymous { pan: CryptoPan::new(&[7; KEY]), names: Names::new(&[7; KEY]) };
        let inside = to.pan.address("192.0.2.77".parse().unwrap());
        let prefix: crate::recordings::import::Prefix = to.prefix("192.0.2.0/24").parse().unwrap();
        assert!(prefix.contains(inside));
        let outside = to.pan.address("192.0.3.77".parse().unwrap());
        assert!(!prefix.contains(outside));
        assert_eq!(to.prefix("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(to.prefix("host.example"), "removed");
        let line = to.interface_in("qdisc fq 8001: dev wg-home root refcnt 2");
        assert!(
            line.starts_with("qdisc fq 8001: dev if-") && line.ends_with(" root refcnt 2"),
            "{line}"
        );
        assert_eq!(to.interface_in("qdisc noqueue 0: dev lo root"), "qdisc noqueue 0: dev lo root");
    }
}
