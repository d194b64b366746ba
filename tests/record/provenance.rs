// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The settings of the connections' network namespaces, which are not the recorder's.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use serde_json::Value as Json;

use crate::SUITE;
use crate::run::{Finished, Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{listen, open, talk};

const NEEDS: Needs = Needs { programs: &["tc", "setpriv"], ..Needs::BPF };

fn inode(netns: &Netns) -> u64 {
    std::fs::metadata(format!("/run/netns/{}", netns.name())).expect("its file").ino()
}

fn namespace(manifest: &Json, inode: u64) -> Json {
    let all = manifest["namespaces"].as_array().expect("namespaces");
    let mut found = all.iter().filter(|n| n["netns"] == inode);
    let one = found.next().unwrap_or_else(|| panic!("{inode}: {all:?}")).clone();
    assert!(found.next().is_none(), "once: {all:?}");
    one
}

/// A namespace that is unlike the recorder's in every respect that the manifest has.
fn peculiar() -> Netns {
    let netns = Netns::new("peculiar");
    netns.sysctl("ipv4/tcp_congestion_control", "reno");
    netns.sysctl("ipv4/tcp_sack", "0");
    netns.ip(&["link", "set", "lo", "mtu", "1400"]);
    let status = netns
        .command("tc")
        .args(["qdisc", "add", "dev", "lo", "root", "pfifo", "limit", "1234"])
        .status()
        .expect("tc");
    assert!(status.success());
    netns.run(segmentation_off);
    netns
}

/// `ethtool -K lo tso off`
fn segmentation_off() {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_STSO: u32 = 0x1f;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let mut value = [ETHTOOL_STSO, 0];
    // SAFETY: an all-zero ifreq is valid; it and the value that it leads to outlive the call.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The settings as the test made them.
#[track_caller]
fn assert_peculiar(namespace: &Json) {
    assert!(namespace.get("reason").is_none(), "{namespace}");
    assert_eq!(namespace["sysctls"]["net.ipv4.tcp_congestion_control"], "reno");
    assert_eq!(namespace["sysctls"]["net.ipv4.tcp_sack"], "0");
    let lo = &namespace["interfaces"][0];
    assert_eq!((lo["name"].as_str(), lo["index"].as_u64()), (Some("lo"), Some(1)), "{lo}");
    assert_eq!((lo["mtu"].as_u64(), lo["qdisc"].as_str()), (Some(1400), Some("pfifo")), "{lo}");
    assert_eq!(lo["offloads"]["tcp-segmentation-offload"], false, "{lo}");
    assert_eq!(lo["offloads"]["generic-receive-offload"], true, "{lo}");
    let line = namespace["qdiscs"][0].as_str().expect("a line");
    assert!(line.starts_with("qdisc pfifo") && line.contains("limit 1234p"), "{line}");
}

#[test]
fn settings_are_those_of_the_connections_namespaces() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let (peculiar, plain, unused) = (peculiar(), Netns::new("plain"), Netns::new("unused"));
    let names = ["--netns", peculiar.name(), "--netns", plain.name(), "--netns", unused.name()];
    let recorder = Recorder::start(&names);
    for netns in [&peculiar, &plain] {
        talk(netns, &listen(netns), 1000);
    }
    // One that is over before the recording is.
    let (inodes, unused) = ([inode(&peculiar), inode(&plain)], inode(&unused));
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(peculiar);
    let finished = recorder.stop();
    finished.assert_code(0);
    let manifest = finished.manifest();
    let found = namespace(&manifest, inodes[0]);
    assert_peculiar(&found);
    let other = namespace(&manifest, inodes[1]);
    assert_eq!(other["interfaces"][0]["mtu"], 65536);
    assert_eq!(other["interfaces"][0]["offloads"]["tcp-segmentation-offload"], true);
    let all = manifest["namespaces"].as_array().expect("namespaces");
    assert!(all.iter().all(|n| n["netns"] != unused), "it had no connection: {all:?}");
    // The recorder's own stay where they were.
    assert_eq!(manifest["sysctls"]["net.ipv4.tcp_sack"], "1");
    let info = String::from_utf8(analyze(&["info"], &finished.dir).stdout).expect("UTF-8");
    let line = info.lines().find(|l| l.contains(&inodes[0].to_string())).expect("its line");
    for word in ["congestion control reno", "lo mtu 1400 qdisc pfifo", "net.ipv4.tcp_sack = 0 (1)"]
    {
        assert!(line.contains(word), "{word}: {line}");
    }
    trust::says(
        "connections in other network namespaces",
        &format!(
            "the manifest has each one's sysctls, queueing disciplines, MTU and offloads \
             (net.ipv4.tcp_sack {} where the recorder has {}); `info` shows what differs",
            found["sysctls"]["net.ipv4.tcp_sack"].as_str().expect("a value"),
            manifest["sysctls"]["net.ipv4.tcp_sack"].as_str().expect("a value"),
        ),
    );
}

#[test]
fn a_recorder_that_was_killed_has_the_settings_too() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = peculiar();
    let listener = listen(&netns);
    let before = open(&netns, &listener);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    before.upload(10);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    recorder.signal(libc::SIGKILL);
    let finished = recorder.wait();
    assert_peculiar(&namespace(&finished.manifest(), inode(&netns)));
}

/// The reason why settings are not known.
fn reason(finished: &Finished, netns: &Netns) -> String {
    let found = namespace(&finished.manifest(), inode(netns));
    assert_eq!(found["sysctls"], Json::Object(serde_json::Map::new()));
    found["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_namespace_with_unreadable_settings_has_the_reason() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = Netns::new("closed");
    let without = ["setpriv", "--bounding-set", "-sys_admin"];
    let recorder = Recorder::under(&without, &["--netns", netns.name()]);
    talk(&netns, &listen(&netns), 1000);
    let finished = recorder.stop();
    finished.assert_code(0);
    let why = reason(&finished, &netns);
    assert!(why.contains("cannot be entered"), "{why}");
    let info = String::from_utf8(analyze(&["info"], &finished.dir).stdout).expect("UTF-8");
    assert!(info.contains(&format!("settings not known: {why}")), "{info}");
}
