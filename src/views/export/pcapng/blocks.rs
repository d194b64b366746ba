// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Blocks of pcapng (draft-ietf-opsawg-pcapng), little-endian: the four that an export needs.
//!
//! `pcap-parser` reads such files and does not write them, and the writers that are kept bring a reader
//! of their own. A block is its type, its length twice, and padded fields between.

use std::io::{self, Write};

/// Nanoseconds: 10^-9 (if_tsresol).
const NANOSECONDS: u8 = 9;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const VERSION: [u16; 2] = [1, 0];
/// The section's length is not known.
const NO_LENGTH: u64 = u64::MAX;

// Options of all blocks.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
// Options of the section header.
const HARDWARE: u16 = 2;
const OS: u16 = 3;
const APPLICATION: u16 = 4;
// Options of an interface.
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const TIME_RESOLUTION: u16 = 9;
// Options of a packet.
const FLAGS: u16 = 2;

/// The link header of an interface's packets (LINKTYPE_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// LINKTYPE_ETHERNET.
    Ethernet = 1,
    /// LINKTYPE_RAW: the packet begins with its IP header.
    Raw = 101,
}

/// The contents of the section header.
#[derive(Debug, Default)]
pub struct Section {
    /// The machine.
    pub hardware: String,
    /// Operating system and kernel.
    pub os: String,
    /// The program that writes.
    pub application: String,
    /// Further comments.
    pub comments: Vec<String>,
}

/// The contents of an interface description.
#[derive(Debug)]
pub struct InterfaceDescription<'a> {
    /// Its link headers.
    pub link: Link,
    /// The most octets that one of its packets has in the file.
    pub snaplen: u32,
    /// Its name.
    pub name: &'a str,
    /// Its description.
    pub description: &'a str,
}

/// A packet.
#[derive(Debug)]
pub struct PacketBlock<'a> {
    /// Number of the interface's description, in their order.
    pub interface: u32,
    /// Nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// Octets that are in the file.
    pub bytes: &'a [u8],
    /// Octets that there were.
    pub original: u32,
    /// Bits 0 and 1: 1 inbound, 2 outbound, 0 not known.
    pub flags: u32,
    /// The comment of the packet; no comment if empty.
    pub comment: &'a str,
}

/// Writes blocks, one after the other.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file with its section.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(out: W, section: &Section) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::new() };
        writer.begin(SECTION_HEADER);
        writer.u32(BYTE_ORDER);
        VERSION.iter().for_each(|v| writer.block.extend_from_slice(&v.to_le_bytes()));
        writer.block.extend_from_slice(&NO_LENGTH.to_le_bytes());
        section.comments.iter().for_each(|text| writer.text(COMMENT, text));
        writer.text(HARDWARE, &section.hardware);
        writer.text(OS, &section.os);
        writer.text(APPLICATION, &section.application);
        writer.end()?;
        Ok(writer)
    }

    /// Describes an interface, before its first packet.
    ///
    /// # Errors
    /// Those of the output.
    pub fn interface(&mut self, interface: &InterfaceDescription<'_>) -> io::Result<()> {
        self.begin(INTERFACE);
        self.u32(interface.link as u32);
        self.u32(interface.snaplen);
        self.text(NAME, interface.name);
        self.text(DESCRIPTION, interface.description);
        self.option(TIME_RESOLUTION, &[NANOSECONDS]);
        self.end()
    }

    /// Writes a packet.
    ///
    /// # Errors
    /// Those of the output.
    pub fn packet(&mut self, packet: &PacketBlock<'_>) -> io::Result<()> {
        self.begin(ENHANCED_PACKET);
        self.u32(packet.interface);
        self.u32((packet.wall_ns >> 32) as u32);
        self.u32(packet.wall_ns as u32);
        self.u32(packet.bytes.len() as u32);
        self.u32(packet.original);
        self.block.extend_from_slice(packet.bytes);
        self.pad();
        self.text(COMMENT, packet.comment);
        if packet.flags != 0 {
            self.option(FLAGS, &packet.flags.to_le_bytes());
        }
        self.end()
    }

    /// Hands on what was written.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        // The length, which is not known yet.
        self.u32(0);
    }

    /// The options end, and with them the block.
    fn end(&mut self) -> io::Result<()> {
        self.option(END_OF_OPTIONS, &[]);
        let length = self.block.len() as u32 + 4;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.u32(length);
        self.out.write_all(&self.block)
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, code: u16, text: &str) {
        if !text.is_empty() {
            self.option(code, text.as_bytes());
        }
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.block.len().next_multiple_of(4);
        self.block.resize(padded, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_padded_and_has_its_length_at_both_ends() {
        let mut out = Vec::new();
        let section = Section {
            hardware: "x".into(),
            os: "Linux".into(),
            application: "estats".into(),
            comments: vec!["a".into(), "bcd".into()],
        };
        let mut writer = Writer::new(&mut out, &section).unwrap();
        let link = Link::Raw;
        let interface =
            InterfaceDescription { link, snaplen: 100, name: "lo", description: "all of it" };
        writer.interface(&interface).unwrap();
        for length in 0..5 {
            let packet = PacketBlock {
                interface: 0,
                wall_ns: 1 << 40 | 7,
                bytes: &[9; 5][..length],
                original: 1500,
                flags: 2,
                comment: &"comment"[..length],
            };
            writer.packet(&packet).unwrap();
        }
        writer.finish().unwrap();
        let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < out.len() {
            let length = word(at + 4) as usize;
            assert_eq!((length % 4, word(at + length - 4) as usize), (0, length));
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE, 6, 6, 6, 6, 6]);
    }
}
