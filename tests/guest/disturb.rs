// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Traffic whose kprobes the kernel passes over: BPF programs of others run on every processor most of
//! the time, and softirqs interrupt them. Runs in a guest, with a recording of its own.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libbpf_rs::libbpf_sys::{
    BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, bpf_insn, bpf_prog_load, bpf_prog_type,
};

use crate::facts::{Disturbed, FlowFacts, Phase};
use crate::path::Path;
use crate::recorder::Recorder;
use crate::sets::HookSet;
use crate::support::flow::Flow;
use crate::support::pair::Family;
use crate::support::tcp::Options;

/// A hook set of its own, which is loaded in a third of the time: the largest programs are not in it.
const SET: &HookSet = &HookSet {
    name: "disturbed",
    hooks: "kprobe",
    options: &["--hooks", "kprobe"],
    also: &[
        "--without=tcp_probe",
        "--without=parse_hdr",
        "--without=cong_state",
        "--without=retransmit",
        "--without=handshake",
        "--without=fastretrans",
        "--without=rack_detect",
        "--without=undo",
        "--without=cwnd_restart",
        "--without=enter_cwr",
        "--without=ecn_check",
        "--without=rcv_space",
        "--without=conn_request",
        "--without=bad_checksum",
    ],
};
/// The variable with which debug builds of the recorder compare both counts.
const BOTH_WAYS: &str = "ESTATS_KPROBES_BOTH_WAYS";
/// No scenario's path has this number.
const PATH: u8 = 250;
/// A system call that no other program makes.
const CALL: libc::c_long = libc::SYS_getpgid;
#[cfg(target_arch = "x86_64")]
const FUNCTION: &str = "__x64_sys_getpgid";
#[cfg(target_arch = "aarch64")]
const FUNCTION: &str = "__arm64_sys_getpgid";
const EVENT: &str = "sys_enter_getpgid";
/// Times that a program asks for the time: some hundred microseconds.
const ROUNDS: i32 = 2000;
/// Uploads while the programs run.
const UPLOADS: usize = 40;
/// Longer than from one count of the recorder to the next.
const APART: Duration = Duration::from_millis(1300);

/// The phase with a kprobe of others.
pub const A_KPROBE: &str = "a kprobe";

/// Attaches a program of another tool.
type Attach = fn() -> io::Result<OwnedFd>;

/// Which other programs run, and whether softirqs interrupt them. First no other program runs: then
/// there is no cause for skips. On arm64 a kprobe is a breakpoint (BRK), whose handler runs with
/// interrupts off: nothing interrupts its program.
fn disturbers() -> Vec<(&'static str, Option<Attach>)> {
    let mut all: Vec<(_, Option<Attach>)> = vec![("nobody", None)];
    if cfg!(target_arch = "x86_64") {
        all.push((A_KPROBE, Some(kprobe as Attach)));
    }
    all.push(("a tracepoint", Some(tracepoint as Attach)));
    all
}

/// Records while no other programs run, and then while some do.
pub fn record(out: &FilePath) -> Disturbed {
    let under = ["dash", "-c", &format!("{BOTH_WAYS}=1 exec \"$@\""), "dash"].map(str::to_owned);
    let recorder = Recorder::start_under(&under, out, SET);
    let path = Path::new(PATH);
    let phases = disturbers().into_iter().map(|(by, attach)| {
        let flow = Flow::between(
            (&path.client, Options::default()),
            (&path.server, Options::default()),
            path.server_address(Family::V4),
        );
        let since_ns = monotonic_ns();
        // A little now and then: many packets at once would be left to ksoftirqd, which is a task and
        // interrupts no program.
        let uploads = || {
            for _ in 0..UPLOADS {
                flow.upload(2000);
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let failure = match attach.map(|attach| attach()).transpose() {
            // The event stays as long as the uploads take.
            Ok(_event) => {
                burning(uploads);
                None
            }
            Err(e) => Some(e.to_string()),
        };
        flow.settle();
        std::thread::sleep(APART);
        let until_ns = monotonic_ns();
        let flow = FlowFacts {
            client: flow.client.local(),
            server: flow.server.local(),
            octets: None,
            client_info: Vec::new(),
            server_info: Vec::new(),
            client_private: Vec::new(),
        };
        let disturbs = attach.is_some();
        Phase { by: by.to_owned(), disturbs, failure, since_ns, until_ns, flow }
    });
    let phases = phases.collect();
    Disturbed { recorded: recorder.stop(None), phases }
}

/// Works while every processor makes the system call.
fn burning(work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let cpus = std::thread::available_parallelism().expect("there are processors").get();
    std::thread::scope(|scope| {
        for cpu in 0..cpus {
            let over = &over;
            scope.spawn(move || {
                // SAFETY: all-zero is the empty set, which outlives the call.
                unsafe {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(cpu, &mut set);
                    libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
                }
                let mut calls = 0u64;
                while !over.load(Ordering::Relaxed) {
                    // SAFETY: it has no pointers.
                    unsafe { libc::syscall(CALL, 0) };
                    calls += 1;
                }
                println!("guest: CPU {cpu} has made {calls} calls");
            });
        }
        work();
        over.store(true, Ordering::Relaxed);
    });
}

/// A program of this type that takes its time.
fn slow(kind: bpf_prog_type) -> io::Result<OwnedFd> {
    let insn = |code, register: u8, off, imm| {
        let mut insn = bpf_insn { code, off, imm, ..bpf_insn::default() };
        insn.set_dst_reg(register);
        insn
    };
    let program = [
        insn(0xb7, 6, 0, ROUNDS), // r6 = ROUNDS
        insn(0x85, 0, 0, 5),      // call bpf_ktime_get_ns
        insn(0x17, 6, 0, 1),      // r6 -= 1
        insn(0x55, 6, -3, 0),     // if r6 != 0 goto the call
        insn(0xb7, 0, 0, 0),      // r0 = 0
        insn(0x95, 0, 0, 0),      // exit
    ];
    // SAFETY: all pointers are to values that outlive the call, and the count is the array's.
    let fd = unsafe {
        bpf_prog_load(
            kind,
            c"slow".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            std::ptr::null_mut(),
        )
    };
    owned(fd.into())
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor just made, of which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn kprobe() -> io::Result<OwnedFd> {
    let kind = fs::read_to_string("/sys/bus/event_source/devices/kprobe/type")?;
    let function = CString::new(FUNCTION).expect("a name has no NUL");
    let mut words = [0; WORDS];
    words[0] = kind.trim().parse::<u64>().map_err(io::Error::other)?;
    words[7] = function.as_ptr() as u64; // config1: kprobe_func
    attached(words, &slow(BPF_PROG_TYPE_KPROBE)?)
}

fn tracepoint() -> io::Result<OwnedFd> {
    let tracefs = c"/sys/kernel/tracing";
    // SAFETY: strings that outlive the call. It may be mounted already.
    unsafe {
        libc::mount(c"tracefs".as_ptr(), tracefs.as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null())
    };
    let id = fs::read_to_string(format!("/sys/kernel/tracing/events/syscalls/{EVENT}/id"))?;
    let mut words = [0; WORDS];
    words[0] = 2; // PERF_TYPE_TRACEPOINT
    words[1] = id.trim().parse::<u64>().map_err(io::Error::other)?;
    attached(words, &slow(BPF_PROG_TYPE_TRACEPOINT)?)
}

/// Words of struct perf_event_attr, PERF_ATTR_SIZE_VER5.
const WORDS: usize = 14;

/// The event with this description, which runs the program.
fn attached(mut words: [u64; WORDS], program: &OwnedFd) -> io::Result<OwnedFd> {
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    const CLOEXEC: libc::c_long = 8;
    words[0] |= (size_of_val(&words) as u64) << 32;
    words[2] = 1; // sample_period
    // SAFETY: the description outlives the call, and says its size.
    let event = owned(unsafe {
        libc::syscall(libc::SYS_perf_event_open, words.as_ptr(), -1, 0, -1, CLOEXEC)
    })?;
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: neither request has a pointer.
        if unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
