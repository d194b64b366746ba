// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! bpf/kernel.h against the running kernel's BTF: a field that is not there, or is of another
//! width, would be relocated to nothing or read too short. And bpf/compat.bpf.h against the BTF of
//! other kernels (testdata/btf): a field that is asked for by a wrong name passes for one that the
//! kernel does not have.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use estats::schema::{Kernels, Release, SocketField, SocketRead};
use libbpf_rs::{
    HasSize as _,
    btf::{
        Btf, BtfType,
        types::{self, Composite, MemberAttr},
    },
    btf_type_match,
};

/// Width of a field in bits, by name; members of anonymous structs and unions count as the
/// struct's own, as in C.
fn fields(btf: &Btf<'_>, composite: &Composite<'_>, into: &mut BTreeMap<String, u32>) {
    for member in composite.iter() {
        let ty: BtfType<'_> = btf.type_by_id(member.ty).expect("a member has a type");
        let ty = ty.skip_mods_and_typedefs();
        let Some(name) = member.name else {
            if let Ok(inner) = Composite::try_from(ty) {
                fields(btf, &inner, into);
            }
            continue;
        };
        let bits = match member.attr {
            MemberAttr::BitField { size, .. } => u32::from(size),
            MemberAttr::Normal { .. } => width(ty).unwrap_or(0),
        };
        into.insert(name.to_string_lossy().into_owned(), bits);
    }
}

/// Width in bits; none for what kernel.h declares in part (structs) or not at all.
fn width(ty: BtfType<'_>) -> Option<u32> {
    btf_type_match!(match ty {
        BtfKind::Int(t) => Some(u32::from(t.bits)),
        BtfKind::Ptr(_t) => Some(64),
        BtfKind::Enum(t) => Some(t.size() as u32 * 8),
        BtfKind::Array(t) => {
            let element = t.contained_type().skip_mods_and_typedefs();
            width(element).map(|w| w * t.capacity() as u32)
        }
        _ => None,
    })
}

#[test]
fn every_field_of_kernel_h_is_in_the_running_kernel() {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: this kernel has no BTF");
        assert!(std::env::var_os("ESTATS_REQUIRE_LIVE").is_none(), "live tests are required");
        return;
    }
    let kernel = Btf::from_vmlinux().expect("the kernel's BTF is readable");
    for object in ["estats.bpf.o", "kprobe.bpf.o"] {
        compare(&kernel, object);
    }
}

fn compare(kernel: &Btf<'_>, object: &str) {
    let path = Path::new(env!("OUT_DIR")).join(object);
    let ours = Btf::from_path(path).expect("the object has BTF");
    let mut compared = 0;
    for line in include_str!("../../bpf/kernel.h").lines() {
        let Some(name) = line.strip_prefix("struct ").and_then(|l| l.strip_suffix(" {")) else {
            continue;
        };
        // A field that no program reads has no BTF in the object.
        let Some(declared) = ours.type_by_name::<types::Struct<'_>>(name) else { continue };
        let there: Composite<'_> = kernel
            .type_by_name::<types::Struct<'_>>(name)
            .unwrap_or_else(|| panic!("the kernel has no struct {name}"))
            .into();
        let (mut want, mut have) = (BTreeMap::new(), BTreeMap::new());
        fields(&ours, &declared.into(), &mut want);
        fields(kernel, &there, &mut have);
        for (field, bits) in want {
            let found = have.get(&field);
            assert!(found.is_some(), "{object}: the kernel's struct {name} has no {field}");
            // A flexible array and a part of a struct have no width of their own.
            if bits != 0 && found != Some(&0) {
                assert_eq!(found, Some(&bits), "{object}: width of {name}.{field} in bits");
            }
            compared += 1;
        }
    }
    assert!(compared > 60, "{object}: only {compared} fields were compared");
}

const COMPAT: &str =
    concat!(include_str!("../../bpf/compat.bpf.h"), include_str!("../../bpf/compat_kprobe.bpf.h"));
const FLAVOURS: &str = include_str!("../../bpf/flavours.h");

/// An accessor that asks whether the kernel has a field: its comment, and what it asks for.
struct Accessor {
    comment: &'static str,
    asked: Vec<(&'static str, &'static str)>,
}

fn accessor(name: &str) -> Accessor {
    let head = format!("static __always_inline bool {name}(");
    let at = COMPAT.find(&head).unwrap_or_else(|| panic!("compat.bpf.h has no {name}()"));
    let (before, after) = COMPAT.split_at(at);
    let comment = before
        .trim_end()
        .strip_suffix("*/")
        .map_or("", |text| text.rsplit_once("/*").expect("a comment has a beginning").1);
    let body = after.split_once("\n}").expect("a function has an end").0;
    let asked = body
        .split("bpf_core_field_exists(struct ")
        .skip(1)
        .map(|call| call.split_once(')').expect("a call has an end").0)
        .map(|arguments| arguments.split_once(", ").expect("a type and a field"))
        .collect();
    Accessor { comment, asked }
}

/// The release behind a word of a comment.
fn release_after(comment: &str, word: &str) -> Option<Release> {
    let version = comment.split_once(word)?.1.split([',', ':', ';', ' ', '\n']).next()?;
    let (major, minor) = version.split_once('.')?;
    Some(Release { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// The fields of snapshots that ask whether the kernel has them, each with its accessor.
fn asking() -> Vec<(SocketField, Accessor)> {
    SocketField::ALL
        .iter()
        .filter_map(|field| match field.def().read {
            SocketRead::If(condition, _) => {
                let name = condition.strip_suffix("()").filter(|name| name.starts_with("has_"))?;
                Some((*field, accessor(name)))
            }
            _ => None,
        })
        .collect()
}

/// BTF of kernels, as far as our programs read it.
fn kernels() -> Vec<(Release, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/btf");
    let mut kernels: Vec<_> = fs::read_dir(directory)
        .expect("testdata/btf is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "btf"))
        .map(|path| {
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (release_after(&stem, "linux-").expect("linux-MAJOR.MINOR.btf"), path)
        })
        .collect();
    kernels.sort_by_key(|(release, _)| *release);
    assert!(kernels.len() >= 5, "only {} kernels", kernels.len());
    kernels
}

/// Whether the kernel's structure has the field; `name` may have a flavour (`___compat`).
fn has(kernel: &Btf<'_>, name: &str, field: &str) -> bool {
    let name = name.split("___").next().expect("a name");
    let mut found = BTreeMap::new();
    if let Some(there) = kernel.type_by_name::<types::Struct<'_>>(name) {
        fields(kernel, &there.into(), &mut found);
    }
    found.contains_key(field)
}

#[test]
fn a_stanza_and_its_accessor_name_the_same_kernels() {
    let asking = asking();
    assert!(asking.len() > 10, "only {} fields ask", asking.len());
    for (field, accessor) in &asking {
        let said = Kernels {
            since: release_after(accessor.comment, "since v"),
            until: release_after(accessor.comment, "until v"),
        };
        assert_eq!(field.def().kernels, said, "{}: {}", field.name(), accessor.comment);
    }
    for field in SocketField::ALL.iter().filter(|f| f.def().kernels != Kernels::ALL) {
        assert!(asking.iter().any(|(f, _)| f == field), "{} asks for nothing", field.name());
    }
}

#[test]
fn kernels_have_the_fields_that_the_stanzas_state() {
    for (release, path) in kernels() {
        let kernel = Btf::from_path(&path).expect("BTF");
        for (field, accessor) in asking() {
            let there = accessor.asked.iter().all(|(name, field)| has(&kernel, name, field));
            let name = field.name();
            assert_eq!(there, field.def().kernels.have(release), "{name} in Linux {release}");
        }
    }
}

/// Fields of which a kernel has one at least: without any, the accessor would give nothing.
const WAYS: &[&[(&str, &str)]] = &[
    &[
        ("inet_connection_sock", "icsk_timeout"),
        ("inet_connection_sock", "icsk_retransmit_timer"),
        ("sock", "tcp_retransmit_timer"),
    ],
    &[("sock", "sk_timer"), ("inet_connection_sock", "icsk_keepalive_timer")],
    &[("sock", "sk_ino"), ("socket_alloc", "vfs_inode")],
    &[("sock_cgroup_data", "cgroup"), ("sock_cgroup_data", "val")],
    &[("cgroup", "ancestors"), ("cgroup", "ancestor_ids")],
];

#[test]
fn accessors_find_moved_fields_on_every_kernel() {
    for (release, path) in kernels() {
        let kernel = Btf::from_path(&path).expect("BTF");
        for ways in WAYS {
            let open = ways.iter().any(|(name, field)| has(&kernel, name, field));
            assert!(open, "Linux {release} has none of {ways:?}");
        }
    }
}

/// All of these are needed. A wrong name would look like a kernel where kprobes cannot be counted.
#[test]
fn kprobes_can_be_found_on_every_kernel() {
    let all = accessor("can_find_kprobes").asked;
    assert!(all.len() > 10, "only {} fields are asked for", all.len());
    for (release, path) in kernels() {
        let kernel = Btf::from_path(&path).expect("BTF");
        for (name, field) in &all {
            assert!(has(&kernel, name, field), "Linux {release} has no {field} of struct {name}");
        }
        let links = Release { major: 5, minor: 15 };
        assert_eq!(has(&kernel, "bpf_perf_link", "perf_file"), release >= links, "Linux {release}");
    }
}

/// Newer kernels have sk_timer too, for another purpose: it is asked for last.
#[test]
fn the_timer_of_keep_alives_is_the_connections_own_where_it_has_one() {
    let first = accessor("is_keepalive_pending").asked[0];
    assert_eq!(first, ("inet_connection_sock___compat", "icsk_keepalive_timer"));
}

/// Only kernels that are older than those of testdata/btf have these.
const OLDER: &[(&str, &str)] = &[("sock_cgroup_data___compat", "val")];

#[test]
fn every_field_of_a_flavour_is_in_some_kernel() {
    let kernels: Vec<_> =
        kernels().iter().map(|(_, path)| Btf::from_path(path).expect("BTF")).collect();
    let mut compared = 0;
    for object in ["estats.bpf.o", "kprobe.bpf.o"] {
        let ours = Btf::from_path(Path::new(env!("OUT_DIR")).join(object)).expect("BTF");
        let names = FLAVOURS.lines().filter_map(|l| l.strip_prefix("struct ")?.strip_suffix(" {"));
        for name in names.filter(|name| name.contains("___")) {
            let Some(declared) = ours.type_by_name::<types::Struct<'_>>(name) else { continue };
            let mut want = BTreeMap::new();
            fields(&ours, &declared.into(), &mut want);
            for field in want.keys().filter(|field| !OLDER.contains(&(name, field.as_str()))) {
                let found = kernels.iter().any(|kernel| has(kernel, name, field));
                assert!(found, "{object}: no kernel has {field} of struct {name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 30, "only {compared} fields were compared");
}
