//! Whether BPF may be attached to a function of the running kernel.

use std::{ffi::CString, io};

use libbpf_rs::libbpf_sys::{
    BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, bpf_insn, bpf_prog_load, bpf_prog_load_opts,
    libbpf_find_vmlinux_btf_id,
};

/// What stands in the way of a program at this function, if anything does. Found by loading one
/// that does nothing: a kernel may have the function and refuse the program (lockdown, no
/// trampolines on this architecture), and one program refused would take all others along.
pub(super) fn obstacle(function: &str) -> Option<String> {
    let name = CString::new(function).expect("a function's name has no NUL");
    // SAFETY: `name` is a C string that outlives the call.
    let id = unsafe { libbpf_find_vmlinux_btf_id(name.as_ptr(), BPF_TRACE_FENTRY) };
    if id < 0 {
        return Some(format!("this kernel has no function {function}"));
    }
    // r0 = 0; exit
    let program = [
        bpf_insn { code: 0xb7, ..bpf_insn::default() },
        bpf_insn { code: 0x95, ..bpf_insn::default() },
    ];
    // SAFETY: all-zero options are the defaults; the size field says how much of them we know.
    let mut opts: bpf_prog_load_opts = unsafe { std::mem::zeroed() };
    opts.sz = size_of_val(&opts) as _;
    opts.expected_attach_type = BPF_TRACE_FENTRY;
    opts.attach_btf_id = id as u32;
    // SAFETY: all pointers are to values that outlive the call, and the count is the array's.
    let fd = unsafe {
        bpf_prog_load(
            BPF_PROG_TYPE_TRACING,
            std::ptr::null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            &raw mut opts,
        )
    };
    if fd < 0 {
        let error = io::Error::from_raw_os_error(-fd);
        return Some(format!("this kernel refuses BPF at its functions: {error}"));
    }
    // SAFETY: a descriptor just made, closed once.
    unsafe { libc::close(fd) };
    None
}
