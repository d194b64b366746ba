// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Everything that can be done with a recording.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::Path;

use estats::engine::estats::Interval;
use estats::engine::rtt::Method;
use estats::log::Recording;
use estats::output::sink::Plain;
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::replay::{Keep, ReplayOptions, audit, replay};
use estats::views::export::{epping, events, mlab, operations, pcapng, perfetto, web10g, xplot};
use estats::views::{report, summary, three_ways, traffic};

use super::one_sentence;

/// No output of a recording of some kB is larger. More is work without an end.
const MOST: u64 = 64 << 20;

/// Counts what is written, and refuses what is too much.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        assert!(self.0 <= MOST, "output without an end");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn out() -> Counted {
    Counted(0)
}

fn checked<T, E: std::error::Error>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|e| one_sentence(e)).ok()
}

/// Reads every stream to its end, or to its first error.
pub fn read_everything(recording: &Recording) {
    for batch in recording.hooks(std::num::NonZero::<usize>::MIN) {
        let Some(batch) = checked(batch) else { break };
        for row in 0..batch.len() {
            batch.ops(row).for_each(drop);
        }
    }
    recording.lifecycles().for_each(|row| {
        checked(row);
    });
    recording.packets().for_each(|row| {
        checked(row);
    });
    recording.sockets().for_each(|row| {
        checked(row);
    });
    recording.capture_stats().for_each(|row| {
        checked(row);
    });
    checked(recording.key_frame());
    checked(recording.removed_records());
    checked(recording.truncations());
    checked(recording.bytes());
}

/// Verifies, replays, shows and exports a recording, and makes others of it.
pub fn use_everything(recording: &Recording) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    if let Some(survey) = checked(recording.survey()) {
        let _ = survey.to_string();
    }
    if let Some(verified) = checked(recording.verify()) {
        let _ = verified.to_string();
    }
    read_everything(recording);
    let every = NonZeroU64::new(10_000_000).expect("not zero");
    let tables = dir.join("tables");
    let options = ReplayOptions {
        interval: Interval::Every(every),
        output: Some(tables.clone()),
        ..ReplayOptions::default()
    };
    if checked(replay(recording, &options)).is_some() {
        show(&tables);
    }
    views(recording, &options);
    exports(recording, &options, dir);
    others(recording, dir);
}

fn show(tables: &Path) {
    if let Some(lines) = checked(summary::read(tables)) {
        let text = summary::render(&lines, 10);
        assert!(!text.contains('\x1b'));
    }
    checked(summary::dropped(tables));
    checked(summary::not_taken(tables));
}

fn views(recording: &Recording, options: &ReplayOptions) {
    checked(audit(recording, Keep::All));
    if let Some(lines) = checked(traffic::recording(recording, options)) {
        traffic::table(&lines, 10, "");
        traffic::list(&lines, 10, "");
    }
    if let Some(compared) = checked(three_ways::compare(recording, options.clone())) {
        three_ways::render(&compared);
    }
    let Some(overview) = checked(report::overview(recording, options)) else { return };
    let chosen = report::largest(&overview, 3);
    let extent = report::Extent { top: 3, ..report::Extent::default() };
    let Some(run) = checked(report::plot(recording, overview, "run".to_owned(), &chosen, extent))
    else {
        return;
    };
    let views: Vec<_> = chosen.iter().map(|&id| report::View::of(&run, id)).collect();
    let page = report::page("hostile", &[run], &views, &report::Extra::default());
    assert!(page.expect("a page").len() as u64 <= MOST);
}

fn exports(recording: &Recording, options: &ReplayOptions, dir: &Path) {
    for format in [Plain::Csv, Plain::Jsonl] {
        checked(operations::write(recording, format, out()));
    }
    checked(pcapng::write(recording, options, out()));
    checked(perfetto::write(recording, options, out()));
    checked(mlab::write(recording, &mut out()));
    checked(web10g::write(recording, options, &mut out()));
    checked(web10g::vars::read(recording, options, None, &mut out()));
    checked(web10g::vars::deltas(
        recording,
        options,
        Some(1),
        web10g::vars::Deltas::Csv,
        &mut out(),
    ));
    checked(xplot::write(recording, options, &dir.join("graphs")));
    let all =
        events::EventSelection { kinds: events::EventKind::ALL.to_vec(), connections: Vec::new() };
    for format in [events::EventFormat::Text, events::EventFormat::Csv] {
        checked(events::write(recording, options, format, &all, out()));
    }
    let selection = epping::Selection {
        methods: Method::ALL.to_vec(),
        format: epping::EppingFormat::Json,
        include_local: true,
        policy: None,
        aggregate: Some(options.aggregate),
    };
    checked(epping::write(recording, options, &selection, out()));
}

fn others(recording: &Recording, dir: &Path) {
    let options = CutOptions { from: Some(CutTime::Since(100_000_000)), ..CutOptions::default() };
    if checked(cut(recording, &dir.join("cut"), &options)).is_some() {
        let cut = Recording::open(&dir.join("cut")).expect("a recording");
        checked(cut.verify());
        read_everything(&cut);
    }
    let key = SecretKey::parse(&[7; 32]).expect("a key");
    if checked(anonymize(recording, &dir.join("anonymous"), &key)).is_some() {
        checked(Recording::open(&dir.join("anonymous")).and_then(|r| r.verify()));
    }
}
