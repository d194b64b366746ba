// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Frames whose checksums are right, and whose contents somebody has made.

use estats::log::{Memory, Recording};

use super::used::use_everything;
use super::{Choices, base};

/// Offsets at which frames begin, skippable ones included, and the end.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut borders = vec![0];
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 8) {
        let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let len = if magic & !0xf == 0x184d_2a50 {
            8 + u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize
        } else {
            zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]).expect("a frame of ours")
        };
        at += len;
        borders.push(at);
    }
    borders
}

/// A frame as the recorder writes it.
pub fn frame(content: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd");
    let checksum = zstd::zstd_safe::CParameter::ChecksumFlag(true);
    zstd.set_parameter(checksum).expect("zstd");
    zstd.compress(content).expect("zstd")
}

/// The contents of the frames of a segment, without the index and the seek table.
pub fn contents(bytes: &[u8]) -> Vec<Vec<u8>> {
    let borders = borders(bytes);
    let pieces = borders.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    let frames = pieces.filter(|frame| frame.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    frames.map(|frame| zstd::decode_all(frame).expect("a frame of ours")).collect()
}

/// The first octet has the recording, the second the file of it, the third how many frames are repeated, left out or
/// exchanged. The rest are changes of octets.
pub fn frames(data: &[u8]) {
    let mut choices = Choices(data);
    let mut files = base(choices.byte());
    let segments: Vec<_> = (0..files.len()).filter(|i| files[*i].0.ends_with(".zst")).collect();
    let file = segments[choices.below(segments.len())];
    let mut frames = contents(&files[file].1);
    for _ in 0..choices.byte() % 4 {
        let (i, j) = (choices.below(frames.len()), choices.below(frames.len()));
        match choices.byte() % 3 {
            0 => frames.swap(i, j),
            1 => frames.insert(i, frames[j].clone()),
            _ if frames.len() > 1 => drop(frames.remove(i)),
            _ => {}
        }
    }
    while !choices.is_empty() {
        let i = choices.below(frames.len());
        let content = &mut frames[i];
        if content.is_empty() {
            continue;
        }
        // Most of what decides something is at the beginning of a message.
        let near = choices.byte().is_multiple_of(2);
        let at = choices.below(if near { content.len().min(1024) } else { content.len() });
        match choices.byte() % 8 {
            0 => content.truncate(at),
            1 => content[at] ^= 1 << (choices.byte() % 8),
            2 | 3 => content[at] = choices.byte(),
            _ => {
                let at = at & !7;
                let Some(word) = content.get(at..at + 8) else { continue };
                let now = u64::from_le_bytes(word.try_into().expect("eight octets"));
                content[at..at + 8].copy_from_slice(&choices.extreme(now).to_le_bytes());
            }
        }
    }
    files[file].1 = frames.iter().flat_map(|content| frame(content)).collect();
    // Without the list of segments, frames are believed that agree with themselves.
    for (name, text) in &mut files {
        if name == "manifest.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            if let Some(object) = manifest.as_object_mut() {
                object.remove("segments");
            }
            *text = manifest.to_string().into_bytes();
        }
    }
    let recording = Recording::from_source("hostile", Memory::from_iter(files));
    use_everything(&recording.expect("the manifest is ours"));
}
