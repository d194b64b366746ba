// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! perf buffers through libbpf: libbpf_rs makes only such as wake their reader for every record.

use std::{
    ffi::c_void, marker::PhantomData, os::fd::AsFd as _, os::fd::AsRawFd as _, ptr::NonNull,
};

use libbpf_rs::{
    MapHandle,
    libbpf_sys::{
        perf_buffer, perf_buffer__buffer_cnt, perf_buffer__consume_buffer, perf_buffer__free,
        perf_buffer__new, perf_buffer_opts,
    },
};

use crate::capture::{CaptureError, transport::page_bytes};

type Take<'a> = Box<dyn FnMut(usize, &[u8], u64) -> i32 + 'a>;

/// The data of the callback; its address must not change.
struct Context<'a> {
    take: Take<'a>,
    /// The first error of a round.
    error: i32,
}

/// One perf buffer for each CPU that is online.
pub(in crate::capture) struct PerfBuffers<'a> {
    buffers: NonNull<perf_buffer>,
    /// From a box, to which it goes back when the buffers are gone.
    context: *mut Context<'a>,
    lives: PhantomData<Context<'a>>,
}

unsafe extern "C" fn sample(context: *mut c_void, cpu: i32, data: *mut c_void, size: u32) {
    // SAFETY: libbpf hands back the context of new(), and nothing else uses it during a read.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    // SAFETY: libbpf hands out a sample of this size.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    if context.error < 0 {
        return;
    }
    // 8 octets of header and 4 of length, rounded up to 8; the sample includes what that adds, and
    // our records are multiples of 8.
    let record = &bytes[..bytes.len() & !7];
    let result = (context.take)(cpu as usize, record, bytes.len() as u64 + 12);
    if result < 0 {
        context.error = result;
    }
}

impl<'a> PerfBuffers<'a> {
    /// Makes them, of `bytes` each. `take` is given the CPU, the record, and the octets it took.
    pub(super) fn new(
        map: &MapHandle,
        bytes: u32,
        take: impl FnMut(usize, &[u8], u64) -> i32 + 'a,
    ) -> Result<Self, CaptureError> {
        let context = Box::into_raw(Box::new(Context { take: Box::new(take), error: 0 }));
        // SAFETY: all-zero options are the defaults; the size field states how many of them we know.
        let mut opts: perf_buffer_opts = unsafe { std::mem::zeroed() };
        opts.sz = size_of_val(&opts) as _;
        // No wake-ups, since no thread waits for records: a wake-up costs two microseconds per record.
        opts.sample_period = i32::MAX as u32;
        // SAFETY: the descriptor is open, and the context lives as long as the buffers.
        let made = unsafe {
            perf_buffer__new(
                map.as_fd().as_raw_fd(),
                (bytes / page_bytes()).max(1) as _,
                Some(sample),
                // Records that do not fit are counted by the programs.
                None,
                context.cast(),
                &raw const opts,
            )
        };
        let Some(buffers) = NonNull::new(made) else {
            let source = std::io::Error::last_os_error().into();
            // SAFETY: from a box, and libbpf did not keep it.
            drop(unsafe { Box::from_raw(context) });
            let action = format!("make a perf buffer of {bytes} bytes for each CPU");
            return Err(CaptureError::bpf(action, source));
        };
        Ok(Self { buffers, context, lives: PhantomData })
    }

    /// Reads what is there now; a negative error code if that fails, or the result of `take`.
    pub(super) fn read(&self) -> i32 {
        // SAFETY: between reads nothing else uses it.
        unsafe { (*self.context).error = 0 };
        // SAFETY: the buffers are there until drop.
        let count = unsafe { perf_buffer__buffer_cnt(self.buffers.as_ptr()) };
        for i in 0..count {
            // SAFETY: as above, and the position is one of theirs.
            let result = unsafe { perf_buffer__consume_buffer(self.buffers.as_ptr(), i) };
            if result < 0 && result != -libc::ENOENT {
                return result;
            }
        }
        // SAFETY: as above.
        unsafe { (*self.context).error }
    }
}

impl Drop for PerfBuffers<'_> {
    fn drop(&mut self) {
        // SAFETY: made by perf_buffer__new() and Box::into_raw(), each given back once.
        unsafe {
            perf_buffer__free(self.buffers.as_ptr());
            drop(Box::from_raw(self.context));
        }
    }
}
