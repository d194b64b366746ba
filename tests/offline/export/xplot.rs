// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Graphs for xplot: by its grammar, and line by line against tcptrace's graphs of the same captures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use estats::log::Recording;
use estats::recordings::import;
use estats::replay::ReplayOptions;
use estats::views::export::{ExportError, xplot};

use super::golden;
use super::pcapng::uncompressed;
use crate::support::gate::{self, Needs};

const COLOURS: [&str; 9] =
    ["white", "green", "red", "blue", "yellow", "purple", "orange", "magenta", "pink"];
/// Types of an axis.
const TYPES: [&str; 5] = ["timeval", "unsigned", "signed", "double", "dtime"];
/// Commands with one place.
const MARKS: [&str; 18] = [
    "dot",
    "x",
    ".",
    "plus",
    "+",
    "box",
    "diamond",
    "utick",
    "dtick",
    "ltick",
    "rtick",
    "htick",
    "vtick",
    "uarrow",
    "darrow",
    "larrow",
    "rarrow",
    "invisible",
];
/// Commands with one place and a text on the next line.
const TEXTS: [&str; 5] = ["atext", "btext", "ctext", "ltext", "rtext"];

/// What a graph draws.
#[derive(Debug, Default)]
struct Drawn {
    title: String,
    /// Lines with a length, by colour and ends, and how often.
    lines: BTreeMap<(String, String), u32>,
    /// Texts with their places.
    texts: BTreeSet<(String, String)>,
    marks: u32,
}

impl Drawn {
    fn texts(&self, text: &str) -> BTreeSet<&str> {
        let of = self.texts.iter().filter(|(found, _)| found == text);
        of.map(|(_, place)| place.as_str()).collect()
    }
}

/// Reads a file by xplot's grammar, as `demo.0` of its source and its reader have it; panics where a line
/// does not fit.
fn drawn(path: &Path) -> Drawn {
    let text = fs::read_to_string(path).expect("a graph");
    let mut lines = text.lines();
    let types: Vec<_> = lines.next().expect("types").split(' ').collect();
    assert!(types.len() == 2 && types.iter().all(|t| TYPES.contains(t)), "{types:?}");
    let (mut drawn, mut colour, mut over) = (Drawn::default(), "white".to_owned(), false);
    let number = |word: &str| assert!(word.parse::<f64>().is_ok(), "{word} in {}", path.display());
    let time = |word: &str| {
        let (_, part) = word.split_once('.').expect("a timeval");
        assert_eq!(part.len(), 6, "{word}");
        number(word);
    };
    while let Some(line) = lines.next() {
        assert!(!over, "{line} after go");
        let words: Vec<_> = line.split(' ').collect();
        let places = match words[0] {
            "go" => {
                over = true;
                continue;
            }
            "title" => {
                drawn.title = lines.next().expect("a title").to_owned();
                continue;
            }
            "xlabel" | "ylabel" | "xunits" | "yunits" => {
                lines.next().expect("a label");
                continue;
            }
            word if COLOURS.contains(&word) && words.len() == 1 => {
                colour = word.to_owned();
                continue;
            }
            "line" | "dline" => 2,
            word if MARKS.contains(&word) || TEXTS.contains(&word) => 1,
            word => panic!("xplot has no command {word}: {line}"),
        };
        let rest = &words[1..];
        assert!(rest.len() == places * 2 || COLOURS.contains(&rest[places * 2]), "{line}");
        rest[..places * 2].chunks(2).for_each(|at| {
            time(at[0]);
            number(at[1]);
        });
        if TEXTS.contains(&words[0]) {
            let text = lines.next().expect("a text").to_owned();
            drawn.texts.insert((text, rest[..2].join(" ")));
        } else if places == 1 {
            drawn.marks += 1;
        } else if rest[..2] != rest[2..4] {
            *drawn.lines.entry((colour.clone(), rest[..4].join(" "))).or_default() += 1;
        }
    }
    assert!(over, "{} has no go", path.display());
    drawn
}

fn graphs(dir: &Path, kind: &str) -> Vec<Drawn> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).expect("graphs").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    let of_kind = |path: &&std::path::PathBuf| path.to_string_lossy().ends_with(kind);
    paths.iter().filter(of_kind).map(|path| drawn(path)).collect()
}

fn plotted(run: &Path, dir: &Path) -> Vec<xplot::Plotted> {
    let recording = Recording::open(run).expect("a recording");
    xplot::write(&recording, &ReplayOptions::default(), dir).expect("graphs").0
}

#[test]
fn time_sequence_graphs_have_tcptraces_lines() {
    let needs = Needs { programs: &["tcptrace", "zstd"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter("xplot against tcptrace", needs) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let (mut lines, mut again, mut zero) = (0, 0, 0);
    for (scenario, side) in [
        ("b_loss", "A"),
        ("b_loss", "B"),
        ("c_reorder", "A"),
        ("c_reorder", "B"),
        ("e_rwnd", "A"),
        ("e_rwnd", "B"),
        ("h_rr", "A"),
        ("o_synloss", "A"),
        ("o_synloss", "B"),
    ] {
        let at = dir.path().join(format!("{scenario}-{side}"));
        fs::create_dir(&at).expect("directory");
        let capture = uncompressed(scenario, side, &at);
        let output = Command::new("tcptrace")
            .current_dir(&at)
            .args(["-S", "-n"])
            .arg(&capture)
            .output()
            .expect("tcptrace runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let run = at.join("run");
        import::import(&capture, &run, &import::ImportOptions::default()).expect("imported");
        let flows = plotted(&run, &at.join("ours"));
        assert_eq!(flows.len(), 1);
        let (theirs, ours) = (graphs(&at, "_tsg.xpl"), graphs(&at.join("ours"), "_tsg.xpl"));
        assert_eq!((theirs.len(), ours.len()), (2, 2), "{scenario}");
        for theirs in &theirs {
            // Their first end is who began, ours is the recorded one.
            let same = ours.iter().find(|graph| graph.title == theirs.title);
            let ours = same.expect("a graph of the same title");
            assert_eq!(ours.lines, theirs.lines, "{scenario} {side} {}", ours.title);
            for text in ["FIN", "Z", "O"] {
                assert_eq!(ours.texts(text), theirs.texts(text), "{scenario} {side} {text}");
            }
            // One for each packet with blocks.
            assert_eq!(ours.texts("S").len(), theirs.texts("S").len(), "{scenario} {side}");
            // tcptrace does not mark a retransmitted SYN.
            let (marked, found) = (ours.texts("R"), theirs.texts("R"));
            let syns = ours.texts("SYN");
            assert!(theirs.texts("SYN").is_subset(&syns) && found.is_subset(&marked), "{scenario}");
            assert!(marked.difference(&found).all(|place| syns.contains(place)), "{scenario}");
            lines += theirs.lines.values().sum::<u32>();
            again += found.len();
            zero += theirs.texts("Z").len();
        }
    }
    assert!(lines > 50_000 && again > 40 && zero > 10, "{lines} {again} {zero}");
}

#[test]
fn a_recording_has_its_own_windows_beside_the_packets() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let flows = plotted(&golden("packets"), dir.path());
    // Each end of the two connections is a flow of its own namespace.
    let conns: BTreeSet<_> = flows.iter().map(|flow| flow.conn_id.expect("a connection")).collect();
    assert_eq!(conns.len(), flows.len());
    for flow in &flows {
        let path = |name: &str| dir.path().join(format!("flow{}_{name}.xpl", flow.flow));
        let sequence = drawn(&path("a2b_tsg"));
        let [a, b] = &flow.ends;
        assert_eq!(sequence.title, format!("{a}_==>_{b} (time sequence graph)"));
        assert_eq!(sequence.texts("SYN").len(), 1);
        let outstanding = drawn(&path("a2b_owin"));
        assert_eq!(outstanding.texts("cwnd").len(), 1, "the kernel's window of the local end");
        assert_eq!(drawn(&path("b2a_owin")).texts("cwnd").len(), 0, "and of no other");
        assert!(outstanding.lines.keys().any(|(colour, _)| colour == "orange"));
        if flow.segments[0] > 10 {
            assert!(drawn(&path("a2b_rtt")).marks > 10, "samples of RTT");
        }
    }
    assert!(flows.iter().any(|flow| flow.segments[0] > 10));
    let recording = Recording::open(&golden("loss")).expect("a recording");
    let said = xplot::write(&recording, &ReplayOptions::default(), &dir.path().join("none"));
    assert!(matches!(said, Err(ExportError::NoPackets)));
    assert!(!dir.path().join("none").exists(), "nothing is left behind");
}
