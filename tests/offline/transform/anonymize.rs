// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `anonymize`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use estats::log::{HookStatus, Interface, Namespace, NamespaceInterface, NotSeen, Recording};
use estats::recordings::transform::anonymize::{SecretKey, anonymize};

use super::source::{all_golden, bounded, edit_manifest, golden, imported, table, verified};
use crate::common::{options, replay, subflow, synthetic};

fn key(octet: u8) -> SecretKey {
    SecretKey::parse(&[octet; 32]).expect("a key")
}

fn anonymous(run: &Path, dir: &Path) {
    anonymize(&Recording::open(run).expect("a recording"), dir, &key(9)).expect("anonymize");
    verified(dir);
}

/// Columns with names or addresses.
const NAMES: [&str; 10] = [
    "recording",
    "local_address",
    "remote_address",
    "cgroup",
    "container_id",
    "uid",
    "comm",
    "LocalAddress",
    "RemAddress",
    "hostname",
];

fn without_names(run: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows = table(run, name);
    rows.iter_mut().for_each(|row| row.retain(|column, _| !NAMES.contains(&column.as_str())));
    rows
}

#[test]
fn tables_are_the_same_but_for_names() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut runs = all_golden();
    let written = dir.path().join("synthetic");
    synthetic(&written, 20);
    runs.push(written);
    runs.push(imported(dir.path()));
    runs.push(bounded(dir.path(), Some(60_000)));
    for (i, run) in runs.iter().enumerate() {
        let out = dir.path().join(format!("anonymous{i}"));
        anonymous(run, &out);
        for name in ["connections", "estats", "series", "sockets", "ledger", "audit"] {
            assert_eq!(without_names(&out, name), without_names(run, name), "{name} of {run:?}");
        }
        let (a, b) = (table(run, "connections"), table(&out, "connections"));
        for (a, b) in a.iter().zip(&b) {
            for column in ["recording", "local_address", "remote_address", "comm", "cgroup"] {
                let unnamed = ["NULL", "0.0.0.0", "::", "/"].contains(&a[column].as_str());
                assert_eq!(a[column] == b[column], unnamed, "{column}: {a:?}");
            }
        }
    }
}

#[test]
fn both_ends_match_under_one_key_and_not_under_another() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = golden("clean-path");
    let (out, other) = (dir.path().join("out"), dir.path().join("other"));
    anonymous(&run, &out);
    let rows = table(&out, "connections");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["local_address"], rows[1]["remote_address"]);
    assert_eq!(rows[1]["local_address"], rows[0]["remote_address"]);
    anonymize(&Recording::open(&run).unwrap(), &other, &key(8)).expect("anonymize");
    let others = table(&other, "connections");
    assert_ne!(others[0]["local_address"], rows[0]["local_address"]);
    let host = |run: &Path| Recording::open(run).unwrap().manifest().host.clone();
    assert_ne!(host(&other).hostname, host(&out).hostname);
    assert_ne!(host(&out).boot_id, host(&run).boot_id);
}

/// Everything a recording holds, as bytes.
fn content(run: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        all.extend(path.file_name().unwrap().as_encoded_bytes());
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|e| e == "zst") {
            zstd::Decoder::new(&bytes[..]).unwrap().read_to_end(&mut all).unwrap();
        } else {
            all.extend(bytes);
        }
    }
    all
}

fn has(content: &[u8], what: &[u8]) -> bool {
    content.windows(what.len()).any(|w| w == what)
}

#[test]
fn no_name_or_address_is_left_in_any_file() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = bounded(dir.path(), None);
    edit_manifest(&run, |m| {
        m.host.hostname = "alices-laptop".into();
        m.host.boot_id = "1b4e28ba-2fa1-41d2-883f-0016d3cca427".into();
        m.command = Some(vec!["curl".into(), "https://clinic.example".into()]);
        m.options.addresses = vec!["10.0.0.0/24".into()];
        m.options.cgroups = vec!["/user.slice/alice".into()];
        m.options.netns = vec!["alice-vpn".into()];
        m.qdiscs = vec!["qdisc fq 0: dev wg-alice root".into()];
        m.options.interfaces = vec!["all".into(), "eth-bob".into()];
        m.interfaces = vec![Interface { name: "eth-bob".into(), ..Interface::default() }];
        let interface =
            NamespaceInterface { name: "tun-carol".into(), ..NamespaceInterface::default() };
        m.namespaces = vec![Namespace {
            qdiscs: vec!["qdisc fq 0: dev tun-carol root".into()],
            interfaces: vec![interface],
            ..Namespace::default()
        }];
        let what = "program 7 \"dave_filter\" has the place alone";
        m.not_seen = vec![NotSeen { what: what.into(), ..NotSeen::default() }];
        m.hooks = vec![HookStatus { reason: Some(what.into()), ..HookStatus::default() }];
    });
    let uuid = Recording::open(&run).unwrap().manifest().recording.clone();
    let out = dir.path().join("out");
    anonymous(&run, &out);
    let (before, after) = (content(&run), content(&out));
    let text: [&[u8]; 15] = [
        b"alice",
        b"bob",
        b"carol",
        b"dave",
        b"clinic",
        b"1b4e28ba",
        b"10.0.0.",
        b"curl",
        b"docker",
        b"0123456789abcdef",
        b"secret",
        b"system.slice",
        uuid.as_bytes(),
        // An address, a link address and a checksum in packets.
        &[0, 0, 0xff, 0xff, 10, 0, 0, 1],
        &[2, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5],
    ];
    for what in text {
        let shown = String::from_utf8_lossy(what);
        assert!(has(&before, what), "{shown}: the original has it");
        assert!(!has(&after, what), "{shown}");
    }
    // Files of tables name the host in their metadata, which is not compressed.
    let tables_of = |run: &Path, name: &str| {
        let tables = dir.path().join(name);
        replay(run, &options(1, &tables));
        content(&tables)
    };
    let host = Recording::open(&out).unwrap().manifest().host.hostname.clone();
    let (named, unnamed) = (tables_of(&run, "named"), tables_of(&out, "unnamed"));
    assert!(host.starts_with("host-") && has(&unnamed, host.as_bytes()), "{host}");
    assert!(has(&named, b"alices-laptop") && has(&named, uuid.as_bytes()));
    assert!(!has(&unnamed, b"alice") && !has(&unnamed, uuid.as_bytes()));
    // The same name is the same in all places, and other texts stay.
    let (m, name) = (Recording::open(&out).unwrap().manifest().clone(), "if-");
    assert_eq!(m.options.interfaces[0], "all");
    assert!(m.interfaces[0].name.starts_with(name));
    assert_eq!(m.options.interfaces[1], m.interfaces[0].name);
    let other = &m.namespaces[0].interfaces[0].name;
    assert_eq!(m.namespaces[0].qdiscs, [format!("qdisc fq 0: dev {other} root")]);
    assert!(m.not_seen[0].what.ends_with("\" has the place alone"), "{:?}", m.not_seen);
    // The TCP header of a packet: ports and the data offset, then its checksum.
    assert!(has(&before, &[0xab, 0xcd]) && !has(&after, &[0x50, 0, 0, 0, 0xab, 0xcd]));
}

#[test]
fn the_name_of_a_capture_and_its_ends_go() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = imported(dir.path());
    let out = dir.path().join("out");
    anonymous(&run, &out);
    let import = Recording::open(&out).unwrap().manifest().import.clone().unwrap();
    let local = table(&out, "connections")[0]["local_address"].clone();
    assert_eq!(import.local, [local], "the same address as in the tables");
    let after = content(&out);
    for what in [&b"three.pcap"[..], b"\"192.0.2.1\"", &[0xff, 0xff, 192, 0, 2, 1]] {
        assert!(!has(&after, what) && has(&content(&run), what), "{what:?}");
    }
}

/// MPTCP's tokens are replaced as elsewhere, and attributes that cannot be read are left out.
#[test]
fn netlink_attributes_of_subflows_are_anonymised() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, out) = (dir.path().join("run"), dir.path().join("out"));
    subflow(&run);
    anonymous(&run, &out);
    let of = |run: &Path| table(run, "sockets").remove(0);
    let (before, after) = (of(&run), of(&out));
    assert_eq!(before["tcp_info_more"], "736f6d65626f647927732061646472657373", "{before:?}");
    assert_eq!(after["tcp_info_more"], "NULL");
    for token in ["mptcp_token_loc", "mptcp_token_rem"] {
        assert!(!after[token].is_empty() && after[token] != before[token], "{token}");
    }
    assert_eq!(
        (&before["mptcp_map_seq"], &before["tcpi_segs_in"]),
        (&"-6".to_owned(), &"3".to_owned())
    );
    assert_eq!(after["mptcp_map_seq"], before["mptcp_map_seq"]);
}
