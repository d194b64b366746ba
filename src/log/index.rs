// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The end of a closed segment: our index, and the seek table of zstd's seekable format.
//!
//! Both are skippable frames, so every zstd reader passes over them. The index comes first because
//! the seekable format finds its table by the file's last bytes.

use super::builder::TimeSpan;
use super::crc::crc32;
use super::frame::{SKIPPABLE_MAGIC, skippable, u32_at, u64_at};

/// Low bits of the magic numbers: the seek table's are fixed by the seekable format, the index
/// has its neighbour and a tag of its own.
const SEEK_TABLE_VARIANT: u32 = 0xe;
const INDEX_VARIANT: u32 = 0xd;

/// First bytes of the index.
const TAG: &[u8; 8] = b"estatsix";
/// Version of the index frame, apart from the format's.
const INDEX_VERSION: u32 = 1;
const INDEX_ENTRY: usize = 24;
/// Tag, version and number of entries before them, CRC after them.
const INDEX_FIXED: usize = 8 + 4 + 4 + 4;

const SEEKABLE_MAGIC: u32 = 0x8f92_eab1;
/// The table has a checksum per frame.
const SEEK_FLAGS: u8 = 0x80;
const SEEK_ENTRY: usize = 12;
const SEEK_FOOTER: usize = 9;
/// Checksum of an empty content, for skippable frames: low half of XXH64 of nothing.
const EMPTY_CHECKSUM: u32 = 0x51d8_e999;

/// The index entry of one zstd frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Smallest time in the batch; 0 if it has no rows.
    pub first_ns: u64,
    /// Largest time in the batch; 0 if it has no rows.
    pub last_ns: u64,
    /// Rows in the batch.
    pub rows: u32,
    /// CRC-32 of the whole compressed frame.
    pub crc: u32,
}

impl IndexEntry {
    pub fn new(span: TimeSpan, rows: usize, frame: &[u8]) -> Self {
        let TimeSpan { first_ns, last_ns } =
            if rows == 0 { TimeSpan { first_ns: 0, last_ns: 0 } } else { span };
        Self { first_ns, last_ns, rows: rows as u32, crc: crc32(frame) }
    }
}

/// The index as a skippable frame.
pub fn encode_index(entries: &[IndexEntry]) -> Vec<u8> {
    let mut content = Vec::with_capacity(INDEX_FIXED + entries.len() * INDEX_ENTRY);
    content.extend_from_slice(TAG);
    content.extend_from_slice(&INDEX_VERSION.to_le_bytes());
    content.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        content.extend_from_slice(&entry.first_ns.to_le_bytes());
        content.extend_from_slice(&entry.last_ns.to_le_bytes());
        content.extend_from_slice(&entry.rows.to_le_bytes());
        content.extend_from_slice(&entry.crc.to_le_bytes());
    }
    let crc = crc32(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    skippable(INDEX_VARIANT, &content)
}

/// Reads a skippable frame as an index. `None`: another's frame. `Err`: ours, but damaged.
pub fn decode_index(frame: &[u8]) -> Option<Result<Vec<IndexEntry>, String>> {
    let content = frame.get(8..)?;
    // The number too: nothing else would notice a flipped bit in its last four.
    if u32_at(frame, 0) != SKIPPABLE_MAGIC | INDEX_VARIANT || !content.starts_with(TAG) {
        return None;
    }
    // The seek table finds the frame even if the frame's own length is wrong.
    if u32_at(frame, 4) as usize != content.len() {
        return Some(Err("the index frame is damaged".to_owned()));
    }
    Some(decode_tagged(content))
}

fn decode_tagged(content: &[u8]) -> Result<Vec<IndexEntry>, String> {
    let damaged = || "the index frame is damaged".to_owned();
    let (body, crc) = content.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32(body) != u32::from_le_bytes(*crc) || content.len() < INDEX_FIXED {
        return Err(damaged());
    }
    let version = u32_at(body, 8);
    if version != INDEX_VERSION {
        return Err(format!("the index frame has version {version}, not {INDEX_VERSION}"));
    }
    let (entries, rest) = body[16..].as_chunks::<INDEX_ENTRY>();
    if !rest.is_empty() || entries.len() != u32_at(body, 12) as usize {
        return Err(damaged());
    }
    let entry = |e: &[u8; INDEX_ENTRY]| IndexEntry {
        first_ns: u64_at(e, 0),
        last_ns: u64_at(e, 8),
        rows: u32_at(e, 16),
        crc: u32_at(e, 20),
    };
    Ok(entries.iter().map(entry).collect())
}

/// The seek table's entry of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekEntry {
    /// Its length in the file.
    pub len: u32,
    /// Length of its content; 0 for a skippable frame.
    pub content_len: u32,
    /// Low half of the XXH64 of its content.
    pub checksum: u32,
}

impl SeekEntry {
    /// The entry of a skippable frame.
    pub fn skippable(len: usize) -> Self {
        Self { len: len as u32, content_len: 0, checksum: EMPTY_CHECKSUM }
    }
}

/// The seek table as a skippable frame.
pub fn encode_seek_table(entries: &[SeekEntry]) -> Vec<u8> {
    let mut content = Vec::with_capacity(entries.len() * SEEK_ENTRY + SEEK_FOOTER);
    for entry in entries {
        content.extend_from_slice(&entry.len.to_le_bytes());
        content.extend_from_slice(&entry.content_len.to_le_bytes());
        content.extend_from_slice(&entry.checksum.to_le_bytes());
    }
    content.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    content.push(SEEK_FLAGS);
    content.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    skippable(SEEK_TABLE_VARIANT, &content)
}

/// The seek table that ends a file, if it is whole: its entries give every frame before it, so they
/// add up to its own offset.
pub fn decode_seek_table(frame: &[u8], offset: u64) -> Option<Vec<SeekEntry>> {
    let content = frame.get(8..)?;
    let (entries, footer) = content.split_at(content.len().checked_sub(SEEK_FOOTER)?);
    let (entries, rest) = entries.as_chunks::<SEEK_ENTRY>();
    if u32_at(frame, 0) != SKIPPABLE_MAGIC | SEEK_TABLE_VARIANT
        || u32_at(frame, 4) as usize != content.len()
        || !rest.is_empty()
        || u32_at(footer, 0) as usize != entries.len()
        || footer[4] != SEEK_FLAGS
        || u32_at(footer, 5) != SEEKABLE_MAGIC
    {
        return None;
    }
    let entry = |e: &[u8; SEEK_ENTRY]| SeekEntry {
        len: u32_at(e, 0),
        content_len: u32_at(e, 4),
        checksum: u32_at(e, 8),
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    let sum: u64 = entries.iter().map(|e| u64::from(e.len)).sum();
    (sum == offset && entries.iter().all(|e| e.len >= 8)).then_some(entries)
}

/// Length of the seek table as a frame, by the last bytes of a file that ends with one.
pub fn seek_table_len(tail: &[u8]) -> Option<u64> {
    if !ends_with_seek_table(tail) {
        return None;
    }
    let entries = u64::from(u32_at(tail, tail.len() - SEEK_FOOTER));
    Some(8 + entries * SEEK_ENTRY as u64 + SEEK_FOOTER as u64)
}

/// Whether a skippable frame is one of the two that end a segment.
pub fn is_end_of_segment(frame: &[u8], is_last: bool) -> bool {
    matches!(decode_index(frame), Some(Ok(_))) || (is_last && ends_with_seek_table(frame))
}

/// Whether a file that ends with these bytes ends with a seek table: it was closed.
pub fn ends_with_seek_table(tail: &[u8]) -> bool {
    tail.len() >= SEEK_FOOTER && u32_at(tail, tail.len() - 4) == SEEKABLE_MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_and_every_flipped_bit_is_found() {
        let entries: Vec<IndexEntry> = (0..3_u64)
            .map(|i| IndexEntry { first_ns: i, last_ns: i + 9, rows: 7, crc: 0xdead_beef })
            .collect();
        let frame = encode_index(&entries);
        assert_eq!(decode_index(&frame), Some(Ok(entries.clone())));
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode_index(&flipped), Some(Ok(_))), "bit {bit}");
        }
        assert_eq!(decode_index(&skippable(0, b"something else")), None);
    }
}
