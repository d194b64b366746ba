// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Tests that the object for old kernels has no instructions that these refuse. Which instructions are
//! made of the C depends on the clang (bpf/clang.h, docs/compilers.md). The machine that builds need not
//! have such a kernel, so its verifier cannot be asked.

use std::{collections::BTreeSet, path::Path};

use object::{Object as _, ObjectSection as _, SectionKind};

/// Instruction classes, operations and modes of include/uapi/linux/bpf.h and bpf_common.h.
mod bpf {
    pub(super) const CLASS: u8 = 0x07;
    pub(super) const LD: u8 = 0x00;
    pub(super) const LDX: u8 = 0x01;
    pub(super) const ST: u8 = 0x02;
    pub(super) const STX: u8 = 0x03;
    pub(super) const ALU: u8 = 0x04;
    pub(super) const JMP: u8 = 0x05;
    pub(super) const JMP32: u8 = 0x06;
    pub(super) const ALU64: u8 = 0x07;
    /// The second operand is a register and no constant.
    pub(super) const X: u8 = 0x08;
    pub(super) const OPERATION: u8 = 0xf0;
    pub(super) const ADD: u8 = 0x00;
    pub(super) const MUL: u8 = 0x20;
    pub(super) const AND: u8 = 0x50;
    pub(super) const LSH: u8 = 0x60;
    pub(super) const RSH: u8 = 0x70;
    pub(super) const MOD: u8 = 0x90;
    pub(super) const MOV: u8 = 0xb0;
    pub(super) const JA: u8 = 0x00;
    pub(super) const CALL: u8 = 0x80;
    pub(super) const EXIT: u8 = 0x90;
    /// Comparisons that give a bound: JGT, JGE, JSGT, JSGE, JLT, JLE, JSLT, JSLE.
    pub(super) const ORDERED: [u8; 8] = [0x20, 0x30, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
    /// Size of a load: one octet.
    pub(super) const SIZE: u8 = 0x18;
    pub(super) const B: u8 = 0x10;
    /// Mode and class of an atomic operation; its `imm` is the operation.
    pub(super) const MODE: u8 = 0xe0;
    pub(super) const ATOMIC: u8 = 0xc0;
    pub(super) const ATOMIC_ADD: i32 = 0x00; // without BPF_FETCH
}

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u8,
    dst: u8,
    src: u8,
    offset: i16,
    imm: i32,
}

impl Instruction {
    fn of(bytes: &[u8; 8]) -> Self {
        let [code, registers, o0, o1, imm @ ..] = *bytes;
        let (low, high) = (registers & 15, registers >> 4);
        let (dst, src) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        let (offset, imm) = (i16::from_ne_bytes([o0, o1]), i32::from_ne_bytes(imm));
        Self { code, dst, src, offset, imm }
    }

    fn class(&self) -> u8 {
        self.code & bpf::CLASS
    }

    fn operation(&self) -> u8 {
        self.code & bpf::OPERATION
    }

    fn has_register(&self) -> bool {
        self.code & bpf::X != 0
    }

    fn is_jump(&self) -> bool {
        matches!(self.class(), bpf::JMP | bpf::JMP32)
    }

    fn is_call(&self) -> bool {
        self.is_jump() && self.operation() == bpf::CALL
    }

    fn is_exit(&self) -> bool {
        self.is_jump() && self.operation() == bpf::EXIT
    }

    fn is_goto(&self) -> bool {
        self.is_jump() && self.operation() == bpf::JA
    }

    fn computes(&self, operation: u8) -> bool {
        matches!(self.class(), bpf::ALU | bpf::ALU64) && self.operation() == operation
    }

    /// A register becomes another.
    fn is_copy(&self) -> bool {
        self.computes(bpf::MOV) && self.has_register()
    }

    fn is_atomic(&self) -> bool {
        self.code & (bpf::MODE | bpf::CLASS) == bpf::ATOMIC | bpf::STX
    }
}

/// Instructions of one section, and which of them jump to each.
struct Section {
    name: String,
    code: Vec<Instruction>,
    jumps: Vec<Vec<usize>>,
}

impl Section {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let (all, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "{name} has whole instructions");
        let code: Vec<_> = all.iter().map(Instruction::of).collect();
        let mut jumps = vec![Vec::new(); code.len()];
        for (at, i) in code.iter().enumerate() {
            if i.is_jump() && !i.is_call() && !i.is_exit() {
                // The distance of a long goto is not in the offset field.
                let far = i.class() == bpf::JMP32 && i.is_goto();
                let distance = if far { i.imm } else { i.offset.into() };
                let to = at.checked_add_signed(distance as isize + 1).expect("a jump inside");
                jumps[to].push(at);
            }
        }
        Self { name: name.to_owned(), code, jumps }
    }

    /// Those that may run just before this one.
    fn before(&self, at: usize) -> impl Iterator<Item = usize> {
        let above = at.checked_sub(1).filter(|&above| {
            let above = &self.code[above];
            !above.is_goto() && !above.is_exit()
        });
        above.into_iter().chain(self.jumps[at].iter().copied())
    }

    /// Whether what the instruction makes is an address that is soon read from or written to.
    fn makes_address(&self, at: usize) -> bool {
        let mut holders = BTreeSet::from([self.code[at].dst]);
        for i in self.code.iter().skip(at + 1).take(16) {
            match i.class() {
                bpf::LDX if holders.contains(&i.src) => return true,
                bpf::ST | bpf::STX if holders.contains(&i.dst) => return true,
                bpf::ST | bpf::STX => {}
                bpf::JMP | bpf::JMP32 if i.is_goto() || i.is_exit() => return false,
                bpf::JMP | bpf::JMP32 if i.is_call() => holders.retain(|register| *register > 5),
                bpf::JMP | bpf::JMP32 => {}
                _ if i.is_copy() && holders.contains(&i.src) => {
                    holders.insert(i.dst);
                }
                bpf::ALU64 if i.operation() == bpf::ADD => {}
                _ => {
                    holders.remove(&i.dst);
                }
            }
        }
        false
    }

    /// Whether on some way to this instruction the number in a register has been compared with another
    /// register, and nothing with a constant limits it.
    fn is_bounded_by_variable(
        &self,
        at: usize,
        register: u8,
        compared: bool,
        seen: &mut BTreeSet<(usize, u8, bool)>,
    ) -> bool {
        if !seen.insert((at, register, compared)) {
            return false;
        }
        let before: Vec<_> = self.before(at).collect();
        before.into_iter().any(|at| {
            let i = &self.code[at];
            let (mut register, mut compared) = (register, compared);
            if i.is_call() {
                if register <= 5 {
                    return compared;
                }
            } else if i.is_jump() {
                let is_one = i.dst == register || (i.has_register() && i.src == register);
                if is_one && bpf::ORDERED.contains(&i.operation()) {
                    if !i.has_register() {
                        return false;
                    }
                    compared = true;
                }
            } else if i.dst == register && i.code != 0 {
                match i.class() {
                    bpf::ALU | bpf::ALU64 if i.is_copy() => register = i.src,
                    // A sum has a bound if both of its parts have one.
                    bpf::ALU | bpf::ALU64 if i.computes(bpf::ADD) && i.has_register() => {
                        if self.is_bounded_by_variable(at, i.src, compared, seen) {
                            return true;
                        }
                    }
                    bpf::ALU | bpf::ALU64 if !i.has_register() => match i.operation() {
                        // Still bounded by what bounded it before.
                        bpf::ADD | bpf::MUL | bpf::LSH => {}
                        bpf::MOV | bpf::AND | bpf::MOD | bpf::RSH => return false,
                        _ => return compared,
                    },
                    bpf::LD => return false,
                    // An octet has a bound of its own.
                    bpf::LDX => return compared && i.code & bpf::SIZE != bpf::B,
                    bpf::ST | bpf::STX => {}
                    _ => return compared,
                }
            }
            self.is_bounded_by_variable(at, register, compared, seen)
        })
    }
}

/// The sections with programs, those of functions that programs call included.
fn sections() -> Vec<Section> {
    let path = Path::new(env!("OUT_DIR")).join("kprobe.bpf.o");
    let bytes = std::fs::read(path).expect("the build script made it");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let found: Vec<_> = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .map(|s| Section::new(s.name().expect("a name"), s.data().expect("instructions")))
        .collect();
    assert!(found.iter().any(|section| section.name == ".text"), "functions that are called");
    assert!(found.iter().any(|section| section.name == "raw_tp/tcp_probe"), "programs");
    found
}

/// Kernels before 5.12 refuse a program with any other atomic instruction.
#[test]
fn programs_for_old_kernels_have_no_atomic_instruction_but_the_plain_addition() {
    let mut found = 0;
    for section in sections() {
        for (at, i) in section.code.iter().enumerate().filter(|(_, i)| i.is_atomic()) {
            assert_eq!(i.imm, bpf::ATOMIC_ADD, "{} {at}: {i:?}", section.name);
            found += 1;
        }
    }
    assert!(found > 0, "counters are added to");
}

/// Hand-made programs: r0 = r1[r2], where r2 comes from memory and is compared before.
#[test]
fn an_index_that_only_a_variable_bounds_is_found() {
    let i = |code: u8, dst: u8, src: u8, offset: i16, imm: i32| {
        let regs = if cfg!(target_endian = "little") { dst | src << 4 } else { src | dst << 4 };
        let ([o0, o1], [a, b, c, d]) = (offset.to_ne_bytes(), imm.to_ne_bytes());
        [code, regs, o0, o1, a, b, c, d]
    };
    let load = i(0x61, 2, 6, 0, 0);
    let by_variable = i(0x3d, 2, 3, 2, 0);
    let by_constant = i(0x35, 2, 0, 2, 64);
    let mask = i(0x57, 2, 0, 0, 63);
    let add = [i(0x0f, 1, 2, 0, 0), i(0x71, 0, 1, 0, 0), i(0x95, 0, 0, 0, 0)];
    let is_found = |code: &[[u8; 8]], at: usize| {
        let section = Section::new("", &code.concat());
        section.makes_address(at)
            && section.is_bounded_by_variable(at, 2, false, &mut BTreeSet::new())
    };
    assert!(is_found(&[&[load, by_variable][..], &add].concat(), 2));
    assert!(!is_found(&[&[load, by_variable, mask][..], &add].concat(), 3));
    assert!(!is_found(&[&[load, by_constant][..], &add].concat(), 2));
}

/// Verifiers of old kernels take no bound from a comparison of two variables.
#[test]
fn programs_for_old_kernels_have_no_index_that_only_a_variable_bounds() {
    let (mut found, mut addresses) = (Vec::new(), 0);
    for section in sections() {
        for (at, i) in section.code.iter().enumerate() {
            let adds = i.code == bpf::ALU64 | bpf::X | bpf::ADD;
            if adds && section.makes_address(at) {
                addresses += 1;
                if section.is_bounded_by_variable(at, i.src, false, &mut BTreeSet::new()) {
                    found.push(format!("{} {at}", section.name));
                }
            }
        }
    }
    assert!(addresses > 100, "operations of a record stand at an index: {addresses}");
    assert!(found.is_empty(), "masked_index() of bpf/clang.h is for these: {found:#?}");
}
