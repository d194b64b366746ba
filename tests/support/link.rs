// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The link: a thread between two TUN devices, one in each namespace.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::impair::{Counters, Impairment, Lane};
use super::netns::Netns;

/// Name of the device at each end.
pub const DEVICE: &str = "est0";

/// A direction of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first namespace to the second.
    Forward = 0,
    /// From the second to the first.
    Backward = 1,
}

/// A running link; dropping it takes the devices down.
#[derive(Debug)]
pub struct Link {
    lanes: Arc<Mutex<[Lane; 2]>>,
    ends: [OwnedFd; 2],
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Joins two namespaces. The devices exist and carry packets on return, without addresses.
    pub fn between(a: &Netns, b: &Netns, forward: Impairment, backward: Impairment) -> Self {
        let ends = [a.run(tun), b.run(tun)];
        let copies = ends.each_ref().map(|end| end.try_clone().expect("dup"));
        for netns in [a, b] {
            // The default queue of 500 packets overflows under a burst, which would be a local
            // drop that no counter of the lane shows.
            netns.ip(&["link", "set", DEVICE, "mtu", "1500", "txqueuelen", "20000", "up"]);
        }
        let lanes = Arc::new(Mutex::new([Lane::new(forward), Lane::new(backward)]));
        // SAFETY: plain system call; the result is checked.
        let stop = owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
            .expect("eventfd");
        let mut emulator = Emulator {
            ends,
            timer: timer(),
            stop: stop.as_raw_fd(),
            lanes: Arc::clone(&lanes),
            queue: BinaryHeap::new(),
            count: 0,
        };
        let thread = std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || emulator.run())
            .expect("a thread can be started");
        Self { lanes, ends: copies, stop, thread: Some(thread) }
    }

    /// Injects an IP packet that the other end has not sent; no counter has it.
    pub fn inject(&self, direction: Direction, packet: &[u8]) {
        let fd = self.ends[1 - direction as usize].as_raw_fd();
        // SAFETY: the packet is valid for its length.
        let n = unsafe { libc::write(fd, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(n, packet.len() as isize, "inject: {}", io::Error::last_os_error());
    }

    /// Gives a direction new faults. Packets under way keep theirs; the counters go on.
    pub fn impair(&self, direction: Direction, faults: Impairment) {
        let mut lanes = lock(&self.lanes);
        let lane = &mut lanes[direction as usize];
        let counters = lane.counters;
        *lane = Lane::new(faults);
        lane.counters = counters;
    }

    /// What a direction has seen so far.
    pub fn counters(&self, direction: Direction) -> Counters {
        lock(&self.lanes)[direction as usize].counters
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let one = 1u64;
        // SAFETY: eight octets of a live variable, as an eventfd wants them.
        unsafe { libc::write(self.stop.as_raw_fd(), (&raw const one).cast(), 8) };
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn lock(lanes: &Mutex<[Lane; 2]>) -> MutexGuard<'_, [Lane; 2]> {
    lanes.lock().expect("the link's thread has not panicked")
}

/// A packet on its way. Ordered by time, then by arrival, so that equal times keep their order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    due: u64,
    number: u64,
    lane: usize,
    packet: Vec<u8>,
}

struct Emulator {
    ends: [OwnedFd; 2],
    timer: OwnedFd,
    stop: RawFd,
    lanes: Arc<Mutex<[Lane; 2]>>,
    queue: BinaryHeap<Reverse<Flying>>,
    count: u64,
}

impl Emulator {
    fn run(&mut self) {
        loop {
            self.deliver();
            self.arm();
            let [a, b] = [self.ends[0].as_raw_fd(), self.ends[1].as_raw_fd()];
            let mut polled = [a, b, self.timer.as_raw_fd(), self.stop].map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            });
            // SAFETY: the array is valid for its length.
            let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, -1) };
            if ready < 0 {
                let error = io::Error::last_os_error();
                assert_eq!(error.kind(), io::ErrorKind::Interrupted, "poll: {error}");
                continue;
            }
            if polled[3].revents != 0 {
                return;
            }
            for (lane, end) in polled[..2].iter().enumerate() {
                if end.revents & libc::POLLIN != 0 {
                    self.take(lane);
                }
            }
        }
    }

    /// Reads packets from one end, at most a batch, so that due deliveries do not wait for long.
    fn take(&mut self, lane: usize) {
        let mut buffer = [0u8; 2048];
        for _ in 0..32 {
            let fd = self.ends[lane].as_raw_fd();
            // SAFETY: the buffer is valid for its length.
            let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(n) = usize::try_from(n) else { return };
            let packet = &mut buffer[..n];
            let verdict = lock(&self.lanes)[lane].offer(packet, now());
            for due in [verdict.due, verdict.copy_due].into_iter().flatten() {
                let number = self.count;
                self.count += 1;
                let packet = packet.to_vec();
                self.queue.push(Reverse(Flying { due, number, lane, packet }));
            }
        }
    }

    /// Hands over what is due.
    fn deliver(&mut self) {
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.due > now() {
                return;
            }
            let Some(Reverse(flying)) = self.queue.pop() else { return };
            let fd = self.ends[1 - flying.lane].as_raw_fd();
            let packet = &flying.packet;
            // Counted before the write: the receiver may answer, and the test look, before this
            // thread runs again.
            let mut lanes = lock(&self.lanes);
            lanes[flying.lane].delivered(packet);
            // SAFETY: the packet is valid for its length.
            let n = unsafe { libc::write(fd, packet.as_ptr().cast(), packet.len()) };
            lanes[flying.lane].counters.refused += u64::from(n < 0);
        }
    }

    /// Sets the timer to the next delivery. A timerfd, because poll's timeout is rounded up to
    /// milliseconds.
    fn arm(&self) {
        let due = self.queue.peek().map_or(0, |Reverse(next)| next.due);
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: (due / 1_000_000_000) as libc::time_t,
            tv_nsec: (due % 1_000_000_000) as libc::c_long,
        };
        let spec = libc::itimerspec { it_interval: zero, it_value: value };
        let fd = self.timer.as_raw_fd();
        // SAFETY: the specification is valid; setting also clears an expiry that was not read.
        unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &spec, std::ptr::null_mut()) };
    }
}

/// CLOCK_MONOTONIC in nanoseconds, the clock of the timer.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn timer() -> OwnedFd {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: plain system call; the result is checked.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }).expect("timerfd")
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A TUN device in the namespace of the calling thread. Without IFF_VNET_HDR, so the kernel
/// segments before it hands over: what the link sees are the segments of the wire.
pub fn tun() -> OwnedFd {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .expect("/dev/net/tun can be opened");
    // SAFETY: an ifreq of zeros is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    assert_eq!(result, 0, "TUNSETIFF {DEVICE}: {}", io::Error::last_os_error());
    file.into()
}
