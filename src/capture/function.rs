// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether BPF may be attached to a function of the running kernel.

use std::{collections::BTreeMap, ffi::CString, fs, io, path::Path, sync::OnceLock};

use libbpf_rs::libbpf_sys::{
    BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, bpf_insn, bpf_prog_load, bpf_prog_load_opts,
    libbpf_find_vmlinux_btf_id,
};

use super::points::HookSet;

/// Why a program of this set cannot attach to this function; none if it can.
pub(super) fn obstacle(set: HookSet, function: &str) -> Option<String> {
    match set {
        HookSet::Kprobe if !has_kprobes() => Some("this kernel has no kprobes".to_owned()),
        HookSet::Kprobe => symbols().obstacle(function),
        HookSet::Fentry | HookSet::Tracepoint => trampoline_obstacle(function),
    }
}

/// As the tracing system of the kernel offers them (CONFIG_KPROBE_EVENTS).
fn has_kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe").exists()
}

/// The kernel's functions by name, with the suffixes that the compiler gave to their clones.
#[derive(Debug, Default)]
struct Symbols(BTreeMap<String, Vec<String>>);

/// Read once: there are 200,000 lines.
fn symbols() -> &'static Symbols {
    static SYMBOLS: OnceLock<Symbols> = OnceLock::new();
    SYMBOLS
        .get_or_init(|| Symbols::parse(&fs::read_to_string("/proc/kallsyms").unwrap_or_default()))
}

impl Symbols {
    /// /proc/kallsyms: address, type, name, and the module in brackets.
    fn parse(text: &str) -> Self {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split_whitespace().skip(1);
            if let (Some("t" | "T"), Some(symbol)) = (words.next(), words.next())
                && (symbol.starts_with("tcp_")
                    || symbol.starts_with("__tcp_")
                    || symbol.starts_with("ip_")
                    || symbol.starts_with("__ip_")
                    || symbol.starts_with("inet6_")
                    || symbol.trim_start_matches("__").starts_with("lock_sock_fast"))
            {
                let (name, suffix) = symbol.split_once('.').unwrap_or((symbol, ""));
                found.entry(name.to_owned()).or_default().push(suffix.to_owned());
            }
        }
        Self(found)
    }

    /// A probe at a function sees every call only if there is that function and no clone: the compiler
    /// makes callers jump into `.part.0`, or call `.isra.0` and `.constprop.0` with other arguments.
    /// `.cold` holds code that hardly ever runs, and is not an entry.
    fn obstacle(&self, function: &str) -> Option<String> {
        let Some(suffixes) = self.0.get(function) else {
            return Some(format!("this kernel has no function {function}"));
        };
        let clone = suffixes.iter().find(|s| !s.is_empty() && !s.starts_with("cold"));
        match clone {
            Some(suffix) => Some(format!(
                "the compiler made {function}.{suffix} of {function}: a probe misses calls"
            )),
            // An inline function of a header, with a body in each file that takes its address.
            None if suffixes.iter().filter(|s| s.is_empty()).count() > 1 => {
                Some(format!("this kernel has several functions {function}"))
            }
            None if suffixes.iter().any(String::is_empty) => None,
            None => Some(format!("this kernel has no function {function}")),
        }
    }
}

/// Why a program cannot attach to this function; none if it can. Found by loading one that does nothing:
/// a kernel may have the function and refuse the program (lockdown, no trampolines on this
/// architecture), and one program refused would take all others along.
fn trampoline_obstacle(function: &str) -> Option<String> {
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
    // SAFETY: all-zero options are the defaults; the size field states how many of them we know.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_with_clones_is_not_probed() {
        let symbols = Symbols::parse(
            "ffffffff81000000 T tcp_sync_mss\n\
             ffffffff81000010 t tcp_sync_mss.cold\n\
             ffffffff81000020 t __tcp_send_ack\n\
             ffffffff81000030 t __tcp_send_ack.part.0\n\
             ffffffff81000040 t tcp_mark_skb_lost.isra.0\n\
             ffffffff81000050 d tcp_cong_list\n",
        );
        assert_eq!(symbols.obstacle("tcp_sync_mss"), None);
        let clone = symbols.obstacle("__tcp_send_ack").unwrap();
        assert!(clone.contains("__tcp_send_ack.part.0"), "{clone}");
        assert!(symbols.obstacle("tcp_mark_skb_lost").is_some());
        let data = symbols.obstacle("tcp_cong_list").unwrap();
        assert_eq!(data, "this kernel has no function tcp_cong_list");
    }

    /// Linux 5.4 has two symbols ip_queue_xmit, and neither can be probed.
    #[test]
    fn an_inline_function_with_a_body_in_each_file_is_not_probed() {
        let symbols = Symbols::parse(
            "ffffffff8135ab40 T __ip_queue_xmit\n\
             ffffffff8137ab30 t ip_queue_xmit\n\
             ffffffff813e3090 t ip_queue_xmit\n",
        );
        assert_eq!(symbols.obstacle("__ip_queue_xmit"), None);
        let inline = symbols.obstacle("ip_queue_xmit").unwrap();
        assert_eq!(inline, "this kernel has several functions ip_queue_xmit");
    }
}
