// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder as a service: its file with options, and what its manager hears.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::SUITE;
use crate::run::{Recorder, scratch};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::traffic::{listen, talk};

#[test]
fn a_file_gives_the_options_and_the_command_line_comes_first() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("file");
    let listener = listen(&netns);
    let scratch = scratch();
    let file = scratch.path().join("record.toml");
    let text = format!(
        "netns = [\"{}\"]\nmax-size = \"1G\"\nkeep = \"24h\"\nquiet = true\nresolution = \"5ms\"\n",
        netns.name()
    );
    fs::write(&file, text).expect("a file");
    let config = ["--config", file.to_str().expect("UTF-8"), "--keep", "1h"];
    let recorder = Recorder::start(&config);
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let options = finished.manifest()["options"].clone();
    assert_eq!(options["netns"][0], netns.name());
    assert_eq!(options["max_bytes"], 1_u64 << 30);
    assert_eq!(options["keep_ns"], 3_600_000_000_000_u64);
    assert_eq!(options["resolution_ns"], 5_000_000);
    assert_eq!(finished.connections().len(), 2);
}

/// A service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    /// What comes until this returns true, at most for a time that is long.
    fn hear(&self, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let (begun, mut all) = (Instant::now(), Vec::new());
        let mut bytes = [0; 500];
        self.0.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        while begun.elapsed() < Duration::from_secs(60) {
            let Ok(size) = self.0.recv(&mut bytes) else { continue };
            let text = String::from_utf8(bytes[..size].to_vec()).expect("text");
            all.push(text);
            if is_last(all.last().expect("just pushed")) {
                return all;
            }
        }
        panic!("the manager heard only {all:?}");
    }
}

#[test]
fn a_service_manager_hears_of_readiness_life_and_end() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("notify");
    let scratch = scratch();
    let path = scratch.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    // A sign of life each 200 ms.
    let environment = ["env", &socket, "WATCHDOG_USEC=400000"];
    let recorder = Recorder::under(&environment, &["--netns", netns.name()]);
    let first = manager.hear(|text| text.starts_with("READY=1\n"));
    assert_eq!(first.len(), 1, "nothing is said before: {first:?}");
    assert!(first[0].contains("STATUS=recording to "), "{first:?}");
    let begun = Instant::now();
    let mut signs = 0;
    let heard = manager.hear(|text| {
        signs += usize::from(text == "WATCHDOG=1");
        signs == 5
    });
    assert!(begun.elapsed() >= Duration::from_millis(700), "not more often than asked for");
    assert!(
        heard.iter().all(|text| text == "WATCHDOG=1" || text.starts_with("STATUS=00:")),
        "{heard:?}"
    );
    if !heard.iter().any(|text| text.starts_with("STATUS=")) {
        manager.hear(|text| text.starts_with("STATUS=00:"));
    }
    // A recorder that reads no rings gives no sign, and the manager would end it.
    recorder.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(100));
    manager.0.set_nonblocking(true).expect("a mode");
    while manager.0.recv(&mut [0; 500]).is_ok() {}
    std::thread::sleep(Duration::from_secs(1));
    assert!(manager.0.recv(&mut [0; 500]).is_err(), "a stopped recorder is silent");
    manager.0.set_nonblocking(false).expect("a mode");
    recorder.signal(libc::SIGCONT);
    manager.hear(|text| text == "WATCHDOG=1");
    recorder.signal(libc::SIGTERM);
    manager.hear(|text| text.starts_with("STOPPING=1"));
    recorder.wait().assert_code(0);
}

#[test]
fn without_the_managers_socket_a_recording_goes_on() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("nobody");
    let listener = listen(&netns);
    let nobody = ["env", "NOTIFY_SOCKET=/nonexistent/notify"];
    let recorder = Recorder::under(&nobody, &["--netns", netns.name()]);
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(0);
    assert!(finished.stderr.contains("hears nothing of this recording"), "{}", finished.stderr);
    assert_eq!(finished.connections().len(), 2);
}
