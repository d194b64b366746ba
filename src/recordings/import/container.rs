// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The files that captures come in: pcap and pcapng, plain, in gzip or in zstd.
//!
//! The blocks are parsed by pcap-parser: of the two crates that know both formats it is the one whose
//! current release is not a release candidate. It works on a buffer of ours, so that the place where a
//! file ends too early can be named. Reading and finding the ends of blocks is done here, so that a
//! wrong length cannot request memory.

use std::io::{self, BufReader, Read};

use pcap_parser::nom;
use pcap_parser::pcapng::Block;
use pcap_parser::{
    InterfaceDescriptionBlock, OptionCode, PcapHeader, PcapNGOption, parse_block_be,
    parse_block_le, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::ImportError;
use super::source::CaptureFile;
use crate::log::ImportedInterface;
use crate::wire::Direction;

/// A frame as the capture has it.
pub struct Frame<'a> {
    /// Wall clock in nanoseconds since the Unix epoch; none in a block without a time.
    pub ts_ns: Option<u64>,
    /// Number of the interface.
    pub interface: u32,
    /// LINKTYPE_ number.
    pub link_type: i32,
    /// Length on the wire.
    pub wire_len: u32,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Its direction, if the capture states it.
    pub direction: Direction,
}

/// The facts of a file besides its frames.
#[derive(Debug, Default)]
pub struct Capture {
    pub format: String,
    pub interfaces: Vec<ImportedInterface>,
    pub frames: u64,
    /// Dropped packets by the last statistics of each interface.
    dropped: Vec<Option<u64>>,
    /// Dropped packets by the counts in obsolete Packet Blocks.
    dropped_between: u64,
    pub truncated: Option<String>,
}

impl Capture {
    /// Packets that the capturing program dropped; none if the capture does not state it.
    pub fn dropped(&self) -> Option<u64> {
        let between = Some(self.dropped_between).filter(|n| *n > 0);
        // Statistics have those, too.
        self.dropped.iter().flatten().copied().reduce(u64::saturating_add).or(between)
    }
}

/// Longer blocks are not packets: tcpdump's largest snapshot is 256 KiB.
const MAX_BLOCK: usize = 64 << 20;
/// No capture has more interfaces, nor longer names of them.
const MAX_INTERFACES: usize = 1 << 16;
const MAX_NAME: usize = 256;

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Reads the file and gives every frame to `visit`.
///
/// # Errors
/// If the file is not a capture or cannot be opened, and the errors of `visit`. A file that ends too
/// early or is damaged further on is not an error: [`Capture::truncated`] has the place.
pub fn read(
    source: &CaptureFile,
    visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), ImportError>,
) -> Result<Capture, ImportError> {
    let mut input = Input::open(source)?;
    let compression = input.compression;
    let magic: [u8; 4] = match input.peek(4) {
        Some(bytes) => bytes.try_into().expect("four bytes"),
        None => return Err(input.not_a_capture(source)),
    };
    let mut capture = if magic == SECTION {
        Reader { input, visit, capture: Capture::default() }.pcapng(source)?
    } else {
        let Some(Ok((_, header))) = input.peek(24).map(parse_pcap_header) else {
            return Err(input.not_a_capture(source));
        };
        input.consume(24);
        Reader { input, visit, capture: Capture::default() }.pcap(&header)?
    };
    capture.format.push_str(compression);
    Ok(capture)
}

/// A file, decompressed, through a buffer that keeps what has not been consumed.
struct Input {
    reader: Box<dyn Read>,
    compression: &'static str,
    buffer: Vec<u8>,
    start: usize,
    /// Offset of `start` in the decompressed file.
    offset: u64,
    /// Why there is no more, if it is not simply the end.
    failed: Option<io::Error>,
}

impl Input {
    fn open(source: &CaptureFile) -> Result<Self, ImportError> {
        let fault = |e| ImportError::Read { path: source.path().to_owned(), source: e };
        let mut file = source.read().map_err(fault)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(fault)?;
        drop(file);
        let file = BufReader::with_capacity(1 << 16, source.read().map_err(fault)?);
        let (reader, compression): (Box<dyn Read>, _) = match magic[..] {
            [0x1f, 0x8b, ..] => (Box::new(flate2::read::MultiGzDecoder::new(file)), " in gzip"),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(fault)?;
                (Box::new(decoder), " in zstd")
            }
            _ => (Box::new(file), ""),
        };
        let buffer = Vec::new();
        Ok(Self { reader, compression, buffer, start: 0, offset: 0, failed: None })
    }

    /// The next bytes, without consuming them; none if the file ends before.
    fn peek(&mut self, len: usize) -> Option<&[u8]> {
        while self.buffer.len() - self.start < len {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let have = self.buffer.len();
            self.buffer.resize(len.max(1 << 18), 0);
            let read = match self.reader.read(&mut self.buffer[have..]) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    self.buffer.truncate(have);
                    continue;
                }
                Err(e) => {
                    self.failed = Some(e);
                    0
                }
            };
            self.buffer.truncate(have + read);
            if read == 0 {
                return None;
            }
        }
        Some(&self.buffer[self.start..self.start + len])
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }

    /// Why the file is over, if it is not where a block ends.
    fn end(&self) -> Option<String> {
        let (at, left) = (self.offset, self.buffer.len() - self.start);
        let of = if self.compression.is_empty() { "" } else { " of the decompressed file" };
        match &self.failed {
            Some(e) => Some(format!("nothing can be read after byte {at}{of}: {e}")),
            None if left > 0 => Some(format!("it ends inside the block at byte {at}{of}")),
            None => None,
        }
    }

    fn damaged(&self, what: &str) -> String {
        format!("the block at byte {} is damaged: {what}", self.offset)
    }

    fn not_a_capture(&mut self, source: &CaptureFile) -> ImportError {
        let path = source.path().to_owned();
        if let Some(source) = self.failed.take() {
            return ImportError::Read { path, source };
        }
        let begins = self.buffer[self.start..].iter().take(4).map(|b| format!("{b:02x}"));
        let begins = begins.collect::<Vec<_>>().join(" ");
        ImportError::NotACapture { path, begins }
    }
}

struct Reader<'a> {
    input: Input,
    visit: &'a mut dyn FnMut(&Frame<'_>) -> Result<(), ImportError>,
    capture: Capture,
}

impl Reader<'_> {
    fn pcap(mut self, header: &PcapHeader) -> Result<Capture, ImportError> {
        let (modified, big) = (header.is_modified_format(), header.is_bigendian());
        let head = if modified { 24 } else { 16 };
        let unit = if header.is_nanosecond_precision() { 1 } else { 1_000 };
        // The upper bits state whether frames end with a checksum; its bytes are not IP's.
        let link_type = header.network.0 & 0xffff;
        self.capture.format = "pcap".to_owned();
        self.capture.interfaces = vec![ImportedInterface { number: 0, name: None, link_type }];
        loop {
            let Some(bytes) = self.input.peek(head) else {
                self.capture.truncated = self.input.end();
                return Ok(self.capture);
            };
            let length = u32_at(bytes, 8, big) as usize;
            if length > MAX_BLOCK {
                let what = format!("it claims a packet of {length} bytes");
                self.capture.truncated = Some(self.input.damaged(&what));
                return Ok(self.capture);
            }
            let Some(bytes) = self.input.peek(head + length) else {
                self.capture.truncated = self.input.end();
                return Ok(self.capture);
            };
            let parse = match (modified, big) {
                (true, _) => parse_pcap_frame_modified,
                (false, true) => parse_pcap_frame_be,
                (false, false) => parse_pcap_frame,
            };
            let Ok((_, block)) = parse(bytes) else {
                self.capture.truncated = Some(self.input.damaged("no packet header"));
                return Ok(self.capture);
            };
            let ns = u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec) * unit;
            self.capture.frames += 1;
            (self.visit)(&Frame {
                ts_ns: Some(ns),
                interface: 0,
                link_type,
                wire_len: block.origlen,
                data: block.data,
                direction: Direction::Unknown,
            })?;
            self.input.consume(head + length);
        }
    }

    fn pcapng(mut self, source: &CaptureFile) -> Result<Capture, ImportError> {
        self.capture.format = "pcapng".to_owned();
        let mut section = Section::default();
        loop {
            let Some(bytes) = self.input.peek(12) else {
                self.capture.truncated = self.input.end();
                return Ok(self.capture);
            };
            let bytes: [u8; 12] = bytes.try_into().expect("twelve bytes");
            if bytes[..4] == SECTION {
                section = match bytes[8..12] {
                    [0x1a, 0x2b, 0x3c, 0x4d] => Section { big: true, ..Section::default() },
                    [0x4d, 0x3c, 0x2b, 0x1a] => Section::default(),
                    _ if self.input.offset == 0 => return Err(self.input.not_a_capture(source)),
                    _ => {
                        let what = "a section without its byte-order mark";
                        self.capture.truncated = Some(self.input.damaged(what));
                        return Ok(self.capture);
                    }
                };
                // Numbers of interfaces begin anew in each section; ours go on.
                section.first = self.capture.interfaces.len() as u32;
            }
            let length = u32_at(&bytes, 4, section.big) as usize;
            if !(12..=MAX_BLOCK).contains(&length) || !length.is_multiple_of(4) {
                let what = format!("it claims {length} bytes");
                self.capture.truncated = Some(self.input.damaged(&what));
                return Ok(self.capture);
            }
            if self.capture.interfaces.len() > MAX_INTERFACES {
                let what = format!("more than {MAX_INTERFACES} interfaces");
                self.capture.truncated = Some(self.input.damaged(&what));
                return Ok(self.capture);
            }
            let Some(bytes) = self.input.peek(length) else {
                self.capture.truncated = self.input.end();
                return Ok(self.capture);
            };
            if u32_at(&bytes[..4], 0, section.big) == OBSOLETE_PACKET {
                let Some((frame, drops)) = obsolete(bytes, &section) else {
                    let what = "its fields do not fit its length";
                    self.capture.truncated = Some(self.input.damaged(what));
                    return Ok(self.capture);
                };
                self.capture.frames += 1;
                self.capture.dropped_between += drops;
                (self.visit)(&frame)?;
                self.input.consume(length);
                continue;
            }
            let parsed: nom::IResult<_, _, _> =
                if section.big { parse_block_be(bytes) } else { parse_block_le(bytes) };
            let Ok((_, block)) = parsed else {
                self.capture.truncated =
                    Some(self.input.damaged("its fields do not fit its length"));
                return Ok(self.capture);
            };
            block_of(block, &mut section, &mut self.capture, self.visit)?;
            self.input.consume(length);
        }
    }
}

/// The facts of a section that its packets need.
#[derive(Default)]
struct Section {
    big: bool,
    /// Our number of its first interface.
    first: u32,
    interfaces: Vec<Clock>,
}

/// The unit of an interface's timestamps.
#[derive(Clone, Copy)]
struct Clock {
    link_type: i32,
    /// Units in a second; none where the option makes no sense.
    resolution: Option<u64>,
    offset_s: i64,
    snaplen: u32,
}

impl Clock {
    fn new(block: &InterfaceDescriptionBlock<'_>, big: bool) -> Self {
        let option = |code: OptionCode| block.options.iter().find(|o| o.code == code);
        let resolution = match option(OptionCode::IfTsresol).and_then(|o| o.value.first()) {
            None => Some(1_000_000),
            // The crate's own reading of powers of two refuses all of them.
            Some(n) if n & 0x80 != 0 => 1_u64.checked_shl(u32::from(n & 0x7f)),
            Some(n) => 10_u64.checked_pow(u32::from(*n)),
        };
        let offset_s = option(OptionCode::IfTsoffset).and_then(|o| u64_of(o, big)).unwrap_or(0);
        let (link_type, snaplen) = (block.linktype.0, block.snaplen);
        Self { link_type, resolution, offset_s: offset_s as i64, snaplen }
    }

    fn ns(&self, high: u32, low: u32) -> Option<u64> {
        let units = u128::from(u64::from(high) << 32 | u64::from(low));
        let ns = units * 1_000_000_000 / u128::from(self.resolution.filter(|r| *r > 0)?);
        let ns = i128::try_from(ns).ok()? + i128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(ns).ok()
    }
}

fn block_of(
    block: Block<'_>,
    section: &mut Section,
    capture: &mut Capture,
    visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    match block {
        Block::InterfaceDescription(block) => {
            let number = section.first + section.interfaces.len() as u32;
            let name = block.if_name().and_then(Result::ok);
            let name = name.map(|n| n.trim_end_matches('\0').chars().take(MAX_NAME).collect());
            let link_type = block.linktype.0;
            capture.interfaces.push(ImportedInterface { number, name, link_type });
            section.interfaces.push(Clock::new(&block, section.big));
            Ok(())
        }
        Block::EnhancedPacket(block) => {
            capture.frames += 1;
            let clock = section.interfaces.get(block.if_id as usize).copied();
            let flags = block.options.iter().find(|o| o.code.0 == EPB_FLAGS);
            let flags = flags.and_then(|o| u32_of(o, section.big)).unwrap_or(0);
            visit(&Frame {
                ts_ns: clock.and_then(|c| c.ns(block.ts_high, block.ts_low)),
                interface: section.first.saturating_add(block.if_id),
                link_type: clock.map_or(-1, |c| c.link_type),
                wire_len: block.origlen,
                data: block.data.get(..block.caplen as usize).unwrap_or(block.data),
                direction: direction(flags),
            })
        }
        Block::SimplePacket(block) => {
            capture.frames += 1;
            let clock = section.interfaces.first().copied();
            let snap = clock.map_or(0, |c| c.snaplen);
            let snap = if snap == 0 { u32::MAX } else { snap };
            let captured = block.origlen.min(snap) as usize;
            visit(&Frame {
                ts_ns: None,
                interface: section.first,
                link_type: clock.map_or(-1, |c| c.link_type),
                wire_len: block.origlen,
                data: block.data.get(..captured).unwrap_or(block.data),
                direction: Direction::Unknown,
            })
        }
        Block::InterfaceStatistics(block) => {
            let count = |code| {
                let option = block.options.iter().find(|o| o.code == code);
                option.and_then(|o| u64_of(o, section.big))
            };
            let both = [count(OptionCode::IsbIfDrop), count(OptionCode::IsbOsDrop)];
            let dropped = both.into_iter().flatten().reduce(u64::saturating_add);
            let index = section.first.saturating_add(block.if_id) as usize;
            // Statistics of an interface that was never described are ignored.
            if index < capture.interfaces.len() {
                capture.dropped.resize(capture.interfaces.len(), None);
                capture.dropped[index] = dropped.or(capture.dropped[index]);
            }
            Ok(())
        }
        // Names, secrets, comments: nothing of a packet.
        Block::SectionHeader(_)
        | Block::NameResolution(_)
        | Block::SystemdJournalExport(_)
        | Block::DecryptionSecrets(_)
        | Block::ProcessInformation(_)
        | Block::Custom(_)
        | Block::Unknown(_) => Ok(()),
    }
}

/// Option epb_flags, and pack_flags.
const EPB_FLAGS: u16 = 2;

/// The block that captures had before Enhanced Packet Blocks (draft-ietf-opsawg-pcapng, appendix A);
/// the crate does not know it.
const OBSOLETE_PACKET: u32 = 2;
/// Its drops count where it is not known.
const UNKNOWN_DROPS: u16 = 0xffff;

/// A frame in an obsolete Packet Block, and how many were dropped before it. None if its fields do
/// not fit its length.
fn obsolete<'a>(block: &'a [u8], section: &Section) -> Option<(Frame<'a>, u64)> {
    const FIXED: usize = 28;
    let big = section.big;
    let body = block.get(..block.len().checked_sub(4)?)?;
    let field: &[u8; FIXED] = body.first_chunk()?;
    let number = |at: usize| u32_at(field, at, big);
    let both: [u8; 4] = field[8..12].try_into().ok()?;
    let half = |at: usize| {
        let bytes = [both[at], both[at + 1]];
        if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    let (interface, drops) = (half(0), half(2));
    let captured = number(20) as usize;
    let data = body.get(FIXED..)?.get(..captured)?;
    let options = body.get(FIXED + captured.next_multiple_of(4)..).unwrap_or_default();
    let clock = section.interfaces.get(usize::from(interface)).copied();
    let drops = if drops == UNKNOWN_DROPS { 0 } else { u64::from(drops) };
    let frame = Frame {
        ts_ns: clock.and_then(|c| c.ns(number(12), number(16))),
        interface: section.first.saturating_add(u32::from(interface)),
        link_type: clock.map_or(-1, |c| c.link_type),
        wire_len: number(24),
        data,
        direction: direction(flags_of(options, big)),
    };
    Some((frame, drops))
}

/// The packet flags among options.
fn flags_of(mut options: &[u8], big: bool) -> u32 {
    loop {
        let Some(head) = options.get(..4) else { return 0 };
        let half = |at: usize| {
            let bytes = [head[at], head[at + 1]];
            if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
        };
        let (code, length) = (half(0), usize::from(half(2)));
        if code == 0 {
            return 0;
        }
        if code == EPB_FLAGS && length == 4 {
            return options.get(4..8).map_or(0, |v| u32_at(v, 0, big));
        }
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
}

const fn direction(flags: u32) -> Direction {
    match flags & 3 {
        1 => Direction::In,
        2 => Direction::Out,
        _ => Direction::Unknown,
    }
}

fn u32_at(bytes: &[u8], at: usize, big: bool) -> u32 {
    let bytes = bytes[at..at + 4].try_into().expect("four bytes");
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

// The crate reads numbers of options as little-endian whatever the section is.
fn u32_of(option: &PcapNGOption<'_>, big: bool) -> Option<u32> {
    option.value.get(..4).map(|v| u32_at(v, 0, big))
}

fn u64_of(option: &PcapNGOption<'_>, big: bool) -> Option<u64> {
    let bytes = option.value.get(..8)?.try_into().ok()?;
    Some(if big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
}
