// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The two BPF objects, and their global variables by name.
//!
//! No skeletons: of one object each, they would make everything here twice, and they cannot do
//! without memory-mapped arrays, which came with Linux 5.5.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use libbpf_rs::{
    AsRawLibbpf as _, MapCore as _, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject,
    btf::{Btf, types},
};

use super::warnings::load_error;
use crate::{
    capture::{CaptureError, HookSet},
    wire::put_number,
};

/// libelf reads in place.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static TRACING: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/estats.bpf.o")));
static KPROBE: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kprobe.bpf.o")));

/// Opens the object whose programs serve this set. Where fields are it asks the kernel's own type
/// information, or that in the file.
pub(super) fn open(set: HookSet, btf: Option<&Path>) -> Result<OpenObject, CaptureError> {
    let (name, embedded) = match set {
        HookSet::Fentry | HookSet::Tracepoint => ("estats", TRACING),
        HookSet::Kprobe => ("kprobe", KPROBE),
    };
    let other = instead(name)?;
    let bytes = other.as_deref().unwrap_or(&embedded.0);
    let mut builder = ObjectBuilder::default();
    if let Some(path) = btf {
        builder.btf_custom_path(path).map_err(load_error)?;
    }
    builder.name("estats").and_then(|builder| builder.open_memory(bytes)).map_err(load_error)
}

/// Directory whose objects debug builds load instead of their own. So the objects of many compilers
/// can be loaded without building the recorder with each (scripts/clang/matrix.sh). Not in releases:
/// what an installed recorder loads must not depend on the environment.
const INSTEAD: &str = "ESTATS_BPF_OBJECTS";

/// The object to load instead of the embedded one, if the environment names a directory.
fn instead(name: &str) -> Result<Option<Vec<u8>>, CaptureError> {
    let directory = if cfg!(debug_assertions) { std::env::var_os(INSTEAD) } else { None };
    directory.map(|directory| read(Path::new(&directory), name)).transpose()
}

fn read(directory: &Path, name: &str) -> Result<Vec<u8>, CaptureError> {
    let path = directory.join(format!("{name}.bpf.o"));
    std::fs::read(&path)
        .map_err(|e| CaptureError::io(format!("read {} of {INSTEAD}", path.display()), e))
}

/// The variables of one section: offset and size in octets by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Section(BTreeMap<String, (usize, usize)>);

impl Section {
    /// Reads it from the object's own type information.
    pub(super) fn of(object: &OpenObject, name: &str) -> Self {
        // SAFETY: the pointer is to the open object, which outlives the borrow.
        let raw = unsafe { object.as_libbpf_object().as_ref() };
        let btf = Btf::from_bpf_object(raw)
            .expect("the object has type information")
            .expect("the object has type information");
        let section: types::DataSec<'_> =
            btf.type_by_name(name).unwrap_or_else(|| panic!("the object has no {name}"));
        let variables = section.iter().map(|entry| {
            let var: types::Var<'_> = btf.type_by_id(entry.ty).expect("a section has variables");
            let name = var.name().expect("a variable has a name").to_string_lossy().into_owned();
            (name, (entry.offset as usize, entry.size))
        });
        Self(variables.collect())
    }

    /// Writes one of them.
    pub(super) fn set(&self, bytes: &mut [u8], name: &str, value: u64) {
        let (offset, size) = self.0[name];
        put_number(&mut bytes[offset..offset + size], value);
    }
}

/// Writes the settings before loading: they are constants to the verifier.
pub(super) fn configure(object: &mut OpenObject, settings: &[(&str, u64)]) {
    let section = Section::of(object, ".rodata");
    let mut map = object
        .maps_mut()
        .find(|m| m.name().as_encoded_bytes().ends_with(b".rodata"))
        .expect("the object has settings");
    let bytes = map.initial_value_mut().expect("settings have values");
    for (name, value) in settings {
        section.set(bytes, name, *value);
    }
}

/// The programs among these (name and section) that attach to beginnings and ends of functions. The
/// index of one is its number in bpf/missed.bpf.h, less one.
pub(super) fn kprobes<'a>(programs: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) -> Vec<String> {
    let is_kprobe = |section: &OsStr| {
        let section = section.as_encoded_bytes();
        section.starts_with(b"kprobe/") || section.starts_with(b"kretprobe/")
    };
    programs
        .filter(|(_, section)| is_kprobe(section))
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect()
}

/// A map by name.
pub(super) fn map(object: &Object, name: &str) -> Result<MapHandle, CaptureError> {
    let map = object
        .maps()
        .find(|m| {
            let own = m.name().as_encoded_bytes();
            own == name.as_bytes() || (name.starts_with('.') && own.ends_with(name.as_bytes()))
        })
        .unwrap_or_else(|| panic!("the object has no map {name}"));
    MapHandle::try_from(&map).map_err(|e| CaptureError::bpf("use the recorder's maps", e))
}

/// The variables that programs read while they run.
#[derive(Debug)]
pub(super) struct Variables {
    map: MapHandle,
    section: Section,
}

impl Variables {
    /// Those of a loaded object, whose section was read when it was open.
    pub(super) fn of(object: &Object, section: Section) -> Result<Self, CaptureError> {
        Ok(Self { map: map(object, ".bss")?, section })
    }

    /// Sets one. All are written at once, so no program may write any of them.
    pub(super) fn set(&self, name: &str, value: u64) -> Result<(), CaptureError> {
        let fault = |e| CaptureError::bpf("set the recorder's variables", e);
        let key = 0u32.to_ne_bytes();
        let bytes = self.map.lookup(&key, MapFlags::ANY).map_err(fault)?;
        let mut bytes = bytes.expect("an array has its first element");
        self.section.set(&mut bytes, name, value);
        self.map.update(&key, &bytes, MapFlags::ANY).map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::kprobes::KPROBES;

    /// The macro that counts runs makes this variable (COUNTED_KPROBE() of bpf/missed.bpf.h).
    #[test]
    fn every_program_of_a_kprobe_counts_its_runs() {
        let open = open(HookSet::Kprobe, None).expect("the object can be read");
        let programs = kprobes(open.progs().map(|p| (p.name(), p.section())));
        assert!((30..=KPROBES).contains(&programs.len()), "{} programs", programs.len());
        let settings = Section::of(&open, ".rodata");
        for name in programs {
            assert!(settings.0.contains_key(&format!("number_{name}")), "{name} counts no runs");
        }
    }

    /// The recorder reads all of them, changes one and writes them back: a program's change between would
    /// be lost. What a program changes has a map of its own.
    #[test]
    fn the_recorder_alone_writes_the_variables() {
        for set in [HookSet::Fentry, HookSet::Kprobe] {
            let open = open(set, None).expect("the object can be read");
            let names: Vec<_> = Section::of(&open, ".bss").0.into_keys().collect();
            assert_eq!(names, ["alive_ns", "hooked", "hz", "over"], "{set:?}");
        }
    }

    #[test]
    fn a_directory_without_the_object_is_an_error_and_not_the_embedded_object() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("estats.bpf.o"), b"\x7fELF").expect("it is ours");
        assert_eq!(read(directory.path(), "estats").expect("it is there"), b"\x7fELF");
        let error = read(directory.path(), "kprobe").expect_err("it is not there").to_string();
        assert!(error.contains(INSTEAD) && error.contains("kprobe.bpf.o"), "{error}");
    }
}
