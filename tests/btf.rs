//! bpf/kernel.h against the running kernel's BTF: a field that is not there, or is of another
//! width, would be relocated to nothing or read too short.

#![cfg(feature = "record")]

use std::{collections::BTreeMap, path::Path};

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
    for line in include_str!("../bpf/kernel.h").lines() {
        let Some(name) = line.strip_prefix("struct ").and_then(|l| l.strip_suffix(" {")) else {
            continue;
        };
        // What no program reads has no BTF in the object.
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
