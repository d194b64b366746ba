// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder as a service: its file with options.

use std::fs;

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
