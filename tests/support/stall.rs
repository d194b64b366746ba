// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A reader that holds its socket for as long as is needed: where it reads to is a page that is not there
//! (userfaultfd(2)), and the kernel waits for the page in the middle of recv(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const PAGE: usize = 4096;

// include/uapi/linux/userfaultfd.h
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;
const UFFDIO_ZEROPAGE: libc::Ioctl = 0xc020_aa04_u32 as libc::Ioctl;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;

/// A page that is not there until it is given.
#[derive(Debug)]
pub struct Stall {
    faults: OwnedFd,
    page: *mut libc::c_void,
}

// SAFETY: the pointer is only an address that the kernel is given; nobody here reads through it.
unsafe impl Sync for Stall {}

impl Stall {
    /// Reads one octet, which must be there, and does `meanwhile` while the kernel is in the middle of it.
    pub fn receive(socket: RawFd, meanwhile: impl FnOnce()) {
        let stall = Self::new();
        std::thread::scope(|scope| {
            scope.spawn(|| stall.read(socket));
            // Also after a panic, or the scope would wait for the reader for ever.
            let _given = Given(&stall);
            stall.wait();
            meanwhile();
        });
    }

    fn new() -> Self {
        // SAFETY: plain system calls; results are checked, and the page is nobody else's.
        unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK);
            assert!(fd >= 0, "userfaultfd: {}", io::Error::last_os_error());
            let faults = OwnedFd::from_raw_fd(fd as RawFd);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(std::ptr::null_mut(), PAGE, access, kind, -1, 0);
            assert_ne!(page, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
            let stall = Self { faults, page };
            stall.control(UFFDIO_API, [UFFD_API, 0, 0]);
            let range = [stall.page as u64, PAGE as u64];
            let register = [range[0], range[1], UFFDIO_REGISTER_MODE_MISSING, 0];
            stall.control(UFFDIO_REGISTER, register);
            stall
        }
    }

    fn control<const N: usize>(&self, request: libc::Ioctl, mut argument: [u64; N]) {
        // SAFETY: the argument has the size that the request says.
        let result =
            unsafe { libc::ioctl(self.faults.as_raw_fd(), request, argument.as_mut_ptr()) };
        assert_eq!(result, 0, "userfaultfd {request:x}: {}", io::Error::last_os_error());
    }

    fn read(&self, socket: RawFd) {
        // SAFETY: one octet of a page that is mapped; the kernel waits until it is there.
        let read = unsafe { libc::recv(socket, self.page, 1, 0) };
        assert_eq!(read, 1, "recv: {}", io::Error::last_os_error());
    }

    /// Waits until a thread waits for the page.
    fn wait(&self) {
        let mut polled =
            libc::pollfd { fd: self.faults.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        let ready = unsafe { libc::poll(&raw mut polled, 1, 10_000) };
        assert_eq!((ready, polled.revents), (1, libc::POLLIN), "nobody came for the page");
    }

    fn give(&self) {
        self.control(UFFDIO_ZEROPAGE, [self.page as u64, PAGE as u64, 0, 0]);
    }
}

/// Gives the page when it is dropped.
struct Given<'a>(&'a Stall);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody uses it any more.
        unsafe { libc::munmap(self.page, PAGE) };
    }
}
