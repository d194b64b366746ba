// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Bytes from a ring -> [`Record`]. The layouts are those of `src/schema/record.rs`.

use super::{Event, Header, Lifecycle, Operation};
use crate::schema::record::{
    LifecycleRecord, Member, Name, OperationRecord, RecordHeader, RecordKind,
};
use crate::schema::{Hook, Op, Var};

/// A decoded record; operations are in the buffer that the caller lent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "made on the stack once per record, never stored")]
pub enum Record {
    /// One hook activation.
    Hook(Header),
    /// Identity of a connection; its cgroup path is still empty.
    Lifecycle(Lifecycle),
}

/// Bytes that no BPF program of this build sends: recorder and BPF object do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter or longer than its header states.
    #[error("record of {found} bytes where {expected} were expected")]
    Size {
        /// Bytes that the record's kind and count call for.
        expected: usize,
        /// Bytes received.
        found: usize,
    },
    /// A code without a meaning in this build.
    #[error("unknown {what} code {code}")]
    Code {
        /// Which field.
        what: &'static str,
        /// Its value.
        code: u16,
    },
}

pub(super) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(b[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

/// Writes a number where BPF programs read one of this width: in this machine's byte order, as they do.
#[cfg(any(feature = "record", test))]
pub(crate) fn put_number(field: &mut [u8], value: u64) {
    let octets = value.to_ne_bytes();
    let low = if cfg!(target_endian = "big") { octets.len() - field.len() } else { 0 };
    field.copy_from_slice(&octets[low..low + field.len()]);
}

pub(super) fn text_of(Name(octets): Name) -> String {
    let end = octets.iter().position(|&c| c == 0).unwrap_or(octets.len());
    // A command name may be any bytes; the log is UTF-8.
    String::from_utf8_lossy(&octets[..end]).into_owned()
}

pub(super) fn unknown(what: &'static str, code: impl Into<u16>) -> WireError {
    WireError::Code { what, code: code.into() }
}

pub(super) fn header(head: &RecordHeader) -> Result<Header, WireError> {
    Ok(Header {
        ts_ns: head.ts_ns,
        seq: head.seq,
        cookie: head.cookie,
        generation: head.generation,
        cpu: head.cpu,
        hook: by_code(Hook::ALL, head.hook).ok_or_else(|| unknown("hook", head.hook))?,
    })
}

pub(super) fn sized(b: &[u8], expected: usize) -> Result<(), WireError> {
    // The ring rounds nothing: a record arrives with the size it was sent with.
    if b.len() == expected { Ok(()) } else { Err(WireError::Size { expected, found: b.len() }) }
}

/// Decodes one record. `ops` is cleared and filled with the operations of a hook record.
///
/// # Errors
/// [`WireError`] if the bytes are not a record of this build.
pub fn decode(b: &[u8], ops: &mut Vec<Operation>) -> Result<Record, WireError> {
    ops.clear();
    if b.len() < RecordHeader::SIZE {
        return Err(WireError::Size { expected: RecordHeader::SIZE, found: b.len() });
    }
    let head = RecordHeader::read(b);
    let header = header(&head)?;
    match by_code(RecordKind::ALL, head.kind) {
        Some(RecordKind::Hook) => {
            let count = usize::from(head.count);
            sized(b, RecordHeader::SIZE + count * OperationRecord::SIZE)?;
            for o in b[RecordHeader::SIZE..].chunks_exact(OperationRecord::SIZE) {
                let OperationRecord { value, var, op, pad: _ } = Member::read(o);
                ops.push(Operation {
                    var: by_code(Var::ALL, var).ok_or_else(|| unknown("variable", var))?,
                    op: by_code(Op::ALL, op).ok_or_else(|| unknown("operation", op))?,
                    value,
                });
            }
            Ok(Record::Hook(header))
        }
        Some(RecordKind::Lifecycle) => {
            sized(b, LifecycleRecord::SIZE)?;
            let r = LifecycleRecord::read(b);
            Ok(Record::Lifecycle(Lifecycle {
                header,
                event: by_code(Event::ALL, r.event).ok_or_else(|| unknown("event", r.event))?,
                start_ns: r.start_ns,
                cgroup_id: r.cgroup_id,
                cgroup_path: String::new(),
                local_addr: r.local_addr,
                remote_addr: r.remote_addr,
                comm: text_of(r.comm),
                congestion: text_of(r.congestion),
                netns: r.netns,
                pid: r.pid,
                uid: r.uid,
                sk_err: r.sk_err,
                family: r.family,
                local_port: r.local_port,
                remote_port: r.remote_port,
                old_state: r.old_state,
                new_state: r.new_state,
                active: r.active,
                established: r.established,
                first_fin: r.first_fin,
                mptcp: r.mptcp,
            }))
        }
        Some(RecordKind::Socket | RecordKind::Packet | RecordKind::Drop) | None => {
            Err(unknown("record kind", head.kind))
        }
    }
}

/// Codes count from 1 in the order of `ALL`: the C header is written from the same lists.
pub(super) fn by_code<T: Copy>(all: &[T], code: impl Into<usize>) -> Option<T> {
    all.get(code.into().checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook_bytes(count: u16, ops: &[(u64, u16, u8)]) -> Vec<u8> {
        let mut b = Vec::new();
        b.extend(7u64.to_ne_bytes());
        b.extend(8u64.to_ne_bytes());
        b.extend(9u64.to_ne_bytes());
        b.extend(1u16.to_ne_bytes());
        b.extend(3u16.to_ne_bytes());
        b.extend([1, Hook::Egress as u8]);
        b.extend(count.to_ne_bytes());
        for (value, var, op) in ops {
            b.extend(value.to_ne_bytes());
            b.extend(var.to_ne_bytes());
            b.extend([*op, 0, 0, 0, 0, 0]);
        }
        b
    }

    /// Fails on a big-endian machine only, if it does.
    #[test]
    fn a_number_is_written_as_this_machine_reads_it() {
        let mut field = [0; 8];
        put_number(&mut field[..1], 0xf1);
        assert_eq!(field[0], 0xf1);
        put_number(&mut field[2..4], 0xf1f2);
        assert_eq!(u16_at(&field, 2), 0xf1f2);
        put_number(&mut field[4..], 0xf1f2_f3f4);
        assert_eq!(u32_at(&field, 4), 0xf1f2_f3f4);
        put_number(&mut field, u64::MAX - 1);
        assert_eq!(u64_at(&field, 0), u64::MAX - 1);
    }

    #[test]
    fn hook_record() {
        let b = hook_bytes(2, &[(5, Var::SegsOut as u16, 1), (u64::MAX, Var::Priority as u16, 6)]);
        let mut ops = Vec::new();
        let record = decode(&b, &mut ops).unwrap();
        let header =
            Header { ts_ns: 7, seq: 8, cookie: 9, generation: 1, cpu: 3, hook: Hook::Egress };
        assert_eq!(record, Record::Hook(header));
        assert_eq!(ops[0], Operation { var: Var::SegsOut, op: Op::Set, value: 5 });
        assert_eq!(ops[1], Operation { var: Var::Priority, op: Op::Min, value: u64::MAX });
    }

    #[test]
    fn wrong_sizes_and_codes_are_errors() {
        let mut ops = Vec::new();
        for n in 0..RecordHeader::SIZE {
            assert!(decode(&hook_bytes(0, &[])[..n], &mut ops).is_err());
        }
        assert_eq!(
            decode(&hook_bytes(2, &[(5, 1, 1)]), &mut ops),
            Err(WireError::Size { expected: 64, found: 48 })
        );
        let unknown = Op::ALL.len() as u8 + 1;
        for (var, op) in [(0, 1), (Var::COUNT as u16 + 1, 1), (1, 0), (1, unknown)] {
            assert!(decode(&hook_bytes(1, &[(5, var, op)]), &mut ops).is_err(), "{var} {op}");
        }
    }
}
