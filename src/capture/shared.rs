// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Arrays that programs and the recorder share.
//!
//! While a system call reads or writes a map, the kernel runs no program of a kprobe on that CPU
//! (`bpf_disable_instrumentation()`): those of softirqs that come meanwhile are passed over, and rows
//! are lossy for it. So where hooks are kprobes, arrays that the recorder reads again and again are mapped
//! into its memory. Linux before 5.5 cannot do that.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};

/// An array whose elements are words.
#[derive(Debug)]
pub(super) struct Array {
    map: MapHandle,
    memory: Option<Memory>,
}

impl Array {
    /// By memory if this map can be had there, by system calls if not.
    pub(super) fn new(map: MapHandle) -> Self {
        let words = words_of(&map) * map.max_entries() as usize;
        let memory = Memory::of(map.as_fd(), words);
        Self { map, memory }
    }

    /// Elements.
    pub(super) fn len(&self) -> usize {
        self.map.max_entries() as usize
    }

    /// Words of an element.
    pub(super) fn words(&self) -> usize {
        words_of(&self.map)
    }

    /// # Errors
    /// Errors of bpf(2), or if there is no such element.
    pub(super) fn get(&self, at: usize) -> io::Result<Vec<u64>> {
        let absent = || io::Error::other("the map has no such element");
        if let Some(memory) = &self.memory {
            let element = memory.element(at, self.words()).ok_or_else(absent)?;
            return Ok(element.iter().map(|word| word.load(Ordering::Relaxed)).collect());
        }
        let value = self.map.lookup(&(at as u32).to_ne_bytes(), MapFlags::ANY);
        Ok(words(&value.map_err(io::Error::other)?.ok_or_else(absent)?))
    }

    /// # Errors
    /// Errors of bpf(2), or if there is no such element.
    pub(super) fn set(&self, at: usize, value: &[u64]) -> io::Result<()> {
        assert_eq!(value.len(), self.words(), "a whole element");
        if let Some(memory) = &self.memory {
            let absent = || io::Error::other("the map has no such element");
            let element = memory.element(at, self.words()).ok_or_else(absent)?;
            element.iter().zip(value).for_each(|(at, word)| at.store(*word, Ordering::Relaxed));
            return Ok(());
        }
        let bytes: Vec<u8> = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.map.update(&(at as u32).to_ne_bytes(), &bytes, MapFlags::ANY).map_err(io::Error::other)
    }
}

/// The kernel rounds the size of elements up.
fn words_of(map: &MapHandle) -> usize {
    (map.value_size() as usize).div_ceil(8)
}

fn words(value: &[u8]) -> Vec<u64> {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight octets"));
    value.chunks_exact(8).map(word).collect()
}

/// The values of each CPU.
#[derive(Debug)]
pub(super) enum OfCpus {
    /// An array with one element, which each CPU has for itself.
    PerCpu(MapHandle),
    /// An array with an element for each CPU.
    Array(Array),
}

impl OfCpus {
    pub(super) fn new(map: MapHandle) -> Self {
        let is_array = matches!(map.map_type(), MapType::Array);
        if is_array { Self::Array(Array::new(map)) } else { Self::PerCpu(map) }
    }

    /// By CPU.
    ///
    /// # Errors
    /// Errors of bpf(2).
    pub(super) fn get(&self) -> io::Result<Vec<Vec<u64>>> {
        match self {
            Self::PerCpu(map) => {
                let values = map.lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY);
                let values = values.map_err(io::Error::other)?;
                let values = values.ok_or_else(|| io::Error::other("the map is empty"))?;
                Ok(values.iter().map(|value| words(value)).collect())
            }
            Self::Array(array) => (0..array.len()).map(|cpu| array.get(cpu)).collect(),
        }
    }
}

/// A map's values, mapped.
#[derive(Debug)]
struct Memory {
    at: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: words that all may read and write at any time, as the programs in the kernel do.
unsafe impl Send for Memory {}
// SAFETY: the same.
unsafe impl Sync for Memory {}

impl Memory {
    fn of(map: BorrowedFd<'_>, words: usize) -> Option<Self> {
        let (len, protection) = (words * 8, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: the kernel chooses where, so nothing that is there is replaced.
        let at = unsafe {
            let none = std::ptr::null_mut();
            libc::mmap(none, len, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        if at == libc::MAP_FAILED {
            return None;
        }
        Some(Self { at: NonNull::new(at.cast())?, words })
    }

    fn element(&self, at: usize, words: usize) -> Option<&[AtomicU64]> {
        // SAFETY: this many words are mapped while this value lives, from the beginning of a page.
        let all = unsafe { slice::from_raw_parts(self.at.as_ptr(), self.words) };
        all.chunks_exact(words).nth(at)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this was mapped, and no reference to it is left.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.words * 8) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn writes_to_the_shared_memory_are_in_the_map() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 4096]).expect("it is ours");
        let memory = Memory::of(file.as_fd(), 512).expect("a file can be mapped");
        assert_eq!(memory.element(2, 3).expect("it is there").len(), 3);
        assert!(memory.element(171, 3).is_none() && memory.element(170, 3).is_none());
        memory.element(1, 2).expect("it is there")[1].store(1, Ordering::Relaxed);
        drop(memory);
        let mut bytes = [0; 32];
        file.rewind().and_then(|()| file.read_exact(&mut bytes)).expect("it is ours");
        assert_eq!(words(&bytes)[2..], [u64::from_ne_bytes([7; 8]), 1]);
    }

    #[test]
    fn a_map_that_cannot_be_mapped_has_no_memory() {
        let nothing = std::fs::File::open("/dev/null").expect("there is one");
        assert!(Memory::of(nothing.as_fd(), 512).is_none());
    }
}
