// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets without room in the ring, and the state after the recorder has ended.

use super::*;

#[test]
fn packets_without_room_are_counted_and_displace_no_records() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new("flood");
    let options = ["--packets", "--interface", WIRE, "--packet-ring", "4K"];
    let recorder = Recorder::start(&pair.both(&options));
    pair.link();
    wait_attached(WIRE, &pair.client);
    pair.up();
    let both = connection(&pair, 0, 0);
    both.upload(50_000_000);
    both.finish();
    let account = counters(WIRE, &pair.client);
    let finished = recorder.stop();
    finished.assert_code(3).assert_account();
    let mut lost = std::collections::BTreeMap::<String, u64>::new();
    for cpu in finished.manifest()["totals"]["per_cpu"].as_array().expect("per_cpu") {
        for (hook, n) in cpu["lost_by_hook"].as_object().expect("lost_by_hook") {
            *lost.entry(hook.clone()).or_default() += n.as_u64().expect("a count");
        }
    }
    let hooks = ["socket_in", "socket_out", "interface_in", "interface_out"];
    assert!(lost.keys().all(|hook| hooks.contains(&hook.as_str())), "{lost:?}");
    assert!(lost.values().sum::<u64>() > 0);
    // Both ends of the connection are there, and no row is marked as incomplete.
    let rows = finished.with_port(both.client.local().port());
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.completeness() == "complete"));
    // Each packet is a digest, or lost, or no IP: of both ends together.
    let all = packets(&finished.dir);
    let other: u64 = not_ip(&finished.dir).iter().sum();
    let seen = |hook| all.iter().filter(|p| p.hook == hook).count() as u64;
    let there = seen(Hook::InterfaceIn) + seen(Hook::InterfaceOut);
    let lost = lost.get("interface_in").unwrap_or(&0) + lost.get("interface_out").unwrap_or(&0);
    let [received, sent] = [account.received[0], account.sent[0]];
    let after = counters(WIRE, &pair.client);
    // One end receives the packets that the other sends; neighbour discovery may have gone on meanwhile.
    let range = 2 * (received + sent)..=2 * (after.received[0] + after.sent[0]);
    assert!(range.contains(&(there + lost + other)), "{there} {lost} {other} {range:?}");
}

#[test]
fn a_bound_removes_the_oldest_packets_too() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("bounded");
    // Bytes that do not compress, so that segments fill.
    let mut bytes = [0; 1000];
    let mut state = 88_172_645_463_325_252u64;
    let options = [
        ["--packets", "--netns", netns.name(), "--digest-bytes", "1500"],
        ["--max-size", "1M", "--rotate", "128K", "--quiet"],
    ]
    .concat();
    let recorder = Recorder::start(&options);
    let socket = udp(&netns, "127.0.0.1".parse().expect("an address"), 0);
    let to = socket.local_addr().expect("bound");
    let first = recorder.dir().join("packets-000000.arrows.zst");
    until("nothing is removed", || {
        for _ in 0..100 {
            bytes.fill_with(|| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            });
            socket.send_to(&bytes, to).expect("sent");
            socket.recv(&mut [0; 1000]).expect("received");
        }
        !first.exists()
    });
    let finished = recorder.stop();
    // A recorder that gets no CPU loses packets, and reports it.
    assert!(matches!(finished.code, Some(0 | 3)), "{}", finished.stderr);
    finished.assert_account();
    let numbers = |stream: &str| {
        let mut all: Vec<String> = Vec::new();
        for name in std::fs::read_dir(&finished.dir).expect("a recording").flatten() {
            let name = name.file_name().to_string_lossy().into_owned();
            all.extend(name.strip_prefix(stream).map(str::to_owned));
        }
        all.sort();
        all
    };
    assert_eq!(numbers("packets-"), numbers("hooks-"), "segments of one number go together");
}

#[test]
fn a_killed_recorder_leaves_nothing_in_the_kernel() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new("killed");
    pair.link();
    pair.up();
    let recorder = Recorder::start(&pair.both(&["--packets", "--interface", "all"]));
    wait_attached(WIRE, &pair.client);
    recorder.signal(libc::SIGKILL);
    recorder.wait();
    until("programs are still attached", || veth::is_free(WIRE, &pair.client));
    // The older way: filters that a clean end takes away.
    let recorder =
        Recorder::start(&pair.both(&["--packets", "--interface", WIRE, "--attach", "tc"]));
    let filters = || {
        let mut tc = Command::new("tc");
        tc.args(["-n", pair.client.name(), "filter", "show", "dev", WIRE, "ingress"]);
        String::from_utf8(tc.output().expect("tc").stdout).expect("text")
    };
    assert!(filters().contains("interface_in"), "{}", filters());
    connection(&pair, 0, 0).finish();
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    assert_eq!(filters(), "");
    let all = packets(&finished.dir);
    for hook in [Hook::InterfaceIn, Hook::InterfaceOut] {
        assert!(of(&all, hook, &pair.client).iter().any(|p| p.protocol == 6), "{hook}");
    }
}
