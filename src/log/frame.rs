// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! zstd frames: one per batch, found without decompressing anything.

use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use zstd::zstd_safe::CParameter;

use super::index::is_end_of_segment;

/// Magic number of a zstd frame.
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
/// Magic numbers of skippable frames, whose low four bits are free for use.
pub const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

/// Most a frame's content may be. Far above what the writer makes (some MB), so that a damaged
/// size is recognised instead of allocated.
pub const MAX_CONTENT: u64 = 32 << 20;
/// Most a frame may take in the file: a content of that size that does not compress, and headers.
pub const MAX_FRAME: u64 = MAX_CONTENT + (MAX_CONTENT >> 7) + (1 << 10);

/// Makes frames that carry content size and checksum.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// With the zstd compression level.
    pub fn new(level: i32) -> io::Result<Self> {
        let mut zstd = zstd::bulk::Compressor::new(level)?;
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(Self(zstd))
    }

    /// Replaces `out` by a frame around `content`.
    pub fn compress(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(zstd::compress_bound(content.len()));
        self.0.compress_to_buffer(content, out)?;
        Ok(())
    }
}

/// Whether a frame that begins with this number is a skippable one.
pub const fn is_skippable(magic: u32) -> bool {
    magic & !0xf == SKIPPABLE_MAGIC
}

/// Length of the content, by the frame's header.
pub fn content_len(frame: &[u8]) -> Option<u64> {
    Header::parse(frame).ok().map(|header| header.content_len)
}

/// The content of a whole frame, its checksum tested.
pub fn decompress(
    zstd: &mut zstd::bulk::Decompressor<'static>,
    frame: &[u8],
) -> Result<Vec<u8>, String> {
    let header = Header::parse(frame)?;
    let mut content = Vec::with_capacity(header.content_len as usize);
    zstd.decompress_to_buffer(frame, &mut content).map_err(|e| e.to_string())?;
    Ok(content)
}

/// Low 32 bits of the XXH64 of the content: zstd's own checksum, which ends every frame.
pub fn content_checksum(frame: &[u8]) -> u32 {
    u32_at(frame, frame.len() - 4)
}

/// A skippable frame around `content`; `variant` are the low four bits of its magic number.
pub fn skippable(variant: u32, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + content.len());
    frame.extend_from_slice(&(SKIPPABLE_MAGIC | variant).to_le_bytes());
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(content);
    frame
}

/// Little-endian number at an offset known to lie inside.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Little-endian number at an offset known to lie inside.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A part of a file, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A zstd frame with a content of this length.
    Content(u64),
    /// A skippable frame.
    Skippable,
    /// Bytes that are not a frame: damage.
    Broken(&'static str),
}

/// A frame in a file, or a stretch that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// Offset of its first byte.
    pub offset: u64,
    /// Its length in the file.
    pub len: u64,
    /// Its kind.
    pub what: What,
}

impl FrameAt {
    /// Offset of the byte after it.
    pub const fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// Whether it holds, or held, a part of the content: all but skippable frames.
    pub const fn is_content(&self) -> bool {
        !matches!(self.what, What::Skippable)
    }

    /// The length that it may have. An index and a seek table have a line for each frame before them, so they may be as long
    /// as what is before them.
    pub const fn most(&self) -> u64 {
        if self.is_content() || self.offset < MAX_FRAME { MAX_FRAME } else { self.offset }
    }
}

/// How a walk through a file's frames ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the last byte of a frame, or of bytes that are none.
    Whole,
    /// In the middle of a frame, of which this much is there.
    Cut {
        /// Bytes after the last whole frame.
        leftover: u64,
    },
}

/// The header of a frame (RFC 8878, 3.1.1.1).
struct Header {
    len: u64,
    content_len: u64,
}

/// The longest header: magic, descriptor, window, dictionary id, content size.
const MAX_HEADER: usize = 4 + 1 + 1 + 4 + 8;

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let descriptor = *bytes.get(4).ok_or("the frame is cut")?;
        let single_segment = descriptor & 0x20 != 0;
        if descriptor & 0x04 == 0 {
            return Err("the frame has no checksum");
        }
        if descriptor & 0x1b != 0 {
            return Err("the frame needs a zstd dictionary or a newer zstd");
        }
        let size_len = match (descriptor >> 6, single_segment) {
            (0, false) => return Err("the frame does not have its content's size"),
            (0, true) => 1,
            (1, _) => 2,
            (2, _) => 4,
            (_, _) => 8,
        };
        let at = 5 + usize::from(!single_segment);
        let mut size = [0; 8];
        size[..size_len].copy_from_slice(bytes.get(at..at + size_len).ok_or("the frame is cut")?);
        // A size of two bytes counts from 256, since one byte reaches below.
        let content_len = u64::from_le_bytes(size) + if size_len == 2 { 256 } else { 0 };
        if content_len > MAX_CONTENT {
            return Err("its content would be larger than any frame's");
        }
        Ok(Self { len: (at + size_len) as u64, content_len })
    }
}

/// Finds the frames of a file by their headers and block headers, without decompressing. After bytes
/// that are not a frame it continues with the next frame whose checksum is right.
///
/// # Errors
/// Only those of reading; damage is in [`What::Broken`] and [`End`].
pub fn walk<R: Read + Seek>(file: R) -> io::Result<(Vec<FrameAt>, End)> {
    let mut walk = Walk { file: BufReader::new(file), position: 0, len: 0 };
    walk.len = walk.file.seek(SeekFrom::End(0))?;
    walk.file.seek(SeekFrom::Start(0))?;
    let mut frames: Vec<FrameAt> = Vec::new();
    loop {
        let offset = walk.position;
        if offset == walk.len {
            return Ok((frames, End::Whole));
        }
        let mut start = offset;
        let (is_cut, reason) = match walk.frame()? {
            Step::Frame(what) => {
                frames.push(FrameAt { offset, len: walk.position - offset, what });
                continue;
            }
            Step::Cut => (true, "a frame reaches beyond the file"),
            Step::NotAFrame(reason) => (false, reason),
        };
        // A wrong length in the frame before leads astray just as well.
        if let Some(last) = frames.last()
            && matches!(last.what, What::Content(_))
            && !walk.is_whole(last)?
        {
            start = last.offset;
            frames.pop();
        }
        let next = walk.search(start + 1)?;
        if next.is_none() && is_cut && start == offset {
            return Ok((frames, End::Cut { leftover: walk.len - offset }));
        }
        let end = next.unwrap_or(walk.len);
        frames.push(FrameAt { offset: start, len: end - start, what: What::Broken(reason) });
        walk.go_to(end)?;
    }
}

enum Step {
    Frame(What),
    Cut,
    NotAFrame(&'static str),
}

/// Bytes that are searched at once.
const CHUNK: usize = 1 << 20;

struct Walk<R> {
    file: BufReader<R>,
    position: u64,
    len: u64,
}

impl<R: Read + Seek> Walk<R> {
    /// The next `n` bytes, without going past them; fewer at the end of the file.
    fn peek(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let n = n.min((self.len - self.position) as usize);
        if self.file.buffer().len() < n {
            // A BufReader fills only when empty: take the rest of its buffer again.
            self.file.seek(SeekFrom::Start(self.position))?;
            self.file.fill_buf()?;
        }
        if let Some(bytes) = self.file.buffer().get(..n) {
            return Ok(bytes.to_vec());
        }
        // A short read; happens on odd file systems only.
        let mut bytes = vec![0; n];
        self.file.read_exact(&mut bytes)?;
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(bytes)
    }

    /// Goes on by `n` bytes; false if the file ends before.
    fn skip(&mut self, n: u64) -> io::Result<bool> {
        if n > self.len - self.position {
            return Ok(false);
        }
        self.file.seek_relative(n as i64)?;
        self.position += n;
        Ok(true)
    }

    fn go_to(&mut self, position: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(position))?;
        self.position = position;
        Ok(())
    }

    /// Whether a content frame is what was written, by its checksum.
    fn is_whole(&mut self, at: &FrameAt) -> io::Result<bool> {
        let Some(bytes) = self.bytes(at)? else { return Ok(false) };
        let mut zstd = zstd::bulk::Decompressor::new()?;
        Ok(decompress(&mut zstd, &bytes).is_ok())
    }

    /// The bytes of a frame; none if it is larger than any frame is.
    fn bytes(&mut self, at: &FrameAt) -> io::Result<Option<Vec<u8>>> {
        if at.len > at.most() {
            return Ok(None);
        }
        let mut bytes = vec![0; at.len as usize];
        self.file.seek(SeekFrom::Start(at.offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The next place, from `from` on, where a frame of ours begins that is whole.
    fn search(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        let mut chunk = Vec::new();
        while at + 8 <= self.len {
            chunk.clear();
            self.go_to(at)?;
            (&mut self.file).take(CHUNK as u64).read_to_end(&mut chunk)?;
            let is_magic = |word: &[u8]| {
                let magic = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                magic == ZSTD_MAGIC || is_skippable(magic)
            };
            for i in chunk.windows(4).enumerate().filter(|(_, w)| is_magic(w)).map(|(i, _)| i) {
                if self.is_ours(at + i as u64)? {
                    return Ok(Some(at + i as u64));
                }
            }
            // A magic number may lie across the border of two chunks.
            at += chunk.len().saturating_sub(3).max(1) as u64;
        }
        Ok(None)
    }

    fn is_ours(&mut self, offset: u64) -> io::Result<bool> {
        self.go_to(offset)?;
        let Step::Frame(what) = self.frame()? else { return Ok(false) };
        let at = FrameAt { offset, len: self.position - offset, what };
        match what {
            What::Content(_) => self.is_whole(&at),
            What::Skippable => {
                let is_last = at.end() == self.len;
                let bytes = self.bytes(&at)?.unwrap_or_default();
                Ok(is_end_of_segment(&bytes, is_last))
            }
            What::Broken(_) => Ok(false),
        }
    }

    fn frame(&mut self) -> io::Result<Step> {
        let begin = self.position;
        let start = self.peek(MAX_HEADER)?;
        if start.len() < 8 {
            return Ok(Step::Cut);
        }
        let magic = u32_at(&start, 0);
        if is_skippable(magic) {
            let len = 8 + u64::from(u32_at(&start, 4));
            return Ok(if self.skip(len)? { Step::Frame(What::Skippable) } else { Step::Cut });
        }
        if magic != ZSTD_MAGIC {
            return Ok(Step::NotAFrame("no frame begins here: the magic number is wrong"));
        }
        let header = match Header::parse(&start) {
            Ok(header) => header,
            // The smallest frame is longer than its header, so a cut header is a cut file.
            Err(_) if start.len() < MAX_HEADER => return Ok(Step::Cut),
            Err(reason) => return Ok(Step::NotAFrame(reason)),
        };
        if !self.skip(header.len)? {
            return Ok(Step::Cut);
        }
        loop {
            let block = self.peek(3)?;
            let &[a, b, c] = &block[..] else { return Ok(Step::Cut) };
            let block = u32::from_le_bytes([a, b, c, 0]);
            let size = match block >> 1 & 3 {
                0 | 2 => u64::from(block >> 3),
                1 => 1,
                _ => return Ok(Step::NotAFrame("a block of the reserved type")),
            };
            if !self.skip(3 + size)? {
                return Ok(Step::Cut);
            }
            if block & 1 == 1 {
                let whole = self.skip(4)?; // The content checksum.
                if whole && self.position - begin > MAX_FRAME {
                    return Ok(Step::NotAFrame("it is larger than any frame"));
                }
                let what = What::Content(header.content_len);
                return Ok(if whole { Step::Frame(what) } else { Step::Cut });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut zstd = Compressor::new(1).unwrap();
        let mut out = Vec::new();
        let mut file = Vec::new();
        // Sizes on both sides of every width of the content size, and more than one block.
        for len in [0, 1, 255, 256, 257, 65_535, 65_792, 65_793, 400_000_usize] {
            let content: Vec<u8> = (0..len).map(|i| ((i * i) >> 3) as u8).collect();
            zstd.compress(&content, &mut out).unwrap();
            file.extend_from_slice(&out);
        }
        file.extend_from_slice(&skippable(3, b"somebody else's"));
        file
    }

    #[test]
    fn walk_finds_the_same_frames_as_zstd() {
        let file = sample();
        let (frames, end) = walk(Cursor::new(&file)).unwrap();
        assert_eq!((frames.len(), end), (10, End::Whole));
        let mut zstd = zstd::bulk::Decompressor::new().unwrap();
        for frame in frames {
            let rest = &file[frame.offset as usize..];
            let len = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
            assert_eq!(frame.len, len as u64);
            if let What::Content(content_len) = frame.what {
                let content = decompress(&mut zstd, &rest[..len]).unwrap();
                assert_eq!(content.len() as u64, content_len);
            }
        }
    }

    #[test]
    fn a_segment_file_cut_at_any_byte_is_recognised_as_cut() {
        let file = sample();
        let (frames, _) = walk(Cursor::new(&file)).unwrap();
        let ends: Vec<u64> = frames.iter().map(|f| f.offset + f.len).collect();
        for cut in (0..file.len()).filter(|c| *c < 3000 || c % 97 == 0) {
            let (found, end) = walk(Cursor::new(&file[..cut])).unwrap();
            let whole = ends.iter().filter(|e| **e <= cut as u64).count();
            assert_eq!(found, frames[..whole], "cut at {cut}");
            let last = whole.checked_sub(1).map_or(0, |i| ends[i]);
            let leftover = cut as u64 - last;
            assert_eq!(end, if leftover == 0 { End::Whole } else { End::Cut { leftover } });
        }
    }

    #[test]
    fn other_bytes_are_not_a_frame() {
        let text = b"a text that is not a frame";
        let (frames, end) = walk(Cursor::new(text)).unwrap();
        let [FrameAt { offset: 0, len, what: What::Broken(_) }] = frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!((len, end), (text.len() as u64, End::Whole));
    }

    /// One byte of a header, a block's size or a magic number, and the frames behind it are found.
    #[test]
    fn reading_continues_after_damage() {
        let file = sample();
        let (frames, _) = walk(Cursor::new(&file)).unwrap();
        for damaged in 1..frames.len() - 1 {
            for byte in [0, 3, 4, 5, 6, 7, 8, 9] {
                let mut flipped = file.clone();
                flipped[frames[damaged].offset as usize + byte] ^= 0x55;
                let (found, _) = walk(Cursor::new(&flipped)).unwrap();
                let behind: Vec<_> = found.iter().filter(|f| frames.contains(f)).collect();
                // The last is another's, and proves nothing when it is searched for.
                assert!(behind.len() >= frames.len() - 2, "{damaged} {byte}: {found:?}");
                let bytes: u64 = found.iter().map(|f| f.len).sum();
                assert_eq!(bytes, file.len() as u64, "{damaged} {byte}: {found:?}");
            }
        }
    }

    #[test]
    fn zeros_are_searched_in_bounded_memory() {
        let mut file = sample();
        let first = file.len() as u64;
        file.resize(file.len() + 3 * CHUNK, 0);
        let middle = file.len() as u64;
        file.extend_from_slice(&sample());
        let (frames, end) = walk(Cursor::new(&file)).unwrap();
        let broken: Vec<_> = frames.iter().filter(|f| matches!(f.what, What::Broken(_))).collect();
        assert_eq!((broken[0].offset, broken[0].len), (first, middle - first));
        assert_eq!((broken.len(), frames.len(), end), (1, 21, End::Whole));
    }
}
